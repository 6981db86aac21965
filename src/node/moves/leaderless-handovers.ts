// Carries a handover of keys of leaderless shards out, on the node that leads the metadata group. The nodes do it, each
// for its own copies (quorum/successions.ts); here is only said when: the map says that it begins, then, once those that
// are up are ready, that the keys are the other shard's; and when every copy has followed, it is over. Where a node has met an id
// in both shards under different keys, the shards themselves are asked, for a copy that lags may know of what is gone; it
// is given up where they have it, and waits for that copy where they do not.

import type { NodeId } from "../../model/ids.ts";
import { stepWords, type StepState } from "../../model/operation.ts";
import type { HandoverStep } from "../../model/plan.ts";
import type { Handover, ShardMap } from "../../model/shard-map.ts";
import { isHandedOver, mapHandedOver, mapHandingOver, mapWithoutHandover } from "../../topology/handovers.ts";
import { shardById } from "../../topology/shard-map.ts";
import type { Clock } from "../clock.ts";
import type { SuccessionReport } from "../quorum/successions.ts";
import { clashesOf, idsClash, type ReadShard } from "./id-clashes.ts";

const CALL_MS = 3000;

export interface LeaderlessHandoversOptions {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly isUp: (node: NodeId) => boolean;
  /** How far a node is with it. */
  readonly successionAt: (node: NodeId, handover: number, deadlineMs: number) => Promise<SuccessionReport>;
  readonly readShard: ReadShard;
  readonly changeMap: (change: (map: ShardMap) => ShardMap) => Promise<ShardMap>;
}

/** Told what every node together has copied so far. */
type Note = (handover: Handover, bytes: number) => void;

export class LeaderlessHandovers {
  private readonly options: LeaderlessHandoversOptions;
  /** Bytes that each node has told, of the handover that was looked at last. */
  private copied = { handover: 0, byNode: new Map<NodeId, number>() };

  constructor(options: LeaderlessHandoversOptions) {
    this.options = options;
  }

  /** Brings a step as far as it can be brought now. Throws what the map and the nodes are answered with. */
  async advance(step: HandoverStep, state: StepState, note: Note): Promise<StepState> {
    const isCopying = ({ handover }: ShardMap): boolean =>
      handover?.phase === "copying" && handover.name === stepWords(step);
    const map = await this.options.changeMap((known) => {
      if (state !== "undoing") return mapHandingOver(known, step, true);
      return isCopying(known) ? mapWithoutHandover(known) : known;
    });
    const after = isCopying(map) ? await this.take(map, note) : map;
    if (isCopying(after)) return state;
    if (!isHandedOver(after, step)) return "dropped";
    // Nobody waits for one that is down: it follows when it is back.
    const { haveAll, haveThoseUp } = await this.followed(after);
    if (haveAll) await this.end(after);
    return haveThoseUp ? "done" : state;
  }

  /** Ends what a step has left that nobody carries out any more. */
  async settle(map: ShardMap): Promise<void> {
    const { handover } = map;
    if (handover?.phase === "copying") {
      await this.giveUp(handover.id);
    } else if (handover !== undefined && (await this.followed(map)).haveAll) await this.end(map);
  }

  /** The slice is the other shard's, where every node that is up can answer for it at once. */
  private async take(map: ShardMap, note: Note): Promise<ShardMap> {
    const { handover } = map;
    if (handover === undefined) return map;
    const { id, to } = handover;
    const nodes = shardById(map, to)?.replicas ?? [];
    const up = nodes.filter((node) => this.isUp(node));
    const reports = await this.reports(up, id);
    if (this.copied.handover !== id) this.copied = { handover: id, byNode: new Map() };
    const { byNode } = this.copied;
    reports.forEach(({ bytes }, at) => {
      const node = up[at] ?? "";
      const news = bytes - (byNode.get(node) ?? 0);
      byNode.set(node, bytes);
      if (news > 0) note(handover, news);
    });
    if (reports.some(({ hasClashes }) => hasClashes === true)) {
      await this.refuseClashes(handover);
      return map;
    }
    if (2 * up.length <= nodes.length || reports.some(({ state }) => state !== "ready")) return map;
    return this.options.changeMap((known) => (known.handover?.id === id ? mapHandedOver(known) : known));
  }

  private async refuseClashes(handover: Handover): Promise<void> {
    const { clock, readShard } = this.options;
    const clashes = await clashesOf(handover, readShard, clock.nowMs() + CALL_MS);
    if (clashes.length === 0) return;
    await this.giveUp(handover.id);
    throw idsClash("step-outdated", handover.name, handover, clashes);
  }

  /** Nothing is the taker's yet: every node forgets what it has made. */
  private async giveUp(id: number): Promise<void> {
    await this.options.changeMap((known) =>
      known.handover?.id === id && known.handover.phase === "copying" ? mapWithoutHandover(known) : known,
    );
  }

  private async followed({ handover, shards }: ShardMap): Promise<{
    readonly haveAll: boolean;
    readonly haveThoseUp: boolean;
  }> {
    if (handover === undefined) return { haveAll: true, haveThoseUp: true };
    const concerned = shards.filter(({ id }) => id === handover.from || id === handover.to);
    const nodes = [
      ...new Set(concerned.flatMap(({ replicas, outgoing }) => [...replicas, ...(outgoing?.replicas ?? [])])),
    ];
    const up = nodes.filter((node) => this.isUp(node));
    const reports = await this.reports(up, handover.id);
    const haveThoseUp = reports.every(({ state }) => state === "over");
    return { haveAll: haveThoseUp && up.length === nodes.length, haveThoseUp };
  }

  private async end({ handover }: ShardMap): Promise<void> {
    if (handover === undefined) return;
    await this.options.changeMap((known) =>
      known.handover?.id === handover.id ? mapWithoutHandover(known) : known,
    );
  }

  private reports(nodes: readonly NodeId[], handover: number): Promise<readonly SuccessionReport[]> {
    const { clock, successionAt } = this.options;
    const deadlineMs = clock.nowMs() + CALL_MS;
    const nothing: SuccessionReport = { state: "none", bytes: 0 };
    return Promise.all(nodes.map((node) => successionAt(node, handover, deadlineMs).catch(() => nothing)));
  }

  private isUp(node: NodeId): boolean {
    return node === this.options.self || this.options.isUp(node);
  }
}
