// A replica that is moved away and called back while its node still waits to hear that it may go. Whoever is told so
// gives up what it holds: it must not be a member again by then, with what it acknowledged since.

import { expect, test } from "vitest";
import { isMember } from "../../../src/consensus/membership.ts";
import type { Membership } from "../../../src/consensus/seam.ts";
import type { Protocol } from "../../../src/model/ids.ts";
import { hasEnded, type ClusterStep } from "../../../src/model/operation.ts";
import { calmCluster } from "../../sim/calm.ts";
import { World } from "../../sim/world.ts";

const SHARD = "0";
const SETTLE_MS = 4500;
/** Longer than the move back takes to reach the log, shorter than a question waits for its answer. */
const CLOG_MS = 1200;
const END_MS = 60_000;

test.each(["raft", "paxos"] as const)(
  "with %s a node that was told that it may go is a member again only once it knows that it is called back",
  async (protocol: Protocol) => {
    const world = new World(1, false);
    const { timeline } = world;
    const problems: string[] = [];
    let told: string | undefined;
    const { manifest, network, machines } = calmCluster(world, protocol, 4, 1, {
      onAsked: (asked, method) => (answer) => {
        if (method !== "members" || told !== undefined) return;
        if (!isMember(answer as Membership, away)) hold(asked);
      },
    });
    const all = [...machines.values()];
    for (const machine of all) timeline.plan(0, () => machine.start());
    const coreOf = (node: string) => {
      const core = machines.get(node)?.core;
      if (core === undefined) throw new Error(`${node} does not run`);
      return core;
    };
    const replicaAt = (node: string) => machines.get(node)?.core?.host.groups.get(SHARD);
    let away = "";
    let to = "";
    let from = "";
    let kept: ReturnType<typeof replicaAt>;
    let isOver = false;

    const move = (name: string, leaving: string, joining: string): void => {
      const step: ClusterStep = { kind: "move-replica", shard: SHARD, from: leaving, to: joining, bytes: 0 };
      const waves = [[step]];
      const plan = { name, startedBy: "test", waves, concurrency: 1, bytesPerSecondMax: null, epoch: null };
      const { consistency } = manifest.consensus;
      coreOf(from)
        .admin.beginOperation(plan, { deadlineMs: 1e12, requestId: name, consistency })
        .catch((error: unknown) => problems.push(String(error)));
    };
    const begin = (): void => {
      const { shards, nodes } = coreOf("node-1").map();
      const replicas = shards[0]?.replicas ?? [];
      [from = "", , away = ""] = replicas;
      to = nodes.find(({ id }) => !replicas.includes(id))?.id ?? "";
      move("there", away, to);
    };
    /** The answer leaves now; it and all news that comes after it take their time. */
    const hold = (asked: string): void => {
      told = asked;
      for (const { id } of all) network.path(id, away).clogMs = CLOG_MS;
      back();
      timeline.plan(CLOG_MS, () => {
        for (const { id } of all) network.path(id, away).clogMs = 0;
      });
    };
    const back = (): void => {
      const operation = coreOf(from).operation();
      if (operation === null || !hasEnded(operation)) timeline.plan(10, back);
      else move("back", to, away);
    };
    const look = (): void => {
      const isNamed = all.some(({ id }) => {
        const status = replicaAt(id)?.replica.status();
        return status?.role === "leader" && status.progress.some(({ node }) => node === away);
      });
      const now = replicaAt(away);
      if (told === undefined || !isNamed) return;
      // From the moment in which it is named, what it holds is what it goes on holding.
      kept ??= now;
      if (now !== kept) problems.push(`${away} is named as a member and gives up what it holds`);
    };
    const end = (): void => {
      const operation = machines.get(from)?.core?.operation();
      isOver = operation?.plan.name === "back" && hasEnded(operation);
      if (!isOver) timeline.plan(100, end);
    };
    timeline.plan(SETTLE_MS, begin);
    timeline.plan(SETTLE_MS, end);
    await timeline.run({
      onSettled: look,
      isOver: () => isOver || problems.length > 0 || world.nowMs > END_MS,
      onThrow: (error) => problems.push(String(error)),
      onLeak: (source) => problems.push(`real time: ${source}`),
    });
    const state = machines.get(from)?.core?.operation()?.progress.state;
    for (const machine of all) machine.crash("over");
    expect({ problems, state, told: told === undefined }).toEqual({
      problems: [],
      state: "done",
      told: false,
    });
  },
  60_000,
);
