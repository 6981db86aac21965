// A live rebalance: 64 shards with three copies on three nodes that hold 200 MB of memories (each text 1 KiB, its
// vector 1.5 KiB) and a fourth node that joins, while clients write at a fixed rate. How long writes take before and
// meanwhile, counted from when each was due, so that a pause is felt by all that come in it; the longest; and whether
// the export has every acknowledged memory, once.
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Pool } from "undici";
import { atMost, percentile } from "./figures.mjs";
import { closedLoop, requestJson, send } from "./requests.mjs";
import { addRequest, sampleTexts, say, sleep, startCluster, withFolder } from "./support.mjs";

const SHARDS = 64;
const FILL_BYTES = 200e6;
const QUICK_FILL_BYTES = 40e6;
const TEXT_BYTES = 1_024;
const BATCH = 64;
const USERS = 1_000;
const WRITES_PER_SECOND = 100;
/** What a scaffolded manifest sets. */
const ELECTION_TIMEOUT_MS = 1_000;
/** Slower ones are told, one by one. */
const SLOW_MS = ELECTION_TIMEOUT_MS / 2;

export function measure({ quick }) {
  return withFolder(async (folder) => {
    const texts = sampleTexts(256, TEXT_BYTES);
    const cluster = await startCluster(folder, { shards: SHARDS, spare: 1 });
    const imported = await fill(cluster, texts, quick ? QUICK_FILL_BYTES : FILL_BYTES);
    const writer = startWriting(cluster.endpoints, texts);
    const beforeMs = quick ? 10_000 : 30_000;
    await sleep(beforeMs);
    writer.take(); // Code that is not compiled yet is no part of it.
    await sleep(beforeMs);
    const before = writer.take();
    await cluster.cli(["nodes", "add", "node-4", "--address", cluster.spares[0], "--zone", "d"]);
    const joining = writer.take();
    const began = performance.now();
    const report = JSON.parse(
      await cluster.cli(["shards", "rebalance", "--yes", "-o", "json", "--timeout", "10m"], 660_000),
    );
    const seconds = (performance.now() - began) / 1_000;
    const during = writer.take();
    const { acknowledged, failures } = await writer.stop();
    const found = await exportedIds(cluster, folder);
    const { progress } = report.operation;
    await cluster.down();
    return [
      {
        what: `live rebalance, ${imported.toLocaleString("en-US")} memories in ${SHARDS} shards, 3 -> 4 nodes: time`,
        value: seconds,
        unit: "s",
      },
      {
        what: "  steps done",
        value: progress.steps.filter((state) => state === "done").length,
        unit: "steps",
      },
      { what: "  copied", value: progress.bytes / 1e6, unit: "MB" },
      ...writeFigures(before, joining, during),
      ...lossFigures(acknowledged, failures, found, imported),
    ];
  });
}

function writeFigures(before, joining, during) {
  const p99 = (latencies) => percentile(latencies, 99);
  const ratio = p99(during) / p99(before);
  const slowest = Math.max(...joining, ...during);
  return [
    {
      what: `  write latency at ${WRITES_PER_SECOND}/s, p50 before`,
      value: percentile(before, 50),
      unit: "ms",
    },
    { what: "  p50 meanwhile", value: percentile(during, 50), unit: "ms" },
    { what: "  p99 before", value: p99(before), unit: "ms" },
    { what: "  p99 meanwhile", value: p99(during), unit: "ms", ratio, goal: atMost(3, ratio, "x before") },
    { what: "  slowest while the node joined", value: Math.max(...joining), unit: "ms" },
    {
      what: "  slowest write of all",
      value: slowest,
      unit: "ms",
      goal: atMost(ELECTION_TIMEOUT_MS, slowest, "ms"),
    },
  ];
}

function lossFigures(acknowledged, failures, found, imported) {
  let lost = 0;
  for (const id of acknowledged) if (!found.ids.has(id)) lost += 1;
  lost += Math.max(0, imported + acknowledged.length - found.count);
  return [
    {
      what: `  of ${acknowledged.length} acknowledged writes lost`,
      value: lost,
      unit: "writes",
      goal: atMost(0, lost, "writes"),
    },
    {
      what: "  memories exported twice",
      value: found.count - found.ids.size,
      unit: "memories",
      goal: atMost(0, found.count - found.ids.size, "memories"),
    },
    { what: "  writes that failed", value: failures, unit: "writes", goal: atMost(0, failures, "writes") },
  ];
}

/** Imports memories until they are so many bytes; resolves to how many they are. */
async function fill({ endpoints }, texts, bytes) {
  let sequence = 0;
  const at = new Date(0).toISOString();
  const nextRequest = () => {
    const records = Array.from({ length: BATCH }, () => {
      sequence += 1;
      return {
        id: `fill-${sequence}`,
        memory: texts[sequence % texts.length],
        user_id: `u${sequence % USERS}`,
        created_at: at,
        updated_at: at,
      };
    });
    return { method: "POST", path: "/v1/memories/import", body: JSON.stringify({ records }) };
  };
  for (;;) {
    const { failed, firstFailure } = await closedLoop({ endpoints, clients: 6, seconds: 3, nextRequest });
    if (failed > 0) throw new Error(`${failed} imports failed: ${firstFailure}`);
    const stats = await requestJson(endpoints[0], { method: "GET", path: "/v1/memories/stats" });
    say(`  ${stats.memories} memories, ${Math.round(stats.bytes / 1e6)} MB`);
    if (stats.bytes >= bytes) return stats.memories;
  }
}

/**
 * Writes at a fixed rate, whatever became of the writes before. `take()` gives the latencies in ms, from when it was
 * due, of what ended since the last time; `stop()` resolves with the ids that were acknowledged, when all has ended.
 */
function startWriting(endpoints, texts) {
  const pools = endpoints.map((endpoint) => new Pool(endpoint, { connections: 256, pipelining: 1 }));
  const acknowledged = [];
  const underWay = new Set();
  let latencies = [];
  let failures = 0;
  let sent = 0;
  const began = performance.now();

  async function write(number, dueMs) {
    const node = number % pools.length;
    const user = `u${(number * 7) % USERS}`;
    let fault = "";
    try {
      const { status, body } = await send(pools[node], addRequest(user, texts[number % texts.length]));
      if (status >= 200 && status <= 299) acknowledged.push(JSON.parse(body.toString()).results[0].id);
      else fault = `HTTP ${status} ${body.toString().slice(0, 200)}`;
    } catch (error) {
      fault = error.message;
    }
    const tookMs = performance.now() - dueMs;
    latencies.push(tookMs);
    if (fault !== "") failures += 1;
    if (fault !== "" || tookMs > SLOW_MS) {
      say(
        `  ${((dueMs - began) / 1000).toFixed(2)} s: a write of ${user} through node ${node + 1} took ${Math.round(tookMs)} ms ${fault}`,
      );
    }
  }

  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - began) / 1000) * WRITES_PER_SECOND);
    for (; sent < due; sent += 1) {
      const writing = write(sent, began + (sent / WRITES_PER_SECOND) * 1000);
      underWay.add(writing);
      void writing.finally(() => underWay.delete(writing));
    }
  }, 5);

  return {
    take() {
      const taken = latencies;
      latencies = [];
      return taken;
    },
    async stop() {
      clearInterval(timer);
      await Promise.all(underWay);
      await Promise.all(pools.map((pool) => pool.destroy()));
      return { acknowledged, failures };
    },
  };
}

async function exportedIds(cluster, folder) {
  const file = join(folder, "export.jsonl");
  await cluster.cli(["memories", "export", "--out", file], 300_000);
  const ids = new Set();
  let count = 0;
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (line === "") continue;
    count += 1;
    ids.add(JSON.parse(line).id);
  }
  return { ids, count };
}
