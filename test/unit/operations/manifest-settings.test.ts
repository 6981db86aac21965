// What an edited manifest changes of what nodes were started with: a line each, with what it costs and risks.

import { describe, expect, it } from "vitest";
import { settingsOf, type Settings } from "../../../src/model/settings.ts";
import type { EngineView } from "../../../src/engines/engine.ts";
import type { Manifest } from "../../../src/model/manifest.ts";
import { settingChanges } from "../../../src/operations/manifest-settings.ts";
import { healthy, manifest } from "./support.ts";

/** The nodes as they were started: by this manifest but for what is said of one. */
function started(of: Readonly<Record<string, Settings>> = {}): Pick<EngineView, "nodes"> {
  const settings = settingsOf(manifest);
  return { nodes: healthy.nodes.map((node) => ({ ...node, settings: of[node.id] ?? settings })) };
}

const changesOf = (change: Partial<Manifest>, view = started()) =>
  settingChanges({ ...manifest, ...change }, view);

describe("settings of nodes against the manifest", () => {
  it("are as they should be: nothing to do", () => {
    expect(changesOf({})).toEqual({ changes: [], restarts: [] });
  });

  it("of limits and timings change when nodes are restarted, one after another", () => {
    const { changes, restarts } = changesOf({
      limits: { ...manifest.limits, batchMax: 10 },
      consensus: { ...manifest.consensus, electionTimeoutMs: 2500 },
    });
    expect(changes.map(({ message, live }) => [message, live])).toEqual([
      ["limits.batch is 1000 and should be 10", true],
      ["consensus.electionTimeout is 1s and should be 2500ms", true],
    ]);
    for (const { cost, risk } of changes) {
      expect(cost).toMatch(/^3 nodes are restarted/);
      expect(risk).not.toBe("");
    }
    expect(restarts).toEqual(manifest.nodes.map(({ id }) => id));
  });

  it("concern only the nodes that were not restarted yet", () => {
    const lax = settingsOf({ ...manifest, limits: { ...manifest.limits, maxLagMs: 9000 } });
    const { changes, restarts } = changesOf({}, started({ "node-2": lax }));
    expect(changes).toMatchObject([
      {
        message: "limits.maxLag is 9s on node-2 and should be 5s",
        cost: expect.stringMatching(/^1 node is/),
      },
    ]);
    expect(restarts).toEqual(["node-2"]);
  });

  it("that cannot differ between nodes, or mean other data, say how to get there", () => {
    const tls = { cert: "/c", key: "/k", ca: "/a" };
    const token = { name: "app", role: "write", source: { env: "APP" } } as const;
    const encrypted = changesOf({ security: { tls, tokens: [token] } });
    expect(encrypted.changes.map(({ subject, live }) => [subject, live])).toEqual([
      ["security.tls", false],
      ["security.tokens", false],
    ]);
    expect(encrypted.changes[0]?.hint).toContain("mem0ctl down");
    const embedding = { ...manifest.embedding, dimensions: 8 };
    expect(changesOf({ embedding }).changes).toMatchObject([
      { subject: "embedding", live: false, hint: expect.stringContaining("mem0ctl migrate") },
    ]);
    expect(encrypted.restarts).toEqual([]);
  });

  it("one token more or less is told to nodes one after another", () => {
    const token = (name: string) => ({ name, role: "admin", source: { env: "TOKEN" } }) as const;
    const known = settingsOf({ ...manifest, security: { tls: undefined, tokens: [token("a")] } });
    const view = started(Object.fromEntries(manifest.nodes.map(({ id }) => [id, known])));
    const security = { tls: undefined, tokens: [token("a"), token("b")] };
    expect(changesOf({ security }, view).changes).toMatchObject([
      { message: "security.tokens is a (admin) and should be a (admin), b (admin)", live: true },
    ]);
  });

  it("of nodes that run elsewhere are theirs to restart", () => {
    const nodes = manifest.nodes.map((node) => ({ ...node, manage: "connect" as const }));
    const { changes, restarts } = changesOf({ nodes, limits: { ...manifest.limits, batchMax: 10 } });
    expect(changes).toMatchObject([{ live: false, hint: expect.stringContaining("where they run") }]);
    expect(restarts).toEqual([]);
  });

  it("of nodes that do not tell theirs are not judged", () => {
    expect(changesOf({ limits: { ...manifest.limits, batchMax: 10 } }, healthy)).toEqual({
      changes: [],
      restarts: [],
    });
  });
});
