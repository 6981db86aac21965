// How much each slot is asked, for a plan by load: the servers' own counters, read twice. Where they count only all
// requests of a node together, its slots are taken to share them as they share its keys.

import { setTimeout as pause } from "node:timers/promises";

import type { CallOptions, Engine, SlotTable } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { PlanProblem } from "../model/plan.ts";
import { formatDuration } from "../model/units.ts";
import { numbersOf } from "../topology/slot-ranges.ts";

export interface SlotLoad {
  readonly table: SlotTable;
  /** Microseconds of the servers' time in a second. */
  readonly loadOf: (slot: number) => number;
  readonly problems: readonly PlanProblem[];
}

/**
 * @param windowMs between the two looks.
 * @throws Mem0ctlError `no-load` (conflict) when nothing was asked meanwhile.
 */
export async function sampleSlotLoad(engine: Engine, windowMs: number, call: CallOptions): Promise<SlotLoad> {
  if (engine.slotTable === undefined) throw new TypeError("an engine that moves slots has a table of them");
  const before = await engine.slotTable({ contents: false, work: true }, call);
  const sinceMs = performance.now();
  await pause(windowMs, undefined, call.signal === undefined ? {} : { signal: call.signal });
  const work = await engine.slotTable({ contents: false, work: true }, call);
  const seconds = (performance.now() - sinceMs) / 1000;
  const { contents } = await engine.slotTable({ contents: true }, call);
  const { loads, estimated } = slotLoads(before, {
    ...work,
    ...(contents === undefined ? {} : { contents }),
  });
  if (![...loads.values()].some((load) => load > 0)) throw noLoad("asked", windowMs);
  return {
    table: { ...work, ...(contents === undefined ? {} : { contents }) },
    loadOf: (slot) => (loads.get(slot) ?? 0) / seconds,
    problems: estimated ? [ESTIMATED] : [],
  };
}

export function noLoad(what: "written" | "asked", windowMs: number): Mem0ctlError {
  return new Mem0ctlError("conflict", "no-load", `nothing was ${what} while the load was measured`, {
    why: `${what === "written" ? "writes" : "requests"} were counted for ${formatDuration(windowMs)}`,
    hint: "plan while clients are at work, or by shards or bytes",
  });
}

const ESTIMATED: PlanProblem = {
  code: "load-estimated",
  severity: "soft",
  message:
    "the servers do not count what each slot is asked: a node's load is taken to lie where its keys are",
  hint: "let them count it: `CONFIG SET cluster-slot-stats-enabled yes` on each (Valkey 8, Redis 8.2 or newer)",
};

/**
 * What was counted between two looks. A counter that began anew, or a slot that came meanwhile, counts nothing.
 *
 * @internal
 */
export function slotLoads(
  before: SlotTable,
  { owners, work, contents }: SlotTable,
): { readonly loads: ReadonlyMap<number, number>; readonly estimated: boolean } {
  const grown = <Key>(first: ReadonlyMap<Key, number> | undefined, now: number, key: Key): number =>
    Math.max(0, now - (first?.get(key) ?? now));
  const loads = new Map<number, number>();
  let estimated = false;
  for (const { id, slots } of owners) {
    const numbers = numbersOf(slots);
    const counted = numbers.flatMap((slot) => {
      const count = work?.bySlot.get(slot);
      return count === undefined ? [] : [[slot, count] as const];
    });
    for (const [slot, count] of counted) loads.set(slot, grown(before.work?.bySlot, count, slot));
    if (counted.length > 0) continue;
    const all = grown(before.work?.byOwner, work?.byOwner.get(id) ?? 0, id);
    if (all === 0) continue;
    estimated = true;
    const keysOf = (slot: number): number => contents?.get(slot)?.keys ?? 0;
    const keys = numbers.reduce((sum, slot) => sum + keysOf(slot), 0);
    for (const slot of numbers)
      loads.set(slot, keys === 0 ? all / numbers.length : (all * keysOf(slot)) / keys);
  }
  return { loads, estimated };
}
