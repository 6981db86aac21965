// Commands of a shard's log, and how they are encoded. A command carries the session and sequence number
// of the node that took the request, so that one that was retried applies once.

import { historyBytes } from "../../memory/changes.ts";
import type { Filter } from "../../memory/filter.ts";
import { countedOf, vectorBytes, type Counted, type StoredRecord } from "../../memory/stored.ts";
import type { ErrorBody } from "../../model/errors.ts";
import type { MemoryEvent } from "../../model/node-api.ts";
import type { KeySlice } from "../../model/shard-map.ts";
import { pack, unpack } from "../transport/frames.ts";
import type { SliceCursor } from "./custody.ts";
import type { SessionRecord } from "./sessions.ts";

/** A memory on its way to its replicas, packed once by the node that took it: they only store it. */
export interface PutItem {
  readonly id: string;
  readonly key: string;
  /** Record and vector, as `memoryValue` makes it. */
  readonly value: Uint8Array;
  readonly counted: Counted;
  /** Only from an import. */
  readonly history?: readonly MemoryEvent[];
}

export function putItem(memory: {
  readonly id: string;
  readonly key: string;
  readonly record: StoredRecord;
  readonly vector: Float32Array;
  readonly history?: readonly MemoryEvent[];
}): PutItem {
  const { id, key, record, vector, history } = memory;
  return {
    id,
    key,
    value: memoryValue(record, vectorBytes(vector)),
    counted: countedOf(record),
    ...(history === undefined ? {} : { history }),
  };
}

/** Besides value and history: id, key and what is counted. */
const ITEM_BYTES = 500;

/** Of a memory on its way, roughly: what goes in one piece is kept small by it. */
export function itemBytes({ value, history }: Pick<PutItem, "value" | "history">): number {
  return value.length + ITEM_BYTES + historyBytes(history);
}

const LENGTH_BYTES = 4;

/**
 * The value under which a memory is stored: the record's length (4 bytes, big-endian), the record as msgpack,
 * the vector as little-endian float32. One value and not two: a page of the store holds few of either, and
 * each is rewritten for every memory that comes to lie on it.
 */
export function memoryValue(record: StoredRecord, vector: Uint8Array): Buffer {
  const packed = pack(record);
  const value = Buffer.allocUnsafe(LENGTH_BYTES + packed.length + vector.length);
  value.writeUInt32BE(packed.length, 0);
  value.set(packed, LENGTH_BYTES);
  value.set(vector, LENGTH_BYTES + packed.length);
  return value;
}

export function recordIn(value: Buffer): StoredRecord {
  return unpack(value.subarray(LENGTH_BYTES, LENGTH_BYTES + value.readUInt32BE(0))) as StoredRecord;
}

export function vectorBytesIn(value: Buffer): Buffer {
  return value.subarray(LENGTH_BYTES + value.readUInt32BE(0));
}

export type ShardCommand =
  | {
      readonly t: "put";
      readonly items: readonly PutItem[];
      /** The ids were just made: nothing can be there. */
      readonly fresh?: true;
    }
  | {
      readonly t: "update";
      readonly id: string;
      readonly text?: string;
      readonly hash?: string;
      readonly vector?: Uint8Array;
      readonly metadata?: Readonly<Record<string, unknown>>;
      /** Only while this is the hash of its text. */
      readonly ifHash?: string;
      readonly at: string;
    }
  | { readonly t: "delete"; readonly id: string }
  | { readonly t: "delete-matching"; readonly filter: Filter }
  | { readonly t: "open-session" }
  | { readonly t: "handover"; readonly part: HandoverCommand };

/** What the logs of both shards are told of a handover, by whoever carries it out: `handover-commands.ts`. */
export type HandoverCommand =
  | { readonly do: "leave"; readonly id: number; readonly slice: KeySlice }
  | { readonly do: "fence"; readonly id: number }
  /** `refused`: the taker's log says that it never takes the slice, so that it may be given up though it is fenced. */
  | { readonly do: "stay"; readonly id: number; readonly refused?: true }
  | { readonly do: "drop"; readonly id: number }
  | { readonly do: "discard"; readonly id: number }
  | {
      readonly do: "arrive";
      readonly id: number;
      readonly slice: KeySlice;
      /** What was taken before this part; another is refused, for parts that come late are old. */
      readonly after: SliceCursor | null;
      readonly to: SliceCursor | null;
      readonly items: readonly PutItem[];
      readonly removed: readonly string[];
      /** With the last part the slice is the taker's, and so are the sessions that wrote to it. */
      readonly last?: { readonly sessions: readonly SessionRecord[] };
    };

export interface Envelope {
  readonly session: string;
  /** 1, 2, … within the session; 0 opens it. */
  readonly sequence: number;
  /** Every sequence number below this was answered: its result may be forgotten. */
  readonly answered: number;
  readonly command: ShardCommand;
  /** Of the shard, in the map that it was routed by; 0 where it is absent. */
  readonly version?: number;
}

export type CommandResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: ErrorBody };

type PackedItem = [
  id: string,
  key: string,
  value: Uint8Array,
  counted: Counted,
  history?: readonly MemoryEvent[],
];

/** Arrays, not objects: this is in every log entry. */
export function encodeCommand({ session, sequence, answered, command, version = 0 }: Envelope): Uint8Array {
  const body = command.t === "put" ? command.items.map(packedItem) : command;
  const isFresh = command.t === "put" && command.fresh === true;
  const rest = version > 0 ? [isFresh, version] : isFresh ? [true] : [];
  return owned(pack([session, sequence, answered, body, ...rest]));
}

function packedItem({ id, key, value, counted, history }: PutItem): PackedItem {
  return history === undefined ? [id, key, value, counted] : [id, key, value, counted, history];
}

/**
 * A copy with memory of its own. What packing gives is a piece of a larger buffer, which the piece keeps from
 * being freed: a command stays in the log for long after the frames that lie beside it have left.
 */
function owned(packed: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(packed.length);
  copy.set(packed);
  return copy;
}

export function decodeCommand(bytes: Uint8Array): Envelope {
  // Of a view: msgpackr hangs a DataView on what it reads, and an entry of the log lives long.
  const [session, sequence, answered, body, isFresh, version = 0] = unpack(bytes.subarray()) as [
    string,
    number,
    number,
    PackedItem[] | ShardCommand,
    boolean?,
    number?,
  ];
  if (!Array.isArray(body)) return { session, sequence, answered, command: body, version };
  const items = body.map(([id, key, value, counted, history]): PutItem =>
    history === undefined ? { id, key, value, counted } : { id, key, value, counted, history },
  );
  const command: ShardCommand = isFresh === true ? { t: "put", items, fresh: true } : { t: "put", items };
  return { session, sequence, answered, command, version };
}
