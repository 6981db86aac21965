// What is on a simulated disk for certain, read from the bytes that reached it: the judge of every promise. It
// knows the format of the log and nothing of the code that promises.

import { crc32 } from "node:zlib";
import type { Entry, HardState } from "../../src/consensus/seam.ts";
import type { GroupId } from "../../src/model/ids.ts";
import { FRAME_OVERHEAD_BYTES, readFrame } from "../../src/node/storage/log-frames.ts";
import { readRecords } from "../../src/node/storage/log-records.ts";
import type { GroupRecord } from "../../src/node/storage/log-store.ts";

const KINDS: readonly Entry["kind"][] = ["noop", "command", "config", "hole"];

/** A promise may be written ahead of an older one that waits for room: of two the later in the protocol holds. */
function laterOf(one: HardState, other: HardState): HardState {
  if (one.term !== other.term) return one.term > other.term ? one : other;
  return one.vote === "" ? other : { ...other, vote: one.vote };
}

/** One number for all that an entry says besides its place. */
export function digestOf({ kind, data }: Entry): number {
  return crc32(data, KINDS.indexOf(kind));
}

interface HeldEntry {
  readonly term: number;
  /** Paxos: the round in which it was accepted. */
  readonly ballot: number;
  readonly digest: number;
}

interface HeldGroup {
  record: GroupRecord;
  /** record.snapshot.index + 1 … */
  readonly entries: HeldEntry[];
}

export interface MirrorWatch {
  /** `isNew` where the disk had none of the group, or no more. */
  onRecord(group: GroupId, record: GroupRecord, isNew: boolean): void;
  /** `prevTerm` is undefined where the entry before it is not known. */
  onEntry(group: GroupId, entry: Entry, prevTerm: number | undefined): void;
}

export class Mirror {
  readonly groups = new Map<GroupId, HeldGroup>();

  /** Takes in what a finished write brought, when it is frames. Returns whether it was. */
  take(bytes: Buffer, watch: MirrorWatch): boolean {
    let offset = 0;
    while (bytes.length - offset >= FRAME_OVERHEAD_BYTES && bytes[offset] !== 0) {
      const payload = readFrame(bytes, offset, Number(bytes.readBigUInt64BE(offset + 8)));
      if (payload === undefined) break;
      this.#takeFrame(payload, watch);
      offset += payload.length + FRAME_OVERHEAD_BYTES;
    }
    return offset > 0;
  }

  #takeFrame(payload: Buffer, watch: MirrorWatch): void {
    for (const one of readRecords(payload)) {
      switch (one.kind) {
        case "fact":
          break;
        case "remove":
          this.groups.delete(one.group);
          break;
        case "group": {
          const held = this.groups.get(one.group);
          watch.onRecord(one.group, one.record, held === undefined);
          if (held === undefined) {
            this.groups.set(one.group, { record: one.record, entries: [] });
            break;
          }
          const dropped = one.record.snapshot.index - held.record.snapshot.index;
          // Another generation of the state over the same log: it was damaged, and came from a peer.
          const isReplaced = one.record.generation !== held.record.generation && dropped !== 0;
          if (isReplaced || dropped > 0) held.entries.splice(0, isReplaced ? Infinity : dropped);
          const hardState = laterOf(held.record.hardState, one.record.hardState);
          held.record = { ...one.record, hardState };
          break;
        }
        case "promise": {
          const held = this.groups.get(one.group);
          if (held === undefined) break;
          const hardState = laterOf(held.record.hardState, one.hardState);
          held.record = { ...held.record, hardState };
          watch.onRecord(one.group, held.record, false);
          break;
        }
        case "truncate": {
          const held = this.groups.get(one.group);
          held?.entries.splice(Math.max(0, one.from - 1 - held.record.snapshot.index));
          break;
        }
        case "entries": {
          const held = this.groups.get(one.group);
          if (held === undefined) break;
          for (const entry of one.entries) {
            const prevTerm = held.entries.at(-1)?.term ?? held.record.snapshot.term;
            watch.onEntry(one.group, entry, prevTerm);
            held.entries.push({
              term: entry.term,
              ballot: entry.ballot ?? entry.term,
              digest: digestOf(entry),
            });
          }
        }
      }
    }
  }

  /** Last index of the group's log or snapshot; -1 without the group. */
  lastOf(group: GroupId): number {
    const held = this.groups.get(group);
    return held === undefined ? -1 : held.record.snapshot.index + held.entries.length;
  }

  /** Paxos: the round in which the slot's value was accepted; Infinity when a snapshot has it, 0 when nothing has. */
  acceptedIn(group: GroupId, index: number): number {
    const held = this.groups.get(group);
    if (held === undefined) return 0;
    if (index <= held.record.snapshot.index) return Number.POSITIVE_INFINITY;
    return held.entries[index - held.record.snapshot.index - 1]?.ballot ?? 0;
  }

  /** Whether the entry of that index and term, or a snapshot beyond it, is here. */
  holds(group: GroupId, index: number, term: number): boolean {
    const held = this.groups.get(group);
    if (held === undefined) return false;
    if (index <= held.record.snapshot.index) return true;
    return held.entries[index - held.record.snapshot.index - 1]?.term === term;
  }
}
