// Real Redis servers for a test: the cluster that the CLI makes, and single commands to one of its servers.

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { RedisConnection } from "../../../src/engines/redis/connection.ts";
import { ReplyError, type Command, type Reply } from "../../../src/engines/redis/reply-values.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { slotOf } from "../../../src/topology/slots.ts";
import { makeCluster, type ClusterOptions, type TestCluster } from "./cluster.ts";

/** `MEM0CTL_REDIS_SERVER` names another server than the one on PATH, as it does for `up`. */
function isInstalled(): boolean {
  if ((process.env["MEM0CTL_REDIS_SERVER"] ?? "") !== "") return true;
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, "redis-server"), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** In CI a missing server fails the tests, so that nobody takes a skipped test for a passed one. */
export const HAS_REDIS = isInstalled() || process.env["CI"] === "true";
if (!HAS_REDIS)
  process.stderr.write("skipped: no redis-server is installed (apt-get install redis-server)\n");

/** The bus is at the port + 10,000, and belongs below the ports of outgoing connections, too. */
const PORT_MAX = 22_700;

/** A manifest for redis; quick to notice a lost primary, so that tests need not wait long. */
export async function makeRedisCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const { nodes = 6, flags = [], edit, ...rest } = options;
  return makeCluster({
    nodes,
    portMax: PORT_MAX,
    flags: ["--engine", "redis", "--replication", "single", ...flags],
    edit: (text, directory) => {
      const quick = text.replace("electionTimeout: 5s", "electionTimeout: 1s");
      return edit === undefined ? quick : edit(quick, directory);
    },
    ...rest,
  });
}

export async function bringUpRedis(options: ClusterOptions = {}): Promise<TestCluster> {
  const cluster = await makeRedisCluster(options);
  const { code, stdout, stderr } = await cluster.mem0ctl("up", "--timeout", "40s");
  if (code === 0) return cluster;
  await cluster.end();
  throw new Error(`up: exit ${code}\n${stdout}\n${stderr}`);
}

/** One command to the server at a port; throws what the server says. */
export async function ask(port: number, ...command: Command): Promise<Reply> {
  const connection = connectTo(port);
  try {
    return await connection.call(command, { timeoutMs: 5000 });
  } finally {
    connection.close();
  }
}

/** Acknowledged writes that are not where a map says: one question to each node, however many keys. */
export async function missingKeys(
  cluster: TestCluster,
  map: ShardMap,
  keys: readonly string[],
): Promise<readonly string[]> {
  const byPort = new Map<number, string[]>();
  for (const key of keys) {
    const slot = slotOf(key);
    const shard = map.shards.find(({ slots }) => slots.some(({ from, to }) => from <= slot && slot <= to));
    const port = cluster.ports[Number(shard?.replicas[0]?.slice("node-".length)) - 1] ?? 0;
    const own = byPort.get(port);
    if (own === undefined) byPort.set(port, [key]);
    else own.push(key);
  }
  const missing = await Promise.all(
    [...byPort].map(async ([port, own]) => {
      const connection = connectTo(port);
      try {
        const values = await connection.send(
          own.map((key): Command => ["GET", key]),
          { timeoutMs: 20_000 },
        );
        return own.filter((key, index) => String(values[index]) !== `value of ${key}`);
      } finally {
        connection.close();
      }
    }),
  );
  return missing.flat();
}

function connectTo(port: number): RedisConnection {
  return new RedisConnection(
    { id: `port ${port}`, host: "127.0.0.1", port },
    { user: undefined, password: undefined, tls: undefined },
  );
}

/**
 * Writes numbered keys one after the other, as a client would: it follows MOVED and ASK, and tries again
 * where a node is gone. What was acknowledged, and every other answer, is kept.
 */
export class Writer {
  readonly acknowledged: string[] = [];
  readonly errors: string[] = [];
  /** The longest that one write took, from its first try to its acknowledgement. */
  longestMs = 0;
  readonly #connections = new Map<number, RedisConnection>();
  readonly #ports: readonly number[];
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(ports: readonly number[]) {
    this.#ports = ports;
  }

  start(prefix = "key"): void {
    this.#running = (async () => {
      for (let number = 0; !this.#stopped; number += 1) {
        const key = `${prefix}:${number}`;
        const began = performance.now();
        await this.write(key);
        this.longestMs = Math.max(this.longestMs, performance.now() - began);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    for (const connection of this.#connections.values()) connection.close();
  }

  /** One key, until it is acknowledged or this is stopped. */
  async write(key: string): Promise<void> {
    let port = this.#ports[0] ?? 0;
    let asking = false;
    for (let attempt = 0; !this.#stopped; attempt += 1) {
      try {
        const commands: Command[] = [
          ...(asking ? [["ASKING"] as const] : []),
          ["SET", key, `value of ${key}`],
        ];
        const reply = (await this.#to(port).send(commands, { timeoutMs: 1000, write: true })).at(-1);
        asking = false;
        if (Buffer.isBuffer(reply) && reply.toString() === "OK") {
          this.acknowledged.push(key);
          return;
        }
        if (!(reply instanceof ReplyError)) throw new Error(`not an answer to SET: ${String(reply)}`);
        const redirection = /^(MOVED|ASK) \d+ \S*:(\d+)$/.exec(reply.message);
        if (redirection === null) {
          this.errors.push(reply.message);
          await new Promise((resolve) => setTimeout(resolve, 50));
        } else {
          port = Number(redirection[2]);
          asking = redirection[1] === "ASK";
        }
      } catch (error) {
        this.errors.push(error instanceof Error ? error.message : String(error));
        port = this.#ports[attempt % this.#ports.length] ?? port;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  #to(port: number): RedisConnection {
    let connection = this.#connections.get(port);
    if (connection === undefined) {
      connection = connectTo(port);
      this.#connections.set(port, connection);
    }
    return connection;
  }
}
