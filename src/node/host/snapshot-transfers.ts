// Snapshots between nodes: a replica streams a consistent state of a group in chunks, the receiver stages it
// under the next generation, and only a whole one is installed: by the protocol, when a leader sends it to a
// follower that lags, or in place of a damaged state, when the receiver asked for it. One at a time per group
// and peer.

import { isVoter } from "../../consensus/membership.ts";
import type { SnapshotMeta } from "../../consensus/seam.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import { META_GROUP, type GroupId, type NodeId } from "../../model/ids.ts";
import type { Clock } from "../clock.ts";
import type { Pace } from "../moves/pace.ts";
import { extendKey, prefixEnd } from "../storage/key.ts";
import { removeRange, StoreCorruptError } from "../storage/store.ts";
import { pack, unpack } from "../transport/frames.ts";
import type { Network } from "../transport/network.ts";
import { APPLIED, type Stores } from "./durable-group.ts";
import type { ReplicaGroup } from "./replica-group.ts";
import type { StateCall } from "./state-repair.ts";

const CHUNK_DEADLINE_MS = 30_000;
/** Of the name of a transfer. */
const ID_BYTES = 16;

type SnapshotCall =
  | {
      readonly step: "begin";
      readonly group: GroupId;
      readonly id: string;
      /** The sender's as leader; absent when the receiver asked for the state alone. */
      readonly term?: number;
    }
  | {
      readonly step: "chunk";
      readonly group: GroupId;
      readonly id: string;
      readonly items: readonly (readonly [Uint8Array, Uint8Array])[];
    }
  | {
      readonly step: "end";
      readonly group: GroupId;
      readonly id: string;
      readonly meta: SnapshotMeta;
      /** As at its beginning. */
      readonly term?: number;
    };

/** A snapshot that a replica stages. */
interface Staging {
  readonly id: string;
  readonly from: NodeId;
  readonly isLeaders: boolean;
  /** When the last of it came, on the monotonic clock. */
  readonly heardMs: number;
}

interface Groups {
  readonly groups: ReadonlyMap<GroupId, ReplicaGroup>;
  /** Resolves once nothing of a former state or staging is being deleted any more. */
  cleaned(): Promise<void>;
  damaged(group: ReplicaGroup, error: StoreCorruptError): void;
}

export class SnapshotTransfers {
  private readonly host: Groups;
  private readonly stores: Stores;
  private readonly network: Network;
  private readonly clock: Clock;
  private readonly chunkBytes: number;
  private readonly cleanRecordsMax: number;
  /** `group/peer` of what is being sent. */
  private readonly outgoing = new Set<string>();
  /** Groups whose staged state is whole and about to become the state: nothing may touch it. */
  private readonly installing = new Set<GroupId>();
  /** The snapshot that each replica stages. One that was taken away and called back is another: its place was cleared. */
  private readonly staging = new WeakMap<ReplicaGroup, Staging>();
  private readonly pace: Pace;
  /** `group/peer` to what the last snapshot, whole or not, has brought there. */
  private readonly sent = new Map<string, number>();

  constructor(parts: {
    readonly host: Groups;
    readonly stores: Stores;
    readonly network: Network;
    readonly clock: Clock;
    readonly pace: Pace;
    readonly chunkBytes: number;
    readonly cleanRecordsMax: number;
  }) {
    this.host = parts.host;
    this.stores = parts.stores;
    this.network = parts.network;
    this.clock = parts.clock;
    this.pace = parts.pace;
    this.chunkBytes = parts.chunkBytes;
    this.cleanRecordsMax = parts.cleanRecordsMax;
  }

  /** Bytes of state that the last snapshot has brought to a peer so far. */
  sentBytes(group: GroupId, to: NodeId): number {
    return this.sent.get(`${group}/${to}`) ?? 0;
  }

  sending(group: GroupId): boolean {
    for (const key of this.outgoing) if (key.startsWith(`${group}/`)) return true;
    return false;
  }

  /** Streams the group's state to `to` and tells the protocol how it went. */
  send(group: ReplicaGroup, to: NodeId, term: number): void {
    const key = `${group.id}/${to}`;
    if (this.outgoing.has(key)) {
      // Such as a state for a damaged replica. The protocol waits for an end of what it asked for, and asks again.
      void Promise.resolve().then(() => group.step({ kind: "snapshot-sent", to, ok: false, index: 0 }));
      return;
    }
    this.outgoing.add(key);
    // A step later, so that what is visible in the store and what the protocol knows as applied agree.
    Promise.resolve()
      .then(() => this.stream(group, to, { term, indexMin: 0 }))
      .then(
        (index) => {
          this.outgoing.delete(key);
          group.step({ kind: "snapshot-sent", to, ok: true, index });
        },
        () => {
          this.outgoing.delete(key);
          group.step({ kind: "snapshot-sent", to, ok: false, index: 0 });
        },
      );
  }

  /** Streams the group's state to a peer whose own is damaged. Throws Mem0ctlError when that cannot be. */
  async sendState(to: NodeId, { group: id, indexMin }: StateCall): Promise<true> {
    const group = this.host.groups.get(id);
    const key = `${id}/${to}`;
    if (group === undefined || group.damage !== undefined || this.outgoing.has(key)) {
      throw snapshotError("this replica has no state to give away just now");
    }
    this.outgoing.add(key);
    try {
      await this.stream(group, to, { term: undefined, indexMin });
      return true;
    } finally {
      this.outgoing.delete(key);
    }
  }

  /**
   * Handles a peer's call. False at the beginning where there is no state to be kept, only a log. Throws Mem0ctlError
   * when the snapshot cannot be taken.
   */
  async receive(from: NodeId, body: unknown): Promise<boolean> {
    const call = body as SnapshotCall;
    const group = this.host.groups.get(call.group);
    if (group === undefined) throw snapshotError(`this node holds no replica of group ${call.group}`);
    if (call.step === "begin") {
      if (this.installing.has(call.group) || group.isSwitching()) {
        throw snapshotError("another snapshot is being installed");
      }
      const isLeaders = call.term !== undefined;
      // It brings all that this one would. Where they are slow, they would overtake each other for ever.
      if (!isLeaders && this.isFed(group, from)) throw snapshotError("another snapshot is on its way here");
      // A leader's snapshot helps as well; a second state that was asked for does not.
      group.forgetRebuilt();
      // From here on nothing of another one is taken: none can become the state while the place is being cleared.
      this.staging.set(group, { id: call.id, from, isLeaders, heardMs: this.clock.nowMs() });
      // What a crash left in the very place where this one is staged may still be going.
      await this.host.cleaned();
      // Overtaken it must not go on: it would delete what the next one stages, or what has become the state.
      const isOvertaken = (): boolean => !this.isStaging(group, call.id);
      const place = group.durable.stagingPrefix();
      await removeRange(this.stores.state, place, prefixEnd(place), isOvertaken, this.cleanRecordsMax);
      if (isOvertaken()) throw snapshotError("another snapshot took its place");
      return !group.keepsLogOnly;
    }
    const staging = this.staging.get(group);
    if (staging === undefined || !this.isStaging(group, call.id))
      throw snapshotError("another snapshot took its place");
    const prefix = group.durable.stagingPrefix();
    if (call.step === "chunk") {
      this.staging.set(group, { ...staging, heardMs: this.clock.nowMs() });
      void this.stores.state.transact((writer) => {
        for (const [suffix, value] of call.items) writer.put(Buffer.concat([prefix, suffix]), value);
      });
      await this.stores.state.flush();
      return true;
    }
    this.staging.delete(group);
    this.installing.add(call.group);
    try {
      // All of it is on disk before the log store makes it the state.
      void this.stores.state.transact((writer) =>
        writer.put(extendKey(prefix, APPLIED), pack(call.meta.index)),
      );
      await this.stores.state.flush();
      if (this.host.groups.get(call.group) !== group)
        throw snapshotError("the replica was taken away meanwhile");
      if (call.term !== undefined) {
        group.step({ kind: "install", snapshot: call.meta, from, term: call.term });
      } else if (group.damage !== undefined && call.meta.index >= group.durable.logBase) {
        group.rebuilt(call.meta.index);
      }
    } finally {
      this.installing.delete(call.group);
    }
    return true;
  }

  /** What was asked of `from` ended without a whole state: nothing more of it is waited for. */
  gaveUp(group: ReplicaGroup, from: NodeId): void {
    const staging = this.staging.get(group);
    if (staging?.from === from && !staging.isLeaders) this.staging.delete(group);
  }

  private isStaging(group: ReplicaGroup, id: string): boolean {
    return this.staging.get(group)?.id === id && this.host.groups.get(group.id) === group;
  }

  /**
   * Whether the one that leads is sending a snapshot, or another than `from` that was asked: nothing says so when it
   * gives up.
   */
  private isFed(group: ReplicaGroup, from: NodeId): boolean {
    const staging = this.staging.get(group);
    return (
      staging !== undefined &&
      (staging.isLeaders ? staging.from === group.replica.status().leader : staging.from !== from) &&
      this.clock.nowMs() - staging.heardMs < CHUNK_DEADLINE_MS
    );
  }

  private async stream(group: ReplicaGroup, to: NodeId, what: Wanted): Promise<number> {
    try {
      return await this.streamState(group, to, what);
    } catch (error) {
      // What cannot be read here must not be given to anybody.
      if (error instanceof StoreCorruptError) this.host.damaged(group, error);
      throw error;
    }
  }

  private async streamState(group: ReplicaGroup, to: NodeId, { term, indexMin }: Wanted): Promise<number> {
    const snapshot = this.stores.state.snapshot();
    try {
      const prefix = group.durable.prefix();
      const bytes = snapshot.get(extendKey(prefix, APPLIED));
      const applied = bytes === undefined ? group.applied : Number(unpack(bytes));
      const { membership, first } = group.replica.status();
      if (applied < indexMin) throw snapshotError(`this replica has applied no more than ${applied}`);
      // Several may send the same state at the same time, and a receiver that took them for one would let what
      // clears the place for the first delete what the second sent.
      const id = Buffer.from(this.clock.randomBytes(ID_BYTES)).toString("hex");
      const call = (body: SnapshotCall): Promise<unknown> =>
        this.network.call(to, "snapshot", body, this.clock.nowMs() + CHUNK_DEADLINE_MS);
      const asLeader = term === undefined ? {} : { term };
      const keepsState = (await call({ step: "begin", group: group.id, id, ...asLeader })) !== false;
      // An arbiter keeps no state, only where its log begins. It gets all that is left of the log here: another copy may not
      // know yet what of it is chosen, and have nobody else to ask.
      const index = keepsState ? applied : Math.min(applied, first - 1);
      const meta = group.replica.snapshotAt(index);
      if (meta === undefined) throw snapshotError(`there is no snapshot at index ${index}`);
      // Most nodes follow the metadata group as learners for good, and without its map they can do nothing.
      const isNew = group.id !== META_GROUP && !isVoter(membership, to);
      this.sent.set(`${group.id}/${to}`, 0);
      if (keepsState) {
        let items: (readonly [Uint8Array, Uint8Array])[] = [];
        let size = 0;
        for (const { key, value } of snapshot.range({ start: prefix, end: prefixEnd(prefix) })) {
          items.push([Uint8Array.from(key.subarray(prefix.length)), Uint8Array.from(value)]);
          size += key.length + value.length;
          if (size < this.chunkBytes) continue;
          await call({ step: "chunk", group: group.id, id, items });
          await this.hasSent(group.id, to, size, isNew);
          items = [];
          size = 0;
        }
        if (items.length > 0) await call({ step: "chunk", group: group.id, id, items });
        await this.hasSent(group.id, to, size, isNew);
      }
      // Beside an arbiter nobody may be ahead on its disk of who would ask the arbiter for what lies between.
      if (membership.arbiters.length > 0) await this.stores.state.flush();
      await call({ step: "end", group: group.id, id, meta, ...asLeader });
      return index;
    } finally {
      snapshot.close();
    }
  }

  /** A replica that does not count yet can wait; one that does is missed. */
  private async hasSent(group: GroupId, to: NodeId, bytes: number, isNew: boolean): Promise<void> {
    const key = `${group}/${to}`;
    this.sent.set(key, (this.sent.get(key) ?? 0) + bytes);
    if (isNew && bytes > 0) await this.pace.sent(bytes);
  }
}

interface Wanted {
  /** As whose leader it is sent; undefined for a state that the receiver asked for. */
  readonly term: number | undefined;
  readonly indexMin: number;
}

function snapshotError(why: string): Mem0ctlError {
  return new Mem0ctlError("unavailable", "snapshot-refused", "the snapshot cannot be taken", { why });
}
