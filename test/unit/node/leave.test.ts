// A removal that is waited for, when another operation begins before its end was seen.

import { describe, expect, it } from "vitest";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { Operation } from "../../../src/model/operation.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { Admin, type AdminOptions } from "../../../src/node/cluster/admin-service.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "../engines/support.ts";

const before = initialShardMap(manifestOf({ ports: [1, 2, 3, 4] }));
const without: ShardMap = { ...before, nodes: before.nodes.filter(({ id }) => id !== "node-4"), epoch: 9 };

function operationOf(id: string, name: string, state: string): Operation {
  return { plan: { id, name }, progress: { state, why: null } } as unknown as Operation;
}

/** An admin of a cluster that tells of these operations, look by look, once the removal has begun; an error is thrown. */
function adminOf(world: { readonly shown: (Operation | Error)[]; readonly map: ShardMap }): Admin {
  const looks = [...world.shown];
  let hasBegun = false;
  const operations = {
    running: () => Promise.resolve(null),
    begin: () => {
      hasBegun = true;
      return Promise.resolve(operationOf("1", "remove node-4", "running"));
    },
    show: async () => {
      const look = looks.length > 1 ? looks.shift() : looks[0];
      if (look instanceof Error) throw look;
      return look ?? null;
    },
  };
  const router = {
    changeMap: () => Promise.resolve({ accepted: false, map: hasBegun ? world.map : before }),
  };
  return new Admin({
    clock: systemClock,
    operations,
    router,
    map: () => before,
  } as unknown as AdminOptions);
}

const context = () => ({
  deadlineMs: performance.now() + 2000,
  requestId: "1",
  consistency: { read: "linearizable", write: "quorum" } as const,
});
const other = operationOf("2", "rebalance", "running");

describe("a removal whose end nobody saw", () => {
  it("has let the node go, when the map says so", async () => {
    const admin = adminOf({ shown: [other], map: without });
    expect(await admin.leave("node-4", context())).toEqual(without);
  });

  it("is over without that, when the map still has the node", async () => {
    const admin = adminOf({ shown: [other], map: before });
    const error = await admin.leave("node-4", context()).catch((thrown: Mem0ctlError) => thrown);
    expect(error).toMatchObject({
      kind: "conflict",
      code: "leave-ended",
      message: "node-4 did not leave: its removal is over",
      why: "another operation has begun since: rebalance",
    });
  });
});

const running = operationOf("1", "remove node-4", "running");
const leaderless = new Mem0ctlError(
  "unavailable",
  "no-leader",
  "the metadata group has no leader that answers",
);

describe("a removal while nobody leads the metadata group", () => {
  it("is waited for", async () => {
    const admin = adminOf({ shown: [leaderless, running, operationOf("1", "", "done")], map: without });
    expect(await admin.leave("node-4", context())).toEqual(without);
  });

  it("is called unknown at the deadline, not certainly undone", async () => {
    const admin = adminOf({ shown: [running, leaderless], map: without });
    const late = { ...context(), deadlineMs: performance.now() + 250 };
    const error = await admin.leave("node-4", late).catch((thrown: Mem0ctlError) => thrown);
    expect(error).toMatchObject({ kind: "unknown-outcome", code: "still-draining" });
  });
});

it("a node that is itself taken out sends whoever waits there to another one", async () => {
  const dismissal = new Mem0ctlError(
    "unavailable",
    "not-a-member",
    "node-4 is not part of the cluster any more",
  );
  const admin = adminOf({ shown: [running, dismissal], map: without });
  await expect(admin.leave("node-4", context())).rejects.toBe(dismissal);
});
