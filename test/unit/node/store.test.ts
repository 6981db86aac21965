import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync, closeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DurableGroup, forgottenStates, generationAfter } from "../../../src/node/host/durable-group.ts";
import { decodeKey, encodeKey, extendKey, prefixEnd } from "../../../src/node/storage/key.ts";
import { openLogFolder } from "../../../src/node/storage/log-folder.ts";
import { LogStore } from "../../../src/node/storage/log-store.ts";
import { isFileDamage } from "../../../src/node/storage/lmdb-file.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import { removeRange, StoreCorruptError, type Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { EMPTY_MEMBERSHIP } from "../../../src/consensus/membership.ts";
import { eventually } from "./eventually.ts";

let folder: string;
let store: Store;
const open = (): Store =>
  openLmdbStore({
    folder,
    flushDelayMs: 0,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-store-"));
  store = open();
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

const part = fc.oneof(fc.string({ unit: "binary", maxLength: 12 }), fc.nat(Number.MAX_SAFE_INTEGER));
const tuple = fc.array(part, { minLength: 1, maxLength: 4 });

describe("keys", () => {
  it("decode to what was encoded, zero bytes included", () => {
    fc.assert(
      fc.property(tuple, (parts) => {
        expect(decodeKey(encodeKey(...parts))).toEqual(parts);
      }),
    );
    expect(decodeKey(encodeKey("a\0b", "\0", 7))).toEqual(["a\0b", "\0", 7]);
  });

  it("sort numbers by value and strings by their UTF-8 bytes, whatever follows", () => {
    fc.assert(
      fc.property(fc.nat(Number.MAX_SAFE_INTEGER), fc.nat(Number.MAX_SAFE_INTEGER), (a, b) => {
        expect(Math.sign(Buffer.compare(encodeKey(a, "z"), encodeKey(b, "a")))).toBe(
          a === b ? 1 : Math.sign(a - b),
        );
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
        const expected = Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b)));
        expect(Math.sign(Buffer.compare(encodeKey("p", a, 1), encodeKey("p", b, 1)))).toBe(expected);
      }),
    );
  });

  it("of another prefix lie outside it, even where its last part only goes on", () => {
    const others = [["a\0", 1], ["a\0b"], ["ab"], [256], [255, "x"], ["b"]] as const;
    for (const prefix of [["a"], [255], ["a", 255]] as const) {
      const start = encodeKey(...prefix);
      const end = prefixEnd(start);
      expect(Buffer.compare(encodeKey(...prefix, "x"), end)).toBeLessThan(0);
      for (const other of others) {
        if (other[0] === prefix[0] && prefix.length === 1) continue;
        const key = encodeKey(...other);
        expect(Buffer.compare(key, start) < 0 || Buffer.compare(key, end) >= 0).toBe(true);
      }
    }
  });

  it("of one prefix lie between it and its end", () => {
    fc.assert(
      fc.property(tuple, tuple, (prefix, rest) => {
        const start = encodeKey(...prefix);
        const key = extendKey(start, ...rest);
        expect(Buffer.compare(start, key)).toBeLessThan(0);
        expect(Buffer.compare(key, prefixEnd(start))).toBeLessThan(0);
      }),
    );
  });
});

describe("the LMDB store", () => {
  it("shows a transaction's writes at once and keeps them over a restart", async () => {
    const done = store.transact((writer) => {
      writer.put(encodeKey("a"), Buffer.from("1"));
      expect(store.get(encodeKey("a"))?.toString()).toBe("1");
    });
    expect(store.get(encodeKey("a"))?.toString()).toBe("1");
    await done;
    await store.close();
    store = open();
    expect(store.get(encodeKey("a"))?.toString()).toBe("1");
  });

  it("flushes what was written during a flush that took longer than the next was put off", async () => {
    const slow = mkdtempSync(join(tmpdir(), "mem0ctl-store-"));
    let release = (): void => {};
    let flushes = 0;
    const held = openLmdbStore({
      folder: slow,
      flushDelayMs: 20,
      beforeFlush: async () => {
        if ((flushes += 1) === 1) await new Promise<void>((resolve) => (release = resolve));
      },
      onDiskFailure: (reason) => {
        throw new Error(reason);
      },
    });
    const first = held.transact((writer) => writer.put(encodeKey("a"), Buffer.from("1")));
    await eventually(() => expect(flushes).toBe(1));
    const second = held.transact((writer) => writer.put(encodeKey("b"), Buffer.from("2")));
    await new Promise((resolve) => setTimeout(resolve, 60));
    release();
    await first;
    await second;
    expect(held.unwrittenBytes).toBe(0);
    await held.close();
    rmSync(slow, { recursive: true, force: true });
  });

  it("lets others have their turn while it makes ready what was written for seconds", async () => {
    let made = 0;
    let seen = 0;
    let most = 0;
    let isOver = false;
    const look = (): void => {
      most = Math.max(most, made - seen);
      seen = made;
      if (!isOver) setImmediate(look);
    };
    const value = Buffer.alloc(100);
    const durable = store.transact((writer) => {
      for (let at = 0; at < 5000; at += 1) {
        writer.put(encodeKey("many", at), () => {
          made += 1;
          return value;
        });
      }
    });
    setImmediate(look);
    await durable;
    isOver = true;
    expect(made).toBe(5000);
    expect(most).toBeLessThanOrEqual(1000);
    await store.close();
    store = open();
    expect([...store.keys({ start: encodeKey("many"), end: prefixEnd(encodeKey("many")) })]).toHaveLength(
      5000,
    );
  });

  it("writes all of a transaction or nothing", async () => {
    await expect(
      store.transact((writer) => {
        writer.put(encodeKey("a"), Buffer.from("1"));
        throw new Error("stop");
      }),
    ).rejects.toThrow("stop");
    expect(store.get(encodeKey("a"))).toBeUndefined();
  });

  it("ranges with the start inclusive and the end exclusive", async () => {
    await store.transact((writer) => {
      for (let at = 0; at < 10; at += 1) writer.put(encodeKey("r", at), Buffer.of(at));
    });
    const range = { start: encodeKey("r", 2), end: encodeKey("r", 6) };
    expect([...store.range(range)].map((item) => item.value[0])).toEqual([2, 3, 4, 5]);
    await removeRange(store, range.start, range.end, () => false, 3);
    expect([...store.keys({ start: encodeKey("r"), end: prefixEnd(encodeKey("r")) })]).toHaveLength(6);
  });

  it("gives a snapshot that later writes do not move", async () => {
    await store.transact((writer) => writer.put(encodeKey("a"), Buffer.from("old")));
    const snapshot = store.snapshot();
    await store.transact((writer) => writer.put(encodeKey("a"), Buffer.from("new")));
    expect(snapshot.get(encodeKey("a"))?.toString()).toBe("old");
    expect(store.get(encodeKey("a"))?.toString()).toBe("new");
    snapshot.close();
    snapshot.close();
  });

  it("reports a flipped bit instead of reading it, and never as absent", async () => {
    await store.transact((writer) => writer.put(encodeKey("victim"), Buffer.from("PAYLOAD-TO-FLIP")));
    await store.close();
    const file = join(folder, "data.mdb");
    const bytes = readFileSync(file);
    const descriptor = openSync(file, "r+");
    for (
      let at = bytes.indexOf("PAYLOAD-TO-FLIP");
      at !== -1;
      at = bytes.indexOf("PAYLOAD-TO-FLIP", at + 1)
    ) {
      writeSync(descriptor, Buffer.from("Q"), 0, 1, at);
    }
    closeSync(descriptor);
    store = open();
    expect(() => store.get(encodeKey("victim"))).toThrow(StoreCorruptError);
  });

  it("refuses a file that lost its end, its first page or all of its sense, and makes an empty one anew", async () => {
    await store.transact((writer) => writer.put(encodeKey("kept"), Buffer.from("value")));
    await store.close();
    const file = join(folder, "data.mdb");
    const whole = readFileSync(file);
    const noise = Buffer.alloc(4096, "noise");
    for (const bytes of [
      whole.subarray(0, 100),
      whole.subarray(0, 4096),
      whole.subarray(0, 8192),
      Buffer.alloc(whole.length),
      Buffer.concat([noise, whole.subarray(4096)]),
      Buffer.concat([whole.subarray(0, 4096), noise, whole.subarray(8192)]),
    ]) {
      writeFileSync(file, bytes);
      expect(isFileDamage(thrownBy(open))).toBe(true);
      expect(readFileSync(file).equals(bytes)).toBe(true);
    }
    writeFileSync(file, whole);
    store = open();
    expect(store.get(encodeKey("kept"))?.toString()).toBe("value");
    await store.close();
    writeFileSync(file, "");
    store = open();
    expect(store.get(encodeKey("kept"))).toBeUndefined();
  });
});

it("a replica that is made anew has a state of its own, whatever of a former one is still to be deleted", async () => {
  expect(generationAfter(store, "1")).toBe(1);
  const value = Buffer.from("x");
  await store.transact((writer) => {
    for (const generation of [1, 4]) writer.put(encodeKey("state", "1", generation, "applied"), value);
    writer.put(encodeKey("state", "10", 7, "applied"), value);
  });
  expect(generationAfter(store, "1")).toBe(5);
  expect(generationAfter(store, "0")).toBe(1);
});

it("the state of a replica that was moved away just before a crash is found again, and no other", async () => {
  const log = new LogStore({
    folder: openLogFolder(join(folder, "log")),
    clock: systemClock,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
  try {
    const write = (id: string): ReturnType<typeof DurableGroup.create>["write"] =>
      DurableGroup.create(id, 1, {
        hardState: { term: 1, vote: "", commit: 0 },
        snapshot: { index: 0, term: 0, membership: EMPTY_MEMBERSHIP },
        entries: [],
        applied: 0,
      }).write;
    await log.append([write("meta"), write("1"), write("10")]);
    const value = Buffer.from("x");
    await store.transact((writer) => {
      for (const id of ["1", "10", "2", "meta", "z"]) {
        for (const generation of [1, 2]) writer.put(encodeKey("state", id, generation, "memory", "a"), value);
      }
    });
    // Between the removal from the log and the cleaning the process ends.
    await log.append([{ kind: "remove", group: "10" }]);
    for (const { start, end } of forgottenStates({ log, state: store })) await removeRange(store, start, end);
    const all = encodeKey("state");
    const left = [...store.keys({ start: all, end: prefixEnd(all) })].map((key) => decodeKey(key)[1]);
    expect([...new Set(left)]).toEqual(["1", "meta"]);
    expect(left).toHaveLength(4);
  } finally {
    await log.close();
  }
});

it("a group that recovers and whose state is gone begins in no term that it chose before", async () => {
  const log = new LogStore({
    folder: openLogFolder(join(folder, "log")),
    clock: systemClock,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
  try {
    const recovery = (refill: boolean): Parameters<typeof DurableGroup.create>[3] => ({ refill, term: 7 });
    const begin = {
      hardState: { term: 7, vote: "", commit: 0 },
      snapshot: { index: 3, term: 2, membership: EMPTY_MEMBERSHIP },
      entries: [],
      applied: 3,
    };
    await log.append([
      DurableGroup.create("0", 2, begin, recovery(false)).write,
      DurableGroup.create("1", 2, begin, recovery(true)).write,
    ]);
    const loaded = (id: string) => DurableGroup.load(id, { log, state: store }, true);
    expect(loaded("0")?.group.recovery).toEqual({ refill: true });
    // As it is opened once it has asked: it had nothing, so nothing of it is missing.
    expect(loaded("1")?.group.recovery).toEqual({ refill: true, term: 7 });
    expect(loaded("0")?.damage?.message).toContain("does not reach its state");
  } finally {
    await log.close();
  }
});

it("work that still reads when the store is closed is told so, and touches nothing of it", async () => {
  const keys = [1, 2, 3].map((number) => encodeKey("k", number));
  await store.transact((writer) => {
    for (const key of keys) writer.put(key, Buffer.from("value"));
  });
  const bounds = { start: encodeKey("k"), end: prefixEnd(encodeKey("k")) };
  const items = store.range(bounds)[Symbol.iterator]();
  const names = store.keys(bounds)[Symbol.iterator]();
  const snapshot = store.snapshot();
  const kept = snapshot.range(bounds)[Symbol.iterator]();
  for (const iterator of [items, names, kept]) expect(iterator.next().done).toBe(false);
  await store.close();
  for (const iterator of [items, names, kept]) expect(() => iterator.next()).toThrow("the store is closed");
  expect(() => store.get(encodeKey("k", 1))).toThrow("the store is closed");
  expect(() => [...store.keys(bounds)]).toThrow("the store is closed");
  snapshot.close();
  // LMDB looks after its reads a moment later; what it did not get back would end the process there.
  await new Promise((resolve) => setTimeout(resolve, 200));
});
