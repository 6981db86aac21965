// What is refused before anything is begun, and what a plan of a split, a merge or a pin says.

import { describe, expect, it } from "vitest";
import type { Engine, OperationControl } from "../../../src/engines/engine.ts";
import type { ShardCut } from "../../../src/model/node-api.ts";
import {
  checkHandover,
  explainHandover,
  planHandover,
  resumeHandover,
  type HandoverRequest,
} from "../../../src/operations/handovers.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { OperationReport } from "../../../src/model/operation.ts";
import type { HandoverStep } from "../../../src/model/plan.ts";
import { errorOf, scriptedEngine } from "./support.ts";

const call = { timeoutMs: 1000 };

/** An engine that carries operations out, and whose shards are cut so. */
function engineWith(cut: Partial<ShardCut> = {}, change: Partial<Engine> = {}): Engine {
  const sizes = { memories: 5, bytes: 500 };
  const operations = {
    cut: ({ shard, at }: { shard: string; at?: string }) =>
      Promise.resolve({ shard, at: at ?? null, goes: sizes, stays: sizes, ...cut }),
  };
  return { ...scriptedEngine(), operations: operations as unknown as OperationControl, ...change };
}

describe("a handover that runs already", () => {
  const running = (at: string, state: string): OperationReport =>
    ({
      plan: {
        id: "1",
        name: "split shard 1",
        startedBy: "them",
        waves: [[{ kind: "split", shard: "1", at, into: "3" }]],
      },
      progress: { state, why: null, steps: ["done"], bytes: 0 },
      copying: [],
    }) as unknown as OperationReport;
  /** An engine that tells of these, look by look; of the last for ever. */
  const telling = (...looks: OperationReport[]): Engine => {
    const current = (): Promise<OperationReport | undefined> =>
      Promise.resolve(looks.length > 1 ? looks.shift() : looks[0]);
    return { ...scriptedEngine(), operations: { current } as unknown as OperationControl };
  };

  it.each<HandoverRequest>([
    { kind: "split", shard: "1" },
    { kind: "split", shard: "1", at: "8192" },
  ])("is followed by whoever asks for the same: %o", async (request) => {
    expect(
      await resumeHandover(telling(running("8192", "running"), running("8192", "done")), request, call),
    ).toMatchObject({
      progress: { state: "done" },
    });
  });

  it("is no answer to whoever asks for a cut elsewhere", async () => {
    const engine = telling(running("8192", "running"));
    const error = await errorOf(resumeHandover(engine, { kind: "split", shard: "1", at: "9000" }, call));
    expect(error).toMatchObject({ kind: "conflict", code: "operation-running" });
  });
});

describe("a plan of a handover", () => {
  it("halves the slots of a shard, and says what goes", async () => {
    const plan = await planHandover(engineWith(), { kind: "split", shard: "1" }, call);
    expect(plan.step).toEqual({ kind: "split", shard: "1", at: "8192", into: "3" });
    expect(plan.moved).toEqual({ memories: 5, bytes: 500 });
    expect(plan.shards.map(({ shard, keysBefore, keysAfter }) => [shard, keysBefore, keysAfter])).toEqual([
      ["1", "slots 5461-10921", "slots 5461-8191"],
      ["3", null, "slots 8192-10921"],
    ]);
  });

  it("is explained: why there, how much, and what clients see of it", async () => {
    const merge: HandoverRequest = { kind: "merge", shard: "2", into: "0" };
    const { reasons } = explainHandover(await planHandover(engineWith(), merge, call), merge);
    expect(reasons[0]).toMatch(/^becomes part of shard 0: all that it has is copied there, \d+ memor/);
    const cut = engineWith({ at: "5461", goes: { memories: 3, bytes: 300 } });
    const split: HandoverRequest = { kind: "split", shard: "1" };
    const halves = explainHandover(await planHandover(cut, split, call), split);
    expect(halves.reasons[0]).toMatch(/^is cut at \d+: half of its slots$/);
    expect(halves.reasons[1]).toMatch(/^3 memories, 300 B of \d+ go to shard 3, a new one/);
    const at: HandoverRequest = { kind: "split", shard: "1", at: "6000" };
    expect(explainHandover(await planHandover(cut, at, call), at).reasons[0]).toBe(
      "is cut at 6000: that was asked for",
    );
  });

  it("shows a shard that is merged as gone", async () => {
    const plan = await planHandover(engineWith(), { kind: "merge", shard: "2", into: "0" }, call);
    expect(plan.shards.map(({ shard, keysAfter }) => [shard, keysAfter])).toEqual([
      ["2", null],
      ["0", "slots 0-5460, 10922-16383"],
    ]);
  });

  it("is checked at the nodes, for what only they know", async () => {
    const asked: HandoverStep[] = [];
    const check = (step: HandoverStep): Promise<void> => {
      asked.push(step);
      return Promise.reject(new Mem0ctlError("conflict", "ids-clash", "cannot merge"));
    };
    const engine = { ...scriptedEngine(), operations: { check } as unknown as OperationControl };
    const plan = await planHandover(engineWith(), { kind: "merge", shard: "2", into: "0" }, call);
    expect(await errorOf(checkHandover(engine, plan, call))).toMatchObject({ code: "ids-clash" });
    expect(asked).toEqual([{ kind: "merge", shard: "2", into: "0" }]);
  });

  it.each<[string, Engine, HandoverRequest, string, string]>([
    ["an unknown shard", engineWith(), { kind: "split", shard: "9" }, "not-found", "unknown-shard"],
    ["one shard", engineWith(), { kind: "merge", shard: "1", into: "1" }, "invalid", "step-impossible"],
    ["a pin by hash", engineWith(), { kind: "pin", key: "a", shard: "1" }, "invalid", "step-impossible"],
    ["no slot", engineWith(), { kind: "split", shard: "1", at: "16384" }, "invalid", "step-impossible"],
    ["a slot elsewhere", engineWith(), { kind: "split", shard: "1", at: "3" }, "conflict", "step-outdated"],
    ["another engine", scriptedEngine(), { kind: "split", shard: "1" }, "invalid", "engine-cannot"],
  ])("is refused for %s", async (_, engine, request, kind, code) => {
    const error = await errorOf(planHandover(engine, request, call));
    expect(error).toMatchObject({ kind, code });
    expect(error).toHaveProperty("why");
  });

  it("a range whose memories have fewer than two keys has no middle", async () => {
    const { map } = await scriptedEngine().shardMap(call);
    const shards = map.shards.map((shard, at) => ({
      ...shard,
      slots: [],
      start: ["", "g", "n"][at] ?? "",
      end: ["g", "n", null][at] ?? null,
    }));
    const range = { ...map, strategy: "range" as const, shards };
    const engine = engineWith({ at: null }, { shardMap: () => Promise.resolve({ map: range, live: true }) });
    const error = await errorOf(planHandover(engine, { kind: "split", shard: "1" }, call));
    expect(error).toMatchObject({ kind: "invalid", code: "cannot-split" });
    const plan = await planHandover(engine, { kind: "split", shard: "1", at: "j" }, call);
    expect(plan.step).toMatchObject({ at: "j", into: "3" });
  });
});
