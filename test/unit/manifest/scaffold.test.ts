// What `init cluster` writes is valid, says what was asked for, and explains itself.

import { describe, expect, it } from "vitest";
import { ENGINE_CAPABILITIES } from "../../../src/manifest/capabilities.ts";
import { parseManifest } from "../../../src/manifest/parse.ts";
import { scaffoldManifest } from "../../../src/manifest/scaffold.ts";
import type { ScaffoldOptions } from "../../../src/manifest/scaffold.ts";

const place = { file: "cluster.yaml", baseDir: "/srv" };

it("makes three nodes that survive the loss of one, unless told otherwise", () => {
  const { manifest, findings, meaning } = parseManifest(scaffoldManifest({ name: "demo" }), place);
  expect(findings).toEqual([]);
  expect(meaning?.sentence).toBe("3 copies, quorum 2, survives the loss of 1 node or 1 zone");
  expect(manifest).toMatchObject({
    name: "demo",
    dataDir: "/srv/.mem0ctl/demo",
    nodes: [
      { id: "node-1", address: "127.0.0.1:7001", role: "primary", zone: "a" },
      { id: "node-2", address: "127.0.0.1:7002", role: "primary", zone: "b" },
      { id: "node-3", address: "127.0.0.1:7003", role: "primary", zone: "c" },
    ],
    sharding: { strategy: "hash", shards: 16, key: "user" },
    consensus: { protocol: "raft" },
  });
});

it.each(ENGINE_CAPABILITIES.embedded.protocols)("explains %s, and asks for what it can do", (protocol) => {
  const text = scaffoldManifest({ name: "demo", protocol });
  const { manifest, findings } = parseManifest(text, place);
  expect(findings).toEqual([]);
  expect(manifest?.consensus.protocol).toBe(protocol);
  for (const word of ["# raft:", "# paxos:", "# quorum:", "--consistency"]) expect(text).toContain(word);
  const isQuorum = protocol === "quorum";
  expect(text.includes("R + W > N")).toBe(isQuorum);
  const levels = isQuorum ? ({ read: "one", write: "all" } as const) : ({ read: "stale" } as const);
  const chosen = parseManifest(scaffoldManifest({ name: "demo", protocol, ...levels }), place);
  expect(chosen.manifest?.consensus.consistency).toMatchObject(levels);
});

function* combinations(): Generator<ScaffoldOptions> {
  for (const nodes of [1, 2, 3, 30]) {
    for (const arbiters of [0, 1]) {
      for (const replicas of [undefined, 0, 1, 2, 4]) {
        if (replicas !== undefined && replicas >= nodes) continue;
        for (const strategy of ["hash", "range", "directory"] as const) {
          for (const shards of [undefined, 1, 37]) {
            yield {
              name: "demo",
              nodes,
              arbiters,
              sharding: { strategy, key: "agent", ...(shards === undefined ? {} : { shards }) },
              ...(replicas === undefined
                ? {}
                : {
                    replication:
                      replicas === 0
                        ? { strategy: "none" }
                        : replicas === 1
                          ? { strategy: "single" }
                          : { strategy: "multiple", replicas },
                  }),
            };
          }
        }
      }
    }
  }
}

it("is valid for every combination that can be; the only warnings are those that the choice deserves", () => {
  let count = 0;
  for (const options of combinations()) {
    count += 1;
    const { manifest, findings } = parseManifest(scaffoldManifest(options), place);
    const copies = (manifest?.replication.replicas ?? Number.NaN) + 1;
    const deserved = [
      ...(copies % 2 === 0 && options.arbiters === 0 ? ["even-voters"] : []),
      ...((options.sharding?.shards ?? 16) * copies < (options.nodes ?? 3) ? ["idle-nodes"] : []),
    ];
    expect({ options, found: findings.map(({ code }) => code).sort() }).toEqual({
      options,
      found: deserved.sort(),
    });
    expect(manifest?.sharding).toMatchObject({
      strategy: options.sharding?.strategy,
      shards: options.sharding?.shards ?? 16,
      key: "agent",
    });
    expect(manifest?.nodes).toHaveLength((options.nodes ?? 3) + (options.arbiters ?? 0));
  }
  expect(count).toBe(252);
});

describe("range scaffolds", () => {
  it.each([
    [4, ["9", "i", "r"]],
    [2, ["i"]],
    [1, []],
  ])("divide keys of digits and letters evenly into %i shards", (shards, points) => {
    const text = scaffoldManifest({ name: "demo", sharding: { strategy: "range", shards } });
    expect(parseManifest(text, place).manifest?.sharding.ranges).toEqual(points);
  });

  it("take given points as they are, even such as YAML would read otherwise", () => {
    const ranges = ["1e3", "null", "é", "日本"];
    const text = scaffoldManifest({ name: "demo", sharding: { strategy: "range", ranges } });
    expect(parseManifest(text, place).manifest?.sharding).toMatchObject({ shards: 5, ranges });
  });
});

it("writes pins, zones, ports and the data directory as asked", () => {
  const text = scaffoldManifest({
    name: "demo",
    nodes: 4,
    zones: 2,
    arbiters: 1,
    basePort: 9100,
    dataDir: "my data/demo",
    replication: { strategy: "single" },
    sharding: { strategy: "directory", shards: 4, directory: { acme: 3, "7": 0, 'say "hi"': 1 } },
    schema: "./manifest.schema.json",
  });
  expect(text.split("\n")[0]).toBe("# yaml-language-server: $schema=./manifest.schema.json");
  const { manifest, findings } = parseManifest(text, place);
  expect(findings).toEqual([]);
  expect(manifest?.nodes.map(({ id, zone, port, role }) => `${id} ${zone} ${port} ${role}`)).toEqual([
    "node-1 a 9100 primary",
    "node-2 b 9101 primary",
    "node-3 a 9102 primary",
    "node-4 b 9103 primary",
    "arbiter-1 a 9104 arbiter",
  ]);
  expect(manifest?.dataDir).toBe("/srv/my data/demo");
  expect(manifest?.sharding.directory).toEqual({ acme: "3", "7": "0", 'say "hi"': "1" });
});

it("explains each choice in a comment", () => {
  const comments = scaffoldManifest({ name: "demo" })
    .split("\n")
    .filter((line) => line.trimStart().startsWith("#"))
    .join("\n");
  for (const word of [
    "role:",
    "zone:",
    "weight:",
    "hash:",
    "range:",
    "directory:",
    "raft:",
    "electionTimeout:",
    "TLS",
  ]) {
    expect(comments).toContain(word);
  }
});

it("has a security section that only needs its comment signs removed", () => {
  const [before, after] = scaffoldManifest({ name: "demo" }).split("  # security:");
  const text = `${before}  security:${after?.replaceAll("\n  # ", "\n  ")}`;
  const { manifest, findings } = parseManifest(text.replaceAll("127.0.0.1", "192.0.2.1"), place);
  expect(findings.map(({ code }) => code)).toEqual([]);
  expect(manifest?.security.tls?.cert).toBe("/srv/tls/{node}.pem");
});

it.each([
  ["a bad name", { name: "Bad Name" }, "invalid-name"],
  ["a name with a line break", { name: "a\nspec: x" }, "invalid-name"],
  [
    "more copies than nodes",
    { name: "demo", nodes: 1, replication: { strategy: "single" } },
    "too-few-data-nodes",
  ],
  ["ports above 65535", { name: "demo", basePort: 65_535 }, "invalid-address"],
  ["two arbiters", { name: "demo", arbiters: 2 }, "too-many-arbiters"],
  ["no nodes", { name: "demo", nodes: 0 }, "no-data-node"],
  ["an arbiter on redis", { name: "demo", engine: "redis", nodes: 6, arbiters: 1 }, "engine-cannot"],
] satisfies [string, ScaffoldOptions, string][])("refuses %s", (_, options, code) => {
  expect(() => scaffoldManifest(options)).toThrow(
    expect.objectContaining({
      code: "manifest-invalid",
      data: { findings: expect.arrayContaining([expect.objectContaining({ code })]) },
    }),
  );
});
