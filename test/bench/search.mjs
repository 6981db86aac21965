// Exact search in a scope of 10,000 memories of 384 dimensions: the ten best by the product's own vector
// set, called as the node calls it, beside the same in plain JavaScript; then the same asked of a running
// cluster over HTTP, with all that a request costs besides.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { Client } from "undici";
import { atMost, percentile } from "./figures.mjs";
import { requestJson, send } from "./requests.mjs";
import { root, sampleTexts, startCluster, withFolder } from "./support.mjs";

const MEMORIES = 10_000;
const DIMENSIONS = 384;
const TOP = 10;

export function measure({ quick }) {
  return withFolder(async (folder) => [
    ...(await insideTheNode(folder, quick ? 100 : 1_000)),
    ...(await overHttp(folder, quick ? 50 : 300)),
  ]);
}

async function insideTheNode(folder, count) {
  const outfile = join(folder, "vector-set.mjs");
  await build({
    entryPoints: [join(root, "src/memory/vector-set.ts")],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "error",
  });
  const { VectorSet } = await import(pathToFileURL(outfile).href);

  const vectors = Array.from({ length: MEMORIES }, randomUnitVector);
  const set = new VectorSet(DIMENSIONS);
  vectors.forEach((vector, index) => set.set(`memory-${index}`, vector));

  const queries = Array.from({ length: count }, randomUnitVector);
  const ours = (query) => firstOf(set.search(query), TOP);
  const plain = (query) => plainSearch(vectors, query);
  // The two must agree, else one of them is fast because it is wrong.
  const [query] = queries;
  if (ours(query)[0].id !== plain(query)[0].id) throw new Error("the two searches disagree");

  const oursMs = times(ours, queries);
  const plainMs = times(plain, queries.slice(0, Math.ceil(queries.length / 10)));
  const p50Ms = percentile(oursMs, 50);
  const figure = (percent, goal) => ({
    what: `exact search, ${MEMORIES} x ${DIMENSIONS}, top ${TOP}, p${percent} of ${count}`,
    value: percentile(oursMs, percent),
    unit: "ms",
    peer: { name: "plain JavaScript", value: percentile(plainMs, percent) },
    ratio: percentile(oursMs, percent) / percentile(plainMs, percent),
    ...goal,
  });
  return [figure(50, { goal: atMost(2, p50Ms, "ms") }), figure(99, {})];
}

async function overHttp(folder, count) {
  const cluster = await startCluster(folder);
  const [endpoint] = cluster.endpoints;
  const texts = sampleTexts(MEMORIES, 200);
  const at = new Date().toISOString();
  const batchSize = 200;
  for (let first = 0; first < MEMORIES; first += batchSize) {
    const records = texts.slice(first, first + batchSize).map((memory, index) => ({
      id: `memory-${first + index}`,
      memory,
      user_id: "u1",
      created_at: at,
      updated_at: at,
    }));
    const request = { method: "POST", path: "/v1/memories/import", body: JSON.stringify({ records }) };
    const { imported } = await requestJson(endpoint, request);
    if (imported !== records.length) throw new Error(`only ${imported} of ${records.length} were imported`);
  }

  const client = new Client(endpoint);
  const timesMs = [];
  for (let index = 0; index < count; index++) {
    const body = JSON.stringify({ query: texts[index * 7], filters: { user_id: "u1" }, top_k: TOP });
    const began = performance.now();
    const answer = await send(client, { method: "POST", path: "/v3/memories/search/", body });
    timesMs.push(performance.now() - began);
    // A memory's own text is the query nearest to it.
    const found = JSON.parse(answer.body.toString()).results?.[0]?.id;
    if (found !== `memory-${index * 7}`) throw new Error(`search found ${found}: HTTP ${answer.status}`);
  }
  await client.close();
  await cluster.down();
  return [50, 99].map((percent) => ({
    what: `the same over HTTP, 3 nodes, 1 client, p${percent} of ${count}`,
    value: percentile(timesMs, percent),
    unit: "ms",
  }));
}

function times(search, queries) {
  for (const query of queries.slice(0, 20)) search(query); // Warm up.
  return queries.map((query) => {
    const began = performance.now();
    search(query);
    return performance.now() - began;
  });
}

function firstOf(ranking, count) {
  const results = [];
  for (const result of ranking) {
    results.push(result);
    if (results.length === count) break;
  }
  return results;
}

function plainSearch(vectors, query) {
  const best = [];
  for (let index = 0; index < vectors.length; index++) {
    const vector = vectors[index];
    let score = 0;
    for (let dimension = 0; dimension < DIMENSIONS; dimension++)
      score += vector[dimension] * query[dimension];
    if (best.length < TOP || score > best[best.length - 1].score) {
      let place = best.length;
      while (place > 0 && best[place - 1].score < score) place--;
      best.splice(place, 0, { id: `memory-${index}`, score });
      if (best.length > TOP) best.pop();
    }
  }
  return best;
}

function randomUnitVector() {
  const vector = Float32Array.from({ length: DIMENSIONS }, () => Math.random() * 2 - 1);
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}
