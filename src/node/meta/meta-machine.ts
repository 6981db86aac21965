// The state machine of the metadata group: the shard map, and the operation that runs or ran last. Every change
// of either is whole and names what it was made from (epoch, revision), and is refused when another came first, so
// a repeated command changes nothing.

import {
  hasEnded,
  stepsOf,
  type Operation,
  type OperationPlan,
  type OperationProgress,
} from "../../model/operation.ts";
import type { NodeId } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import type { MachineSize, StateMachine } from "../host/machine.ts";
import { extendKey, type Key } from "../storage/key.ts";
import type { Store, StoreWriter } from "../storage/store.ts";
import { pack, unpack } from "../transport/frames.ts";

export interface MapCommand {
  /** The epoch that the change was made from. */
  readonly from: number;
  /** null: nothing is to change. */
  readonly map: ShardMap | null;
}

export type MapResult = { readonly accepted: boolean; readonly map: ShardMap };

/** Begins an operation, where none runs and the map is still the one that it was planned for. */
export interface BeginCommand {
  readonly begin: OperationPlan;
}

/** How far an operation is now; refused unless it is the one that runs and the revision is the next. */
export interface ProgressCommand {
  readonly operation: string;
  readonly progress: OperationProgress;
}

export interface OperationResult {
  readonly accepted: boolean;
  /** The one that holds now. */
  readonly operation: Operation | null;
  readonly epoch: number;
}

/** Lets a node that joined begin, with this data directory and no other. */
export interface AdmitCommand {
  readonly admit: NodeId;
  readonly uid: string;
}

export interface AdmitResult {
  /** What is admitted under the id; null where nobody who joined has it. */
  readonly uid: string | null;
}

export type MetaCommand = MapCommand | BeginCommand | ProgressCommand | AdmitCommand;

export class MetaMachine implements StateMachine {
  private readonly store: Store;
  private prefix: Key;
  private current: ShardMap;
  private latest: Operation | null = null;
  /** Who joined since the cluster was founded, and the uid that began under the id; empty until one did. Ids are kept for good. */
  private joined: Readonly<Record<NodeId, string>> = {};
  private readonly onMap: (map: ShardMap) => void;

  /** `initial` is used until the store has a map. */
  constructor(parts: {
    readonly store: Store;
    readonly prefix: Key;
    readonly initial: ShardMap;
    readonly onMap: (map: ShardMap) => void;
  }) {
    this.store = parts.store;
    this.prefix = parts.prefix;
    this.onMap = parts.onMap;
    this.current = parts.initial;
    this.reload(parts.prefix);
  }

  get map(): ShardMap {
    return this.current;
  }

  /** The operation that runs, or the last one that did. */
  get operation(): Operation | null {
    return this.latest;
  }

  apply(command: Uint8Array, _index: number, writer: StoreWriter): MapResult | OperationResult | AdmitResult {
    const parsed = unpack(command) as MetaCommand;
    if ("map" in parsed) return this.changeMap(parsed, writer);
    if ("admit" in parsed) return this.admit(parsed, writer);
    const next = "begin" in parsed ? this.begun(parsed.begin) : this.advanced(parsed);
    if (next === undefined) return { accepted: false, operation: this.latest, epoch: this.current.epoch };
    if (next !== this.latest) {
      // The steps of a large plan are written once, and not with each of them that ends.
      if ("begin" in parsed) writer.put(extendKey(this.prefix, "plan"), pack(next.plan));
      writer.put(extendKey(this.prefix, "progress"), pack(next.progress));
      this.latest = next;
    }
    return { accepted: true, operation: next, epoch: this.current.epoch };
  }

  private begun(plan: OperationPlan): Operation | undefined {
    // Repeated after a lost answer, it is the one that runs.
    if (this.latest?.plan.id === plan.id) return this.latest;
    if (this.latest !== null && !hasEnded(this.latest)) return undefined;
    if (plan.epoch !== null && plan.epoch !== this.current.epoch) return undefined;
    const steps = stepsOf(plan).map(() => "waiting" as const);
    const progress: OperationProgress = {
      revision: 1,
      state: "running",
      why: null,
      steps,
      failures: {},
      bytes: 0,
      endedMs: null,
    };
    return { plan, progress };
  }

  private advanced({ operation, progress }: ProgressCommand): Operation | undefined {
    const { latest } = this;
    if (latest === null || latest.plan.id !== operation || hasEnded(latest)) return undefined;
    return progress.revision === latest.progress.revision + 1 ? { plan: latest.plan, progress } : undefined;
  }

  private changeMap({ from, map }: MapCommand, writer: StoreWriter): MapResult {
    if (map === null || from !== this.current.epoch) return { accepted: false, map: this.current };
    writer.put(extendKey(this.prefix, "map"), pack(map));
    const before = new Set(this.current.nodes.map(({ id }) => id));
    const newcomers = map.nodes.filter(({ id }) => !before.has(id) && this.joined[id] === undefined);
    if (newcomers.length > 0) {
      this.writeJoined(
        { ...Object.fromEntries(newcomers.map(({ id }) => [id, ""])), ...this.joined },
        writer,
      );
    }
    this.change(map);
    return { accepted: true, map };
  }

  private admit({ admit, uid }: AdmitCommand, writer: StoreWriter): AdmitResult {
    const known = this.joined[admit];
    if (known === "") this.writeJoined({ ...this.joined, [admit]: uid }, writer);
    return { uid: this.joined[admit] ?? null };
  }

  private writeJoined(joined: Readonly<Record<NodeId, string>>, writer: StoreWriter): void {
    writer.put(extendKey(this.prefix, "joined"), pack(joined));
    this.joined = joined;
  }

  finish(): void {
    // The map is written with the command that changes it.
  }

  reload(prefix: Key): void {
    this.prefix = prefix;
    const bytes = this.store.get(extendKey(prefix, "map"));
    if (bytes !== undefined) this.change(unpack(bytes) as ShardMap);
    const joined = this.store.get(extendKey(prefix, "joined"));
    this.joined = joined === undefined ? {} : (unpack(joined) as Readonly<Record<NodeId, string>>);
    const plan = this.store.get(extendKey(prefix, "plan"));
    const progress = this.store.get(extendKey(prefix, "progress"));
    this.latest =
      plan === undefined || progress === undefined
        ? null
        : { plan: unpack(plan) as OperationPlan, progress: unpack(progress) as OperationProgress };
  }

  size(): MachineSize {
    return { memories: 0, bytes: 0, writes: 0 };
  }

  close(): void {
    // Nothing is held open.
  }

  hasMap(): boolean {
    return this.store.get(extendKey(this.prefix, "map")) !== undefined;
  }

  /** Makes the founding map part of the state, so that snapshots carry it. */
  found(map: ShardMap, writer: StoreWriter): void {
    writer.put(extendKey(this.prefix, "map"), pack(map));
    this.current = map;
  }

  private change(map: ShardMap): void {
    const newer = map.epoch > this.current.epoch;
    this.current = map;
    if (newer) this.onMap(map);
  }
}
