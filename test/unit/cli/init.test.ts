// `init cluster` never asks where it should not, never overwrites, and leaves nothing behind.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { bundledProgram } from "./support/bundle.ts";
import { at, mem0ctl, temporaryDirectory } from "./support/program.ts";

describe("without a terminal", () => {
  it("writes a manifest that validates without findings and survives the loss of a node", async () => {
    const cwd = temporaryDirectory();
    const { exit, stderr } = await mem0ctl(["init", "cluster"], { cwd });
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: "" });
    const report = await mem0ctl(["validate", "-o", "json"], { cwd });
    expect(report.exit).toBe(0);
    expect(at(report.stdout, "findings")).toEqual([]);
    expect(at(report.stdout, "meaning", "survivesNodes")).toBe(1);
    expect(readdirSync(cwd)).toEqual(["cluster.yaml"]);
  });

  it("says what it wrote without obeying the name", async () => {
    const { exit, stdout } = await mem0ctl(["init", "cluster", "-f", "\u001b[31m.yaml"], {
      cwd: temporaryDirectory(),
    });
    expect(exit).toBe(0);
    expect(stdout).toContain("\\x1b[31m.yaml");
    expect(stdout).not.toContain("\u001b");
  });

  it("says as JSON what it wrote and what that means", async () => {
    const cwd = temporaryDirectory();
    const { stdout } = await mem0ctl(["init", "cluster", "-o", "json"], { cwd });
    expect(at(stdout, "kind")).toBe("ManifestWritten");
    expect(at(stdout, "meaning", "copies")).toBe(3);
  });

  const combinations: readonly (readonly [flags: string[], copies: number])[] = [
    [["--nodes", "1"], 1],
    [["--nodes", "2"], 2],
    [["--nodes", "5", "--replicas", "4"], 5],
    [["--replication", "none"], 1],
    [["--replication", "single", "--nodes", "2", "--arbiters", "1"], 2],
    [["--sharding", "range", "--shards", "8"], 3],
    [["--ranges", "g,n,t"], 3],
    [["--consensus", "paxos", "--read", "stale"], 3],
    [["--consensus", "quorum", "--read", "one", "--write", "3"], 3],
    [["--sharding", "directory", "--key", "agent", "--shards", "4"], 3],
    [["--name", "fleet", "--zones", "3", "--nodes", "6", "--port", "9001", "--data-dir", "data"], 3],
  ];
  for (const [flags, copies] of combinations) {
    it(`takes ${flags.join(" ")}`, async () => {
      const cwd = temporaryDirectory();
      const { exit, stderr } = await mem0ctl(["init", "cluster", ...flags], { cwd });
      expect({ exit, stderr }).toEqual({ exit: 0, stderr: "" });
      const { stdout } = await mem0ctl(["validate", "-o", "json"], { cwd });
      expect(at(stdout, "meaning", "copies")).toBe(copies);
      expect(at(stdout, "valid")).toBe(true);
    });
  }

  it("writes nothing when the choices make no cluster, and says why", async () => {
    const cwd = temporaryDirectory();
    const { exit, stdout, stderr } = await mem0ctl(["init", "cluster", "--replicas", "7"], { cwd });
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: "" });
    expect(stderr).toContain("why:");
    expect(readdirSync(cwd)).toEqual([]);
  });

  it.each([
    [["--password-env", "REDIS_PASSWORD"], "--password-env would have no effect here"],
    [
      ["--ca", "ca.pem", "--cert", "c.pem", "--key-file", "k.pem"],
      "--ca, --cert, --key-file would have no effect",
    ],
    [["--from", "redis://127.0.0.1:1", "--ca", "ca.pem"], "--ca would have no effect here"],
    [["--from", "rediss://127.0.0.1:1", "--ca", "ca.pem"], "TLS needs --cert and --key-file as well"],
  ])("takes no %j, which would protect nothing", async (flags, said) => {
    const cwd = temporaryDirectory();
    const { exit, stderr } = await mem0ctl(["init", "cluster", ...flags], { cwd });
    expect({ exit, stderr }).toEqual({ exit: 2, stderr: expect.stringContaining(said) as string });
    expect(readdirSync(cwd)).toEqual([]);
  });

  it("writes where --out or -f says", async () => {
    const cwd = temporaryDirectory();
    expect((await mem0ctl(["init", "cluster", "--out", "a.yaml"], { cwd })).exit).toBe(0);
    expect((await mem0ctl(["init", "cluster", "-f", "b.yaml"], { cwd })).exit).toBe(0);
    expect(readdirSync(cwd).toSorted()).toEqual(["a.yaml", "b.yaml"]);
  });
});

describe("a file that is there", () => {
  it("stays as it is without --force", async () => {
    const cwd = temporaryDirectory();
    writeFileSync(join(cwd, "cluster.yaml"), "mine\n");
    const { exit, stderr } = await mem0ctl(["init", "cluster", "--yes"], { cwd });
    expect(exit).toBe(2);
    expect(stderr).toContain("error[file-exists]");
    expect(stderr).toContain("another name with --out");
    expect(readFileSync(join(cwd, "cluster.yaml"), "utf8")).toBe("mine\n");
  });

  it("is replaced whole with --force", async () => {
    const cwd = temporaryDirectory();
    writeFileSync(join(cwd, "cluster.yaml"), "mine\n");
    expect((await mem0ctl(["init", "cluster", "--force"], { cwd })).exit).toBe(0);
    expect(readFileSync(join(cwd, "cluster.yaml"), "utf8")).toContain("apiVersion: mem0ctl/v1");
    expect(readdirSync(cwd)).toEqual(["cluster.yaml"]);
  });

  it("is never written through a symbolic link, nor over a directory, even with --force", async () => {
    const cwd = temporaryDirectory();
    writeFileSync(join(cwd, "target"), "theirs\n");
    symlinkSync("target", join(cwd, "cluster.yaml"));
    mkdirSync(join(cwd, "folder"));
    const link = await mem0ctl(["init", "cluster", "--force"], { cwd });
    const folder = await mem0ctl(["init", "cluster", "--force", "-f", "folder"], { cwd });
    expect([link.exit, folder.exit]).toEqual([2, 2]);
    expect(link.stderr).toContain("symbolic link");
    expect(readFileSync(join(cwd, "target"), "utf8")).toBe("theirs\n");
  });
});

/** `script` (util-linux) runs a command on a pseudo terminal; elsewhere its flags differ. */
const canScript = process.platform === "linux" && existsSync("/usr/bin/script");
if (!canScript) process.stderr.write("skipped: init on a terminal (no /usr/bin/script of util-linux)\n");

const DOWN = "\u001b[B";

describe.runIf(canScript || process.env["CI"] === "true")("on a terminal", () => {
  let program = "";
  beforeAll(async () => {
    program = await bundledProgram();
  });

  it("asks, shows the manifest and what it survives, and writes it after a yes", async () => {
    const cwd = temporaryDirectory();
    const { exit, screen } = await onTerminal(program, cwd, [
      ["called?", "\r"],
      ["keeps the data?", "\r"],
      ["nodes hold data?", "\r"],
      ["copies of each shard", "\r"],
      ["How many exactly?", "\r"],
      ["find their shard?", "\r"],
      ["How many shards?", "\r"],
      ["agree?", "\r"],
      ["Write", "\r"],
    ]);
    expect(exit).toBe(0);
    expect(screen).toContain("apiVersion: mem0ctl/v1");
    expect(screen).toContain("survives the loss of 1 node");
    expect(readdirSync(cwd)).toEqual(["cluster.yaml"]);
    const { stdout } = await mem0ctl(["validate", "-o", "json"], { cwd });
    expect(at(stdout, "meaning", "copies")).toBe(3);
  });

  it("asks for R and W where quorum was chosen, and says what they survive", async () => {
    const cwd = temporaryDirectory();
    const { exit, screen } = await onTerminal(program, cwd, [
      ["called?", "\r"],
      ["keeps the data?", "\r"],
      ["nodes hold data?", "\r"],
      ["copies of each shard", "\r"],
      ["How many exactly?", "\r"],
      ["find their shard?", "\r"],
      ["How many shards?", "\r"],
      ["agree?", `${DOWN}${DOWN}\r`],
      ["must answer", `${DOWN}\r`],
      ["Write", "\r"],
    ]);
    expect(exit).toBe(0);
    expect(screen).toContain("overlap, not linearizability");
    expect(readFileSync(join(cwd, "cluster.yaml"), "utf8")).toContain("{ read: one, write: all }");
  });

  it("Ctrl-C at a question exits 130 and leaves nothing behind", async () => {
    const cwd = temporaryDirectory();
    const { exit } = await onTerminal(program, cwd, [
      ["called?", "\r"],
      ["keeps the data?", "\u0003"],
    ]);
    expect(exit).toBe(130);
    expect(readdirSync(cwd)).toEqual([]);
  });

  it("a no at the end writes nothing", async () => {
    const cwd = temporaryDirectory();
    const { exit } = await onTerminal(program, cwd, [
      ["called?", "\r"],
      ["keeps the data?", "\r"],
      ["nodes hold data?", "1\r"],
      ["copies of each shard", "\r"],
      ["find their shard?", "\r"],
      ["How many shards?", "\r"],
      ["agree?", "\r"],
      ["Write", "n\r"],
    ]);
    expect(exit).toBe(1);
    expect(readdirSync(cwd)).toEqual([]);
  });

  it("asks nothing with --yes", async () => {
    const cwd = temporaryDirectory();
    const { exit, screen } = await onTerminal(program, cwd, [], "--yes");
    expect(exit).toBe(0);
    expect(screen).not.toContain("?");
    expect(readdirSync(cwd)).toEqual(["cluster.yaml"]);
  });
});

/** Types each answer once its question is on the screen, in order. */
function onTerminal(
  program: string,
  cwd: string,
  answers: readonly (readonly [question: string, keys: string])[],
  flags = "",
): Promise<{ readonly exit: number | null; readonly screen: string }> {
  return new Promise((resolve, reject) => {
    const command = `${process.execPath} ${program} init cluster ${flags}`;
    const child = spawn("script", ["-qfec", command, "/dev/null"], {
      cwd,
      env: { PATH: process.env["PATH"], LANG: "C.UTF-8", TERM: "xterm", COLUMNS: "80" },
    });
    let screen = "";
    let seen = 0;
    let next = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      screen += chunk.toString("utf8");
      for (;;) {
        const [question, keys] = answers[next] ?? [];
        if (question === undefined || keys === undefined) return;
        const place = screen.indexOf(question, seen);
        if (place === -1) return;
        seen = place + question.length;
        next += 1;
        child.stdin.write(keys);
      }
    });
    child.on("error", reject);
    child.on("close", (exit) => {
      resolve({ exit, screen });
    });
  });
}
