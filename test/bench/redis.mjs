// Redis Cluster beside redis-cli, on the same machine and in the same run: a fourth primary takes its share of
// 100,000 keys of 1 KiB from three others, idle and while a client writes; and `status` of six nodes as a whole
// process. Each rebalance begins with a new cluster that was filled in the same way.
import { execFile, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { slotOf } from "../../dist/index.js";
import { atMost, median } from "./figures.mjs";
import { freePorts, mem0ctl, pairedProcessTimes, processTimeMs, withFolder } from "./support.mjs";

const run = promisify(execFile);
const KEYS = 100_000;
const KEYS_QUICK = 20_000;
const VALUE = "v".repeat(1024);
const SLOTS = 16_384;
/** The cluster bus is at the port + 10,000, and belongs below the ports of outgoing connections, too. */
const PORTS_BELOW = 22_700;

export async function measure({ quick, skip }) {
  if (spawnSync("redis-server", ["--version"]).status !== 0) {
    skip("no redis-server is installed (apt-get install redis-server)");
    return [];
  }
  return withFolder(async (folder) => [
    ...(await rebalances(folder, quick)),
    ...(await rebalances(folder, quick, { writing: true })),
    ...(await status(folder, quick)),
  ]);
}

/** Ours and redis-cli's take turns. */
async function rebalances(folder, quick, { writing = false } = {}) {
  const keys = quick ? KEYS_QUICK : KEYS;
  const rounds = quick ? 1 : 3;
  const ours = [];
  const theirs = [];
  for (let round = 0; round < rounds; round++) {
    const place = join(folder, `${writing ? "writing" : "idle"}-${round}`);
    ours.push(await oneRebalance(`${place}-ours`, keys, writing, byMem0ctl));
    theirs.push(await oneRebalance(`${place}-peer`, keys, writing, byRedisCli));
  }
  const ratio = median(ours.map(({ ms }, index) => ms / theirs[index].ms));
  const what = `rebalance 3 -> 4 primaries, ${keys.toLocaleString("en-US")} keys of 1 KiB`;
  const figures = [
    {
      what: `${what}, ${writing ? "under a writer" : "idle"}, median of ${rounds}`,
      value: median(ours.map(({ ms }) => ms)),
      unit: "ms",
      peer: { name: "redis-cli", value: median(theirs.map(({ ms }) => ms)) },
      ratio,
      goal: atMost(0.5, ratio, "x"),
    },
  ];
  if (!writing) return figures;
  const worst = Math.max(...ours.map(({ longestMs }) => longestMs));
  const errors = ours.reduce((sum, { errors: count }) => sum + count, 0);
  return [
    ...figures,
    {
      what: "longest that one write waited meanwhile",
      value: worst,
      unit: "ms",
      peer: { name: "redis-cli", value: Math.max(...theirs.map(({ longestMs }) => longestMs)) },
      goal: atMost(100, worst, "ms"),
    },
    {
      what: "errors that the writer saw",
      value: errors,
      unit: "errors",
      peer: { name: "redis-cli", value: theirs.reduce((sum, { errors: count }) => sum + count, 0) },
      goal: atMost(0, errors, "errors"),
    },
  ];
}

async function byMem0ctl(cluster) {
  await cluster.mem0ctl("shards", "rebalance", "--yes");
}

async function byRedisCli({ port }) {
  const options = ["--cluster-use-empty-masters", "--cluster-yes"];
  await run("redis-cli", ["--cluster", "rebalance", `127.0.0.1:${port}`, ...options], {
    timeout: 120_000,
    maxBuffer: 64 * 1024 * 1024,
  });
}

async function oneRebalance(folder, keys, writing, rebalance) {
  const cluster = await makeCluster(folder, { nodes: 3, spare: 1 });
  try {
    await cluster.mem0ctl("nodes", "add", "node-4", "--address", `127.0.0.1:${cluster.port + 3}`);
    await fill(cluster.port, keys);
    const writer = writing ? new Writer(cluster.port) : undefined;
    writer?.start();
    const began = performance.now();
    await rebalance(cluster);
    const ms = performance.now() - began;
    const seen = (await writer?.stop()) ?? { longestMs: 0, errors: 0 };
    const view = JSON.parse(await cluster.mem0ctl("status", "-o", "json"));
    const moved = view.shards.find(({ leader }) => leader === "node-4")?.slots ?? 0;
    if (Math.abs(moved - SLOTS / 4) > SLOTS * 0.005) throw new Error(`node-4 owns ${moved} slots afterwards`);
    const held = view.nodes.reduce((sum, node) => sum + node.keys, 0);
    if (held < keys) throw new Error(`${held} of ${keys} keys are left`);
    return { ms, ...seen };
  } finally {
    await cluster.mem0ctl("down");
  }
}

async function status(folder, quick) {
  const cluster = await makeCluster(join(folder, "status"), { nodes: 6 });
  try {
    const pairs = quick ? 7 : 31;
    const { ours, peer } = pairedProcessTimes(
      pairs,
      () => processTimeMs(process.execPath, [mem0ctl, "status", "-o", "json", "-f", cluster.file]),
      () => processTimeMs(process.execPath, ["-e", "0"]),
    );
    const ratio = median(ours.map((time, index) => time / peer[index]));
    return [
      {
        what: `status -o json, 6 nodes, whole process, median of ${pairs} pairs`,
        value: median(ours),
        unit: "ms",
        peer: { name: "node -e 0", value: median(peer) },
        ratio,
        goal: atMost(2.2, ratio, "x"),
      },
    ];
  } finally {
    await cluster.mem0ctl("down");
  }
}

async function makeCluster(folder, { nodes, spare = 0 }) {
  mkdirSync(folder);
  const port = await freePorts(nodes + spare, PORTS_BELOW);
  const file = join(folder, "cluster.yaml");
  const cluster = {
    port,
    file,
    mem0ctl: async (...parameters) => {
      const options = { cwd: folder, timeout: 120_000, maxBuffer: 64 * 1024 * 1024 };
      const { stdout } = await run(process.execPath, [mem0ctl, ...parameters, "-f", file], options);
      return stdout;
    },
  };
  const copies = nodes >= 6 ? "single" : "none";
  const shape = ["--engine", "redis", "--nodes", String(nodes), "--replication", copies];
  await cluster.mem0ctl("init", "cluster", "--yes", ...shape, "--port", String(port));
  await cluster.mem0ctl("up");
  return cluster;
}

/** Three primaries as `up` makes them. */
function ownerOf(slot) {
  return slot <= 5460 ? 0 : slot <= 10_922 ? 1 : 2;
}

/** Every key to its owner, pipelined. */
async function fill(port, keys) {
  const parts = ["", "", ""].map(() => []);
  for (let number = 0; number < keys; number++) {
    parts[ownerOf(slotOf(`key:${number}`))].push(`key:${number}`);
  }
  await Promise.all(
    parts.map(async (own, index) => {
      const server = new Server(port + index);
      for (let at = 0; at < own.length; at += 500) {
        await server.ask(own.slice(at, at + 500).map((key) => ["SET", key, VALUE]));
      }
      server.close();
    }),
  );
}

/** Commands in, one line for each reply out: enough for SET, which answers +OK or an error. */
class Server {
  #socket;
  #text = "";
  #waiting = [];

  constructor(port) {
    this.#socket = connect({ host: "127.0.0.1", port, noDelay: true });
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (chunk) => this.#take(chunk));
  }

  ask(commands) {
    const encoded = commands.map(
      (words) => `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`,
    );
    return new Promise((resolve) => {
      this.#waiting.push({ count: commands.length, lines: [], resolve });
      this.#socket.write(encoded.join(""));
    });
  }

  close() {
    this.#socket.destroy();
  }

  #take(chunk) {
    this.#text += chunk;
    for (let end = this.#text.indexOf("\r\n"); end >= 0; end = this.#text.indexOf("\r\n")) {
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 2);
      const [first] = this.#waiting;
      first.lines.push(line);
      if (first.lines.length === first.count) this.#waiting.shift().resolve(first.lines);
    }
  }
}

/** One client with one write at a time, which follows MOVED and ASK. */
class Writer {
  #port;
  #servers = new Map();
  #running;
  #stopped = false;
  #longestMs = 0;
  #errors = 0;

  constructor(port) {
    this.#port = port;
  }

  start() {
    this.#running = this.#run();
  }

  async stop() {
    this.#stopped = true;
    await this.#running;
    for (const server of this.#servers.values()) server.close();
    return { longestMs: this.#longestMs, errors: this.#errors };
  }

  async #run() {
    const owners = new Map();
    for (let number = 0; !this.#stopped; number++) {
      const key = `written:${number}`;
      const slot = slotOf(key);
      const began = performance.now();
      let port = owners.get(slot) ?? this.#port + ownerOf(slot);
      let asking = false;
      for (;;) {
        const lines = await this.#to(port).ask([...(asking ? [["ASKING"]] : []), ["SET", key, VALUE]]);
        const line = lines.at(-1);
        if (line === "+OK") break;
        const redirection = /^-(MOVED|ASK) \d+ \S*:(\d+)$/.exec(line);
        if (redirection === null) {
          this.#errors++;
          break;
        }
        port = Number(redirection[2]);
        asking = redirection[1] === "ASK";
        if (!asking) owners.set(slot, port);
      }
      this.#longestMs = Math.max(this.#longestMs, performance.now() - began);
    }
  }

  #to(port) {
    let server = this.#servers.get(port);
    if (server === undefined) {
      server = new Server(port);
      this.#servers.set(port, server);
    }
    return server;
  }
}
