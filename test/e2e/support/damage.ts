// Damages the state or the log of a node that does not run, as a disk does that loses bits: the records stay where they
// are, and one byte of what they say is another one. And what a node has said of it.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { open } from "lmdb";
import { decodeKey, type KeyPart } from "../../../src/node/storage/key.ts";
import { importRecords } from "./api.ts";
import type { TestCluster } from "./cluster.ts";

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

/** What a node has said so far. */
export function textOfLog(cluster: TestCluster, node: string): string {
  return readFileSync(join(cluster.dataDir(node), "node.log"), "utf8");
}

/** Groups that a node has reported as damaged, or as repaired, since `from` in its log. */
export function toldOf(cluster: TestCluster, node: string, what: string, from: number): readonly string[] {
  return textOfLog(cluster, node)
    .slice(from)
    .split("\n")
    .filter((line) => line.includes(`"msg":"${what}"`))
    .map((line) => String((JSON.parse(line) as { group: string }).group))
    .toSorted();
}

/** Throws where they are not acknowledged. */
export async function store(host: string, records: Parameters<typeof importRecords>[1]): Promise<void> {
  const { status, body } = await importRecords(host, records);
  if (status !== 200) throw new Error(`import: ${status} ${JSON.stringify(body)}`);
}

/** Flips one bit in the middle of what is written of a node's log; returns the file as it was. */
export function damageLog(cluster: TestCluster, node: string, where = 0.5): Buffer {
  const file = join(cluster.dataDir(node), "store", "log");
  const bytes = readFileSync(file);
  const damaged = Buffer.from(bytes);
  const at = Math.floor((bytes.findLastIndex((byte) => byte !== 0) + 1) * where);
  damaged[at] = (damaged[at] ?? 0) ^ 0x04;
  writeFileSync(file, damaged);
  return damaged;
}
