// A fourth node joins a real cluster with memories: the plan is shown, saved, refused when it no longer fits, carried
// out, and then there is nothing left to plan.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { call, importRecords, record } from "./support/api.ts";
import { bringUpCluster, type CommandResult, type TestCluster } from "./support/cluster.ts";

const COUNT = 200;
const USERS = 40;

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await bringUpCluster({ spare: 1, flags: ["--shards", "8"] });
  const records = Array.from({ length: COUNT }, (_, index) => record(`m-${index}`, `user-${index % USERS}`));
  const { status } = await importRecords(cluster.hosts[0] ?? "", records);
  if (status !== 200) throw new Error(`the import was answered with ${status}`);
});
afterAll(async () => cluster?.end());

interface PrintedPlan {
  readonly kind: string;
  readonly cluster: string;
  readonly waves: readonly (readonly { readonly kind: string; readonly to?: string }[])[];
  readonly predicted: { readonly moves: number; readonly bytes: number };
  readonly lowerBound: { readonly moves: number };
  readonly optimal: boolean;
  readonly balanced: boolean;
}

async function plan(...flags: readonly string[]): Promise<PrintedPlan> {
  const { code, stdout, stderr } = await cluster.mem0ctl(
    "shards",
    "rebalance",
    "--dry-run",
    "-o",
    "json",
    ...flags,
  );
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as PrintedPlan;
}

async function exported(): Promise<readonly string[]> {
  const { stdout } = await cluster.mem0ctl("memories", "export");
  return stdout.trimEnd().split("\n").toSorted();
}

test("a cluster that is even has nothing to plan", async () => {
  expect(await plan()).toMatchObject({ kind: "Plan", waves: [], optimal: true, balanced: true });
});

test("a node that joined gets its share with the fewest moves, all of them to it", async () => {
  const address = `127.0.0.1:${cluster.ports[3] ?? 0}`;
  expect(
    await cluster.mem0ctl("nodes", "add", "node-4", "--address", address, "--timeout", "40s"),
  ).toMatchObject({
    code: 0,
  });
  const planned = await plan();
  expect(planned).toMatchObject({
    cluster: "e2e",
    predicted: { moves: 6 },
    lowerBound: { moves: 6 },
    optimal: true,
  });
  expect(planned.predicted.bytes).toBeGreaterThan(0);
  const moves = planned.waves.flat().filter(({ kind }) => kind === "move-replica");
  expect(moves.map(({ to }) => to)).toEqual(moves.map(() => "node-4"));
  expect((await plan("--max-moves", "2")).predicted.moves).toBe(2);
});

test("people see why, before and after", async () => {
  const shown = await cluster.mem0ctl("shards", "rebalance", "--dry-run");
  expect(shown.stdout).toContain("proven: no plan that is as even takes fewer moves");
  expect(shown.stdout).toContain("before\n");
  expect(shown.stdout).toContain("after\n");
  const explained = await cluster.mem0ctl("shards", "rebalance", "--explain", "7");
  expect(explained.stdout).toContain("node-4 holds 0 shards, and its share is 6");
  expect(await cluster.mem0ctl("shards", "rebalance", "--explain", "99")).toMatchObject({ code: 1 });
});

test("a saved plan is carried out as it was shown; afterwards it no longer fits, and says why", async () => {
  const before = await exported();
  const saved = await cluster.mem0ctl("shards", "rebalance", "--out", join(cluster.directory, "plan.json"));
  expect(saved).toMatchObject({ code: 0 });
  expect(JSON.parse(readFileSync(join(cluster.directory, "plan.json"), "utf8"))).toMatchObject({
    kind: "Plan",
  });
  const applied = await cluster.mem0ctl("apply", join(cluster.directory, "plan.json"), "--timeout", "50s");
  expect(applied).toMatchObject({ code: 0 });
  expect(await exported()).toEqual(before);

  expect(await plan()).toMatchObject({ waves: [], balanced: true });
  const again = await cluster.mem0ctl("apply", join(cluster.directory, "plan.json"));
  expect(again.code).toBe(6);
  expect(again.stderr).toContain("cluster-changed");
  expect(again.stderr).toMatch(/shard \d was on .* and is on .*node-4/);
});

test("a rebalance of what is even is empty and done", async () => {
  const { code, stdout } = await cluster.mem0ctl("shards", "rebalance");
  expect(code).toBe(0);
  expect(stdout).toContain("nothing to do");
});

test("by load: the writes of a busy user weigh more than shards that nobody writes to", async () => {
  /** The plan by load while `step` is done again and again. */
  const planWhile = async (step: (at: number) => Promise<unknown>): Promise<CommandResult> => {
    let isOver = false;
    const steps = (async () => {
      for (let at = 0; !isOver; at += 1) await step(at);
    })();
    const planned = await cluster.mem0ctl("shards", "rebalance", "--dry-run", "--by", "load", "-o", "json");
    isOver = true;
    await steps;
    return planned;
  };
  // Leaders come and go, and each writes that it leads: no client has written anything.
  const idle = await planWhile(async (at) =>
    call(cluster.hosts[0] ?? "", {
      method: "POST",
      path: "/v1/cluster/transfer",
      body: { group: String(at % 8) },
    }),
  );
  expect(idle.code).toBe(6);
  expect(idle.stderr + idle.stdout).toContain("no-load");

  const { code, stdout } = await planWhile(async (at) =>
    importRecords(cluster.hosts[at % 3] ?? "", [record("busy", "user-7")]),
  );
  expect(code).toBe(0);
  const { state } = JSON.parse(stdout) as {
    readonly state: { readonly shards: readonly { load: number }[] };
  };
  const loads = state.shards.map(({ load }) => load).toSorted((a, b) => b - a);
  expect(loads[0]).toBeGreaterThan(0);
  expect(loads[0]).toBeGreaterThan(loads[1] ?? 0);
});

test("an edited manifest is compared, applied while the cluster runs, and then it is so", async () => {
  expect(await cluster.mem0ctl("plan", "--detailed-exitcode")).toMatchObject({ code: 0 });
  const before = await exported();
  const manifest = readFileSync(cluster.file, "utf8");
  const edited = manifest
    .replace(/(?<node>id: node-3,.*role: )primary/, "$<node>secondary")
    .replace(/^(?<indent> +)replicas: 2/m, "$<indent>replicas: 1");
  expect(edited).not.toBe(manifest);
  writeFileSync(cluster.file, edited);
  const planned = await cluster.mem0ctl("plan", "--detailed-exitcode");
  expect(planned.code).toBe(10);
  expect(planned.stdout).toContain("the role of node-3 is primary and should be secondary");
  expect(planned.stdout).toContain("shards have 3 copies and should have 2");
  expect((await cluster.mem0ctl("apply")).code).toBe(2);
  expect(await cluster.mem0ctl("apply", "--yes", "--timeout", "50s")).toMatchObject({ code: 0 });
  expect(await cluster.mem0ctl("plan", "--detailed-exitcode")).toMatchObject({ code: 0 });
  expect(await exported()).toEqual(before);
  const { view } = await cluster.status();
  expect(view.shards.map(({ replicas }) => replicas.length)).toEqual(view.shards.map(() => 2));
  expect(view.nodes.find(({ id }) => id === "node-3")?.leads).toBe(0);

  writeFileSync(cluster.file, edited.replace(/protocol: raft/, "protocol: paxos"));
  const fixed = await cluster.mem0ctl("apply", "--yes");
  expect(fixed.code).toBe(6);
  expect(fixed.stderr).toContain("not-live");
});
