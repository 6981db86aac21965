// What a request comes to whose leader does not answer.

import { expect, test } from "vitest";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import { Router, type RouterOptions } from "../../../src/node/cluster/router.ts";
import type { MapCommand } from "../../../src/node/meta/meta-machine.ts";
import { systemClock } from "../../../src/node/system-clock.ts";

const SHARD = { id: "3", version: 0 };
const LEVELS = { read: "linearizable", write: "quorum" } as const;

/** Of a node without a replica, whose peer says that it leads and then nothing. */
function routerOf(leader: string): Router {
  return new Router({
    self: "a",
    host: { groups: new Map() },
    liveness: { leaderOf: () => ({ leader, term: 1 }) },
    network: {
      call: async (peer: string) => {
        throw new Mem0ctlError("unknown-outcome", "peer-did-not-answer", `${peer} did not answer`);
      },
    },
    clock: systemClock,
    electionTimeoutMs: 100,
    heirOf: () => undefined,
  } as unknown as RouterOptions);
}

test("a read is late and has no outcome that is unknown; a command has", async () => {
  const deadlineMs = (): number => systemClock.nowMs() + 60;
  const router = routerOf("b");
  await expect(router.read(SHARD, { kind: "count", args: {} }, LEVELS, deadlineMs())).rejects.toMatchObject({
    kind: "unavailable",
    code: "read-timed-out",
    data: { group: SHARD.id },
  });
  await expect(router.changeMap({} as MapCommand, deadlineMs())).rejects.toMatchObject({
    kind: "unknown-outcome",
  });
});
