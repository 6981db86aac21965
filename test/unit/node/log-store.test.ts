import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Entry } from "../../../src/consensus/seam.ts";
import { openLogFolder } from "../../../src/node/storage/log-folder.ts";
import { LogStore, type GroupRecord, type LogWrite } from "../../../src/node/storage/log-store.ts";
import { StoreCorruptError } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-log-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (rewriteBytesMin?: number): LogStore =>
  new LogStore({
    folder: openLogFolder(folder),
    clock: systemClock,
    // Nothing behind what was written, once it is closed.
    reserveBytes: 0,
    aheadBytes: 1 << 16,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
    ...(rewriteBytesMin === undefined ? {} : { rewriteBytesMin }),
  });

const membership = { voters: ["a"], outgoing: [], learners: [], arbiters: [] };
const record = (index: number, generation = 1, term = 1): GroupRecord => ({
  hardState: { term, vote: "", commit: index },
  snapshot: { index, term: 1, membership },
  generation,
});
const entry = (index: number, text = `entry ${index}`, term = 1): Entry => ({
  index,
  term,
  kind: "command",
  data: Buffer.from(text),
});
const shape = (store: LogStore): unknown =>
  [...store.groups].map(([id, log]) => [
    id,
    log.record,
    log.entries.map(({ index, term, kind, data }) => [index, term, kind, Buffer.from(data).toString()]),
  ]);
const logFile = (): string => join(folder, "log");

describe("the log store", () => {
  it("lets a group that has still to be filled anew ask again at a start, in case the log lost its end since", async () => {
    const store = open();
    const recovery = { refill: true, term: 7, trusted: [] };
    const filled = { ...recovery, refill: false };
    await store.append([
      { kind: "group", group: "0", record: { ...record(0, 1, 7), recovery } },
      { kind: "group", group: "1", record: { ...record(3, 2, 7), recovery: filled } },
    ]);
    await store.close();
    const again = open();
    expect(again.groups.get("0")?.record).toEqual({ ...record(0, 1, 7), recovery: { refill: true } });
    expect(again.groups.get("1")?.record.recovery).toEqual(filled);
    await again.close();
  });

  it("keeps holes, and the ballot in which a value was accepted again", async () => {
    const entries: Entry[] = [
      entry(2),
      { index: 3, term: 0, kind: "hole", data: Buffer.alloc(0) },
      { ...entry(4), ballot: 7 },
    ];
    const store = open();
    await store.append([
      { kind: "group", group: "0", record: record(1) },
      { kind: "entries", group: "0", entries },
    ]);
    await store.close();
    const again = open();
    const kept = again.groups
      .get("0")
      ?.entries.map(({ data, ...rest }) => ({ ...rest, data: Buffer.from(data) }));
    expect(kept).toEqual(entries);
    await again.close();
  });

  it("has after a restart exactly what was acknowledged before it", async () => {
    const store = open();
    await store.append([
      { kind: "fact", name: "identity", value: { uid: "u" } },
      { kind: "group", group: "0", record: record(1) },
      { kind: "entries", group: "0", entries: [entry(2), entry(3), entry(4)] },
      { kind: "truncate", group: "0", from: 4 },
      { kind: "entries", group: "0", entries: [entry(4, "other", 2)] },
      { kind: "group", group: "gone", record: record(1) },
    ]);
    await store.append([
      { kind: "remove", group: "gone" },
      { kind: "group", group: "0", record: record(2) },
    ]);
    const before = shape(store);
    await store.close();
    const again = open();
    expect(shape(again)).toEqual(before);
    expect(again.facts.get("identity")).toEqual({ uid: "u" });
    expect(again.groups.get("0")?.entries.map((one) => one.index)).toEqual([3, 4]);
    await again.close();
  });

  it("answers an empty write when everything before it is on disk, and goes on", async () => {
    const store = open();
    await store.append([]);
    const first = store.append([{ kind: "group", group: "0", record: record(1) }]);
    let flushed = false;
    void first.then(() => (flushed = true));
    await store.append([]);
    expect(flushed).toBe(true);
    await store.append([{ kind: "entries", group: "0", entries: [entry(2)] }]);
    await store.close();
    const again = open();
    expect(again.groups.get("0")?.entries).toHaveLength(1);
    await again.close();
  });

  it("replaces a group's log when a snapshot of another generation is installed", async () => {
    const store = open();
    await store.append([
      { kind: "group", group: "0", record: record(1) },
      { kind: "entries", group: "0", entries: [entry(2), entry(3)] },
    ]);
    await store.append([{ kind: "group", group: "0", record: record(9, 2) }]);
    await store.append([{ kind: "entries", group: "0", entries: [entry(10)] }]);
    await store.close();
    const again = open();
    expect(again.groups.get("0")?.record.generation).toBe(2);
    expect(again.groups.get("0")?.entries.map((one) => one.index)).toEqual([10]);
    await again.close();
  });

  it("drops a batch that a crash cut off, wherever it did, and keeps all before it", async () => {
    const store = open();
    await store.append([{ kind: "group", group: "0", record: record(1) }]);
    await store.append([{ kind: "entries", group: "0", entries: [entry(2)] }]);
    const whole = store.sizeBytes();
    await store.append([{ kind: "entries", group: "0", entries: [entry(3, "x".repeat(300))] }]);
    await store.close();
    const bytes = readFileSync(logFile());
    const cuts = Array.from(
      { length: Math.floor((bytes.length - whole - 1) / 4) },
      (_, at) => whole + 1 + 4 * at,
    );
    for (const [at, length] of cuts.entries()) {
      // The file ends there, or zeros follow that were written ahead.
      const rest = Buffer.alloc(at % 2 === 0 ? 0 : 5000);
      writeFileSync(logFile(), Buffer.concat([bytes.subarray(0, length), rest]));
      const torn = open();
      expect(torn.groups.get("0")?.entries.map((one) => one.index)).toEqual([2]);
      await torn.append([{ kind: "entries", group: "0", entries: [entry(3, "again")] }]);
      await torn.close();
      const again = open();
      expect(again.groups.get("0")?.entries.map((one) => one.index)).toEqual([2, 3]);
      await again.close();
    }
  });

  it("drops a last batch of which a sector never reached the disk", async () => {
    const store = open();
    await store.append([{ kind: "group", group: "0", record: record(1) }]);
    const whole = store.sizeBytes();
    await store.append([{ kind: "entries", group: "0", entries: [entry(2, "y".repeat(4000))] }]);
    await store.close();
    const bytes = readFileSync(logFile());
    bytes.fill(0, whole + 1024, whole + 2048);
    writeFileSync(logFile(), bytes);
    const torn = open();
    expect(torn.groups.get("0")?.entries).toEqual([]);
    await torn.close();
  });

  it("drops a last batch whichever of its sectors reached the disk, but for all of them", async () => {
    await fc.assert(
      fc.asyncProperty(
        // Where in its first sector the batch begins, how long it is, which sectors were written.
        fc.integer({ min: 0, max: 511 }),
        fc.integer({ min: 1, max: 3000 }),
        fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
        async (shift, length, written) => {
          rmSync(logFile(), { force: true });
          const store = open();
          await store.append([{ kind: "group", group: "0", record: record(1) }]);
          await store.append([{ kind: "entries", group: "0", entries: [entry(2, "s".repeat(shift))] }]);
          const whole = store.sizeBytes();
          await store.append([{ kind: "entries", group: "0", entries: [entry(3, "y".repeat(length))] }]);
          await store.close();
          const bytes = Buffer.concat([readFileSync(logFile()), Buffer.alloc(4096)]);
          const end = bytes.length - 4096;
          let lost = false;
          for (let sector = whole - (whole % 512), at = 0; sector < end; sector += 512, at += 1) {
            if (written[at] === true) continue;
            bytes.fill(0, Math.max(sector, whole), Math.min(sector + 512, end));
            lost = true;
          }
          writeFileSync(logFile(), bytes);
          const torn = open();
          expect(torn.groups.get("0")?.entries.map((one) => one.index)).toEqual(lost ? [2] : [2, 3]);
          await torn.close();
        },
      ),
      { numRuns: 80 },
    );
  });

  it("reports any flipped bit of what was acknowledged, and never reads it as absent", async () => {
    const store = open();
    await store.append([{ kind: "group", group: "0", record: record(1) }]);
    await store.append([{ kind: "entries", group: "0", entries: [entry(2), entry(3)] }]);
    await store.append([{ kind: "entries", group: "0", entries: [entry(4)] }]);
    await store.close();
    const bytes = readFileSync(logFile());
    for (let at = 0; at < bytes.length; at += 1) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      writeFileSync(logFile(), damaged);
      expect(open, `a flipped bit in byte ${at} of ${bytes.length}`).toThrow(StoreCorruptError);
    }
  });

  it("reports a part of another batch in the place of the last ones, which they may have been acknowledged from", async () => {
    const store = open();
    const sizes: number[] = [];
    await store.append([{ kind: "group", group: "0", record: record(1) }]);
    for (const index of [2, 3, 4]) {
      sizes.push(store.sizeBytes());
      await store.append([{ kind: "entries", group: "0", entries: [entry(index, "x".repeat(600))] }]);
    }
    await store.close();
    const whole = readFileSync(logFile());
    const [first = 0, , last = 0] = sizes;
    // The last one went to where the first one was, and of it only what a part of the disk took.
    for (const reached of [100, 400, whole.length - last - 1]) {
      const part = whole.subarray(last, last + reached);
      writeFileSync(logFile(), Buffer.concat([whole.subarray(0, first), part, Buffer.alloc(2000)]));
      expect(open).toThrow(StoreCorruptError);
    }
    // Torn, it is the end.
    writeFileSync(logFile(), Buffer.concat([whole.subarray(0, last + 100), Buffer.alloc(2000)]));
    const torn = open();
    expect(torn.groups.get("0")?.entries.map(({ index }) => index)).toEqual([2, 3]);
    await torn.close();
  });

  it("refuses garbage instead of a log", async () => {
    writeFileSync(logFile(), "this is a text of somebody else, long enough to be looked at");
    expect(() => open()).toThrow(StoreCorruptError);
    rmSync(logFile());
    const store = open();
    await store.append([{ kind: "group", group: "0", record: record(1) }]);
    await store.close();
    appendFileSync(logFile(), "trailing garbage that no crash of ours leaves behind ".repeat(20));
    expect(() => open()).toThrow(StoreCorruptError);
  });

  it("rewrites its file while writes go on, and loses none of them", async () => {
    const store = open(20_000);
    await store.append([{ kind: "group", group: "0", record: record(1) }]);
    let largest = 0;
    const writes: Promise<void>[] = [];
    for (let index = 2; index < 1500; index += 1) {
      writes.push(store.append([{ kind: "entries", group: "0", entries: [entry(index, "z".repeat(100))] }]));
      if (index % 50 === 0) {
        writes.push(store.append([{ kind: "group", group: "0", record: record(index - 10) }]));
        await Promise.all(writes);
        // A rewrite goes on between two turns of the event loop, as it does in a node.
        await new Promise((resolve) => setTimeout(resolve, 2));
        largest = Math.max(largest, store.sizeBytes());
      }
    }
    await Promise.all(writes);
    const before = shape(store);
    expect(largest).toBeLessThan(100_000);
    await store.close();
    const again = open();
    expect(shape(again)).toEqual(before);
    await again.close();
  });

  it("goes on after a rewrite during whose last step somebody waited for earlier writes alone", async () => {
    const real = openLogFolder(folder);
    const steps = { during: (): void => undefined, last: (): void => undefined };
    const store = new LogStore({
      folder: {
        ...real,
        open: (name) => {
          const file = real.open(name);
          if (name === "log") return file;
          const write = (bytes: Buffer, position: number): Promise<void> => {
            steps.during();
            return file.write(bytes, position);
          };
          return {
            write,
            writeInPlace: (bytes, position) => file.writeInPlace(bytes, position),
            truncate: (bytes) => file.truncate(bytes),
            sync: () => file.sync(),
            close: () => file.close(),
          };
        },
        rename: (from, to) => {
          steps.last();
          real.rename(from, to);
        },
      },
      clock: systemClock,
      onDiskFailure: (reason) => {
        throw new Error(reason);
      },
      rewriteBytesMin: 500,
    });
    const waited: Promise<void>[] = [];
    steps.during = () => {
      steps.during = () => undefined;
      waited.push(store.append([{ kind: "fact", name: "during", value: 1 }]));
    };
    const renamed = new Promise<void>((resolve) => {
      steps.last = () => {
        waited.push(store.append([]));
        resolve();
      };
    });
    for (let count = 0; count < 20; count += 1) {
      await store.append([{ kind: "fact", name: "a", value: "x".repeat(100) }]);
    }
    await renamed;
    await Promise.all(waited);
    await store.append([{ kind: "fact", name: "after", value: 2 }]);
    await store.close();
    const again = open();
    expect([...again.facts.keys()]).toEqual(["a", "during", "after"]);
    await again.close();
  });

  it("gives back any history of writes", async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("append" as const), count: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ kind: fc.constant("truncate" as const), back: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ kind: fc.constant("compact" as const), keep: fc.integer({ min: 0, max: 4 }) }),
      fc.record({ kind: fc.constant("install" as const), ahead: fc.integer({ min: 1, max: 9 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        rmSync(logFile(), { force: true });
        const store = open(500);
        let base = 1;
        let last = 1;
        let generation = 1;
        const made: Promise<void>[] = [];
        const write = (one: LogWrite): void => void made.push(store.append([one]));
        write({ kind: "group", group: "0", record: record(1) });
        for (const one of steps) {
          if (one.kind === "append") {
            const entries = Array.from({ length: one.count }, (_, at) =>
              entry(last + 1 + at, `${made.length}`),
            );
            last += one.count;
            write({ kind: "entries", group: "0", entries });
          } else if (one.kind === "truncate") {
            last = Math.max(base, last - one.back);
            write({ kind: "truncate", group: "0", from: last + 1 });
          } else if (one.kind === "compact") {
            base = Math.max(base, last - one.keep);
            write({ kind: "group", group: "0", record: record(base, generation) });
          } else {
            base = last + one.ahead;
            last = base;
            generation += 1;
            write({ kind: "group", group: "0", record: record(base, generation) });
          }
          if (made.length % 7 === 0) await made.at(-1);
        }
        await Promise.all(made);
        const before = shape(store);
        await store.close();
        const again = open();
        expect(shape(again)).toEqual(before);
        await again.close();
      }),
      { numRuns: 60 },
    );
  });
});
