// The judgement of a view: its health, and the codes that scripts gate on.

import { describe, expect, it } from "vitest";

import type { EngineView } from "../../../src/engines/engine.ts";
import type { NodeView, ReplicaView, ShardView } from "../../../src/model/view.ts";
import { judge } from "../../../src/operations/health.ts";
import { clusterStatus, replicationOf } from "../../../src/operations/status.ts";
import { clusterView } from "../render/views.ts";
import { allDown, healthy, manifest, oneDown, scriptedEngine, viewOf } from "./support.ts";

const limits = { maxLagMs: 5000 };

function codes(view: EngineView, maxLagMs = 5000): { health: string; codes: string[] } {
  const { health, reasons } = judge(view, { maxLagMs });
  return { health, codes: reasons.map(({ code }) => code) };
}

function withShard(id: string, change: Partial<ShardView>): EngineView {
  return {
    ...healthy,
    shards: healthy.shards.map((shard) => (shard.id === id ? { ...shard, ...change } : shard)),
  };
}

function withNode(id: string, change: Partial<NodeView>): EngineView {
  return {
    ...healthy,
    nodes: healthy.nodes.map((node) => (node.id === id ? { ...node, ...change } : node)),
  };
}

it("a cluster in which all is well is healthy, without reasons", () => {
  expect(judge(healthy, limits)).toEqual({ health: "healthy", reasons: [] });
});

describe("a quorum cluster, R and W 2 of 3", () => {
  const shape = { nodes: 3, shards: 4, copies: 3, protocol: "quorum" } as const;

  it("is healthy without any shard leader", () => {
    expect(codes(clusterView(shape))).toEqual({ health: "healthy", codes: [] });
  });

  it("is degraded with one node down, for R and W can still be met", () => {
    expect(codes(clusterView({ ...shape, down: [3] }), 60_000)).toEqual({
      health: "degraded",
      codes: ["node-down", "shard-under-replicated"],
    });
  });

  it("is unavailable with two down, and says which of R and W cannot be met", () => {
    const view = clusterView({ ...shape, down: [2, 3] });
    expect(codes(view, 60_000)).toMatchObject({
      health: "unavailable",
      codes: ["shard-below-level", "node-down", "node-down", "no-cluster-leader"],
    });
    expect(judge(view, limits).reasons[0]?.message).toContain("no reads (R is 2) and no writes (W is 2)");
    const onlyWrites = judge({ ...view, levels: { read: 1, write: 3 } }, limits).reasons[0];
    expect(onlyWrites?.message).toContain("4 shards take no writes (W is 3), 1 of 3 copies answers");
    expect(onlyWrites?.hint).toContain("--consistency one");
  });

  it("tells shards with other numbers of copies apart", () => {
    const view = clusterView({ ...shape, down: [2, 3] });
    const shards = view.shards.map((shard, at) =>
      at === 0 ? { ...shard, short: { copies: 4, answering: 2, read: 3, write: 1 } } : shard,
    );
    const messages = judge({ ...view, shards }, limits).reasons.map(({ message }) => message);
    expect(messages).toContain("1 shard takes no reads (R is 3), 2 of 4 copies answer: 0");
    expect(messages).toContain(
      "3 shards take no reads (R is 2) and no writes (W is 2), 1 of 3 copies answers: 1, 2, 3",
    );
  });

  it("with no copy of a shard left says so", () => {
    const view = clusterView(shape);
    const [first, ...rest] = view.shards;
    const gone = { ...first, state: "down", replicas: [] } as unknown as ShardView;
    expect(codes({ ...view, shards: [gone, ...rest] })).toEqual({
      health: "unavailable",
      codes: ["shard-down"],
    });
  });
});

describe("degraded", () => {
  it("with a node down and its copies missing", () => {
    expect(codes(oneDown)).toEqual({ health: "degraded", codes: ["node-down", "shard-under-replicated"] });
    const [first, second] = judge(oneDown, limits).reasons;
    expect(first?.message).toBe("node-3 (127.0.0.1:7003) is down: connection refused");
    expect(first?.hint).toContain("mem0ctl restart node-3");
    expect(second?.message).toContain("3 shards are under-replicated: 0, 1, 2");
    expect(second?.message).toContain("node-3");
  });

  it("with a node suspect", () => {
    const view = withNode("node-2", {
      state: "suspect",
      error: "no answer within 2 s",
      lastHeartbeatMs: 300,
    });
    expect(codes(view)).toEqual({ health: "degraded", codes: ["node-suspect"] });
    expect(judge(view, limits).reasons[0]?.message).toContain("last heard of 300 ms ago");
  });

  it("with a leader that does not answer: how far its followers are, nobody knows", () => {
    const leaders = { "0": "node-1", "1": "node-1", "2": "node-2" };
    const view = viewOf({ goneMs: { "node-2": 300 }, leaders }, { "node-2": "no answer within 2 s" });
    const { reasons } = judge(view, limits);
    expect(reasons.find(({ code }) => code === "shard-under-replicated")?.message).toBe(
      "3 shards are under-replicated: 0, 1, 2 (missing or catching up on node-2; not known of those that node-2 leads, which does not answer)",
    );
  });

  it("with a node that refuses writes", () => {
    const view = withNode("node-2", { writeRefusal: "the disk is full" });
    expect(codes(view)).toEqual({ health: "degraded", codes: ["write-refused"] });
  });

  it("with a node that others refuse, and says who, why and what to do", () => {
    const why = "node-3 came back without its data; a node that lost its data joins under a new id";
    const refusal = { by: ["node-1", "node-2"], why };
    const view = withNode("node-3", { refusal });
    expect(codes(view)).toEqual({ health: "degraded", codes: ["node-refused"] });
    const [reason] = judge(view, limits).reasons;
    expect(reason?.message).toBe(
      "node-3 (127.0.0.1:7003) is refused by node-1, node-2: it came back without its data; a node that lost its data joins under a new id",
    );
    expect(reason?.hint).toContain("let it join under a new id");
    const down = withNode("node-3", { refusal, state: "down", error: "connection refused" });
    expect(codes(down).codes).toEqual(["node-down", "node-refused"]);
  });

  it("with a lag above the limit, and not with one at the limit", () => {
    const view = viewOf({ progress: { "node-3": { lagEntries: 3, lagMs: 500 } } });
    expect(codes(view, 500).health).toBe("healthy");
    expect(codes(view, 499)).toEqual({ health: "degraded", codes: ["lag-above-limit"] });
    expect(judge(view, { maxLagMs: 499 }).reasons[0]?.message).toContain("on node-3 is 500 ms behind");
  });

  it("with a node that was started elsewhere than the others look for it, and says where that is", () => {
    const [first, ...others] = healthy.nodes;
    if (first === undefined) throw new Error("the view has nodes");
    const moved = { ...first, ownAddress: "127.0.0.1:9999" };
    // By another name the others may reach it all the same.
    expect(judge({ ...healthy, nodes: [moved, ...others] }, limits).health).toBe("healthy");
    const view = { ...healthy, nodes: [{ ...moved, cutOffFrom: ["node-2"] }, ...others] };
    expect(codes(view)).toEqual({ health: "degraded", codes: ["address-changed"] });
    const [reason] = judge(view, limits).reasons;
    expect(reason?.message).toBe(
      `node-1 was started at 127.0.0.1:9999, and node-2 looks for it at ${first.address}`,
    );
    const cutOff = { ...healthy, nodes: [{ ...first, cutOffFrom: ["node-2"] }, ...others] };
    expect(codes(cutOff).codes).toEqual(["nodes-cut-off"]);
  });

  it("with a node that two others do not reach, and they not it, as one trouble", () => {
    const [one, two, three] = healthy.nodes;
    if (one === undefined || two === undefined || three === undefined) throw new Error("it has three nodes");
    const nodes = [
      { ...one, cutOffFrom: [three.id] },
      { ...two, cutOffFrom: [three.id] },
      { ...three, cutOffFrom: [one.id, two.id] },
    ];
    expect(judge({ ...healthy, nodes }, limits).reasons.map(({ message }) => message)).toEqual([
      `${three.id} (${three.address}) has no connection from ${one.id}, ${two.id}`,
    ]);
  });

  it("without a cluster leader", () => {
    expect(codes({ ...healthy, leader: null })).toEqual({ health: "degraded", codes: ["no-cluster-leader"] });
  });

  it("with nodes that disagree, and says who says what", () => {
    const claims = [
      { node: "node-1", leader: "node-1", term: 3 },
      { node: "node-2", leader: null, term: 4 },
    ];
    const view = { ...healthy, disagreements: [{ group: "7", claims }] };
    expect(codes(view)).toEqual({ health: "degraded", codes: ["nodes-disagree"] });
    expect(judge(view, limits).reasons[0]?.message).toBe(
      "nodes disagree about the leader of shard 7: node-1 says node-1 in term 3; node-2 says none in term 4",
    );
  });
});

describe("unavailable", () => {
  it("when nothing answered, with one reason instead of one per node", () => {
    expect(codes(allDown)).toEqual({ health: "unavailable", codes: ["nothing-answered"] });
    expect(judge(allDown, limits).reasons[0]?.hint).toBe("start the cluster with `mem0ctl up`");
    const taken = allDown.nodes.map((node) => ({ ...node, error: "belongs to the cluster other" }));
    expect(judge({ ...allDown, nodes: taken }, limits).reasons[0]?.hint).toContain("stop that cluster");
  });

  it("when a shard has no leader, and that comes first", () => {
    const view = withShard("1", { state: "leaderless", leader: null });
    expect(codes({ ...view, leader: null })).toEqual({
      health: "unavailable",
      codes: ["shard-leaderless", "no-cluster-leader"],
    });
  });

  it("when a shard has no replica that answers", () => {
    expect(codes(withShard("1", { state: "down", leader: null })).codes).toEqual(["shard-down"]);
  });

  it("and names a few of many shards, and counts the rest", () => {
    const shard = healthy.shards[0];
    if (shard === undefined) throw new Error("the view has shards");
    const shards = Array.from({ length: 20 }, (_, id): ShardView => ({
      ...shard,
      id: `${id}`,
      state: "leaderless",
    }));
    expect(judge({ ...healthy, shards }, limits).reasons[0]?.message).toBe(
      "20 shards have no leader and take no writes: 0, 1, 2, 3, 4, 5, 6, 7 and 12 more",
    );
  });
});

it("a shard that is moving serves meanwhile: the cluster stays healthy", () => {
  const learner: ReplicaView = {
    node: "node-9",
    role: "learner",
    state: "snapshot",
    lagEntries: 9,
    lagBytes: 90,
    lagMs: 10,
  };
  const view = withShard("1", { state: "moving", replicas: [learner] });
  expect(judge(view, limits).health).toBe("healthy");
});

it("every reason says what to do", () => {
  const views = [oneDown, allDown, withShard("1", { state: "leaderless" }), { ...healthy, leader: null }];
  for (const view of views) {
    for (const reason of judge(view, limits).reasons) expect(reason.hint).not.toBe("");
  }
});

it("a status is the view with its judgement, what people read first coming first", async () => {
  const status = await clusterStatus(scriptedEngine({ views: [oneDown] }), manifest.limits, { timeoutMs: 1 });
  expect(Object.keys(status).slice(0, 8)).toEqual([
    "apiVersion",
    "kind",
    "cluster",
    "engine",
    "protocol",
    "sharding",
    "health",
    "reasons",
  ]);
  expect(status).toMatchObject({ health: "degraded", totalNodes: 3, healthyNodes: 2 });
  const { totals, replicas } = replicationOf(status);
  expect(totals).toBe(status.replication);
  expect(replicas).toHaveLength(9);
  expect(replicas[0]).toMatchObject({ shard: "0", role: "leader", lagEntries: 0 });
});
