// The commands that look at a cluster: what they print where, and what they exit with.

import { readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { visibleCluster } from "./support/cluster.ts";
import type { VisibleCluster } from "./support/cluster.ts";
import { at, mem0ctl } from "./support/program.ts";
import type { Outcome, Surroundings } from "./support/program.ts";

/** What a script would trip on: escape sequences, and the characters that boxes are drawn with. */
const DECORATION = /\p{Cc}(?<!\n)|[\u2500-\u257f]/u;

let cluster: VisibleCluster;
const run = (line: string, surroundings: Surroundings = {}): Promise<Outcome> =>
  mem0ctl(line.split(" "), { cwd: cluster.cwd, ...surroundings });

describe("a healthy cluster", () => {
  beforeAll(async () => {
    cluster = await visibleCluster();
  });

  it("status exits 0 and prints one JSON document and nothing else", async () => {
    const { exit, stdout, stderr } = await run("status -o json");
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: "" });
    expect(at(stdout, "kind")).toBe("ClusterStatus");
    expect(at(stdout, "health")).toBe("healthy");
    expect(at(stdout, "healthyNodes")).toBe(3);
  });

  it("up of a manifest with another protocol says that the cluster keeps its own, and how to get there", async () => {
    const same = await run("up");
    expect({ exit: same.exit, stderr: same.stderr }).toMatchObject({
      exit: 0,
      stderr: expect.not.stringContaining("warning"),
    });
    const text = readFileSync(`${cluster.cwd}/cluster.yaml`, "utf8");
    writeFileSync(`${cluster.cwd}/other.yaml`, `${text}  consensus: { protocol: paxos }\n`);
    const { exit, stdout, stderr } = await run("up -f other.yaml -o json");
    expect(exit).toBe(0);
    expect(at(stdout, "kind")).toBe("NodeActions");
    expect(stderr).toContain("warning: the protocol is raft and should be paxos\n  try: make a cluster");
  });

  it("the flag closest to the command wins, and the environment names the manifest", async () => {
    const cwd = "/";
    const env = { MEM0CTL_MANIFEST: `${cluster.cwd}/cluster.yaml` };
    const { exit, stdout } = await mem0ctl(["-o", "yaml", "status", "-o", "json"], { cwd, env });
    expect(exit).toBe(0);
    expect(at(stdout, "cluster")).toBe("demo");
    expect((await mem0ctl(["-o", "yaml", "status"], { cwd, env })).stdout).toContain("kind: ClusterStatus\n");
  });

  const commands: readonly (readonly [line: string, kind: string, shows: string])[] = [
    ["status", "ClusterStatus", "healthy"],
    ["nodes list", "NodeList", "node-3"],
    ["shards map", "ShardMap", "leader"],
    ["shards list", "ShardList", "0-5460"],
    ["shards locate alice", "KeyLocation", "749"],
    ["replicas lag", "ReplicaLag", "node-2"],
    ["leader show", "Leaders", "node-1"],
    ["memories stats", "MemoryStats", "memories"],
  ];
  for (const [line, kind, shows] of commands) {
    it(`${line} is plain on a pipe, at most 80 columns on a terminal, and a document as JSON and YAML`, async () => {
      const piped = await run(line);
      expect({ exit: piped.exit, stderr: piped.stderr }).toEqual({ exit: 0, stderr: "" });
      expect(piped.stdout).toContain(shows);
      expect(piped.stdout).not.toMatch(DECORATION);

      const wide = await run(`${line} -o wide`);
      expect(wide.exit).toBe(0);

      const terminal = await run(`${line} --no-color`, { terminal: true });
      expect(terminal.stdout).not.toContain("\u001b");
      for (const shown of terminal.stdout.split("\n")) expect(shown.length).toBeLessThanOrEqual(80);

      const json = await run(`${line} -o json`);
      expect(at(json.stdout, "kind")).toBe(kind);
      expect(at(json.stdout, "apiVersion")).toBe("mem0ctl/v1");
      expect((await run(`${line} -o yaml`)).stdout).toContain(`kind: ${kind}\n`);
    });
  }

  it("wait returns at once when it is as wanted", async () => {
    const { exit, stdout } = await run("wait --for healthy -o json");
    expect(exit).toBe(0);
    expect(at(stdout, "health")).toBe("healthy");
  });

  it("wait that times out exits 5 and says what is missing", async () => {
    const { exit, stdout, stderr } = await run("wait --for down --timeout 300ms");
    expect({ exit, stdout }).toEqual({ exit: 5, stdout: "" });
    expect(stderr).toContain("error[wait-timeout]");
    expect(stderr).toContain("node-1");
  });

  it("--max-lag makes a lag degraded that the manifest allows", async () => {
    await cluster.show({ progress: { "node-2": { lagEntries: 3, lagBytes: 90, lagMs: 2000 } } });
    expect((await run("status")).exit).toBe(0);
    const { exit, stdout } = await run("status --max-lag 500ms -o json");
    expect(exit).toBe(3);
    expect(at(stdout, "reasons", 0, "code")).toBe("lag-above-limit");
    await cluster.show({});
  });

  it("status --watch prints one look after the other on a pipe, and Ctrl-C ends it with exit 0", async () => {
    const controller = new AbortController();
    const { exit, stdout } = await run("status --watch", {
      signal: controller.signal,
      onStdout: (text) => {
        if (text.split("LEADS").length > 2) controller.abort(130);
      },
    });
    expect(exit).toBe(0);
    expect(stdout.split("LEADS")).toHaveLength(3);
    expect(stdout).not.toMatch(DECORATION);
  });

  it("status --watch redraws on a terminal", async () => {
    const controller = new AbortController();
    const { exit, stdout } = await run("status --watch --no-color", {
      terminal: true,
      signal: controller.signal,
      onStdout: (text) => {
        if (text.includes("LEADS")) controller.abort(130);
      },
    });
    expect(exit).toBe(0);
    expect(stdout.startsWith("\u001b[2J\u001b[H")).toBe(true);
  });

  it("nodes logs of a node that another machine runs says where to look; -f needs no manifest beside it", async () => {
    const { exit, stderr } = await run("nodes logs node-1");
    expect(exit).toBe(1);
    expect(stderr).toContain("error[no-log]");
    const unknown = await run("nodes logs node-9");
    expect([unknown.exit, unknown.stderr]).toEqual([1, expect.stringContaining("error[unknown-node]")]);
    const wrong = await run("nodes logs -f cluster.yaml");
    expect(wrong.exit).toBe(2);
    expect(wrong.stderr).toContain("--file");
  });
});

describe("a cluster that lost a node", () => {
  beforeAll(async () => {
    cluster = await visibleCluster();
    await cluster.show({
      goneMs: { "node-3": 9000 },
      leaders: { "0": "node-1", "1": "node-2", "2": "node-1" },
      progress: { "node-3": { state: "down", lagEntries: 5, lagBytes: 500, lagMs: 9000 } },
    });
  });

  it("is degraded: exit 3, the reason named, the node listed all the same", async () => {
    const { exit, stdout } = await run("status -o json");
    expect(exit).toBe(3);
    expect(at(stdout, "health")).toBe("degraded");
    expect(at(stdout, "reasons", 0, "code")).toBe("node-down");
    expect(at(stdout, "nodes", 2, "id")).toBe("node-3");
    expect((await run("nodes list")).exit).toBe(0);
  });

  it("is good enough with --fail-on unavailable", async () => {
    expect((await run("status --fail-on unavailable")).exit).toBe(0);
    expect((await run("wait --for available --timeout 2s")).exit).toBe(0);
  });
});

describe("a cluster of which nothing answers", () => {
  beforeAll(async () => {
    cluster = await visibleCluster();
    await cluster.show({ goneMs: { "node-1": 9000, "node-2": 9000, "node-3": 9000 } });
  });

  it("is unavailable: exit 4 from everything that looks, and still every node is listed", async () => {
    const { exit, stdout } = await run("status -o json");
    expect(exit).toBe(4);
    expect(at(stdout, "nodes", 2, "error")).toBe("connection refused");
    expect((await run("status --fail-on unavailable")).exit).toBe(4);
    for (const line of ["nodes list", "shards map", "shards list", "replicas lag", "leader show"]) {
      expect({ line, exit: (await run(line)).exit }).toEqual({ line, exit: 4 });
    }
  });

  it("can still say where a key belongs", async () => {
    const { exit, stdout } = await run("shards locate alice -o json");
    expect(exit).toBe(0);
    expect(at(stdout, "live")).toBe(false);
    expect(at(stdout, "slot")).toBe(749);
  });

  it("prints an error as one JSON document on stderr with -o json", async () => {
    const { exit, stdout, stderr } = await run("memories stats -o json");
    expect({ exit, stdout }).toEqual({ exit: 4, stdout: "" });
    expect(at(stderr, "error", "kind")).toBe("unavailable");
  });
});
