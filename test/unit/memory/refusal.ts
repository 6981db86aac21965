// What the tests of this room share.

import { Mem0ctlError } from "../../../src/model/errors.ts";

/** The Mem0ctlError that the call throws; fails when it throws none, or something else. */
export function refusal(call: () => unknown): Mem0ctlError {
  try {
    call();
  } catch (error) {
    if (error instanceof Mem0ctlError) return error;
    throw error;
  }
  throw new Error("the call was expected to be refused, and was not");
}

/** `done` or `refused` (by a Mem0ctlError); any other error is thrown on. */
export function outcome(call: () => unknown): "done" | "refused" {
  try {
    call();
    return "done";
  } catch (error) {
    if (error instanceof Mem0ctlError) return "refused";
    throw error;
  }
}
