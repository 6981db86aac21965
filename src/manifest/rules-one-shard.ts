// Rules of engines whose nodes hold a replica of one shard each, and that replicate in a way of their own
// (Redis Cluster): how many shards the nodes make, who votes, which ports are taken, which levels there are.

import type { Path } from "./raw.ts";
import { canonicalHost } from "./address.ts";
import { ENGINE_CAPABILITIES } from "./capabilities.ts";
import { counted, firstGiven } from "./rules.ts";
import type { NodeUnderCheck, Rules } from "./rules.ts";
import { busPort } from "../topology/bus-port.ts";

const CONSISTENCY: Path = ["spec", "consensus", "consistency"];
/** Fewer primaries than this have no majority left when one of them is lost. */
const VOTING_PRIMARIES_MIN = 3;

export function checkOneShardPerNode(rules: Rules): void {
  const { engine } = rules.spec;
  if (engine === undefined || ENGINE_CAPABILITIES[engine].shardsPerNode !== "one") return;
  checkShards(rules);
  checkZones(rules);
  checkBusPorts(rules);
  checkLevels(rules);
}

function checkShards(rules: Rules): void {
  const { shards, copies, dataNodes, nodesComplete, report } = rules;
  // Too few nodes even for one shard are reported by rules-nodes.ts.
  if (shards === undefined || copies === undefined || !nodesComplete || copies > dataNodes.length) return;
  const path = firstGiven(rules, ["spec", "sharding", "shards"], ["spec", "nodes"]);
  const needed = shards * copies;
  if (needed > dataNodes.length) {
    report({
      code: "too-few-data-nodes",
      path,
      message: `${counted(shards, "shard")} of ${counted(copies, "copy", "copies")} need ${needed} nodes, because a node holds one shard; the cluster has ${dataNodes.length}`,
      hint: `leave shards out (these nodes make ${Math.floor(dataNodes.length / copies)}), or add ${counted(needed - dataNodes.length, "node")}`,
    });
    return;
  }
  if (shards >= VOTING_PRIMARIES_MIN || copies === 1) return;
  report({
    code: "no-failover",
    severity: "warning",
    path,
    message: `with ${counted(shards, "primary", "primaries")} there is no automatic failover: a majority of the primaries has to vote for it, and the lost one cannot`,
    hint: `use at least ${VOTING_PRIMARIES_MIN} shards: ${VOTING_PRIMARIES_MIN * copies} nodes with ${counted(copies, "copy", "copies")} each`,
  });
}

/** Dealt as evenly as can be, a zone with more nodes than there are shards has two copies of one. */
function checkZones({ shards, copies, dataNodes, nodesComplete, report }: Rules): void {
  if (shards === undefined || copies === undefined || copies === 1 || !nodesComplete) return;
  const zones = new Map<string, number>();
  for (const { draft, index } of dataNodes) {
    const zone = draft.zone ?? draft.id ?? String(index);
    zones.set(zone, (zones.get(zone) ?? 0) + 1);
  }
  if (copies > zones.size) return; // rules-nodes.ts says so
  for (const [zone, count] of zones) {
    if (count <= shards) continue;
    report({
      code: "copies-share-zone",
      severity: "warning",
      path: ["spec", "nodes"],
      message: `zone ${zone} has ${count} nodes for ${counted(shards, "shard")}: two copies of a shard share it and can be lost with it`,
      hint: "spread the nodes more evenly over the zones",
    });
  }
}

/** The nodes talk to each other on a second port. */
function checkBusPorts({ nodes, report }: Rules): void {
  const taken = new Map<string, { readonly node: NodeUnderCheck; readonly what: string }>();
  for (const node of nodes) {
    if (node.listen === undefined) continue;
    const host = canonicalHost(node.listen.host);
    for (const [port, what] of [
      [node.listen.port, "port"],
      [busPort(node.listen.port), "cluster bus"],
    ] as const) {
      const key = `${host} ${port}`;
      const other = taken.get(key);
      if (other === undefined) taken.set(key, { node, what });
      else if (what !== "port" || other.what !== "port") {
        report({
          code: "duplicate-listen",
          path: [...node.path, node.draft.listen === undefined ? "address" : "listen"],
          message: `the ${what} of nodes[${node.index}], ${port}, is already the ${other.what} of nodes[${other.node.index}]`,
          hint: "the cluster bus is at the port + 10000 (above 55535: - 10000); choose ports that leave it free",
        });
      }
    }
  }
}

/** Asynchronous replication: a read asks one copy, and a write may wait for more. */
function checkLevels({ spec, report, copies }: Rules): void {
  const { read, write } = spec.consensus?.consistency ?? {};
  if (read !== undefined && read !== "one" && read !== "stale") {
    report({
      code: "consistency-not-in-protocol",
      path: [...CONSISTENCY, "read"],
      message: `reads of the ${spec.engine ?? ""} engine are one (the primary answers) or stale (a replica), not ${read}: it replicates asynchronously, so a primary that was deposed may answer for a moment`,
      hint: "use read: one, or the embedded engine for linearizable reads",
    });
  }
  if (typeof write !== "number" || copies === undefined || (write >= 1 && write <= copies)) return;
  report({
    code: "consistency-out-of-range",
    path: [...CONSISTENCY, "write"],
    message: `write is ${write}; with ${counted(copies, "copy", "copies")} it must be 1..${copies}`,
  });
}
