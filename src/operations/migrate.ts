// Everything that one cluster keeps, brought to another, whatever engine either runs: vectors, metadata and
// histories included. A pass reads both sides, compares every memory by a hash of its content, and copies
// what is missing or different. When a pass that read as many memories as the source counts finds nothing to
// copy, both sides are the same, and that is the proof. No notes are kept: whoever was killed is run again and copies what is still missing.

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import type { Engine, Progress } from "../engines/engine.ts";
import { errorBody, Mem0ctlError } from "../model/errors.ts";
import type { Manifest } from "../model/manifest.ts";
import { exportMemories, importMemories, type ExportSummary } from "./memories.ts";

export interface MigrationSide {
  readonly engine: Engine;
  readonly manifest: Manifest;
}

export interface MigrationOptions {
  /** Deadline of each request in ms. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Most memories copied per second; undefined: as fast as both sides go. */
  readonly rateMax?: number;
}

export interface MigrationSummary {
  /** Memories of the source, each found in the target with the same content. */
  readonly memories: number;
  /** Copied by this run; the others were there already. */
  readonly copied: number;
  /** In the target and not in the source: left as they are. */
  readonly others: number;
  /** Of all of the source's memories together, whatever their order; the same on both sides. */
  readonly contentHash: string;
  readonly passes: number;
}

/** Passes, the last of which copies nothing: more only help while the source is written to. */
const PASSES_MAX = 6;
const HASH_BYTES = 16;
const LINE_ID = /^\{"id":"([A-Za-z0-9_-]+)"/;

/**
 * @throws Mem0ctlError `migration-dimensions` (kind invalid), `migration-stopped` (the kind of what stopped
 *   it), `migration-unsettled` (kind conflict: the source is still being written to).
 */
export async function migrate(
  from: MigrationSide,
  to: MigrationSide,
  options: MigrationOptions,
): Promise<MigrationSummary> {
  checkDimensions(from.manifest, to.manifest);
  let copied = 0;
  for (let pass = 1; pass <= PASSES_MAX; pass += 1) {
    const target = await contentOf(to.engine, "reading the target", options);
    const { source, changed, isWhole } = await copyPass(from.engine, to, target, copied, options);
    copied += changed;
    if (changed > 0 || !isWhole) continue;
    return {
      memories: source.size,
      copied,
      others: [...target.keys()].filter((id) => !source.has(id)).length,
      contentHash: combined(source.values()),
      passes: pass,
    };
  }
  throw new Mem0ctlError("conflict", "migration-unsettled", "the two clusters are not the same yet", {
    why: `after ${PASSES_MAX} passes there was still something to copy, or the source counted others than it gave: it is being written to`,
    hint: "stop the writers of the source and run the same command again; it copies what is missing",
    data: { copied },
  });
}

function checkDimensions(from: Manifest, to: Manifest): void {
  const [here, there] = [from.embedding.dimensions, to.embedding.dimensions];
  if (here === there) return;
  throw new Mem0ctlError(
    "invalid",
    "migration-dimensions",
    "the two clusters have vectors of different lengths",
    {
      why: `those of ${from.name} have ${here} numbers, those of ${to.name} ${there}`,
      hint: "set spec.embedding of the target as the source has it",
    },
  );
}

/** Hash of each memory's content by id. */
type Content = ReadonlyMap<string, string>;

async function contentOf(engine: Engine, message: string, options: MigrationOptions): Promise<Content> {
  const content = new Map<string, string>();
  for await (const line of linesOf(engine, options)) {
    content.set(idIn(line), hashOf(line));
    if (content.size % 1000 === 0) options.onProgress?.({ done: content.size, total: 0, message });
  }
  return content;
}

/** Reads the source once and copies what the target lacks or has otherwise. */
async function copyPass(
  from: Engine,
  to: MigrationSide,
  target: Content,
  copiedBefore: number,
  options: MigrationOptions,
): Promise<{ readonly source: Content; readonly changed: number; readonly isWhole: boolean }> {
  const source = new Map<string, string>();
  let changed = 0;
  let isWhole = false;
  const seen = ({ memories, expected }: ExportSummary): void => {
    isWhole = memories === expected;
  };
  const missing = async function* (): AsyncGenerator<string> {
    const sinceMs = performance.now();
    for await (const line of linesOf(from, options, seen)) {
      const id = idIn(line);
      const hash = hashOf(line);
      source.set(id, hash);
      if (target.get(id) === hash) continue;
      changed += 1;
      if (options.rateMax !== undefined) {
        const aheadMs = (changed / options.rateMax) * 1000 - (performance.now() - sinceMs);
        if (aheadMs > 0) await sleep(aheadMs);
      }
      yield line;
    }
  };
  try {
    await importMemories(to.engine, missing(), {
      dimensions: to.manifest.embedding.dimensions,
      limits: to.manifest.limits,
      timeoutMs: options.timeoutMs,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      onProgress: ({ done }) =>
        options.onProgress?.({
          done: copiedBefore + done,
          total: 0,
          message: `${copiedBefore + done} memories copied`,
        }),
    });
  } catch (error) {
    throw stoppedBy(error, copiedBefore + changed);
  }
  return { source, changed, isWhole };
}

function linesOf(
  engine: Engine,
  { timeoutMs, signal }: MigrationOptions,
  onSummary: (summary: ExportSummary) => void = () => {},
): AsyncGenerator<string> {
  return exportMemories(engine, { timeoutMs, onSummary, ...(signal === undefined ? {} : { signal }) });
}

/** A line's first field is the id. */
function idIn(line: string): string {
  const id = LINE_ID.exec(line)?.[1];
  if (id === undefined) throw new Error("a line of an export begins with the memory's id");
  return id;
}

function hashOf(line: string): string {
  return createHash("sha256")
    .update(line)
    .digest("hex")
    .slice(0, 2 * HASH_BYTES);
}

/** Whatever the order: each hash is of one memory, and no two memories share an id. */
function combined(hashes: Iterable<string>): string {
  const all = createHash("sha256");
  for (const hash of [...hashes].toSorted()) all.update(hash);
  return all.digest("hex");
}

function stoppedBy(cause: unknown, copied: number): Mem0ctlError {
  const { error } = errorBody(cause);
  return new Mem0ctlError(error.kind, "migration-stopped", `the migration stopped: ${error.message}`, {
    why: `some ${copied} memories were copied or on their way`,
    hint: "run the same command again: it goes on with what is missing, and what is there twice is harmless",
    data: { copied, stoppedBy: error },
    cause,
  });
}
