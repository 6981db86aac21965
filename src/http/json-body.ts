// Reads a JSON body. JSON.parse is safe by itself; what follows it often is not, so that what could hurt
// later (deep nesting, keys that reach a prototype, bytes that are not UTF-8) ends here.

import { isUtf8 } from "node:buffer";
import { Mem0ctlError } from "../model/errors.ts";

const JSON_DEPTH_MAX = 32;

/** The value, or undefined for an empty body. Throws kind `invalid`: `json-invalid`, `json-too-deep`, `key-forbidden`. */
export function parseJsonBody(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  if (!isUtf8(body)) throw new Mem0ctlError("invalid", "json-invalid", "the body is not UTF-8");
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch (error) {
    throw new Mem0ctlError("invalid", "json-invalid", "the body is not JSON", {
      why: error instanceof Error ? error.message : "it could not be parsed",
    });
  }
  checkNesting(value, 1);
  return value;
}

function checkNesting(value: unknown, depth: number): void {
  if (typeof value !== "object" || value === null) return;
  if (depth > JSON_DEPTH_MAX) {
    throw new Mem0ctlError("invalid", "json-too-deep", `the body is nested deeper than ${JSON_DEPTH_MAX}`);
  }
  if (Array.isArray(value)) {
    // Vectors are most of what is walked here: one typeof per number.
    for (const item of value) if (typeof item === "object") checkNesting(item, depth + 1);
    return;
  }
  for (const [key, item] of Object.entries(value)) {
    if (key === "__proto__") {
      throw new Mem0ctlError("invalid", "key-forbidden", "the body has a key __proto__");
    }
    if (typeof item === "object") checkNesting(item, depth + 1);
  }
}
