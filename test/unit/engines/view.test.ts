// The merge of many nodes' reports into one view: what is known of nodes that do not answer, whose word
// counts about a leader, and what is shown when nodes contradict each other.

import { describe, expect, it } from "vitest";

import { buildView } from "../../../src/engines/embedded/view.ts";
import type { NodeAnswer } from "../../../src/engines/embedded/view.ts";
import type { NodeReport } from "../../../src/model/node-api.ts";
import { settingsOf } from "../../../src/model/settings.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { mapWithNode } from "../../../src/topology/membership.ts";
import { manifestOf, reportsOf } from "./support.ts";
import type { Scene } from "./support.ts";

const manifest = manifestOf();

function answersOf(
  reports: readonly NodeReport[],
  errors: Readonly<Record<string, string>> = {},
): NodeAnswer[] {
  return [
    ...reports.map((report) => ({ node: report.id, report })),
    ...Object.entries(errors).map(([node, error]) => ({ node, error })),
  ];
}

function viewOf(scene: Scene = {}, errors: Readonly<Record<string, string>> = {}) {
  return buildView(manifest, answersOf(reportsOf(manifest, scene), errors));
}

/** Reports with one node's changed. */
function changed(node: string, change: (report: NodeReport) => NodeReport, scene: Scene = {}): NodeReport[] {
  return reportsOf(manifest, scene).map((report) => (report.id === node ? change(report) : report));
}

function inGroup(
  report: NodeReport,
  group: string,
  change: Partial<NodeReport["groups"][number]>,
): NodeReport {
  return {
    ...report,
    groups: report.groups.map((entry) => (entry.id === group ? { ...entry, ...change } : entry)),
    leaders: {
      ...report.leaders,
      [group]: { leader: change.leader ?? null, term: change.term ?? 3 },
    },
  };
}

describe("a cluster in which every node answers", () => {
  const view = viewOf();

  it("has every node up, with what it told of itself", () => {
    expect(view.nodes.map(({ state }) => state)).toEqual(["up", "up", "up"]);
    expect(view).toMatchObject({ totalNodes: 3, healthyNodes: 3, totalShards: 3, copies: 3, epoch: 1 });
    expect(view.nodes[0]).toMatchObject({
      id: "node-1",
      pid: 1000,
      version: "0.1.0",
      uptimeMs: 60_000,
      lastHeartbeatMs: 40,
      replicas: 3,
      memories: 30,
      bytes: 12_000,
    });
    expect(view.nodes[0]).not.toHaveProperty("error");
  });

  it("has every shard ok, led once, with its memories from the leader", () => {
    for (const shard of view.shards) {
      expect(shard).toMatchObject({ state: "ok", term: 3, memories: 10, bytes: 4000 });
      expect(shard.replicas.filter(({ role }) => role === "leader").map(({ node }) => node)).toEqual([
        shard.leader,
      ]);
    }
    expect(view.nodes.map(({ leads }) => leads)).toEqual([1, 1, 1]);
  });

  it("counts entries that all live replicas have as replicated, and nothing as pending", () => {
    expect(view.replication).toEqual({ totalReplicated: 300, pending: 0, failed: 0, lagMs: 0 });
    expect(view.disagreements).toEqual([]);
    expect(view).toMatchObject({ leader: "node-1", term: 3 });
  });
});

describe("nodes that answer, and have no connection with each other", () => {
  const without = (report: NodeReport, peer: string, error: string): NodeReport => ({
    ...report,
    peers: report.peers.map((known) => (known.id === peer ? { ...known, error } : known)),
  });

  it("are named, with the address that one was started with where the others know another", () => {
    const address = "127.0.0.1:9999";
    const reports = changed("node-1", (report) => without(report, "node-3", "connection refused")).map(
      (report) => (report.id === "node-3" ? { ...report, address } : report),
    );
    const { nodes } = buildView(manifest, answersOf(reports));
    expect(nodes[2]).toMatchObject({ state: "up", cutOffFrom: ["node-1"], ownAddress: address });
    expect(nodes[2]?.address).not.toBe(address);
    for (const node of nodes.slice(0, 2)) {
      expect(node).not.toHaveProperty("cutOffFrom");
      expect(node).not.toHaveProperty("ownAddress");
    }
  });

  it("are not those that turn one away, nor one that waits or does not answer", () => {
    const turned = changed("node-1", (report) => without(report, "node-3", "refused: node-3 is a stranger"));
    expect(buildView(manifest, answersOf(turned)).nodes[2]).not.toHaveProperty("cutOffFrom");
    const reports = changed("node-1", (report) => without(report, "node-3", "connection refused"));
    const waiting = reports.map((report) =>
      report.id === "node-1" ? { ...report, waiting: "waits" } : report,
    );
    expect(buildView(manifest, answersOf(waiting)).nodes[2]).not.toHaveProperty("cutOffFrom");
    const gone = answersOf(reports.slice(0, 2), { "node-3": "connection refused" });
    expect(buildView(manifest, gone).nodes[2]).not.toHaveProperty("cutOffFrom");
  });
});

describe("a node that was taken out of the cluster and runs on", () => {
  const map = initialShardMap(manifest);
  const without = { ...map, epoch: 7, nodes: map.nodes.filter(({ id }) => id !== "node-3") };

  const reports = reportsOf(manifest).map((report) =>
    report.id === "node-3" ? report : { ...report, map: without },
  );

  it("is named by the map of those that know, whatever it has heard itself", () => {
    const { nodes } = buildView(manifest, answersOf(reports));
    expect(nodes[2]).toMatchObject({ state: "up", error: "runs, and is no member as of epoch 7" });
    for (const node of nodes.slice(0, 2)) expect(node).not.toHaveProperty("error");
  });

  it("is not one that waits until it may begin", () => {
    const waiting = reports.map((report) =>
      report.id === "node-3" ? { ...report, waiting: "waits" } : report,
    );
    expect(buildView(manifest, answersOf(waiting)).nodes[2]).not.toHaveProperty("error");
  });
});

describe("a node that does not answer", () => {
  it("is suspect while another node heard of it lately, and its replicas are as their leaders say", () => {
    const view = viewOf({ goneMs: { "node-3": 300 } }, { "node-3": "no answer within 2 s" });
    expect(view.nodes[2]).toMatchObject({
      id: "node-3",
      state: "suspect",
      pid: null,
      version: null,
      memories: null,
      lastHeartbeatMs: 300,
      error: "no answer within 2 s",
    });
    expect(view.healthyNodes).toBe(2);
  });

  it("is down when nobody heard of it within two election timeouts", () => {
    const view = viewOf({ goneMs: { "node-3": 2001 } }, { "node-3": "no answer within 2 s" });
    expect(view.nodes[2]?.state).toBe("down");
  });

  it("is listed although it is in nobody's answer", () => {
    const view = buildView(manifest, []);
    expect(view.nodes.map(({ id, state, error }) => ({ id, state, error }))).toEqual(
      ["node-1", "node-2", "node-3"].map((id) => ({ id, state: "down", error: "was not asked" })),
    );
    expect(view.shards.map(({ state }) => state)).toEqual(["down", "down", "down"]);
    expect(view).toMatchObject({ leader: null, epoch: 0, totalShards: 3 });
  });

  it("leaves its shards under-replicated, its replicas failed and what they miss pending", () => {
    const leaders = { "0": "node-1", "1": "node-1", "2": "node-2" };
    const view = viewOf({ leaders, goneMs: { "node-3": 9000 } }, { "node-3": "connection refused" });
    expect(view.shards.map(({ state }) => state)).toEqual(Array(3).fill("under-replicated"));
    expect(view.shards[0]?.replicas.find(({ node }) => node === "node-3")).toEqual({
      node: "node-3",
      role: "follower",
      state: "down",
      lagEntries: 5,
      lagBytes: 500,
      lagMs: 9000,
    });
    expect(view.replication).toEqual({ totalReplicated: 300, pending: 15, failed: 3, lagMs: 9000 });
  });
});

describe("who leads", () => {
  it("is the leader by its own report of the highest term, whatever others still say", () => {
    const reports = changed("node-2", (report) =>
      inGroup(report, "0", { role: "leader", leader: "node-2", term: 4, progress: [] }),
    );
    const shard = buildView(manifest, answersOf(reports)).shards[0];
    expect(shard).toMatchObject({ leader: "node-2", term: 4 });
  });

  it("is nobody while its process is gone and its followers have not noticed yet", () => {
    const view = viewOf({ goneMs: { "node-1": 100 } }, { "node-1": "connection refused" });
    expect(view.shards.find(({ id }) => id === "0")).toMatchObject({ leader: null, state: "leaderless" });
    expect(view.leader).toBeNull();
  });

  it("is the node that its followers name, when it is only out of reach from here", () => {
    const view = viewOf({ goneMs: { "node-1": 100 } }, { "node-1": "no answer within 2 s" });
    const shard = view.shards.find(({ id }) => id === "0");
    expect(shard).toMatchObject({ leader: "node-1", state: "under-replicated", memories: 10 });
    expect(shard?.replicas.every(({ lagEntries }) => lagEntries === null)).toBe(true);
  });

  it("is nobody in a term that a member has just begun", () => {
    const reports = changed("node-2", (report) =>
      inGroup(report, "0", { role: "follower", leader: null, term: 9 }),
    );
    const shard = buildView(manifest, answersOf(reports)).shards[0];
    expect(shard).toMatchObject({ leader: null, term: 9, state: "leaderless" });
  });

  it("is nobody when the one that is named answers that it does not lead", () => {
    const reports = changed("node-1", (report) =>
      inGroup(report, "0", { role: "follower", leader: null, term: 3 }),
    );
    expect(buildView(manifest, answersOf(reports)).shards[0]?.leader).toBeNull();
  });
});

describe("a shard", () => {
  it("is down when no data replica of it is on a node that answers", () => {
    const single = manifestOf({ replicas: 0 });
    const reports = reportsOf(single, { goneMs: { "node-2": 9000 } });
    const view = buildView(single, answersOf(reports, { "node-2": "connection refused" }));
    const lost = view.shards.filter(({ replicas }) => replicas.some(({ node }) => node === "node-2"));
    expect(lost.map(({ state, leader }) => ({ state, leader }))).toEqual([{ state: "down", leader: null }]);
    expect(view.shards.filter(({ state }) => state === "ok")).toHaveLength(2);
  });

  it("is under-replicated while a replica is probed or fed by a snapshot", () => {
    for (const state of ["probing", "snapshot"] as const) {
      const view = viewOf({ progress: { "node-2": { state, lagEntries: 40, lagMs: 1500 } } });
      const shard = view.shards.find(({ leader }) => leader === "node-1");
      expect(shard?.state).toBe("under-replicated");
      expect(view.replication).toMatchObject({ failed: 0, lagMs: 1500 });
    }
  });

  it("of two copies has no leader any more once that one has lost the connection to the other", () => {
    const two = manifestOf({ replicas: 1 });
    const view = buildView(two, answersOf(reportsOf(two, { progress: { "node-2": { state: "down" } } })));
    const halved = view.shards.filter(({ replicas }) => replicas[1]?.node === "node-2");
    expect(halved).not.toEqual([]);
    for (const { state, leader } of halved)
      expect({ state, leader }).toEqual({ state: "leaderless", leader: null });
    const others = view.shards.filter(({ replicas }) => replicas.every(({ node }) => node !== "node-2"));
    expect(others.map(({ state }) => state)).toEqual(others.map(() => "ok"));
  });

  it("of three copies keeps its leader while one is away, and has none when two are", () => {
    const away = { state: "down" } as const;
    const one = viewOf({ progress: { "node-2": away } });
    expect(one.shards.find(({ leader }) => leader === "node-1")?.state).toBe("under-replicated");
    const two = viewOf({ progress: { "node-2": away, "node-3": away } });
    expect(two.shards[0]).toMatchObject({ state: "leaderless", leader: null });
    expect(two.leader).toBeNull();
  });

  it("whose members are changing has the leader that says so: what it needs is not told", () => {
    const reports = changed("node-1", (report) => {
      const progress = ["node-2", "node-3", "node-8", "node-9"].map((node) => ({
        node,
        role: "follower" as const,
        state: node === "node-2" ? ("replicating" as const) : ("down" as const),
        lagEntries: 0,
        lagBytes: 0,
        lagMs: 0,
      }));
      return inGroup(report, "0", { leader: "node-1", progress });
    });
    expect(buildView(manifest, answersOf(reports)).shards[0]).toMatchObject({ leader: "node-1" });
  });

  it("is moving while it has a learner, also one that the map does not know yet", () => {
    const reports = changed("node-1", (report) => {
      const own = report.groups.find(({ id }) => id === "0");
      const learner = { node: "node-9", state: "snapshot", lagEntries: 100, lagBytes: 9, lagMs: 10 } as const;
      return inGroup(report, "0", {
        leader: "node-1",
        progress: [...(own?.progress ?? []), { ...learner, role: "learner" }],
      });
    });
    const shard = buildView(manifest, answersOf(reports)).shards[0];
    expect(shard?.state).toBe("moving");
    expect(shard?.replicas.map(({ node }) => node)).toContain("node-9");
  });

  it("lags as its leader says, and is replicated as far as its slowest live replica", () => {
    const view = viewOf({ progress: { "node-3": { lagEntries: 30, lagBytes: 3000, lagMs: 250 } } });
    expect(view.shards.every(({ state }) => state === "ok")).toBe(true);
    // node-3 follows in two of the three shards.
    expect(view.replication).toEqual({ totalReplicated: 240, pending: 60, failed: 0, lagMs: 250 });
  });
});

describe("maps", () => {
  it("of the newest epoch win, and show nodes that the manifest does not have", () => {
    const joined = mapWithNode(initialShardMap(manifest), {
      id: "node-4",
      address: "127.0.0.1:7004",
      role: "secondary",
      zone: "zone-4",
      weight: 1,
      draining: true,
    });
    const reports = changed("node-2", (report) => ({ ...report, map: joined }));
    const view = buildView(manifest, answersOf(reports, { "node-4": "connection refused" }));
    expect(view.epoch).toBe(2);
    expect(view.nodes.map(({ id }) => id)).toEqual(["node-1", "node-2", "node-3", "node-4"]);
    expect(view.nodes[3]).toMatchObject({ state: "down", error: "connection refused" });
  });

  it("say which nodes are draining", () => {
    const initial = initialShardMap(manifest);
    const map = {
      ...initial,
      epoch: 5,
      nodes: initial.nodes.map((node) => ({ ...node, draining: node.id === "node-2" })),
    };
    const view = viewOf({ map });
    expect(view.nodes.map(({ state }) => state)).toEqual(["up", "draining", "up"]);
    expect(view.healthyNodes).toBe(3);
  });
});

describe("answers that are not this cluster's", () => {
  it("of another cluster on the same port are shown as what they are, and nothing of them is used", () => {
    const reports = changed("node-3", (report) => ({ ...report, cluster: "other" }));
    const view = buildView(manifest, answersOf(reports));
    expect(view.nodes[2]).toMatchObject({ error: "belongs to the cluster other", pid: null });
  });

  it("of another node of the cluster are shown as what they are", () => {
    const [first, second] = reportsOf(manifest);
    if (first === undefined || second === undefined) throw new Error("the scene has two nodes");
    const view = buildView(manifest, [
      { node: "node-1", report: second },
      { node: "node-2", report: second },
    ]);
    expect(view.nodes[0]?.error).toBe("answers as node-2");
    expect(view.nodes[1]?.state).toBe("up");
  });

  it("of a node with data of another cluster of the same name are told apart by the cluster id", () => {
    const reports = changed("node-1", (report) => ({ ...report, clusterId: "deadbeef" }));
    const view = buildView(manifest, answersOf(reports));
    expect(view.nodes[0]).toMatchObject({ error: "holds data of another cluster (id deadbeef)" });
    expect(view.healthyNodes).toBe(2);
  });
});

describe("a node that others turn away", () => {
  const lost = "node-1 came back without its data; a node that lost its data joins under a new id";

  function turnedAway(report: NodeReport, peer: string, reason: string): NodeReport {
    const peers = report.peers.map((entry) =>
      entry.id === peer ? { ...entry, state: "down" as const, error: `refused: ${reason}` } : entry,
    );
    return { ...report, peers };
  }

  it("is named with those that refuse it and why, although it answers here", () => {
    const reports = reportsOf(manifest).map((report) =>
      report.id === "node-1" ? report : turnedAway(report, "node-1", lost),
    );
    const [first, ...others] = buildView(manifest, answersOf(reports)).nodes;
    expect(first).toMatchObject({ state: "up", refusal: { by: ["node-2", "node-3"], why: lost } });
    for (const other of others) expect(other).not.toHaveProperty("refusal");
  });

  it("accuses nobody by saying that it was turned away itself", () => {
    const reports = changed("node-1", (report) => turnedAway(report, "node-2", lost));
    for (const node of buildView(manifest, answersOf(reports)).nodes)
      expect(node).not.toHaveProperty("refusal");
  });

  it("is the stranger, whichever of the two refused the other", () => {
    const reports = reportsOf(manifest).map((report) => {
      if (report.id === "node-3") return { ...report, clusterId: "deadbeef" };
      return turnedAway(report, "node-3", `${report.id} belongs to another cluster (c0ffee)`);
    });
    const { nodes } = buildView(manifest, answersOf(reports));
    expect(nodes.map(({ refusal }) => refusal)).toEqual([
      undefined,
      undefined,
      { by: ["node-1", "node-2"], why: "node-3 holds data of another cluster (id deadbeef)" },
    ]);
  });

  it("is the one whose address leads to another node", () => {
    const [first, second, third] = reportsOf(manifest);
    if (first === undefined || second === undefined || third === undefined)
      throw new Error("the scene has three nodes");
    const view = buildView(manifest, [
      {
        node: "node-1",
        report: turnedAway(first, "node-2", "node-1 looked for node-2 and reached node-3"),
      },
      { node: "node-2", report: third },
      { node: "node-3", report: third },
    ]);
    expect(view.nodes[1]?.refusal).toEqual({ by: ["node-1"], why: "node-2 answers as node-3" });
  });

  it("is not one that is merely out of reach", () => {
    const reports = changed("node-1", (report) => ({
      ...report,
      peers: report.peers.map((peer) => ({ ...peer, error: "connection refused" })),
    }));
    for (const node of buildView(manifest, answersOf(reports)).nodes)
      expect(node).not.toHaveProperty("refusal");
  });
});

describe("a disagreement", () => {
  it("is shown when two nodes name different leaders in one term", () => {
    const reports = changed("node-3", (report) => inGroup(report, "1", { leader: "node-3", term: 3 }));
    const { disagreements } = buildView(manifest, answersOf(reports));
    expect(disagreements.map(({ group }) => group)).toEqual(["1"]);
    expect(disagreements[0]?.claims).toHaveLength(3);
    expect(disagreements[0]?.claims).toContainEqual({ node: "node-3", leader: "node-3", term: 3 });
  });

  it("is shown when members of a group live in different terms", () => {
    const reports = changed("node-3", (report) => inGroup(report, "meta", { leader: "node-1", term: 2 }));
    expect(buildView(manifest, answersOf(reports)).disagreements).toMatchObject([{ group: "meta" }]);
  });

  it("is not seen in a node that knows no leader, nor in an outsider that is behind", () => {
    const unknowing = changed("node-3", (report) => inGroup(report, "1", { leader: null, term: 3 }));
    expect(buildView(manifest, answersOf(unknowing)).disagreements).toEqual([]);
    const single = manifestOf({ replicas: 0 });
    const behind = reportsOf(single).map((report) => ({
      ...report,
      leaders: Object.fromEntries(
        Object.keys(report.leaders).map((group) => [group, { leader: "node-2", term: 1 }]),
      ),
    }));
    expect(buildView(single, answersOf(behind)).disagreements).toEqual([]);
  });
});

it("a node that refuses writes is up and says so", () => {
  const reports = changed("node-2", (report) => ({ ...report, writeRefusal: "the disk is full" }));
  const node = buildView(manifest, answersOf(reports)).nodes[1];
  expect(node).toMatchObject({ state: "up", writeRefusal: "the disk is full" });
});

it("the same answers give the same view", () => {
  expect(viewOf({ goneMs: { "node-2": 50 } })).toEqual(viewOf({ goneMs: { "node-2": 50 } }));
});

describe("paxos", () => {
  const paxos = { ...manifest, consensus: { ...manifest.consensus, protocol: "paxos" as const } };
  const withBallots = (proposed: Readonly<Record<string, number>>): NodeReport[] =>
    reportsOf(paxos).map((report) => ({
      ...report,
      groups: report.groups.map((group) =>
        group.id === "meta"
          ? group
          : { ...group, ballot: { round: proposed[report.id] ?? 3, proposer: group.leader ?? "" } },
      ),
    }));

  it("shows each shard with its leader's ballot, and the metadata group with none", () => {
    const { protocol, shards, leader } = buildView(paxos, answersOf(withBallots({})));
    expect({ protocol, leader }).toEqual({ protocol: "paxos", leader: "node-1" });
    for (const shard of shards) expect(shard.ballot).toEqual({ round: 3, proposer: shard.leader });
  });

  it("shows the highest ballot that was promised where no leader answers", () => {
    const reports = withBallots({ "node-2": 5, "node-3": 4 }).filter(({ id }) => id !== "node-1");
    const view = buildView(paxos, answersOf(reports, { "node-1": "connection refused" }));
    const led = view.shards.find(({ replicas }) => replicas[0]?.node === "node-1");
    expect(led?.ballot?.round).toBe(5);
  });
});

describe("quorum", () => {
  const consistency = { read: "quorum", write: "quorum" } as const;
  const quorum = {
    ...manifest,
    consensus: { ...manifest.consensus, protocol: "quorum" as const, consistency },
  };
  /** Every node's copies, with hints kept for the nodes named. */
  const copies = (hints: Readonly<Record<string, number>> = {}): NodeReport[] =>
    reportsOf(quorum).map((report) => ({
      ...report,
      groups: report.groups.map(({ progress: _progress, ...group }) => {
        if (group.id === "meta") return group;
        const peers = ["node-1", "node-2", "node-3"].filter((node) => node !== report.id);
        return {
          ...group,
          role: "follower" as const,
          leader: null,
          term: 0,
          copy: {
            state: "serving" as const,
            hints: 0,
            hintBytes: 0,
            tombstones: 0,
            divergentKeys: 0,
            peers: peers.map((node) => ({
              node,
              state: hints[node] === undefined ? ("replicating" as const) : ("down" as const),
              hints: hints[node] ?? 0,
              divergentKeys: 0,
              lagEntries: hints[node] ?? 0,
              lagMs: hints[node] === undefined ? 0 : 700,
              comparedMs: 1000,
            })),
          },
        };
      }),
      leaders: { meta: report.leaders["meta"] ?? { leader: null, term: 0 } },
    }));
  const lost = (...nodes: readonly string[]) =>
    buildView(
      quorum,
      answersOf(
        copies(Object.fromEntries(nodes.map((node) => [node, 2]))).filter(({ id }) => !nodes.includes(id)),
        Object.fromEntries(nodes.map((node) => [node, "connection refused"])),
      ),
    );

  it("has the levels that the nodes go by, not those of a manifest that was edited since", () => {
    const started = (read: 1 | 3, write: 1 | 3) =>
      settingsOf({ ...quorum, consensus: { ...quorum.consensus, consistency: { read, write } } });
    const told = copies().map((report, at) => ({
      ...report,
      settings: at === 0 ? started(1, 3) : started(3, 1),
    }));
    // While nodes are restarted one after another, what any of them asks for.
    expect(buildView(quorum, answersOf(told)).levels).toEqual({ read: 3, write: 3 });
    expect(buildView(quorum, answersOf(told.slice(1))).levels).toEqual({ read: 3, write: 1 });
  });

  it("invents no leader", () => {
    const view = buildView(quorum, answersOf(copies()));
    expect(view).toMatchObject({ protocol: "quorum", leader: "node-1", levels: { read: 2, write: 2 } });
    expect(view.disagreements).toEqual([]);
    expect(view.replication).toMatchObject({ hints: 0, divergentKeys: 0, failed: 0 });
    for (const shard of view.shards) {
      expect(shard).toMatchObject({ leaderless: true, leader: null, term: 0, state: "ok" });
    }
    expect(view.nodes.map(({ leads }) => leads)).toEqual([0, 0, 0]);
  });

  it("is under-replicated while R and W can be met, and counts what is kept for who is away", () => {
    const view = lost("node-3");
    const { length } = view.shards;
    expect(view.shards.map(({ state }) => state)).toEqual(Array(length).fill("under-replicated"));
    // Both others keep hints of their own.
    expect(view.replication).toMatchObject({ hints: 4 * length, failed: length, lagMs: 700 });
  });

  it("counts R and W of the copies that a shard has, and of those before while they change", () => {
    const reports = copies().map((report) => {
      const [first, second, ...rest] = report.map.shards;
      if (first === undefined || second === undefined) throw new Error("two shards are needed");
      const two = { ...first, replicas: ["node-1", "node-3"] };
      const changing = {
        ...second,
        replicas: ["node-1", "node-2"],
        outgoing: { replicas: ["node-1", "node-3"], settled: [], since: 1 },
      };
      return { ...report, map: { ...report.map, shards: [two, changing, ...rest] } };
    });
    const answers = answersOf(reports.slice(0, 2), { "node-3": "connection refused" });
    const [two, changing, three] = buildView(quorum, answers).shards;
    const short = { copies: 2, answering: 1, read: 2, write: 2 };
    expect(two).toMatchObject({ state: "down", short });
    expect(changing).toMatchObject({ state: "down", short });
    expect(three).toMatchObject({ state: "under-replicated" });
    expect(three?.short).toBeUndefined();
  });

  it("is down when fewer copies answer than R or W, though one still does", () => {
    const view = lost("node-2", "node-3");
    expect(view.shards.every(({ state }) => state === "down")).toBe(true);
    expect(view.shards[0]?.replicas.filter(({ copy }) => copy === "serving")).toHaveLength(1);
  });
});

it("what the nodes run is shown, not what an edited manifest would like", () => {
  const edited = { ...manifest, consensus: { ...manifest.consensus, protocol: "paxos" as const } };
  expect(buildView(edited, answersOf(reportsOf(manifest))).protocol).toBe("raft");
});
