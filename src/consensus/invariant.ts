// Assertions for bugs: what must hold whatever peers send. Operations that merely fail never come here.

import { Mem0ctlError } from "../model/errors.ts";

/** @throws Mem0ctlError `consensus-invariant` when `holds` is false */
export function invariant(holds: boolean, promise: string): asserts holds {
  if (holds) return;
  throw new Mem0ctlError("failed", "consensus-invariant", `a replica's invariant is broken: ${promise}`, {
    why: "this is a bug, or what was read from disk is not what was written",
    hint: "keep the data directory and report it; repair this replica from a peer",
  });
}
