// The rebalance planner by itself: how much processor time it takes, and how far its plans are from the least that could do. Its
// clusters are made from a seed, so that every run plans the same.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { atMost, median } from "./figures.mjs";
import { root, withFolder } from "./support.mjs";

export function measure({ quick }) {
  return withFolder(async (folder) => {
    const planner = await loaded(folder);
    const rounds = quick ? 1 : 5;
    return [
      ...slots(planner, rounds),
      ...nodeAdded(planner, rounds),
      ...sized(planner, quick ? SEEDS.slice(0, 1) : SEEDS),
      ...placed(planner, quick ? 1 : 3),
    ];
  });
}

async function loaded(folder) {
  const outfile = join(folder, "planner.mjs");
  await build({
    stdin: {
      contents: `export { planRebalance } from "./src/topology/rebalance.ts";
        export { planSlots } from "./src/topology/slot-plan.ts";
        export { placeReplicas } from "./src/topology/placement.ts";`,
      resolveDir: root,
    },
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "error",
  });
  return import(pathToFileURL(outfile).href);
}

/** 39 masters with equal parts of 16384 slots, and an empty one. */
function slots({ planSlots }, rounds) {
  const owners = Array.from({ length: 40 }, (_, index) => ({
    id: `m${index + 1}`,
    weight: 1,
    draining: false,
    slots:
      index < 39
        ? [{ from: Math.floor((index * 16384) / 39), to: Math.floor(((index + 1) * 16384) / 39) - 1 }]
        : [],
  }));
  const { result: plan, ms } = timed(rounds, () => planSlots({ epoch: 1, owners }, { by: "shards" }));
  const ownerOf = new Map(
    owners.flatMap(({ id, slots: ranges }) => ranges.flatMap(each).map((slot) => [slot, id])),
  );
  for (const step of plan.waves.flat())
    for (const slot of step.slots.flatMap(each)) ownerOf.set(slot, step.to);
  const after = owners.map((owner) => ({
    ...owner,
    slots: [...ownerOf].flatMap(([slot, id]) => (id === owner.id ? [{ from: slot, to: slot }] : [])),
  }));
  const second = planSlots({ epoch: 2, owners: after }, { by: "shards" });
  return [
    figure(
      "39 + 1 masters, 16384 slots: slots to move",
      plan.predicted.moves,
      "slots",
      atMost(409, plan.predicted.moves, "slots"),
    ),
    figure(
      "the same once more: a second plan",
      second.predicted.moves,
      "slots",
      atMost(0, second.predicted.moves, "slots"),
    ),
    figure(`the same: processor time, median of ${rounds}`, ms, "ms"),
  ];
}

/** 1,000 nodes, 100,000 replicas, one node added. */
function nodeAdded({ planRebalance }, rounds) {
  return [
    [1, 1000],
    [3, 10],
  ].flatMap(([copies, zones]) => {
    const nodes = nodesOf(1000, zones);
    const shards = Array.from({ length: Math.floor(100_000 / copies) }, (_, id) => {
      const replicas = Array.from({ length: copies }, (_copy, copy) => nodes[(id * copies + copy) % 1000].id);
      return shardOf(id, replicas, 1 << 20, replicas[id % copies]);
    });
    const state = {
      epoch: 1,
      nodes: [...nodes, { ...nodes[0], id: "new", zone: copies === 1 ? "new" : "zone-0" }],
      shards,
    };
    const { result: plan, ms } = timed(rounds, () => planRebalance(state, { by: "shards" }));
    if (!plan.optimal || !plan.balanced) throw new Error("the plan is not optimal");
    const what = `1,000 nodes + 1, 100,000 replicas, ${copies} ${copies === 1 ? "copy" : `copies in ${zones} zones`}`;
    return [
      figure(
        `${what}: moves`,
        plan.predicted.moves,
        "moves",
        atMost(plan.lowerBound.moves, plan.predicted.moves, "moves"),
      ),
      figure(`${what}: processor time, median of ${rounds}`, ms, "ms", atMost(2000, ms, "ms")),
    ];
  });
}

/** Exponents of the Pareto law: of sizes that have no variance, of those of files, and of tamer ones. */
const EXPONENTS = [1.2, 1.5, 2];
const SEEDS = [7, 101, 2002, 30003];

/** 100 nodes, 5,000 shards whose sizes follow a Pareto law, spread without regard to size; many draws. */
function sized({ planRebalance }, seeds) {
  const draws = [
    [1, 100],
    [2, 10],
  ].flatMap(([copies, zones]) =>
    EXPONENTS.flatMap((exponent) =>
      seeds.map((seed) => {
        const state = paretoState({ copies, zones, exponent, seed });
        const { result: plan, ms } = timed(1, () => planRebalance(state, { by: "bytes", threshold: 0.02 }));
        const off = Math.max(...plan.nodes.map(({ after, share }) => Math.abs(after.held / share - 1)));
        return { off: off * 100, gap: plan.gap * 100, ms };
      }),
    ),
  );
  const worst = (of) => Math.max(...draws.map(of));
  const what = `100 nodes, 5,000 Pareto shards, ${draws.length} draws`;
  const [off, gap, ms] = [worst((draw) => draw.off), worst((draw) => draw.gap), worst((draw) => draw.ms)];
  const middle = median(draws.map((draw) => draw.gap));
  return [
    figure(`${what}: farthest from its share`, off, "%", atMost(2.000001, off, "%")),
    figure(`${what}: bytes above the lower bound, median`, middle, "%", atMost(5, middle, "%")),
    figure(`${what}: the same, worst`, gap, "%", atMost(5, gap, "%")),
    figure(`${what}: processor time, worst`, ms, "ms", atMost(5000, ms, "ms")),
  ];
}

function paretoState({ copies, zones, exponent, seed }) {
  const random = generator(seed);
  // The first numbers of near seeds are near each other.
  for (let skipped = 0; skipped < 5; skipped += 1) random();
  const nodes = nodesOf(100, zones);
  const shards = Array.from({ length: 5000 }, (_, id) => {
    const replicas = Array.from({ length: copies }, (_copy, copy) => nodes[(id + copy * 37) % 100].id);
    return shardOf(id, replicas, Math.floor(1e6 / (1 - random()) ** (1 / exponent)));
  });
  return { epoch: 1, nodes, shards };
}

function placed({ placeReplicas }, rounds) {
  const nodes = nodesOf(2000, 2000);
  const { ms } = timed(rounds, () => placeReplicas({ nodes, shards: 16384, copies: 3 }));
  return [
    figure(
      `first placement, 2,000 nodes, 16,384 shards of 3 copies: processor time, median of ${rounds}`,
      ms,
      "ms",
    ),
  ];
}

function figure(what, value, unit, goal) {
  return { what, value, unit, ...(goal === undefined ? {} : { goal }) };
}

/** Processor time of all threads: what else the machine does counts little, and the wait is shorter, not longer. */
function timed(rounds, plan) {
  const times = [];
  let result;
  for (let round = 0; round < rounds; round += 1) {
    const before = process.cpuUsage();
    result = plan();
    const { user, system } = process.cpuUsage(before);
    times.push((user + system) / 1000);
  }
  return { result, ms: median(times) };
}

function nodesOf(count, zones) {
  return Array.from({ length: count }, (_, index) => ({
    id: `node-${index + 1}`,
    role: "primary",
    zone: `zone-${index % zones}`,
    weight: 1,
    draining: false,
  }));
}

function shardOf(id, replicas, bytes, leader = replicas[0]) {
  return { id: String(id), replicas, leader, copies: replicas.length, bytes, memories: 1, load: 1 };
}

function each({ from, to }) {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** Numerical Recipes' linear congruential generator: enough for sizes. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
