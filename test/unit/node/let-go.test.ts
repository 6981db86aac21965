// A replica that is given up can never be asked again. What let it go must survive a power cut of all nodes right
// after: else those who are left look for it, or it begins anew by an older map.

import { expect, test } from "vitest";
import type { Protocol } from "../../../src/model/ids.ts";
import type { ClusterStep } from "../../../src/model/operation.ts";
import { calmCluster } from "../../sim/calm.ts";
import { World } from "../../sim/world.ts";

const SHARD = "0";
const SETTLE_MS = 6000;
const RESTART_MS = 100;
const HEAL_MS = 10_000;
const END_MS = 60_000;
/** The state is put off so long, unless somebody waits for it: longer than that takes. */
const FLUSH_MS = 4000;

test.each(["raft", "paxos"] as const)(
  "with %s a shard has a leader when all nodes lose their power just after a replica was given up",
  async (protocol: Protocol) => {
    const world = new World(1, false);
    const { timeline } = world;
    const problems: string[] = [];
    const { manifest, machines } = calmCluster(world, protocol, 3, 1, {}, FLUSH_MS);
    const all = [...machines.values()];
    for (const machine of all) timeline.plan(0, () => machine.start());
    const replicaAt = (node: string) => machines.get(node)?.core?.host.groups.get(SHARD);
    const leaders = (): number =>
      all.filter(({ id }) => replicaAt(id)?.replica.status().role === "leader").length;
    let away: string | undefined;
    let cutMs = Infinity;
    let isOver = false;

    const begin = (): void => {
      const core = machines.get("node-1")?.core;
      const [, second = "", third = ""] = core?.map().shards[0]?.replicas ?? [];
      const without = (from: string): ClusterStep[] => [{ kind: "remove-replica", shard: SHARD, from }];
      const waves = [without(third), without(second)];
      const plan = { name: "one copy", startedBy: "test", waves, concurrency: 1 };
      const { consistency } = manifest.consensus;
      core?.admin
        .beginOperation(
          { ...plan, bytesPerSecondMax: null, epoch: null },
          { deadlineMs: 1e12, requestId: "one copy", consistency },
        )
        .catch((error: unknown) => problems.push(String(error)));
      away = second;
    };
    const cut = (): void => {
      cutMs = world.nowMs;
      for (const machine of all) machine.crash("power cut");
      timeline.plan(RESTART_MS, () => {
        for (const machine of all) machine.start();
      });
      timeline.plan(HEAL_MS, () => {
        isOver = true;
      });
    };
    timeline.plan(SETTLE_MS, begin);
    await timeline.run({
      onSettled: () => {
        const isGone =
          away !== undefined && machines.get(away)?.isUp === true && replicaAt(away) === undefined;
        if (isGone && cutMs === Infinity) cut();
      },
      isOver: () => isOver || problems.length > 0 || world.nowMs > END_MS,
      onThrow: (error) => problems.push(String(error)),
      onLeak: (source) => problems.push(`real time: ${source}`),
    });
    const led = leaders();
    const isBack = away !== undefined && replicaAt(away) !== undefined;
    for (const machine of all) machine.crash("over");
    expect({ problems, wasCut: cutMs < Infinity, led, isBack }).toEqual({
      problems: [],
      wasCut: true,
      led: 1,
      isBack: false,
    });
  },
  60_000,
);
