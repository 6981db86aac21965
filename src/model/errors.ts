// One family of errors. Every error that a person can meet has a stable code, says what, why and what
// to do, and belongs to a kind from which the CLI takes its exit code (in one place: cli/exit.ts).

/** Kinds map one to one to exit codes and HTTP statuses; codes are finer and never reused. */
export type ErrorKind =
  | "failed" // exit 1, HTTP 500
  | "invalid" // exit 2, HTTP 400: usage or invalid input
  | "not-found" // exit 1, HTTP 404
  | "degraded" // exit 3
  | "unavailable" // exit 4, HTTP 503: no quorum, or nothing answered; certainly not done
  | "unknown-outcome" // exit 5, HTTP 504: timed out; a write may or may not have happened
  | "conflict" // exit 6, HTTP 409
  | "denied" // exit 7, HTTP 401 or 403
  | "too-large" // exit 2, HTTP 413
  | "busy" // exit 1, HTTP 429: a bound was reached; try later
  | "full"; // exit 1, HTTP 507: a disk is full

export interface ErrorDetails {
  /** Why it happened: one line. */
  readonly why?: string;
  /** What to do about it: one line. */
  readonly hint?: string;
  /** Machine-readable extras for `-o json`; never secrets. */
  readonly data?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** An error with a stable `code` (kebab-case, e.g. `port-taken`), a `kind`, and the three lines. */
export class Mem0ctlError extends Error {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly why: string | undefined;
  readonly hint: string | undefined;
  readonly data: Readonly<Record<string, unknown>> | undefined;

  constructor(kind: ErrorKind, code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "Mem0ctlError";
    this.kind = kind;
    this.code = code;
    this.why = details.why;
    this.hint = details.hint;
    this.data = details.data;
  }
}

/** The body of every HTTP error that a node answers with. `detail` is the field mem0's clients read. */
export interface ErrorBody {
  readonly error: {
    readonly kind: ErrorKind;
    readonly code: string;
    readonly message: string;
    readonly why?: string;
    readonly hint?: string;
    readonly requestId?: string;
    readonly data?: Readonly<Record<string, unknown>>;
  };
  readonly detail: string;
}

export const HTTP_STATUS: Readonly<Record<ErrorKind, number>> = {
  failed: 500,
  invalid: 400,
  "not-found": 404,
  degraded: 503,
  unavailable: 503,
  "unknown-outcome": 504,
  conflict: 409,
  denied: 403,
  "too-large": 413,
  busy: 429,
  full: 507,
};

/** A plain-data form of any thrown value, for HTTP bodies, peer messages and `-o json`. */
export function errorBody(error: unknown, requestId?: string): ErrorBody {
  const known =
    error instanceof Mem0ctlError
      ? error
      : new Mem0ctlError("failed", "internal", error instanceof Error ? error.message : String(error));
  return {
    error: {
      kind: known.kind,
      code: known.code,
      message: known.message,
      ...(known.why === undefined ? {} : { why: known.why }),
      ...(known.hint === undefined ? {} : { hint: known.hint }),
      ...(known.data === undefined ? {} : { data: known.data }),
      ...(requestId === undefined ? {} : { requestId }),
    },
    detail: known.message,
  };
}

/** The reverse of `errorBody`, for a client that received one. */
export function errorFromBody(body: ErrorBody): Mem0ctlError {
  const { kind, code, message, why, hint, data } = body.error;
  return new Mem0ctlError(kind, code, message, {
    ...(why === undefined ? {} : { why }),
    ...(hint === undefined ? {} : { hint }),
    ...(data === undefined ? {} : { data }),
  });
}
