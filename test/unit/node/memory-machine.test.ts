import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WriteSession } from "../../../src/node/cluster/write-session.ts";
import {
  decodeCommand,
  encodeCommand,
  putItem,
  vectorBytesIn,
  type CommandResult,
  type ShardCommand,
} from "../../../src/node/memories/commands.ts";
import type { MemoryEvent } from "../../../src/model/node-api.ts";
import { MemoryMachine } from "../../../src/node/memories/memory-machine.ts";
import { exportMemories } from "../../../src/node/memories/queries.ts";
import { vectorFrom } from "../../../src/memory/stored.ts";
import { VectorCache } from "../../../src/memory/vector-cache.ts";
import { encodeKey } from "../../../src/node/storage/key.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import { pack, unpack } from "../../../src/node/transport/frames.ts";
import type { Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";

/** As many sessions as a shard keeps. */
const SESSIONS_MAX = 256;
const AT = "2026-01-01T00:00:00.000Z";
let folder: string;
let store: Store;
let machine: MemoryMachine;
let index = 1;

const make = (): MemoryMachine =>
  new MemoryMachine({
    owner: "0",
    store,
    vectors: new VectorCache({ bytesMax: 1 << 20, setsMax: 8 }),
    clock: systemClock,
    prefix: encodeKey("state", "0", 1),
    sessionsMax: SESSIONS_MAX,
  });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-machine-"));
  store = openLmdbStore({
    folder,
    flushDelayMs: 0,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
  machine = make();
  index = 1;
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

async function apply(
  session: string,
  sequence: number,
  answered: number,
  command: ShardCommand,
): Promise<CommandResult> {
  index += 1;
  const results: CommandResult[] = [];
  await store.transact((writer) => {
    results.push(machine.apply(encodeCommand({ session, sequence, answered, command }), index, writer));
    machine.finish(writer);
  });
  const [result] = results;
  if (result === undefined) throw new Error("nothing was applied");
  return result;
}

const put = (id: string, text: string, user = "ada"): ShardCommand => ({
  t: "put",
  items: [
    putItem({
      id,
      key: user,
      record: { memory: text, user_id: user, created_at: AT, updated_at: AT, hash: text },
      vector: Float32Array.of(1, 0, 0),
    }),
  ],
});
const update = (id: string, text: string): ShardCommand & { readonly t: "update" } => ({
  t: "update",
  id,
  text,
  hash: text,
  at: AT,
});

/** Events of a memory whose text, of so many characters, was changed so often. */
const events = (id: string, changes: number, characters: number): MemoryEvent[] =>
  Array.from({ length: changes }, (_, at) => ({
    id: `${id}-e${at + 1}`,
    event: "UPDATE",
    old_memory: String(at).padEnd(characters),
    new_memory: String(at + 1).padEnd(characters),
    created_at: AT,
  }));

describe("a history", () => {
  it("keeps the newest of what large texts were, so that it can be written and sent in one piece", async () => {
    await apply("s", 0, 0, { t: "open-session" });
    await apply("s", 1, 1, put("a", "first"));
    for (let at = 2; at < 12; at += 1) await apply("s", at, at, update("a", String(at).padEnd(900_000)));
    const kept = machine.events("a");
    expect(kept.at(-1)).toMatchObject({ id: "a-e11", new_memory: "11".padEnd(900_000) });
    expect(pack(kept).length).toBeLessThan(3 << 20);
    for (let at = 12; at < 212; at += 1) await apply("s", at, at, update("a", String(at)));
    expect(machine.events("a").map(({ id }) => id)).toEqual(
      Array.from({ length: 100 }, (_, at) => `a-e${at + 112}`),
    );
  });

  it("of many memories goes page by page", async () => {
    await apply("s", 0, 0, { t: "open-session" });
    for (let at = 0; at < 20; at += 1) {
      const command = put(`m${10 + at}`, "text") as ShardCommand & { readonly t: "put" };
      const items = command.items.map((item) => ({ ...item, history: events(item.id, 100, 5000) }));
      await apply("s", at + 1, at + 1, { t: "put", items });
    }
    const found: string[] = [];
    let cursor: string | null = null;
    do {
      const page = exportMemories(machine, cursor, 200);
      expect(pack(page).length).toBeLessThan(8 << 20);
      found.push(...page.records.map(({ id }) => id));
      cursor = page.cursor;
    } while (cursor !== null);
    expect(found).toEqual(Array.from({ length: 20 }, (_, at) => `m${10 + at}`));
  });
});

describe("a command of a shard's log", () => {
  const envelope = { session: "s", sequence: 1, answered: 1 };

  it("keeps no other memory from being freed than its own", () => {
    for (const command of [put("a", "one"), update("a", "two")]) {
      const bytes = encodeCommand({ ...envelope, command });
      expect(bytes.buffer.byteLength).toBe(bytes.length);
    }
  });

  it("says whether its ids were just made, and is applied once however often it is sent", async () => {
    const fresh = { ...put("a", "one"), fresh: true } as ShardCommand;
    for (const command of [fresh, put("a", "one")]) {
      const decoded = decodeCommand(encodeCommand({ ...envelope, command })).command;
      expect("fresh" in decoded).toBe("fresh" in command);
    }
    await apply("s", 0, 0, { t: "open-session" });
    const first = await apply("s", 1, 1, fresh);
    expect(await apply("s", 1, 1, fresh)).toEqual(first);
    expect(machine.size().memories).toBe(1);
    // One that may have been there before takes its place.
    await apply("s", 2, 1, put("a", "two"));
    expect(machine.size().memories).toBe(1);
    expect(machine.record("ada", "a")?.memory).toBe("two");
  });
});

describe("the state of a shard", () => {
  it("applies a command that was sent twice once, also over a restart and a reload", async () => {
    await apply("s", 0, 0, { t: "open-session" });
    await apply("s", 1, 1, put("a", "one"));
    const first = await apply("s", 2, 1, update("a", "two"));
    await apply("s", 3, 1, update("a", "three"));
    machine = make();
    expect(await apply("s", 2, 1, update("a", "two"))).toEqual(first);
    expect(machine.record("ada", "a")?.memory).toBe("three");
    expect(vectorFrom(vectorBytesIn(machine.valueOf("ada", "a") ?? Buffer.of()))).toEqual(
      Float32Array.of(1, 0, 0),
    );
    expect(machine.events("a").map((event) => event.new_memory)).toEqual(["one", "two", "three"]);
  });

  it("updates on a condition only while the text has that hash", async () => {
    await apply("s", 0, 0, { t: "open-session" });
    await apply("s", 1, 1, put("a", "one"));
    const first = await apply("s", 2, 1, { ...update("a", "two"), ifHash: "one" });
    expect(first.ok).toBe(true);
    const second = await apply("s", 3, 1, { ...update("a", "three"), ifHash: "one" });
    expect(second).toMatchObject({
      ok: false,
      error: { error: { kind: "conflict", code: "memory-changed" } },
    });
    expect(machine.record("ada", "a")?.memory).toBe("two");
    // Sent again after a lost answer it is answered as before, and not judged by what it did itself.
    expect(await apply("s", 2, 1, { ...update("a", "two"), ifHash: "one" })).toEqual(first);
  });

  it("is the same whether commands are applied in one transaction or in several", async () => {
    const commands: readonly ShardCommand[] = [
      { t: "open-session" },
      put("a", "one"),
      { ...update("a", "two"), at: "2026-02-01T00:00:00.000Z" },
      { t: "delete", id: "a" },
      put("b", "three"),
    ];
    const entities = (): unknown[] =>
      [...store.range({ start: encodeKey("state"), end: encodeKey("states") })]
        .filter(({ key }) => key.includes("entity"))
        .map(({ value }) => unpack(value));
    for (const [sequence, command] of commands.entries()) await apply("s", sequence, 1, command);
    const apart = entities();
    await store.transact((writer) => {
      for (const { key } of store.range({ start: encodeKey("state"), end: encodeKey("states") }))
        writer.remove(Buffer.from(key));
    });
    machine = make();
    await store.transact((writer) => {
      for (const [sequence, command] of commands.entries()) {
        machine.apply(encodeCommand({ session: "s", sequence, answered: 1, command }), sequence + 2, writer);
      }
      machine.finish(writer);
    });
    expect(entities()).toEqual(apart);
  });

  it("refuses a sequence number that was answered, and a session that it does not know", async () => {
    await apply("s", 0, 0, { t: "open-session" });
    await apply("s", 1, 1, put("a", "one"));
    await apply("s", 2, 2, put("b", "two"));
    for (const [session, sequence] of [
      ["s", 1],
      ["unknown", 1],
    ] as const) {
      const result = await apply(session, sequence, 1, put("c", "three"));
      expect(result).toMatchObject({ ok: false, error: { error: { code: "session-expired" } } });
    }
    expect(machine.size().memories).toBe(2);
  });

  it("forgets the session that was unused for the longest when there are too many", async () => {
    for (let at = 0; at <= SESSIONS_MAX; at += 1) {
      await apply(`s${at}`, 0, 0, { t: "open-session" });
      if (at === 1) await apply("s0", 1, 1, put("a", "kept alive"));
    }
    expect(await apply("s0", 2, 2, put("b", "two"))).toMatchObject({ ok: true });
    expect(await apply("s1", 1, 1, put("c", "three"))).toMatchObject({ ok: false });
  });

  it("counts memories, bytes and entities as they come, change and go", async () => {
    await apply("s", 0, 0, { t: "open-session" });
    await apply("s", 1, 1, put("a", "one"));
    await apply("s", 2, 2, put("b", "two"));
    await apply("s", 3, 3, put("b", "two again", "bob"));
    expect(machine.size().memories).toBe(2);
    expect(machine.placeOf("b")).toBe("bob");
    await apply("s", 4, 4, { t: "delete", id: "a" });
    await apply("s", 5, 5, {
      t: "delete-matching",
      filter: { kind: "condition", field: "user_id", operator: "eq", value: "bob" },
    });
    // A session that is opened is no write, and neither is one that was carried out before.
    await apply("s", 5, 5, { t: "delete", id: "b" });
    await apply("t", 0, 0, { t: "open-session" });
    expect(machine.size()).toEqual({ memories: 0, bytes: 0, writes: 5 });
    machine.reload(machine.prefix);
    expect(machine.size()).toEqual({ memories: 0, bytes: 0, writes: 5 });
    const left = [
      ...store.keys({ start: encodeKey("state", "0", 1, "entity"), end: encodeKey("state", "0", 1, "f") }),
    ];
    expect(left).toEqual([]);
  });
});

describe("a state that was written before writes were counted", () => {
  it("counts them from nothing", async () => {
    await store.transact((writer) => writer.put(encodeKey("state", "0", 1, "totals"), () => pack([7, 700])));
    machine.reload(machine.prefix);
    expect(machine.size()).toEqual({ memories: 7, bytes: 700, writes: 0 });
    await apply("s", 0, 0, { t: "open-session" });
    await apply("s", 1, 1, { t: "delete", id: "nobody" });
    machine.reload(machine.prefix);
    expect(machine.size()).toEqual({ memories: 7, bytes: 700, writes: 1 });
  });
});

describe("a write session", () => {
  it("keeps a write in the session that it began with while another one is renewed", async () => {
    const sent: { session: string; sequence: number; answered: number }[] = [];
    const held: ((result: CommandResult) => void)[] = [];
    const expired: CommandResult = {
      ok: false,
      error: {
        error: { kind: "unknown-outcome", code: "session-expired", message: "expired" },
        detail: "expired",
      },
    };
    const session = new WriteSession(async (data) => {
      const { session: id, sequence, answered, command } = decodeCommand(data);
      if (command.t === "open-session") return { result: { ok: true, value: null }, attempts: 1 };
      sent.push({ session: id, sequence, answered });
      const result = await new Promise<CommandResult>((resolve) => held.push(resolve));
      return { result, attempts: 1 };
    }, systemClock);
    const until = async (count: number): Promise<void> => {
      while (held.length < count) await new Promise((resolve) => setImmediate(resolve));
    };
    const deadline = performance.now() + 10_000;
    const slow = session.execute(put("a", "one"), deadline);
    const unlucky = session.execute(put("b", "two"), deadline);
    await until(2);
    held[1]?.(expired);
    await until(3);
    const later = session.execute(put("c", "three"), deadline);
    await until(4);
    held[0]?.({ ok: true, value: 1 });
    await slow;
    const last = session.execute(put("d", "four"), deadline);
    await until(5);
    for (const resolve of held.slice(2)) resolve({ ok: true, value: 1 });
    await Promise.all([unlucky, later, last]);
    const [first, second, renewed, third, fourth] = sent;
    expect(first?.session).toBe(second?.session);
    expect(renewed?.session).not.toBe(first?.session);
    // The end of an old session's write says nothing of the new session's first one, which is outstanding.
    expect([renewed, third, fourth].map((one) => [one?.sequence, one?.answered])).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
    ]);
  });
});
