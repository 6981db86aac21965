// Deletions that a copy forgets, while something else happens to the very same memories.

import { expect, it } from "vitest";
import { NOTHING, type VersionVector } from "../../../src/consensus/quorum/vectors.ts";
import { putItem } from "../../../src/node/memories/commands.ts";
import type { ShardCopy } from "../../../src/node/quorum/shard-copy.ts";
import { AT, here, textAt, withThreeNodes } from "./quorum-nodes.ts";

withThreeNodes();

/** As many as a copy looks at before it lets others have their turn. */
const DELETED = 1000;
const AGE = { nowMs: Date.now(), graceMs: 0, awayMsMax: 0 };
const SEEN: VersionVector = [["before", DELETED]];

/** node-1 knows of that many deletions that are old enough to be forgotten. */
async function withDeletions(): Promise<ShardCopy> {
  const { copy } = here("node-1");
  const changes = Array.from({ length: DELETED }, (_, at) => {
    const dot = ["before", at + 1] as const;
    const deletion = { dot, atMs: 0, writes: [`delete ${at}`], value: null, key: "ada" };
    return { id: `k${at}`, item: { context: [dot], versions: [deletion] } };
  });
  await copy.take(changes, NOTHING);
  await copy.raiseFloor({ floor: SEEN, forgotten: NOTHING });
  expect(copy.remaining).toBe(DELETED);
  return copy;
}

it("a memory that is written again while its deletion is being forgotten stays", async () => {
  const copy = await withDeletions();
  const collecting = copy.collect([], AGE);
  const record = { memory: "again", user_id: "ada", created_at: AT, updated_at: AT, hash: "again" };
  const { id, ...value } = putItem({ id: "k0", key: "ada", record, vector: Float32Array.of(1, 0) });
  const dot = ["after", 1] as const;
  const version = { dot, atMs: Date.now(), writes: ["put k0"], value };
  const written = copy.take([{ id, item: { context: [dot, ["before", 1]], versions: [version] } }], NOTHING);
  await Promise.all([written, collecting]);
  expect(textAt("node-1", "k0")).toBe("again");
  expect(copy.remaining).toBe(0);
});

it("what another copy tells that it has forgotten, while deletions are being forgotten, stays known (9)", async () => {
  const copy = await withDeletions();
  const away = [{ node: "node-3", floor: undefined, awayMs: 1 }];
  const collecting = copy.collect(away, AGE);
  const forgotten: VersionVector = [["another", 7]];
  await Promise.all([copy.raiseFloor({ floor: forgotten, forgotten }), collecting]);
  expect(copy.forgotten).toEqual([...forgotten, ...SEEN]);
});
