// Transfers of state between nodes: the protocol is told how each one that it asked for ended.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { membershipOf } from "../../../src/consensus/membership.ts";
import type { Input } from "../../../src/consensus/seam.ts";
import { META_GROUP } from "../../../src/model/ids.ts";
import type { Clock } from "../../../src/node/clock.ts";
import type { Stores } from "../../../src/node/host/durable-group.ts";
import type { ReplicaGroup } from "../../../src/node/host/replica-group.ts";
import { StateRepair } from "../../../src/node/host/state-repair.ts";
import { SnapshotTransfers } from "../../../src/node/host/snapshot-transfers.ts";
import { encodeKey, extendKey, prefixEnd } from "../../../src/node/storage/key.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import type { Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { eventually } from "./eventually.ts";
import { Pace } from "../../../src/node/moves/pace.ts";
import { pack } from "../../../src/node/transport/frames.ts";
import type { Network } from "../../../src/node/transport/network.ts";

let folder: string;
let state: Store;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-transfers-"));
  state = openLmdbStore({
    folder,
    flushDelayMs: 0,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
});
afterEach(async () => {
  await state.close();
  rmSync(folder, { recursive: true, force: true });
});

test("a snapshot that is wanted while the peer is sent a state for repair is said to have failed, so that it is wanted again", async () => {
  const inputs: Input[] = [];
  const membership = membershipOf({ voters: ["a", "b"] });
  // What a transfer reads of a group, and no more.
  const group = {
    id: "0",
    applied: 5,
    damage: undefined,
    durable: { prefix: () => encodeKey("state", "0", 1) },
    replica: {
      snapshotAt: (index: number) => ({ index, term: 1, membership }),
      status: () => ({ membership }),
    },
    step: (input: Input) => void inputs.push(input),
  } as unknown as ReplicaGroup;
  const unanswered = new Map<string, (value: unknown) => void>();
  const network = {
    call: (to: string) => new Promise((resolve) => unanswered.set(to, resolve)),
  } as unknown as Network;
  const transfers = new SnapshotTransfers({
    host: { groups: new Map([["0", group]]), cleaned: async () => undefined },
    stores: { state } as unknown as Stores,
    network,
    clock: systemClock,
    pace: new Pace(systemClock, () => null),
    chunkBytes: 1000,
  } as unknown as ConstructorParameters<typeof SnapshotTransfers>[0]);
  void transfers.sendState("b", { group: "0", indexMin: 1 }).catch(() => undefined);
  await Promise.resolve();
  expect([...unanswered.keys()]).toEqual(["b"]);
  transfers.send(group, "b", 1);
  await new Promise((resolve) => setImmediate(resolve));
  expect(inputs).toEqual([{ kind: "snapshot-sent", to: "b", ok: false, index: 0 }]);
});

test.each([
  ["of a shard waits for the bound of the operation that runs", "0", true],
  ["of the metadata group does not: it stays one, and its node knows no map meanwhile", META_GROUP, false],
])("a snapshot for a learner %s", async (_, id, isHeldBack) => {
  const prefix = encodeKey("state", id, 1);
  await state.transact((writer) => {
    writer.put(extendKey(prefix, "applied"), pack(5));
    writer.put(extendKey(prefix, "map"), Buffer.alloc(100));
  });
  const membership = membershipOf({ voters: ["a"], learners: ["b"] });
  let nowMs = 0;
  // Its time passes only while somebody waits.
  const clock = {
    ...systemClock,
    nowMs: () => nowMs,
    later: (ms: number, work: () => void) => {
      nowMs += ms;
      queueMicrotask(work);
      return { close: () => undefined };
    },
  } as Clock;
  const pace = new Pace(clock, () => 1000);
  // Something else that this node copies for the same operation.
  pace.count(5000);
  const transfers = new SnapshotTransfers({
    stores: { state } as unknown as Stores,
    network: { call: async () => true } as unknown as Network,
    clock,
    pace,
    chunkBytes: 1000,
  } as unknown as ConstructorParameters<typeof SnapshotTransfers>[0]);
  const ended = new Promise<Input>((resolve) => {
    const group = {
      id,
      applied: 5,
      damage: undefined,
      durable: { prefix: () => prefix },
      replica: {
        snapshotAt: (index: number) => ({ index, term: 1, membership }),
        status: () => ({ membership }),
      },
      step: resolve,
    } as unknown as ReplicaGroup;
    transfers.send(group, "b", 1);
  });
  expect(await ended).toEqual({ kind: "snapshot-sent", to: "b", ok: true, index: 5 });
  expect(nowMs >= 5000).toBe(isHeldBack);
});

test.each([
  ["that counts", { voters: ["a", "b", "c"], arbiters: ["c"] }],
  ["that is called in and does not count yet", { voters: ["a", "b"], learners: ["c"] }],
])("an arbiter %s is sent no state, and gets all of the log that its leader still has", async (_, parts) => {
  const prefix = encodeKey("state", "0", 1);
  await state.transact((writer) => {
    writer.put(extendKey(prefix, "applied"), pack(9));
    writer.put(extendKey(prefix, "map"), Buffer.alloc(100));
  });
  const membership = membershipOf(parts);
  const calls: unknown[] = [];
  const transfers = new SnapshotTransfers({
    stores: { state } as unknown as Stores,
    network: {
      call: async (
        to: string,
        _method: string,
        { step, meta }: { step: string; meta?: { index: number } },
      ) => {
        calls.push([to, step, meta?.index]);
        return to !== "c";
      },
    } as unknown as Network,
    clock: systemClock,
    pace: new Pace(systemClock, () => null),
    chunkBytes: 1000,
  } as unknown as ConstructorParameters<typeof SnapshotTransfers>[0]);
  for (const to of ["c", "b"]) {
    const ended = new Promise<Input>((resolve) => {
      const group = {
        id: "0",
        applied: 9,
        durable: { prefix: () => prefix },
        replica: {
          snapshotAt: (index: number) => ({ index, term: 1, membership }),
          status: () => ({ membership, first: 6 }),
        },
        step: resolve,
      } as unknown as ReplicaGroup;
      transfers.send(group, to, 1);
    });
    expect(await ended).toEqual({ kind: "snapshot-sent", to, ok: true, index: to === "c" ? 5 : 9 });
  }
  expect(calls).toEqual([
    ["c", "begin", undefined],
    ["c", "end", 5],
    ["b", "begin", undefined],
    ["b", "chunk", undefined],
    ["b", "end", 9],
  ]);
});

test("beside an arbiter a state is on the disk of who sends it before it is whole anywhere else", async () => {
  const prefix = encodeKey("state", "0", 1);
  let isFlushed = false;
  const slow: Store = {
    ...state,
    snapshot: () => state.snapshot(),
    flush: async () => {
      await state.flush();
      isFlushed = true;
    },
  };
  void state.transact((writer) => writer.put(extendKey(prefix, "applied"), pack(9)));
  const seen: [string, boolean][] = [];
  const transfers = new SnapshotTransfers({
    stores: { state: slow } as unknown as Stores,
    network: {
      call: async (_to: string, _method: string, { step }: { step: string }) => {
        seen.push([step, isFlushed]);
        return true;
      },
    } as unknown as Network,
    clock: systemClock,
    pace: new Pace(systemClock, () => null),
    chunkBytes: 1,
  } as unknown as ConstructorParameters<typeof SnapshotTransfers>[0]);
  const membership = membershipOf({ voters: ["a", "b", "c"], arbiters: ["c"] });
  const ended = new Promise<Input>((resolve) => {
    const group = {
      id: "0",
      applied: 9,
      durable: { prefix: () => prefix },
      replica: {
        snapshotAt: (index: number) => ({ index, term: 1, membership }),
        status: () => ({ membership, first: 6 }),
      },
      step: resolve,
    } as unknown as ReplicaGroup;
    transfers.send(group, "b", 1);
  });
  expect(await ended).toMatchObject({ ok: true, index: 9 });
  expect(seen).toEqual([
    ["begin", false],
    ["chunk", false],
    ["end", true],
  ]);
});

test("two senders of the same state, or one that was restarted, never give their transfers the same name", async () => {
  const names: unknown[] = [];
  const membership = membershipOf({ voters: ["a", "b", "c"] });
  const group = {
    id: "0",
    applied: 5,
    damage: undefined,
    durable: { prefix: () => encodeKey("state", "0", 1) },
    replica: {
      snapshotAt: (index: number) => ({ index, term: 1, membership }),
      status: () => ({ membership }),
    },
  } as unknown as ReplicaGroup;
  const network = {
    call: async (_to: string, _method: string, { id }: { readonly id: string }) => names.push(id),
  } as unknown as Network;
  for (let sender = 0; sender < 2; sender += 1) {
    const transfers = new SnapshotTransfers({
      host: { groups: new Map([["0", group]]), cleaned: async () => undefined },
      stores: { state } as unknown as Stores,
      network,
      clock: systemClock,
      pace: new Pace(systemClock, () => null),
      chunkBytes: 1000,
    } as unknown as ConstructorParameters<typeof SnapshotTransfers>[0]);
    await transfers.sendState("b", { group: "0", indexMin: 1 });
  }
  expect(names.length).toBeGreaterThan(2);
  expect(new Set(names).size).toBe(2);
});

test("what clears the place of a snapshot that was overtaken deletes nothing of the one that overtook it", async () => {
  const staged = encodeKey("state", "0", 2);
  const group = {
    id: "0",
    damage: undefined,
    durable: { stagingPrefix: () => staged },
    isSwitching: () => false,
    forgetRebuilt: () => undefined,
    step: () => undefined,
  } as unknown as ReplicaGroup;
  // What an earlier one left: deleted one record at a time.
  await state.transact((writer) => {
    for (let number = 0; number < 30; number += 1) writer.put(extendKey(staged, "old", number), Buffer.of(1));
  });
  const transfers = new SnapshotTransfers({
    host: { groups: new Map([["0", group]]), cleaned: async () => undefined },
    stores: { state },
    clock: systemClock,
    cleanRecordsMax: 1,
  } as unknown as ConstructorParameters<typeof SnapshotTransfers>[0]);
  const call = (body: object): Promise<boolean> => transfers.receive("b", { group: "0", ...body });
  const suffix = extendKey(staged, "new").subarray(staged.length);
  const overtaken = call({ step: "begin", id: "1" }).catch((error: unknown) => error);
  await call({ step: "begin", id: "2" });
  await call({ step: "chunk", id: "2", items: [[suffix, Buffer.of(2)]] });
  expect(await overtaken).toMatchObject({ code: "snapshot-refused" });
  await call({
    step: "end",
    id: "2",
    meta: { index: 7, term: 1, membership: membershipOf({ voters: ["a"] }) },
    term: 1,
  });
  const left = [...state.keys({ start: staged, end: prefixEnd(staged) })];
  expect(left).toHaveLength(2);
  expect(state.get(extendKey(staged, "new"))).toEqual(Buffer.of(2));
});

test("a state that was asked for does not overtake one that another was asked for before, and that still comes", async () => {
  const staged = encodeKey("state", "0", 2);
  let nowMs = 0;
  const group = {
    id: "0",
    damage: "a record does not match its checksum",
    durable: { stagingPrefix: () => staged },
    isSwitching: () => false,
    forgetRebuilt: () => undefined,
  } as unknown as ReplicaGroup;
  const transfers = new SnapshotTransfers({
    host: { groups: new Map([["0", group]]), cleaned: async () => undefined },
    stores: { state },
    clock: { ...systemClock, nowMs: () => nowMs },
    cleanRecordsMax: 100,
  } as unknown as ConstructorParameters<typeof SnapshotTransfers>[0]);
  const call = (from: string, body: object): Promise<boolean> =>
    transfers.receive(from, { group: "0", ...body });
  await call("b", { step: "begin", id: "1" });
  nowMs += 20_000;
  await call("b", { step: "chunk", id: "1", items: [] });
  nowMs += 20_000;
  await expect(call("c", { step: "begin", id: "2" })).rejects.toMatchObject({ code: "snapshot-refused" });
  await call("b", { step: "chunk", id: "1", items: [] });
  nowMs += 40_000;
  await call("c", { step: "begin", id: "3" });
  await expect(call("b", { step: "chunk", id: "1", items: [] })).rejects.toMatchObject({
    code: "snapshot-refused",
  });
});

test("a source whose connection broke in the middle is not waited for: the next one that is asked brings the state", async () => {
  const staged = encodeKey("state", "0", 2);
  const rebuilt: number[] = [];
  let isOver = false;
  const group = {
    id: "0",
    get damage() {
      return isOver ? undefined : "a record does not match its checksum";
    },
    durable: { stagingPrefix: () => staged, logBase: 0 },
    isSwitching: () => false,
    forgetRebuilt: () => undefined,
    rebuilt: (index: number) => {
      rebuilt.push(index);
      isOver = true;
    },
    step: () => undefined,
    replica: {
      status: () => ({
        role: "follower",
        leader: "b",
        membership: membershipOf({ voters: ["a", "b", "c"] }),
      }),
    },
  } as unknown as ReplicaGroup;
  const groups = new Map([["0", group]]);
  const transfers = new SnapshotTransfers({
    host: { groups, cleaned: async () => undefined },
    stores: { state },
    clock: systemClock,
    cleanRecordsMax: 100,
  } as unknown as ConstructorParameters<typeof SnapshotTransfers>[0]);
  // b is gone after its first chunk; c brings all of it.
  const network = {
    connected: () => true,
    call: async (source: string) => {
      await transfers.receive(source, { group: "0", step: "begin", id: source });
      await transfers.receive(source, { group: "0", step: "chunk", id: source, items: [] });
      if (source === "b") throw new Error("the connection was reset");
      await transfers.receive(source, { group: "0", step: "end", id: source, meta: { index: 7 } });
    },
  };
  const repair = new StateRepair({
    self: "a",
    host: { groups, snapshots: transfers },
    network: network as unknown as Network,
    clock: systemClock,
    onRepaired: () => undefined,
  });
  repair.begin(group);
  await eventually(() => expect(rebuilt).toEqual([7]));
  repair.stop();
});

test("a state that was asked for does not overtake the leader's snapshot, unless that leader is no more or has fallen silent", async () => {
  const staged = encodeKey("state", "0", 2);
  let leader = "b";
  let nowMs = 0;
  const group = {
    id: "0",
    damage: "a record does not match its checksum",
    durable: { stagingPrefix: () => staged },
    replica: { status: () => ({ leader }) },
    isSwitching: () => false,
    forgetRebuilt: () => undefined,
  } as unknown as ReplicaGroup;
  const transfers = new SnapshotTransfers({
    host: { groups: new Map([["0", group]]), cleaned: async () => undefined },
    stores: { state },
    clock: { ...systemClock, nowMs: () => nowMs },
    cleanRecordsMax: 100,
  } as unknown as ConstructorParameters<typeof SnapshotTransfers>[0]);
  const begin = (from: string, id: string, term?: number): Promise<boolean> =>
    transfers.receive(from, {
      step: "begin",
      group: "0",
      id,
      ...(term === undefined ? {} : { term }),
    });
  const chunk = (from: string, id: string): Promise<boolean> =>
    transfers.receive(from, { step: "chunk", group: "0", id, items: [] });
  const refused = { code: "snapshot-refused" };

  await begin("c", "state 1");
  await begin("b", "snapshot 1", 3);
  await expect(chunk("c", "state 1")).rejects.toMatchObject(refused);
  await expect(begin("c", "state 2")).rejects.toMatchObject(refused);
  nowMs = 29_000;
  await chunk("b", "snapshot 1");
  nowMs = 58_000;
  await expect(begin("c", "state 3")).rejects.toMatchObject(refused);
  await chunk("b", "snapshot 1");
  nowMs = 88_000;
  await begin("c", "state 4");
  await chunk("c", "state 4");

  await begin("b", "snapshot 2", 3);
  leader = "d";
  await begin("c", "state 5");
  await chunk("c", "state 5");
});

test("a replica that was taken away and called back takes nothing of a snapshot that was begun before", async () => {
  const inputs: Input[] = [];
  const staged = encodeKey("state", "0", 2);
  const replica = (): ReplicaGroup =>
    ({
      id: "0",
      damage: undefined,
      durable: { stagingPrefix: () => staged },
      isSwitching: () => false,
      forgetRebuilt: () => undefined,
      step: (input: Input) => void inputs.push(input),
    }) as unknown as ReplicaGroup;
  const groups = new Map([["0", replica()]]);
  const transfers = new SnapshotTransfers({
    host: { groups, cleaned: async () => undefined },
    stores: { state },
    clock: systemClock,
    cleanRecordsMax: 100,
  } as unknown as ConstructorParameters<typeof SnapshotTransfers>[0]);
  const call = (body: object): Promise<boolean> => transfers.receive("b", { group: "0", id: "1", ...body });
  const suffix = extendKey(staged, "one").subarray(staged.length);
  const chunk = { step: "chunk", items: [[suffix, Buffer.of(1)]] };
  const end = {
    step: "end",
    meta: { index: 7, term: 1, membership: membershipOf({ voters: ["a"] }) },
    term: 1,
  };
  await call({ step: "begin" });
  await call(chunk);
  groups.set("0", replica());
  await expect(call(chunk)).rejects.toMatchObject({ code: "snapshot-refused" });
  await expect(call(end)).rejects.toMatchObject({ code: "snapshot-refused" });

  await call({ step: "begin" });
  const ended = call(end);
  groups.set("0", replica());
  await expect(ended).rejects.toMatchObject({ code: "snapshot-refused" });
  expect(inputs).toEqual([]);
});
