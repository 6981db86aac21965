// Two shards' states and what their logs tell them of a slice that goes from one to the other: whoever carries it out
// may be another one at every command, and old commands may come late.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { scopeFilter } from "../../../src/memory/filter.ts";
import { VectorCache } from "../../../src/memory/vector-cache.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { KeySlice } from "../../../src/model/shard-map.ts";
import { queries, runShardQuery } from "../../../src/node/cluster/shard-queries.ts";
import {
  encodeCommand,
  putItem,
  type CommandResult,
  type HandoverCommand,
  type ShardCommand,
} from "../../../src/node/memories/commands.ts";
import type { CustodyState } from "../../../src/node/memories/custody.ts";
import { MemoryMachine } from "../../../src/node/memories/memory-machine.ts";
import type { SliceIds, SlicePart } from "../../../src/node/memories/slice-parts.ts";
import { encodeKey } from "../../../src/node/storage/key.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import type { Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";

const AT = "2026-01-01T00:00:00.000Z";
/** Keys from `n` on go. */
const SLICE: KeySlice = { kind: "range", start: "n", end: null };
/** All that the giver has. */
const WHOLE: KeySlice = { kind: "slots", slots: [{ from: 0, to: 16_383 }], except: ["max"], also: [] };
const ID = 7;

let folder: string;
let store: Store;
let giver: MemoryMachine;
let taker: MemoryMachine;
let index = 1;
let sequence = 0;

const make = (owner: string): MemoryMachine =>
  new MemoryMachine({
    owner,
    store,
    vectors: new VectorCache({ bytesMax: 1 << 20, setsMax: 8 }),
    clock: systemClock,
    prefix: encodeKey("state", owner, 1),
    sessionsMax: 256,
  });

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-handover-"));
  store = openLmdbStore({
    folder,
    flushDelayMs: 0,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
  [giver, taker] = [make("0"), make("1")];
  index = 1;
  sequence = 0;
  for (const machine of [giver, taker]) {
    await apply(
      machine,
      encodeCommand({ session: "s", sequence: 0, answered: 0, command: { t: "open-session" } }),
    );
  }
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

async function apply(machine: MemoryMachine, bytes: Uint8Array): Promise<CommandResult> {
  index += 1;
  const results: CommandResult[] = [];
  await store.transact((writer) => {
    results.push(machine.apply(bytes, index, writer));
    machine.finish(writer);
  });
  const [result] = results;
  if (result === undefined) throw new Error("nothing was applied");
  return result;
}

function encoded(command: ShardCommand, version = 0, at = (sequence += 1)): Uint8Array {
  return encodeCommand({ session: "s", sequence: at, answered: 1, command, version });
}

const write = (machine: MemoryMachine, command: ShardCommand, version = 0): Promise<CommandResult> =>
  apply(machine, encoded(command, version));

async function tell(machine: MemoryMachine, part: HandoverCommand): Promise<CustodyState> {
  const command: ShardCommand = { t: "handover", part };
  const result = await apply(machine, encodeCommand({ session: "", sequence: 0, answered: 0, command }));
  if (!result.ok) throw new Error(result.error.error.message);
  return result.value as CustodyState;
}

const put = (id: string, key: string, text = id): ShardCommand => ({
  t: "put",
  items: [
    putItem({
      id,
      key,
      record: { memory: text, user_id: key, created_at: AT, updated_at: AT, hash: text },
      vector: Float32Array.of(1, 0, 0),
    }),
  ],
});
const update = (id: string, text: string): ShardCommand => ({ t: "update", id, text, hash: text, at: AT });
const remove = (id: string): ShardCommand => ({ t: "delete", id });

/** What a client that goes by this version of the shard is answered; the code of what refuses it. */
async function listed(machine: MemoryMachine, version: number): Promise<unknown> {
  const query = { ...queries.list(scopeFilter({}), 100), version };
  return runShardQuery(machine, "user", query).then(
    (answer) => (answer as { newest: readonly { id: string }[] }).newest.map(({ id }) => id).toSorted(),
    (error: unknown) => (error instanceof Mem0ctlError ? error.code : error),
  );
}

const codeOf = (result: CommandResult): string => (result.ok ? "done" : result.error.error.code);

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
      ...store.keys({
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
    const done = encoded(update("n", "done"), 0, 50);
    const answer = await apply(giver, done);
    await tell(giver, { do: "leave", id: ID, slice: WHOLE });
    await tell(giver, { do: "fence", id: ID });
    const refused = encoded(update("n", "refused"), 0, 51);
    expect(codeOf(await apply(giver, refused))).toBe("stale-epoch");
    const part = (await runShardQuery(giver, "user", queries.slicePart(ID, null))) as SlicePart;
    const whole = { do: "arrive", id: ID, slice: WHOLE, after: null } as const;
    await tell(taker, { ...whole, items: part.items, removed: [], to: part.to });
    expect(await listed(taker, 0)).toEqual(["z"]);
    const rest = (await runShardQuery(giver, "user", queries.slicePart(ID, part.to))) as SlicePart;
    await tell(taker, { ...whole, after: part.to, ...rest });
    // The shard is no more: its heir has been told of its sessions.
    expect(await apply(taker, done)).toEqual(answer);
    expect(codeOf(await apply(taker, refused))).toBe("stale-epoch");
    expect(taker.record("nina", "n")?.memory).toBe("done");
  });

  it("survives a restart of the replica at every step", async () => {
    await fill();
    const again = (): void => {
      [giver, taker] = [make("0"), make("1")];
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
});
