// Rules about nodes: ids and addresses are used once, there is somebody to hold the data, no two nodes
// share a data directory, and no data directory is a surprise.

import { dirname, isAbsolute, join, resolve } from "node:path";
import { ENGINE_CAPABILITIES } from "./capabilities.ts";
import { canonicalHost, isLoopback, isUnspecified } from "./address.ts";
import { shown } from "./raw.ts";
import type { Path } from "./raw.ts";
import { counted, firstGiven, isGiven, onLine } from "./rules.ts";
import type { NodeUnderCheck, Rules } from "./rules.ts";

export function checkNodes(rules: Rules): void {
  checkDataNodes(rules);
  checkArbiters(rules);
  checkUnique(rules, "duplicate-node-id", "id", ({ draft }) => draft.id);
  checkUnique(rules, "duplicate-address", "address", ({ address }) =>
    address === undefined ? undefined : `${canonicalHost(address.host)} ${address.port}`,
  );
  checkListens(rules);
  checkUnspecified(rules);
  checkDataDirs(rules);
  checkDraining(rules);
}

function checkDraining(rules: Rules): void {
  const { nodes, spec, report } = rules;
  if (spec.engine === undefined || ENGINE_CAPABILITIES[spec.engine].drains === "in-manifest") return;
  for (const { path } of nodes) {
    if (!isGiven(rules, [...path, "draining"])) continue;
    report({
      code: "setting-of-another-engine",
      path: [...path, "draining"],
      message: `draining belongs to engines that cannot keep it; a cluster of ${spec.engine} does`,
      hint: "remove it, and use `mem0ctl nodes drain` and `mem0ctl nodes undrain`",
    });
  }
}

function checkDataNodes(rules: Rules): void {
  const { dataNodes, nodesComplete, copies, nodes, report, shards, spec } = rules;
  if (!nodesComplete) return;
  if (dataNodes.length === 0) {
    report({
      code: "no-data-node",
      path: ["spec", "nodes"],
      message:
        nodes.length === 0
          ? "the cluster has no nodes; it needs at least one data node"
          : "all nodes are arbiters, which hold no memories; the cluster needs at least one data node",
      hint: "add a node with role primary or secondary",
    });
    return;
  }
  if (copies === undefined) return;
  if (copies > dataNodes.length) {
    report({
      code: "too-few-data-nodes",
      path: firstGiven(
        rules,
        ["spec", "replication", "replicas"],
        ["spec", "replication", "strategy"],
        ["spec", "nodes"],
      ),
      message: `${counted(copies, "copy", "copies")} of each shard need ${counted(copies, "data node")}; the cluster has ${dataNodes.length}`,
      hint: `add ${counted(copies - dataNodes.length, "data node")}, or ask for fewer copies${dataNodes.length === 1 ? " (replication strategy none)" : ""}`,
    });
    return;
  }
  const zones = new Set(dataNodes.map(({ draft, index }) => draft.zone ?? draft.id ?? index));
  if (copies > zones.size) {
    report({
      code: "copies-share-zone",
      severity: "warning",
      path: firstGiven(
        rules,
        ["spec", "replication", "replicas"],
        ["spec", "replication", "strategy"],
        ["spec", "nodes"],
      ),
      message: `there are ${copies} copies and ${counted(zones.size, "zone")}: two copies of a shard share a zone and can be lost with it`,
      hint: `spread the data nodes over ${copies} zones`,
    });
  }
  const anyNumber = spec.engine === undefined || ENGINE_CAPABILITIES[spec.engine].shardsPerNode === "many";
  if (anyNumber && shards !== undefined && shards * copies < dataNodes.length) {
    report({
      code: "idle-nodes",
      severity: "warning",
      path: firstGiven(rules, ["spec", "sharding", "shards"], ["spec", "nodes"]),
      message: `${counted(shards, "shard")} of ${counted(copies, "copy", "copies")} cannot give ${dataNodes.length} data nodes something to hold`,
      hint: "ask for more shards",
    });
  }
}

function checkArbiters({ arbiters, spec, report }: Rules): void {
  if (spec.consensus?.protocol === "quorum") {
    for (const { path } of arbiters) {
      report({
        code: "arbiter-in-quorum",
        path: [...path, "role"],
        message:
          "the quorum protocol has no elections and no log, so an arbiter would have nothing to vote on",
        hint: "make it a data node, or use raft or paxos",
      });
    }
    return;
  }
  for (const { path } of arbiters.slice(1)) {
    report({
      code: "too-many-arbiters",
      path: [...path, "role"],
      message: `there are ${arbiters.length} arbiters; more than one adds no safety: a group takes one only to make its votes odd, and two could form a majority that holds no memories`,
      hint: "keep one arbiter and make the others secondaries",
    });
  }
}

function checkUnique(
  rules: Rules,
  code: string,
  field: "id" | "address",
  keyOf: (node: NodeUnderCheck) => string | undefined,
): void {
  const first = new Map<string, NodeUnderCheck>();
  for (const node of rules.nodes) {
    const key = keyOf(node);
    if (key === undefined) continue;
    const earlier = first.get(key);
    if (earlier === undefined) {
      first.set(key, node);
      continue;
    }
    const path = [...node.path, field];
    const earlierPath = [...earlier.path, field];
    rules.report({
      code,
      path,
      message: `the ${field} ${shown(node.draft[field] ?? "")} of nodes[${node.index}]${onLine(rules, path)} is already that of nodes[${earlier.index}]${onLine(rules, earlierPath)}`,
      hint: `give every node ${field === "id" ? "an id" : "an address"} of its own`,
    });
  }
}

/** On one machine no two nodes listen at one port, and none where the others look for another one. */
function checkListens(rules: Rules): void {
  const here = rules.nodes.filter(runsHere);
  for (const [index, node] of here.entries()) {
    const { listen } = node.draft;
    if (listen === undefined) continue;
    const path = [...node.path, "listen"];
    const isLookedFor = here.find((other) => other !== node && samePlace(node.listen, other.address));
    const other =
      isLookedFor ?? here.slice(0, index).find((earlier) => samePlace(node.listen, earlier.listen));
    if (other === undefined) continue;
    const theirs = isLookedFor === undefined ? "listen" : "address";
    rules.report({
      code: "duplicate-listen",
      path,
      message: `nodes[${node.index}]${onLine(rules, path)} cannot listen at ${shown(listen)}: that is the ${theirs} of nodes[${other.index}]${onLine(rules, [...other.path, theirs])}`,
      hint: "give every node on this machine a port of its own to listen at",
    });
  }
}

function samePlace(one: NodeUnderCheck["listen"], other: NodeUnderCheck["listen"]): boolean {
  if (one === undefined || other === undefined || one.port !== other.port) return false;
  const everywhere = isUnspecified(one.host) || isUnspecified(other.host);
  return everywhere || canonicalHost(one.host) === canonicalHost(other.host);
}

/** Whether the process of the node is one of this machine. */
function runsHere({ draft, address }: NodeUnderCheck): boolean {
  if (draft.manage !== undefined) return draft.manage === "spawn";
  return address !== undefined && isLoopback(address.host);
}

function checkUnspecified({ nodes, report }: Rules): void {
  for (const { address, path } of nodes) {
    if (address === undefined || !isUnspecified(address.host)) continue;
    report({
      code: "unspecified-address",
      severity: "warning",
      path: [...path, "address"],
      message: `${address.host} can be listened on, but other machines cannot connect to it`,
      hint: "write the address that the other nodes reach this one by",
    });
  }
}

/** What makes a data directory unsafe, or undefined. `written` is as in the manifest. */
function unsafeDataDir(written: string, baseDir: string): string | undefined {
  if (written.split(/[/\\]/).includes("..")) return "it leads out of its folder with ..";
  if (written.startsWith("~")) return "~ is not expanded and would become a folder of that name";
  const absolute = resolve(baseDir, written);
  if (dirname(absolute) === absolute) return "it is the root of the file system";
  return undefined;
}

function checkDataDirs(rules: Rules): void {
  const { spec, nodes, baseDir, report } = rules;
  const check = (written: string | undefined, path: Path): boolean => {
    const problem = written === undefined ? undefined : unsafeDataDir(written, baseDir);
    if (problem === undefined) return true;
    report({
      code: "unsafe-path",
      path,
      message: `the data directory ${shown(written ?? "")} is not safe: ${problem}`,
      hint: "use a folder below the manifest's, or an absolute path",
    });
    return false;
  };
  const clusterDirIsSafe = check(spec.dataDir, ["spec", "dataDir"]);

  // Nodes on different machines may use the same path; nodes on this one may not.
  const placed: { node: NodeUnderCheck; dir: string }[] = [];
  for (const node of nodes) {
    const { draft, path } = node;
    if (!check(draft.dataDir, [...path, "dataDir"]) || !clusterDirIsSafe) continue;
    if (runsHere(node) && draft.id !== undefined) {
      placed.push({ node, dir: nodeDataDir(baseDir, spec.dataDir ?? "", draft.dataDir, draft.id) });
    }
  }
  const owners = new Map<string, NodeUnderCheck>();
  for (const { node, dir } of placed) {
    const owner = owners.get(dir);
    // Two nodes of one id share the default directory, but the id is what is wrong with them.
    if (owner === undefined) owners.set(dir, node);
    else if (owner.draft.id !== node.draft.id) reportShared(rules, node, owner, "share the data directory");
  }
  for (const { node, dir } of placed) {
    for (let parent = dirname(dir); parent !== dirname(parent); parent = dirname(parent)) {
      const owner = owners.get(parent);
      if (owner !== undefined)
        reportShared(rules, node, owner, "have data directories one inside the other:");
    }
  }
}

function reportShared(rules: Rules, node: NodeUnderCheck, owner: NodeUnderCheck, how: string): void {
  const path = firstGiven(rules, [...node.path, "dataDir"], [...owner.path, "dataDir"], node.path);
  const dir = node.draft.dataDir ?? owner.draft.dataDir ?? "";
  rules.report({
    code: "shared-data-dir",
    path,
    message: `${node.draft.id ?? ""}${onLine(rules, [...node.path, "dataDir"])} and ${owner.draft.id ?? ""}${onLine(rules, [...owner.path, "dataDir"])} ${how} ${shown(dir)}`,
    hint: "give each node a directory of its own, or leave dataDir out",
  });
}

/** Where a node keeps its data: its own dataDir, or a folder of its id below the cluster's. */
export function nodeDataDir(
  baseDir: string,
  clusterDataDir: string,
  ownDataDir: string | undefined,
  id: string,
): string {
  if (ownDataDir !== undefined)
    return isAbsolute(ownDataDir) ? resolve(ownDataDir) : resolve(baseDir, ownDataDir);
  return join(resolve(baseDir, clusterDataDir), id);
}
