// Where a key lives, who leads, handing leadership over, and the log of a node.

import { appendFile, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { clusterLeaders, transferLeader } from "../../../src/operations/leader.ts";
import { locateKey } from "../../../src/operations/locate.ts";
import { readLog } from "../../../src/operations/logs.ts";
import { joinNode, leaveNode } from "../../../src/operations/members.ts";
import { openManifest, validateManifestFile } from "../../../src/operations/manifest-file.ts";
import { slotOf } from "../../../src/topology/slots.ts";
import { clusterView } from "../render/views.ts";
import { allDown, collect, errorOf, healthy, scriptedEngine, viewOf } from "./support.ts";

const options = { timeoutMs: 1000 };

describe("locate", () => {
  it("tells slot, shard, range, leader and replicas", async () => {
    const found = await locateKey(scriptedEngine(), "ada", options);
    const shard = healthy.shards.find(({ id }) => id === found.shard);
    expect(found).toMatchObject({
      key: "ada",
      slot: slotOf("ada"),
      range: shard?.range,
      leader: shard?.leader,
      term: 3,
      live: true,
      pinned: false,
      epoch: 1,
    });
    expect(found.replicas).toHaveLength(3);
  });

  it("tells the same of a cluster that is not up, but no leader", async () => {
    const offline = await locateKey(scriptedEngine({ views: [allDown], live: false }), "ada", options);
    const online = await locateKey(scriptedEngine(), "ada", options);
    expect(offline).toEqual({ ...online, live: false, leader: null, term: null });
  });
});

describe("shards that are leaderless by design", () => {
  const views = [clusterView({ nodes: 3, shards: 4, copies: 3, protocol: "quorum" })];

  it("have no leader to show, while the metadata group has", async () => {
    const { groups } = await clusterLeaders(scriptedEngine({ views }), options);
    expect(groups).toEqual([
      { group: "meta", leader: "node-1", term: 3 },
      ...["0", "1", "2", "3"].map((group) => ({ group, leader: null, term: 0, leaderless: true })),
    ]);
    expect(await locateKey(scriptedEngine({ views }), "ada", options)).toMatchObject({
      leader: null,
      leaderless: true,
    });
  });

  it("have none to transfer, and say why; the metadata group's is transferred", async () => {
    const engine = scriptedEngine({ views });
    const refused = await errorOf(transferLeader(engine, { group: "3", to: "node-2" }, options));
    expect(refused).toMatchObject({ kind: "invalid", code: "leaderless-by-design" });
    expect(refused.hint).toContain("mem0ctl leader transfer meta");
    expect(engine.steps).toEqual([]);
    const same = await transferLeader(engine, { group: "meta", to: "node-1" }, options);
    expect(same.changed).toBe(false);
  });
});

it("a proposer's ballot is shown with it", async () => {
  const views = [clusterView({ nodes: 3, shards: 4, copies: 3, protocol: "paxos" })];
  const { groups } = await clusterLeaders(scriptedEngine({ views }), options);
  expect(groups[2]).toEqual({
    group: "1",
    leader: "node-2",
    term: 4,
    ballot: { round: 4, proposer: "node-2" },
  });
});

describe("leadership", () => {
  it("is shown of the metadata group and every shard, and counted by node", async () => {
    const { groups, nodes } = await clusterLeaders(scriptedEngine(), options);
    expect(groups[0]).toEqual({ group: "meta", leader: "node-1", term: 3 });
    expect(groups.map(({ group }) => group)).toEqual(["meta", "0", "1", "2"]);
    expect(nodes.map(({ leads }) => leads)).toEqual([1, 1, 1]);
  });

  it("is handed over, and the new leader is seen before it is reported", async () => {
    const after = viewOf({ leaders: { "0": "node-2" }, term: 4 });
    const engine = scriptedEngine({ views: [healthy, healthy, after] });
    const from = healthy.shards[0]?.leader;
    expect(await transferLeader(engine, { group: "0", to: "node-2" }, options)).toEqual({
      group: "0",
      from,
      to: "node-2",
      term: 4,
      changed: true,
    });
    expect(engine.steps).toEqual([{ kind: "transfer-leader", group: "0", to: "node-2" }]);
  });

  it("to the node that has it is nothing to do", async () => {
    const engine = scriptedEngine();
    const outcome = await transferLeader(engine, { group: "meta", to: "node-1" }, options);
    expect(outcome).toMatchObject({ changed: false, to: "node-1" });
    expect(engine.steps).toEqual([]);
  });

  it("is refused for what does not exist, before anything is asked of a node", async () => {
    const engine = scriptedEngine();
    const wrong = [
      [{ group: "99" }, "unknown-shard"],
      [{ group: "0", to: "node-9" }, "unknown-node"],
    ] as const;
    for (const [request, code] of wrong) {
      expect(await errorOf(transferLeader(engine, request, options))).toMatchObject({
        kind: "not-found",
        code,
      });
    }
    const [shard] = healthy.shards;
    const few = { ...healthy, shards: [{ ...shard, replicas: shard?.replicas.slice(0, 1) ?? [] }] };
    // The view of a shard with one replica; its other fields are those of the healthy one.
    const engineWithFew = scriptedEngine({ views: [few as typeof healthy] });
    const to = healthy.shards[0]?.replicas[2]?.node ?? "";
    expect((await errorOf(transferLeader(engineWithFew, { group: "0", to }, options))).code).toBe(
      "not-a-replica",
    );
    expect(engine.steps).toEqual([]);
  });

  it("cannot be handed over where nobody has it", async () => {
    const error = await errorOf(
      transferLeader(scriptedEngine({ views: [allDown] }), { group: "0" }, options),
    );
    expect(error).toMatchObject({ kind: "unavailable", code: "no-leader" });
  });

  it("that never shows up at the other node has an unknown outcome", async () => {
    const error = await errorOf(
      transferLeader(scriptedEngine(), { group: "0", to: "node-3" }, { timeoutMs: 120 }),
    );
    expect(error).toMatchObject({ kind: "unknown-outcome", code: "transfer-not-seen" });
  });
});

it("joining and leaving are steps", async () => {
  const engine = scriptedEngine();
  const node = {
    id: "node-4",
    address: "127.0.0.1:7004",
    role: "primary",
    zone: "d",
    weight: 1,
    draining: false,
  } as const;
  await joinNode(engine, node, options);
  await leaveNode(engine, "node-4", options);
  expect(engine.steps).toEqual([
    { kind: "add-node", node },
    { kind: "remove-node", node: "node-4" },
  ]);
});

describe("the log of a node", () => {
  let folder: string;
  let logFile: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "mem0ctl-logs-"));
    logFile = join(folder, "node.log");
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function tail(content: string, lines: number): Promise<string[]> {
    await writeFile(logFile, content);
    return collect(readLog(scriptedEngine({ logFile }), "node-1", { lines }));
  }

  it("is read from its last lines, however it ends and however long it is", async () => {
    expect(await tail("a\nb\nc\n", 2)).toEqual(["b", "c"]);
    expect(await tail("a\nb\nc", 2)).toEqual(["b", "c"]);
    expect(await tail("a\nb\n", 10)).toEqual(["a", "b"]);
    expect(await tail("", 10)).toEqual([]);
    expect(await tail("a\nb\n", 0)).toEqual([]);
    expect(await tail("\n\n", 5)).toEqual(["", ""]);
    const many = Array.from({ length: 20_000 }, (_, index) => `line ${index} Grüße`);
    expect(await tail(`${many.join("\n")}\n`, 12_345)).toEqual(many.slice(-12_345));
  });

  it("is followed while lines are added and when a new file takes its place", async () => {
    await writeFile(logFile, "old\nlast\n");
    const interruption = new AbortController();
    const followed = readLog(scriptedEngine({ logFile }), "node-1", {
      lines: 1,
      follow: true,
      signal: interruption.signal,
    });
    const next = async (): Promise<unknown> => (await followed.next()).value;
    expect(await next()).toBe("last");
    await appendFile(logFile, "added\nha");
    expect(await next()).toBe("added");
    await appendFile(logFile, "lf\n");
    expect(await next()).toBe("half");
    await rename(logFile, `${logFile}.1`);
    await writeFile(logFile, "fresh\n");
    expect(await next()).toBe("fresh");
    interruption.abort();
    expect(await followed.next()).toEqual({ done: true, value: undefined });
  });

  it("that is not here is an error that says where it would be", async () => {
    const error = await errorOf(collect(readLog(scriptedEngine({ logFile }), "node-1", { lines: 1 })));
    expect(error).toMatchObject({ kind: "not-found", code: "no-log", why: `${logFile} cannot be read` });
  });

  it("and a manifest that is wrong is refused with all its findings", async () => {
    const file = join(folder, "cluster.yaml");
    await writeFile(file, "apiVersion: mem0ctl/v9\nkind: Cluster\nmetadata: {}\n");
    const { findings, manifest } = await validateManifestFile(file);
    expect(manifest).toBeUndefined();
    const error = await errorOf(openManifest(file));
    expect(error).toMatchObject({ kind: "invalid", code: "manifest-invalid", data: { findings } });
    const missing = await errorOf(openManifest(join(folder, "none.yaml")));
    expect(missing).toMatchObject({ kind: "invalid", code: "manifest-invalid" });
  });
});
