// How long a write waits at most while replicas move, those that lead among them, and while shards are split and merged: in virtual time, on nodes, disks and a
// network that do their work, so that what is measured is what the protocols wait for and nothing else.

import { expect, test } from "vitest";
import type { Protocol } from "../../src/model/ids.ts";
import type { ClusterStep } from "../../src/model/operation.ts";
import { hasEnded } from "../../src/model/operation.ts";
import type { ShardMap } from "../../src/model/shard-map.ts";
import { initialShardMap, shardOfKey } from "../../src/topology/shard-map.ts";
import { calmCluster } from "./calm.ts";
import { Process, type Machine } from "./machine.ts";
import { World } from "./world.ts";

const SHARDS = 4;
const NODES = 4;
const SETTLE_MS = 4500;
const WRITE_EVERY_MS = 5;
const END_MS = 120_000;

interface Measured {
  readonly slowestMs: number;
  readonly failures: readonly string[];
  readonly state: string;
}

async function stepsUnderWrites(
  protocol: Protocol,
  seed: number,
  stepsOf: (map: ShardMap) => readonly (readonly ClusterStep[])[],
): Promise<Measured> {
  const world = new World(seed, false);
  const { manifest, machines } = calmCluster(world, protocol, NODES, SHARDS);
  const all = [...machines.values()];
  const users = Array.from({ length: SHARDS }, (_, shard) => userOf(initialShardMap(manifest), shard));
  const failures: string[] = [];
  let [writes, slowestMs, open, isOver, state] = [0, 0, 0, false, "never begun"];
  const { timeline } = world;
  for (const machine of all) timeline.plan(0, () => machine.start());

  const write = (shard: number, machine: Machine): void => {
    const core = machine.core;
    if (core === undefined) return;
    const user = users[shard] ?? "";
    const sentMs = world.nowMs;
    open += 1;
    writes += 1;
    const { consistency } = manifest.consensus;
    const context = {
      deadlineMs: (machine.process?.clock.nowMs() ?? 0) + 10_000,
      requestId: "w",
      consistency,
    };
    core.memories
      .add([{ text: `t${writes}`, user_id: user, embedding: Float32Array.of(1, 1) }], context)
      .catch((error: unknown) => failures.push(String(error)))
      .finally(() => {
        open -= 1;
        slowestMs = Math.max(slowestMs, world.nowMs - sentMs);
      });
  };
  const goOn = (): void => {
    if (isOver) return;
    for (let shard = 0; shard < SHARDS; shard += 1) write(shard, world.chance.pick(all));
    timeline.plan(WRITE_EVERY_MS, goOn);
  };
  const begin = (): void => {
    const core = all[0]?.core;
    if (core === undefined) throw new Error("node-1 does not run");
    const context = { deadlineMs: 1e12, requestId: "operator", consistency: manifest.consensus.consistency };
    core.admin
      .beginOperation(
        {
          name: "moves",
          startedBy: "test",
          waves: stepsOf(core.map()),
          concurrency: 2,
          bytesPerSecondMax: null,
          epoch: null,
        },
        context,
      )
      .catch((error: unknown) => failures.push(String(error)));
  };
  const look = (): void => {
    const operation = all[0]?.core?.operation();
    if (operation !== undefined && operation !== null && hasEnded(operation)) {
      state = operation.progress.state;
      isOver = true;
      return;
    }
    timeline.plan(100, look);
  };
  timeline.plan(SETTLE_MS - 1000, goOn);
  timeline.plan(SETTLE_MS, begin);
  timeline.plan(SETTLE_MS, look);
  await timeline.run({
    onSettled: () => undefined,
    isOver: () => (isOver && open === 0) || world.nowMs > END_MS,
    onThrow: (error, owner) => {
      failures.push(`${owner instanceof Process ? owner.name : ""} ${String(error)}`);
    },
    onLeak: (source) => failures.push(`real time: ${source}`),
  });
  for (const machine of all) machine.crash("over");
  return { slowestMs, failures, state };
}

/** Some user whose memories are in that shard. */
function userOf(map: ShardMap, shard: number): string {
  for (let number = 0; ; number += 1) {
    if (shardOfKey(map, `u${number}`)?.id === String(shard)) return `u${number}`;
  }
}

function movesOfLeaders({ shards, nodes }: ShardMap): readonly (readonly ClusterStep[])[] {
  const steps = shards.map(({ id, replicas }): ClusterStep => {
    const free = nodes.find((node) => !replicas.includes(node.id));
    return { kind: "move-replica", shard: id, from: replicas[0] ?? "", to: free?.id ?? "", bytes: 0 };
  });
  return [steps];
}

/** Every shard gives keys away or takes some; those of two clients go to a shard with other nodes. */
function handovers({ shards }: ShardMap): readonly (readonly ClusterStep[])[] {
  const [first] = shards[0]?.slots ?? [];
  return [
    [{ kind: "split", shard: "0", at: String(Math.ceil((first?.to ?? 0) / 2)), into: "4" }],
    [{ kind: "merge", shard: "4", into: "1" }],
    [{ kind: "merge", shard: "3", into: "2" }],
    [{ kind: "merge", shard: "0", into: "2" }],
  ];
}

test.each(["raft", "paxos", "quorum"] as const)(
  "with %s no write waits for an election while replicas move, those that lead among them",
  async (protocol) => {
    for (let seed = 1; seed <= 2; seed += 1) {
      const { slowestMs, failures, state } = await stepsUnderWrites(protocol, seed, movesOfLeaders);
      expect({ state, failures, seed }).toEqual({ state: "done", failures: [], seed });
      expect(slowestMs).toBeLessThan(1000);
    }
  },
  300_000,
);

test.each(["raft", "paxos", "quorum"] as const)(
  "with %s no write waits for an election while shards are split and merged",
  async (protocol) => {
    for (let seed = 1; seed <= 2; seed += 1) {
      const { slowestMs, failures, state } = await stepsUnderWrites(protocol, seed, handovers);
      expect({ state, failures, seed }).toEqual({ state: "done", failures: [], seed });
      expect(slowestMs).toBeLessThan(1000);
    }
  },
  300_000,
);
