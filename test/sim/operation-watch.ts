// What operations do, as the processes of a run show it: one at a time, none goes back, a node that was drained is
// empty; and how many there were of each kind.

import { META_GROUP, type NodeId } from "../../src/model/ids.ts";
import { hasEnded, stepsOf, type Operation } from "../../src/model/operation.ts";
import type { ShardMap } from "../../src/model/shard-map.ts";
import type { NodeCore } from "../../src/node/core.ts";
import type { MetaCommand } from "../../src/node/meta/meta-machine.ts";
import { unpack } from "../../src/node/transport/frames.ts";
import type { Process } from "./machine.ts";
import type { World } from "./world.ts";

/** Steps that were done, by their kind; `drain` and `cancelled` are whole operations. */
export type OperationCounts = Readonly<Record<string, number>>;

export class OperationWatch {
  readonly #world: World;
  readonly #onNews: (operation: Operation) => void;
  /** Whether somebody let the node have replicas again. */
  readonly #wasUndrained: (node: NodeId) => boolean;
  readonly #shown = new WeakMap<Process, Operation>();
  /** The newest that anybody has shown of each. */
  readonly #newest = new Map<string, Operation>();

  constructor(world: World, onNews: (operation: Operation) => void, wasUndrained: (node: NodeId) => boolean) {
    this.#world = world;
    this.#onNews = onNews;
    this.#wasUndrained = wasUndrained;
  }

  /** A second operation begins when the first has ended, and none goes back to where it was; it may be read anew. */
  look(process: Process, core: NodeCore): void {
    const now = core.operation();
    const before = this.#shown.get(process) ?? null;
    if (now === before || now === null) return;
    this.#shown.set(process, now);
    const { id } = now.plan;
    const known = this.#newest.get(id);
    if (known === undefined || now.progress.revision > known.progress.revision) {
      this.#newest.set(id, now);
      this.#judgeDrain(now, core.map());
      this.#onNews(now);
    }
    if (before === null) return;
    const isNext = id === before.plan.id && now.progress.revision >= before.progress.revision;
    const newest = this.#newest.get(before.plan.id) ?? before;
    this.#world.must(
      // A snapshot may leave out how one ended and another began.
      isNext || hasEnded(before) || hasEnded(newest) || endsInLog(core, before, id),
      "one-operation-at-a-time",
      () => `${process.name} goes from ${before.plan.id} (${before.progress.state}) to ${id}`,
    );
  }

  /** `map` is of the same moment of the metadata group. */
  #judgeDrain({ plan, progress }: Operation, map: ShardMap): void {
    const node = drainedBy(plan.name);
    if (progress.state !== "done" || node === undefined || this.#wasUndrained(node)) return;
    const held = map.shards.find(({ replicas, arbiters }) => [...replicas, ...arbiters].includes(node));
    this.#world.must(
      held === undefined,
      "drained-is-empty",
      () => `${plan.name} is done, and shard ${held?.id} is still there in epoch ${map.epoch}`,
    );
  }

  counts(): OperationCounts {
    const counts: Record<string, number> = {};
    const count = (what: string): void => {
      counts[what] = (counts[what] ?? 0) + 1;
    };
    for (const { plan, progress } of this.#newest.values()) {
      for (const [at, { kind }] of stepsOf(plan).entries()) if (progress.steps[at] === "done") count(kind);
      if (progress.state === "cancelled") count("cancelled");
      if (progress.state === "done" && drainedBy(plan.name) !== undefined) count("drain");
    }
    return counts;
  }
}

function drainedBy(name: string): NodeId | undefined {
  return name.startsWith("drain ") ? name.slice("drain ".length) : undefined;
}

/** One event may have applied the end of the one and the begin of the other, which nobody has shown apart: the log has. */
function endsInLog(core: NodeCore, before: Operation, next: string): boolean {
  const replica = core.host.groups.get(META_GROUP)?.replica;
  const { first, applied } = replica?.status() ?? { first: 1, applied: 0 };
  let { revision } = before.progress;
  let isOver = false;
  for (let index = first; index <= applied; index += 1) {
    const entry = replica?.entry(index);
    if (entry?.kind !== "command") continue;
    const command = unpack(entry.data) as MetaCommand;
    // Asked for before that, it was refused.
    if ("begin" in command && command.begin.id === next && isOver) return true;
    if (!("operation" in command) || command.operation !== before.plan.id) continue;
    const { progress } = command;
    // Any other was refused.
    if (isOver || progress.revision !== revision + 1) continue;
    revision += 1;
    isOver = hasEnded({ progress });
  }
  return false;
}
