// Secrets are read where they are referred to, and nothing that goes wrong shows one.

import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { clusterManifest, none } from "../../../src/manifest/builder.ts";
import { checkTls, resolveSecret, resolveTokens, tlsOfNode } from "../../../src/manifest/secrets.ts";
import { selfSigned } from "./certificate.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "mem0ctl-secrets-"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true });
});

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

const base = clusterManifest("demo").withNode({ id: "a", address: "127.0.0.1:7001" }).withReplication(none());

describe("a secret", () => {
  it("comes from a file without its last line break", async () => {
    const file = join(dir, "token");
    await writeFile(file, "abc\r\n");
    expect(await resolveSecret({ file }, "the token")).toBe("abc");
  });

  it("comes from the environment", async () => {
    vi.stubEnv("MEM0CTL_TEST_SECRET", "abc");
    expect(await resolveSecret({ env: "MEM0CTL_TEST_SECRET" }, "the token")).toBe("abc");
  });

  it.each([
    ["two lines", "secret-unusable", "hidden-one\nhidden-two\n"],
    ["nothing", "secret-empty", ""],
    ["too much", "secret-too-large", "hidden".repeat(20_000)],
  ])("is refused when its file holds %s, without showing it", async (_, code, content) => {
    const file = join(dir, "token");
    await writeFile(file, content);
    const error: unknown = await resolveSecret({ file }, "the token ops").catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code, kind: "invalid", message: expect.stringContaining(file) });
    expect(JSON.stringify(error)).not.toContain("hidden");
  });

  it("is refused when its variable is not set: names it", async () => {
    vi.stubEnv("MEM0CTL_TEST_SECRET", undefined);
    await expect(resolveSecret({ env: "MEM0CTL_TEST_SECRET" }, "the token ops")).rejects.toMatchObject({
      code: "secret-unset",
      message: expect.stringContaining("MEM0CTL_TEST_SECRET"),
    });
  });
});

describe("the tokens of a manifest", () => {
  it("are hashed for checking; one admin token is kept as itself", async () => {
    vi.stubEnv("MEM0CTL_TEST_ADMIN", "admin-token");
    vi.stubEnv("MEM0CTL_TEST_READ", "read-token");
    const manifest = base
      .withToken({ name: "reader", role: "read", env: "MEM0CTL_TEST_READ" })
      .withToken({ name: "hashed", role: "admin", sha256: sha256("other") })
      .withToken({ name: "nodes", role: "admin", env: "MEM0CTL_TEST_ADMIN" })
      .build({ baseDir: dir });
    expect(await resolveTokens(manifest)).toEqual({
      adminToken: "admin-token",
      tokens: [
        { name: "reader", role: "read", sha256: sha256("read-token") },
        { name: "hashed", role: "admin", sha256: sha256("other") },
        { name: "nodes", role: "admin", sha256: sha256("admin-token") },
      ],
    });
  });

  it("are none when the manifest has none", async () => {
    expect(await resolveTokens(base.build())).toEqual({ tokens: [], adminToken: undefined });
  });
});

describe("TLS files", () => {
  it("are each node's own where the path says {node}", () => {
    const manifest = base.withTls({ cert: "tls/{node}.pem", key: "tls/{node}.key", ca: "ca.pem" });
    expect(tlsOfNode(manifest.build({ baseDir: "/srv" }), "node-7")).toEqual({
      cert: "/srv/tls/node-7.pem",
      key: "/srv/tls/node-7.key",
      ca: "/srv/ca.pem",
    });
    expect(tlsOfNode(base.build(), "node-7")).toBeUndefined();
  });

  it("are refused before they are valid and after, and accepted between", async () => {
    const from = new Date("2030-01-01T00:00:00Z");
    const to = new Date("2031-01-01T00:00:00Z");
    const pair = selfSigned({ from, to });
    const tls = { cert: join(dir, "c.pem"), key: join(dir, "k.pem"), ca: join(dir, "c.pem") };
    await writeFile(tls.cert, pair.cert);
    await writeFile(tls.key, pair.key);
    await expect(checkTls(tls, from.getTime() - 1)).rejects.toMatchObject({
      code: "tls-not-yet-valid",
      message: expect.stringContaining("2030-01-01T00:00:00"),
    });
    await expect(checkTls(tls, from.getTime())).resolves.toBeUndefined();
    await expect(checkTls(tls, to.getTime() + 1)).rejects.toMatchObject({ code: "tls-expired" });
  });
});
