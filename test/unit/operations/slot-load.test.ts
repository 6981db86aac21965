import { describe, expect, it } from "vitest";
import type { SlotTable } from "../../../src/engines/engine.ts";
import { clientMicroseconds } from "../../../src/engines/redis/slot-work.ts";
import { slotLoads } from "../../../src/operations/slot-load.ts";

function table(
  byOwner: Readonly<Record<string, number>>,
  bySlot: Readonly<Record<number, number>>,
  keys: Readonly<Record<number, number>> = {},
): SlotTable {
  const owner = (id: string, from: number, to: number): SlotTable["owners"][number] => ({
    id,
    weight: 1,
    draining: false,
    slots: [{ from, to }],
  });
  const numbered = <Value>(record: Readonly<Record<number, Value>>): Map<number, Value> =>
    new Map(Object.entries(record).map(([slot, value]) => [Number(slot), value]));
  return {
    epoch: 1,
    owners: [owner("a", 0, 3), owner("b", 4, 5)],
    work: { byOwner: new Map(Object.entries(byOwner)), bySlot: numbered(bySlot) },
    contents: new Map([...numbered(keys)].map(([slot, count]) => [slot, { keys: count, bytes: 0 }])),
  };
}

describe("how much slots were asked between two looks", () => {
  it("is what their node counted of each", () => {
    const { loads, estimated } = slotLoads(
      table({}, { 0: 10, 1: 5, 4: 7 }),
      table({}, { 0: 110, 1: 5, 4: 8 }),
    );
    expect(estimated).toBe(false);
    expect(Object.fromEntries(loads)).toEqual({ 0: 100, 1: 0, 4: 1 });
  });

  it("else a part of what it counted of all, by its keys; without keys, alike", () => {
    const { loads, estimated } = slotLoads(
      table({ a: 100, b: 50 }, {}),
      table({ a: 500, b: 60 }, {}, { 1: 3, 2: 1 }),
    );
    expect(estimated).toBe(true);
    expect(Object.fromEntries(loads)).toEqual({ 0: 0, 1: 300, 2: 100, 3: 0, 4: 5, 5: 5 });
  });

  it("is nothing where a counter began anew, or a slot came meanwhile", () => {
    expect([...slotLoads(table({ a: 900 }, {}), table({ a: 3, b: 5 }, {})).loads.values()]).toEqual([]);
    expect([...slotLoads(table({}, { 0: 9 }), table({}, { 0: 1, 1: 50 })).loads.values()]).toEqual([0, 0]);
  });
});

it("what administrators and servers ask is no work for clients", () => {
  const stats = [
    "# Commandstats",
    "cmdstat_set:calls=10,usec=100,usec_per_call=10.00,rejected_calls=0,failed_calls=0",
    "cmdstat_json.set:calls=1,usec=7,usec_per_call=7.00,rejected_calls=0,failed_calls=0",
    "cmdstat_cluster|nodes:calls=10,usec=1000,usec_per_call=100.00,rejected_calls=0,failed_calls=0",
    "cmdstat_info:calls=10,usec=1000,usec_per_call=100.00,rejected_calls=0,failed_calls=0",
    "cmdstat_migrate:calls=10,usec=1000,usec_per_call=100.00,rejected_calls=0,failed_calls=0",
    "cmdstat_memory|usage:calls=10,usec=1000,usec_per_call=100.00,rejected_calls=0,failed_calls=0",
  ].join("\r\n");
  expect(clientMicroseconds(stats)).toBe(107);
});
