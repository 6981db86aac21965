// What a manifest's settings mean for the person who wrote them: copies, quorum, what can be lost. The
// worst case counts: whichever nodes or zones are lost.

import { copiesOfLevel } from "../model/consistency.ts";
import type { Manifest, Meaning, NodeSpec } from "../model/manifest.ts";
import { placeOwnShards } from "../topology/own-shard-placement.ts";
import { ENGINE_CAPABILITIES } from "./capabilities.ts";
import { counted, majorityOf, votersOf } from "./rules.ts";

/**
 * Copies, quorum, and the nodes and zones that can be lost, whichever they are, with every shard still
 * taking reads and writes. `quorum` counts votes: data copies, and the arbiter in groups of an even
 * number of copies.
 */
export function meaningOf(manifest: Manifest): Meaning {
  const copies = manifest.replication.replicas + 1;
  if (ENGINE_CAPABILITIES[manifest.engine].shardsPerNode === "one")
    return meaningOfOwnShards(manifest, copies);
  if (manifest.consensus.protocol === "quorum") return meaningOfLevels(manifest, copies);
  const arbiters = manifest.nodes.filter((node) => node.role === "arbiter").length;
  const voters = votersOf(copies, arbiters);
  const quorum = majorityOf(voters);
  const survivesNodes = voters - quorum;
  const survivesZones = zonesThatCanBeLost(manifest.nodes, copies, voters > copies, survivesNodes);

  const what = `${counted(copies, "copy", "copies")}${voters > copies ? " and an arbiter" : ""}`;
  const sentence = `${what}, quorum ${quorum}, survives ${lossOf(manifest, survivesNodes, survivesZones)}`;
  return { copies, quorum, survivesNodes, survivesZones, sentence };
}

/**
 * A node holds one shard, replicated asynchronously: a shard lives while one of its copies does, and a lost
 * primary is replaced while a majority of the primaries is there to vote. Judged by the placement that `up`
 * makes; after failovers leaders may share a zone that did not before.
 */
function meaningOfOwnShards(manifest: Manifest, copies: number): Meaning {
  const { shards } = manifest.sharding;
  const groups = placeOwnShards(manifest.nodes, shards);
  const quorum = majorityOf(shards);
  const survivesNodes = Math.min(copies - 1, shards - quorum);
  const zoneOf = new Map(manifest.nodes.map(({ id, zone }) => [id, zone]));
  const lives = (zone: string): boolean =>
    groups.every(({ replicas }) => replicas.some((id) => zoneOf.get(id) !== zone)) &&
    groups.filter(({ replicas: [leader = ""] }) => zoneOf.get(leader) !== zone).length >= quorum;
  // More than one zone at a time is not claimed: which primaries are where by then, nobody knows.
  const survivesZones = survivesNodes > 0 && [...new Set(zoneOf.values())].every(lives) ? 1 : 0;
  const { write } = manifest.consensus.consistency;
  const waits = copiesOfLevel(write, copies) ?? copies;
  const promise =
    waits > 1
      ? `a write waits for ${waits} of ${copies}, but no failover is bound by it`
      : "a failover can lose the newest writes";
  const sentence = `${counted(shards, "shard")} of ${counted(copies, "copy", "copies")}, failover by ${quorum} of ${counted(shards, "primary", "primaries")}, survives ${lossOf(manifest, survivesNodes, survivesZones)}; replication is asynchronous: ${promise}`;
  const replicatesBy = ENGINE_CAPABILITIES[manifest.engine].replicatesBy;
  return {
    copies,
    quorum,
    survivesNodes,
    survivesZones,
    ...(replicatesBy === undefined ? {} : { replicatesBy }),
    sentence,
  };
}

/**
 * The quorum protocol. R + W > N makes every read meet every write that was finished before it (Gifford
 * 1979); that is overlap and no more: two reads beside a write may see it in either order.
 */
function meaningOfLevels(manifest: Manifest, copies: number): Meaning {
  const levels = manifest.consensus.consistency;
  const read = copiesOfLevel(levels.read, copies) ?? copies;
  const write = copiesOfLevel(levels.write, copies) ?? copies;
  const overlap = read + write > copies;
  const lossAt = (level: number): string => {
    const nodes = copies - level;
    return lossOf(manifest, nodes, zonesThatCanBeLost(manifest.nodes, copies, false, nodes));
  };
  const quorum = Math.max(read, write);
  const survivesNodes = copies - quorum;
  const survivesZones = zonesThatCanBeLost(manifest.nodes, copies, false, survivesNodes);
  const promise = overlap
    ? `R ${read} + W ${write} > ${copies}: overlap, not linearizability`
    : `R ${read} + W ${write} <= ${copies}: no overlap, a read may miss finished writes`;
  const survives =
    read === write
      ? `survives ${lossAt(read)}`
      : `reads survive ${lossAt(read)}, writes survive ${lossAt(write)}`;
  return {
    copies,
    quorum,
    survivesNodes,
    survivesZones,
    levels: { read, write, overlap },
    sentence: `${counted(copies, "copy", "copies")}, ${promise}; ${survives}`,
  };
}

/**
 * Zones, the worst ones, whose loss takes no more than `survivesNodes` votes from any shard. The copies of
 * a shard are taken to be spread over zones as evenly as the zones' nodes allow, which is what placement
 * promises; an arbiter that shares a zone with data is taken to share it with the most copies.
 */
function zonesThatCanBeLost(
  nodes: readonly NodeSpec[],
  copies: number,
  hasArbiter: boolean,
  survivesNodes: number,
): number {
  const dataNodesByZone = new Map<string, number>();
  for (const { role, zone } of nodes) {
    if (role !== "arbiter") dataNodesByZone.set(zone, (dataNodesByZone.get(zone) ?? 0) + 1);
  }
  const votes = evenSpread([...dataNodesByZone.values()], copies);
  const arbiter = hasArbiter ? nodes.find((node) => node.role === "arbiter") : undefined;
  if (arbiter !== undefined) {
    if (dataNodesByZone.has(arbiter.zone)) votes[0] = (votes[0] ?? 0) + 1;
    else votes.push(1);
  }
  votes.sort((one, other) => other - one);
  let left = survivesNodes;
  let zones = 0;
  for (const lost of votes) {
    left -= lost;
    if (left < 0) break;
    zones += 1;
  }
  return zones;
}

/** Copies per zone, most first, when each further copy goes to a zone that has the fewest so far. */
function evenSpread(nodesByZone: readonly number[], copies: number): number[] {
  const spread = nodesByZone.map(() => 0);
  for (let left = copies; left > 0;) {
    const before = left;
    for (const [zone, nodes] of nodesByZone.entries()) {
      if (left > 0 && (spread[zone] ?? 0) < nodes) {
        spread[zone] = (spread[zone] ?? 0) + 1;
        left -= 1;
      }
    }
    if (left === before) break; // fewer nodes than copies: refused before this is asked
  }
  return spread.sort((one, other) => other - one);
}

function lossOf({ nodes }: Manifest, survivesNodes: number, survivesZones: number): string {
  if (survivesNodes === 0) return "the loss of no node";
  const loss = `the loss of ${counted(survivesNodes, "node")}`;
  if (nodes.every((node) => node.zone === node.id)) return loss; // nobody named a zone
  return survivesZones === 0
    ? `${loss}, but not of a whole zone`
    : `${loss} or ${counted(survivesZones, "zone")}`;
}
