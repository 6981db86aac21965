// How long no write is acknowledged after `kill -9` of the node that leads the most shards: from the
// signal to the first acknowledged write, for each shard that it led, asked of the nodes that survive.
// Every write that counts was sent after the kill. etcd beside it, its one leader killed in the same way.
import { etcdVersion, putRequest, startEtcd } from "./etcd.mjs";
import { atMost, median } from "./figures.mjs";
import { timeToFirstAcknowledgement } from "./requests.mjs";
import { addRequest, sampleTexts, say, signalProcess, startCluster, withFolder } from "./support.mjs";

/** What a scaffolded manifest sets, and what etcd is started with. */
const ELECTION_TIMEOUT_MS = 1_000;

export function measure({ quick, skip }) {
  return withFolder(async (folder) => {
    const rounds = quick ? 2 : 5;
    const [text] = sampleTexts(1, 1_024);
    const ours = await ourRounds(folder, rounds, text);
    const version = etcdVersion();
    if (version === undefined) skip("etcd is not on the PATH (Debian: etcd-server); ours is measured alone");
    const peer = version === undefined ? [] : await etcdRounds(folder, rounds, text);

    const figure = (what, values) => {
      const ratio = median(values) / ELECTION_TIMEOUT_MS;
      return {
        what,
        value: median(values),
        unit: "ms",
        ...(peer.length === 0 ? {} : { peer: { name: "etcd", value: median(peer) } }),
        ratio,
        goal: atMost(1.5, ratio, "x timeout"),
      };
    };
    return [
      figure(`kill -9 to the next write, each of its shards, ${rounds} rounds`, ours.flat()),
      figure(
        `kill -9 until all of its shards write, ${rounds} rounds`,
        ours.map((times) => Math.max(...times)),
      ),
    ];
  });
}

async function ourRounds(folder, rounds, text) {
  const cluster = await startCluster(folder);
  const measured = [];
  for (let round = 1; round <= rounds; round++) {
    const view = await cluster.status();
    const busiest = view.nodes.reduce((most, node) => (node.leads > most.leads ? node : most));
    const users = view.shards.filter(({ leader }) => leader === busiest.id).map(userOfShard);
    const endpoints = view.nodes
      .filter(({ id }) => id !== busiest.id)
      .map(({ address }) => `http://${address}`);
    signalProcess(busiest.pid, "SIGKILL");
    const times = await timeToFirstAcknowledgement({
      endpoints,
      targets: users,
      nextRequest: (user) => addRequest(user, text),
    });
    say(`  ours, round ${round}: ${busiest.id} led ${users.length}; ${times.map(Math.round).join(", ")} ms`);
    measured.push(times);
    await cluster.up();
  }
  await cluster.down();
  return measured;
}

async function etcdRounds(folder, rounds, text) {
  const value = Buffer.from(text).toString("base64");
  const etcd = await startEtcd(folder);
  const measured = [];
  for (let round = 1; round <= rounds; round++) {
    const leader = await etcd.leader();
    leader.kill();
    const times = await timeToFirstAcknowledgement({
      endpoints: leader.survivors,
      targets: ["memory"],
      nextRequest: (key) => putRequest(key, value),
    });
    say(`  etcd, round ${round}: ${times.map(Math.round).join(", ")} ms`);
    measured.push(...times);
    await leader.restart();
  }
  return measured;
}

/** A user whose memories lie in the shard, found by trying: slot = CRC16(user) mod 16384. */
function userOfShard(shard) {
  const ranges = [...shard.range.matchAll(/(\d+)-(\d+)/g)].map(([, from, to]) => [Number(from), Number(to)]);
  for (let number = 0; number < 1_000_000; number++) {
    const slot = crc16(`u${number}`) % 16_384;
    if (ranges.some(([from, to]) => slot >= from && slot <= to)) return `u${number}`;
  }
  throw new Error(`no user found for shard ${shard.id}, ${shard.range}`);
}

/** CRC-16/XMODEM of ASCII, written apart from the product's, so that routing is not measured by itself. */
function crc16(text) {
  let crc = 0;
  for (let index = 0; index < text.length; index++) {
    crc ^= text.charCodeAt(index) << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc;
}
