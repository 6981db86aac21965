// What a manifest's settings mean for the person who wrote them: copies, quorum, what can be lost. The
// worst case counts: whichever nodes or zones are lost.

import { copiesOfLevel } from "../model/consistency.ts";
import type { Manifest, Meaning, NodeSpec } from "../model/manifest.ts";
import { counted, majorityOf, votersOf } from "./rules.ts";

/**
 * Copies, quorum, and the nodes and zones that can be lost, whichever they are, with every shard still
 * taking reads and writes. `quorum` counts votes: data copies, and the arbiter in groups of an even
 * number of copies.
 */
export function meaningOf(manifest: Manifest): Meaning {
  const copies = manifest.replication.replicas + 1;
  const leaderless = manifest.consensus.protocol === "quorum";
  const arbiters = leaderless ? 0 : manifest.nodes.filter((node) => node.role === "arbiter").length;
  const voters = votersOf(copies, arbiters);
  const quorum = leaderless ? slowestLevel(manifest, copies) : majorityOf(voters);
  const survivesNodes = voters - quorum;
  const survivesZones = zonesThatCanBeLost(manifest.nodes, copies, voters > copies, survivesNodes);

  const what = `${counted(copies, "copy", "copies")}${voters > copies ? " and an arbiter" : ""}`;
  const sentence = `${what}, quorum ${quorum}, ${survives(manifest, survivesNodes, survivesZones)}`;
  return { copies, quorum, survivesNodes, survivesZones, sentence };
}

/** The quorum protocol: as many copies as the more demanding of reads and writes asks for. */
function slowestLevel({ consensus }: Manifest, copies: number): number {
  const { read, write } = consensus.consistency;
  return Math.max(copiesOfLevel(read, copies) ?? copies, copiesOfLevel(write, copies) ?? copies);
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

function survives({ nodes }: Manifest, survivesNodes: number, survivesZones: number): string {
  if (survivesNodes === 0) return "survives the loss of no node";
  const lossOf = `survives the loss of ${counted(survivesNodes, "node")}`;
  if (nodes.every((node) => node.zone === node.id)) return lossOf; // nobody named a zone
  return survivesZones === 0
    ? `${lossOf}, but not of a whole zone`
    : `${lossOf} or ${counted(survivesZones, "zone")}`;
}
