// Copies of one leaderless shard on three nodes: real copies on real stores, joined by calls that a test can hold up.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect } from "vitest";
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
import { LEADERLESS_LIMITS, type CopyHere } from "../../../src/node/quorum/copy-here.ts";
import { LeaderlessShards } from "../../../src/node/quorum/leaderless-shards.ts";
import { LeaderlessPath, type ForwardedRead } from "../../../src/node/quorum/path.ts";
import { encodeKey, prefixEnd } from "../../../src/node/storage/key.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import { StoreCorruptError, type Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { pack, unpack } from "../../../src/node/transport/frames.ts";
import type { Network } from "../../../src/node/transport/network.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "../topology/manifest.ts";
import { eventually } from "./eventually.ts";

const QUORUM: Consistency = { read: "quorum", write: "quorum" };
export const AT = "2026-01-01T00:00:00.000Z";
export const LIMITS = { ...LEADERLESS_LIMITS, restMs: 0, compareEveryMs: 50 };
/** Those of a test. */
export const limits = { ...LIMITS };

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
export const nodes = new Map<NodeId, Node>();
export const away = new Set<NodeId>();
/** What a call or its answer waits for, by caller and method. */
export const gates = new Map<string, () => Promise<void>>();
let levels: Consistency;

export const first = initialShardMap(manifestOf({ nodes: 3, shards: 1, copies: 3 }));

/** The sets of copies as a later map has them. */
export function mapWith(epoch: number, replicas: readonly NodeId[], outgoing?: readonly NodeId[]): ShardMap {
  const [shard] = first.shards;
  if (shard === undefined) throw new Error("a map without shards");
  const { outgoing: _, ...rest } = shard;
  const change =
    outgoing === undefined ? {} : { outgoing: { replicas: outgoing, since: first.epoch + epoch } };
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
      const answer = await nodeOf(to).shards.answers.answer(
        self,
        method as CopyCall,
        unpack(wire) as CallBody<CopyCall>,
      );
      await gates.get(`${self} is answered ${method}`)?.();
      return unpack(pack(answer));
    },
  };
}

export function nodeOf(id: NodeId): Node {
  const node = nodes.get(id);
  if (node === undefined) throw new Error(`no ${id}`);
  return node;
}

export function here(id: NodeId): CopyHere {
  const copy = nodeOf(id).shards.here("0");
  if (copy === undefined) throw new Error(`${id} holds no copy`);
  return copy;
}

/** Holds what `what` says up, the first time, until it is released. */
export function hold(what: string): Held {
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

export async function put(at: NodeId, id: string, text: string): Promise<void> {
  const record = { memory: text, user_id: "ada", created_at: AT, updated_at: AT, hash: text };
  await here(at).coordinator.write({
    command: { t: "put", items: [putItem({ id, key: "ada", record, vector: Float32Array.of(1, 0) })] },
    ...request(`put ${id} ${text}`),
  });
}

export function update(at: NodeId, id: string, text: string): Promise<unknown> {
  const command = { t: "update", id, text, hash: text, at: AT } as const;
  return here(at).coordinator.write({ command, ...request(`update ${id} ${text}`) });
}

export function request(write: string): {
  readonly write: string;
  readonly consistency: Consistency;
  readonly deadlineMs: number;
  readonly isRepeated: boolean;
  readonly takenMs: number;
} {
  return { write, consistency: QUORUM, deadlineMs: soon(), isRepeated: false, takenMs: Date.now() };
}

export const soon = (): number => systemClock.nowMs() + 10_000;
export const list = (at: NodeId): Promise<unknown> =>
  here(at).coordinator.read(queries.list(scopeFilter({ user_id: "ada" }), 10), "quorum", soon());

export function compareWith(copy: CopyHere["copy"], at: NodeId, peer: NodeId): Promise<Compared> {
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
export function readFromOutside(silent: readonly NodeId[], deadlineMs: number): Promise<unknown> {
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

export function textAt(id: NodeId, memory: string): string | undefined {
  const { machine } = here(id).copy;
  return machine.record("ada", memory)?.memory;
}

export function learn(map: ShardMap, ...who: readonly NodeId[]): void {
  for (const id of who) {
    const node = nodeOf(id);
    node.map = map;
    node.shards.follow();
  }
}

/** Until nothing of its copy is left on a node's disk. */
export async function cleared(id: NodeId): Promise<void> {
  const start = encodeKey("state", "0");
  await eventually(() =>
    expect([...nodeOf(id).store.keys({ start, end: prefixEnd(start) })]).toHaveLength(0),
  );
}

/** Where a node keeps its state. */
export function folderOf(id: NodeId): string {
  return join(folder, id);
}

export function storeOf(id: NodeId, flushDelayMs = 0): Store {
  return openLmdbStore({
    folder: folderOf(id),
    flushDelayMs,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
}

export function shardsOn(
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
export function startAgain(id: NodeId, map: ShardMap, onDamage?: () => void): void {
  const node = nodeOf(id);
  node.shards.stop();
  nodes.set(id, { ...node, shards: shardsOn(id, node.store, onDamage), map });
}

/** The manifest's levels, of the nodes that start from here on. */
export function setLevels(wanted: Consistency): void {
  levels = wanted;
}

/** Before each test three nodes with a whole copy each; afterwards they are gone. */
export function withThreeNodes(): void {
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "mem0ctl-quorum-"));
    nodes.clear();
    away.clear();
    gates.clear();
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
}

/** A record of a node's copy turns out to be unreadable; returns what has to be filled again. */
export function damage(id: NodeId = "node-3"): CopyHere {
  const damaged = here(id);
  damaged.copy.noteDamage(new StoreCorruptError(damaged.copy.prefix));
  expect(damaged.copy.state).toBe("rebuilding");
  return damaged;
}

export function start(...who: readonly NodeId[]): void {
  for (const id of who) nodeOf(id).shards.start();
}
