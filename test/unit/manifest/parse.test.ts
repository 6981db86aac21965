// What a good manifest becomes, and what its settings mean.

import { describe, expect, it } from "vitest";
import { clusterManifest, hash, multiple, none, single } from "../../../src/manifest/builder.ts";
import type { NodeInput } from "../../../src/manifest/builder.ts";
import { meaningOf } from "../../../src/manifest/meaning.ts";
import { parseManifest } from "../../../src/manifest/parse.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";

const place = { file: "cluster.yaml", baseDir: "/srv/demo" };

describe("a manifest that says as little as possible", () => {
  const { manifest, findings } = parseManifest(
    `apiVersion: mem0ctl/v1
kind: Cluster
metadata: { name: demo }
spec:
  nodes:
    - { id: a, address: "127.0.0.1:7001" }
    - { id: b, address: "[::1]:7002", role: arbiter }
    - { id: c, address: "localhost:7003", zone: rack.1, weight: 0.5, manage: connect, dataDir: /var/lib/c }
`,
    place,
  );

  it("has every default", () => {
    expect(findings).toEqual([]);
    expect(manifest).toEqual({
      apiVersion: "mem0ctl/v1",
      kind: "Cluster",
      name: "demo",
      engine: "embedded",
      dataDir: "/srv/demo/.mem0ctl/demo",
      nodes: [
        {
          id: "a",
          address: "127.0.0.1:7001",
          host: "127.0.0.1",
          port: 7001,
          role: "primary",
          zone: "a",
          weight: 1,
          manage: "spawn",
          dataDir: "/srv/demo/.mem0ctl/demo/a",
        },
        {
          id: "b",
          address: "[::1]:7002",
          host: "::1",
          port: 7002,
          role: "arbiter",
          zone: "b",
          weight: 1,
          manage: "spawn",
          dataDir: "/srv/demo/.mem0ctl/demo/b",
        },
        {
          id: "c",
          address: "localhost:7003",
          host: "localhost",
          port: 7003,
          role: "primary",
          zone: "rack.1",
          weight: 0.5,
          manage: "connect",
          dataDir: "/var/lib/c",
        },
      ],
      replication: { strategy: "single", replicas: 1 },
      sharding: { strategy: "hash", shards: 16, key: "user", ranges: [], directory: {} },
      consensus: {
        protocol: "raft",
        heartbeatIntervalMs: 100,
        electionTimeoutMs: 1000,
        consistency: { read: "linearizable", write: "quorum" },
      },
      embedding: {
        provider: "lexical",
        dimensions: 384,
        url: undefined,
        model: undefined,
        apiKey: undefined,
      },
      limits: { maxLagMs: 5000, bodyBytesMax: 4 * 1024 * 1024, batchMax: 1000, connectionsMax: 1000 },
      security: { tokens: [], tls: undefined },
    });
  });
});

it("reads everything that can be said, with aliases and paths", () => {
  const { manifest, findings } = parseManifest(
    `apiVersion: mem0ctl/v1
kind: Cluster
metadata: { name: full }
spec:
  engine: embedded
  nodes:
    - { id: a, address: "192.0.2.1:7001", zone: &z east }
    - { id: b, address: "192.0.2.2:7001", zone: *z }
    - { id: c, address: "db-3.example.com:7001", zone: west, role: secondary }
    - { id: d, address: "192.0.2.4:7001", zone: north, role: arbiter }
  replication: { strategy: single }
  sharding: { strategy: directory, shards: 4, key: app, directory: { acme: 3, 7: 0 } }
  consensus: { heartbeatInterval: 0.2s, electionTimeout: 1s, consistency: { read: stale, maxStaleness: 2s } }
  embedding: { provider: openai, dimensions: 1536, url: "https://example.com/v1", model: m, apiKey: { file: keys/api } }
  limits: { maxLag: 2m, body: 1MiB, batch: 10, connections: 20 }
  security:
    tls: { cert: "tls/{node}.pem", key: "tls/{node}.key", ca: /etc/ca.pem }
    tokens: [{ name: ops, role: admin, file: keys/ops }, { name: r, role: read, sha256: ${"0f".repeat(32)} }]
`,
    place,
  );
  expect(findings).toEqual([]);
  expect(manifest).toMatchObject({
    nodes: [
      { manage: "connect", zone: "east" },
      { zone: "east" },
      { role: "secondary" },
      { role: "arbiter" },
    ],
    sharding: { shards: 4, key: "app", directory: { acme: "3", "7": "0" } },
    consensus: {
      heartbeatIntervalMs: 200,
      consistency: { read: "stale", write: "quorum", maxStalenessMs: 2000 },
    },
    embedding: { dimensions: 1536, apiKey: { file: "/srv/demo/keys/api" } },
    limits: { maxLagMs: 120_000, bodyBytesMax: 1_048_576, batchMax: 10, connectionsMax: 20 },
    security: {
      tls: { cert: "/srv/demo/tls/{node}.pem", ca: "/etc/ca.pem" },
      tokens: [
        { name: "ops", role: "admin", source: { file: "/srv/demo/keys/ops" } },
        { name: "r", role: "read", source: { sha256: "0f".repeat(32) } },
      ],
    },
  });
});

it("counts one shard more than split points", () => {
  const text = clusterManifest("demo")
    .withNode({ id: "a", address: "127.0.0.1:1" })
    .withReplication(none())
    .withSharding({ strategy: "range", ranges: ["g", "n", "t"] })
    .toYaml();
  const { manifest } = parseManifest(text, place);
  expect(manifest?.sharding).toMatchObject({ shards: 4, ranges: ["g", "n", "t"] });
});

function nodesIn(zones: readonly (string | undefined)[], arbiterZone?: string): NodeInput[] {
  const nodes: NodeInput[] = zones.map((zone, index) => ({
    id: `n${index}`,
    address: `127.0.0.1:${7001 + index}`,
    ...(zone === undefined ? {} : { zone }),
  }));
  return arbiterZone === undefined
    ? nodes
    : [...nodes, { id: "arb", address: "127.0.0.1:8000", role: "arbiter", zone: arbiterZone }];
}

describe("what the settings mean", () => {
  it.each([
    ["a b c", undefined, multiple(2), "3 copies, quorum 2, survives the loss of 1 node or 1 zone"],
    ["- - -", undefined, multiple(2), "3 copies, quorum 2, survives the loss of 1 node"],
    [
      "a a b",
      undefined,
      multiple(2),
      "3 copies, quorum 2, survives the loss of 1 node, but not of a whole zone",
    ],
    ["a b c d e", undefined, multiple(4), "5 copies, quorum 3, survives the loss of 2 nodes or 2 zones"],
    ["a a b b c", undefined, multiple(4), "5 copies, quorum 3, survives the loss of 2 nodes or 1 zone"],
    ["a b", undefined, single(), "2 copies, quorum 2, survives the loss of no node"],
    ["a b", "c", single(), "2 copies and an arbiter, quorum 2, survives the loss of 1 node or 1 zone"],
    [
      "a b",
      "a",
      single(),
      "2 copies and an arbiter, quorum 2, survives the loss of 1 node, but not of a whole zone",
    ],
    ["a b c", "d", multiple(2), "3 copies, quorum 2, survives the loss of 1 node or 1 zone"],
    ["a", undefined, none(), "1 copy, quorum 1, survives the loss of no node"],
  ] as const)("nodes in zones %s, arbiter in %s", (zones, arbiterZone, replication, sentence) => {
    const manifest = clusterManifest("demo")
      .withNodes(
        nodesIn(
          zones.split(" ").map((zone) => (zone === "-" ? undefined : zone)),
          arbiterZone,
        ),
      )
      .withReplication(replication)
      .build();
    expect(meaningOf(manifest).sentence).toBe(sentence);
  });

  it("never promises more zones than the shards' real placement survives", () => {
    const cases = ["a b c", "a a b", "a a b b c", "a a a b", "a b b c c c", "a b c d e"].flatMap((zones) =>
      [undefined, "a", "z"].flatMap((arbiter) =>
        [0, 1, 2, 3].map((replicas) => ({ zones, arbiter, replicas })),
      ),
    );
    for (const { zones, arbiter, replicas } of cases) {
      const builder = clusterManifest("demo")
        .withNodes(nodesIn(zones.split(" "), arbiter))
        .withReplication(replicas === 0 ? none() : multiple(replicas))
        .withSharding(hash(32));
      if (builder.findings().some(({ severity }) => severity === "error")) continue;
      const manifest = builder.build();
      const meaning = meaningOf(manifest);
      const zoneOf = new Map(manifest.nodes.map((node) => [node.id, node.zone]));
      for (const shard of initialShardMap(manifest).shards) {
        const voters = [...shard.replicas, ...shard.arbiters];
        const votes = new Map<string, number>();
        for (const id of voters) votes.set(zoneOf.get(id) ?? "", (votes.get(zoneOf.get(id) ?? "") ?? 0) + 1);
        const worst = [...votes.values()].sort((one, other) => other - one).slice(0, meaning.survivesZones);
        const lost = worst.reduce((sum, count) => sum + count, 0);
        const quorumLeft = voters.length - lost >= Math.floor(voters.length / 2) + 1;
        expect({ zones, arbiter, replicas, quorumLeft }).toEqual({
          zones,
          arbiter,
          replicas,
          quorumLeft: true,
        });
        expect(meaning.quorum).toBe(Math.floor(voters.length / 2) + 1);
      }
    }
  });
});
