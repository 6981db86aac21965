// The memories commands against the node's own routes: what goes in comes out, and nothing is deleted
// that nobody said yes to.

import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { visibleCluster } from "./support/cluster.ts";
import type { VisibleCluster } from "./support/cluster.ts";
import { at, mem0ctl } from "./support/program.ts";
import type { Outcome, Surroundings } from "./support/program.ts";

let cluster: VisibleCluster;
beforeAll(async () => {
  cluster = await visibleCluster();
});
const run = (argv: readonly string[], surroundings: Surroundings = {}): Promise<Outcome> =>
  mem0ctl(["memories", ...argv], { cwd: cluster.cwd, ...surroundings });

describe("one memory", () => {
  let id = "";

  it("is added as it is given", async () => {
    const { exit, stdout, stderr } = await run([
      "add",
      "Likes jasmine tea",
      "--user",
      "alice",
      "--metadata",
      '{"topic":"food"}',
      "-o",
      "json",
    ]);
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: "" });
    expect(at(stdout, "results", 0, "memory")).toBe("Likes jasmine tea");
    id = String(at(stdout, "results", 0, "id"));
  });

  it("is read from standard input for -", async () => {
    const { exit, stdout } = await run(["add", "-", "--user", "bob", "-o", "json"], {
      stdin: "two\nlines\n",
    });
    expect(exit).toBe(0);
    expect(at(stdout, "results", 0, "memory")).toBe("two\nlines");
  });

  it("is found by search, get and list", async () => {
    const found = await run(["search", "jasmine tea", "--user", "alice", "-o", "json"]);
    expect(at(found.stdout, "results", 0, "id")).toBe(id);
    const got = await run(["get", id, "-o", "json"]);
    expect(at(got.stdout, "metadata", "topic")).toBe("food");
    const listed = await run([
      "list",
      "--user",
      "alice",
      "--filter",
      '{"metadata":{"topic":"food"}}',
      "-o",
      "json",
    ]);
    expect(at(listed.stdout, "count")).toBe(1);
    expect((await run(["get", id])).stdout).toContain("Likes jasmine tea");
    const all = await run(["list", "-o", "json"]);
    expect([all.exit, Number(at(all.stdout, "count")) >= 2]).toEqual([0, true]);
  });

  it("is updated, and its history keeps the old text", async () => {
    const { exit, stdout } = await run(["update", id, "--text", "Prefers green tea", "-o", "json"]);
    expect(exit).toBe(0);
    expect(at(stdout, "memory")).toBe("Prefers green tea");
    const history = await run(["history", id]);
    expect(history.stdout).toContain("Likes jasmine tea");
    expect(history.stdout).toContain("Prefers green tea");
  });

  it("is updated on a condition, and not once it has changed", async () => {
    const hash = String(at((await run(["get", id, "-o", "json"])).stdout, "hash"));
    expect((await run(["get", id])).stdout).toContain(hash);
    expect((await run(["update", id, "--text", "White tea", "--if-hash", hash])).exit).toBe(0);
    const late = await run(["update", id, "--text", "Black tea", "--if-hash", hash]);
    expect(late.exit).toBe(6);
    expect(late.stderr).toContain("error[memory-changed]");
    expect((await run(["update", id, "--text", "Tea", "--if-hash", "abc"])).exit).toBe(2);
  });

  it("is read at the level that is asked for, and told which levels there are", async () => {
    expect((await run(["get", id, "--consistency", "stale", "--max-staleness", "2s"])).exit).toBe(0);
    expect((await run(["update", id, "--text", "Tea", "--consistency", "quorum"])).exit).toBe(0);
    const codes = async (...argv: readonly string[]): Promise<unknown[]> => {
      const { exit, stdout, stderr } = await run(argv);
      return [exit, stdout, /^error\[([a-z-]+)\]/.exec(stderr)?.[1]];
    };
    expect(await codes("get", id, "--consistency", "one")).toEqual([2, "", "consistency-not-in-protocol"]);
    expect(await codes("get", id, "--max-staleness", "2s")).toEqual([2, "", "staleness-without-stale"]);
    expect(await codes("get", id, "--consistency", "eventual")).toEqual([2, "", "invalid-argument"]);
    expect(await codes("add", "x", "--user", "alice", "--consistency", "all")).toEqual([
      2,
      "",
      "consistency-not-in-protocol",
    ]);
  });

  it("cannot move the cursor of whoever lists it", async () => {
    await run(["add", "evil \u001b[2Jtext\u202e", "--user", "mallory"]);
    const { stdout } = await run(["list", "--user", "mallory"], { terminal: true, env: { NO_COLOR: "1" } });
    expect(stdout).toContain("evil");
    expect(stdout).not.toContain("\u001b");
    expect(stdout).not.toContain("\u202e");
  });

  it("is deleted by its id without a question, and is then unknown: exit 1", async () => {
    expect((await run(["delete", id])).exit).toBe(0);
    const { exit, stderr } = await run(["get", id]);
    expect(exit).toBe(1);
    expect(stderr).toContain("error[");
  });

  it("is refused with the name of the field that is wrong: exit 2", async () => {
    const { exit, stderr } = await run(["add", "", "--user", "alice"]);
    expect(exit).toBe(2);
    expect(stderr).toMatch(/text|messages|memory/);
  });
});

describe("all memories of a scope", () => {
  it("are deleted with --yes, and those of others stay", async () => {
    for (const user of ["carol", "carol", "dave"]) await run(["add", `about ${user}`, "--user", user]);
    const { exit, stdout } = await run(["delete", "--all", "--user", "carol", "--yes", "-o", "json"]);
    expect(exit).toBe(0);
    expect(at(stdout, "deleted")).toBe(2);
    expect(at((await run(["list", "--user", "dave", "-o", "json"])).stdout, "count")).toBe(1);
  });

  it("are not deleted by a scope without --all", async () => {
    const { exit, stderr } = await run(["delete", "--user", "dave", "--yes"]);
    expect(exit).toBe(2);
    expect(stderr).toContain("--all");
  });
});

describe("import and export", () => {
  const record = (id: string, memory: string): string =>
    JSON.stringify({
      id,
      memory,
      user_id: "erin",
      metadata: { line: id },
      created_at: "2025-05-01T10:00:00.000Z",
      updated_at: "2025-05-01T10:00:00.000Z",
    });

  it("imports JSON Lines from a file and from standard input", async () => {
    writeFileSync(join(cluster.cwd, "in.jsonl"), `${record("e-1", "one")}\n\n${record("e-2", "two")}\n`);
    const file = await run(["import", "in.jsonl", "-o", "json"]);
    expect(file.exit).toBe(0);
    expect(at(file.stdout, "imported")).toBe(2);
    const stdin = await run(["import", "-"], { stdin: record("e-3", "three") });
    expect(stdin.exit).toBe(0);
    expect(stdin.stdout).toContain("imported 1 of 1");
  });

  it("imports lines that say no more than what is remembered of whom, however often it is told to", async () => {
    const said = ["Has a cat", "Has a dog"].map((memory) => JSON.stringify({ memory, user_id: "frank" }));
    for (const round of [1, 2]) {
      const { exit, stderr } = await run(["import", "-"], { stdin: `${said.join("\n")}\n` });
      expect({ round, exit, stderr }).toEqual({
        round,
        exit: 0,
        stderr: expect.not.stringContaining("error"),
      });
      expect(at((await run(["list", "--user", "frank", "-o", "json"])).stdout, "count")).toBe(2);
    }
    const found = await run(["search", "cat", "--user", "frank"]);
    expect(found.stdout).toContain("Has a cat");
    const { exit, stderr } = await run(["import", "-"], { stdin: `${said[0]}\n{"memory":"Has nobody"}\n` });
    expect(exit).toBe(2);
    expect(stderr).toContain("line 2 cannot be imported: user_id: a memory needs at least one of user_id");
  });

  it("stops at a bad line, says what was imported and how to go on: exit 2", async () => {
    const { exit, stdout, stderr } = await run(["import", "-"], {
      stdin: `${record("f-1", "one")}\n{"id":"f-2"}\n${record("f-3", "three")}\n`,
    });
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: "" });
    expect(stderr).toContain("line 2");
    expect(stderr).toContain("--from-line 2");
  });

  it("leaves bad lines out with --skip-invalid and names them", async () => {
    const { exit, stdout } = await run(["import", "-", "--skip-invalid"], {
      stdin: `${record("g-1", "one")}\nnot json\n${record("g-3", "three")}\n`,
    });
    expect(exit).toBe(0);
    expect(stdout).toContain("line 2");
  });

  it("takes no line that is not UTF-8, or without end, for another text: it is named as any bad line", async () => {
    const latin = Buffer.from(`${record("h-2", "caf\u00e9")}\n`, "latin1");
    const endless = Buffer.alloc(17 << 20, "x");
    for (const [bad, why] of [
      [latin, "line 2 cannot be imported: it is not UTF-8"],
      [endless, "line 2 cannot be imported: it is longer than the limit of 8 MiB"],
    ] as const) {
      const lines = [
        Buffer.from(`\ufeff${record("h-1", "one")}\r\n`),
        bad,
        Buffer.from("\n"),
        Buffer.from(record("h-3", "\u00e9")),
      ];
      writeFileSync(join(cluster.cwd, "bad.jsonl"), Buffer.concat(lines));
      const { exit, stderr } = await run(["import", "bad.jsonl"]);
      expect(exit).toBe(2);
      expect(stderr).toContain(why);
      expect(stderr).toContain("every line before 2 was imported, 1 memory in all");
      const skipping = await run(["import", "bad.jsonl", "--skip-invalid", "-o", "json"]);
      expect(at(skipping.stdout, "imported")).toBe(2);
      expect(at(skipping.stdout, "skipped")).toBe(1);
    }
    const added = await run(["add", "-", "--user", "erin"], { stdin: Buffer.from("caf\u00e9", "latin1") });
    expect(added.exit).toBe(2);
    expect(added.stderr).toContain("error[text-unreadable]: what came on standard input is not UTF-8");
  });

  it("says when there is no file", async () => {
    const { exit, stderr } = await run(["import", "nowhere.jsonl"]);
    expect(exit).toBe(2);
    expect(stderr).toContain("nowhere.jsonl");
  });

  it("exports the same lines to stdout and to a file that is the owner's alone", async () => {
    const piped = await run(["export"]);
    expect(piped.exit).toBe(0);
    const lines = piped.stdout.trimEnd().split("\n");
    expect(lines.map((line) => at(line, "id"))).toContain("e-2");
    const named = await run(["export", "--out", "-"]);
    expect(named.stdout).toBe(piped.stdout);
    expect(existsSync(join(cluster.cwd, "-"))).toBe(false);
    const { exit, stderr } = await run(["export", "--out", "out.jsonl"]);
    expect(exit).toBe(0);
    expect(stderr).toContain(`exported ${lines.length} memories`);
    const path = join(cluster.cwd, "out.jsonl");
    expect(readFileSync(path, "utf8")).toBe(piped.stdout);
    const { stdout } = await run(["export", "--out", "out2.jsonl", "-o", "json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      apiVersion: "mem0ctl/v1",
      kind: "ExportSummary",
      file: "out2.jsonl",
      memories: lines.length,
      expected: lines.length,
    });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it("replaces a file only with --force, and leaves no half of one", async () => {
    const path = join(cluster.cwd, "out.jsonl");
    const before = readFileSync(path, "utf8");
    await run(["add", "one more", "--user", "erin"]);
    expect((await run(["export", "--out", "out.jsonl"])).exit).toBe(2);
    expect(readFileSync(path, "utf8")).toBe(before);
    expect((await run(["export", "--out", "out.jsonl", "--force"])).exit).toBe(0);
    expect(readFileSync(path, "utf8")).not.toBe(before);
    expect(readdirSync(cluster.cwd).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("an interrupted export leaves nothing behind", async () => {
    const controller = new AbortController();
    controller.abort(130);
    const { exit } = await run(["export", "--out", "cut.jsonl"], { signal: controller.signal });
    expect(exit).toBe(130);
    expect(existsSync(join(cluster.cwd, "cut.jsonl"))).toBe(false);
    expect(readdirSync(cluster.cwd).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("exports nothing that a terminal would obey", async () => {
    const { stdout } = await run(["export"], { terminal: true });
    expect(stdout).toContain("\\u202e");
    expect(stdout).not.toContain("\u001b");
    expect(stdout).not.toContain("\u202e");
  });
});
