// Who may begin with an empty data directory: nodes that answer each other or not, wiped and started again, step by
// step. No node that lost its data after it had begun ever begins again under its id.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { clusterManifest, hash, multiple, none } from "../../../src/manifest/builder.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { NodeId } from "../../../src/model/ids.ts";
import type { Manifest } from "../../../src/model/manifest.ts";
import type { NodeReport } from "../../../src/model/node-api.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { beginningAmong, establish, type Decision } from "../../../src/node/beginning.ts";
import { foundingClusterId } from "../../../src/node/identity.ts";
import { openLogFolder } from "../../../src/node/storage/log-folder.ts";
import { LogStore } from "../../../src/node/storage/log-store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { waitingReport } from "../../../src/node/waiting.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";

function manifestOf(count: number, shards = 4): Manifest {
  const nodes = Array.from({ length: count }, (_, at) => ({
    id: `node-${at + 1}`,
    address: `127.0.0.1:700${at + 1}`,
  }));
  const replication = count === 1 ? none() : multiple(count - 1);
  return clusterManifest("demo")
    .withNodes(nodes)
    .withReplication(replication)
    .withSharding(hash(shards))
    .build();
}

/** A node between its data directory and what it hears. */
class Node {
  readonly id: NodeId;
  readonly manifest: Manifest;
  isUp = false;
  hasBegun = false;
  /** Which of its data directories this is. */
  life = 1;
  map: ShardMap;
  clusterId: string;
  readonly facts = new Map<NodeId, string>();

  constructor(id: NodeId, manifest: Manifest) {
    this.id = id;
    this.manifest = manifest;
    this.map = initialShardMap(manifest);
    this.clusterId = foundingClusterId(manifest);
  }

  get uid(): string {
    return `${this.id} life ${this.life}`;
  }

  get spec() {
    const spec = this.manifest.nodes.find(({ id }) => id === this.id);
    if (spec === undefined) throw new Error("every node is in its manifest");
    return spec;
  }

  wipe(): void {
    this.life += 1;
    this.hasBegun = false;
    this.facts.clear();
  }

  report(): NodeReport | undefined {
    if (!this.isUp) return undefined;
    const { clusterId, map, uid } = this;
    const waiting = waitingReport(
      this.manifest,
      this.spec,
      { why: "waits", clusterId, map, uid },
      NO_PROCESS,
    );
    if (!this.hasBegun) return waiting;
    const { waiting: _, ...running } = waiting;
    const peers = map.nodes
      .filter(({ id }) => id !== this.id)
      .map(({ id }) => {
        const known = this.facts.get(id);
        return {
          id,
          state: "down",
          lastHeartbeatMs: null,
          ...(known === undefined ? {} : { uid: known }),
        } as const;
      });
    return { ...running, peers };
  }

  /** Asks once, writes down what it has heard, begins where it may. */
  ask(others: readonly Node[]): Decision {
    const decision = beginningAmong({
      manifest: this.manifest,
      self: this.spec,
      uid: this.uid,
      known: (peer) => this.facts.get(peer),
      reports: others
        .filter(({ id }) => id !== this.id && this.manifest.nodes.some((node) => node.id === id))
        .map((node) => node.report()),
    });
    if (decision.kind === "wait") for (const [peer, uid] of decision.heard) this.facts.set(peer, uid);
    if (decision.kind === "begin") {
      this.hasBegun = true;
      ({ clusterId: this.clusterId, map: this.map } = decision.beginning);
    }
    return decision;
  }
}

const NO_PROCESS = { pid: 1, uptimeMs: 0 };

function clusterOf(count: number): Node[] {
  const manifest = manifestOf(count);
  return manifest.nodes.map(({ id }) => new Node(id, manifest));
}

/** Starts these; each asks until nothing changes any more. */
function start(all: readonly Node[], ...some: readonly Node[]): void {
  for (const node of some) node.isUp = true;
  for (let round = 0; round < 4; round += 1) {
    for (const node of all) if (node.isUp && !node.hasBegun) node.ask(all);
  }
}

function begun(nodes: readonly Node[]): NodeId[] {
  return nodes.filter(({ hasBegun }) => hasBegun).map(({ id }) => id);
}

function errorOf(call: () => unknown): Mem0ctlError {
  try {
    call();
  } catch (error) {
    if (error instanceof Mem0ctlError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

function whyOf(decision: Decision): string {
  return decision.kind === "wait" ? decision.why : decision.kind;
}

describe("a first start", () => {
  test.each([1, 2, 3, 5])(
    "of all %i nodes founds the cluster, and each knows all others by then",
    (count) => {
      const all = clusterOf(count);
      start(all, ...all);
      expect(begun(all)).toHaveLength(count);
      for (const { id, facts } of all) {
        expect([...facts.keys()].toSorted()).toEqual(
          all.map((node) => node.id).filter((other) => other !== id),
        );
      }
    },
  );

  test("waits for a node of the manifest that does not answer, and says for which", () => {
    const all = clusterOf(3);
    const [one, two, three] = all as [Node, Node, Node];
    start(all, one, two);
    expect(begun(all)).toEqual([]);
    expect(whyOf(one.ask(all))).toContain("nothing is heard of node-3");
    start(all, three);
    expect(begun(all)).toEqual(["node-1", "node-2", "node-3"]);
  });

  test("that a node missed by a crash goes on for it when one that founded is there", () => {
    const all = clusterOf(3);
    const [one, two, three] = all as [Node, Node, Node];
    for (const node of all) node.isUp = true;
    for (let round = 0; round < 3; round += 1) one.ask(all);
    expect(begun(all)).toEqual(["node-1"]);
    three.isUp = false;
    start(all, two);
    expect(begun(all)).toEqual(["node-1", "node-2"]);
    one.isUp = false;
    // The second was told by the first who the third is, and lets it go on with its data directory.
    start(all, three);
    expect(begun(all)).toEqual(["node-1", "node-2", "node-3"]);
  });

  test("of nodes whose manifests differ founds nothing, and says so", () => {
    const one = new Node("node-1", manifestOf(2));
    const two = new Node("node-2", manifestOf(2, 8));
    const both = [one, two];
    start(both, ...both);
    expect(begun(both)).toEqual([]);
    expect(whyOf(one.ask(both))).toMatch(/with node-2: .* differ between their manifests/);
  });
});

describe("a node that lost its data", () => {
  function founded(count: number): Node[] {
    const all = clusterOf(count);
    start(all, ...all);
    return all;
  }

  test("is refused by any that has begun with it", () => {
    const all = founded(3);
    const [, two, three] = all as [Node, Node, Node];
    two.wipe();
    three.isUp = false;
    const error = errorOf(() => two.ask(all));
    expect(error).toMatchObject({ kind: "conflict", code: "data-lost" });
    expect(error.why).toContain("node-1");
  });

  test.each([2, 3, 5])("waits in a cluster of %i while those are down who may know it", (count) => {
    const all = founded(count);
    const [lost, ...others] = all as [Node, ...Node[]];
    lost.wipe();
    for (const node of others) node.isUp = false;
    expect(whyOf(lost.ask(all))).toContain("nothing is heard of");
    for (const node of others) node.isUp = true;
    expect(errorOf(() => lost.ask(all)).code).toBe("data-lost");
  });

  test("does not found the cluster anew with one that never began", () => {
    const all = clusterOf(3);
    const [one, two, three] = all as [Node, Node, Node];
    for (const node of all) node.isUp = true;
    for (let round = 0; round < 3; round += 1) for (const node of [one, two]) node.ask(all);
    expect(begun(all)).toEqual(["node-1", "node-2"]);
    // What the second has promised is known to the first alone, which is down now.
    one.isUp = false;
    two.wipe();
    start(all, two, three);
    expect(begun(all)).toEqual(["node-1"]);
    // The third heard of the second under its new uid; the first knows better, for both.
    one.isUp = true;
    expect(errorOf(() => two.ask(all)).code).toBe("data-lost");
    two.isUp = false;
    start(all, three);
    expect(three.hasBegun).toBe(true);
    expect(three.facts.get("node-2")).toBe("node-2 life 1");
    one.isUp = false;
    two.isUp = true;
    expect(errorOf(() => two.ask(all)).why).toContain("node-3");
  });

  test("before anybody had begun is one that starts for the first time", () => {
    const all = clusterOf(2);
    const [one, two] = all as [Node, Node];
    start(all, one);
    two.isUp = true;
    one.ask(all);
    two.wipe();
    start(all, one, two);
    expect(begun(all)).toEqual(["node-1", "node-2"]);
    expect(one.facts.get("node-2")).toBe("node-2 life 2");
  });
});

describe("a node that joins a living cluster", () => {
  /** Three nodes that have begun, and a fourth whose manifest names it. */
  function withNewcomer(): { readonly all: Node[]; readonly newcomer: Node } {
    const founders = clusterOf(3);
    start(founders, ...founders);
    const newcomer = new Node("node-4", manifestOf(4));
    newcomer.isUp = true;
    return { all: [...founders, newcomer], newcomer };
  }

  function letIn(all: readonly Node[], { id, spec }: Node): void {
    const { address, role, zone, weight } = spec;
    for (const node of all) {
      const { map } = node;
      node.map = {
        ...map,
        epoch: 2,
        nodes: [...map.nodes, { id, address, role, zone, weight, draining: false }],
      };
    }
  }

  test("waits until it is a member", () => {
    const { all, newcomer } = withNewcomer();
    const decision = newcomer.ask(all);
    expect(whyOf(decision)).toContain("nodes add");
    expect(decision.beginning.clusterId).toBe(all[0]?.clusterId);
  });

  test("asks the metadata group then, whoever else is down, and founds nothing", () => {
    const { all, newcomer } = withNewcomer();
    const [one, two, three] = all as [Node, Node, Node];
    letIn([one, two, three], newcomer);
    three.isUp = false;
    expect(newcomer.ask(all)).toMatchObject({
      kind: "admit",
      through: ["node-1", "node-2"],
      beginning: { founder: false, clusterId: one.clusterId },
    });
  });

  test("is refused where somebody has met it with other data", () => {
    const { all, newcomer } = withNewcomer();
    letIn(all.slice(0, 3), newcomer);
    all[1]?.facts.set("node-4", newcomer.uid);
    newcomer.wipe();
    expect(errorOf(() => newcomer.ask(all)).code).toBe("data-lost");
  });

  test("waits while nobody of the cluster answers", () => {
    const { all, newcomer } = withNewcomer();
    for (const node of all.slice(0, 3)) node.isUp = false;
    expect(whyOf(newcomer.ask(all))).toContain("nothing is heard of node-1, node-2, node-3");
  });

  test("does not join a cluster that runs another protocol", () => {
    const { all, newcomer } = withNewcomer();
    const reports = all.slice(0, 3).map((node) => node.report());
    const decide = (): Decision =>
      beginningAmong({
        manifest: newcomer.manifest,
        self: newcomer.spec,
        uid: newcomer.uid,
        known: () => undefined,
        reports: reports.map((report) =>
          report === undefined ? undefined : { ...report, protocol: "quorum" },
        ),
      });
    expect(errorOf(decide)).toMatchObject({ code: "protocol-changed" });
    expect(errorOf(decide).hint).toContain("quorum");
  });
});

test("what waits to be founded may still be founded otherwise, with the same data directory", async () => {
  const folder = mkdtempSync(join(tmpdir(), "beginning-"));
  const onDiskFailure = (reason: string): never => {
    throw new Error(reason);
  };
  const log = new LogStore({ folder: openLogFolder(folder), clock: systemClock, onDiskFailure });
  try {
    const manifest = manifestOf(2);
    const [spec] = manifest.nodes;
    if (spec === undefined) throw new Error("the manifest has nodes");
    const uids: string[] = [];
    for (const protocol of ["raft", "paxos"] as const) {
      const changed = { ...manifest, consensus: { ...manifest.consensus, protocol } };
      const waits = establish({
        manifest: changed,
        spec,
        log,
        clock: systemClock,
        folder,
        others: { reports: async () => [undefined], admit: async () => null },
        onWaiting: async ({ uid, why }) => {
          uids.push(uid);
          throw new Error(why);
        },
      });
      await expect(waits).rejects.toThrow("nothing is heard of node-2");
    }
    expect(new Set(uids).size).toBe(1);
  } finally {
    await log.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
