// Bulk import and export: nothing is lost on the way, and after a stop it is said exactly how to go on.

import { describe, expect, it } from "vitest";

import { formatRecord } from "../../../src/memory/interchange.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { MemoryRecord } from "../../../src/model/node-api.ts";
import { exportMemories, importMemories } from "../../../src/operations/memories.ts";
import { mapAfterHandover } from "../../../src/topology/handovers.ts";
import type { ExportSummary, ImportOptions, ImportSummary } from "../../../src/operations/memories.ts";
import { collect, errorOf, scriptedEngine } from "./support.ts";

const options: ImportOptions = { dimensions: 4, timeoutMs: 1000 };

function recordOf(index: number): MemoryRecord {
  return {
    id: `m${String(index).padStart(5, "0")}`,
    memory: `memory number ${index}: "quoted", Grüße 🙂`,
    user_id: `user-${index % 7}`,
    metadata: { index },
    created_at: "2026-01-01T00:00:00.000Z",
    updated_at: "2026-01-02T00:00:00.000Z",
    embedding: [0.5, -0.25, Math.fround(0.1), index + 1],
  };
}

function linesOf(count: number): string[] {
  return Array.from({ length: count }, (_, index) => formatRecord(recordOf(index + 1)));
}

async function* each(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

it("an export during which a shard was split does not pass for a whole one", async () => {
  const engine = scriptedEngine();
  const { map } = await engine.shardMap({ timeoutMs: 1000 });
  const split = mapAfterHandover(map, { kind: "split", shard: "0", at: "100", into: "3" });
  const maps = [map, split];
  const moving = {
    ...engine,
    shardMap: () => Promise.resolve({ map: maps.shift() ?? split, live: true }),
  };
  const error = await errorOf(collect(exportMemories(moving, { timeoutMs: 1000 })));
  expect(error).toMatchObject({ kind: "conflict", code: "shards-changed" });
});

describe("export after import", () => {
  it("counts in words that fit the number", async () => {
    for (const [count, words] of [
      [1, "1 memory imported"],
      [2, "2 memories imported"],
    ] as const) {
      const said: string[] = [];
      const onProgress = ({ message }: { message: string }): number => said.push(message);
      await importMemories(scriptedEngine(), each(linesOf(count)), { ...options, onProgress });
      expect(said.at(-1)).toBe(words);
    }
  });

  it("loses nothing and is in order", async () => {
    const engine = scriptedEngine();
    const lines = linesOf(1001);
    const summary = await importMemories(engine, each(lines), options);
    expect(summary).toEqual({ lines: 1001, imported: 1001, skipped: 0, refused: [], nextLine: null });
    const summaries: ExportSummary[] = [];
    const exported = await collect(
      exportMemories(engine, { timeoutMs: 1000, pageSize: 100, onSummary: (given) => summaries.push(given) }),
    );
    expect(exported.toSorted()).toEqual(lines);
    expect(summaries).toEqual([
      {
        memories: 1001,
        expected: 1001,
        shards: [
          { id: "0", memories: 333 },
          { id: "1", memories: 334 },
          { id: "2", memories: 334 },
        ],
      },
    ]);
  });

  it("is refused while nothing answers", async () => {
    const engine = scriptedEngine({ live: false });
    const error = await errorOf(collect(exportMemories(engine, { timeoutMs: 1 })));
    expect(error).toMatchObject({ kind: "unavailable", code: "no-live-map" });
  });
});

describe("import", () => {
  it("keeps several batches under way, each within the limits", async () => {
    const sizes: number[] = [];
    let under = 0;
    let most = 0;
    const engine = scriptedEngine({
      async import(records) {
        sizes.push(records.length);
        under += 1;
        most = Math.max(most, under);
        await new Promise((resolve) => setImmediate(resolve));
        under -= 1;
        return undefined;
      },
    });
    const progress: number[] = [];
    await importMemories(engine, each(linesOf(1500)), {
      ...options,
      limits: { batchMax: 100, bodyBytesMax: 10_000_000 },
      onProgress: ({ done }) => progress.push(done),
    });
    expect(sizes).toEqual(Array(15).fill(100));
    expect(most).toBe(4);
    expect(progress.at(-1)).toBe(1500);
  });

  it("cuts batches by size, but never a record", async () => {
    const sizes: number[] = [];
    const engine = scriptedEngine({
      async import(records) {
        sizes.push(records.length);
        return undefined;
      },
    });
    const line = formatRecord(recordOf(1));
    await importMemories(engine, each(linesOf(9)), {
      ...options,
      limits: { batchMax: 100, bodyBytesMax: line.length * 3 * 2 + 30 },
    });
    expect(sizes).toEqual([2, 2, 2, 2, 1]);
  });

  it("with a bad line 431 of 600: everything before it is imported, and how to go on is said", async () => {
    const engine = scriptedEngine();
    const lines = linesOf(600);
    lines[430] = lines[430]?.replace('"memory":', '"memry":') ?? "";
    const error = await errorOf(importMemories(engine, each(lines), options));
    expect(error).toMatchObject({
      kind: "invalid",
      code: "import-line-invalid",
      message: expect.stringMatching(/^line 431 cannot be imported: mem/),
      why: expect.stringContaining("every line before 431 was imported, 430 memories in all"),
      hint: expect.stringContaining("--from-line 431"),
      data: { imported: 430, nextLine: 431, refused: [{ line: 431 }] },
    });
    expect(engine.stored.size).toBe(430);

    lines[430] = linesOf(431)[430] ?? "";
    const rest = await importMemories(engine, each(lines), { ...options, fromLine: 431 });
    expect(rest).toMatchObject({ lines: 170, imported: 170, nextLine: null });
    expect(engine.stored.size).toBe(600);
  });

  it("leaves bad lines out when asked to, and says which and why", async () => {
    const engine = scriptedEngine();
    const lines = linesOf(300);
    lines[9] = "{";
    lines[19] = lines[19]?.replace("[0.5,", '["x",') ?? "";
    const summary = await importMemories(engine, each(["", ...lines]), { ...options, skipInvalid: true });
    expect(summary).toMatchObject({ lines: 300, imported: 298, skipped: 2, nextLine: null });
    expect(summary.refused.map(({ line }) => line)).toEqual([11, 21]);
    expect(summary.refused[1]?.field).toMatch(/^embedding/);
    expect(summary.refused[1]?.message).not.toContain("line 21");
  });

  it("treats a record that a node refuses like a bad line", async () => {
    const refusing = scriptedEngine({
      async import(records) {
        const index = records.findIndex(({ id }) => id === "m00250");
        if (index < 0) return undefined;
        const failed = [{ index, field: "user_id", message: "is not allowed" }];
        return { imported: records.length - 1, failed };
      },
    });
    const error = await errorOf(importMemories(refusing, each(linesOf(300)), options));
    expect(error).toMatchObject({
      code: "import-line-invalid",
      message: "line 250 cannot be imported: user_id: is not allowed",
      data: { nextLine: 250, imported: 299 },
    });
    const skipping = await importMemories(refusing, each(linesOf(300)), { ...options, skipInvalid: true });
    expect(skipping).toMatchObject({ imported: 299, skipped: 1, refused: [{ line: 250 }] });
  });

  it("at a level that the cluster does not have is refused as such, and no line is blamed or left out", async () => {
    const refused = new Mem0ctlError("invalid", "consistency-not-in-protocol", "not to one", {
      hint: "leave the level out",
    });
    const engine = scriptedEngine({ import: () => Promise.reject(refused) });
    for (const count of [1, 201, 300]) {
      for (const skipInvalid of [true, false]) {
        expect(await errorOf(importMemories(engine, each(linesOf(count)), { ...options, skipInvalid }))).toBe(
          refused,
        );
      }
    }
  });

  it("stopped by a lost answer: the kind is that of the loss, and nothing before nextLine is missing", async () => {
    const engine = scriptedEngine({
      async import(records) {
        if (records.some(({ id }) => id === "m00500")) {
          throw new Mem0ctlError("unknown-outcome", "outcome-unknown", "no answer");
        }
        return undefined;
      },
    });
    const error = await errorOf(importMemories(engine, each(linesOf(5000)), options));
    expect(error).toMatchObject({ kind: "unknown-outcome", code: "import-stopped" });
    // The summary is what the error's documentation says is in `data`.
    const summary = error.data as unknown as ImportSummary;
    expect(summary.nextLine).toBe(401);
    for (let index = 1; index < 401; index += 1) {
      expect(engine.stored.has(recordOf(index).id)).toBe(true);
    }
    expect(engine.stored.size).toBe(summary.imported);
    expect(error.hint).toContain("--from-line 401");
  });

  it("of lines without ids and times, a second run of the file doubles nothing", async () => {
    const lines = Array.from({ length: 450 }, (_, at) =>
      JSON.stringify({ memory: `memory number ${at}`, user_id: `user-${at % 7}` }),
    );
    let isLost = true;
    const engine = scriptedEngine({
      async import(records) {
        if (isLost && records.some(({ memory }) => memory === "memory number 300")) {
          for (const record of records) engine.stored.set(record.id, record);
          throw new Mem0ctlError("unknown-outcome", "outcome-unknown", "no answer");
        }
        return undefined;
      },
    });
    const error = await errorOf(importMemories(engine, each(lines), options));
    expect(error.hint).toContain("--from-line 201");
    isLost = false;
    await importMemories(engine, each(lines), { ...options, fromLine: 201 });
    expect(engine.stored.size).toBe(450);
    expect(await importMemories(engine, each(lines), options)).toMatchObject({ imported: 450 });
    expect(engine.stored.size).toBe(450);
    for (const { created_at, updated_at } of engine.stored.values()) {
      expect(new Date(created_at).toISOString()).toBe(updated_at);
    }
  });

  it("ends when it is interrupted, and says how to go on", async () => {
    const interruption = new AbortController();
    async function* interrupted(): AsyncGenerator<string> {
      for (const [index, line] of linesOf(500).entries()) {
        if (index === 450) interruption.abort();
        yield line;
      }
    }
    const error = await errorOf(
      importMemories(scriptedEngine(), interrupted(), { ...options, signal: interruption.signal }),
    );
    expect(error).toMatchObject({ code: "import-stopped", data: { imported: 400, nextLine: 401 } });
  });
});
