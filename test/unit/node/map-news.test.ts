// A node whose map lags hears from its peers who the others are.

import { beforeEach, expect, it } from "vitest";
import type { NodeId } from "../../../src/model/ids.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { MapNews } from "../../../src/node/cluster/map-news.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "../topology/manifest.ts";

const first = initialShardMap(manifestOf({ nodes: 3, shards: 1, copies: 3 }));
const later = (epoch: number): ShardMap => ({ ...first, epoch: first.epoch + epoch });
const PATIENCE_MS = 1000;
/** Lets every promise that is settled go on. */
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

let own: ShardMap;
let theirs: ShardMap | Error;
let asked: NodeId[];
let told: number;
let nowMs: number;
let news: MapNews;

beforeEach(() => {
  own = first;
  theirs = later(2);
  asked = [];
  told = 0;
  nowMs = 0;
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
    nowMs: () => nowMs,
    patienceMs: PATIENCE_MS,
  });
});

/** Hears the same of a peer for longer than the group has to tell. */
function hearForLong(peer: NodeId, epoch: number | undefined): void {
  news.hear(peer, epoch);
  nowMs += PATIENCE_MS;
  news.hear(peer, epoch);
}

it("asks a peer that has a newer map, once, and goes by it until its own is as new", async () => {
  hearForLong("node-2", later(2).epoch);
  news.hear("node-3", later(2).epoch);
  await turn();
  hearForLong("node-3", later(2).epoch);
  expect(asked).toEqual(["node-2"]);
  expect(told).toBe(1);
  expect(news.newest()).toBe(theirs);
  own = later(2);
  expect(news.newest()).toBe(own);
});

it("asks nobody whose map is no newer, or who does not say", async () => {
  hearForLong("node-2", first.epoch);
  hearForLong("node-2", undefined);
  await turn();
  expect(asked).toEqual([]);
  expect(news.newest()).toBe(first);
});

it("asks again after a failure, and takes no map that is older than what it knows by then", async () => {
  theirs = new Error("gone");
  hearForLong("node-2", later(2).epoch);
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

it("asks nobody while the group itself goes on telling", async () => {
  for (let epoch = 1; epoch < 10; epoch += 1) {
    news.hear("node-2", later(epoch).epoch);
    nowMs += PATIENCE_MS - 1;
    news.hear("node-3", later(epoch).epoch);
    own = later(epoch);
  }
  await turn();
  expect(asked).toEqual([]);
});
