// Up, down, restart and wait: in which order things are done, and what is said when time runs out.

import { describe, expect, it } from "vitest";

import { downCluster, restartNodes, upCluster } from "../../../src/operations/up.ts";
import type { CallOptions } from "../../../src/engines/engine.ts";
import type { NodeView } from "../../../src/model/view.ts";
import { waitFor } from "../../../src/operations/wait.ts";
import { allDown, errorOf, healthy, manifest, oneDown, scriptedEngine, viewOf } from "./support.ts";

const options = { timeoutMs: 5000 };
const waiting = { ...options, limits: manifest.limits, intervalMs: 1 };

describe("wait", () => {
  it("resolves to the first view that fulfils the goal, and tells what it waits for once", async () => {
    const engine = scriptedEngine({ views: [allDown, oneDown, oneDown, healthy] });
    const messages: string[] = [];
    const view = await waitFor(engine, "healthy", {
      ...waiting,
      onProgress: ({ message, done, total }) => messages.push(`${done}/${total} ${message}`),
    });
    expect(view.health).toBe("healthy");
    expect(messages).toEqual([
      "0/3 none of the 3 nodes answered (connection refused)",
      "2/3 node-3 (127.0.0.1:7003) is down: connection refused",
    ]);
  });

  it("for available is content with a degraded cluster", async () => {
    const view = await waitFor(scriptedEngine({ views: [allDown, oneDown] }), "available", waiting);
    expect(view.health).toBe("degraded");
  });

  it("for down wants every connection refused: silence is no proof", async () => {
    const nodes = allDown.nodes.map((node, index) => (index === 0 ? { ...node, error: "no answer" } : node));
    const silent = { ...allDown, nodes };
    const engine = scriptedEngine({ views: [silent, allDown] });
    await waitFor(engine, "down", waiting);
    expect(engine.done).toEqual(["look", "look"]);
  });

  it("says at the deadline what is still missing, as a timeout and not as a failure", async () => {
    const error = await errorOf(
      waitFor(scriptedEngine({ views: [oneDown] }), "healthy", { ...waiting, timeoutMs: 20 }),
    );
    expect(error).toMatchObject({
      kind: "unknown-outcome",
      code: "wait-timeout",
      message: "timed out after 20 ms: demo is not healthy but degraded",
      why: expect.stringContaining("node-3 (127.0.0.1:7003) is down: connection refused; 3 shards"),
      data: { goal: "healthy", view: { health: "degraded" } },
    });
  });

  it("looks no last time when too little is left for an answer: that would call every node silent", async () => {
    const scripted = scriptedEngine({ views: [oneDown] });
    const givenMs: number[] = [];
    const engine = {
      ...scripted,
      view: (call: CallOptions) => {
        givenMs.push(call.timeoutMs);
        return scripted.view(call);
      },
    };
    await errorOf(waitFor(engine, "healthy", { ...waiting, intervalMs: 30, timeoutMs: 600 }));
    const [first, ...later] = givenMs;
    expect(first).toBeGreaterThan(0);
    expect(later.length).toBeGreaterThan(0);
    expect(Math.min(...later)).toBeGreaterThanOrEqual(250);
  });

  it("ends when it is interrupted", async () => {
    const interruption = new AbortController();
    const engine = scriptedEngine({ views: [oneDown] });
    const waited = waitFor(engine, "healthy", {
      ...waiting,
      signal: interruption.signal,
      onProgress: () => interruption.abort(),
    });
    expect((await errorOf(waited)).code).toBe("interrupted");
  });
});

describe("up", () => {
  it("starts all nodes and waits until the cluster is healthy", async () => {
    const engine = scriptedEngine({ views: [allDown, healthy] });
    const { actions, view } = await upCluster(engine, manifest, options);
    expect(engine.done).toEqual(["up node-1 node-2 node-3", "look", "look"]);
    expect(actions.map(({ outcome }) => outcome)).toEqual(["spawned", "spawned", "spawned"]);
    expect(view.health).toBe("healthy");
  });

  it("gives the view with its reasons when it is not healthy in time", async () => {
    const { view } = await upCluster(scriptedEngine({ views: [oneDown] }), manifest, { timeoutMs: 30 });
    expect(view.reasons.map(({ code }) => code)).toContain("node-down");
  });
});

describe("down", () => {
  it("stops the nodes that are named, or all, and none that does not exist", async () => {
    const engine = scriptedEngine();
    await downCluster(engine, manifest, [], options);
    await downCluster(engine, manifest, ["node-2", "node-2"], options);
    expect(engine.done).toEqual(["down node-1 node-2 node-3", "down node-2"]);
    const error = await errorOf(downCluster(engine, manifest, ["node-9"], options));
    expect(error).toMatchObject({ kind: "not-found", code: "unknown-node" });
  });
});

describe("restart", () => {
  it("takes one node at a time and looks at the cluster's health before the next", async () => {
    const engine = scriptedEngine();
    const { view } = await restartNodes(engine, manifest, [], options);
    expect(engine.done).toEqual([
      "look",
      "down node-1",
      "up node-1",
      "look",
      "down node-2",
      "up node-2",
      "look",
      "down node-3",
      "up node-3",
      "look",
    ]);
    expect(view.health).toBe("healthy");
  });

  it("starts a node that is down first, and then only it when only it was named", async () => {
    const engine = scriptedEngine({ views: [oneDown, healthy] });
    await restartNodes(engine, manifest, ["node-3"], options);
    expect(engine.done).toEqual(["look", "down node-3", "up node-3", "look"]);
  });

  it("stops while the cluster does not become healthy: the nodes still up stay up", async () => {
    const engine = scriptedEngine({ views: [healthy, oneDown] });
    const { view, actions } = await restartNodes(engine, manifest, [], { timeoutMs: 50 });
    expect(engine.done.filter((line) => line.startsWith("down"))).toEqual(["down node-1"]);
    expect(actions).toHaveLength(1);
    expect(view.health).toBe("degraded");
  });

  it("takes no node down while another one is missing", async () => {
    const engine = scriptedEngine({ views: [oneDown, oneDown, healthy] });
    await restartNodes(engine, manifest, ["node-2"], options);
    expect(engine.done).toEqual(["look", "look", "look", "down node-2", "up node-2", "look"]);
    const missing = scriptedEngine({ views: [oneDown] });
    const { actions, view } = await restartNodes(missing, manifest, ["node-2"], { timeoutMs: 50 });
    expect([actions, view.health]).toEqual([[], "degraded"]);
    expect(missing.done.filter((line) => line !== "look")).toEqual([]);
  });

  it.each<[string, Partial<NodeView>]>([
    ["is cut off from a third one", { cutOffFrom: ["node-3"] }],
    ["has a full disk", { writeRefusal: "the disk is full" }],
    ["has a damaged replica", { damaged: [{ group: "0", why: "it does not match its checksum" }] }],
    ["is refused", { refusal: { by: ["node-3"], why: "node-1 is not the node that it was" } }],
  ])("takes no node down while another one %s", async (_, trouble) => {
    const nodes = healthy.nodes.map((node) => (node.id === "node-1" ? { ...node, ...trouble } : node));
    const engine = scriptedEngine({ views: [{ ...healthy, nodes }] });
    const { actions } = await restartNodes(engine, manifest, ["node-2"], { timeoutMs: 50 });
    expect(actions).toEqual([]);
    const itself = scriptedEngine({ views: [{ ...healthy, nodes }, healthy] });
    await restartNodes(itself, manifest, ["node-1"], options);
    expect(itself.done).toContain("down node-1");
  });

  it("takes a node down at once that alone is what is wrong", async () => {
    const trouble = viewOf({ progress: { "node-2": { state: "probing", lagEntries: 9, lagMs: 9000 } } });
    const engine = scriptedEngine({ views: [trouble, healthy] });
    await restartNodes(engine, manifest, ["node-2"], options);
    expect(engine.done).toEqual(["look", "down node-2", "up node-2", "look"]);
  });

  it("does not start a second process beside a node that it may not stop", async () => {
    const engine = scriptedEngine({ down: () => "not-managed" });
    const { actions } = await restartNodes(engine, manifest, ["node-1"], options);
    expect(engine.done).toEqual(["look", "down node-1", "look"]);
    expect(actions).toMatchObject([{ node: "node-1", outcome: "not-managed" }]);
  });
});
