// Changes of the shard map by nodes whose own map lags, and against others who change it.

import { expect, it } from "vitest";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { changeOfMap } from "../../../src/node/cluster/map-change.ts";
import type { MapCommand, MapResult } from "../../../src/node/meta/meta-machine.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "../topology/manifest.ts";

const old = initialShardMap(manifestOf({ nodes: 3, shards: 4, copies: 3 }));

function withNode(map: ShardMap, id: string): ShardMap {
  const [first] = map.nodes;
  if (first === undefined) throw new Error("a map without nodes");
  return { ...map, epoch: map.epoch + 1, nodes: [...map.nodes, { ...first, id, address: `${id}:1` }] };
}

function withoutNode(map: ShardMap, id: string): ShardMap {
  if (!map.nodes.some((node) => node.id === id)) return map;
  return { ...map, epoch: map.epoch + 1, nodes: map.nodes.filter((node) => node.id !== id) };
}

const names = ({ nodes }: ShardMap): readonly string[] => nodes.map(({ id }) => id);

/** The metadata group: it takes a map that was made from its own, and nothing else. */
function group(initial: ShardMap): { map: ShardMap; propose: (command: MapCommand) => Promise<MapResult> } {
  const state = {
    map: initial,
    propose: async ({ from, map }: MapCommand): Promise<MapResult> => {
      if (map === null || from !== state.map.epoch) return { accepted: false, map: state.map };
      state.map = map;
      return { accepted: true, map };
    },
  };
  return state;
}

it("a node that has not heard of another takes it out all the same", async () => {
  const meta = group(withNode(old, "node-4"));
  const map = await changeOfMap(old, (seen) => withoutNode(seen, "node-4"), meta.propose);
  expect(names(map)).toEqual(["node-1", "node-2", "node-3"]);
  expect(names(meta.map)).toEqual(["node-1", "node-2", "node-3"]);
});

it("nothing to do is said of the newest map, and only while the group answers", async () => {
  const meta = group(old);
  expect(await changeOfMap(old, (seen) => withoutNode(seen, "node-4"), meta.propose)).toBe(old);
  const questions: MapCommand[] = [];
  await changeOfMap(
    old,
    (seen) => seen,
    async (command) => {
      questions.push(command);
      return meta.propose(command);
    },
  );
  // A map may be large, and whoever waits for something asks many times.
  expect(questions).toEqual([{ from: -1, map: null }]);
  const silent = async (): Promise<MapResult> => {
    throw new Error("no quorum");
  };
  await expect(changeOfMap(old, (seen) => withoutNode(seen, "node-4"), silent)).rejects.toThrow("no quorum");
});

it("a change that came too late is made anew from the map that was first", async () => {
  const meta = group(withNode(old, "node-4"));
  const map = await changeOfMap(old, (seen) => withNode(seen, "node-5"), meta.propose);
  expect(names(map)).toEqual(["node-1", "node-2", "node-3", "node-4", "node-5"]);
});

it("gives up when others are always faster, and refuses a map with a gap", async () => {
  let { map } = group(old);
  const contended = async (): Promise<MapResult> => {
    map = { ...map, epoch: map.epoch + 1 };
    return { accepted: false, map };
  };
  await expect(changeOfMap(old, (seen) => withNode(seen, "x"), contended)).rejects.toMatchObject({
    code: "map-contended",
  });
  const gap = (seen: ShardMap): ShardMap => ({
    ...seen,
    epoch: seen.epoch + 1,
    shards: seen.shards.slice(1),
  });
  await expect(changeOfMap(old, gap, group(old).propose)).rejects.toMatchObject({ code: "map-unsound" });
});
