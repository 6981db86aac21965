// The JSON that scripts read: two-space indentation, one line end, keys in the order of the value. Loads
// next to nothing, so that `-o json` starts fast.

import { replaceUnsafe } from "./safe.ts";

/** The value as JSON text. What a terminal would act upon or hide is escaped, which any parser undoes. */
export function renderJson(value: unknown): string {
  return `${replaceUnsafe(JSON.stringify(value, null, 2), (character) =>
    // Line ends are the indentation's: within strings JSON has escaped them.
    character === "\n" ? character : escapeUnits(character),
  )}\n`;
}

/** `\uXXXX` for each UTF-16 unit. */
function escapeUnits(character: string): string {
  return character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}
