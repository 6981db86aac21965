// Reads every record of every replica's state, slowly and again and again, only to see whether it can be
// read: damage is then found, and repaired, while other copies are whole, and not by the reader who needs it.

import { every, type Clock, type Timer } from "../clock.ts";
import { prefixEnd, type Key } from "../storage/key.ts";
import { StoreCorruptError, type Store } from "../storage/store.ts";
import type { GroupId } from "../../model/ids.ts";
import type { ReplicaGroup } from "./replica-group.ts";

/** Short looks: everything else waits for the end of one. */
const LOOK_MS = 250;
/** A record weighs at least this, so that many small ones take their time, too. */
const RECORD_BYTES_MIN = 256;

interface Groups {
  readonly groups: ReadonlyMap<GroupId, ReplicaGroup>;
  damaged(group: ReplicaGroup, error: StoreCorruptError): void;
}

export class Scrub {
  private readonly host: Groups;
  private readonly store: Store;
  private readonly clock: Clock;
  private readonly bytesPerLook: number;
  private timer: Timer | undefined;
  /** Where the next look goes on: in a state as it lay then. */
  private at: { readonly group: GroupId; readonly generation: number; readonly from: Key } | undefined;

  constructor(parts: {
    readonly host: Groups;
    readonly store: Store;
    readonly clock: Clock;
    readonly bytesPerSecond: number;
  }) {
    this.host = parts.host;
    this.store = parts.store;
    this.clock = parts.clock;
    this.bytesPerLook = (parts.bytesPerSecond * LOOK_MS) / 1000;
  }

  start(): void {
    this.timer ??= every(this.clock, LOOK_MS, () => this.look());
  }

  stop(): void {
    this.timer?.close();
  }

  /** Reads one portion of one state. */
  private look(): void {
    const group = this.current();
    if (group === undefined) return;
    const { durable } = group;
    const from = this.at?.from ?? durable.prefix();
    let bytes = 0;
    try {
      const end = prefixEnd(durable.prefix());
      for (const { key, value } of this.store.range({ start: from, end, onDisk: true })) {
        bytes += Math.max(RECORD_BYTES_MIN, key.length + value.length);
        if (bytes < this.bytesPerLook) continue;
        const next = Buffer.concat([key, Buffer.of(0)]);
        this.at = { group: group.id, generation: durable.generation, from: next };
        return;
      }
    } catch (error) {
      if (!(error instanceof StoreCorruptError)) throw error;
      this.host.damaged(group, error);
    }
    this.goTo(this.after(group.id));
  }

  /** The group whose turn it is; its state from the start when it was replaced meanwhile. */
  private current(): ReplicaGroup | undefined {
    const { groups } = this.host;
    const group = this.at === undefined ? undefined : groups.get(this.at.group);
    if (group === undefined) this.goTo(groups.values().next().value);
    else if (this.at?.generation !== group.durable.generation) this.goTo(group);
    return this.at === undefined ? undefined : groups.get(this.at.group);
  }

  private after(id: GroupId): ReplicaGroup | undefined {
    const all = [...this.host.groups.values()];
    return all[(all.findIndex((group) => group.id === id) + 1) % all.length];
  }

  private goTo(group: ReplicaGroup | undefined): void {
    this.at =
      group === undefined
        ? undefined
        : { group: group.id, generation: group.durable.generation, from: group.durable.prefix() };
  }
}
