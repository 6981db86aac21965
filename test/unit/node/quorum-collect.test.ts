// Deletions that a copy forgets, while something else happens to the very same memories; and what of it cannot be read.

import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { NOTHING, type VersionVector } from "../../../src/consensus/quorum/vectors.ts";
import { putItem } from "../../../src/node/memories/commands.ts";
import type { ShardCopy } from "../../../src/node/quorum/shard-copy.ts";
import { standingOf } from "../../../src/node/quorum/calls.ts";
import { eventually } from "./eventually.ts";
import {
  AT,
  first,
  folderOf,
  here,
  learn,
  put,
  request,
  startAgain,
  textAt,
  withThreeNodes,
} from "./quorum-nodes.ts";

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
  expect(copy.items.remains.size).toBe(DELETED);
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
  expect(copy.items.remains.size).toBe(0);
});

it("what another copy tells that it has forgotten, while deletions are being forgotten, stays known (9)", async () => {
  const copy = await withDeletions();
  const away = [{ node: "node-3", floor: undefined, awayMs: 1 }];
  const collecting = copy.collect(away, AGE);
  const forgotten: VersionVector = [["another", 7]];
  await Promise.all([copy.raiseFloor({ floor: forgotten, forgotten }), collecting]);
  expect(copy.forgotten).toEqual([...forgotten, ...SEEN]);
});

/** One letter of a text is another one everywhere on the disk of node-1, which runs. */
function rot(text: string): void {
  const file = join(folderOf("node-1"), "data.mdb");
  const bytes = readFileSync(file);
  const opened = openSync(file, "r+");
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) writeSync(opened, "?", at);
  closeSync(opened);
}

it("a record that cannot be read when a copy looks what it may forget is damage, and repaired", async () => {
  startAgain("node-1", first, () => undefined);
  learn(first, "node-1");
  await put("node-1", "k", "tea");
  const { copy, coordinator } = here("node-1");
  await coordinator.write({ command: { t: "delete", id: "k" }, ...request("delete with rot") });
  rot("delete with rot");
  await expect(copy.collect([], AGE)).rejects.toMatchObject({ code: "copy-damaged" });
  expect(copy.lacks).toBe(true);
  await eventually(() => expect(copy.isReadable).toBe(true));
});

it("a record that cannot be read when a copy that was away asks about it is damage, and repaired", async () => {
  startAgain("node-1", first, () => undefined);
  learn(first, "node-1");
  await put("node-1", "k", "tea with rot");
  const { copy, orphans } = here("node-1");
  await copy.become("rebuilding");
  rot("put k tea with rot");
  const asked = orphans.ask("node-2", standingOf(first, "0"));
  await expect(asked).rejects.toMatchObject({ code: "copy-damaged" });
  expect(copy.lacks).toBe(true);
  await eventually(() => expect(copy.isReadable).toBe(true));
});
