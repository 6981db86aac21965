// Which slots of a shard somebody means: a number of them, or ranges.

import type { SlotRange } from "./shard-map.ts";

export const SLOTS = 16_384;

/** How many, or which. */
export type SlotChoice = { readonly count: number } | { readonly ranges: readonly SlotRange[] };

/** `100`, `0-99`, `5-5,7-9`; what is wrong, as a sentence, of anything else. */
export function parseSlots(text: string): SlotChoice | string {
  if (/^\d{1,5}$/.test(text)) {
    const count = Number(text);
    return count >= 1 && count <= SLOTS
      ? { count }
      : `A number of slots from 1 to ${SLOTS} is needed; slot ${text} alone is ${text}-${text}.`;
  }
  const ranges: SlotRange[] = [];
  for (const part of text.split(",")) {
    const [, from, to] = (/^(\d{1,5})-(\d{1,5})$/.exec(part) ?? []).map(Number);
    if (from === undefined || to === undefined)
      return "A number of slots, or ranges of them, is needed: 100, 0-99, 5-5,7-9.";
    if (to >= SLOTS) return `Slots are 0 to ${SLOTS - 1}.`;
    if (from > to) return `${part} ends before it begins.`;
    if (ranges.some((other) => other.from <= to && from <= other.to)) return `${part} is named twice.`;
    ranges.push({ from, to });
  }
  return { ranges: ranges.toSorted((one, other) => one.from - other.from) };
}
