// A slice whose giver is fenced when an id comes to be in both shards, and whoever carries the handover out dies after
// one of its commands, the next one taking over: the real handover over the real states of two shards and a map.

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { ShardId } from "../../../src/model/ids.ts";
import type { StepState } from "../../../src/model/operation.ts";
import type { HandoverStep } from "../../../src/model/plan.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import type { Router } from "../../../src/node/cluster/router.ts";
import { runShardQuery } from "../../../src/node/cluster/shard-queries.ts";
import type { HandoverCommand } from "../../../src/node/memories/commands.ts";
import type { MemoryMachine } from "../../../src/node/memories/memory-machine.ts";
import type { GroupMembers } from "../../../src/node/moves/group-members.ts";
import { Handovers } from "../../../src/node/moves/handovers.ts";
import { Pace } from "../../../src/node/moves/pace.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { initialShardMap, shardById, shardOfKey } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "../topology/manifest.ts";
import { listed, put, remove, ShardStates } from "./shard-states.ts";

const first = initialShardMap(manifestOf({ nodes: 3, shards: 2, copies: 3, strategy: "directory" }));
const keysOf = (shard: ShardId): readonly string[] =>
  Array.from({ length: 40 }, (_, at) => `user-${at}`).filter((key) => shardOfKey(first, key).id === shard);
const [gone = "", gives = ""] = keysOf("1");
const [takes = ""] = keysOf("0");
const STEPS: readonly HandoverStep[] = [
  { kind: "merge", shard: "1", into: "0" },
  { kind: "pin", key: gone, shard: "0" },
];
const LOOKS_MAX = 10;

class DriverDied extends Error {}

let deaths = 0;
let rounds = 0;

let states: ShardStates;
let machines: ReadonlyMap<ShardId, MemoryMachine>;
let map: ShardMap;
/** What was told, and what became of it. */
let told: string[];
let onTold: (shard: ShardId, part: HandoverCommand) => Promise<unknown>;

/** Two shards with memories each, and nothing under way. */
async function begin(): Promise<void> {
  rounds += 1;
  machines = new Map([
    ["0", await states.begin(`${rounds}-0`)],
    ["1", await states.begin(`${rounds}-1`)],
  ]);
  map = first;
  told = [];
  onTold = () => Promise.resolve();
  await states.write(at("1"), put("twin", gone, "the giver's"));
  await states.write(at("1"), put("other", gone));
  await states.write(at("1"), put("stays", gives));
  await states.write(at("0"), put("home", takes));
}

beforeEach(async () => {
  deaths = 0;
  states = new ShardStates();
  await begin();
});
afterEach(() => states.close());

function at(shard: ShardId): MemoryMachine {
  const machine = machines.get(shard);
  if (machine === undefined) throw new Error(`no shard ${shard}`);
  return machine;
}

/** A driver that dies with its call of that number, which is done all the same, or is not. */
function driver(diesAt = Number.POSITIVE_INFINITY, isDone = true): Handovers {
  let calls = 0;
  const call = async <Answer>(work: () => Promise<Answer>): Promise<Answer> => {
    calls += 1;
    if (calls === diesAt) deaths += 1;
    if (calls > diesAt || (calls === diesAt && !isDone)) throw new DriverDied();
    const answer = await work();
    if (calls === diesAt) throw new DriverDied();
    return answer;
  };
  const router = {
    handOver: (shard: ShardId, part: HandoverCommand) =>
      call(async () => {
        const answer = await states.tell(at(shard), part);
        told.push(part.do);
        await onTold(shard, part);
        await ownedOnce();
        return answer;
      }),
    readState: (shard: ShardId, query: Parameters<Router["readState"]>[1]) =>
      call(() => runShardQuery(at(shard), "user", query)),
  };
  return new Handovers({
    clock: systemClock,
    router: router as unknown as Router,
    members: { areSettled: () => Promise.resolve(true) } as unknown as GroupMembers,
    pace: new Pace(systemClock, () => null),
    hasQuorum: () => true,
    changeMap: (change) =>
      call(async () => {
        map = change(map);
        await ownedOnce();
        return map;
      }),
  });
}

/** What clients see of each shard that the map has, by ids; undefined where they are told to come again. */
async function seen(): Promise<ReadonlyMap<ShardId, readonly string[] | undefined>> {
  const all = new Map<ShardId, readonly string[] | undefined>();
  for (const { id, version = 0 } of map.shards) {
    const ids = await listed(at(id), version);
    all.set(id, Array.isArray(ids) ? (ids as string[]) : undefined);
  }
  return all;
}

/** Never both: what only one memory has as its id is shown once. */
async function ownedOnce(): Promise<void> {
  const others = [...(await seen()).values()].flatMap((ids) => ids?.filter((id) => id !== "twin") ?? []);
  expect(others).toEqual([...new Set(others)]);
}

/** As the metadata group's leaders do it, one after the other, while the step is under way. */
async function carryOut(step: HandoverStep, begun: Handovers, state: StepState = "running"): Promise<Error> {
  let carrying = begun;
  for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
    try {
      const now = await carrying.advance(step, state, () => undefined);
      if (now !== state) return new Error(now);
    } catch (error) {
      if (error instanceof Mem0ctlError && error.code === "step-outdated") return error;
      if (!(error instanceof DriverDied)) throw error;
      carrying = driver();
    }
  }
  return new Error("it does not end");
}

/** When the giver is fenced, the taker is given a memory of its own under an id that has arrived already. */
function clashWhenFenced(): void {
  onTold = async (_, part) => {
    if (part.do === "fence") await states.write(at("0"), put("twin", takes, "the taker's"));
  };
}

async function expectAsBefore(): Promise<void> {
  expect(map.handover).toBeUndefined();
  expect(await seen()).toEqual(
    new Map([
      ["0", ["home", "twin"]],
      ["1", ["other", "stays", "twin"]],
    ]),
  );
  expect(at("1").record(gone, "twin")?.memory).toBe("the giver's");
  expect(at("0").record(takes, "twin")?.memory).toBe("the taker's");
  expect([at("0").size().memories, at("1").size().memories]).toEqual([2, 3]);
  expect([at("0").custody.state.arriving, at("1").custody.state.leaving]).toEqual([null, null]);
}

const CLASH = { code: "step-outdated", kind: "conflict", data: { ids: ["twin"] } };

describe.each(STEPS)("a $kind, when an id comes to be in both shards after the fence", (step) => {
  it("is given up though it is fenced, both memories stay, and it says why", async () => {
    clashWhenFenced();
    expect(await carryOut(step, driver())).toMatchObject(CLASH);
    await expectAsBefore();
    expect(told.indexOf("fence")).toBeGreaterThan(0);
    // What was in the way is gone: the next one is done.
    onTold = () => Promise.resolve();
    await states.write(at("0"), remove("twin"));
    expect((await carryOut(step, driver())).message).toBe("done");
    const after = await seen();
    const ids = new Set([...after.values()].flat());
    expect(ids).toEqual(new Set(["home", "other", "stays", "twin"]));
    expect(after.get("0")).toContain("twin");
  });

  it.each([true, false])(
    "and its driver dies at any call (done: %s): the next one ends it alike",
    async (isDone) => {
      for (let calls = 1; deaths === calls - 1; calls += 1) {
        await begin();
        clashWhenFenced();
        const end = await carryOut(step, driver(calls, isDone));
        expect(end, `died at call ${calls}: ${told.join()}`).toMatchObject(CLASH);
        await expectAsBefore();
      }
      // All that it takes: what was read and told on both sides, and the map.
      expect(deaths).toBeGreaterThan(12);
    },
    30_000,
  );

  it.each(["refused", "stayed", "discarded"] as const)(
    "and it is cancelled, or nobody carries it out any more, when it is %s",
    async (stage) => {
      for (const isCancelled of [true, false]) {
        await begin();
        clashWhenFenced();
        const late = onTold;
        onTold = async (shard, part) => {
          await late(shard, part);
          const isNow =
            stage === "refused"
              ? part.do === "arrive" && part.last !== undefined
              : part.do === (stage === "stayed" ? "stay" : "discard");
          if (isNow) throw new DriverDied();
        };
        await expect(driver().advance(step, "running", () => undefined)).rejects.toThrow(DriverDied);
        onTold = () => Promise.resolve();
        const end = isCancelled ? await carryOut(step, driver(), "undoing") : await driver().settle(map);
        expect(end?.message).toBe(isCancelled ? "dropped" : undefined);
        await expectAsBefore();
      }
    },
  );
});

it("two that carry it out at once, the one late, end it as one does", async () => {
  const [step] = STEPS as [HandoverStep];
  clashWhenFenced();
  const ends = await Promise.all([carryOut(step, driver()), carryOut(step, driver())]);
  for (const end of ends) expect(end).toMatchObject(CLASH);
  await expectAsBefore();
});

it("a slice that was fenced and is not refused cannot be given up, and becomes its taker's", async () => {
  const [step] = STEPS as [HandoverStep];
  onTold = async (_, part) => {
    if (part.do === "fence") throw new DriverDied();
  };
  await expect(driver().advance(step, "running", () => undefined)).rejects.toThrow(DriverDied);
  onTold = () => Promise.resolve();
  expect((await carryOut(step, driver(), "undoing")).message).toBe("done");
  expect(shardById(map, "1")).toBeUndefined();
  expect(await seen()).toEqual(new Map([["0", ["home", "other", "stays", "twin"]]]));
});
