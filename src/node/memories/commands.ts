// Commands of a shard's log, and how they are encoded. A command carries the session and sequence number
// of the node that took the request, so that one that was retried applies once.

import type { Filter } from "../../memory/filter.ts";
import type { Scope } from "../../memory/record.ts";
import type { ErrorBody } from "../../model/errors.ts";
import type { MemoryEvent } from "../../model/node-api.ts";
import { pack, unpack } from "../transport/frames.ts";

/** A memory as a shard stores it; its id is in the key, its vector and history lie beside it. */
export interface StoredRecord extends Scope {
  readonly memory: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly categories?: readonly string[];
  readonly created_at: string;
  readonly updated_at: string;
  /** MD5 of the text in hex. */
  readonly hash: string;
}

export interface PutItem {
  readonly id: string;
  readonly key: string;
  readonly record: StoredRecord;
  /** Little-endian float32. */
  readonly vector: Uint8Array;
  /** Only from an import. */
  readonly history?: readonly MemoryEvent[];
}

export type ShardCommand =
  | { readonly t: "put"; readonly items: readonly PutItem[] }
  | {
      readonly t: "update";
      readonly id: string;
      readonly text?: string;
      readonly hash?: string;
      readonly vector?: Uint8Array;
      readonly metadata?: Readonly<Record<string, unknown>>;
      readonly at: string;
    }
  | { readonly t: "delete"; readonly id: string }
  | { readonly t: "delete-matching"; readonly filter: Filter }
  | { readonly t: "open-session" };

export interface Envelope {
  readonly session: string;
  /** 1, 2, … within the session; 0 opens it. */
  readonly sequence: number;
  /** Every sequence number below this was answered: its result may be forgotten. */
  readonly answered: number;
  readonly command: ShardCommand;
}

export type CommandResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: ErrorBody };

/** An array, not an object: this is in every log entry. */
export function encodeCommand(envelope: Envelope): Uint8Array {
  return pack([envelope.session, envelope.sequence, envelope.answered, envelope.command]);
}

export function decodeCommand(bytes: Uint8Array): Envelope {
  const [session, sequence, answered, command] = unpack(bytes) as [string, number, number, ShardCommand];
  return { session, sequence, answered, command };
}

export function vectorBytes(vector: Float32Array): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
}

/** A copy, aligned. */
export function vectorFrom(bytes: Uint8Array): Float32Array {
  return new Float32Array(Uint8Array.prototype.slice.call(bytes).buffer as ArrayBuffer, 0, bytes.length / 4);
}
