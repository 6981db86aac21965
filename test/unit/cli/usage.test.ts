// What the command line itself promises: help, mistakes that are explained, and where things are printed.

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { VERSION } from "../../../src/model/version.ts";
import { commandTree } from "../../../src/cli/program.ts";
import { at, mem0ctl, temporaryDirectory } from "./support/program.ts";

const root = join(import.meta.dirname, "../../..");

describe("the version", () => {
  it("is the one of package.json", async () => {
    expect(VERSION).toBe(at(readFileSync(join(root, "package.json"), "utf8"), "version"));
    expect(await mem0ctl(["--version"])).toEqual({ exit: 0, stdout: `${VERSION}\n`, stderr: "" });
    expect((await mem0ctl(["-V"])).stdout).toBe(`${VERSION}\n`);
    expect((await mem0ctl(["-o", "json", "--version"])).stdout).toBe(`${VERSION}\n`);
  });
});

describe("help", () => {
  it("of restart promises a quorum only where there is one without a node", async () => {
    const { stdout } = await mem0ctl(["restart", "--help"]);
    const words = stdout.replaceAll(/\s+/g, " ");
    expect(words).not.toContain("keeping every shard's quorum");
    expect(words).toContain("with one copy, or with two and no arbiter, it answers nothing meanwhile");
  });

  it("goes to stdout with exit 0, and fits 80 columns, for every command", async () => {
    const paths: string[][] = [];
    const walk = (command: Awaited<ReturnType<typeof commandTree>>, path: string[]): void => {
      paths.push(path);
      for (const child of command.commands) walk(child, [...path, child.name()]);
    };
    walk(await commandTree(), []);
    expect(paths.length).toBeGreaterThan(30);
    for (const path of paths) {
      const { exit, stdout, stderr } = await mem0ctl([...path, "--help"]);
      expect({ path, exit, stderr }).toEqual({ path, exit: 0, stderr: "" });
      expect(stdout).toContain(`Usage: ${["mem0ctl", ...path].join(" ")}`);
      // An example is a line to be copied: it is not broken, so it may be longer.
      const [before = "", after = ""] = stdout.split("Examples:");
      const prose = [...before.split("\n"), ...after.split("\n").filter((line) => !line.startsWith("  "))];
      for (const line of prose) expect(line.length, `${path.join(" ")}: ${line}`).toBeLessThanOrEqual(80);
    }
  });

  it("has examples for every command that does something", async () => {
    const missing: string[] = [];
    const walk = async (command: Awaited<ReturnType<typeof commandTree>>, path: string[]): Promise<void> => {
      if (command.commands.length === 0) {
        const { stdout } = await mem0ctl([...path, "--help"]);
        if (!stdout.includes("Examples:\n  ")) missing.push(path.join(" "));
      }
      for (const child of command.commands) await walk(child, [...path, child.name()]);
    };
    await walk(await commandTree(), []);
    expect(missing).toEqual([]);
  });
});

describe("a mistake on the line is explained on stderr, with exit 2", () => {
  const mistakes: readonly (readonly [what: string, argv: string[], code: string, says: string])[] = [
    ["an unknown command", ["stauts"], "unknown-command", "did you mean status?"],
    ["an unknown subcommand", ["nodes", "lsit"], "unknown-command", "did you mean list?"],
    ["an unknown flag", ["status", "--wtach"], "unknown-option", "did you mean --watch?"],
    ["an unknown global flag", ["--outptu", "json", "status"], "unknown-option", "did you mean --output?"],
    ["a missing argument", ["shards", "locate"], "missing-argument", "`key`"],
    ["too many arguments", ["status", "now"], "excess-arguments", "too many arguments"],
    ["a flag without its value", ["status", "-f"], "option-missing-argument", "argument missing"],
    ["a value that is not offered", ["status", "-o", "xml"], "invalid-argument", "table, wide, json, yaml"],
    ["a duration without unit", ["wait", "--timeout", "10"], "invalid-argument", "a number and its unit"],
    ["a negative duration", ["wait", "--timeout", "-5s"], "invalid-argument", "not negative"],
    ["a duration above a day", ["wait", "--timeout", "48h"], "invalid-argument", "at most 24h"],
    ["a search without a scope", ["memories", "search", "tea"], "scope-missing", "--user"],
    ["a number out of range", ["memories", "search", "tea", "-k", "0"], "invalid-argument", "from 1 to 1000"],
    [
      "an id and a scope at once",
      ["memories", "delete", "m-1", "--user", "a"],
      "conflicting-option",
      "exclude",
    ],
    [
      "two names for one file",
      ["init", "cluster", "--out", "a", "-f", "b"],
      "conflicting-option",
      "different",
    ],
    ["nothing to change", ["memories", "update", "m-1"], "nothing-to-change", "--text or --metadata"],
    [
      "a filter that is no JSON",
      ["memories", "list", "--filter", "x"],
      "invalid-argument",
      '{"metadata":{"topic":"food"}}',
    ],
    [
      "a weight of nothing",
      ["nodes", "add", "node-4", "--address", "127.0.0.1:9", "--weight", "0"],
      "invalid-argument",
      "above 0",
    ],
    ["a memory of nobody", ["memories", "add", "tea"], "scope-missing", "--user"],
  ];
  for (const [what, argv, code, says] of mistakes) {
    it(`${what}: ${code}`, async () => {
      const { exit, stdout, stderr } = await mem0ctl(argv);
      expect({ exit, stdout }).toEqual({ exit: 2, stdout: "" });
      expect(stderr).toContain(`error[${code}]`);
      expect(stderr).toContain(says);
      expect(stderr).toContain("Usage: mem0ctl");
      expect(stderr).not.toContain("    at ");
    });
  }

  it("a group without a command shows what there is", async () => {
    const { exit, stdout, stderr } = await mem0ctl(["shards"]);
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: "" });
    expect(stderr).toContain("locate <key>");
  });

  it("as one JSON document with -o json", async () => {
    const { exit, stdout, stderr } = await mem0ctl(["status", "--wtach", "-o", "json"]);
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: "" });
    expect(at(stderr, "error", "code")).toBe("unknown-option");
    expect(at(stderr, "error", "kind")).toBe("invalid");
  });
});

describe("an error", () => {
  it("of the operating system is not called a fault in mem0ctl, and names what was asked for", async () => {
    const cwd = temporaryDirectory();
    await mem0ctl(["init", "cluster", "--name", "odd"], { cwd });
    mkdirSync(join(cwd, ".mem0ctl/odd/node-1/node.pid"), { recursive: true });
    const { exit, stderr } = await mem0ctl(["down"], { cwd });
    expect(exit).toBe(1);
    expect(stderr).toContain("error[system-refused]");
    expect(stderr).toContain(join(cwd, ".mem0ctl/odd/node-1/node.pid"));
    expect(stderr).not.toContain("fault");
  });

  it("has a stack with -v, and none without", async () => {
    const cwd = temporaryDirectory();
    const quiet = await mem0ctl(["status"], { cwd });
    const verbose = await mem0ctl(["status", "-v"], { cwd });
    expect(quiet.stderr).not.toContain("    at ");
    expect(verbose.stderr).toContain("    at ");
  });

  it("about a manifest that is not there says how to make one, and exits 2", async () => {
    const { exit, stdout, stderr } = await mem0ctl(["up"], { cwd: temporaryDirectory() });
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: "" });
    expect(stderr).toContain("mem0ctl init cluster");
  });
});

describe("a destructive command", () => {
  it("is refused without a terminal and without --yes, before anything is asked of the cluster", async () => {
    const { exit, stdout, stderr } = await mem0ctl(["memories", "delete", "--all", "--user", "alice"], {
      cwd: temporaryDirectory(),
    });
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: "" });
    expect(stderr).toContain("error[confirmation-needed]");
    expect(stderr).toContain('user "alice"');
    expect(stderr).toContain("--yes");
  });

  it("is refused with --no-input even on a terminal", async () => {
    const argv = ["memories", "delete", "--all", "--user", "alice", "--no-input"];
    const { exit, stderr } = await mem0ctl(argv, { cwd: temporaryDirectory(), terminal: true });
    expect(exit).toBe(2);
    expect(stderr).toContain("--no-input forbids asking");
  });
});
