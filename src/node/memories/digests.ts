// What a replica holds, as short digests: of text, vector and all else apart, so that two replicas are compared, and
// what differs is named, without sending the memories about.

import { createHash } from "node:crypto";
import { vectorBytesIn } from "./commands.ts";
import { giveWay } from "../clock.ts";
import { decodeKey, extendKey, prefixEnd } from "../storage/key.ts";
import type { StoreReader } from "../storage/store.ts";
import { recordIn } from "./commands.ts";
import type { MemoryMachine } from "./memory-machine.ts";

/** Enough that no two of a billion are alike by chance. */
const DIGEST_CHARACTERS = 22;
const RECORDS_PER_TURN = 200;

/** `[id, text, vector, metadata]`: the last is of everything that is neither text nor vector. */
export type MemoryDigest = readonly [id: string, text: string, vector: string, metadata: string];

export interface DigestRange {
  /** Ids after this one; null from the first on. */
  readonly after: string | null;
  /** Up to and with this one; null to the last. */
  readonly until: string | null;
  /** At most so many; null: all of the range. */
  readonly limit: number | null;
}

/** In the order of ids. Throws StoreCorruptError where a record cannot be read. */
export async function digestRange(
  machine: MemoryMachine,
  { after, until, limit }: DigestRange,
): Promise<readonly MemoryDigest[]> {
  const snapshot = machine.store.snapshot();
  try {
    const places = extendKey(machine.prefix, "place");
    const just = (id: string): Buffer => Buffer.concat([extendKey(places, id), Buffer.of(0)]);
    const range = {
      start: after === null ? places : just(after),
      end: until === null ? prefixEnd(places) : just(until),
    };
    const digests: MemoryDigest[] = [];
    for (const { key, value } of snapshot.range(range)) {
      if (limit !== null && digests.length >= limit) break;
      if (digests.length % RECORDS_PER_TURN === RECORDS_PER_TURN - 1) await giveWay(machine.clock);
      const id = String(decodeKey(key, places.length)[0]);
      digests.push(digestOf(machine, snapshot, id, value.toString()));
    }
    return digests;
  } finally {
    snapshot.close();
  }
}

/** Of single memories; those that are not there are left out. */
export function digestsOf(machine: MemoryMachine, ids: readonly string[]): readonly MemoryDigest[] {
  return ids.flatMap((id) => {
    const key = machine.placeOf(id);
    return key === undefined ? [] : [digestOf(machine, machine.store, id, key)];
  });
}

function digestOf(machine: MemoryMachine, reader: StoreReader, id: string, key: string): MemoryDigest {
  const value = reader.get(extendKey(machine.prefix, "memory", key, id));
  if (value === undefined) return [id, "missing", "missing", "missing"];
  const { memory, ...rest } = recordIn(value);
  const history = reader.get(extendKey(machine.prefix, "history", id));
  const others = [JSON.stringify(ordered(rest)), history?.toString("base64") ?? ""];
  return [id, hashOf(memory), hashOf(vectorBytesIn(value)), hashOf(others.join("\n"))];
}

/** The same fields in another order are the same metadata. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => ordered(item));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([name, item]) => [name, ordered(item)]);
}

function hashOf(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("base64url").slice(0, DIGEST_CHARACTERS);
}
