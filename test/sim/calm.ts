// A cluster on nodes, disks and a network that do their work, for tests that bring about one situation by themselves.

import type { Manifest } from "../../src/model/manifest.ts";
import type { NodeId, Protocol } from "../../src/model/ids.ts";
import { calmLayout, DIMENSIONS } from "./layout.ts";
import { Machine } from "./machine.ts";
import { SimulatedNetwork, type NetworkWatch } from "./network.ts";
import type { World } from "./world.ts";

export interface CalmCluster {
  readonly manifest: Manifest;
  readonly network: SimulatedNetwork;
  /** By node, none of them started. */
  readonly machines: ReadonlyMap<NodeId, Machine>;
}

/** Shards have three copies each. */
export function calmCluster(
  world: World,
  protocol: Protocol,
  nodes: number,
  shards: number,
  watch: Partial<NetworkWatch> = {},
  stateFlushMs = 200,
): CalmCluster {
  const { manifest, nodeHabits } = calmLayout(protocol, nodes, shards);
  const machines = new Map<NodeId, Machine>();
  const network = new SimulatedNetwork(world, world.chance.fork("network"), {
    onSend: () => undefined,
    onLinked: () => undefined,
    onCall: () => undefined,
    onAsked: () => undefined,
    ...watch,
  });
  for (const spec of manifest.nodes) {
    const chance = world.chance.fork(spec.id);
    machines.set(
      spec.id,
      new Machine({
        world,
        network,
        manifest,
        spec,
        clockHabits: { rate: 1, wallOffsetMs: 0 },
        diskHabits: { writeMsMin: 0.5, writeMsMax: 4, stateFlushMs },
        nodeHabits,
        embedder: {
          embed: (texts) => Promise.resolve(texts.map(() => new Float32Array(DIMENSIONS).fill(1))),
          close: () => Promise.resolve(),
        },
        chance,
        diskWatch: {
          name: spec.id,
          onRecord: () => undefined,
          onEntry: () => undefined,
          onState: () => undefined,
        },
        reach: (_asker, other) => machines.get(other),
        onMade: () => undefined,
        onStarted: () => undefined,
        onEnded: () => undefined,
      }),
    );
  }
  return { manifest, network, machines };
}
