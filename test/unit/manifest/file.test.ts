// Reading manifests from disk: files that are none, and the files that a manifest refers to.

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { loadManifest } from "../../../src/manifest/file.ts";
import { selfSigned } from "./certificate.ts";

// The promised limit.
const MANIFEST_BYTES_MAX = 1024 * 1024;

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "mem0ctl-manifest-"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true });
});

async function put(name: string, content: string | Uint8Array, mode = 0o600): Promise<string> {
  const file = join(dir, name);
  await writeFile(file, content);
  await chmod(file, mode);
  return file;
}

const NODE = `apiVersion: mem0ctl/v1
kind: Cluster
metadata: { name: demo }
spec:
  nodes: [{ id: a, address: "127.0.0.1:7001" }]
  replication: { strategy: none }
`;

describe("a manifest that cannot be read", () => {
  it("is missing: says so and how to make one", async () => {
    expect((await loadManifest(join(dir, "cluster.yaml"))).findings).toMatchObject([
      {
        code: "manifest-not-found",
        hint: expect.stringContaining("mem0ctl init cluster"),
      },
    ]);
  });

  it("is a directory", async () => {
    expect((await loadManifest(dir)).findings).toMatchObject([{ code: "not-a-regular-file" }]);
  });

  it.skipIf(process.platform === "win32")("is a FIFO that nobody writes to: does not wait", async () => {
    const fifo = join(dir, "fifo");
    execFileSync("sh", ["-c", 'mkfifo "$1"', "sh", fifo]);
    expect((await loadManifest(fifo)).findings).toMatchObject([{ code: "not-a-regular-file" }]);
  });

  it.skipIf(process.platform === "win32")("is a socket", async () => {
    const socket = join(dir, "socket");
    const server = createServer().listen(socket);
    await once(server, "listening");
    expect((await loadManifest(socket)).findings).toMatchObject([{ code: "not-a-regular-file" }]);
    server.close();
    await once(server, "close");
  });

  it.skipIf(process.platform === "win32")("is a device", async () => {
    expect((await loadManifest("/dev/zero")).findings).toMatchObject([{ code: "not-a-regular-file" }]);
  });

  it("is empty", async () => {
    expect((await loadManifest(await put("a.yaml", ""))).findings).toMatchObject([
      { code: "manifest-empty" },
    ]);
  });

  it("is larger than 1 MiB: names the limit", async () => {
    const file = await put("a.yaml", `# ${"x".repeat(MANIFEST_BYTES_MAX)}`);
    expect((await loadManifest(file)).findings).toMatchObject([
      {
        code: "manifest-too-large",
        message: expect.stringContaining("1 MiB"),
      },
    ]);
  });

  it("is exactly 1 MiB, which is allowed", async () => {
    const text = `${NODE}#${" ".repeat(MANIFEST_BYTES_MAX - NODE.length - 1)}`;
    const { manifest, findings } = await loadManifest(await put("a.yaml", text));
    expect(findings).toEqual([]);
    expect(manifest?.name).toBe("demo");
  });

  it.each([
    ["a lone continuation byte", [0x61, 0x80, 0x62], 1],
    ["a sequence cut off by a letter", [0x61, 0x62, 0xe2, 0x82, 0x63], 2],
    ["a sequence cut off by the end", [0x61, 0xf0, 0x9f, 0x98], 1],
    ["a surrogate in UTF-8", [0xed, 0xa0, 0x80], 0],
    ["UTF-16", [0xff, 0xfe, 0x61, 0x00], 0],
    ["an overlong slash after a good character", [0xc3, 0xa9, 0xc0, 0xaf], 2],
  ])("is not UTF-8 (%s): names the byte", async (_, bytes, offset) => {
    const far = 10_000;
    const buffer = Buffer.concat([Buffer.alloc(far, "a"), Buffer.from(bytes)]);
    expect((await loadManifest(await put("a.yaml", buffer))).findings).toMatchObject([
      {
        code: "not-utf8",
        message: expect.stringMatching(new RegExp(`\\b${far + offset}\\b`)),
      },
    ]);
  });

  it("holds NUL", async () => {
    expect((await loadManifest(await put("a.yaml", "a\0b"))).findings).toMatchObject([
      {
        code: "nul-character",
        message: expect.stringMatching(/\b1\b/),
      },
    ]);
  });

  it("becomes a finding, so that validate can print it like any other", async () => {
    const file = join(dir, "cluster.yaml");
    const { findings, manifest, text } = await loadManifest(file);
    expect({ manifest, text }).toEqual({ manifest: undefined, text: "" });
    expect(findings).toMatchObject([
      { code: "manifest-not-found", severity: "error", path: "", line: 0, column: 0 },
    ]);
    expect(findings[0]?.message).toContain(file);
  });
});

it("resolves relative paths from the manifest's folder", async () => {
  const { manifest } = await loadManifest(await put("cluster.yaml", `${NODE}  dataDir: data\n`));
  expect(manifest?.dataDir).toBe(join(dir, "data"));
  expect(manifest?.nodes[0]?.dataDir).toBe(join(dir, "data", "a"));
});

it("refuses a data directory that is a symbolic link", async () => {
  await mkdir(join(dir, "real"));
  await symlink(join(dir, "real"), join(dir, "data"));
  const { findings, manifest } = await loadManifest(await put("cluster.yaml", `${NODE}  dataDir: data\n`));
  expect(findings).toMatchObject([{ code: "unsafe-path", path: "spec.dataDir", line: 7, column: 12 }]);
  expect(manifest).toBeUndefined();
});

it("refuses a node's data directory that is a symbolic link", async () => {
  await mkdir(join(dir, "data"));
  await mkdir(join(dir, "real"));
  await symlink(join(dir, "real"), join(dir, "data", "a"));
  const { findings } = await loadManifest(await put("cluster.yaml", `${NODE}  dataDir: data\n`));
  expect(findings).toMatchObject([{ code: "unsafe-path", path: "spec.nodes[0].dataDir" }]);
});

describe("secrets that a manifest refers to", () => {
  const withToken = (source: string): string =>
    `${NODE}  security:\n    tokens:\n      - { name: ops, role: admin, ${source} }\n`;

  it("are named, never shown, when the variable is not set", async () => {
    vi.stubEnv("MEM0CTL_TEST_TOKEN", undefined);
    const file = await put("cluster.yaml", withToken("env: MEM0CTL_TEST_TOKEN"));
    const { findings, manifest } = await loadManifest(file);
    expect(findings).toMatchObject([
      { code: "secret-unset", severity: "error", path: "spec.security.tokens[0].env", line: 9 },
    ]);
    expect(findings[0]?.message).toContain("MEM0CTL_TEST_TOKEN");
    expect(manifest).toBeUndefined();
  });

  it("are warnings for whoever only looks at a running cluster", async () => {
    vi.stubEnv("MEM0CTL_TEST_TOKEN", undefined);
    const file = await put("cluster.yaml", withToken("env: MEM0CTL_TEST_TOKEN"));
    const { findings, manifest } = await loadManifest(file, { files: "warnings" });
    expect(findings).toMatchObject([{ code: "secret-unset", severity: "warning" }]);
    expect(manifest?.name).toBe("demo");
  });

  it("are found missing, empty, and open to other users", async () => {
    await put("empty", "\n");
    await put("open", "top-secret\n", 0o644);
    const cluster = async (source: string): Promise<unknown> =>
      (await loadManifest(await put("cluster.yaml", withToken(source)))).findings;
    expect(await cluster("file: missing")).toMatchObject([{ code: "secret-unreadable" }]);
    expect(await cluster("file: empty")).toMatchObject([{ code: "secret-empty" }]);
    const open = await cluster("file: open");
    expect(open).toMatchObject([{ code: "secret-file-open", severity: "warning" }]);
    expect(JSON.stringify(open)).not.toContain("top-secret");
  });

  it("are left alone when they are in order", async () => {
    await put("token", "top-secret\n");
    const { findings } = await loadManifest(await put("cluster.yaml", withToken("file: token")));
    expect(findings).toEqual([]);
  });
});

describe("TLS files that a manifest refers to", () => {
  const WITH_TLS = `${NODE}  security: { tls: { cert: "{node}.pem", key: "{node}.key", ca: ca.pem } }\n`;
  const now = Date.now();
  const valid = { from: new Date(now - 86_400_000), to: new Date(now + 86_400_000) };

  it("are found to be expired: which file, which date", async () => {
    const expired = { from: new Date("2020-01-01T00:00:00Z"), to: new Date("2021-02-03T04:05:06Z") };
    const pair = selfSigned(expired);
    await put("a.pem", pair.cert);
    await put("a.key", pair.key);
    await put("ca.pem", selfSigned(valid).cert);
    const { findings } = await loadManifest(await put("cluster.yaml", WITH_TLS));
    expect(findings).toMatchObject([{ code: "tls-expired", path: "spec.security.tls", line: 7 }]);
    expect(findings[0]?.message).toContain(join(dir, "a.pem"));
    expect(findings[0]?.message).toContain("2021-02-03T04:05:06");
  });

  it("are found not to belong together: which files", async () => {
    await put("a.pem", selfSigned(valid).cert);
    await put("a.key", selfSigned(valid).key);
    await put("ca.pem", selfSigned(valid).cert);
    const { findings } = await loadManifest(await put("cluster.yaml", WITH_TLS));
    expect(findings).toMatchObject([{ code: "tls-key-mismatch" }]);
    expect(findings[0]?.message).toContain(join(dir, "a.pem"));
    expect(findings[0]?.message).toContain(join(dir, "a.key"));
  });

  it("are all named when they are missing or no PEM", async () => {
    await put("a.pem", "not a certificate");
    const { findings } = await loadManifest(await put("cluster.yaml", WITH_TLS));
    expect(findings.map(({ code }) => code)).toEqual(["tls-invalid", "tls-unreadable", "tls-unreadable"]);
  });

  it("are left alone when they are in order", async () => {
    const pair = selfSigned(valid);
    await put("a.pem", pair.cert);
    await put("a.key", pair.key);
    await put("ca.pem", pair.cert);
    expect((await loadManifest(await put("cluster.yaml", WITH_TLS))).findings).toEqual([]);
  });
});
