// Stale reads over real redis-server processes: a replica that is cut off from its primary answers with what it has,
// a bound sends the read on to the primary, and a dead primary leaves what can be known.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CallOptions, Engine } from "../../src/engines/engine.ts";
import { openCluster } from "../../src/operations/cluster.ts";
import { slotOf } from "../../src/topology/slots.ts";
import { until, type TestCluster } from "./support/cluster.ts";
import { ask, bringUpRedis, HAS_REDIS } from "./support/redis.ts";

const CALL: CallOptions = { timeoutMs: 20_000 };
const USER = "ada";

function stale(maxStalenessMs?: number, timeoutMs = CALL.timeoutMs): CallOptions {
  const bound = maxStalenessMs === undefined ? {} : { maxStalenessMs };
  return { timeoutMs, consistency: { read: "stale", ...bound } };
}

describe.runIf(HAS_REDIS)("stale reads of a redis cluster", () => {
  let cluster: TestCluster;
  let redis: Engine;
  let id: string;
  let primary: string;
  let replicaPort: number;

  beforeAll(async () => {
    cluster = await bringUpRedis();
    redis = (await openCluster(cluster.file)).engine;
    const write: CallOptions = { ...CALL, consistency: { write: "all" } };
    const [added] = await redis.memories.add({ texts: ["first"], user_id: USER }, write);
    id = added?.id ?? "";
    const { map } = await redis.shardMap(CALL);
    const slot = slotOf(USER);
    const shard = map.shards.find(({ slots }) => slots.some(({ from, to }) => from <= slot && slot <= to));
    primary = shard?.replicas[0] ?? "";
    replicaPort = cluster.ports[Number(shard?.replicas[1]?.slice("node-".length)) - 1] ?? 0;
  });
  afterAll(async () => {
    await redis?.close();
    await cluster?.end();
  });

  async function text(options: CallOptions): Promise<string> {
    return (await redis.memories.get(id, options)).memory;
  }

  it("are of some time before, or within a bound, while a replica is cut off", async () => {
    // With a login that the primary refuses, it does not find its way back.
    for (const [name, value] of [
      ["masteruser", "nobody"],
      ["masterauth", "wrong"],
    ] as const)
      await ask(replicaPort, "CONFIG", "SET", name, value);
    await ask(replicaPort, "CLIENT", "KILL", "TYPE", "master");
    await redis.memories.update(id, { text: "second" }, CALL);
    expect(await text(stale())).toBe("first");
    expect(await text(stale(1))).toBe("second");
    expect(await text(CALL)).toBe("second");
    const scope = { filters: { user_id: USER } };
    const query = { query: "second", topK: 5, ...scope };
    const { results } = await redis.memories.list({ ...scope, page: 1, pageSize: 10 }, stale());
    expect(results.map(({ memory }) => memory)).toEqual(["first"]);
    const found = await redis.memories.search(query, stale(1));
    expect(found.map(({ memory }) => memory)).toEqual(["second"]);
    // What a replica said is nothing that a later read may be answered from.
    await redis.memories.search(query, stale());
    const [after] = await redis.memories.search(query, CALL);
    expect(after?.memory).toBe("second");

    for (const name of ["masteruser", "masterauth"]) await ask(replicaPort, "CONFIG", "SET", name, "");
    await until("the replica has followed", async () => (await text(stale())) === "second", 30_000);
  });

  it("are by the command line what they are by the library", async () => {
    const level = ["--consistency", "stale", "--max-staleness", "2s"];
    const { code, stdout } = await cluster.mem0ctl("memories", "get", id, "-o", "json", ...level);
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { memory: "second" }]);
    const refused = await cluster.mem0ctl("memories", "get", id, "--consistency", "linearizable");
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining("one or stale")]);
  });

  it("of a shard whose primary does not answer are a replica's; with a bound that is over they are refused", async () => {
    await cluster.signal(primary, "SIGSTOP");
    try {
      await expect(text(stale(1, 500))).rejects.toMatchObject({ kind: "unavailable", code: "too-stale" });
      expect(await text(stale())).toBe("second");
    } finally {
      await cluster.signal(primary, "SIGCONT");
    }
  });
});
