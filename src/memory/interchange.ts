// The interchange format: JSON Lines, one memory per line with all that belongs to it, its vector and its
// history included, so that export and import lose nothing. A line that nobody exported may say no more than what is
// remembered of whom, or be a memory as mem0 answers with it. Text in, record out, and back; no streams.

import { Mem0ctlError } from "../model/errors.ts";
import type { MemoryEvent, MemoryRecord } from "../model/node-api.ts";
import { contentId } from "./id.ts";
import { checkRecord, FieldError, isPlainObject } from "./record.ts";
import type { FieldProblem } from "./record.ts";

/** Longest line, in UTF-8 bytes without its end: 8 MiB. */
const LINE_BYTES_MAX = 8_388_608;

/** 10^0 to 10^22: later ones are not exact doubles, and a quotient by them is not correctly rounded. */
const EXACT_POWERS_OF_TEN = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));

/**
 * One line without its end, fields in a fixed order. Vectors are written with as few digits as give the
 * same float32 back (Steele and White, "How to Print Floating-Point Numbers Accurately", PLDI 1990).
 */
export function formatRecord(record: MemoryRecord): string {
  return JSON.stringify({
    id: record.id,
    memory: record.memory,
    user_id: record.user_id,
    agent_id: record.agent_id,
    run_id: record.run_id,
    app_id: record.app_id,
    metadata: record.metadata,
    categories: record.categories,
    created_at: record.created_at,
    updated_at: record.updated_at,
    embedding: record.embedding?.map(shortestFloat32),
    history: record.history?.map(orderedEvent),
  });
}

function orderedEvent(event: MemoryEvent): MemoryEvent {
  return {
    id: event.id,
    event: event.event,
    old_memory: event.old_memory,
    new_memory: event.new_memory,
    created_at: event.created_at,
  };
}

/**
 * The record of one line. `lineNumber` counts from 1 and heads every message. A line without times is of `at`, a date
 * of RFC 3339; one without an id has one that is made of what it says, so that it is the same memory when it is read
 * again, at another place, too. What is null is left out, and so is mem0's `hash`, which is made of the text. Throws
 * kind `invalid`, code `line-invalid`, with `data` {line, field, problems: FieldProblem[]} naming every wrong or unknown
 * field.
 */
export function parseLine(line: string, lineNumber: number, dimensions: number, at: string): MemoryRecord {
  if (line.length * 3 > LINE_BYTES_MAX && Buffer.byteLength(line) > LINE_BYTES_MAX) {
    throw lineError(lineNumber, [
      { field: "record", message: `the line is longer than the limit of ${LINE_BYTES_MAX} bytes` },
    ]);
  }
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    // The parser's own message quotes the text, which may be of any length and hold anything.
    throw lineError(lineNumber, [{ field: "record", message: "the line is not a JSON object" }]);
  }
  try {
    return completed(json, dimensions, at);
  } catch (error) {
    if (error instanceof FieldError) throw lineError(lineNumber, error.problems);
    throw error;
  }
}

function completed(json: unknown, dimensions: number, at: string): MemoryRecord {
  if (!isPlainObject(json)) return checkRecord(json, dimensions);
  const given = Object.fromEntries(
    Object.entries(json).filter(([field, value]) => field !== "hash" && value !== null),
  );
  const record = checkRecord({ id: ID_TO_COME, created_at: at, updated_at: at, ...given }, dimensions);
  const { id, created_at: created, updated_at: updated } = given;
  const dated = {
    ...record,
    ...(created === undefined && updated !== undefined ? { created_at: record.updated_at } : {}),
    ...(updated === undefined && created !== undefined ? { updated_at: record.created_at } : {}),
  };
  if (id !== undefined) return dated;
  // Not what may be made of it later (a vector), nor when it is read.
  const { memory, user_id, agent_id, run_id, app_id, metadata, categories } = record;
  const said = [memory, user_id, agent_id, run_id, app_id, metadata, categories, created, updated];
  return { ...dated, id: contentId(JSON.stringify(said, inOrder)) };
}

/** For JSON.stringify: the same text of equal objects, in whichever order their keys came. */
function inOrder(_key: string, value: unknown): unknown {
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

/** Passes for an id until what the line says has been checked. */
const ID_TO_COME = "id";

function lineError(line: number, problems: readonly FieldProblem[]): Mem0ctlError {
  const shown = problems.map((problem) => `${problem.field}: ${problem.message}`).join("; ");
  return new Mem0ctlError("invalid", "line-invalid", `line ${line}: ${shown}`, {
    data: { line, field: problems[0]?.field ?? "record", problems },
  });
}

/**
 * The decimal with the fewest digits that rounds to the same float32, as the double nearest to it. Nine
 * digits are always enough; a number that the scaling cannot reach is returned as the float32 it is.
 */
function shortestFloat32(value: number): number {
  const target = Math.fround(value);
  const leadingDigit = Math.floor(Math.log10(Math.abs(target)));
  // Most of a vector's numbers need 8 or 9 digits; whoever needs at most 6 is found at 7 as well.
  for (let digits = 7; digits <= 9; digits += 1) {
    const scale = EXACT_POWERS_OF_TEN[digits - 1 - leadingDigit];
    if (scale === undefined) break;
    const decimal = Math.round(target * scale) / scale;
    if (Math.fround(decimal) === target) return decimal;
  }
  return target;
}
