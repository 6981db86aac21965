import { describe, expect, test } from "vitest";
import type { PlannedState } from "../../../src/model/plan.ts";
import { stateChanges } from "../../../src/topology/state-changes.ts";

const state: PlannedState = {
  epoch: 4,
  nodes: ["a", "b", "c"].map((id) => ({ id, role: "primary", zone: id, weight: 1, draining: false })),
  shards: ["0", "1"].map((id) => ({
    id,
    replicas: ["a", "b"],
    leader: "a",
    copies: 2,
    bytes: 10,
    memories: 1,
    load: 0,
  })),
};
const [a, b, c] = state.nodes;
const [first, second] = state.shards;

describe("what changed since a plan was made", () => {
  test("leaders, sizes, the order of copies and the epoch drift: the plan still fits", () => {
    const drifted = {
      ...state,
      epoch: 9,
      shards: state.shards.map((shard) => ({ ...shard, leader: "b", bytes: 99, replicas: ["b", "a"] })),
    };
    expect(stateChanges(state, drifted)).toEqual([]);
  });

  test.each<[string, PlannedState, string]>([
    ["a node left", { ...state, nodes: state.nodes.slice(0, 2) }, "c has left"],
    [
      "a node joined",
      {
        ...state,
        nodes: [...state.nodes, { ...state.nodes[0], id: "d" } as (typeof state.nodes)[0] & object],
      },
      "d has joined",
    ],
    [
      "a node drains",
      { ...state, nodes: [a, b, { ...c, draining: true }] as PlannedState["nodes"] },
      "c is draining",
    ],
    [
      "a weight",
      { ...state, nodes: [a, b, { ...c, weight: 2 }] as PlannedState["nodes"] },
      "the weight of c was 1 and is 2",
    ],
    [
      "a zone",
      { ...state, nodes: [a, b, { ...c, zone: "z" }] as PlannedState["nodes"] },
      "the zone of c was c and is z",
    ],
    [
      "a copy elsewhere",
      { ...state, shards: [first, { ...second, replicas: ["a", "c"] }] as PlannedState["shards"] },
      "shard 1 was on a, b and is on a, c",
    ],
    ["a merge", { ...state, shards: state.shards.slice(0, 1) }, "shard 1 is there no more"],
    [
      "a split",
      { ...state, shards: [...state.shards, { ...first, id: "2" }] as PlannedState["shards"] },
      "shard 2 is new",
    ],
  ])("%s", (_, now, said) => {
    expect(stateChanges(state, now)).toEqual([said]);
  });
});
