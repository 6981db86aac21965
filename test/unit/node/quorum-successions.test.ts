// Copies of leaderless shards on one node that are made of those that it holds, where the disk has lost something of them:
// a real store, and turns that a test gives.

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { leafOf } from "../../../src/consensus/quorum/digest-tree.ts";
import { written } from "../../../src/consensus/quorum/versions.ts";
import { VectorCache } from "../../../src/memory/vector-cache.ts";
import type { ShardId } from "../../../src/model/ids.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import type { Clock } from "../../../src/node/clock.ts";
import { putItem } from "../../../src/node/memories/commands.ts";
import { Pace } from "../../../src/node/moves/pace.ts";
import { rangeOfCopy, type CopyName } from "../../../src/node/quorum/forgotten.ts";
import { ShardCopy } from "../../../src/node/quorum/shard-copy.ts";
import { Successions } from "../../../src/node/quorum/successions.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import { removeRange, StoreCorruptError, type Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "../topology/manifest.ts";
import { eventually } from "./eventually.ts";

const AT = "2026-01-01T00:00:00.000Z";

let folder: string;
let store: Store;
/** What waits for its turn, when turns are given. */
let turns: (() => void)[] | undefined;
let damaged: ShardId[];
let served: ShardCopy[];
let clearing: Set<ShardId>;
let map: ShardMap;
/** Every copy that was made or opened, the newest last. */
let copies: ShardCopy[];
let successions: Successions;

const clock: Clock = {
  ...systemClock,
  soon: (work) => {
    if (turns === undefined) systemClock.soon(work);
    else turns.push(work);
  },
};

/** Of two shards on three nodes the first goes to the second; when it has gone it is in the map no more. */
function merging(phase: "copying" | "dropping"): ShardMap {
  const map = initialShardMap(manifestOf({ nodes: 3, shards: 2, copies: 3 }));
  const [left, right] = map.shards;
  if (left === undefined || right === undefined) throw new Error("a map without shards");
  const handover = {
    id: map.epoch + 1,
    name: "merge shard 0 into 1",
    from: "0",
    to: "1",
    slice: { kind: "slots", slots: left.slots, except: [], also: [] },
    isWhole: true,
    phase,
    versions: { from: 0, to: 0 },
  } as const;
  return phase === "copying"
    ? { ...map, epoch: handover.id, handover }
    : { ...map, epoch: handover.id + 1, shards: [{ ...right, version: 1 }], handover };
}

function copyOf({ shard, version }: CopyName): ShardCopy {
  const copy: ShardCopy = new ShardCopy({
    shard,
    version,
    store,
    vectors: new VectorCache({ bytesMax: 1 << 20, setsMax: 8 }),
    clock,
    initial: "serving",
    isAlone: () => false,
    onDamage: (id) => {
      damaged.push(id);
      successions.damaged(copy);
    },
  });
  copies.push(copy);
  return copy;
}

async function put(shard: ShardId, texts: Readonly<Record<string, string>>): Promise<void> {
  const copy = copyOf({ shard, version: 0 });
  copy.open();
  await write(copy, texts);
  copy.close();
}

function write(copy: ShardCopy, texts: Readonly<Record<string, string>>, key = "ada"): Promise<void> {
  const { flushed } = copy.coordinate(Object.keys(texts), (dot, id, local) => {
    const memory = texts[id] ?? "";
    const record = { memory, user_id: key, created_at: AT, updated_at: AT, hash: memory };
    const { id: _, ...value } = putItem({ id, key, record, vector: Float32Array.of(1, 0) });
    const version = { dot, atMs: dot[1], write: memory, value };
    return { change: { id, item: written(local, local, version) }, made: null };
  });
  return flushed;
}

function open(): Store {
  return openLmdbStore({
    folder,
    flushDelayMs: 0,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
}

/** One letter of a text is another one everywhere on the disk, from which it is read again. */
function rot(text: string): void {
  const file = join(folder, "data.mdb");
  const bytes = readFileSync(file);
  const descriptor = openSync(file, "r+");
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) {
    writeSync(descriptor, "?", at);
  }
  closeSync(descriptor);
}

function start(): void {
  successions = new Successions({
    self: "node-1",
    store,
    clock,
    pace: new Pace(clock, () => null),
    map: () => map,
    opened: () => undefined,
    make: copyOf,
    isClearing: ({ shard }) => clearing.has(shard),
    end: (copy) => copy.close(),
    serve: (copy) => void served.push(copy),
    clear: (name) => {
      const { start: from, end } = rangeOfCopy(name);
      clearing.add(name.shard);
      void removeRange(store, from, end).finally(() => clearing.delete(name.shard));
    },
    onFailure: (error) => expect.unreachable(String(error)),
  });
}

/** Follows the map until a copy has taken over; gives turns meanwhile. */
function made(): Promise<ShardCopy> {
  return eventually(() => {
    for (const work of turns?.splice(0) ?? []) work();
    successions.follow();
    const [copy] = served;
    if (copy === undefined) throw new Error("nothing has taken over");
    return copy;
  });
}

const textAt = (copy: ShardCopy, id: string): string | undefined => copy.machine.record("ada", id)?.memory;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-successions-"));
  store = open();
  turns = undefined;
  damaged = [];
  served = [];
  clearing = new Set();
  copies = [];
  map = merging("dropping");
});
afterEach(async () => {
  successions.stop();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

it("of two copies that become one only that is damaged which holds what cannot be read", async () => {
  await put("0", { k: "tea" });
  await put("1", { k: "milk with rot", l: "coffee" });
  rot("milk with rot");
  start();
  const copy = await made();
  expect(new Set(damaged)).toEqual(new Set(["1"]));
  expect(copy.state).toBe("rebuilding");
  expect(textAt(copy, "k")).toBe("tea");
  expect(textAt(copy, "l")).toBe("coffee");
});

it("tells of ids that two copies which become one have under different keys, and makes none any more once it is ready", async () => {
  map = merging("copying");
  await put("0", { k: "tea", l: "milk" });
  await put("1", { m: "coffee" });
  const { id = 0 } = map.handover ?? {};
  start();
  const whenWhole = (): Promise<unknown> =>
    eventually(() => {
      successions.follow();
      const report = successions.report(id);
      if (report.bytes === 0) throw new Error("nothing is made yet");
      expect(copies.filter(({ heirs }) => heirs !== undefined)).toHaveLength(2);
      return report;
    });
  await whenWhole();
  const [giver, taker] = ["0", "1"].map((shard) =>
    copies.findLast((copy) => copy.shard === shard && copy.heirs),
  );
  if (giver === undefined || taker === undefined) throw new Error("no copies that are read");
  await eventually(() => expect(successions.report(id).state).toBe("ready"));
  // From here on: what it holds under another key is refused, and nothing else is.
  expect(taker.heirs?.refuse(taker, "k", "bob")).toBe(true);
  expect(giver.heirs?.refuse(giver, "m", "bob")).toBe(true);
  expect(taker.heirs?.refuse(taker, "k", "ada")).toBe(false);
  expect(taker.heirs?.refuse(taker, "m", "bob")).toBe(false);
  // Others may have coordinated some.
  await write(taker, { l: "whey" }, "bob");
  expect(successions.report(id)).toMatchObject({ state: "copying", hasClashes: true });
  await write(taker, { l: "milk" });
  expect(successions.report(id)).not.toHaveProperty("hasClashes");
});

it("what is made of a copy that is being repaired does not seem whole", async () => {
  // More than are looked at in one turn.
  const ids = Array.from({ length: 1500 }, (_, at) => `k${at}`);
  const last = ids.toSorted((a, b) => leafOf(a) - leafOf(b)).at(-1) ?? "";
  await put("0", { ...Object.fromEntries(ids.map((id) => [id, `text of ${id}`])), [last]: "tea with rot" });
  await put("1", {});
  rot("tea with rot");
  start();
  turns = [];
  successions.follow();
  await eventually(() => {
    turns?.shift()?.();
    expect(damaged).toEqual(["0"]);
  });
  // It is begun again before the repair goes on.
  await eventually(() => expect(clearing.size).toBe(0));
  successions.follow();
  const copy = await made();
  expect(textAt(copy, last)).toBeUndefined();
  expect(copy.state).toBe("rebuilding");
});

it("a copy that could not be told of a write does not take over", async () => {
  await put("0", { k: "tea" });
  await put("1", { k: "milk with rot" });
  map = merging("copying");
  start();
  await eventually(() => {
    successions.follow();
    expect(successions.report(map.handover?.id ?? 0).state).toBe("ready");
  });
  rot("milk with rot");
  turns = [];
  const source = copies.findLast(({ shard, version }) => shard === "0" && version === 0);
  if (source === undefined) throw new Error("no source");
  await write(source, { k: "white tea" });
  map = merging("dropping");
  successions.follow();
  expect(served).toHaveLength(0);
  const copy = await made();
  expect(textAt(copy, "k")).toBe("white tea");
});

it("a copy that is damaged while it is made is given up alone: nothing else ends with it", async () => {
  map = merging("copying");
  await put("0", { k: "tea" });
  await put("1", { l: "milk" });
  start();
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", note);
  try {
    await eventually(() => {
      successions.follow();
      expect(successions.report(map.handover?.id ?? 0).state).toBe("ready");
    });
    const target = copies.findLast(({ version }) => version === 1);
    if (target === undefined) throw new Error("nothing is made");
    target.noteDamage(new StoreCorruptError(target.prefix));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(unhandled).toEqual([]);
  } finally {
    process.off("unhandledRejection", note);
  }
  map = merging("dropping");
  const copy = await made();
  expect([textAt(copy, "k"), textAt(copy, "l")]).toEqual(["tea", "milk"]);
});
