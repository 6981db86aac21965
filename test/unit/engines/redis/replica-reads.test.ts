// Stale reads: who answers them, and that a bound is kept by what servers prove. Servers are played here, because
// a real replica is behind for a moment only; the end-to-end tests cut a real one off.

import { afterEach, describe, expect, it } from "vitest";
import { RedisConnection } from "../../../../src/engines/redis/connection.ts";
import { SlotCommands, type StaleRead } from "../../../../src/engines/redis/slot-commands.ts";
import { SLOTS } from "../../../../src/topology/slots.ts";
import { scriptedServer, type ScriptedServer } from "./scripted-server.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

interface Played {
  role: "master" | "slave";
  stream: string;
  offset: number;
  /** What GET answers, in the form of the wire. */
  value: string;
  state: "ok" | "fail";
  silent: boolean;
}

async function play(played: Played): Promise<ScriptedServer> {
  const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
  const server = await scriptedServer(([name]) => {
    if (played.silent) return undefined;
    if (name === "READONLY") return "+OK\r\n";
    if (name === "CLUSTER") return bulk(`cluster_state:${played.state}\r\n`);
    if (name !== "INFO") return played.value;
    const field = played.role === "master" ? "master_repl_offset" : "slave_repl_offset";
    return bulk(`role:${played.role}\r\nmaster_replid:${played.stream}\r\n${field}:${played.offset}\r\n`);
  });
  ends.push(() => server.close());
  return server;
}

interface Shard {
  readonly primary: Played;
  readonly replica: Played;
  readonly asked: () => { readonly primary: number; readonly replica: number };
  readonly get: (stale: StaleRead | undefined, timeoutMs?: number) => Promise<string>;
}

/** One shard of two copies, which answer differently. */
async function shard(): Promise<Shard> {
  const primary: Played = {
    role: "master",
    stream: "a",
    offset: 100,
    value: "+new\r\n",
    state: "ok",
    silent: false,
  };
  const replica: Played = { ...primary, role: "slave", value: "+old\r\n" };
  const servers = { primary: await play(primary), replica: await play(replica) };
  const at = (which: "primary" | "replica") => ({ id: which, host: "127.0.0.1", port: servers[which].port });
  const slots = new SlotCommands({
    look: async () => ({
      owners: Array.from({ length: SLOTS }, () => at("primary")),
      replicasOf: () => [at("replica")],
    }),
    endpointAt: (host, port) => ({ id: `port ${port}`, host, port }),
    connect: async (endpoint) =>
      new RedisConnection(endpoint, { user: undefined, password: undefined, tls: undefined }),
  });
  ends.push(() => slots.close());
  const reads = ({ asked }: ScriptedServer): number =>
    asked.filter(([name]) => String(name) === "GET").length;
  return {
    primary,
    replica,
    asked: () => ({ primary: reads(servers.primary), replica: reads(servers.replica) }),
    get: async (stale, timeoutMs = 5000) => {
      const options = {
        deadlineMs: performance.now() + timeoutMs,
        ...(stale === undefined ? {} : { stale }),
      };
      const [reply] = await slots.run([{ slot: 1, command: ["GET", "key"] }], options);
      return String(reply);
    },
  };
}

describe("a stale read", () => {
  it("is a replica's, and any other one the primary's", async () => {
    const { get, asked } = await shard();
    expect([await get({}), await get(undefined)]).toEqual(["old", "new"]);
    expect(asked()).toEqual({ primary: 1, replica: 1 });
  });

  it("is the primary's where the replica is none any more, or does not answer in time", async () => {
    const { get, replica } = await shard();
    replica.role = "master";
    expect(await get({})).toBe("new");
    replica.silent = true;
    expect(await get({}, 10_000)).toBe("new");
  });

  it("asks the primary about what the replica does not have: it may have gone to another shard", async () => {
    const { get, replica, asked } = await shard();
    replica.value = "$-1\r\n";
    expect(await get({})).toBe("new");
    expect(asked()).toEqual({ primary: 1, replica: 1 });
  });

  it("goes on without the primary, also where there is nothing", async () => {
    const { get, primary, replica } = await shard();
    primary.silent = true;
    expect(await get({})).toBe("old");
    replica.value = "$-1\r\n";
    expect(await get({}, 10_000)).toBe("null");
  });
});

describe("a stale read with a bound", () => {
  const bound = { maxStalenessMs: 60_000 };

  it("is a replica's that has passed where the primary was", async () => {
    const { get, asked } = await shard();
    expect(await get(bound)).toBe("old");
    expect(asked()).toEqual({ primary: 0, replica: 1 });
  });

  it.each([
    ["has not", { offset: 99 }],
    ["counts another stream", { stream: "b", offset: 1000 }],
  ])("is the primary's while the replica %s", async (_what, change) => {
    const { get, replica } = await shard();
    Object.assign(replica, change);
    expect(await get(bound)).toBe("new");
    Object.assign(replica, { stream: "a", offset: 100 });
    expect(await get(bound)).toBe("old");
  });

  it("needs no more than the place of then while the bound lasts, whatever was written since", async () => {
    const { get, primary } = await shard();
    expect(await get(bound)).toBe("old");
    primary.offset = 200;
    expect(await get(bound)).toBe("old");
    primary.silent = true;
    expect(await get(bound)).toBe("old");
  });

  it("asks the primary again when the bound is over", async () => {
    const { get, primary } = await shard();
    expect(await get({ maxStalenessMs: 1 })).toBe("old");
    primary.offset = 200;
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await get({ maxStalenessMs: 1 })).toBe("new");
  });

  it("follows the primary to a stream that it began anew", async () => {
    const { get, primary, replica } = await shard();
    expect(await get(bound)).toBe("old");
    for (const each of [primary, replica]) Object.assign(each, { stream: "b", offset: 7 });
    expect(await get(bound)).toBe("new");
    expect(await get(bound)).toBe("old");
  });

  it.each([
    ["does not answer", { silent: true }],
    ["is cut off from the others", { state: "fail", value: "-CLUSTERDOWN The cluster is down\r\n" }],
  ] as const)("is refused where the primary %s, with the reason", async (_what, change) => {
    const { get, primary } = await shard();
    Object.assign(primary, change);
    await expect(get(bound, 1000)).rejects.toMatchObject({ kind: "unavailable", code: "too-stale" });
  });
});
