// The one place that chooses exit codes. A command returns one of these or throws; nothing else in the
// program knows a number.

import type { ErrorKind } from "../model/errors.ts";
import type { Health } from "../model/view.ts";

export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  degraded: 3,
  unavailable: 4,
  unknownOutcome: 5,
  conflict: 6,
  denied: 7,
  /** `plan --detailed-exitcode`: something is different. */
  changes: 10,
  /** Ended by Ctrl-C, as a shell reports it: 128 + SIGINT. */
  interrupted: 130,
  /** Ended by SIGTERM: 128 + 15. */
  terminated: 143,
  /** Its terminal was closed, or the connection to it lost: 128 + SIGHUP. */
  hungUp: 129,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const BY_KIND: Readonly<Record<ErrorKind, ExitCode>> = {
  failed: EXIT.failed,
  invalid: EXIT.usage,
  "not-found": EXIT.failed,
  degraded: EXIT.degraded,
  unavailable: EXIT.unavailable,
  "unknown-outcome": EXIT.unknownOutcome,
  conflict: EXIT.conflict,
  denied: EXIT.denied,
  "too-large": EXIT.usage,
  busy: EXIT.failed,
  full: EXIT.failed,
};

export function exitCodeOfKind(kind: ErrorKind): ExitCode {
  return BY_KIND[kind];
}

/** What `status` exits with; with `failOn` unavailable a degraded cluster is still good enough. */
export function exitCodeOfHealth(health: Health, failOn: "degraded" | "unavailable"): ExitCode {
  if (health === "unavailable") return EXIT.unavailable;
  return health === "degraded" && failOn === "degraded" ? EXIT.degraded : EXIT.done;
}

/** What a command ends with that was told to by a signal; `reason` as `main.ts` gives it. */
export function exitCodeOfSignal({ reason }: AbortSignal): ExitCode {
  return reason === EXIT.terminated || reason === EXIT.hungUp ? reason : EXIT.interrupted;
}
