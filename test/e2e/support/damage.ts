// Damages the state of a node that does not run, as a disk does that loses bits: the records stay where they
// are, and one byte of what they say is another one.

import { join } from "node:path";
import { open } from "lmdb";
import { decodeKey, type KeyPart } from "../../../src/node/storage/key.ts";

/** A record's key without `state`: group, generation, and then what ARCHITECTURE.md's table says. */
export type RecordKey = readonly KeyPart[];

/** Flips a bit in every record that `choose` picks. Returns their keys. */
export async function damageState(
  dataDir: string,
  choose: (group: KeyPart, name: KeyPart, rest: readonly KeyPart[]) => boolean,
): Promise<readonly RecordKey[]> {
  const environment = open<Buffer, Buffer>({
    path: join(dataDir, "store", "state"),
    keyEncoding: "binary",
    encoding: "binary",
    cache: false,
  });
  const damaged: RecordKey[] = [];
  try {
    for (const { key, value } of Array.from(environment.getRange({}))) {
      const [, group = "", generation = 0, name = "", ...rest] = decodeKey(Buffer.from(key));
      if (!choose(group, name, rest)) continue;
      const bytes = Buffer.from(value);
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 0x10;
      await environment.put(Buffer.from(key), bytes);
      damaged.push([group, generation, name, ...rest]);
    }
  } finally {
    await environment.close();
  }
  return damaged;
}
