// Ascending ranges of slots, `[from, to]`, and what is done with them.

import type { SlotRange } from "../model/shard-map.ts";

/** Ascending numbers as ranges. */
export function rangesOf(slots: readonly number[]): SlotRange[] {
  const ranges: SlotRange[] = [];
  for (const slot of slots) {
    const last = ranges.at(-1);
    if (last?.to === slot - 1) ranges[ranges.length - 1] = { from: last.from, to: slot };
    else ranges.push({ from: slot, to: slot });
  }
  return ranges;
}

export function isIn(ranges: readonly SlotRange[], slot: number): boolean {
  return ranges.some(({ from, to }) => from <= slot && slot <= to);
}

export function numbersOf(ranges: readonly SlotRange[]): number[] {
  return ranges.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, index) => from + index));
}

/** The last `count` slots: so that what stays is in as few pieces as before. */
export function lastSlots(owned: readonly SlotRange[], count: number): SlotRange[] {
  const taken: SlotRange[] = [];
  let left = count;
  for (const { from, to } of owned.toReversed()) {
    if (left <= 0) break;
    const first = Math.max(from, to - left + 1);
    taken.unshift({ from: first, to });
    left -= to - first + 1;
  }
  return taken;
}

/** What of `wanted` is not in `owned`. Both ascending. */
export function slotsOutside(wanted: readonly SlotRange[], owned: readonly SlotRange[]): SlotRange[] {
  let left: readonly SlotRange[] = wanted;
  for (const { from, to } of owned) {
    left = left.flatMap((part) => [
      ...(part.from < from ? [{ from: part.from, to: Math.min(part.to, from - 1) }] : []),
      ...(part.to > to ? [{ from: Math.max(part.from, to + 1), to: part.to }] : []),
    ]);
  }
  return [...left];
}
