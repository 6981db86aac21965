// Replicated writes acknowledged per second: 3 nodes, 3 copies, texts of 1 KiB, flushed to disk on a
// quorum before the acknowledgement, at 1, 64 and 256 clients, beside a 3-node etcd. Rounds of the two take
// turns, so that a busy moment of the machine or of its disk hits both alike. What a side writes behind the
// answers counts in its own rounds and in no other's: ours flushes its state every two seconds, so a round is
// counted only when that has begun, and the next one begins when it is over. Ours does more per write (an
// embedding of 384 dimensions is made and kept); nothing is taken off for that.
import { etcdVersion, putRequest, startEtcd } from "./etcd.mjs";
import { atLeast, median, percentile } from "./figures.mjs";
import { closedLoop, requestJson } from "./requests.mjs";
import { addRequest, sampleTexts, say, sleep, startCluster, withFolder } from "./support.mjs";

const CLIENT_COUNTS = [1, 64, 256];
const TEXT_BYTES = 1_024;
/** Two flushes of a node's state, and as long as it takes until the last one is over. */
const ROUND_SECONDS = 4;
const LEAD_SECONDS = 2;
const REST_MS = 2_500;

export function measure({ quick, skip }) {
  return withFolder(async (folder) => {
    const texts = sampleTexts(256, TEXT_BYTES);
    const values = texts.map((text) => Buffer.from(text).toString("base64"));
    const cluster = await startCluster(folder);
    const version = etcdVersion();
    if (version === undefined) skip("etcd is not on the PATH (Debian: etcd-server); ours is measured alone");
    const etcd = version === undefined ? undefined : await startEtcd(folder);

    let sequence = 0;
    let acknowledgedBefore = 0;
    const nextAdd = () => {
      sequence++;
      return addRequest(`u${sequence % 1_000}`, texts[sequence % texts.length]);
    };
    const nextPut = () => {
      sequence++;
      return putRequest(`memory-${sequence}`, values[sequence % values.length]);
    };

    // A service runs for days: both are measured warm, with the code compiled that they will run.
    const warmUp = { clients: 64, seconds: quick ? 10 : 20 };
    await closedLoop({ endpoints: cluster.endpoints, ...warmUp, nextRequest: nextAdd }).then((result) => {
      acknowledgedBefore += result.acknowledged;
    });
    if (etcd !== undefined) await closedLoop({ endpoints: etcd.endpoints, ...warmUp, nextRequest: nextPut });

    const rounds = quick ? 2 : 7;
    let acknowledged = acknowledgedBefore;
    const figures = [];
    for (const clients of CLIENT_COUNTS) {
      const rates = { ours: [], peer: [] };
      const latenciesMs = { ours: [], peer: [] };
      async function round(side, endpoints, nextRequest) {
        const result = await closedLoop({
          endpoints,
          clients,
          nextRequest,
          seconds: ROUND_SECONDS,
          leadSeconds: LEAD_SECONDS,
        });
        await sleep(REST_MS);
        if (result.failed > 0) {
          say(`  ${side}, ${clients} clients: ${result.failed} failed, first: ${result.firstFailure}`);
        }
        if (side === "ours") acknowledged += result.acknowledged;
        rates[side].push(result.perSecond);
        for (const latency of result.latenciesMs) latenciesMs[side].push(latency);
      }
      for (let turn = 0; turn < rounds; turn++) {
        await round("ours", cluster.endpoints, nextAdd);
        if (etcd !== undefined) await round("peer", etcd.endpoints, nextPut);
      }
      figures.push(...clientFigures(clients, rounds, rates, latenciesMs));
    }

    // A rate of writes that are not there would be no rate at all.
    const stats = await requestJson(cluster.endpoints[0], { method: "GET", path: "/v1/memories/stats" });
    if (stats.memories < acknowledged) {
      throw new Error(`${acknowledged} writes were acknowledged, ${stats.memories} memories are there`);
    }
    await cluster.down();
    return figures;
  });
}

function clientFigures(clients, rounds, rates, latenciesMs) {
  const measured = rates.peer.length > 0;
  const ratio = measured
    ? median(rates.ours.map((rate, index) => rate / Math.max(rates.peer[index], 1)))
    : undefined;
  const peer = (value) => (measured ? { peer: { name: "etcd", value } } : {});
  const label = clients === 1 ? "1 client" : `${clients} clients`;
  return [
    {
      what: `writes acknowledged, ${label}, median of ${rounds} rounds`,
      value: median(rates.ours),
      unit: "/s",
      ...(measured ? peer(median(rates.peer)) : {}),
      ...(ratio === undefined ? {} : { ratio, goal: atLeast(1, ratio, "x") }),
    },
    ...[50, 99].map((percent) => ({
      what: `  latency, ${label}, p${percent}`,
      value: percentile(latenciesMs.ours, percent),
      unit: "ms",
      ...(measured ? peer(percentile(latenciesMs.peer, percent)) : {}),
    })),
  ];
}
