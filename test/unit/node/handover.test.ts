// Two shards' states and what their logs tell them of a slice that goes from one to the other: whoever carries it out
// may be another one at every command, and old commands may come late.

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { scopeFilter } from "../../../src/memory/filter.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { KeySlice } from "../../../src/model/shard-map.ts";
import { queries, runShardQuery } from "../../../src/node/cluster/shard-queries.ts";
import type { CommandResult, HandoverCommand, ShardCommand } from "../../../src/node/memories/commands.ts";
import type { CustodyState } from "../../../src/node/memories/custody.ts";
import type { MemoryMachine } from "../../../src/node/memories/memory-machine.ts";
import type { SliceIds, SlicePart } from "../../../src/node/memories/slice-parts.ts";
import { encodeKey } from "../../../src/node/storage/key.ts";
import { pack } from "../../../src/node/transport/frames.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { codeOf, listed, put, remove, ShardStates, update } from "./shard-states.ts";

/** Keys from `n` on go. */
const SLICE: KeySlice = { kind: "range", start: "n", end: null };
/** All that the giver has. */
const WHOLE: KeySlice = { kind: "slots", slots: [{ from: 0, to: 16_383 }], except: ["max"], also: [] };
const ID = 7;

let states: ShardStates;
let giver: MemoryMachine;
let taker: MemoryMachine;

beforeEach(async () => {
  states = new ShardStates();
  [giver, taker] = [await states.begin("0"), await states.begin("1")];
});
afterEach(() => states.close());

const write = (machine: MemoryMachine, command: ShardCommand, version = 0): Promise<CommandResult> =>
  states.write(machine, command, version);
const tell = (machine: MemoryMachine, part: HandoverCommand): Promise<CustodyState> =>
  states.tell(machine, part);

async function nextPart(): Promise<HandoverCommand & { readonly do: "arrive" }> {
  const { arriving } = taker.custody.state;
  const after = arriving?.cursor ?? null;
  const part = (await runShardQuery(giver, "user", queries.slicePart(ID, after))) as SlicePart;
  const { bytes: _, isEnd: __, ...taken } = part;
  return { do: "arrive", id: ID, slice: SLICE, after, ...taken };
}

async function copyAll(): Promise<void> {
  for (let parts = 0; parts < 100; parts += 1) {
    const part = await nextPart();
    const isEnd = part.items.length === 0 && part.removed.length === 0;
    await tell(taker, part);
    if (part.last !== undefined || (isEnd && part.to !== null && "changed" in part.to)) return;
  }
  throw new Error("the copy does not end");
}

async function fill(): Promise<void> {
  for (const [id, key] of [
    ["a", "ada"],
    ["b", "bob"],
    ["n", "nina"],
    ["o", "olga"],
    ["p", "pia"],
  ] as const) {
    await write(giver, put(id, key));
  }
  await write(taker, put("z", "max"));
}

describe("a slice of keys that goes to another shard", () => {
  it("is its giver's until the fence, and its taker's with the last part: at no time both's or nobody's", async () => {
    await fill();
    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    await tell(taker, await nextPart());
    expect(await listed(giver, 0)).toEqual(["a", "b", "n", "o", "p"]);
    expect(await listed(taker, 0)).toEqual(["z"]);

    // What changes while it is copied is copied after it: updated, deleted, new.
    expect(codeOf(await write(giver, update("n", "two")))).toBe("done");
    expect(codeOf(await write(giver, remove("o")))).toBe("done");
    expect(codeOf(await write(giver, put("q", "quentin")))).toBe("done");
    await copyAll();
    expect(codeOf(await write(giver, update("p", "late")))).toBe("done");

    expect((await tell(giver, { do: "fence", id: ID })).version).toBe(1);
    expect(await listed(giver, 0)).toBe("stale-epoch");
    expect(codeOf(await write(giver, update("n", "lost")))).toBe("stale-epoch");
    expect(codeOf(await write(giver, put("r", "rita")))).toBe("stale-epoch");
    expect(codeOf(await write(giver, { t: "delete-matching", filter: scopeFilter({}) }))).toBe("stale-epoch");
    // Keys that stay need not wait for the map.
    expect(codeOf(await write(giver, update("a", "still here")))).toBe("done");
    expect(await listed(taker, 0)).toEqual(["z"]);

    await copyAll();
    expect(taker.custody.state).toMatchObject({ version: 1, arriving: null });
    expect(await listed(giver, 1)).toEqual(["a", "b"]);
    expect(await listed(taker, 1)).toEqual(["n", "p", "q", "z"]);
    expect(await listed(taker, 0)).toBe("stale-epoch");
    expect(codeOf(await write(taker, update("n", "again")))).toBe("stale-epoch");
    expect(taker.record("nina", "n")?.memory).toBe("two");
    expect(taker.record("pia", "p")?.memory).toBe("late");
    expect(taker.events("n").map((event) => event.new_memory)).toEqual(["n", "two"]);
  });

  it("is counted where it is served, and forgotten by its giver part by part", async () => {
    await fill();
    const many = Array.from({ length: 450 }, (_, at) => put(`m${at}`, "nobody"));
    await write(giver, { t: "put", items: many.flatMap((one) => ("items" in one ? one.items : [])) });
    const counts = async (machine: MemoryMachine, version: number): Promise<unknown> => [
      await runShardQuery(machine, "user", { ...queries.size(), version }),
      ((await runShardQuery(machine, "user", { ...queries.entities(), version })) as { name: string }[])
        .map(({ name }) => name)
        .toSorted(),
    ];
    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    await copyAll();
    expect(await counts(taker, 0)).toMatchObject([{ memories: 1 }, ["max"]]);
    await tell(giver, { do: "fence", id: ID });
    await copyAll();
    expect(await counts(giver, 1)).toMatchObject([{ memories: 2 }, ["ada", "bob"]]);
    let parts = 0;
    while ((await tell(giver, { do: "drop", id: ID })).leaving !== null) parts += 1;
    expect(parts).toBeGreaterThan(2);
    expect(giver.size().memories).toBe(2);
    expect(await counts(giver, 1)).toMatchObject([{ memories: 2 }, ["ada", "bob"]]);
    expect(await counts(taker, 1)).toMatchObject([
      { memories: 454 },
      ["max", "nina", "nobody", "olga", "pia"],
    ]);
    expect([
      ...states.store.keys({
        start: encodeKey("state", "0", 1, "changed"),
        end: encodeKey("state", "0", 1, "changes"),
      }),
    ]).toEqual([]);
  });

  it("takes no part twice, none that comes late, and none of a handover that is over", async () => {
    await fill();
    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    const first = await nextPart();
    await tell(taker, first);
    await write(giver, update("n", "two"));
    const second = await nextPart();
    await tell(taker, second);
    const held = taker.custody.state;
    expect(await tell(taker, first)).toEqual(held);
    expect(await tell(taker, second)).toEqual(held);
    expect(taker.record("nina", "n")?.memory).toBe("two");
    await tell(giver, { do: "fence", id: ID });
    const last = await nextPart();
    await tell(taker, last);
    const after = taker.custody.state;
    for (const part of [first, second, last]) expect(await tell(taker, part)).toEqual(after);
    expect(await tell(taker, { do: "discard", id: ID })).toEqual(after);
    expect(await tell(giver, { do: "stay", id: ID })).toMatchObject({ leaving: { state: "fenced" } });
    while ((await tell(giver, { do: "drop", id: ID })).leaving !== null);
    for (const part of [
      { do: "leave", id: ID, slice: SLICE },
      { do: "fence", id: ID },
      { do: "stay", id: ID },
    ] as const) {
      expect(await tell(giver, part)).toMatchObject({ version: 1, leaving: null });
    }
  });

  it("given up before the fence it is where it was, and nothing of it begins again", async () => {
    await fill();
    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    await tell(taker, await nextPart());
    const late = await nextPart();
    expect((await tell(giver, { do: "stay", id: ID })).leaving).toBeNull();
    expect(await tell(giver, { do: "fence", id: ID })).toMatchObject({ version: 0, leaving: null });
    while ((await tell(taker, { do: "discard", id: ID })).arriving !== null);
    await tell(taker, late);
    await tell(taker, { ...late, after: null });
    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    expect(await listed(giver, 0)).toEqual(["a", "b", "n", "o", "p"]);
    expect(await listed(taker, 0)).toEqual(["z"]);
    expect([giver.size().memories, taker.size().memories]).toEqual([5, 1]);
    expect(giver.custody.state.leaving).toBeNull();
  });

  it("a write that was refused is refused again when it comes late, and one that was done is answered", async () => {
    await fill();
    const done = states.encoded(update("n", "done"), 0, 50);
    const answer = await states.apply(giver, done);
    await tell(giver, { do: "leave", id: ID, slice: WHOLE });
    await tell(giver, { do: "fence", id: ID });
    const refused = states.encoded(update("n", "refused"), 0, 51);
    expect(codeOf(await states.apply(giver, refused))).toBe("stale-epoch");
    const part = (await runShardQuery(giver, "user", queries.slicePart(ID, null))) as SlicePart;
    const whole = { do: "arrive", id: ID, slice: WHOLE, after: null } as const;
    await tell(taker, { ...whole, items: part.items, removed: [], to: part.to });
    expect(await listed(taker, 0)).toEqual(["z"]);
    const rest = (await runShardQuery(giver, "user", queries.slicePart(ID, part.to))) as SlicePart;
    await tell(taker, { ...whole, after: part.to, ...rest });
    // The shard is no more: its heir has been told of its sessions.
    expect(await states.apply(taker, done)).toEqual(answer);
    expect(codeOf(await states.apply(taker, refused))).toBe("stale-epoch");
    expect(taker.record("nina", "n")?.memory).toBe("done");
  });

  it("a write that was done is answered also when what its shard once gave away comes back", async () => {
    await fill();
    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    await copyAll();
    await tell(giver, { do: "fence", id: ID });
    await copyAll();
    while ((await tell(giver, { do: "drop", id: ID })).leaving !== null);
    const [done, removed] = [states.encoded(update("a", "done"), 1, 60), states.encoded(remove("b"), 1, 61)];
    const answers = [await states.apply(giver, done), await states.apply(giver, removed)];
    expect(answers.map(codeOf)).toEqual(["done", "done"]);

    // The taker has the sessions of its giver as they were when it took the slice.
    const back = { id: ID + 1, slice: SLICE };
    await tell(taker, { do: "leave", ...back });
    await tell(taker, { do: "fence", id: back.id });
    for (;;) {
      const after = giver.custody.state.arriving?.cursor ?? null;
      const part = (await runShardQuery(taker, "user", queries.slicePart(back.id, after))) as SlicePart;
      await tell(giver, { do: "arrive", ...back, after, ...part });
      if (part.last !== undefined) break;
    }
    expect(await listed(giver, 2)).toEqual(["a", "n", "o", "p"]);
    expect([await states.apply(giver, done), await states.apply(giver, removed)]).toEqual(answers);
  });

  it("goes in parts that a message between nodes holds, whatever has become of its memories before", async () => {
    const events = Array.from({ length: 100 }, (_, at) => ({
      id: `e${at}`,
      event: "UPDATE" as const,
      old_memory: String(at).padEnd(5000),
      new_memory: String(at + 1).padEnd(5000),
      created_at: "2026-01-01T00:00:00.000Z",
    }));
    const { items } = put("n", "nina") as ShardCommand & { readonly t: "put" };
    for (let at = 0; at < 10; at += 1) {
      const many = items.map((item) => ({ ...item, id: `n${at}`, history: events }));
      await write(giver, { t: "put", items: many });
    }
    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    const sizes: number[] = [];
    for (;;) {
      const part = await nextPart();
      sizes.push(pack(part).length);
      await tell(taker, part);
      if (part.items.length === 0) break;
    }
    expect(Math.max(...sizes)).toBeLessThan(3 << 20);
    expect(taker.events("n9")).toEqual(events);
  });

  it("survives a restart of the replica at every step", async () => {
    await fill();
    const again = (): void => {
      [giver, taker] = [states.open("0"), states.open("1")];
    };
    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    again();
    await write(giver, update("n", "two"));
    await tell(taker, await nextPart());
    again();
    await copyAll();
    await tell(giver, { do: "fence", id: ID });
    again();
    expect(await listed(giver, 0)).toBe("stale-epoch");
    await copyAll();
    again();
    while ((await tell(giver, { do: "drop", id: ID })).leaving !== null) again();
    expect(await listed(giver, 1)).toEqual(["a", "b"]);
    expect(await listed(taker, 1)).toEqual(["n", "o", "p", "z"]);
    expect(taker.record("nina", "n")?.memory).toBe("two");
  });

  it("a replica that has not heard of it yet does not answer for the new map", async () => {
    await fill();
    expect(await listed(taker, 1)).toBe("not-here");
  });

  it("says which ids it cannot take, because the taker has memories of them under other keys, before and on the way", async () => {
    await fill();
    await write(taker, put("o", "max", "mine"));
    const page = (await runShardQuery(giver, "user", queries.sliceIds(SLICE, null))) as SliceIds;
    expect(page).toEqual({ ids: ["n", "o", "p"], to: null });
    expect(await runShardQuery(taker, "user", queries.idsElsewhere(SLICE, [...page.ids, "z"]))).toEqual([
      "o",
      "z",
    ]);

    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    expect((await tell(taker, await nextPart())).arriving).toMatchObject({ clashes: ["o"] });
    expect(taker.record("max", "o")?.memory).toBe("mine");
    expect((await tell(giver, { do: "stay", id: ID })).leaving).toBeNull();
    while ((await tell(taker, { do: "discard", id: ID })).arriving !== null);
    expect([giver.record("olga", "o")?.memory, taker.record("max", "o")?.memory]).toEqual(["o", "mine"]);
  });

  it("is refused with the last part where an id came to be in both shards, for good, and its giver has it again", async () => {
    await fill();
    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    await tell(taker, await nextPart());
    // The one comes to the taker and replaces what had arrived; of the other the giver's last part tells.
    await write(taker, put("n", "max", "mine"));
    await write(taker, put("q", "max", "mine too"));
    await copyAll();
    await write(giver, put("q", "quentin"));
    await tell(giver, { do: "fence", id: ID });
    // Under another key, which stays: it is the memory of that id from here on.
    expect(codeOf(await write(giver, put("p", "ada", "moved")))).toBe("done");
    const last = await nextPart();
    expect(last.last).toBeDefined();
    const refused = await tell(taker, last);
    expect(refused).toMatchObject({
      version: 0,
      arriving: { ended: true },
      refused: { id: ID, clashes: ["n", "q"] },
    });
    expect(await listed(giver, 0)).toBe("stale-epoch");
    expect(await listed(taker, 0)).toEqual(["n", "q", "z"]);
    for (const late of [last, { ...last, after: null }]) expect(await tell(taker, late)).toEqual(refused);

    expect(await tell(giver, { do: "stay", id: ID })).toMatchObject({ leaving: { state: "fenced" } });
    while ((await tell(giver, { do: "stay", id: ID, refused: true })).leaving !== null);
    while ((await tell(taker, { do: "discard", id: ID })).arriving !== null);
    expect(taker.custody.state.refused).toEqual({ id: ID, clashes: ["n", "q"] });
    for (const late of [last, { ...last, after: null }]) await tell(taker, late);
    for (const late of ["fence", "drop", "stay"] as const) await tell(giver, { do: late, id: ID });
    expect(await listed(giver, 0)).toEqual(["a", "b", "n", "o", "p", "q"]);
    expect(await listed(taker, 0)).toEqual(["n", "q", "z"]);
    expect([giver.size().memories, taker.size().memories]).toEqual([6, 3]);
    expect([giver.record("ada", "p")?.memory, giver.record("pia", "p")]).toEqual(["moved", undefined]);
    expect([giver.record("nina", "n")?.memory, taker.record("max", "n")?.memory]).toEqual(["n", "mine"]);
    expect(codeOf(await write(giver, update("n", "still here")))).toBe("done");
  });

  it("a read that began before a fence which is taken back has not seen all of it, and is done anew", async () => {
    await fill();
    const many = Array.from({ length: 3000 }, (_, at) => put(`m${at}`, "nobody"));
    await write(giver, { t: "put", items: many.flatMap((one) => ("items" in one ? one.items : [])) });
    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    const turns: (() => void)[] = [];
    giver = states.open("0", { ...systemClock, soon: (work) => void turns.push(work) });
    const cut = { ...queries.cutSizes({ at: "n" }), version: 0 };
    const refused = runShardQuery(giver, "user", cut).catch((error: unknown) => error);
    expect(turns).toHaveLength(1);
    await tell(giver, { do: "fence", id: ID });
    while ((await tell(giver, { do: "stay", id: ID, refused: true })).leaving !== null);
    expect(giver.custody.state.version).toBe(0);
    for (const turn of turns) {
      turn();
      await Promise.resolve();
    }
    expect(await refused).toMatchObject({ code: "stale-epoch" });
    giver = states.open("0");
    expect(await runShardQuery(giver, "user", cut)).toMatchObject({ goes: { memories: 3003 } });
  });
});

const many = (count: number, key: string): ShardCommand => {
  const commands = Array.from({ length: count }, (_, at) => put(`${key}${at}`, key));
  return { t: "put", items: commands.flatMap((command) => ("items" in command ? command.items : [])) };
};
/** Of more memories than are looked at in one go. */
const countOfAll = (machine: MemoryMachine, version: number): Promise<unknown> =>
  runShardQuery(machine, "user", { ...queries.list(scopeFilter({}), 10), version }).then(
    (answer) => Reflect.get(Object(answer), "count"),
    (error: unknown) => error instanceof Mem0ctlError && error.code,
  );

describe("a list of a whole shard that is under way", () => {
  it("does not show the end of what the giver has given and is forgetting", async () => {
    await write(giver, many(3000, "ada"));
    await write(giver, many(100, "nina"));
    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    await tell(giver, { do: "fence", id: ID });
    await copyAll();
    expect(taker.custody.state.version).toBe(1);
    const counted = countOfAll(giver, 1);
    while (giver.custody.state.leaving !== null) void tell(giver, { do: "drop", id: ID });
    expect(await counted).toBe("stale-epoch");
    expect(await countOfAll(giver, 1)).toBe(3000);
  });

  it("does not show the end of what the taker is to discard", async () => {
    await write(giver, many(100, "nina"));
    await write(taker, many(3000, "ada"));
    await tell(giver, { do: "leave", id: ID, slice: SLICE });
    await tell(taker, await nextPart());
    await tell(giver, { do: "stay", id: ID });
    const counted = countOfAll(taker, 0);
    while (taker.custody.state.arriving !== null) void tell(taker, { do: "discard", id: ID });
    expect(await counted).toBe("stale-epoch");
    expect(await countOfAll(taker, 0)).toBe(3000);
  });
});
