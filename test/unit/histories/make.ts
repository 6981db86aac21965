// Histories written down briefly for the tests of the checkers: `ok(0, 2, "a", "add", "1")`.

import type { Operation, OperationKind, Outcome } from "../../histories/history.ts";

let clients = 0;

function operation(
  outcome: Outcome,
  invoked: number,
  returned: number,
  key: string,
  kind: OperationKind,
  value: string | null,
): Operation {
  clients += 1;
  return { client: `client-${clients}`, key, kind, value, invoked, returned, outcome };
}

/** An operation of key `k` that was acknowledged. */
export function ok(
  invoked: number,
  returned: number,
  kind: OperationKind,
  value: string | null = null,
): Operation {
  return operation("ok", invoked, returned, "k", kind, value);
}

/** One whose end nobody knows. */
export function unknown(invoked: number, kind: OperationKind, value: string | null = null): Operation {
  return operation("unknown", invoked, Infinity, "k", kind, value);
}

/** One that was certainly not done. */
export function failed(
  invoked: number,
  returned: number,
  kind: OperationKind,
  value: string | null = null,
): Operation {
  return operation("failed", invoked, returned, "k", kind, value);
}

export function staleRead(
  invoked: number,
  returned: number,
  value: string | null,
  staleness = Infinity,
): Operation {
  return { ...ok(invoked, returned, "read", value), staleness };
}
