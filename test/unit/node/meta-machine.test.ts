// The operation in the metadata group: one at a time, begun once however often it is asked for, and moved on only by
// who knows how far it is.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { OperationPlan, OperationProgress } from "../../../src/model/operation.ts";
import { MetaMachine, type MetaCommand, type OperationResult } from "../../../src/node/meta/meta-machine.ts";
import { encodeKey } from "../../../src/node/storage/key.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import type { Store } from "../../../src/node/storage/store.ts";
import { pack } from "../../../src/node/transport/frames.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "../topology/manifest.ts";

const initial = initialShardMap(manifestOf({ nodes: 4, shards: 2, copies: 3 }));
const prefix = encodeKey("state", "meta", 1);
let directory: string;
let store: Store;
let machine: MetaMachine;
let index = 0;

const open = (): MetaMachine => new MetaMachine({ store, prefix, initial, onMap: () => undefined });

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "meta-"));
  store = openLmdbStore({
    folder: directory,
    flushDelayMs: 0,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
  machine = open();
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true, force: true });
});

async function apply(command: MetaCommand): Promise<OperationResult> {
  let result: unknown;
  index += 1;
  await store.transact((writer) => {
    result = machine.apply(pack(command), index, writer);
  });
  return result as OperationResult;
}

function plan(id: string, epoch: number | null = null): OperationPlan {
  const step = { kind: "transfer-leader", group: "0" } as const;
  return {
    id,
    name: "test",
    startedBy: "nobody",
    startedMs: 1,
    waves: [[step], [step]],
    concurrency: 1,
    bytesPerSecondMax: null,
    epoch,
  };
}

it("one operation runs at a time, and is begun once", async () => {
  expect(await apply({ begin: plan("a") })).toMatchObject({ accepted: true });
  expect(await apply({ begin: plan("a") })).toMatchObject({ accepted: true });
  const second = await apply({ begin: plan("b") });
  expect(second).toMatchObject({ accepted: false, operation: { plan: { id: "a" } } });
  expect(machine.operation?.progress.steps).toEqual(["waiting", "waiting"]);
});

it("moves on only from where it is, and another may begin when it has ended", async () => {
  await apply({ begin: plan("a") });
  const first = machine.operation?.progress as OperationProgress;
  const done: OperationProgress = { ...first, revision: 2, state: "done", steps: ["done", "done"] };
  expect(await apply({ operation: "a", progress: { ...done, revision: 3 } })).toMatchObject({
    accepted: false,
  });
  expect(await apply({ operation: "b", progress: done })).toMatchObject({ accepted: false });
  expect(await apply({ operation: "a", progress: done })).toMatchObject({ accepted: true });
  expect(await apply({ operation: "a", progress: { ...done, revision: 3 } })).toMatchObject({
    accepted: false,
  });
  expect(await apply({ begin: plan("b") })).toMatchObject({ accepted: true });
});

it("what was planned for another map is not begun", async () => {
  const refused = await apply({ begin: plan("a", initial.epoch + 1) });
  expect(refused).toEqual({ accepted: false, operation: null, epoch: initial.epoch });
  expect(await apply({ begin: plan("a", initial.epoch) })).toMatchObject({ accepted: true });
});

it("is part of the state: a machine that is opened again has it", async () => {
  await apply({ begin: plan("a") });
  const before = machine.operation;
  machine = open();
  expect(machine.operation).toEqual(before);
});

it("admits a node that joined once, by the uid of its data directory, and no other under its id ever", async () => {
  const admit = async (node: string, uid: string): Promise<unknown> => apply({ admit: node, uid });
  const newcomer = {
    id: "late",
    address: "127.0.0.1:7009",
    role: "secondary",
    zone: "z",
    weight: 1,
    draining: false,
  } as const;
  expect(await admit("late", "a")).toEqual({ uid: null });
  // Founders know each other; nobody is admitted under the id of one.
  expect(await admit(initial.nodes[0]?.id ?? "", "a")).toEqual({ uid: null });
  const joined = { ...initial, epoch: initial.epoch + 1, nodes: [...initial.nodes, newcomer] };
  await apply({ from: initial.epoch, map: joined });
  expect(await admit("late", "a")).toEqual({ uid: "a" });
  expect(await admit("late", "b")).toEqual({ uid: "a" });
  machine = open();
  await apply({ from: joined.epoch, map: { ...initial, epoch: joined.epoch + 1 } });
  await apply({ from: joined.epoch + 1, map: { ...joined, epoch: joined.epoch + 2 } });
  expect(await admit("late", "b")).toEqual({ uid: "a" });
});
