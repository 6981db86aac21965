// What a request comes to whose leader does not answer.

import { expect, test } from "vitest";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import { Router, type RouterOptions } from "../../../src/node/cluster/router.ts";
import type { MapCommand } from "../../../src/node/meta/meta-machine.ts";
import { systemClock } from "../../../src/node/system-clock.ts";

const SHARD = { id: "3", version: 0 };

/** Of a node without a replica, whose only peer says who leads and then nothing. */
function routerOf(leader: string, others: Partial<RouterOptions> = {}): Router {
  return new Router({
    self: "a",
    host: { groups: new Map() },
    liveness: { leaderOf: () => ({ leader, term: 1 }), state: () => "up" },
    network: {
      connected: () => true,
      call: async (peer: string) => {
        throw new Mem0ctlError("unknown-outcome", "peer-did-not-answer", `${peer} did not answer`);
      },
    },
    clock: systemClock,
    electionTimeoutMs: 100,
    zoneOf: () => undefined,
    replicasOf: () => ["b"],
    heirOf: () => undefined,
    dismissal: () => undefined,
    ...others,
  } as unknown as RouterOptions);
}

test("a read is late and has no outcome that is unknown; a command has", async () => {
  const deadlineMs = (): number => systemClock.nowMs() + 60;
  for (const [leader, read] of [
    ["b", "linearizable"],
    ["", "stale"],
  ] as const) {
    const asked = routerOf(leader).read(
      SHARD,
      { kind: "count", args: {} },
      { read, write: "quorum" },
      deadlineMs(),
    );
    await expect(asked).rejects.toMatchObject({
      kind: "unavailable",
      code: "read-timed-out",
      data: { group: SHARD.id },
    });
  }
  await expect(routerOf("b").changeMap({} as MapCommand, deadlineMs())).rejects.toMatchObject({
    kind: "unknown-outcome",
  });
});

test("a read without a leader is not told about a write", async () => {
  const read = routerOf("").read(
    SHARD,
    { kind: "count", args: {} },
    { read: "linearizable", write: "quorum" },
    systemClock.nowMs() + 60,
  );
  await expect(read).rejects.toMatchObject({
    code: "no-leader",
    hint: expect.stringContaining("nothing was done"),
  });
});

test("only who leads the metadata group tells of it, and nobody where none does", async () => {
  const here = (): Promise<string> => Promise.resolve("from here");
  const soon = (): number => systemClock.nowMs() + 60;
  expect(await routerOf("a").askMeta("operation", here, soon())).toBe("from here");
  const calls: unknown[] = [];
  const network = {
    call: async (...call: unknown[]) => {
      calls.push(call.slice(0, 2));
      return "from b";
    },
  } as unknown as RouterOptions["network"];
  expect(await routerOf("b", { network }).askMeta("operation", here, soon())).toBe("from b");
  expect(calls).toEqual([["b", "operation"]]);
  await expect(routerOf("").askMeta("operation", here, soon())).rejects.toMatchObject({ code: "no-leader" });
  await expect(routerOf("b").askMeta("operation", here, soon())).rejects.toMatchObject({
    kind: "unavailable",
    code: "read-timed-out",
  });
});

test("a read of a shard that is merged away meanwhile is sent by the new map, not kept until its deadline", async () => {
  for (const read of ["linearizable", "stale"] as const) {
    const mergedMs = systemClock.nowMs() + 60;
    const router = routerOf("", {
      replicasOf: () => [],
      heirOf: () => (systemClock.nowMs() < mergedMs ? undefined : "1"),
    });
    const query = { kind: "count", args: {} };
    const consistency = { read, write: "quorum" } as const;
    await expect(router.read(SHARD, query, consistency, mergedMs + 2000)).rejects.toMatchObject({
      code: "stale-epoch",
    });
    expect(systemClock.nowMs()).toBeLessThan(mergedMs + 1000);
    // Whoever carries a handover out means that very state, whatever has become of its keys.
    await expect(router.readState(SHARD.id, query, mergedMs + 100)).rejects.toMatchObject({
      code: "no-leader",
    });
  }
});
