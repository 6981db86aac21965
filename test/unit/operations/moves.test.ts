// A copy that is asked for where it is: nothing changes, and that is said.

import { describe, expect, it } from "vitest";
import type { Engine, OperationControl } from "../../../src/engines/engine.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { OperationReport, OperationRequest } from "../../../src/model/operation.ts";
import { drainNode, runCopyStep, undrainNode, type CopyStep } from "../../../src/operations/moves.ts";
import type { Manner } from "../../../src/operations/operation.ts";
import { renderOperation } from "../../../src/render/operation.ts";
import { makeTheme } from "../../../src/render/theme.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { mapWithDraining } from "../../../src/topology/steps.ts";
import { manifestOf } from "../engines/support.ts";
import { errorOf, manifest, scriptedEngine, type ScriptedEngine } from "./support.ts";

const theme = makeTheme({ isTty: false, env: {}, columns: 80, noColor: true });
const call = { timeoutMs: 1000 };
const manner: Manner = { startedBy: "us", concurrency: 1, bytesPerSecondMax: null, detached: false };

/** An engine whose cluster carries out what it is asked for at once. */
function ownSteps(): Engine {
  const begin = (request: OperationRequest): Promise<OperationReport> =>
    Promise.resolve({
      plan: { ...request, id: "1", startedMs: 0 },
      progress: {
        revision: 1,
        state: "done",
        why: null,
        steps: ["done"],
        failures: {},
        bytes: 0,
        endedMs: 1,
      },
      copying: [],
    });
  let last: OperationReport | null = null;
  const operations = {
    begin: async (request: OperationRequest) => (last = await begin(request)),
    current: () => Promise.resolve(last),
  };
  return { ...scriptedEngine(), operations: operations as unknown as OperationControl };
}

/** An engine whose steps are executed from here. */
function stepsFromHere(): ScriptedEngine {
  const owners = manifest.nodes.map(({ id }) => ({ id, weight: 1, draining: false, slots: [] }));
  return Object.assign(scriptedEngine(), { slotTable: () => Promise.resolve({ epoch: 1, owners }) });
}

// Every shard has a copy on each of the three nodes.
describe("a copy that is there already", () => {
  it.each<CopyStep>([
    { kind: "add-replica", shard: "1", to: "node-3" },
    { kind: "move-replica", shard: "1", from: "node-3", to: "node-3" },
  ])("is nothing to do, and the operation keeps its shape: $kind", async (step) => {
    const { operation, nothingToDo } = await runCopyStep(ownSteps(), step, manner, call);
    expect(nothingToDo).toBe("node-3 holds a replica of shard 1 already");
    expect(operation?.progress.state).toBe("done");
    expect(renderOperation(operation, theme, nothingToDo)).toBe(
      "nothing to do: node-3 holds a replica of shard 1 already\n",
    );
  });

  it("is not emptied by a move to where it is, by engines whose steps are executed from here", async () => {
    const engine = stepsFromHere();
    const step: CopyStep = { kind: "move-replica", shard: "0", from: "node-1", to: "node-1" };
    expect(await runCopyStep(engine, step, manner, call)).toEqual({
      operation: null,
      nothingToDo: "node-1 holds a replica of shard 0 already",
    });
    expect(engine.steps).toEqual([]);
  });

  it("is taken away where that is asked, which is something to do", async () => {
    const step: CopyStep = { kind: "remove-replica", shard: "1", from: "node-3" };
    expect((await runCopyStep(ownSteps(), step, manner, call)).nothingToDo).toBeUndefined();
  });
});

describe("a node that is drained while another operation runs", () => {
  it("is not kept from replicas by a command that is refused", async () => {
    const map = initialShardMap(manifestOf({ ports: [1, 2, 3, 4] }));
    const marked: string[] = [];
    const running = {
      plan: { id: "1", name: "rebalance", startedBy: "them" },
      progress: { state: "running" },
    } as OperationReport;
    const operations = {
      begin: () =>
        Promise.reject(new Mem0ctlError("conflict", "operation-running", "another operation runs")),
      current: () => Promise.resolve(running),
      drain: (node: string, draining: boolean) => {
        marked.push(`${node} ${draining}`);
        return Promise.resolve();
      },
    } as unknown as OperationControl;
    const engine = { ...scriptedEngine(), operations, shardMap: () => Promise.resolve({ map, live: true }) };
    const error = await errorOf(drainNode(engine, "node-2", manner, call));
    expect(error).toMatchObject({ code: "operation-running", message: "another operation runs: rebalance" });
    expect(marked).toEqual([]);
  });

  it.each([
    { other: "rebalance", was: false, marks: ["node-2 true", "node-2 false"] },
    { other: "rebalance", was: true, marks: ["node-2 true"] },
    // The mark is the other one's, too.
    { other: "drain node-2", was: false, marks: ["node-2 true"] },
    { other: "remove node-2", was: false, marks: ["node-2 true"] },
  ])(
    "is as it was when $other began after the look, draining before: $was",
    async ({ other, was, marks }) => {
      const first = initialShardMap(manifestOf({ ports: [1, 2, 3, 4] }));
      let map = was ? mapWithDraining(first, "node-2", true) : first;
      const marked: string[] = [];
      const operations = {
        begin: () =>
          Promise.reject(
            new Mem0ctlError("conflict", "operation-running", "another operation runs", {
              data: { name: other },
            }),
          ),
        current: () => Promise.resolve(null),
        drain: (node: string, draining: boolean) => {
          marked.push(`${node} ${draining}`);
          map = mapWithDraining(map, node, draining);
          return Promise.resolve();
        },
      } as unknown as OperationControl;
      const engine = {
        ...scriptedEngine(),
        operations,
        shardMap: () => Promise.resolve({ map, live: true }),
      };
      expect(await errorOf(drainNode(engine, "node-2", manner, call))).toMatchObject({
        code: "operation-running",
      });
      expect(marked).toEqual(marks);
    },
  );
});

it.each([
  ["drain node-2", "running", true],
  ["drain node-2", "done", false],
  ["drain node-3", "running", false],
])(
  "a node that is undrained while %s is %s: whether it is emptied all the same is %s",
  async (name, state, drains) => {
    const operation = { plan: { name }, progress: { state } };
    const operations = { current: () => Promise.resolve(operation), drain: () => Promise.resolve() };
    const engine = { ...scriptedEngine(), operations: operations as unknown as OperationControl };
    expect(await undrainNode(engine, "node-2", call)).toBe(drains);
  },
);
