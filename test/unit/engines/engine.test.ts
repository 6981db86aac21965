// The embedded engine against real HTTP servers that answer as nodes: whom it asks, when it asks another,
// and that it touches nothing but its own cluster.

import { afterEach, describe, expect, it } from "vitest";

import { createEmbeddedEngine } from "../../../src/engines/embedded/engine.ts";
import type { Engine } from "../../../src/engines/engine.ts";
import { Mem0ctlError, errorBody } from "../../../src/model/errors.ts";
import type { Manifest } from "../../../src/model/manifest.ts";
import type { NodeReport } from "../../../src/model/node-api.ts";
import { json, manifestOf, refusedPort, reportsOf, serve } from "./support.ts";
import type { RunningServer } from "./support.ts";

const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

type Route = (node: string, body: string) => { status: number; body: unknown } | "silence" | "break";

interface Cluster {
  readonly manifest: Manifest;
  readonly engine: Engine;
  readonly servers: readonly RunningServer[];
}

/** Three servers that give their reports; everything else is answered by `route`. */
async function cluster(
  route: Route = () => ({ status: 200, body: {} }),
  change: (report: NodeReport) => NodeReport = (report) => report,
): Promise<Cluster> {
  let reports: NodeReport[] = [];
  const servers = await Promise.all(
    [0, 1, 2].map((index) =>
      serve((request, response, body) => {
        const report = reports[index];
        if (report === undefined) throw new Error("no report");
        if (request.url === "/v1/cluster/node") return json(response, 200, change(report));
        const answer = route(report.id, body);
        if (answer === "silence") return undefined;
        if (answer === "break") return void request.socket.destroy();
        return json(response, answer.status, answer.body);
      }),
    ),
  );
  const manifest = manifestOf({ ports: servers.map(({ port }) => port), manage: "connect" });
  reports = reportsOf(manifest);
  const engine = createEmbeddedEngine(manifest, { manifestFile: "cluster.yaml" });
  cleanups.push(() => engine.close(), ...servers.map((server) => () => server.close()));
  return { manifest, engine, servers };
}

const QUICK = { timeoutMs: 3000 };
const MEMORY = {
  id: "m1",
  memory: "likes tea",
  hash: "0".repeat(32),
  user_id: "ada",
  created_at: "2026-01-01T00:00:00.000Z",
  updated_at: "2026-01-01T00:00:00.000Z",
};

/** Requests other than for reports, by server. */
function work(servers: readonly RunningServer[]): string[][] {
  return servers.map(({ seen }) => seen.filter((line) => line !== "GET /v1/cluster/node"));
}

describe("the view", () => {
  it("is asked of every node, and names the one that is not there", async () => {
    const { engine, servers } = await cluster();
    await servers[1]?.close();
    const view = await engine.view(QUICK);
    expect(view.nodes.map(({ state }) => state)).toEqual(["up", "suspect", "up"]);
    expect(view.nodes[1]?.error).toBe("connection refused");
  });

  it("comes in spite of a node that is silent, which is given two seconds at most", async () => {
    const silent = await serve(() => undefined);
    const manifest = manifestOf({ ports: [silent.port, await refusedPort(), await refusedPort()] });
    const engine = createEmbeddedEngine(manifest, { manifestFile: "cluster.yaml" });
    cleanups.push(
      () => engine.close(),
      () => silent.close(),
    );
    const view = await engine.view({ timeoutMs: 10_000 });
    expect(view.nodes.map(({ error }) => error)).toEqual([
      "no answer within 2 s",
      "connection refused",
      "connection refused",
    ]);
  });

  it("is of the initial map, and says so, when nothing answers", async () => {
    const manifest = manifestOf({ ports: [await refusedPort()], replicas: 0 });
    const engine = createEmbeddedEngine(manifest, { manifestFile: "cluster.yaml" });
    cleanups.push(() => engine.close());
    expect(await engine.shardMap(QUICK)).toMatchObject({ live: false, map: { epoch: 1 } });
  });
});

describe("a client that nobody lets in", () => {
  async function refusing(): Promise<RunningServer> {
    const body = errorBody(new Mem0ctlError("denied", "unauthenticated", "the token is not known"));
    const server = await serve((_request, response) => json(response, 401, body));
    cleanups.push(() => server.close());
    return server;
  }
  async function engineOf(ports: readonly number[]): Promise<Engine> {
    const manifest = manifestOf({ ports, manage: "connect" });
    const engine = createEmbeddedEngine(manifest, { manifestFile: "cluster.yaml", token: "wrong" });
    cleanups.push(() => engine.close());
    return engine;
  }
  const denied = { kind: "denied", code: "unauthenticated" };

  it("is told so, and not that all nodes are down", async () => {
    const engine = await engineOf(await Promise.all([1, 2, 3].map(async () => (await refusing()).port)));
    await expect(engine.view(QUICK)).rejects.toMatchObject(denied);
    await expect(engine.shardMap(QUICK)).rejects.toMatchObject(denied);
    await expect(engine.memories.stats(QUICK)).rejects.toMatchObject(denied);
    await expect(engine.up(["node-1"], QUICK)).rejects.toMatchObject(denied);
  });

  it("is told so although other nodes do not answer at all", async () => {
    const engine = await engineOf([await refusedPort(), (await refusing()).port, await refusedPort()]);
    await expect(engine.view(QUICK)).rejects.toMatchObject(denied);
    await expect(engine.memories.stats(QUICK)).rejects.toMatchObject(denied);
  });

  it("by one node only sees the others, and that this one refuses", async () => {
    const { manifest, servers } = await cluster();
    await servers[1]?.close();
    const stranger = await refusing();
    const nodes = manifest.nodes.map((node, index) =>
      index === 1 ? { ...node, port: stranger.port } : node,
    );
    const engine = createEmbeddedEngine({ ...manifest, nodes }, { manifestFile: "cluster.yaml" });
    cleanups.push(() => engine.close());
    const view = await engine.view(QUICK);
    expect(view.nodes.map(({ error }) => error)).toEqual([undefined, "HTTP 401", undefined]);
  });
});

describe("a request goes to the first node that answers", () => {
  it("and stays with it", async () => {
    const { engine, servers } = await cluster(() => ({ status: 200, body: MEMORY }));
    expect(await engine.memories.get("m1", QUICK)).toEqual(MEMORY);
    await engine.memories.get("m1", QUICK);
    expect(work(servers)).toEqual([["GET /v1/memories/m1/", "GET /v1/memories/m1/"], [], []]);
  });

  it("and to the next when the first refuses the connection, also after it was chosen", async () => {
    const { engine, servers } = await cluster(() => ({ status: 200, body: { results: [MEMORY] } }));
    await engine.memories.add({ texts: ["likes tea"], user_id: "ada" }, QUICK);
    await servers[0]?.close();
    // The kept connection has ended; the client notices and asks for a new one, which is refused.
    await new Promise((resolve) => setTimeout(resolve, 50));
    await engine.memories.add({ texts: ["likes cake"], user_id: "ada" }, QUICK);
    expect(work(servers)).toEqual([["POST /v3/memories/add/"], ["POST /v3/memories/add/"], []]);
  });

  it("but a write that was sent is never sent again", async () => {
    for (const loss of ["silence", "break"] as const) {
      const { engine, servers } = await cluster(() => loss);
      const write = engine.memories.delete("m1", { timeoutMs: 400 });
      await expect(write).rejects.toMatchObject({ kind: "unknown-outcome", code: "outcome-unknown" });
      expect(work(servers).flat()).toEqual(["DELETE /v1/memories/m1/"]);
    }
  });

  it("nor is one that the node refused", async () => {
    const refusal = new Mem0ctlError("unavailable", "no-quorum", "shard 1 has no quorum");
    const { engine, servers } = await cluster(() => ({ status: 503, body: errorBody(refusal) }));
    const write = engine.memories.deleteAll({ user_id: "ada" }, QUICK);
    await expect(write).rejects.toMatchObject({ kind: "unavailable", code: "no-quorum" });
    expect(work(servers).flat()).toEqual(["DELETE /v1/memories/?user_id=ada"]);
  });

  it("nor one whose outcome the node does not know", async () => {
    const unknown = new Mem0ctlError("unknown-outcome", "transfer-pending", "no answer in time");
    const { engine, servers } = await cluster(() => ({ status: 504, body: errorBody(unknown) }));
    const transfer = engine.execute({ kind: "transfer-leader", group: "1", to: "node-2" }, QUICK);
    await expect(transfer).rejects.toMatchObject({ kind: "unknown-outcome", code: "transfer-pending" });
    expect(work(servers).flat()).toEqual(["POST /v1/cluster/transfer"]);
  });

  it.each(["peer-unreachable", "not-a-member", "node-waiting", "starting"])(
    "but to the next, also a write, when the first says that it has no way to the cluster: %s",
    async (code) => {
      const away = errorBody(new Mem0ctlError("unavailable", code, "not from here"));
      const { engine, servers } = await cluster((node) =>
        node === "node-1"
          ? { status: 503, body: away }
          : { status: 200, body: { group: "1", from: node, to: "node-3", term: 4 } },
      );
      const step = { kind: "transfer-leader", group: "1", to: "node-3" } as const;
      expect(await engine.execute(step, QUICK)).toBe("shard 1 went from node-2 to node-3 in term 4");
      await engine.execute(step, QUICK);
      expect(work(servers)).toEqual([
        ["POST /v1/cluster/transfer"],
        ["POST /v1/cluster/transfer", "POST /v1/cluster/transfer"],
        [],
      ]);
    },
  );

  it("while one that found nobody to answer it is told so, and the next request begins with another node", async () => {
    const alone = errorBody(new Mem0ctlError("unavailable", "no-leader", "the shard has no leader"));
    const { engine, servers } = await cluster((node) =>
      node === "node-1"
        ? { status: 503, body: alone }
        : { status: 200, body: { group: "1", from: node, to: "node-3", term: 4 } },
    );
    const step = { kind: "transfer-leader", group: "1", to: "node-3" } as const;
    await expect(engine.execute(step, QUICK)).rejects.toMatchObject({ code: "no-leader" });
    expect(await engine.execute(step, QUICK)).toContain("went from node-2");
    expect(work(servers)).toEqual([["POST /v1/cluster/transfer"], ["POST /v1/cluster/transfer"], []]);
  });

  it("and what the first said is told when no other answers", async () => {
    const left = errorBody(new Mem0ctlError("unavailable", "not-a-member", "node-1 has left"));
    const { engine, servers } = await cluster(() => ({ status: 503, body: left }));
    await Promise.all(servers.slice(1).map((server) => server.close()));
    const transfer = engine.execute({ kind: "transfer-leader", group: "1", to: "node-2" }, QUICK);
    await expect(transfer).rejects.toMatchObject({ kind: "unavailable", code: "not-a-member" });
  });

  it("while a read whose connection broke is asked of another node", async () => {
    const { engine, servers } = await cluster((node) =>
      node === "node-1" ? "break" : { status: 200, body: MEMORY },
    );
    expect(await engine.memories.get("m1", QUICK)).toEqual(MEMORY);
    expect(work(servers)).toEqual([["GET /v1/memories/m1/"], ["GET /v1/memories/m1/"], []]);
  });

  it("and to no node of another cluster that has the port", async () => {
    const { engine, servers } = await cluster(
      () => ({ status: 200, body: MEMORY }),
      (report) => ({ ...report, cluster: "other" }),
    );
    const read = engine.memories.delete("m1", QUICK);
    await expect(read).rejects.toMatchObject({
      kind: "unavailable",
      code: "nothing-answered",
      why: expect.stringContaining("belongs to the cluster other"),
    });
    expect(work(servers).flat()).toEqual([]);
  });

  it("and when no node answers, it is certainly not done", async () => {
    const manifest = manifestOf({ ports: [await refusedPort(), await refusedPort()], replicas: 0 });
    const engine = createEmbeddedEngine(manifest, { manifestFile: "cluster.yaml" });
    cleanups.push(() => engine.close());
    const write = engine.memories.delete("m1", QUICK);
    await expect(write).rejects.toMatchObject({ kind: "unavailable", code: "nothing-answered" });
  });
});

describe("the memory operations", () => {
  it("speak mem0's routes", async () => {
    const bodies: unknown[] = [];
    const answers: unknown[] = [
      { results: [{ ...MEMORY, event: "ADD" }] },
      { results: [{ ...MEMORY, score: 0.5 }] },
      { count: 1, next: null, previous: null, results: [MEMORY] },
      { message: "Memories deleted successfully!", deleted: 3 },
    ];
    const { engine, servers } = await cluster((_node, body) => {
      if (body !== "") bodies.push(JSON.parse(body));
      return { status: 200, body: answers.shift() };
    });
    await engine.memories.add({ texts: ["likes tea"], user_id: "ada", metadata: { a: 1 } }, QUICK);
    const [hit] = await engine.memories.search({ query: "tea", filters: { user_id: "ada" }, topK: 5 }, QUICK);
    const page = await engine.memories.list({ filters: {}, page: 2, pageSize: 50 }, QUICK);
    const deleted = await engine.memories.deleteAll({ user_id: "ada & co" }, QUICK);
    expect(hit?.score).toBe(0.5);
    expect(page).toEqual({ count: 1, results: [MEMORY] });
    expect(deleted).toBe(3);
    expect(work(servers)[0]).toEqual([
      "POST /v3/memories/add/",
      "POST /v3/memories/search/",
      "POST /v3/memories/?page=2&page_size=50",
      "DELETE /v1/memories/?user_id=ada+%26+co",
    ]);
    expect(bodies).toEqual([
      {
        messages: [{ role: "user", content: "likes tea" }],
        user_id: "ada",
        metadata: { a: 1 },
        infer: false,
      },
      { query: "tea", filters: { user_id: "ada" }, top_k: 5 },
      { filters: {} },
    ]);
  });

  it("never let an id reach into the path", async () => {
    const { engine, servers } = await cluster(() => ({ status: 200, body: MEMORY }));
    await engine.memories.get("../cluster/stop?x", QUICK);
    expect(work(servers)[0]).toEqual(["GET /v1/memories/..%2Fcluster%2Fstop%3Fx/"]);
  });
});

describe("steps", () => {
  it("are the admin routes", async () => {
    const bodies: unknown[] = [];
    const { engine, servers, manifest } = await cluster((node, body) => {
      bodies.push(JSON.parse(body));
      const map = reportsOf(manifest)[0]?.map;
      const moved = { group: "1", from: node, to: "node-2", term: 4 };
      return { status: 200, body: bodies.length === 1 ? moved : { ...map, epoch: 9 } };
    });
    expect(await engine.execute({ kind: "transfer-leader", group: "1", to: "node-2" }, QUICK)).toBe(
      "shard 1 went from node-1 to node-2 in term 4",
    );
    expect(await engine.execute({ kind: "remove-node", node: "node-3" }, QUICK)).toBe(
      "node-3 is no member as of epoch 9",
    );
    expect(work(servers)[0]).toEqual(["POST /v1/cluster/transfer", "POST /v1/cluster/leave"]);
    expect(bodies).toEqual([{ group: "1", to: "node-2" }, { node: "node-3" }]);
  });
});

it("nodes that are only connected to are reported, reachable or not, and never stopped", async () => {
  const { engine, servers } = await cluster();
  await servers[2]?.close();
  const up = await engine.up(["node-1", "node-3"], { timeoutMs: 300 });
  expect(up).toEqual([
    { node: "node-1", outcome: "connected", pid: 1000 },
    { node: "node-3", outcome: "not-managed", pid: null, error: "connection refused" },
  ]);
  expect(await engine.down(["node-1"], QUICK)).toEqual([
    { node: "node-1", outcome: "not-managed", pid: null },
  ]);
});
