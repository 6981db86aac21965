// Clients write and read through all nodes while nodes are killed and stopped under them. What was
// acknowledged is there exactly once, is seen by every read that began later, and what was sent again
// inside the cluster was applied once.

import { afterEach, expect, test } from "vitest";
import type { MemoryRecord } from "../../src/model/node-api.ts";
import { call, staleExport } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

const CLIENTS = 6;
const SHARDS = 4;
const NODES = ["node-1", "node-2", "node-3"] as const;

/** What happens to which node, one after the other; milliseconds for which it is stopped, or `kill`. */
const FAULTS: readonly (readonly [(typeof NODES)[number], number | "kill"])[] = [
  ["node-1", "kill"],
  ["node-2", 100],
  ["node-2", "kill"],
  ["node-3", 2500],
  ["node-1", 700],
  ["node-3", "kill"],
  ["node-1", 5000],
  ["node-2", "kill"],
];

let cluster: TestCluster;

afterEach(async () => cluster?.end());

interface History {
  /** Text -> id of what was answered with 200. */
  readonly acknowledged: Map<string, string>;
  /** Texts of writes that were not answered, or answered with `unknown`. */
  readonly unknown: Set<string>;
  /** Texts of writes that were certainly not done, as the answer said. */
  readonly refused: Set<string>;
  /** Id -> mark of what was changed, as the answer said. */
  readonly changed: Map<string, string>;
  readonly wrong: string[];
  reads: number;
}

/** Adds one memory after the other, each through the next node, and reads it back through another. */
async function client(number: number, history: History, done: AbortSignal): Promise<void> {
  for (let count = 0; !done.aborted; count += 1) {
    const text = `client ${number} write ${count}`;
    const at = number + count;
    const host = cluster.hosts[at % NODES.length] ?? "";
    const answer = await call(host, {
      method: "POST",
      path: "/v3/memories/add/",
      body: { messages: text, user_id: `user-${number}-${count % 5}` },
      headers: { "x-timeout-ms": "4000" },
    });
    if (answer.status === 200) {
      const { results } = answer.body as { readonly results: readonly { readonly id: string }[] };
      const id = results[0]?.id ?? "";
      history.acknowledged.set(text, id);
      await change(cluster.hosts[(at + 2) % NODES.length] ?? "", id, `${text} changed`, history);
      await readBack(cluster.hosts[(at + 1) % NODES.length] ?? "", id, text, history);
    } else if (answer.status === 0 || answer.status === 504) {
      history.unknown.add(text);
      await pause(20);
    } else {
      if (answer.status !== 503)
        history.wrong.push(`${text}: ${answer.status} ${JSON.stringify(answer.body)}`);
      history.refused.add(text);
      await pause(20);
    }
  }
}

/** Changes the memory's metadata; the node sends it again to the next leader when the first one dies. */
async function change(host: string, id: string, mark: string, history: History): Promise<void> {
  const { status, body } = await call(host, {
    method: "PUT",
    path: `/v1/memories/${id}/`,
    body: { metadata: { mark } },
    headers: { "x-timeout-ms": "4000" },
  });
  if (status === 200) history.changed.set(id, mark);
  else if (![0, 503, 504].includes(status)) history.wrong.push(`${mark}: ${status} ${JSON.stringify(body)}`);
}

/** A read that is answered at all must see a write that was acknowledged before it began. */
async function readBack(host: string, id: string, text: string, history: History): Promise<void> {
  const { status, body } = await call(host, {
    path: `/v1/memories/${id}/`,
    headers: { "x-consistency": "linearizable", "x-timeout-ms": "3000" },
  });
  if (status === 0 || status === 503 || status === 504) return;
  history.reads += 1;
  const { memory } = body as { readonly memory?: string };
  if (status !== 200 || memory !== text)
    history.wrong.push(`read of ${text}: ${status} ${JSON.stringify(body)}`);
}

async function inflict(node: (typeof NODES)[number], what: number | "kill"): Promise<void> {
  if (what === "kill") {
    await cluster.signal(node, "SIGKILL");
    await pause(300);
    await cluster.mem0ctl("up", "--timeout", "10s");
  } else {
    await cluster.signal(node, "SIGSTOP");
    await pause(what);
    await cluster.signal(node, "SIGCONT");
  }
}

test.each(["raft", "paxos"])(
  "%s: no acknowledged write is lost, none is there twice, and no read is too old",
  async (protocol) => {
    cluster = await bringUpCluster({
      flags: ["--consensus", protocol, "--shards", String(SHARDS), "--sharding", "hash"],
    });
    const history: History = {
      acknowledged: new Map(),
      unknown: new Set(),
      refused: new Set(),
      changed: new Map(),
      wrong: [],
      reads: 0,
    };
    const done = new AbortController();
    const clients = Array.from({ length: CLIENTS }, async (_, number) =>
      client(number, history, done.signal),
    );
    for (const [node, what] of FAULTS) await inflict(node, what);
    done.abort();
    await Promise.all(clients);

    expect(await cluster.mem0ctl("up", "--timeout", "30s")).toMatchObject({ code: 0 });
    const { code, stdout } = await cluster.mem0ctl("memories", "export");
    expect(code).toBe(0);
    const stored = stdout
      .trimEnd()
      .split("\n")
      .map((line): MemoryRecord => JSON.parse(line));
    const places = new Map<string, string[]>();
    for (const { memory, id } of stored) places.set(memory, [...(places.get(memory) ?? []), id]);

    expect(history.wrong).toEqual([]);
    const lost = [...history.acknowledged].filter(([text, id]) => places.get(text)?.includes(id) !== true);
    expect(lost).toEqual([]);
    expect([...places].filter(([, ids]) => ids.length > 1)).toEqual([]);
    // A change that was applied twice has left two events.
    const byId = new Map(stored.map((memory) => [memory.id, memory]));
    const events = stored.map(
      ({ history: past = [] }) => past.filter(({ event }) => event === "UPDATE").length,
    );
    expect(events.filter((count) => count > 1)).toEqual([]);
    const unchanged = [...history.changed].filter(([id, mark]) => byId.get(id)?.metadata?.["mark"] !== mark);
    expect(unchanged).toEqual([]);
    expect([...history.refused].filter((text) => places.has(text))).toEqual([]);
    const known = (text: string): boolean => history.acknowledged.has(text) || history.unknown.has(text);
    expect([...places.keys()].filter((text) => !known(text))).toEqual([]);
    // The run was a run: every client got through, and reads were answered.
    expect(history.acknowledged.size).toBeGreaterThan(CLIENTS * 10);
    expect(history.reads).toBeGreaterThan(CLIENTS * 10);

    await until("all three copies are equal", async () => {
      for (let shard = 0; shard < SHARDS; shard += 1) {
        const copies = await Promise.all(cluster.hosts.map(async (host) => staleExport(host, String(shard))));
        const [first, ...others] = copies.map((records) => JSON.stringify(records));
        if (others.some((other) => other !== first)) return false;
      }
      return true;
    });
  },
);

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
