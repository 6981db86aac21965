// Replicas are compared by what they hold: what is on its way is not a difference, what stays is, and is named.

import { expect, it } from "vitest";
import { ASKED_MAX, Verifier } from "../../../src/node/moves/verify.ts";
import type { Query } from "../../../src/node/cluster/router.ts";
import type { DigestRange, MemoryDigest } from "../../../src/node/memories/digests.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "../topology/manifest.ts";

const map = initialShardMap(manifestOf({ nodes: 3, shards: 1, copies: 3 }));
const [first = "", second = "", third = ""] = map.shards[0]?.replicas ?? [];

type Holding = Map<string, MemoryDigest>;

const id = (at: number): string => `m-${String(at).padStart(5, "0")}`;

function holding(count: number): Holding {
  return new Map(
    Array.from({ length: count }, (_, at) => [id(at), [id(at), `t${at}`, `v${at}`, `d${at}`] as const]),
  );
}

/** Replicas that answer from what they hold; `onAsk` may change that meanwhile, or refuse. */
function verifier(
  replicas: ReadonlyMap<string, Holding>,
  onAsk: (query: Query, node: string) => void = () => undefined,
) {
  return new Verifier({
    clock: systemClock,
    map: () => map,
    ask: async (node, _shard, query) => {
      onAsk(query, node);
      const held = replicas.get(node);
      if (held === undefined) throw new Mem0ctlError("unavailable", "peer-unreachable", "no answer");
      if (query.kind === "digests-of") {
        return (query.args as readonly string[]).flatMap((each) => {
          const digest = held.get(each);
          return digest === undefined ? [] : [digest];
        });
      }
      const { after, until, limit } = query.args as DigestRange;
      const within = [...held.values()]
        .filter(([each]) => (after === null || each > after) && (until === null || each <= until))
        .toSorted(([a], [b]) => (a < b ? -1 : 1));
      return limit === null ? within : within.slice(0, limit);
    },
  });
}

const deadlineMs = (): number => systemClock.nowMs() + 10_000;

it("equal replicas have one digest, however many pages they take", async () => {
  const replicas = new Map([first, second, third].map((node) => [node, holding(2500)]));
  const result = await verifier(replicas).verify("0", deadlineMs());
  expect(result.differing).toBe(0);
  expect(result.replicas.map(({ memories }) => memories)).toEqual([2500, 2500, 2500]);
  expect(new Set(result.replicas.map(({ digest }) => digest)).size).toBe(1);
});

it("what differs is named, and whose replica is at odds with the others", async () => {
  const replicas = new Map([first, second, third].map((node) => [node, holding(1500)]));
  replicas.get(second)?.set(id(7), [id(7), "t7", "other", "d7"]);
  replicas.get(third)?.delete(id(1400));
  replicas.get(first)?.set("z-more", ["z-more", "t", "v", "d"]);
  const { differences, differing } = await verifier(replicas).verify("0", deadlineMs());
  const odd = (copies: (typeof differences)[number]["copies"]): readonly string[] =>
    copies.filter(({ isOdd }) => isOdd).map(({ node }) => node);
  const seen = differences.map(({ id: each, parts, copies }) => ({ each, parts, odd: odd(copies) }));
  expect(differing).toBe(3);
  expect(seen).toEqual([
    { each: id(7), parts: ["vector"], odd: [second] },
    { each: id(1400), parts: ["presence"], odd: [third] },
    { each: "z-more", parts: ["presence"], odd: [first] },
  ]);
});

it("a write that one replica gets later is no difference", async () => {
  const replicas = new Map([first, second, third].map((node) => [node, holding(10)]));
  replicas.get(first)?.set(id(3), [id(3), "new", "v3", "d3"]);
  const result = await verifier(replicas, ({ kind }) => {
    if (kind !== "digests-of") return;
    for (const held of replicas.values()) held.set(id(3), [id(3), "new", "v3", "d3"]);
  }).verify("0", deadlineMs());
  expect(result).toMatchObject({ differences: [], differing: 0 });
});

it("a replica that cannot be read is told of, and the others are compared all the same", async () => {
  const replicas = new Map([
    [first, undefined],
    [second, holding(5)],
    [third, holding(5)],
  ] as [string, Holding][]);
  replicas.get(third)?.set(id(1), [id(1), "t1", "v1", "other"]);
  const result = await verifier(replicas).verify("0", deadlineMs());
  expect(result.replicas.find(({ node }) => node === first)).toMatchObject({
    memories: null,
    error: "no answer",
  });
  expect(result.differences).toMatchObject([{ id: id(1), parts: ["metadata"] }]);
});

const tooStale = (): Mem0ctlError => new Mem0ctlError("unavailable", "too-stale", "nobody knows how old");

it("a replica that does not know how old its state is, is asked again", async () => {
  const replicas = new Map([first, second, third].map((node) => [node, holding(5)]));
  replicas.get(third)?.set(id(1), [id(1), "t1", "v1", "other"]);
  let refusals = 0;
  const refused = new Set<string>();
  const result = await verifier(replicas, ({ kind }, node) => {
    // Once at every replica, for the pages and for what differs.
    if (refused.has(`${kind} ${node}`)) return;
    refused.add(`${kind} ${node}`);
    refusals += 1;
    throw tooStale();
  }).verify("0", deadlineMs());
  expect(refusals).toBe(6);
  expect(result.replicas.map(({ error, memories }) => [error, memories])).toEqual([
    [undefined, 5],
    [undefined, 5],
    [undefined, 5],
  ]);
  expect(result.differences).toMatchObject([{ id: id(1), parts: ["metadata"] }]);
});

it.each(["digests", "digests-of"])(
  "a replica that goes on not knowing it at %s is told of with the code, and the others are compared",
  async (unknownAt) => {
    const replicas = new Map([first, second, third].map((node) => [node, holding(5)]));
    replicas.get(third)?.set(id(1), [id(1), "t1", "v1", "other"]);
    let asked = 0;
    const result = await verifier(replicas, ({ kind }, node) => {
      if (node !== first || kind !== unknownAt) return;
      asked += 1;
      throw tooStale();
    }).verify("0", deadlineMs());
    expect(asked).toBe(ASKED_MAX);
    expect(result.replicas[0]).toEqual({
      node: first,
      memories: null,
      digest: null,
      error: "nobody knows how old",
      code: "too-stale",
    });
    expect(result.differences).toMatchObject([{ id: id(1), parts: ["metadata"] }]);
    expect(result.differences[0]?.copies.map(({ node }) => node)).toEqual([second, third]);
  },
);

it("at the deadline nobody is asked again", async () => {
  const replicas = new Map([first, second, third].map((node) => [node, holding(5)]));
  let asked = 0;
  const result = await verifier(replicas, () => {
    asked += 1;
    throw tooStale();
  }).verify("0", systemClock.nowMs());
  expect(asked).toBe(3);
  expect(result.replicas.map(({ code }) => code)).toEqual(["too-stale", "too-stale", "too-stale"]);
});

it.each([0, 1, 2])(
  "no replica is asked for more than a page, though replica %s lacks nearly everything",
  async (lacking) => {
    const nodes = [first, second, third];
    const replicas = new Map(nodes.map((node) => [node, holding(2500)]));
    const held = replicas.get(nodes[lacking] ?? "");
    for (let at = 5; at < 2500; at += 1) held?.delete(id(at));
    let most = 0;
    const result = await verifier(replicas, (query, node) => {
      if (query.kind === "digests-of") most = Math.max(most, (query.args as readonly string[]).length);
      else {
        const { after, until, limit } = query.args as DigestRange;
        const count = [...(replicas.get(node)?.keys() ?? [])].filter(
          (each) => (after === null || each > after) && (until === null || each <= until),
        ).length;
        most = Math.max(most, Math.min(count, limit ?? Infinity));
      }
    }).verify("0", deadlineMs());
    expect(most).toBe(1000);
    expect(result.replicas.map(({ memories }) => memories)).toEqual(
      nodes.map((_, at) => (at === lacking ? 5 : 2500)),
    );
    expect(result.differing).toBe(2495);
  },
);
