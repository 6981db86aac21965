// A node whose map lags hears from its peers who the others are.

import { beforeEach, expect, it } from "vitest";
import type { NodeId } from "../../../src/model/ids.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { MapNews } from "../../../src/node/cluster/map-news.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "../topology/manifest.ts";

const first = initialShardMap(manifestOf({ nodes: 3, shards: 1, copies: 3 }));
const later = (epoch: number): ShardMap => ({ ...first, epoch: first.epoch + epoch });
/** Lets every promise that is settled go on. */
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

let own: ShardMap;
let theirs: ShardMap | Error;
let asked: NodeId[];
let told: number;
let news: MapNews;

beforeEach(() => {
  own = first;
  theirs = later(2);
  asked = [];
  told = 0;
  news = new MapNews({
    map: () => own,
    ask: async (peer) => {
      asked.push(peer);
      if (theirs instanceof Error) throw theirs;
      return theirs;
    },
    onNews: () => {
      told += 1;
    },
  });
});

it("asks a peer that has a newer map, once, and goes by it until its own is as new", async () => {
  news.hear("node-2", later(2).epoch);
  news.hear("node-3", later(2).epoch);
  await turn();
  news.hear("node-3", later(2).epoch);
  expect(asked).toEqual(["node-2"]);
  expect(told).toBe(1);
  expect(news.newest()).toBe(theirs);
  own = later(2);
  expect(news.newest()).toBe(own);
});

it("asks nobody whose map is no newer, or who does not say", async () => {
  news.hear("node-2", first.epoch);
  news.hear("node-2", undefined);
  await turn();
  expect(asked).toEqual([]);
  expect(news.newest()).toBe(first);
});

it("asks again after a failure, and takes no map that is older than what it knows by then", async () => {
  theirs = new Error("gone");
  news.hear("node-2", later(2).epoch);
  await turn();
  expect(told).toBe(0);
  theirs = later(1);
  news.hear("node-3", later(2).epoch);
  own = later(2);
  await turn();
  expect(asked).toEqual(["node-2", "node-3"]);
  expect(told).toBe(0);
  expect(news.newest()).toBe(own);
});
