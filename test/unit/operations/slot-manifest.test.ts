// Which shards nodes and copies make of a cluster whose nodes hold one each, and in which order that is done.

import { describe, expect, it } from "vitest";
import type { EngineView, SlotTable } from "../../../src/engines/engine.ts";
import type { Manifest } from "../../../src/model/manifest.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { stepWords } from "../../../src/model/operation.ts";
import { planOwnShards } from "../../../src/operations/slot-manifest.ts";
import type { OwnShardsPlan } from "../../../src/operations/slot-manifest.ts";
import { healthy, manifest } from "./support.ts";

interface Scene {
  /** `1a 2b 3a`: nodes and their zones; `3a!` shall hold nothing; `3a?` does not answer. */
  readonly nodes: string;
  /** Of each shard its nodes, the leader first; `: none` for one without slots. */
  readonly shards: readonly string[];
  readonly copies: number;
  /** Members that the manifest does not name. */
  readonly leaving?: string;
}

function planOf({ nodes, shards, copies, leaving = "" }: Scene): OwnShardsPlan {
  const parsed = [...nodes.split(" "), ...leaving.split(" ").filter(Boolean)].map((word) => {
    const [, id = "", zone = "", mark = ""] = /^(\w)(\w)([!?]?)$/.exec(word) ?? [];
    return { id, zone, mark, weight: 1, role: "primary" as const, address: `h:${id}` };
  });
  const named = parsed.slice(0, nodes.split(" ").length);
  const groups = shards.map((text) => ({
    ids: text.replace(": none", "").split(" "),
    owns: !text.includes(":"),
  }));
  const owning = groups.filter(({ owns }) => owns).length;
  const width = Math.floor(16_384 / owning);
  let from = 0;
  const sliced = groups.map(({ ids, owns }, index) => {
    const rest = index === groups.findLastIndex((group) => group.owns) ? 16_384 - owning * width : 0;
    const slots = owns ? [{ from, to: (from += width + rest) - 1 }] : [];
    return { id: String(index), ids, slots };
  });
  const members = new Set(groups.flatMap(({ ids }) => ids));
  const view: EngineView = {
    ...healthy,
    copies,
    nodes: parsed.map(({ id, mark }) => ({
      ...(healthy.nodes[0] as EngineView["nodes"][number]),
      id,
      state: mark === "!" ? "draining" : mark === "?" ? "down" : "up",
    })),
    shards: sliced.map(({ id, ids, slots }) => ({
      ...(healthy.shards[0] as EngineView["shards"][number]),
      id,
      range: "",
      leader: ids[0] ?? null,
      slots: slots.length === 0 ? 0 : width,
      bytes: 100,
      replicas: ids.map((node, at) => ({
        node,
        role: at === 0 ? "leader" : "follower",
        state: "replicating",
        lagEntries: null,
        lagBytes: 0,
        lagMs: 0,
      })),
    })),
  };
  const wanted = {
    ...manifest,
    nodes: named.map(({ mark, ...node }) => ({ ...node, ...(mark === "!" ? { draining: true } : {}) })),
    replication: { strategy: "multiple", replicas: copies - 1 },
    sharding: { ...manifest.sharding, shards: Math.floor(named.length / copies) },
  } as unknown as Manifest;
  const map: ShardMap = {
    epoch: 1,
    strategy: "hash",
    key: "user",
    directory: {},
    metaVoters: [],
    shards: [],
    nodes: parsed.filter(({ id }) => members.has(id)).map((node) => ({ ...node, draining: false })),
  };
  const table: SlotTable = {
    epoch: 1,
    owners: sliced.map(({ ids, slots }) => ({ id: ids[0] ?? "", weight: 1, draining: false, slots })),
  };
  return planOwnShards(wanted, map, view, table);
}

const words = ({ waves }: OwnShardsPlan): string[] => waves.map((wave) => wave.map(stepWords).join("; "));

describe("the shards that a manifest makes", () => {
  it("are those that are there", () => {
    const plan = planOf({ nodes: "1a 2b 3a 4b", shards: ["1 4", "2 3"], copies: 2 });
    expect({ changes: plan.changes, waves: plan.waves }).toEqual({ changes: [], waves: [] });
  });

  it("are one more when two nodes join, without slots", () => {
    const plan = planOf({ nodes: "1a 2b 3a 4b 5a 6b", shards: ["1 4", "2 3"], copies: 2 });
    expect(words(plan)).toEqual(["add a replica of shard of 5 on 6"]);
  });

  it("are one less when a leader leaves: its slots go first, then its follower, then the next copy wanted", () => {
    const plan = planOf({ nodes: "2b 3a 4b 5a 6b", shards: ["1 4", "2 3", "5 6"], copies: 2, leaving: "1a" });
    expect(words(plan)).toEqual([
      expect.stringMatching(/^move \d+ slots from 1 to 2; move \d+ slots from 1 to 5$/),
      "add a replica of shard 1 on 4",
    ]);
    expect(plan.changes.map(({ message }) => message)).toEqual([
      "shard 0 is dissolved: nodes and copies make 2 shards",
      "shard 1 gets a copy on 4, which holds shard 0 now",
    ]);
  }, 60_000);

  it("stay when a leader leaves and another node can take its place: leadership goes, no slot moves", () => {
    const plan = planOf({
      nodes: "2b 3a 4b 5a",
      shards: ["1 4", "2 3", "5: none"],
      copies: 2,
      leaving: "1a",
    });
    expect(words(plan)).toEqual(["add a replica of shard 0 on 5", "let 4 lead shard 0"]);
  });

  it("give a node up that shall hold nothing, once another has its copy", () => {
    const plan = planOf({ nodes: "1a 2b 3a 4b! 5b", shards: ["1 4", "2 3", "5: none"], copies: 2 });
    expect(words(plan)).toEqual(["add a replica of shard 0 on 5", "remove the replica of shard 0 from 4"]);
  });

  it("are fewer of more copies each: who led follows after its followers do", () => {
    const plan = planOf({ nodes: "1a 2b 3c 4a 5b 6c", shards: ["1 5", "2 6", "3 4"], copies: 3 });
    expect(words(plan)).toEqual([
      expect.stringMatching(/^move \d+ slots from 3 to 1; move \d+ slots from 3 to 2$/),
      "add a replica of shard 1 on 4",
      "add a replica of shard 0 on 3",
    ]);
  }, 60_000);

  it("are more of fewer copies each: a copy too many becomes a leader without slots", () => {
    const plan = planOf({ nodes: "1a 2b 3c 4a 5b 6c", shards: ["1 2 3", "4 5 6"], copies: 2 });
    expect(words(plan)).toEqual(["remove the replica of shard 0 from 3", "add a replica of shard of 3 on 5"]);
  });

  it("change nothing on a node that does not answer, and say what is missing", () => {
    const plan = planOf({ nodes: "1a 2b 3a 4b 5a?", shards: ["1", "2 3", "5: none"], copies: 2 });
    expect({ waves: plan.waves, problems: plan.problems.map(({ code }) => code) }).toEqual({
      waves: [expect.anything()],
      problems: [],
    });
  });

  it("cannot be made of too few nodes", () => {
    const plan = planOf({ nodes: "1a", shards: ["1 2"], copies: 2, leaving: "2b" });
    expect(plan.problems).toMatchObject([{ code: "too-few-nodes", severity: "hard" }]);
  });
});
