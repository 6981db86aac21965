// What is kept of a log that is damaged, and when a group that was in it may begin again.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Entry, HardState } from "../../../src/consensus/seam.ts";
import { conclude, type PromiseReport } from "../../../src/node/host/promise-reports.ts";
import { openLogFolder } from "../../../src/node/storage/log-folder.ts";
import { LogStore, type GroupRecord } from "../../../src/node/storage/log-store.ts";
import { StoreCorruptError } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { limitFiles } from "../file-limit.ts";

const membership = { voters: ["a", "b", "c"], outgoing: [], learners: [], arbiters: [] };

describe("a damaged log", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "mem0ctl-salvage-"));
  });
  afterEach(() => {
    limitFiles("unlimited");
    rmSync(folder, { recursive: true, force: true });
  });

  const file = (): string => join(folder, "log");
  const open = (salvage?: () => boolean): LogStore =>
    new LogStore({
      folder: openLogFolder(folder),
      clock: systemClock,
      onDiskFailure: (reason) => {
        throw new Error(reason);
      },
      reserveBytes: 0,
      aheadBytes: 1 << 16,
      ...(salvage === undefined ? {} : { salvage }),
    });
  const recordOf = (hardState: Partial<HardState>, base = 1, generation = 1): GroupRecord => ({
    hardState: { term: 1, vote: "", commit: base, ...hardState },
    snapshot: { index: base, term: 1, membership },
    generation,
  });
  const entry = (index: number, term = 1, text = `entry ${index}`): Entry => ({
    index,
    term,
    kind: "command",
    data: Buffer.from(text),
  });

  /** A log of frames, each what `writes` says; returns where each begins. */
  async function logOf(frames: readonly Parameters<LogStore["append"]>[0][]): Promise<readonly number[]> {
    const store = open();
    const starts: number[] = [];
    for (const writes of frames) {
      starts.push(store.sizeBytes());
      await store.append(writes);
    }
    await store.close();
    return starts;
  }

  function flip(at: number): Buffer {
    const bytes = readFileSync(file());
    bytes[at] = (bytes[at] ?? 0) ^ 0x08;
    writeFileSync(file(), bytes);
    return bytes;
  }

  const group = "0";
  const history = [
    [{ kind: "fact", name: "identity", value: { uid: "u" } }],
    [{ kind: "group", group, record: recordOf({}) }],
    [{ kind: "entries", group, entries: [entry(2), entry(3)] }],
    [{ kind: "entries", group, entries: [entry(4, 1, "the damaged one")] }],
    [
      { kind: "truncate", group, from: 3 },
      { kind: "entries", group, entries: [entry(3, 2)] },
    ],
    [{ kind: "group", group, record: recordOf({ term: 7, vote: "b", commit: 3 }) }],
    [{ kind: "entries", group, entries: [entry(4, 2), entry(5, 2)] }],
  ] as const;

  it("is an error unless it may be salvaged, and is then left as it is", async () => {
    const starts = await logOf(history);
    const damaged = flip((starts[3] ?? 0) + 40);
    expect(() => open()).toThrow(StoreCorruptError);
    expect(() => open(() => false)).toThrow(StoreCorruptError);
    expect(readFileSync(file()).equals(damaged)).toBe(true);
  });

  it("gives the entries before the damage, and of what lies behind only what can do no harm", async () => {
    const starts = await logOf(history);
    const damaged = flip((starts[3] ?? 0) + 40);
    const store = open(() => true);
    const log = store.groups.get(group);
    // 3 was dropped behind the damage; the 3 and 4 of term 2 may rest on what is not there.
    expect(log?.entries.map(({ index, term }) => [index, term])).toEqual([[2, 1]]);
    expect(log?.record).toMatchObject({
      hardState: { term: 7, vote: "b", commit: 1 },
      recovery: { refill: false },
    });
    expect(store.facts.get("identity")).toEqual({ uid: "u" });
    expect(store.salvaged).toMatchObject({ damagedAt: starts[3], frames: 6 });
    expect(readFileSync(join(folder, "log.damaged")).equals(damaged)).toBe(true);
    await store.close();
    const again = open();
    expect(again.groups.get(group)).toEqual(log);
    expect(again.salvaged).toBeUndefined();
    await again.close();
  });

  it("says of each fact what was written last, wherever the damage lies", async () => {
    const identity = (founded: boolean) => [{ kind: "fact", name: "identity", value: { founded } }] as const;
    const starts = await logOf([identity(false), identity(true), identity(true)]);
    flip((starts[1] ?? 0) + 40);
    const store = open(() => true);
    expect(store.facts.get("identity")).toEqual({ founded: true });
    await store.close();
  });

  it("is set aside without room for a copy of it", async () => {
    const starts = await logOf(history);
    const damaged = flip((starts[3] ?? 0) + 40);
    const { ino } = statSync(file());
    limitFiles((starts[6] ?? 0) + 40);
    expect(damaged.length).toBeGreaterThan((starts[6] ?? 0) + 40);
    const store = open(() => true);
    expect(store.facts.get("identity")).toEqual({ uid: "u" });
    limitFiles("unlimited");
    await store.close();
    expect(readFileSync(join(folder, "log.damaged")).equals(damaged)).toBe(true);
    expect(statSync(join(folder, "log.damaged")).ino).toBe(ino);
  });

  it("stays as it is without room for what can be read of it, and is salvaged once there is room", async () => {
    const starts = await logOf(history);
    const damaged = flip((starts[3] ?? 0) + 40);
    limitFiles(100);
    expect(() => open(() => true)).toThrow(/what can be read of the damaged log takes \d+ bytes/u);
    limitFiles("unlimited");
    expect(readFileSync(file()).equals(damaged)).toBe(true);
    expect(existsSync(join(folder, "log.new"))).toBe(false);
    const store = open(() => true);
    expect(store.facts.get("identity")).toEqual({ uid: "u" });
    await store.close();
  });

  it("keeps no entries of a group whose log or state was replaced behind the damage", async () => {
    const starts = await logOf([
      ...history.slice(0, 4),
      [{ kind: "group", group, record: recordOf({ term: 3 }, 40, 2) }],
    ]);
    flip((starts[3] ?? 0) + 40);
    const store = open(() => true);
    expect(store.groups.get(group)?.record).toMatchObject({ generation: 2, recovery: { refill: true } });
    await store.close();
  });

  it("is read on behind a frame whose head is gone", async () => {
    const starts = await logOf(history);
    flip((starts[3] ?? 0) + 2);
    const store = open(() => true);
    expect(store.salvaged).toMatchObject({ frames: 6 });
    expect(store.groups.get(group)?.record.hardState.term).toBe(7);
    await store.close();
  });

  it("keeps all that is whole where the disk put a write in another place", async () => {
    const starts = await logOf([...history, history[0]]);
    const written = readFileSync(file());
    const frames = starts.map((start, at) => ({ start, end: starts[at + 1] ?? written.length }));
    for (const { start, end } of frames) {
      for (const to of [...starts, written.length].filter((place) => place !== start)) {
        const bytes = Buffer.concat([written, Buffer.alloc(end - start)]);
        bytes.fill(0, start, end);
        written.copy(bytes, to, start, end);
        writeFileSync(file(), bytes);
        const left = frames.filter(
          (one) => one.start !== start && (one.end <= to || one.start >= to + end - start),
        );
        const store = open(() => true);
        expect(store.salvaged, `the frame at ${start} lies at ${to}`).toMatchObject({
          frames: left.length + 1,
          damagedAt: Math.min(start, to),
        });
        expect(store.facts.get("identity")).toEqual({ uid: "u" });
        await store.close();
      }
    }
  });

  it("has its identity still, wherever one bit of a salvaged file flips", async () => {
    const starts = await logOf(history);
    flip((starts[3] ?? 0) + 40);
    await open(() => true).close();
    const salvaged = readFileSync(file());
    for (let at = 0; at < salvaged.length; at += 7) {
      writeFileSync(file(), salvaged);
      flip(at);
      const store = open(() => true);
      expect(store.facts.get("identity"), `a flipped bit in byte ${at}`).toEqual({ uid: "u" });
      await store.close();
    }
  });
});

describe("the answers of the other voters", () => {
  const own = { term: 4, membership, base: 1 };
  const answer = (term: number, parts: Partial<PromiseReport> = {}): PromiseReport => ({
    term,
    commit: 10,
    membership,
    recovering: false,
    ...parts,
  });
  const among = (answers: Readonly<Record<string, PromiseReport | null>>): ReturnType<typeof conclude> =>
    conclude("a", own, new Map(Object.entries(answers)));

  it("all there, give a term above all that anybody knows", () => {
    expect(among({ b: answer(6), c: answer(9) })).toEqual({ term: 10, trusted: [], membership });
    expect(among({ b: answer(2), c: answer(3) })).toMatchObject({ term: 5 });
  });

  it("say nothing while one of them is missing, or has forgotten itself", () => {
    expect(among({ b: answer(6) })).toBeUndefined();
    expect(among({ b: answer(6), c: null })).toBeUndefined();
    expect(among({ b: answer(6), c: answer(9, { recovering: true }) })).toBeUndefined();
  });

  it("are wanted of those, too, whom only another member knows as a voter", () => {
    const larger = { ...membership, voters: ["a", "b", "c", "d"] };
    expect(among({ b: answer(6, { membership: larger, commit: 20 }), c: answer(6) })).toBeUndefined();
    const all = among({ b: answer(6, { membership: larger, commit: 20 }), c: answer(6), d: answer(8) });
    expect(all).toMatchObject({ term: 9, membership: larger });
  });

  it("are not waited for of who was a voter once, where others know what came after", () => {
    const before = { term: 4, base: 7, membership: { ...membership, voters: ["a", "b", "gone"] } };
    const among = (commit: number): ReturnType<typeof conclude> =>
      conclude("a", before, new Map(["b", "c"].map((node) => [node, answer(6, { commit })])));
    expect(among(7)).toMatchObject({ term: 7, membership });
    // What is written here may be what they have not been told yet.
    expect(among(6)).toBeUndefined();
  });

  it("of a group of two make the other one trusted", () => {
    const pair = { ...membership, voters: ["a", "b"] };
    const known = conclude(
      "a",
      { ...own, membership: pair },
      new Map([["b", answer(6, { membership: pair })]]),
    );
    expect(known).toMatchObject({ term: 7, trusted: ["b"] });
  });
});
