// For which machines the simulator waits until they have everything again that a damaged log has lost: members of the
// cluster. One that was let go while nobody reached it is refused by all others, and is never told anything again.

import { expect, test } from "vitest";
import type { Protocol } from "../../../src/model/ids.ts";
import { calmCluster } from "../../sim/calm.ts";
import { newestMap, recoveringMembers } from "../../sim/machine.ts";
import { World } from "../../sim/world.ts";

const SETTLE_MS = 4500;
const LEAVE_MS_MAX = 60_000;
const LATER_MS = 5000;

test.each(["raft", "paxos"] as const)(
  "with %s a machine with a damaged log is waited for until the others let it go",
  async (protocol: Protocol) => {
    const world = new World(1, false);
    const { timeline } = world;
    const { manifest, network, machines } = calmCluster(world, protocol, 4, 4);
    const [asked, , , hurt] = [...machines.values()];
    if (asked === undefined || hurt === undefined) throw new Error("four nodes are in the manifest");
    const others = [...machines.keys()].filter((id) => id !== hurt.id);
    const recovering = (): string[] => recoveringMembers(machines.values()).map(({ id }) => id);
    const problems: string[] = [];
    let waitedForWhileMember: string[] | undefined;
    let waitedForAfterwards: string[] | undefined;
    let isStillRecovering = false;
    let isOver = false;

    const damage = (): void => {
      hurt.crash("a bit of its log flips");
      hurt.loss = hurt.disk.flipBit() ? "damaged" : undefined;
      for (const other of others) {
        network.block(hurt.id, other);
        network.block(other, hurt.id);
      }
      hurt.start();
      timeline.plan(LATER_MS, letGo);
    };
    const letGo = (): void => {
      waitedForWhileMember = recovering();
      const { core, process } = asked;
      if (core === undefined || process === undefined) throw new Error(`${asked.id} does not run`);
      core.admin
        .leave(hurt.id, {
          deadlineMs: process.clock.nowMs() + LEAVE_MS_MAX,
          requestId: "operator",
          consistency: manifest.consensus.consistency,
        })
        .then(
          () => timeline.plan(0, reach),
          (error: unknown) => problems.push(String(error)),
        );
    };
    const reach = (): void => {
      for (const other of others) {
        network.unblock(hurt.id, other);
        network.unblock(other, hurt.id);
      }
      timeline.plan(LATER_MS, () => {
        waitedForAfterwards = recovering();
        isStillRecovering = hurt.isRecovering;
        isOver = true;
      });
    };
    for (const machine of machines.values()) timeline.plan(0, () => machine.start());
    timeline.plan(SETTLE_MS, damage);
    await timeline.run({
      onSettled: () => undefined,
      isOver: () => isOver || world.violation !== undefined || problems.length > 0,
      onThrow: (error) => problems.push(String(error)),
      onLeak: (source) => problems.push(`real time: ${source}`),
    });
    const members = newestMap(machines.values())?.nodes.map(({ id }) => id);
    for (const machine of machines.values()) machine.crash("over");

    expect({ problems, violation: world.violation }).toEqual({ problems: [], violation: undefined });
    expect(waitedForWhileMember).toEqual([hurt.id]);
    expect(members).toEqual(others);
    expect(isStillRecovering).toBe(true);
    expect(waitedForAfterwards).toEqual([]);
  },
  60_000,
);
