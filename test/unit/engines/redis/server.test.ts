// The configuration that a server is started with.
import { expect, it } from "vitest";
import { configLines, takenPort } from "../../../../src/engines/redis/server.ts";
import { parseManifest } from "../../../../src/manifest/parse.ts";
import type { Manifest } from "../../../../src/model/manifest.ts";

function manifestWith(security: string, node = '{ id: node-1, address: "127.0.0.1:7001" }'): Manifest {
  const text = `apiVersion: mem0ctl/v1\nkind: Cluster\nmetadata: { name: demo }\nspec:\n  engine: redis\n  replication: { strategy: none }\n  nodes:\n    - ${node}\n${security}`;
  const { manifest, findings } = parseManifest(text, { file: "cluster.yaml", baseDir: "/srv" });
  if (manifest === undefined) throw new Error(JSON.stringify(findings));
  return manifest;
}

function configOf(manifest: Manifest, password?: string): ReadonlyMap<string, readonly string[]> {
  const [spec] = manifest.nodes;
  if (spec === undefined) throw new Error("no node");
  return new Map(configLines(spec, manifest, password).map(([name = "", ...rest]) => [name, rest]));
}

it("binds to the node's own address, keeps every write in a file, and leaves placement to mem0ctl", () => {
  const config = configOf(manifestWith(""));
  expect(config.get("bind")).toEqual(["127.0.0.1"]);
  expect(config.get("port")).toEqual(["7001"]);
  expect(config.get("cluster-port")).toEqual(["17001"]);
  expect(config.get("dir")).toEqual(["/srv/.mem0ctl/demo/node-1"]);
  expect(config.get("appendonly")).toEqual(["yes"]);
  expect(config.get("cluster-allow-replica-migration")).toEqual(["no"]);
  expect(config.has("requirepass")).toBe(false);
});

it("a password is the default user's; with a user, the default one is off", () => {
  const plain = configOf(manifestWith("  security: { password: { env: P } }\n"), "s3cret");
  expect([plain.get("requirepass"), plain.get("masterauth")]).toEqual([["s3cret"], ["s3cret"]]);
  const manifest = manifestWith("  security: { user: app, password: { env: P } }\n");
  const [spec] = manifest.nodes;
  if (spec === undefined) throw new Error("no node");
  const lines = configLines(spec, manifest, "s3cret");
  expect(lines).toContainEqual(["user", "default", "off"]);
  expect(lines).toContainEqual(["user", "app", "on", ">s3cret", "~*", "&*", "+@all"]);
  expect(lines).toContainEqual(["masteruser", "app"]);
});

it("with TLS there is no plain port, and clients, replicas and the bus all need a certificate", () => {
  const config = configOf(manifestWith('  security: { tls: { cert: "{node}.pem", key: k, ca: c } }\n'));
  expect(config.get("port")).toEqual(["0"]);
  expect(config.get("tls-port")).toEqual(["7001"]);
  expect(config.get("tls-cert-file")).toEqual(["/srv/node-1.pem"]);
  expect([config.get("tls-auth-clients"), config.get("tls-replication"), config.get("tls-cluster")]).toEqual([
    ["yes"],
    ["yes"],
    ["yes"],
  ]);
});

it("a node that others reach elsewhere announces that address", () => {
  const config = configOf(
    manifestWith("", '{ id: node-1, address: "127.0.0.1:7001", listen: "127.0.0.1:9001" }'),
  );
  expect(config.get("port")).toEqual(["9001"]);
  expect(config.get("cluster-announce-port")).toEqual(["7001"]);
  expect(config.get("cluster-announce-bus-port")).toEqual(["17001"]);
});

it.each([
  ["Could not create server TCP listening socket 127.0.0.1:28258: bind: Address already in use", 28_258],
  ["Could not create server TCP listening socket ::1:17001: bind: Address already in use", 17_001],
  ["Could not create server TCP listening socket *:7001: bind: Address already in use", 7001],
  ["Failed listening on port 7001 (tcp), aborting. Address already in use", 7001],
  ["bind: Address already in use", undefined],
])("the port that is taken is read from: %s", (said, port) => {
  expect(takenPort(said)).toBe(port);
});
