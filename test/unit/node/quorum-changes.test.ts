// Copies of a leaderless shard while the shard map changes under what they are doing, or one of them does not answer:
// real copies on real stores, joined by calls that a test can hold up.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { absent } from "../../../src/consensus/quorum/versions.ts";
import { scopeFilter } from "../../../src/memory/filter.ts";
import { VectorCache } from "../../../src/memory/vector-cache.ts";
import type { Consistency } from "../../../src/model/consistency.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { NodeId } from "../../../src/model/ids.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { queries } from "../../../src/node/cluster/shard-queries.ts";
import { putItem } from "../../../src/node/memories/commands.ts";
import { Pace } from "../../../src/node/moves/pace.ts";
import { standingOf, type CallBody, type CopyCall } from "../../../src/node/quorum/calls.ts";
import { compare, type Compared } from "../../../src/node/quorum/comparison.ts";
import {
  LEADERLESS_LIMITS,
  LeaderlessShards,
  type CopyHere,
} from "../../../src/node/quorum/leaderless-shards.ts";
import { LeaderlessPath, type ForwardedRead } from "../../../src/node/quorum/path.ts";
import { encodeKey, prefixEnd } from "../../../src/node/storage/key.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import { StoreCorruptError, type Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { pack, unpack } from "../../../src/node/transport/frames.ts";
import type { Network } from "../../../src/node/transport/network.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { slotOf } from "../../../src/topology/slots.ts";
import { manifestOf } from "../topology/manifest.ts";
import { eventually } from "./eventually.ts";

const QUORUM: Consistency = { read: "quorum", write: "quorum" };
const AT = "2026-01-01T00:00:00.000Z";
const LIMITS = { ...LEADERLESS_LIMITS, restMs: 0, compareEveryMs: 50 };
/** Those of a test. */
const limits = { ...LIMITS };

interface Node {
  readonly store: Store;
  readonly shards: LeaderlessShards;
  map: ShardMap;
}

interface Held {
  /** Resolves when a call of that kind is held. */
  readonly reached: Promise<void>;
  readonly release: () => void;
}

let folder: string;
let nodes: Map<NodeId, Node>;
let away: Set<NodeId>;
/** What a call or its answer waits for, by caller and method. */
let gates: Map<string, () => Promise<void>>;
/** The manifest's levels. */
let levels: Consistency;

const first = initialShardMap(manifestOf({ nodes: 3, shards: 1, copies: 3 }));

/** The sets of copies as a later map has them. */
function mapWith(epoch: number, replicas: readonly NodeId[], outgoing?: readonly NodeId[]): ShardMap {
  const [shard] = first.shards;
  if (shard === undefined) throw new Error("a map without shards");
  const { outgoing: _, ...rest } = shard;
  const change = outgoing === undefined ? {} : { outgoing: { replicas: outgoing, since: epoch } };
  return { ...first, epoch: first.epoch + epoch, shards: [{ ...rest, replicas, ...change }] };
}

function networkOf(self: NodeId): Network {
  return {
    send: () => undefined,
    beat: () => undefined,
    flush: () => undefined,
    flushSoon: () => undefined,
    connected: (to) => !away.has(to) && !away.has(self) && nodes.has(to),
    lastError: () => undefined,
    async call(to, method, body) {
      if (away.has(to) || away.has(self)) throw new Mem0ctlError("unavailable", "peer-unreachable", to);
      const wire = pack(body);
      await gates.get(`${self} asks ${method}`)?.();
      const answer = await nodeOf(to).shards.answer(
        self,
        method as CopyCall,
        unpack(wire) as CallBody<CopyCall>,
      );
      await gates.get(`${self} is answered ${method}`)?.();
      return unpack(pack(answer));
    },
  };
}

function nodeOf(id: NodeId): Node {
  const node = nodes.get(id);
  if (node === undefined) throw new Error(`no ${id}`);
  return node;
}

function here(id: NodeId): CopyHere {
  const copy = nodeOf(id).shards.here("0");
  if (copy === undefined) throw new Error(`${id} holds no copy`);
  return copy;
}

/** Holds what `what` says up, the first time, until it is released. */
function hold(what: string): Held {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  const reached = new Promise<void>((resolve) => {
    gates.set(what, () => {
      gates.delete(what);
      resolve();
      return released;
    });
  });
  return { reached, release };
}

async function put(at: NodeId, id: string, text: string): Promise<void> {
  const record = { memory: text, user_id: "ada", created_at: AT, updated_at: AT, hash: text };
  await here(at).coordinator.write({
    command: { t: "put", items: [putItem({ id, key: "ada", record, vector: Float32Array.of(1, 0) })] },
    ...request(`put ${id} ${text}`),
  });
}

function update(at: NodeId, id: string, text: string): Promise<unknown> {
  const command = { t: "update", id, text, hash: text, at: AT } as const;
  return here(at).coordinator.write({ command, ...request(`update ${id} ${text}`) });
}

function request(write: string): {
  readonly write: string;
  readonly consistency: Consistency;
  readonly deadlineMs: number;
  readonly isRepeated: boolean;
  readonly takenMs: number;
} {
  return { write, consistency: QUORUM, deadlineMs: soon(), isRepeated: false, takenMs: Date.now() };
}

const soon = (): number => systemClock.nowMs() + 10_000;
const list = (at: NodeId): Promise<unknown> =>
  here(at).coordinator.read(queries.list(scopeFilter({ user_id: "ada" }), 10), "quorum", soon());

function compareWith(copy: CopyHere["copy"], at: NodeId, peer: NodeId): Promise<Compared> {
  const { map, shards } = nodeOf(at);
  return compare({
    peer,
    copy,
    client: shards.client,
    clock: systemClock,
    standing: standingOf(map, copy.shard),
    limits,
    reading: false,
    deadlineMs: soon(),
  });
}

/** Brings requests from a node to a copy. */
function pathAt(self: NodeId, network: Network): LeaderlessPath {
  const { shards } = nodeOf(self);
  return new LeaderlessPath({
    self,
    shards,
    network,
    clock: systemClock,
    map: () => nodeOf(self).map,
    attemptMs: 1000,
    dismissal: () => undefined,
  });
}

/** Reads at a node without a copy, from which calls to those in `silent` get no answer. */
function readFromOutside(silent: readonly NodeId[], deadlineMs: number): Promise<unknown> {
  learn(mapWith(1, ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  const network: Network = {
    ...networkOf("node-3"),
    call: async (to, _method, body) => {
      if (silent.includes(to)) throw new Mem0ctlError("unknown-outcome", "peer-did-not-answer", to);
      return pathAt(to, networkOf(to)).readHere(body as ForwardedRead);
    },
  };
  return pathAt("node-3", network).read({ id: "0" }, queries.get("k"), QUORUM, deadlineMs);
}

function textAt(id: NodeId, memory: string): string | undefined {
  const { machine } = here(id).copy;
  return machine.record("ada", memory)?.memory;
}

function learn(map: ShardMap, ...who: readonly NodeId[]): void {
  for (const id of who) {
    const node = nodeOf(id);
    node.map = map;
    node.shards.follow();
  }
}

/** Until nothing of its copy is left on a node's disk. */
async function cleared(id: NodeId): Promise<void> {
  const start = encodeKey("state", "0");
  await eventually(() =>
    expect([...nodeOf(id).store.keys({ start, end: prefixEnd(start) })]).toHaveLength(0),
  );
}

function storeOf(id: NodeId, flushDelayMs = 0): Store {
  return openLmdbStore({
    folder: join(folder, id),
    flushDelayMs,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
}

function shardsOn(
  self: NodeId,
  store: Store,
  onDamage = (shard: string, what: string): void =>
    expect.unreachable(`${self}: shard ${shard} is damaged: ${what}`),
): LeaderlessShards {
  const fail = (error: unknown): void => expect.unreachable(String(error));
  return new LeaderlessShards({
    self,
    store,
    network: networkOf(self),
    clock: systemClock,
    vectors: new VectorCache({ bytesMax: 1 << 20, setsMax: 8 }),
    map: () => nodeOf(self).map,
    pace: new Pace(systemClock, () => null),
    consistency: levels,
    limits,
    scrubBytesPerSecond: 1 << 20,
    onDamage,
    onFailure: fail,
  });
}

/** A node is killed, and starts with what is on its disk. */
function startAgain(id: NodeId, map: ShardMap, onDamage?: () => void): void {
  const node = nodeOf(id);
  node.shards.stop();
  nodes.set(id, { ...node, shards: shardsOn(id, node.store, onDamage), map });
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-quorum-"));
  nodes = new Map();
  away = new Set();
  gates = new Map();
  levels = QUORUM;
  for (const self of ["node-1", "node-2", "node-3"]) {
    const store = storeOf(self);
    const shards = shardsOn(self, store);
    nodes.set(self, { store, shards, map: first });
    await shards.found(first);
  }
});
afterEach(async () => {
  Object.assign(limits, LIMITS);
  for (const { store, shards } of nodes.values()) {
    shards.stop();
    await store.close();
  }
  rmSync(folder, { recursive: true, force: true });
});

it("a copy that was given up during a comparison does not tell the other that its memories are deleted", async () => {
  away.add("node-3");
  await put("node-1", "k", "tea");
  await compareWith(here("node-2").copy, "node-2", "node-1");
  away.delete("node-3");
  const { copy } = here("node-3");
  const keys = hold("node-3 is answered quorum-keys");
  // Two at a time: the leaf of k differs when this one begins, and k has come from node-2 when it goes on.
  const comparison = compareWith(copy, "node-3", "node-1");
  await keys.reached;
  await compareWith(copy, "node-3", "node-2");
  expect(textAt("node-3", "k")).toBe("tea");
  learn(mapWith(1, ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  await cleared("node-3");
  keys.release();
  await expect(comparison).rejects.toMatchObject({ code: "not-here" });
  expect(textAt("node-1", "k")).toBe("tea");
  expect(textAt("node-2", "k")).toBe("tea");
});

it("a copy that was given up takes no write, and leaves no record of itself", async () => {
  await put("node-1", "k", "tea");
  const { copy } = here("node-3");
  learn(mapWith(1, ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  await cleared("node-3");
  expect(() => copy.held("k")).toThrow(expect.objectContaining({ code: "not-here" }));
  expect(() => copy.raiseFloor({ floor: [["another", 7]], forgotten: [] })).toThrow(
    expect.objectContaining({ code: "not-here" }),
  );
  await cleared("node-3");
});

it("a list is not answered from a copy that was given up meanwhile", async () => {
  await put("node-1", "k", "tea");
  const answer = hold("node-3 is answered quorum-open");
  const listed = list("node-3");
  await answer.reached;
  learn(mapWith(1, ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  await cleared("node-3");
  answer.release();
  await expect(listed).rejects.toMatchObject({ kind: "unavailable", code: "copy-not-serving" });
});

it("a list that began by the sets before a change is not answered by copies that know of the change", async () => {
  await put("node-1", "k", "tea");
  const asked = hold("node-3 asks quorum-open");
  const listed = list("node-3");
  await asked.reached;
  const changed = mapWith(1, ["node-1", "node-3", "node-4"], ["node-1", "node-2", "node-3"]);
  learn(changed, "node-1", "node-2", "node-3");
  asked.release();
  // It had asked one copy, which is enough of the set before and not of both.
  await expect(listed).rejects.toMatchObject({ kind: "unavailable", code: "too-few-copies" });
});

/** A list at node-1 that finds all copies equal; before it reads, a write is stored there that reaches no other one. */
async function listBesideLostWrite(): Promise<{
  readonly listed: Promise<unknown>;
  readonly goOn: () => void;
}> {
  const opened = hold("node-1 is answered quorum-open");
  const listed = list("node-1");
  await opened.reached;
  gates.set("node-1 asks quorum-store", () =>
    Promise.reject(new Mem0ctlError("unavailable", "peer-unreachable", "node-1")),
  );
  await expect(put("node-1", "k", "tea")).rejects.toMatchObject({ kind: "unknown-outcome" });
  gates.delete("node-1 asks quorum-store");
  return { listed, goOn: opened.release };
}

it("what came to this copy after the others were compared is listed once enough copies have it", async () => {
  const { listed, goOn } = await listBesideLostWrite();
  goOn();
  const seen = await listed;
  expect(seen).toMatchObject({ newest: [{ id: "k" }] });
  away.add("node-1");
  expect(await list("node-2")).toEqual(seen);
});

it("what came to this copy after the others were compared is not listed while it alone has it", async () => {
  const { listed, goOn } = await listBesideLostWrite();
  for (const id of ["node-2", "node-3"]) away.add(id);
  goOn();
  await expect(listed).rejects.toMatchObject({ kind: "unavailable", code: "too-few-copies" });
});

it("every question of a comparison goes by the sets that it began with", async () => {
  away.add("node-3");
  await put("node-1", "k", "tea");
  away.delete("node-3");
  const opened = hold("node-3 is answered quorum-open");
  const comparison = compareWith(here("node-3").copy, "node-3", "node-1");
  await opened.reached;
  learn(
    mapWith(1, ["node-1", "node-3", "node-4"], ["node-1", "node-2", "node-3"]),
    "node-1",
    "node-2",
    "node-3",
  );
  opened.release();
  await expect(comparison).rejects.toMatchObject({ code: "stale-map" });
});

it("a coordinator that hears of other copies while it reads does not write by the sets before", async () => {
  await put("node-1", "k", "tea");
  const answered = hold("node-3 is answered quorum-digests");
  const updated = update("node-3", "k", "green tea");
  await answered.reached;
  // A new member read this copy before the write, and would be asked in place of one that takes it.
  learn(mapWith(1, ["node-2", "node-3", "node-4"], ["node-1", "node-2", "node-3"]), "node-3");
  answered.release();
  await expect(updated).rejects.toMatchObject({ kind: "unavailable", code: "stale-map" });
  for (const id of ["node-1", "node-2", "node-3"]) expect(textAt(id, "k")).toBe("tea");
});

it("a deletion by filter that has to stop between two rounds does not say that nothing was done", async () => {
  const record = { memory: "tea", user_id: "ada", created_at: AT, updated_at: AT, hash: "tea" };
  const vector = Float32Array.of(1, 0);
  const items = Array.from({ length: 600 }, (_, at) => putItem({ id: `k${at}`, key: "ada", record, vector }));
  await here("node-1").coordinator.write({ command: { t: "put", items, fresh: true }, ...request("put") });
  const firstRound = hold("node-3 asks quorum-store");
  const filter = scopeFilter({ user_id: "ada" });
  const deleted = here("node-3").coordinator.write({
    command: { t: "delete-matching", filter },
    ...request("delete"),
  });
  await firstRound.reached;
  const secondRound = hold("node-3 is answered quorum-digests");
  firstRound.release();
  await secondRound.reached;
  learn(mapWith(1, ["node-2", "node-3", "node-4"], ["node-1", "node-2", "node-3"]), "node-3");
  secondRound.release();
  await expect(deleted).rejects.toMatchObject({ kind: "unknown-outcome" });
  expect(here("node-3").copy.size().memories).toBe(100);
});

it("what the next copy says of a read that one has not answered is the answer, also that there is nothing", async () => {
  await expect(readFromOutside(["node-1"], soon())).rejects.toMatchObject({ code: "memory-not-found" });
});

it("a read that no copy answers is late, and nothing is unknown of it", async () => {
  const deadlineMs = systemClock.nowMs() + 100;
  await expect(readFromOutside(["node-1", "node-2"], deadlineMs)).rejects.toMatchObject({
    kind: "unavailable",
    code: "read-timed-out",
  });
});

/** A record of a node's copy turns out to be unreadable; returns what has to be filled again. */
function damage(id: NodeId = "node-3"): CopyHere {
  const damaged = here(id);
  damaged.copy.noteDamage(new StoreCorruptError(damaged.copy.prefix));
  expect(damaged.copy.state).toBe("rebuilding");
  return damaged;
}

it("a comparison during whose end the copy loses something has not filled it", async () => {
  startAgain("node-3", first, () => undefined);
  learn(first, "node-3");
  const done = hold("node-3 is answered quorum-done");
  const comparison = compareWith(here("node-3").copy, "node-3", "node-1");
  await done.reached;
  damage();
  done.release();
  await expect(comparison).rejects.toMatchObject({ code: "copy-changed" });
});

it("a comparison of another copy during whose end this one loses something has not filled it", async () => {
  startAgain("node-3", first, () => undefined);
  learn(first, "node-3");
  const { generation } = here("node-3").copy;
  const ask = { floor: [["another", 7]] as const, forgotten: [], generation, lacks: false };
  const body = { shard: "0", standing: standingOf(first, "0"), ask };
  const told = nodeOf("node-3").shards.answer("node-1", "quorum-done", body);
  const { sources } = damage();
  await told;
  expect(sources).toEqual(new Map());
});

it("a copy that lost what reads of a majority have told is filled from enough others to meet it, whatever writes ask", async () => {
  // A write that one copy did not acknowledge is on two, and a read has told so: one of the two is node-3.
  levels = { read: "quorum", write: "all" };
  startAgain("node-3", first, () => undefined);
  learn(first, "node-3");
  const { copy } = damage();
  await eventually(() => expect(copy.isReadable).toBe(true));
  const { shards } = nodeOf("node-3");
  const filledBy = (node: NodeId): Promise<unknown> => {
    const { floor } = here(node).copy;
    const ask = { floor, forgotten: [], generation: copy.generation, lacks: false };
    return shards.answer(node, "quorum-done", { shard: "0", standing: standingOf(first, "0"), ask });
  };
  await filledBy("node-1");
  expect(copy.state).toBe("rebuilding");
  await filledBy("node-2");
  await eventually(() => expect(copy.state).toBe("serving"));
});

it("a copy that lost something and a new one do not take each other for whole while nobody has told them", async () => {
  learn(mapWith(1, ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  await cleared("node-3");
  await put("node-1", "k", "acknowledged");
  startAgain("node-1", mapWith(1, ["node-1", "node-2"]), () => undefined);
  learn(mapWith(2, ["node-1", "node-3"], ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  const lost = damage("node-1");
  // What it held before is deleted first, to the end.
  const added = await eventually(() => {
    nodeOf("node-3").shards.follow();
    return here("node-3");
  });
  away.add("node-2");
  for (const id of ["node-1", "node-3"]) nodeOf(id).shards.start();
  await eventually(() => {
    expect(lost.peers.get("node-3")?.comparedMs).toBeDefined();
    expect(added.peers.get("node-1")?.comparedMs).toBeDefined();
  });
  await Promise.all([lost.copy.settled(), added.copy.settled()]);
  expect([lost.copy.state, added.copy.state]).toEqual(["rebuilding", "filling"]);
  away.clear();
  await eventually(() => expect([lost.copy.state, added.copy.state]).toEqual(["serving", "serving"]));
  expect([textAt("node-1", "k"), textAt("node-3", "k")]).toEqual(["acknowledged", "acknowledged"]);
});

/** Of a write to the store of node-2: whether it is on disk. */
function written(): { isFlushed: boolean } {
  const seen = { isFlushed: false };
  const write = nodeOf("node-2").store.transact((writer) => writer.put(encodeKey("map"), Buffer.from("new")));
  void write.then(() => (seen.isFlushed = true));
  return seen;
}

it("a copy says only of a change that is on its disk that it goes by it", async () => {
  const changing = mapWith(1, ["node-1", "node-2"], ["node-1", "node-2", "node-3"]);
  nodeOf("node-2").shards.stop();
  await nodeOf("node-2").store.close();
  const store = storeOf("node-2", 2000);
  nodes.set("node-2", { store, shards: shardsOn("node-2", store), map: first });
  learn(changing, "node-1", "node-2", "node-3");
  const asked = written();
  const ask = { opening: here("node-3").copy.opening(), reading: false, lacks: false, wallMs: 0 };
  const body = { shard: "0", standing: standingOf(changing, "0"), ask };
  await nodeOf("node-2").shards.answer("node-3", "quorum-open", body);
  expect(asked.isFlushed).toBe(true);

  const asking = written();
  const wasFlushed = new Promise<boolean>((resolve) => {
    gates.set("node-2 asks quorum-open", () => Promise.resolve(resolve(asking.isFlushed)));
  });
  nodeOf("node-2").shards.start();
  expect(await wasFlushed).toBe(true);
});

/** The half of the slots that a split gives to shard 1, by whether it is copied still or has gone. */
function split(phase: "copying" | "dropping"): ShardMap {
  const [shard] = first.shards;
  if (shard === undefined) throw new Error("a map without shards");
  const half = [{ from: 8192, to: 16_383 }];
  const handover = {
    id: first.epoch + 1,
    name: "split shard 0 at 8192 into 0 and 1",
    from: "0",
    to: "1",
    slice: { kind: "slots", slots: half, except: [], also: [] },
    isWhole: false,
    phase,
    versions: { from: 0, to: null },
  } as const;
  const made = { ...shard, id: "1" };
  return phase === "copying"
    ? {
        ...first,
        epoch: handover.id,
        shards: [shard, { ...made, slots: [], founding: true }],
        handover,
      }
    : {
        ...first,
        epoch: handover.id + 1,
        shards: [
          { ...shard, slots: [{ from: 0, to: 8191 }], version: 1 },
          { ...made, slots: half, version: 1 },
        ],
        handover,
      };
}

/** Until the handover is that far on all nodes. */
function handoverIs(state: "ready" | "over"): Promise<void> {
  return eventually(() => {
    const states = [...nodes.values()].map(({ shards, map }) => {
      shards.follow();
      return shards.succession(map.handover?.id ?? 0).state;
    });
    expect(states).toEqual([state, state, state]);
  });
}

/** Of the shard that has ada's memories after the split. */
function copyAfterSplit(id: NodeId): CopyHere["copy"] {
  const copy = nodeOf(id).shards.here(slotOf("ada") < 8192 ? "0" : "1")?.copy;
  if (copy === undefined) throw new Error(`${id} holds no copy`);
  return copy;
}

it("a node that starts again while keys are copied serves them, and is told of writes to the copies it makes", async () => {
  await put("node-1", "k", "tea");
  startAgain("node-2", split("copying"));
  learn(split("copying"), "node-1", "node-2", "node-3");
  expect(here("node-2").copy).toMatchObject({ version: 0, state: "serving" });
  await update("node-2", "k", "green tea");
  expect(textAt("node-2", "k")).toBe("green tea");

  await handoverIs("ready");
  await update("node-1", "k", "white tea");
  learn(split("dropping"), "node-1", "node-2", "node-3");
  await handoverIs("over");
  const texts = [...nodes.keys()].map((id) => copyAfterSplit(id).machine.record("ada", "k")?.memory);
  expect(texts).toEqual(["white tea", "white tea", "white tea"]);
});

it("a node that starts again while keys go brings the others every memory that it holds", async () => {
  away.add("node-3");
  await put("node-1", "k", "tea");
  learn(split("copying"), "node-1", "node-2", "node-3");
  await handoverIs("ready");
  // What it has made is on its disk, and not that it took over.
  startAgain("node-2", split("dropping"));
  learn(split("dropping"), "node-1", "node-2", "node-3");
  await handoverIs("over");
  away = new Set(["node-1"]);
  const copy = copyAfterSplit("node-3");
  await compareWith(copy, "node-3", "node-2");
  expect(copy.machine.record("ada", "k")?.memory).toBe("tea");
  expect(copy.tree.root).toBe(copyAfterSplit("node-2").tree.root);
});

/** Shard 0 is all shard 1's, and is in the map no more. */
function merged(): ShardMap {
  const [shard] = first.shards;
  if (shard === undefined) throw new Error("a map without shards");
  const handover = {
    id: first.epoch + 1,
    name: "merge shard 0 into 1",
    from: "0",
    to: "1",
    slice: { kind: "slots", slots: shard.slots, except: [], also: [] },
    isWhole: true,
    phase: "dropping",
    versions: { from: 0, to: null },
  } as const;
  return { ...first, epoch: handover.id + 1, shards: [{ ...shard, id: "1", version: 1 }], handover };
}

/** One letter of a text is another one everywhere on the disk of a node, which starts again with that. */
async function startWithRot(id: NodeId, text: string, map: ShardMap): Promise<void> {
  const { shards, store } = nodeOf(id);
  shards.stop();
  await store.close();
  const file = join(folder, id, "data.mdb");
  const bytes = readFileSync(file);
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) bytes.write("?", at);
  writeFileSync(file, bytes);
  const opened = storeOf(id);
  nodes.set(id, { store: opened, shards: shardsOn(id, opened, () => undefined), map });
}

it("a node that cannot read a memory of a shard that has gone makes the copy without it, and is told of it", async () => {
  await put("node-1", "k", "tea with rot");
  await put("node-1", "l", "coffee");
  await startWithRot("node-2", "tea with rot", merged());
  learn(merged(), "node-1", "node-2", "node-3");
  await handoverIs("over");
  const copyAt = (id: NodeId): CopyHere["copy"] => {
    const copy = nodeOf(id).shards.here("1")?.copy;
    if (copy === undefined) throw new Error(`${id} holds no copy`);
    return copy;
  };
  const copy = copyAt("node-2");
  expect(copy).toMatchObject({ version: 1, state: "rebuilding" });
  const texts = (): unknown => ["k", "l"].map((id) => copy.machine.record("ada", id)?.memory);
  expect(texts()).toEqual([undefined, "coffee"]);
  await compareWith(copy, "node-2", "node-1");
  expect(texts()).toEqual(["tea with rot", "coffee"]);
  expect(copyAt("node-1").machine.record("ada", "k")?.memory).toBe("tea with rot");
});

it("what is made of a copy refuses new memories alone, and whoever sent one is told to come again", async () => {
  await put("node-1", "k", "tea");
  const heirs = { wrote: () => undefined, finish: () => undefined, refuse: () => true };
  here("node-1").copy.heirs = heirs;
  await expect(put("node-1", "l", "milk")).rejects.toMatchObject({
    kind: "unavailable",
    code: "stale-epoch",
  });
  await put("node-1", "k", "coffee");
  await update("node-1", "k", "cocoa");
  here("node-1").copy.heirs = undefined;
  await put("node-1", "l", "milk");
  expect([textAt("node-1", "k"), textAt("node-1", "l")]).toEqual(["cocoa", "milk"]);
});

/** node-1 takes a write that no other copy hears of, and comes back after it was away for too long. */
async function comeBackWith(write: () => Promise<unknown>): Promise<CopyHere["copy"]> {
  gates.set("node-1 asks quorum-store", () =>
    Promise.reject(new Mem0ctlError("unavailable", "peer-unreachable", "node-1")),
  );
  await write().catch(() => undefined);
  gates.delete("node-1 asks quorum-store");
  expect(textAt("node-1", "k")).toBe("green tea");
  const { copy } = here("node-1");
  await copy.become("rebuilding");
  return copy;
}

function start(...who: readonly NodeId[]): void {
  for (const id of who) nodeOf(id).shards.start();
}

it("what a copy that was away for too long alone has heard of, and nobody acknowledged, goes (10)", async () => {
  const copy = await comeBackWith(() => put("node-1", "k", "green tea"));
  start("node-1", "node-2", "node-3");
  await eventually(() => expect(copy.state).toBe("serving"));
  for (const id of ["node-1", "node-2", "node-3"]) {
    await compareWith(here(id).copy, id, id === "node-1" ? "node-2" : "node-1");
    expect(textAt(id, "k")).toBeUndefined();
  }
});

it("a copy that was away for too long gives nothing before all others have said what they know", async () => {
  // It waits for three rounds of these.
  limits.compareEveryMs = 2000;
  startAgain("node-1", first);
  learn(first, "node-1");
  const copy = await comeBackWith(() => put("node-1", "k", "green tea"));
  away.add("node-3");
  start("node-1");
  await eventually(() => expect(here("node-1").orphans.awaits("node-2")).toBe(false));
  expect(copy.state).toBe("rebuilding");
  const { copy: other } = here("node-2");
  const refused = { code: "copy-not-serving" };
  await expect(compareWith(other, "node-2", "node-1")).rejects.toMatchObject(refused);
  await expect(compareWith(copy, "node-1", "node-2")).rejects.toMatchObject(refused);
  expect(textAt("node-2", "k")).toBeUndefined();
  expect(textAt("node-1", "k")).toBe("green tea");
  away.clear();
  await eventually(() => expect(copy.state).toBe("serving"));
  expect(textAt("node-1", "k")).toBeUndefined();
});

it("what nobody has heard of stays where another copy is not reached for a while", async () => {
  const copy = await comeBackWith(() => put("node-1", "k", "green tea"));
  away.add("node-3");
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("what one more copy had flushed stays, whoever is asked first", async () => {
  away.add("node-2");
  await put("node-1", "k", "green tea");
  away.clear();
  const { copy } = here("node-1");
  await copy.become("rebuilding");
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("what was acknowledged by the copy that was away alone stays", async () => {
  const { coordinator } = here("node-1");
  const one = { ...request("put k"), consistency: { read: "one", write: "one" } as const };
  const record = { memory: "green tea", user_id: "ada", created_at: AT, updated_at: AT, hash: "tea" };
  const item = putItem({ id: "k", key: "ada", record, vector: Float32Array.of(1, 0) });
  const copy = await comeBackWith(() => coordinator.write({ command: { t: "put", items: [item] }, ...one }));
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("what nobody acknowledged stays where the others still have what it superseded", async () => {
  await put("node-1", "k", "tea");
  const copy = await comeBackWith(() => update("node-1", "k", "green tea"));
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("what nobody has heard of stays where another copy lacks something itself", async () => {
  startAgain("node-3", first, () => undefined);
  learn(first, "node-3");
  const copy = await comeBackWith(() => put("node-1", "k", "green tea"));
  damage();
  start("node-1", "node-3");
  await eventually(() => expect([copy.state, here("node-3").copy.state]).toEqual(["serving", "serving"]));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("a copy that was cut off for too long answers nothing from the moment it meets another (9)", async () => {
  const get = (): Promise<unknown> => here("node-1").coordinator.read(queries.get("k"), "one", soon());
  limits.awayMsMax = -1;
  for (const id of ["node-2", "node-3"]) away.add(id);
  await expect(get()).rejects.toMatchObject({ code: "memory-not-found" });
  away.clear();
  await expect(get()).rejects.toMatchObject({ code: "copy-not-serving" });
});

it("what one copy has forgotten without another, whoever took over its floor has forgotten as well (9)", async () => {
  const forgotten = [["another", 7]] as const;
  await here("node-2").copy.raiseFloor({ floor: forgotten, forgotten });
  for (const id of ["node-1", "node-3"]) await here(id).copy.raiseFloor({ floor: forgotten, forgotten: [] });
  await compareWith(here("node-3").copy, "node-3", "node-2");
  await compareWith(here("node-2").copy, "node-2", "node-1");
  for (const id of ["node-1", "node-3"]) expect(here(id).copy.forgotten).toEqual(forgotten);
});

it("what another copy acknowledged stays though it is no member any more when the one that was away is back", async () => {
  away.add("node-2");
  await put("node-1", "k", "green tea");
  away.clear();
  const { copy } = here("node-1");
  learn(mapWith(1, ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  await copy.become("rebuilding");
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
  // What it takes from now on can be known to no other.
  await eventually(() => expect(copy.members).toEqual(["node-2"]));
  startAgain("node-1", mapWith(1, ["node-1", "node-2"]));
  learn(mapWith(1, ["node-1", "node-2"]), "node-1");
  expect(here("node-1").copy.members).toEqual(["node-2"]);
});

it("a copy that lets a deletion go because another has forgotten it knows itself without whom (9)", async () => {
  away.add("node-3");
  await put("node-1", "k", "tea");
  await here("node-1").coordinator.write({ command: { t: "delete", id: "k" }, ...request("delete") });
  const { copy } = here("node-2");
  await compareWith(copy, "node-2", "node-1");
  const { context } = copy.outline("k");
  expect(copy.outline("k").versions).toMatchObject([{ value: null }]);
  await copy.take([{ id: "k", item: absent() }], context);
  expect(copy.outline("k").versions).toEqual([]);
  // node-3, which was away, is rebuilt, whichever of the two it meets.
  expect(copy.forgotten).toEqual(context);
});

it("two copies that were both away for too long do not both drop what superseded the same", async () => {
  const two = mapWith(1, ["node-1", "node-2"]);
  learn(two, "node-1", "node-2", "node-3");
  await put("node-1", "k", "tea");
  await here("node-1").copy.exchanged(["node-2"]);
  await here("node-2").copy.exchanged(["node-1"]);
  // Each writes over it without having heard of the other.
  for (const [at, text] of [
    ["node-1", "green tea"],
    ["node-2", "black tea"],
  ] as const) {
    gates.set(`${at} asks quorum-store`, () =>
      Promise.reject(new Mem0ctlError("unavailable", "peer-unreachable", at)),
    );
    const command = { t: "update", id: "k", text, hash: text, at: AT } as const;
    const consistency = { read: "one", write: "quorum" } as const;
    await here(at)
      .coordinator.write({ command, ...request(text), consistency })
      .catch(() => undefined);
    gates.delete(`${at} asks quorum-store`);
    expect(textAt(at, "k")).toBe(text);
  }
  const copies = [here("node-1").copy, here("node-2").copy];
  for (const copy of copies) await copy.become("rebuilding");
  start("node-1", "node-2");
  await eventually(() => expect(copies.map(({ state }) => state)).toEqual(["serving", "serving"]));
  await eventually(() => expect(textAt("node-1", "k")).toBe(textAt("node-2", "k")));
  expect(textAt("node-1", "k")).toBe("black tea");
});

it("what nobody has heard of stays where another copy loses something while it is asked", async () => {
  const two = mapWith(1, ["node-1", "node-2"]);
  learn(two, "node-1", "node-2", "node-3");
  startAgain("node-2", two, () => undefined);
  learn(two, "node-2");
  await here("node-1").copy.exchanged(["node-2"]);
  const copy = await comeBackWith(() => put("node-1", "k", "green tea"));
  const answered = hold("node-1 is answered quorum-outlines");
  start("node-1");
  await answered.reached;
  damage("node-2");
  await eventually(() => expect(here("node-2").copy.isReadable).toBe(true));
  answered.release();
  start("node-2");
  await eventually(() => expect([copy.state, here("node-2").copy.state]).toEqual(["serving", "serving"]));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("a copy that was replaced and called back while it was away is filled by as many as any new one (12)", async () => {
  const replaced = ["node-1", "node-2", "node-4"];
  const store = storeOf("node-4");
  nodes.set("node-4", { store, shards: shardsOn("node-4", store), map: first });
  nodeOf("node-3").shards.stop();
  away.add("node-3");
  learn(mapWith(1, replaced, ["node-1", "node-2", "node-3"]), ...replaced);
  start(...replaced);
  await eventually(() => expect(here("node-4").copy.state).toBe("serving"));
  learn(mapWith(2, replaced), ...replaced);
  for (const id of replaced) startAgain(id, mapWith(2, replaced));
  learn(mapWith(2, replaced), ...replaced);
  away.add("node-2");
  await put("node-1", "k", "acknowledged");
  away.delete("node-2");
  expect(textAt("node-4", "k")).toBe("acknowledged");
  expect(textAt("node-2", "k")).toBeUndefined();
  // Of the map between it has not heard.
  const back = mapWith(3, ["node-1", "node-2", "node-3"], replaced);
  learn(back, ...replaced);
  limits.awayMsMax = -1;
  startAgain("node-3", back);
  learn(back, "node-3");
  limits.awayMsMax = LIMITS.awayMsMax;
  const { copy } = here("node-3");
  expect(copy.state).toBe("rebuilding");
  // One alone is met, which missed the write.
  away.clear();
  away.add("node-1");
  away.add("node-4");
  limits.compareEveryMs = 50;
  start("node-3");
  await eventually(() => expect([...here("node-3").sources.keys()]).toEqual(["node-2"]));
  await copy.settled();
  expect(copy.state).toBe("rebuilding");
  away.clear();
  await eventually(() => expect(copy.state).toBe("serving"));
  expect(textAt("node-3", "k")).toBe("acknowledged");
});

it("what another copy has in the place of what goes is taken first: both may have superseded the same", async () => {
  away.add("node-3");
  await put("node-1", "k", "tea");
  away.clear();
  for (const [at, text] of [
    ["node-1", "green tea"],
    ["node-2", "black tea"],
  ] as const) {
    gates.set(`${at} asks quorum-store`, () =>
      Promise.reject(new Mem0ctlError("unavailable", "peer-unreachable", at)),
    );
    const command = { t: "update", id: "k", text, hash: text, at: AT } as const;
    const consistency = { read: "one", write: "quorum" } as const;
    await here(at)
      .coordinator.write({ command, ...request(text), consistency })
      .catch(() => undefined);
    gates.delete(`${at} asks quorum-store`);
  }
  const { copy } = here("node-1");
  await copy.become("rebuilding");
  // Once it has answered, node-2 is gone.
  gates.set("node-1 asks quorum-open", () => {
    gates.delete("node-1 asks quorum-open");
    away.add("node-2");
    return Promise.reject(new Mem0ctlError("unavailable", "peer-unreachable", "node-2"));
  });
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  expect(textAt("node-1", "k")).toBe("black tea");
  const { copy: other } = here("node-2");
  await other.become("rebuilding");
  away.clear();
  start("node-2", "node-3");
  await eventually(() => expect(other.state).toBe("serving"));
  await eventually(() =>
    expect(["node-1", "node-2", "node-3"].map((id) => textAt(id, "k"))).toEqual(Array(3).fill("black tea")),
  );
});

it("what nobody has heard of stays where another copy is there and does not answer", async () => {
  const copy = await comeBackWith(() => put("node-1", "k", "green tea"));
  nodeOf("node-3").shards.stop();
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("a copy that has to ask what others know sends nothing more of what it was writing", async () => {
  const items = ["k1", "k2"].map((id) => {
    const record = {
      memory: "x".repeat(3 << 20) + id,
      user_id: "ada",
      created_at: AT,
      updated_at: AT,
      hash: id,
    };
    return putItem({ id, key: "ada", record, vector: Float32Array.of(1, 0) });
  });
  const gate = hold("node-1 asks quorum-store");
  away.add("node-3");
  const outcome = here("node-1")
    .coordinator.write({ command: { t: "put", items }, ...request("both") })
    .catch((error: unknown) => error);
  await gate.reached;
  await here("node-1").copy.become("rebuilding");
  gate.release();
  expect(await outcome).toMatchObject({ kind: "unknown-outcome" });
  expect(["k1", "k2"].map((id) => textAt("node-2", id)?.length)).toEqual([(3 << 20) + 2, undefined]);
});
