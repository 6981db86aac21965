// A disk without room: entries wait, votes do not. The log store on a folder in memory that takes only so
// many bytes.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Entry, HardState } from "../../../src/consensus/seam.ts";
import { LogStore, type GroupRecord } from "../../../src/node/storage/log-store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { SmallDisk } from "./small-disk.ts";

const RESERVE_BYTES = 4096;
const AHEAD_BYTES = 8192;

const membership = { voters: ["a"], outgoing: [], learners: [], arbiters: [] };
const recordOf = (hardState: HardState): GroupRecord => ({
  hardState,
  snapshot: { index: 1, term: 1, membership },
  generation: 1,
});
const entry = (index: number, bytes: number): Entry => ({
  index,
  term: 1,
  kind: "command",
  data: Buffer.alloc(bytes, index),
});

let disk: SmallDisk;
let store: LogStore;
const open = (rewriteBytesMin?: number): LogStore =>
  new LogStore({
    folder: disk,
    clock: systemClock,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
    aheadBytes: AHEAD_BYTES,
    reserveBytes: RESERVE_BYTES,
    ...(rewriteBytesMin === undefined ? {} : { rewriteBytesMin }),
  });

/** What a node that crashes now finds when it starts again. */
function afterCrash(): LogStore {
  disk = disk.afterCrash();
  return open();
}

const vote = (term: number, group = "0"): Promise<void> => {
  const hardState = { term, vote: "b", commit: 2 };
  void store.append([{ kind: "group", group, record: recordOf(hardState) }]).catch(() => undefined);
  return store.promiseHardState(group);
};

/** Entries that find no room. Resolves once the store knows; what waits is written when there is room. */
async function fill(index = 2): Promise<void> {
  disk.capacity = disk.used();
  store.append([{ kind: "entries", group: "0", entries: [entry(index, 20_000)] }]).catch(() => undefined);
  await until(() => store.full);
}

beforeEach(async () => {
  disk = new SmallDisk();
  store = open();
  for (const group of ["0", "1"]) {
    await store.append([{ kind: "group", group, record: recordOf({ term: 1, vote: "", commit: 1 }) }]);
  }
});
afterEach(async () => {
  disk.capacity = Infinity;
  await store.close();
});

describe("a log without room", () => {
  it("says so, and how much is missing, until there is room", async () => {
    let told = false;
    store.onFull = () => {
      told = true;
    };
    await fill();
    expect(told).toBe(true);
    expect(store.neededBytes).toBeGreaterThan(20_000);
    expect(store.unwrittenBytes).toBeGreaterThan(20_000);
    disk.capacity = Infinity;
    await store.append([]);
    expect(store).toMatchObject({ full: false, neededBytes: 0, unwrittenBytes: 0 });
  });

  it("names as much as it takes to go on, though what waits is small", async () => {
    disk.capacity = disk.used();
    for (let index = 2; !store.full; index += 1) {
      const written = store.append([{ kind: "entries", group: "0", entries: [entry(index, 100)] }]);
      await Promise.race([written.catch(() => undefined), until(() => store.full)]);
    }
    disk.capacity = disk.used() + store.neededBytes;
    await store.append([]);
    expect(store.full).toBe(false);
  });

  it("keeps a vote before the entries that wait, over a crash", async () => {
    await fill();
    await vote(7);
    expect(store.full).toBe(true);
    const again = afterCrash();
    // Not the commit index that came with it: that speaks of an entry which is not there.
    expect(again.groups.get("0")?.record.hardState).toEqual({ term: 7, vote: "b", commit: 1 });
    expect(again.groups.get("0")?.entries).toEqual([]);
    await again.close();
  });

  it("never goes back to an older term when what waited is written after a newer one", async () => {
    await fill();
    // An older promise waits in the row behind the entries; the newest goes ahead of both.
    void vote(5);
    await vote(8);
    disk.capacity = Infinity;
    await store.append([]);
    const again = afterCrash();
    expect(again.groups.get("0")?.record.hardState).toMatchObject({ term: 8, vote: "b" });
    expect(again.groups.get("0")?.entries.map(({ index }) => index)).toEqual([2]);
    await again.close();
  });

  it("takes votes until its reserve is used up, then none, and all of them with room again", async () => {
    await fill();
    let promised = 0;
    const votes = Array.from({ length: 200 }, async (_, at) => {
      await vote(at + 2, at % 2 === 0 ? "0" : "1");
      promised += 1;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (let at = 0; at < 100; at += 1) {
      const one = vote(1000 + at);
      await Promise.race([one, new Promise((resolve) => setTimeout(resolve, 20))]);
      votes.push(one.then(() => void (promised += 1)));
    }
    expect(promised).toBeGreaterThan(10);
    expect(promised).toBeLessThan(votes.length);
    disk.capacity = Infinity;
    await Promise.all(votes);
    const again = afterCrash();
    expect(again.groups.get("0")?.record.hardState.term).toBe(1099);
    await again.close();
  });

  it("has its reserve still after it was closed and opened on the full disk", async () => {
    await fill();
    const { capacity } = disk;
    await store.close();
    store = open();
    disk.capacity = Math.min(capacity, disk.used());
    await fill();
    await vote(9);
    const again = afterCrash();
    expect(again.groups.get("0")?.record.hardState.term).toBe(9);
    await again.close();
  });

  it("has its reserve still after a rewrite of its file", async () => {
    await reopenRewriting();
    for (let at = 0; store.sizeBytes() > 20_000; at += 1) {
      expect(at, "the file is rewritten").toBeLessThan(100);
      await filler();
    }
    await fill(40);
    await vote(4);
    const again = afterCrash();
    expect(again.groups.get("0")?.record.hardState).toMatchObject({ term: 4, vote: "b" });
    await again.close();
  });

  it("goes on in its file where a new one, to rewrite it, cannot be made", async () => {
    await reopenRewriting();
    disk.namesFit = false;
    const bytes = store.sizeBytes();
    for (let at = 0; at < 20; at += 1) await filler();
    expect(store.sizeBytes()).toBeGreaterThan(bytes + 20_000);
    const again = afterCrash();
    expect(again.facts.get("filler")).toBe("x".repeat(1000));
    await again.close();
  });
});

/** A log that is rewritten from 20 kB on, and holds more than that and next to nothing that is needed. */
async function reopenRewriting(): Promise<void> {
  await store.close();
  store = open(20_000);
  for (let index = 2; index < 40; index += 1) {
    await store.append([{ kind: "entries", group: "0", entries: [entry(index, 1000)] }]);
  }
  const hardState = { term: 1, vote: "", commit: 39 };
  const snapshot = { index: 39, term: 1, membership };
  await store.append([{ kind: "group", group: "0", record: { hardState, snapshot, generation: 1 } }]);
}

async function filler(): Promise<void> {
  await store.append([{ kind: "fact", name: "filler", value: "x".repeat(1000) }]);
  // A rewrite goes on between two turns of the event loop, as it does in a node.
  await new Promise((resolve) => setTimeout(resolve, 2));
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}
