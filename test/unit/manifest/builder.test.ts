// Manifests built in code are judged by the same rules as text, and nothing that was said changes later.

import { describe, expect, it } from "vitest";
import fc from "fast-check";
import {
  clusterManifest,
  directory,
  hash,
  multiple,
  none,
  range,
  single,
} from "../../../src/manifest/builder.ts";
import type { ClusterManifestBuilder, NodeInput, ShardingInput } from "../../../src/manifest/builder.ts";
import { parseManifest } from "../../../src/manifest/parse.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";

const three = clusterManifest("demo")
  .withNode({ id: "node-1", address: "127.0.0.1:7001", zone: "a" })
  .withNode({ id: "node-2", address: "127.0.0.1:7002", zone: "b" })
  .withNode({ id: "node-3", address: "127.0.0.1:7003", zone: "c" });

it("builds what it was told", () => {
  const manifest = three
    .withReplication(multiple(2))
    .withSharding(hash(32, { key: "agent" }))
    .withConsensus("raft", { electionTimeout: "2s" })
    .withLimits({ maxLag: "500ms" })
    .withDataDir("data")
    .build({ baseDir: "/srv" });
  expect(manifest).toMatchObject({
    name: "demo",
    dataDir: "/srv/data",
    replication: { strategy: "multiple", replicas: 2 },
    sharding: { strategy: "hash", shards: 32, key: "agent" },
    consensus: { protocol: "raft", electionTimeoutMs: 2000, heartbeatIntervalMs: 100 },
    limits: { maxLagMs: 500 },
  });
  expect(manifest.nodes.map(({ id }) => id)).toEqual(["node-1", "node-2", "node-3"]);
});

it("never changes: every step is a new builder", () => {
  const before = three.toYaml();
  const replicated = three.withReplication(multiple(2));
  const bigger = three.withNode({ id: "node-4", address: "127.0.0.1:7004" }).withToken({
    name: "a",
    role: "admin",
    env: "A",
  });
  expect(three.toYaml()).toBe(before);
  expect(three.build().replication.strategy).toBe("single");
  expect(replicated.build().nodes).toHaveLength(3);
  expect(bigger.build().nodes).toHaveLength(4);
});

it("refuses what the text would be refused for, with all findings and no lines", () => {
  const bad = clusterManifest("Demo\u001b")
    .withNodes([
      { id: "a", address: "127.0.0.1:7001" },
      { id: "a", address: "127.0.0.1:70000" },
    ])
    .withReplication(multiple(4))
    .withSharding(range(["b", "a"]));
  expect(bad.findings()).toMatchObject([
    { code: "invalid-name", path: "metadata.name", line: 0, column: 0 },
    { code: "invalid-address", path: "spec.nodes[1].address" },
    { code: "too-few-data-nodes", path: "spec.replication.replicas" },
    { code: "duplicate-node-id", path: "spec.nodes[1].id" },
    { code: "ranges-unsorted", path: "spec.sharding.ranges[1]" },
  ]);
  const thrown = catchError(() => bad.build());
  expect(thrown).toBeInstanceOf(Mem0ctlError);
  expect(thrown).toMatchObject({
    code: "manifest-invalid",
    kind: "invalid",
    data: { findings: bad.findings() },
  });
});

it("takes a place to listen that is not the address, and judges what is listened at", () => {
  const open = clusterManifest("demo")
    .withNode({ id: "a", address: "127.0.0.1:7001", listen: "0.0.0.0:7101" })
    .withReplication(none());
  expect(open.findings().map(({ code }) => code)).toEqual(["exposed-without-security"]);
  const near = clusterManifest("demo")
    .withNode({ id: "a", address: "192.0.2.1:7001", listen: "[::1]:7101" })
    .withReplication(none());
  const [node] = near.build().nodes;
  expect(node).toMatchObject({ host: "192.0.2.1", port: 7001, manage: "connect" });
  expect(node?.listen).toEqual({ address: "[::1]:7101", host: "::1", port: 7101 });
  expect(parseManifest(near.toYaml(), { file: "", baseDir: "/srv" }).manifest).toEqual(
    near.build({ baseDir: "/srv" }),
  );
});

it("refuses an address that others can reach without TLS and a token, and accepts it with both", () => {
  const open = clusterManifest("demo")
    .withNode({ id: "a", address: "192.0.2.1:7001" })
    .withReplication(none());
  expect(open.findings().map(({ code }) => code)).toEqual(["exposed-without-security"]);
  const closed = open
    .withTls({ cert: "c.pem", key: "k.pem", ca: "ca.pem" })
    .withToken({ name: "ops", role: "admin", file: "token" });
  expect(closed.build({ baseDir: "/srv" }).nodes[0]).toMatchObject({ manage: "connect", host: "192.0.2.1" });
});

it("warns without refusing", () => {
  const two = three.withReplication(single());
  expect(two.findings().map(({ code, severity }) => `${severity} ${code}`)).toEqual(["warning even-voters"]);
  expect(two.build().replication.replicas).toBe(1);
});

function catchError(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

const nodeArbitrary = (index: number): fc.Arbitrary<NodeInput> =>
  fc.record(
    {
      id: fc.constant(`node-${index}`),
      address: fc.constantFrom(`127.0.0.1:${7000 + index}`, `[::1]:${7000 + index}`),
      role: fc.constantFrom("primary" as const, "secondary" as const),
      zone: fc.constantFrom("a", "b", "true", "1e3", "null", "rack.1"),
      weight: fc.double({ min: 0.01, max: 1000, noNaN: true }),
      manage: fc.constantFrom("spawn" as const, "connect" as const),
    },
    { requiredKeys: ["id", "address"] },
  );

const keys = fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" });

const shardingArbitrary: fc.Arbitrary<ShardingInput> = fc.oneof(
  fc.integer({ min: 1, max: 16_384 }).map((shards) => hash(shards)),
  fc
    .uniqueArray(keys, { minLength: 1, maxLength: 8 })
    .map((points) => range(points.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))),
  fc.dictionary(keys, fc.integer({ min: 0, max: 3 })).map((pins) => directory(4, pins, { key: "app" })),
);

const builderArbitrary: fc.Arbitrary<ClusterManifestBuilder> = fc
  .integer({ min: 1, max: 5 })
  .chain((count) => fc.tuple(...Array.from({ length: count }, (_, index) => nodeArbitrary(index + 1))))
  .chain((nodes) =>
    fc
      .record({ sharding: shardingArbitrary, replicas: fc.integer({ min: 0, max: nodes.length }) })
      .map(({ sharding, replicas }) =>
        clusterManifest("demo")
          .withNodes(nodes)
          .withReplication(replicas === 0 ? none() : multiple(replicas))
          .withSharding(sharding),
      ),
  );

describe("any manifest, good or bad", () => {
  it("means the same as YAML text as it does in code", () => {
    fc.assert(
      fc.property(builderArbitrary, (builder) => {
        const inCode = builder.findings({ baseDir: "/srv" });
        const parsed = parseManifest(builder.toYaml(), { file: "", baseDir: "/srv" });
        const codes = (findings: typeof inCode): string[] =>
          findings
            .map(({ code, path, message }) => `${code} ${path} ${message.replaceAll(/ \(line \d+\)/g, "")}`)
            .sort();
        expect(codes(parsed.findings)).toEqual(codes(inCode));
        const valid = inCode.every(({ severity }) => severity === "warning");
        expect(parsed.manifest).toEqual(valid ? builder.build({ baseDir: "/srv" }) : undefined);
      }),
      { numRuns: 150 },
    );
  });
});
