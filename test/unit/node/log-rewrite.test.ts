// The rewrite of a log that goes on: it comes to its end however busy or full the log is, and a crash at any
// step leaves a file with everything that was acknowledged.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { giveWay } from "../../../src/node/clock.ts";
import { openLogFolder } from "../../../src/node/storage/log-folder.ts";
import { LogStore, type GroupRecord, type LogStoreOptions } from "../../../src/node/storage/log-store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { noSpace, SmallDisk } from "./small-disk.ts";

const REWRITE_BYTES = 20_000;
const AHEAD_BYTES = 8192;
/** More than a few rewrites need. */
const FRAMES_MAX = 600;
const membership = { voters: ["a"], outgoing: [], learners: [], arbiters: [] };
const recordAt = (index: number): GroupRecord => ({
  hardState: { term: 1, vote: "", commit: index },
  snapshot: { index, term: 1, membership },
  generation: 1,
});

let disk: SmallDisk;
let store: LogStore;
/** Of the last entry that was made, and of the last one that was acknowledged. */
let made: number;
let acknowledged: number;

const openOn = (folder: SmallDisk, options: Partial<LogStoreOptions> = {}): LogStore =>
  new LogStore({
    folder,
    clock: systemClock,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
    aheadBytes: AHEAD_BYTES,
    reserveBytes: 512,
    rewriteBytesMin: REWRITE_BYTES,
    ...options,
  });

async function put(bytes: number): Promise<void> {
  const index = ++made;
  const data = Buffer.alloc(bytes, index);
  await store.append([{ kind: "entries", group: "0", entries: [{ index, term: 1, kind: "command", data }] }]);
  acknowledged = Math.max(acknowledged, index);
}

/** No entry is needed any more. */
const compact = (): Promise<void> => store.append([{ kind: "group", group: "0", record: recordAt(made) }]);

/** Each frame follows the one before at once: none is written in place. */
async function neverAtRest(): Promise<void> {
  await store.close();
  store = openOn(disk, { clock: { ...systemClock, nowMs: () => 0 } });
}

/** Of the last entry that a node which crashes now has at its next start. */
async function keptAtCrash(): Promise<number> {
  const again = openOn(disk.afterCrash());
  const log = again.groups.get("0");
  const last = log?.entries.at(-1)?.index ?? log?.record.snapshot.index ?? -1;
  await again.close();
  return last;
}

/** A log of `factBytes` and next to nothing else that is needed, just before it is rewritten. */
async function nearlyRewritten(factBytes: number): Promise<void> {
  await store.append([{ kind: "fact", name: "large", value: "x".repeat(factBytes) }]);
  while (store.sizeBytes() < REWRITE_BYTES - 2500) await put(1000);
  await compact();
}

/** Stops the rewrite in its `count`-th write; resolves once it is there, with what lets it go on. */
function holdRewrite(count: number): Promise<() => void> {
  return new Promise((held) => {
    let seen = 0;
    disk.during = (name) => {
      if (name !== "log.new" || ++seen !== count) return;
      return new Promise<void>((resolve) => held(resolve));
    };
  });
}

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
};

beforeEach(async () => {
  disk = new SmallDisk();
  made = 0;
  acknowledged = 0;
  store = openOn(disk);
  await store.append([{ kind: "group", group: "0", record: recordAt(0) }]);
});

describe("a rewrite of the log", () => {
  it("comes to its end between two frames of a log that never rests, and loses nothing at any step", async () => {
    await neverAtRest();
    let renames = 0;
    let frames = 0;
    const writes: Promise<void>[] = [];
    const failures: unknown[] = [];
    const check = async (): Promise<void> => {
      const before = acknowledged;
      const kept = await keptAtCrash();
      if (kept < before) failures.push(`${kept} is the last entry, and ${before} was acknowledged`);
    };
    disk.beforeRename = () => (renames += 1);
    disk.during = async () => {
      await giveWay(systemClock);
      // Whatever is written, the next writes come meanwhile.
      if (renames < 4 && frames < FRAMES_MAX) {
        frames += 1;
        writes.push(put(300));
        if (made % 10 === 0) writes.push(compact());
      }
      await check().catch((error: unknown) => failures.push(error));
    };
    writes.push(put(300));
    for (let at = 0; at < writes.length; at += 1) await writes[at];
    expect(failures).toEqual([]);
    expect(renames).toBeGreaterThanOrEqual(4);
    expect(store.unwrittenBytes).toBe(0);
    await store.close();
    expect(await keptAtCrash()).toBe(made);
  });

  it("goes on in the old file with what came meanwhile when the new one cannot take its name", async () => {
    await neverAtRest();
    let refused = 0;
    const writes: Promise<void>[] = [];
    disk.beforeRename = () => {
      writes.push(put(100));
      refused += 1;
      if (refused === 1) throw noSpace();
    };
    disk.during = async () => {
      await giveWay(systemClock);
      if (refused < 2 && made < FRAMES_MAX) writes.push(put(300));
      if (refused < 2 && made % 10 === 0) writes.push(compact());
    };
    writes.push(put(300));
    for (let at = 0; at < writes.length; at += 1) await writes[at];
    expect(refused).toBe(2);
    expect(await keptAtCrash()).toBe(made);
    expect(store.unwrittenBytes).toBe(0);
    await store.close();
    expect(disk.files.has("log.new")).toBe(false);
    expect(await keptAtCrash()).toBe(made);
  });

  it("gives a log without room the room of its old file", async () => {
    const aheadBytes = 1 << 15;
    await store.close();
    store = openOn(disk, { aheadBytes });
    await nearlyRewritten(10);
    const held = holdRewrite(2);
    const writes = [put(1000), put(1000), put(1000)];
    const go = await held;
    // Enough for the rest of the new file, and not for the zeros of the old one.
    disk.capacity = disk.used() + aheadBytes - 1;
    writes.push(put((disk.read("log")?.length ?? 0) - store.sizeBytes()));
    await until(() => store.full);
    // What waits behind the frame that found no room is in the new file, too, and must not come a second time.
    writes.push(put(10));
    go();
    await Promise.all(writes);
    expect(store).toMatchObject({ full: false, unwrittenBytes: 0 });
    expect([...disk.files.keys()]).toEqual(["log"]);
    expect(store.sizeBytes()).toBeLessThan(REWRITE_BYTES);
    expect(await keptAtCrash()).toBe(made);
    await store.close();
  });

  it("gives its own room back when there is none for the rest of it", async () => {
    await nearlyRewritten(4000);
    const held = holdRewrite(3);
    const writes = [put(1000), put(1000), put(1000)];
    const go = await held;
    disk.capacity = disk.used() + 100;
    writes.push(put(3000));
    await until(() => store.full);
    go();
    await Promise.all(writes);
    expect(store).toMatchObject({ full: false, unwrittenBytes: 0 });
    expect([...disk.files.keys()]).toEqual(["log"]);
    expect(store.sizeBytes()).toBeGreaterThan(REWRITE_BYTES);
    expect(await keptAtCrash()).toBe(made);
    await store.close();
  });

  it("does not keep a log without room from being closed", async () => {
    await nearlyRewritten(10);
    const held = holdRewrite(2);
    const writes = [put(1000), put(1000), put(1000)];
    const go = await held;
    disk.capacity = disk.used() + 100;
    const last = put(8000).catch(() => undefined);
    await until(() => store.full);
    const closed = store.close();
    go();
    await Promise.all([closed, last, ...writes]);
    expect(disk.files.has("log.new")).toBe(false);
    expect(await keptAtCrash()).toBeGreaterThanOrEqual(acknowledged);
  });
});

describe("the folder of the log", () => {
  let path: string;
  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), "mem0ctl-log-folder-"));
  });
  afterEach(() => rmSync(path, { recursive: true, force: true }));

  it("reads a file in as many pieces as it takes, and all of it", () => {
    const bytes = Buffer.from("a file that is larger than what is read at once");
    writeFileSync(join(path, "log"), bytes);
    writeFileSync(join(path, "empty"), "");
    for (const readBytesMax of [1, 7, bytes.length, undefined]) {
      const folder = openLogFolder(path, readBytesMax);
      expect(folder.read("log")).toEqual(bytes);
      expect(folder.read("empty")).toEqual(Buffer.alloc(0));
      expect(folder.read("none")).toBeUndefined();
    }
  });
});
