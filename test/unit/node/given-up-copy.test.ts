import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { VersionVector } from "../../../src/consensus/quorum/vectors.ts";
import { VectorCache } from "../../../src/memory/vector-cache.ts";
import { rangeOfCopy } from "../../../src/node/quorum/forgotten.ts";
import { ShardCopy } from "../../../src/node/quorum/shard-copy.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import { removeRange, type Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";

const SEEN_ELSEWHERE: VersionVector = [["other", 7]];
let folder: string;
let store: Store;

function openCopy(initial: "serving" | "filling"): ShardCopy {
  const copy = new ShardCopy({
    shard: "0",
    store,
    vectors: new VectorCache({ bytesMax: 1 << 20, setsMax: 8 }),
    clock: systemClock,
    initial,
    isAlone: () => false,
    onDamage: (_shard, what) => {
      throw new Error(what);
    },
  });
  copy.open();
  return copy;
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-copy-"));
  store = openLmdbStore({
    folder,
    flushDelayMs: 0,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("a copy that was given up", () => {
  test("leaves nothing behind by a late answer, which a copy made anew would take for its own", async () => {
    const before = openCopy("serving");
    await before.raiseFloor(SEEN_ELSEWHERE);
    before.close();
    const { start, end } = rangeOfCopy("0");
    await removeRange(store, start, end);
    expect(() => before.raiseFloor([["other", 8]])).toThrow(expect.objectContaining({ code: "not-here" }));
    expect([...store.keys({ start, end })]).toEqual([]);
    const anew = openCopy("filling");
    expect(anew.floor).toEqual([]);
    expect(anew.state).toBe("filling");
    anew.close();
  });
});
