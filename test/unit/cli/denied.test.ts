// A token that is missing, unknown or too small: every command that talks to nodes says so and exits with 7,
// which a script can tell from a cluster that is down.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { TOKEN_DIGESTS, TOKENS } from "../http/support/running-server.ts";
import { visibleCluster } from "./support/cluster.ts";
import type { VisibleCluster } from "./support/cluster.ts";
import { at, mem0ctl } from "./support/program.ts";
import type { Outcome } from "./support/program.ts";

const UNKNOWN = "unknown-token-0123456789abcdef0123456789abcdef";

const RECORD = {
  id: "m1",
  memory: "likes tea",
  user_id: "ada",
  created_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
};

let cluster: VisibleCluster;
beforeAll(async () => {
  cluster = await visibleCluster(TOKEN_DIGESTS);
  writeFileSync(join(cluster.cwd, "one.jsonl"), `${JSON.stringify(RECORD)}\n`);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const run = (token: string | undefined, line: string): Promise<Outcome> => {
  vi.stubEnv("MEM0CTL_TOKEN", token);
  return mem0ctl(line.split(" "), { cwd: cluster.cwd });
};

const LOOKING = [
  "status",
  "status --watch",
  "wait --for healthy",
  "nodes list",
  "shards map",
  "shards list",
  "shards locate ada",
  "replicas lag",
  "leader show",
  "memories list --user ada",
  "memories search tea --user ada",
  "memories stats",
  "memories export",
];
const CHANGING = ["memories add tea --user ada", "memories import one.jsonl", "memories delete m1 --yes"];
const ADMINISTERING = ["leader transfer 0 --to node-2"];

describe("a token that no node knows", () => {
  it.each([...LOOKING, ...CHANGING, ...ADMINISTERING, "up"])("%s exits 7", async (line) => {
    const { exit, stdout, stderr } = await run(UNKNOWN, line);
    expect({ exit, stdout }).toEqual({ exit: 7, stdout: "" });
    expect(stderr).toContain("error[unauthenticated]");
    expect(stderr).toContain("MEM0CTL_TOKEN");
    expect(stderr).not.toContain(UNKNOWN);
  });

  it("is one JSON document on stderr with -o json", async () => {
    const { exit, stdout, stderr } = await run(UNKNOWN, "status -o json");
    expect({ exit, stdout }).toEqual({ exit: 7, stdout: "" });
    expect(at(stderr, "error", "kind")).toBe("denied");
  });
});

describe.each(["two\nlines", "пароль"])("a token that no header can carry: %j", (token) => {
  it.each([...LOOKING, ...CHANGING, ...ADMINISTERING])("is named as such by %s", async (line) => {
    const { exit, stderr } = await run(token, line);
    expect(exit).toBe(2);
    expect(stderr).toContain("error[secret-unusable]");
    expect(stderr).toContain("MEM0CTL_TOKEN");
    expect(stderr).not.toContain(token);
  });
});

it.each(LOOKING)("no token: %s exits 7", async (line) => {
  expect((await run(undefined, line)).exit).toBe(7);
});

it.each(CHANGING)("a token that may only read: %s exits 7", async (line) => {
  const { exit, stderr } = await run(TOKENS.read, line);
  expect(exit).toBe(7);
  expect(stderr).toContain("error[role-too-small]");
});

it.each(ADMINISTERING)("a token that may only write: %s exits 7", async (line) => {
  const { exit, stderr } = await run(TOKENS.write, line);
  expect(exit).toBe(7);
  expect(stderr).toContain("error[role-too-small]");
});

it("the right token opens the same commands", async () => {
  expect((await run(TOKENS.read, "status")).exit).toBe(0);
  expect((await run(TOKENS.write, "memories add tea --user ada")).exit).toBe(0);
});
