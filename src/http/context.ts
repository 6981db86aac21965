// What of a request is not its body: its id, its deadline, the levels of its reads and writes, and how much
// it may bring. Throws FieldError naming the header.

import type { IncomingHttpHeaders } from "node:http";
import {
  parseReadLevel,
  parseWriteLevel,
  resolveConsistency,
  STALENESS_MS_MAX,
  type Consistency,
  type ConsistencyTerms,
} from "../model/consistency.ts";
import type { CallContext } from "../memory/service.ts";
import { refuse } from "./shapes.ts";

const TIMEOUT_MS_DEFAULT = 10_000;
const TIMEOUT_MS_MAX = 60_000;
const WRITE_LEVELS = "one, quorum, all or a number of copies";
const READ_LEVELS = `linearizable, stale, ${WRITE_LEVELS}`;
const REQUEST_ID = /^[A-Za-z0-9._:-]{1,64}$/;

/** The deadline counts from when the body is in. */
export function contextOf(
  headers: IncomingHttpHeaders,
  requestId: string,
  terms: ConsistencyTerms,
): CallContext {
  const timeout = headers["x-timeout-ms"];
  const timeoutMs = timeout === undefined ? TIMEOUT_MS_DEFAULT : Number(timeout);
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > TIMEOUT_MS_MAX) {
    throw refuse("X-Timeout-Ms", `must be a whole number, 1 to ${TIMEOUT_MS_MAX}`);
  }
  const consistency = consistencyOf(headers, terms);
  return { deadlineMs: performance.now() + timeoutMs, requestId, consistency };
}

/** A request that asks for nothing, which is nearly every one, gets what was made once. */
function consistencyOf(headers: IncomingHttpHeaders, terms: ConsistencyTerms): Consistency {
  const read = headers["x-consistency"];
  const write = headers["x-write-consistency"];
  const bound = headers["x-max-staleness-ms"];
  if (read === undefined && write === undefined && bound === undefined) return terms.defaults;
  const readLevel = levelIn("X-Consistency", READ_LEVELS, read, parseReadLevel);
  const writeLevel = levelIn("X-Write-Consistency", WRITE_LEVELS, write, parseWriteLevel);
  const boundMs = typeof bound === "string" && /^\d{1,9}$/.test(bound) ? Number(bound) : undefined;
  if (bound !== undefined && boundMs === undefined) {
    throw refuse("X-Max-Staleness-Ms", `must be a whole number, 1 to ${STALENESS_MS_MAX}`);
  }
  return resolveConsistency(
    {
      ...(readLevel === undefined ? {} : { read: readLevel }),
      ...(writeLevel === undefined ? {} : { write: writeLevel }),
      ...(boundMs === undefined ? {} : { maxStalenessMs: boundMs }),
    },
    terms,
  );
}

function levelIn<Level>(
  header: string,
  levels: string,
  value: string | string[] | undefined,
  parse: (text: string) => Level | undefined,
): Level | undefined {
  if (value === undefined) return undefined;
  const level = typeof value === "string" ? parse(value) : undefined;
  if (level === undefined) throw refuse(header, `must be ${levels}`);
  return level;
}

/** A body whose length is not announced counts as the largest that is read. */
export function bodyBytesOf(headers: IncomingHttpHeaders, bodyBytesMax: number): number {
  if (headers["transfer-encoding"] !== undefined) return bodyBytesMax;
  const length = Number(headers["content-length"] ?? 0);
  return length >= 0 ? Math.min(length, bodyBytesMax) : bodyBytesMax;
}

const FIRST = `${process.pid.toString(36)}-${Date.now().toString(36)}`;
let count = 0;

/** The caller's own id where it is a sane one, else one that this process has not given before. */
export function requestIdOf({ headers }: { readonly headers: IncomingHttpHeaders }): string {
  const given = headers["x-request-id"];
  if (typeof given === "string" && REQUEST_ID.test(given)) return given;
  count += 1;
  return `${FIRST}-${count.toString(36)}`;
}
