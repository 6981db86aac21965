// What a manifest's settings mean, for each protocol: what a read and a write wait for, what can be lost.

import { describe, expect, it } from "vitest";
import { clusterManifest, multiple, none, single } from "../../../src/manifest/builder.ts";
import { meaningOf } from "../../../src/manifest/meaning.ts";
import type { Consistency } from "../../../src/model/consistency.ts";
import type { Protocol } from "../../../src/model/ids.ts";
import type { Meaning } from "../../../src/model/manifest.ts";

/** Of three nodes in zones of their own names, or in the zones given. */
function meaning(
  protocol: Protocol,
  consistency: Consistency,
  options: { readonly replicas?: number; readonly zones?: readonly string[] } = {},
): Meaning {
  const { replicas = 2, zones } = options;
  const manifest = clusterManifest("demo")
    .withNodes(
      [1, 2, 3].map((number) => ({
        id: `node-${number}`,
        address: `127.0.0.1:700${number}`,
        ...(zones === undefined ? {} : { zone: zones[number - 1] ?? "z" }),
      })),
    )
    .withReplication(replicas === 0 ? none() : replicas === 1 ? single() : multiple(replicas))
    .build();
  return meaningOf({ ...manifest, consensus: { ...manifest.consensus, protocol, consistency } });
}

const LOG = { read: "linearizable", write: "quorum" } as const;

describe("raft and paxos", () => {
  it.each(["raft", "paxos"] as const)("%s: a majority of the copies", (protocol) => {
    expect(meaning(protocol, LOG)).toEqual({
      copies: 3,
      quorum: 2,
      survivesNodes: 1,
      survivesZones: 1,
      sentence: "3 copies, quorum 2, survives the loss of 1 node",
    });
    expect(meaning(protocol, LOG, { replicas: 1 }).sentence).toBe(
      "2 copies, quorum 2, survives the loss of no node",
    );
    expect(meaning(protocol, LOG, { zones: ["a", "b", "b"] }).sentence).toBe(
      "3 copies, quorum 2, survives the loss of 1 node, but not of a whole zone",
    );
  });
});

describe("quorum", () => {
  it("says that overlap is no linearizability", () => {
    expect(meaning("quorum", { read: "quorum", write: "quorum" })).toEqual({
      copies: 3,
      quorum: 2,
      survivesNodes: 1,
      survivesZones: 1,
      levels: { read: 2, write: 2, overlap: true },
      sentence: "3 copies, R 2 + W 2 > 3: overlap, not linearizability; survives the loss of 1 node",
    });
  });

  it("says what each of reads and writes survives where that differs", () => {
    expect(meaning("quorum", { read: "one", write: "all" }, { zones: ["a", "b", "c"] })).toMatchObject({
      quorum: 3,
      survivesNodes: 0,
      survivesZones: 0,
      sentence:
        "3 copies, R 1 + W 3 > 3: overlap, not linearizability; reads survive the loss of 2 nodes or 2 zones, writes survive the loss of no node",
    });
  });

  it("says that without overlap a read may miss what was written", () => {
    expect(meaning("quorum", { read: 1, write: 2 })).toMatchObject({
      levels: { read: 1, write: 2, overlap: false },
      sentence:
        "3 copies, R 1 + W 2 <= 3: no overlap, a read may miss finished writes; reads survive the loss of 2 nodes, writes survive the loss of 1 node",
    });
  });

  it("with one copy has nothing to lose", () => {
    expect(meaning("quorum", { read: "quorum", write: "quorum" }, { replicas: 0 }).sentence).toBe(
      "1 copy, R 1 + W 1 > 1: overlap, not linearizability; survives the loss of no node",
    );
  });
});
