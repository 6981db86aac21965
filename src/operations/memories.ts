// Memories in bulk: JSON Lines in, with several batches under way, and JSON Lines out, shard by shard.
// Single memories need no operation of their own: `engine.memories` has them.

import type { CallOptions, Engine, Progress } from "../engines/engine.ts";
import { formatRecord, parseLine } from "../memory/interchange.ts";
import type { ConsistencyRequest } from "../model/consistency.ts";
import { errorBody, Mem0ctlError } from "../model/errors.ts";
import type { ShardId } from "../model/ids.ts";
import type { LimitsSpec } from "../model/manifest.ts";
import type { ExportPage, MemoryRecord } from "../model/node-api.ts";
import type { ShardMap } from "../model/shard-map.ts";

export interface ImportOptions {
  /** `manifest.embedding.dimensions`: vectors of another length are refused. */
  readonly dimensions: number;
  /** `manifest.limits`: batches keep within them. */
  readonly limits?: Pick<LimitsSpec, "batchMax" | "bodyBytesMax">;
  /** Deadline of each batch in ms, not of the whole import. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly consistency?: ConsistencyRequest;
  readonly onProgress?: (progress: Progress) => void;
  /** Lines before this one (1-based) are not looked at; default 1. */
  readonly fromLine?: number;
  /** Report lines that cannot be imported and go on, instead of stopping at the first. */
  readonly skipInvalid?: boolean;
}

/** A line that is no text that could be imported: `why` as the end of a sentence about it. */
export interface UnreadableLine {
  readonly why: string;
}

/** A line that was not imported, and why. `field` is empty where no single field is to blame. */
export interface RefusedLine {
  readonly line: number;
  readonly field: string;
  readonly message: string;
}

export interface ImportSummary {
  /** Lines read from `fromLine` on, empty ones not counted. */
  readonly lines: number;
  readonly imported: number;
  readonly skipped: number;
  /** The first 100 of the skipped lines. */
  readonly refused: readonly RefusedLine[];
  /** The first line that is not known to be imported or skipped: `--from-line` of the next run. null: none. */
  readonly nextLine: number | null;
}

const BATCH_RECORDS_MAX = 200;
const BATCH_CHARACTERS_MAX = 1 << 20;
const BATCHES_IN_FLIGHT_MAX = 4;
const REFUSED_NAMED_MAX = 100;

interface Batch {
  readonly lines: number[];
  readonly records: MemoryRecord[];
  characters: number;
}

/**
 * Imports memories from lines of the interchange format; ids are kept, or made of what the line says, so importing a
 * line again adds nothing. Without `skipInvalid` it stops at the first line that cannot be imported; every complete line
 * before it has then been imported.
 * @throws Mem0ctlError `import-line-invalid` (kind invalid) or `import-stopped` (the kind of what stopped
 *   it); `data` is the ImportSummary, the message says what was imported and how to go on. As the node
 *   answers, of kind denied, when not even the first batch was let in.
 */
export async function importMemories(
  engine: Engine,
  lines: AsyncIterable<string | UnreadableLine>,
  options: ImportOptions,
): Promise<ImportSummary> {
  const run = new ImportRun(engine, options);
  return run.over(lines);
}

class ImportRun {
  readonly #engine: Engine;
  readonly #options: ImportOptions;
  readonly #recordsMax: number;
  readonly #charactersMax: number;
  readonly #inFlight = new Set<Promise<void>>();
  /** Lines handed to a node and not answered for, with the lines refused: the lowest is where to go on. */
  readonly #open = new Set<number>();
  readonly #refused: RefusedLine[] = [];
  /** When memories were made of which the lines do not say it. */
  readonly #at = new Date().toISOString();
  #batch: Batch = { lines: [], records: [], characters: 0 };
  #lines = 0;
  #imported = 0;
  #skipped = 0;
  #stop: { readonly refused: RefusedLine } | { readonly error: unknown } | undefined;

  constructor(engine: Engine, options: ImportOptions) {
    this.#engine = engine;
    this.#options = options;
    this.#recordsMax = Math.min(BATCH_RECORDS_MAX, options.limits?.batchMax ?? BATCH_RECORDS_MAX);
    // A character takes up to three bytes of UTF-8.
    const bodyCharactersMax = Math.floor((options.limits?.bodyBytesMax ?? Infinity) / 3);
    this.#charactersMax = Math.min(BATCH_CHARACTERS_MAX, bodyCharactersMax);
  }

  async over(lines: AsyncIterable<string | UnreadableLine>): Promise<ImportSummary> {
    const fromLine = this.#options.fromLine ?? 1;
    let number = 0;
    try {
      for await (const line of lines) {
        number += 1;
        if (number < fromLine || (typeof line === "string" && line.trim() === "")) continue;
        await this.#take(line, number);
        if (this.#stop !== undefined) break;
      }
    } catch (error) {
      // Reading ended early: what was imported until then, and how to go on, is told as for any other stop.
      if (!(error instanceof Mem0ctlError)) throw error;
      this.#open.add(Math.max(number + 1, fromLine));
      this.#stop ??= { error };
    }
    // What was read before the bad line is imported all the same: nothing before `nextLine` is missing.
    if (this.#stop === undefined || "refused" in this.#stop) await this.#send();
    await Promise.all(this.#inFlight);
    this.#throwIfStopped();
    return this.#summary();
  }

  async #take(line: string | UnreadableLine, number: number): Promise<void> {
    if (this.#options.signal?.aborted === true) {
      this.#stop = { error: new Mem0ctlError("failed", "interrupted", "interrupted") };
      this.#open.add(number);
      return;
    }
    this.#lines += 1;
    if (typeof line !== "string") {
      this.#refuse({ line: number, field: "", message: `it ${line.why}` });
      return;
    }
    let record: MemoryRecord;
    try {
      record = parseLine(line, number, this.#options.dimensions, this.#at);
    } catch (error) {
      this.#refuse(refusedBy(error, number));
      return;
    }
    const { length } = line;
    if (this.#batch.records.length > 0 && this.#batch.characters + length > this.#charactersMax) {
      await this.#send();
    }
    this.#batch.lines.push(number);
    this.#batch.records.push(record);
    this.#batch.characters += length;
    this.#open.add(number);
    if (this.#batch.records.length >= this.#recordsMax) await this.#send();
  }

  /** Hands the batch over, and waits only while too many are under way. */
  async #send(): Promise<void> {
    const batch = this.#batch;
    if (batch.records.length === 0) return;
    this.#batch = { lines: [], records: [], characters: 0 };
    while (this.#inFlight.size >= BATCHES_IN_FLIGHT_MAX) await Promise.race(this.#inFlight);
    // A batch that failed meanwhile stops the rest; its lines stay open.
    if (this.#stop !== undefined && "error" in this.#stop) return;
    const sent = this.#import(batch).finally(() => this.#inFlight.delete(sent));
    this.#inFlight.add(sent);
  }

  async #import(batch: Batch): Promise<void> {
    const { timeoutMs, signal, consistency } = this.#options;
    try {
      const { imported, failed } = await this.#engine.memories.import(
        { records: batch.records },
        {
          timeoutMs,
          ...(signal === undefined ? {} : { signal }),
          ...(consistency === undefined ? {} : { consistency }),
        },
      );
      for (const line of batch.lines) this.#open.delete(line);
      this.#imported += imported;
      for (const { index, field, message } of failed) {
        this.#refuse({ line: batch.lines[index] ?? 0, field, message });
      }
      this.#options.onProgress?.({
        done: this.#imported,
        total: 0,
        message: `${this.#imported} ${this.#imported === 1 ? "memory" : "memories"} imported`,
      });
    } catch (error) {
      const [only] = batch.lines;
      if (batch.lines.length === 1 && only !== undefined && blamesRecord(error)) {
        this.#open.delete(only);
        this.#refuse(refusedBy(error, only));
      } else {
        this.#stop = { error };
      }
    }
  }

  #refuse(refused: RefusedLine): void {
    if (this.#options.skipInvalid === true) {
      this.#skipped += 1;
      if (this.#refused.length < REFUSED_NAMED_MAX) this.#refused.push(refused);
      return;
    }
    this.#open.add(refused.line);
    this.#stop ??= { refused };
  }

  #summary(): ImportSummary {
    let nextLine: number | null = null;
    for (const line of this.#open) nextLine = nextLine === null ? line : Math.min(nextLine, line);
    return {
      lines: this.#lines,
      imported: this.#imported,
      skipped: this.#skipped,
      refused: this.#refused.toSorted((a, b) => a.line - b.line),
      nextLine,
    };
  }

  #throwIfStopped(): void {
    if (this.#stop === undefined) return;
    const summary = this.#summary();
    const { nextLine } = summary;
    const memories = `${this.#imported} ${this.#imported === 1 ? "memory" : "memories"}`;
    const done =
      nextLine === null
        ? `${memories} imported`
        : `every line before ${nextLine} was imported, ${memories} in all; the rest was not, or not for certain`;
    const goOn =
      nextLine === null ? "" : `go on with --from-line ${nextLine}; importing a line twice is harmless`;
    if ("refused" in this.#stop) {
      const { line, field, message } = this.#stop.refused;
      throw new Mem0ctlError(
        "invalid",
        "import-line-invalid",
        `line ${line} cannot be imported: ${field === "" ? message : `${field}: ${message}`}`,
        {
          why: done,
          hint: `correct it and ${goOn}; or leave such lines out with --skip-invalid`,
          data: { ...summary, refused: [this.#stop.refused] },
        },
      );
    }
    const { error } = errorBody(this.#stop.error);
    // Who was never let in, or asked for what there is not, has nothing to go on with.
    const isRefused = error.kind === "denied" || error.kind === "invalid";
    if (isRefused && this.#imported === 0) throw this.#stop.error;
    throw new Mem0ctlError(error.kind, "import-stopped", `the import stopped: ${error.message}`, {
      why: done,
      hint: goOn === "" ? (error.hint ?? "try again") : goOn,
      data: { ...summary, stoppedBy: error },
      cause: this.#stop.error,
    });
  }
}

/** A refusal of what was sent: with one record in the batch it is that record's, unless it names no part of one. */
function blamesRecord(error: unknown): boolean {
  if (!(error instanceof Mem0ctlError)) return false;
  return (
    error.kind === "too-large" || (error.kind === "invalid" && typeof error.data?.["field"] === "string")
  );
}

function refusedBy(error: unknown, line: number): RefusedLine {
  if (!(error instanceof Mem0ctlError)) throw error;
  const given = error.data?.["field"];
  const field = typeof given === "string" ? given : "";
  // Line and field have places of their own here.
  let { message } = error;
  for (const prefix of [`line ${line}: `, `${field}: `]) {
    if (message.startsWith(prefix)) message = message.slice(prefix.length);
  }
  return { line, field, message };
}

export interface ExportOptions extends CallOptions {
  /** Memories per request; default 200. */
  readonly pageSize?: number;
  /** Told once, at the end. */
  readonly onSummary?: (summary: ExportSummary) => void;
}

export interface ExportSummary {
  readonly memories: number;
  readonly shards: readonly { readonly id: ShardId; readonly memories: number }[];
  /** What the cluster had counted before the export; differs when memories were written meanwhile. */
  readonly expected: number;
}

/**
 * Yields every memory as one line of the interchange format (without its line end), vectors included,
 * shard by shard in order, within a shard in the order of ids. Each request has `timeoutMs`.
 * @throws Mem0ctlError as the nodes answer; `no-live-map` (kind unavailable) when none does; `shards-changed`
 *   (conflict), at the end, where keys went from shard to shard meanwhile: some may be missing, or there twice.
 */
export async function* exportMemories(engine: Engine, options: ExportOptions): AsyncGenerator<string> {
  const { map, live } = await engine.shardMap(options);
  if (!live) {
    throw new Mem0ctlError("unavailable", "no-live-map", "no node answered", {
      why: "an export needs the running cluster",
      hint: "start it with `mem0ctl up`, or see `mem0ctl status`",
    });
  }
  const expected = (await engine.memories.stats(options)).memories;
  const counts: { id: ShardId; memories: number }[] = [];
  let memories = 0;
  for (const shard of map.shards) {
    const count = { id: shard.id, memories: 0 };
    counts.push(count);
    for await (const page of pagesOf(engine, shard.id, options)) {
      for (const record of page.records) yield formatRecord(record);
      count.memories += page.records.length;
      memories += page.records.length;
      options.onProgress?.({ done: memories, total: expected, message: `${memories} memories exported` });
    }
  }
  refuseChanged(map, (await engine.shardMap(options)).map);
  options.onSummary?.({ memories, shards: counts, expected });
}

/** Shards are read one after the other: what goes from one that is still to come to one that was read is missed. */
function refuseChanged(before: ShardMap, after: ShardMap): void {
  const keysOf = ({ shards }: ShardMap): string =>
    shards.flatMap(({ id, version, founding }) => (founding ? [] : `${id} ${version ?? 0}`)).join();
  if (keysOf(before) === keysOf(after)) return;
  throw new Mem0ctlError("conflict", "shards-changed", "keys went from shard to shard during the export", {
    why: "a shard was split or merged, or a key was pinned: memories may be missing, or there twice",
    hint: "export again; `mem0ctl shards rebalance --status` shows whether another operation runs",
  });
}

async function* pagesOf(engine: Engine, shard: ShardId, options: ExportOptions): AsyncGenerator<ExportPage> {
  const limit = options.pageSize ?? 200;
  let cursor: string | null = null;
  do {
    const page: ExportPage = await engine.memories.export({ shard, cursor, limit }, options);
    yield page;
    if (page.cursor !== null && page.cursor === cursor) {
      throw new Mem0ctlError("failed", "export-stuck", `the export of shard ${shard} does not advance`, {
        why: "a node gave the same cursor twice",
        hint: "the node may run another version; see `mem0ctl nodes list -o wide`",
      });
    }
    cursor = page.cursor;
  } while (cursor !== null);
}
