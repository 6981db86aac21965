import { describe, expect, test } from "vitest";
import type { Manifest } from "../../../src/model/manifest.ts";
import { mapAfterHandover } from "../../../src/topology/handovers.ts";
import type { ManifestPlan } from "../../../src/model/plan.ts";
import {
  applyManifest,
  fixedDifferences,
  planManifest,
  requireApplicable,
  requireSamePlan,
} from "../../../src/operations/manifest-plan.ts";
import { readPlan } from "../../../src/operations/plan-file.ts";
import { renderJson } from "../../../src/render/json.ts";
import { errorOf, manifest, scriptedEngine } from "./support.ts";

const call = { timeoutMs: 1000 };
const manner = { startedBy: "test", concurrency: 1, bytesPerSecondMax: null, detached: false };
const plan = (wanted: Manifest) => planManifest(scriptedEngine(), wanted, call);
const [first] = manifest.nodes;
if (first === undefined) throw new Error("the manifest has nodes");
const with_ = (change: Partial<Manifest>): Manifest => ({ ...manifest, ...change });

describe("the manifest against the live cluster", () => {
  test("nothing is different: no change, no step", async () => {
    const planned = await plan(manifest);
    expect(planned).toMatchObject({
      kind: "ManifestPlan",
      changes: [],
      joins: [],
      leaves: [],
      plan: { waves: [] },
    });
  });

  test("a node more joins, and no copy moves until a rebalance", async () => {
    const node = { ...first, id: "node-4", address: "127.0.0.1:7004", port: 7004, zone: "d" };
    const planned = await plan(with_({ nodes: [...manifest.nodes, node] }));
    expect(planned.changes).toMatchObject([{ action: "add", subject: "node node-4", live: true }]);
    expect(planned).toMatchObject({ joins: ["node-4"], plan: { waves: [] } });
  });

  test("role, zone and weight of a member: a line each", async () => {
    const nodes = manifest.nodes.map((node) =>
      node.id === "node-1" ? { ...node, role: "secondary" as const, zone: "z", weight: 2 } : node,
    );
    const planned = await plan(with_({ nodes }));
    expect(planned.changes.map(({ message }) => message)).toEqual([
      "the role of node-1 is primary and should be secondary",
      `the zone of node-1 is ${first.zone} and should be z`,
      "the weight of node-1 is 1 and should be 2",
    ]);
    expect(planned.nodes).toMatchObject([{ id: "node-1", role: "secondary", zone: "z", weight: 2 }]);
    const leads = planned.plan.waves.flat().filter((step) => step.kind === "transfer-leader");
    expect(leads.length).toBeGreaterThan(0);
  });

  test("fewer copies are deleted without a move; the leader of each shard keeps its own", async () => {
    const planned = await plan(with_({ replication: { strategy: "single", replicas: 1 } }));
    expect(planned.changes).toMatchObject([
      { subject: "copies", message: "shards have 3 copies and should have 2", cost: "3 copies are deleted" },
    ]);
    expect(planned.plan.predicted.moves).toBe(0);
    expect(planned.plan.waves.flat().filter(({ kind }) => kind === "remove-replica")).toHaveLength(3);
  });

  test("a node that leaves while no other could take its copies: no plan, and nothing is begun", async () => {
    const planned = await plan(with_({ nodes: manifest.nodes.slice(1) }));
    expect(planned.changes).toMatchObject([{ action: "remove", subject: "node node-1" }]);
    const engine = scriptedEngine();
    expect(await errorOf(applyManifest(engine, manifest, planned, manner, call))).toMatchObject({
      kind: "conflict",
      code: "no-plan",
    });
    expect(engine.steps).toEqual([]);
  });

  test.each<[string, Partial<Manifest>, string]>([
    [
      "protocol",
      { consensus: { ...manifest.consensus, protocol: "paxos" } },
      "the protocol is raft and should be paxos",
    ],
    [
      "shards",
      { sharding: { ...manifest.sharding, shards: 64 } },
      "the number of shards is 3 and should be 64",
    ],
    [
      "key",
      { sharding: { ...manifest.sharding, key: "agent" } },
      "the shard key is user and should be agent",
    ],
    [
      "strategy",
      { sharding: { ...manifest.sharding, strategy: "range", ranges: ["g", "n"] } },
      "the sharding strategy is hash and should be range",
    ],
    [
      "address",
      { nodes: [{ ...first, address: "127.0.0.1:9999", port: 9999 }, ...manifest.nodes.slice(1)] },
      `the address of node-1 is ${first.address} and should be 127.0.0.1:9999`,
    ],
  ])("what is fixed says how to get there: %s", async (_, change, message) => {
    const planned = await plan(with_(change));
    expect(planned.changes).toMatchObject([{ live: false, message }]);
    expect(planned.changes[0]?.hint).toMatch(/migrate|under another id/);
    expect(() => {
      requireApplicable(planned);
    }).toThrowError(expect.objectContaining({ code: "not-live", kind: "conflict" }));
  });

  test("what is fixed is told without a plan, and only that", async () => {
    const other = with_({
      consensus: { ...manifest.consensus, protocol: "paxos" },
      sharding: { ...manifest.sharding, shards: 64 },
      nodes: manifest.nodes.slice(1),
    });
    const differences = await fixedDifferences(scriptedEngine(), other, call);
    expect(differences.map(({ message }) => message)).toEqual([
      "the protocol is raft and should be paxos",
      "the number of shards is 3 and should be 64",
    ]);
    expect(differences.every(({ hint }) => hint?.includes("mem0ctl migrate"))).toBe(true);
    expect(await fixedDifferences(scriptedEngine(), manifest, call)).toEqual([]);
    expect(await fixedDifferences(scriptedEngine({ live: false }), other, call)).toEqual([]);
  });

  test("a shard that was split since is nothing to undo", async () => {
    const engine = scriptedEngine();
    const { map } = await engine.shardMap(call);
    const split = mapAfterHandover(map, { kind: "split", shard: "0", at: "100", into: "3" });
    const planned = await planManifest(
      { ...engine, shardMap: () => Promise.resolve({ map: split, live: true }) },
      manifest,
      call,
    );
    expect(planned.changes).toEqual([]);
  });

  test("a plan that was saved is read back, and fits as long as manifest and cluster ask for the same", async () => {
    const single = with_({ replication: { strategy: "single", replicas: 1 } });
    const saved = readPlan(renderJson(await plan(single)), "plan.json") as ManifestPlan;
    expect(saved).toEqual(await plan(single));
    const bytes = { ...saved.plan.state, shards: saved.plan.state.shards.map((s) => ({ ...s, bytes: 1 })) };
    requireSamePlan({ ...saved, plan: { ...saved.plan, state: bytes } }, await plan(single));
    const outdated = async (wanted: Manifest): Promise<unknown> =>
      errorOf(plan(wanted).then((now) => requireSamePlan(saved, now)));
    expect(await outdated(manifest)).toMatchObject({
      kind: "conflict",
      code: "plan-outdated",
      why: expect.stringContaining("no longer needed: shards have 3 copies and should have 2"),
    });
    const heavier = manifest.nodes.map((node) => ({ ...node, weight: node.id === "node-2" ? 3 : 1 }));
    expect(await outdated({ ...single, nodes: heavier })).toMatchObject({
      data: {
        changes: expect.arrayContaining(["not in the plan: the weight of node-2 is 1 and should be 3"]),
      },
    });
    expect(
      await errorOf(plan(single).then((now) => requireSamePlan({ ...saved, cluster: "x" }, now))),
    ).toMatchObject({
      code: "other-cluster",
    });
  });

  test("nothing answers: there is nothing to compare with", async () => {
    const error = await errorOf(planManifest(scriptedEngine({ live: false }), manifest, call));
    expect(error).toMatchObject({ kind: "unavailable", code: "nothing-answered" });
  });
});
