import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { ClusterPlan } from "../../../src/model/plan.ts";
import { checkPlanFits, readPlan } from "../../../src/operations/plan-file.ts";
import { planClusterRebalance, planLeaderBalance } from "../../../src/operations/rebalance.ts";
import { renderJson } from "../../../src/render/json.ts";
import { errorOf, scriptedEngine } from "./support.ts";

const call = { timeoutMs: 1000 };

async function planned(): Promise<ClusterPlan> {
  return (await planClusterRebalance(scriptedEngine(), { by: "bytes" }, call)).plan;
}

describe("a plan that is saved", () => {
  test("is read back as it was", async () => {
    const plan = await planned();
    const leaders = (await planLeaderBalance(scriptedEngine(), call)).plan;
    expect(readPlan(renderJson(plan), "plan.json")).toEqual(plan);
    expect(readPlan(renderJson(leaders), "plan.json")).toEqual(leaders);
  });

  test("is refused when a field is missing or of another type, and nothing else is thrown", async () => {
    const plan = await planned();
    const places = Object.keys(plan);
    fc.assert(
      fc.property(fc.constantFrom(...places), fc.jsonValue(), (place, value) => {
        const text = JSON.stringify({ ...plan, [place]: value });
        const read = (): unknown => {
          try {
            return readPlan(text, "plan.json");
          } catch (error) {
            return error;
          }
        };
        expect([Mem0ctlError, Object].some((kind) => read() instanceof kind)).toBe(true);
        expect(read()).toSatisfy(
          (result) => !(result instanceof Error) || (result as Mem0ctlError).code === "not-a-plan",
        );
      }),
    );
    expect(() => readPlan("{", "plan.json")).toThrowError(
      expect.objectContaining({ code: "not-a-plan", kind: "invalid" }),
    );
    const { waves: _waves, ...rest } = plan;
    expect(() => readPlan(JSON.stringify(rest), "plan.json")).toThrowError(
      expect.objectContaining({ why: "waves is not a list" }),
    );
  });

  test("fits the cluster that it was made for, and no other", async () => {
    const plan = await planned();
    await expect(checkPlanFits(scriptedEngine(), plan, call)).resolves.toMatchObject({
      epoch: plan.state.epoch,
    });
    const other = await errorOf(checkPlanFits(scriptedEngine(), { ...plan, cluster: "prod" }, call));
    expect(other).toMatchObject({ kind: "conflict", code: "other-cluster" });
    const before = { ...plan, state: { ...plan.state, nodes: plan.state.nodes.slice(1) } };
    expect(await errorOf(checkPlanFits(scriptedEngine(), before, call))).toMatchObject({
      kind: "conflict",
      code: "cluster-changed",
      why: "node-1 has joined",
      data: { changes: ["node-1 has joined"] },
    });
  });

  test("a cluster of which nothing answers has no plan", async () => {
    const error = await errorOf(
      planClusterRebalance(scriptedEngine({ live: false }), { by: "shards" }, call),
    );
    expect(error).toMatchObject({ kind: "unavailable", code: "nothing-answered" });
  });
});
