// Writes that are done only when several copies have them. Replication is asynchronous: a primary answers
// before its replicas know, so after the write it is asked how many have caught up. WAITAOF counts copies
// that have it on disk; servers without it are asked by WAIT, which counts copies that received it. Either
// blocks its connection, so each such write has a connection to itself.

import { Mem0ctlError } from "../../model/errors.ts";
import type { Endpoint } from "../node-failure.ts";
import type { RedisConnection, SendOptions } from "./connection.ts";
import { listOf, numberOf, ReplyError, type Command, type Reply } from "./reply-values.ts";

export interface CopyWaitOptions {
  readonly deadlineMs: number;
  readonly copies: number;
  readonly send: SendOptions;
}

/** Connections to one server that wait at a time; further writes take turns. */
const WAITING_MAX = 16;
/** One question; asked again until the deadline. */
const WAIT_MS_MAX = 1000;
const MARGIN_MS = 50;
/** Beyond the wait itself. */
const ANSWER_MS_MAX = 2000;

interface Lanes {
  readonly idle: RedisConnection[];
  readonly queue: (() => void)[];
  open: number;
  /** Undefined until it was tried. */
  hasWaitAof: boolean | undefined;
}

export class CopyWaits {
  readonly #connect: (endpoint: Endpoint) => Promise<RedisConnection>;
  readonly #lanes = new Map<string, Lanes>();
  readonly #connections = new Set<RedisConnection>();

  constructor(connect: (endpoint: Endpoint) => Promise<RedisConnection>) {
    this.#connect = connect;
  }

  /**
   * The replies, once enough copies have what was written.
   * @throws Mem0ctlError `too-few-copies` (kind unknown-outcome): it is at the primary, and fewer copies than
   *   asked for are known to have it; NodeFailure.
   */
  async send(
    endpoint: Endpoint,
    commands: readonly Command[],
    options: CopyWaitOptions,
  ): Promise<readonly Reply[]> {
    const lanes = this.#lanesOf(endpoint);
    const connection = await this.#take(endpoint, lanes);
    try {
      const replies = await connection.send(commands, options.send);
      if (replies.some((reply) => !(reply instanceof ReplyError))) await wait(connection, lanes, options);
      return replies;
    } finally {
      lanes.idle.push(connection);
      lanes.queue.shift()?.();
    }
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
    this.#connections.clear();
    this.#lanes.clear();
  }

  #lanesOf({ host, port }: Endpoint): Lanes {
    const name = `${host} ${port}`;
    let lanes = this.#lanes.get(name);
    if (lanes === undefined) {
      lanes = { idle: [], queue: [], open: 0, hasWaitAof: undefined };
      this.#lanes.set(name, lanes);
    }
    return lanes;
  }

  async #take(endpoint: Endpoint, lanes: Lanes): Promise<RedisConnection> {
    for (let idle = lanes.idle.pop(); ; idle = lanes.idle.pop()) {
      if (idle !== undefined) return idle;
      if (lanes.open < WAITING_MAX) {
        lanes.open += 1;
        const connection = await this.#connect(endpoint);
        this.#connections.add(connection);
        return connection;
      }
      await new Promise<void>((resolve) => lanes.queue.push(resolve));
    }
  }
}

async function wait(connection: RedisConnection, lanes: Lanes, options: CopyWaitOptions): Promise<void> {
  const { copies, deadlineMs, send } = options;
  for (;;) {
    const leftMs = deadlineMs - performance.now() - MARGIN_MS;
    const waitMs = Math.max(1, Math.floor(Math.min(WAIT_MS_MAX, leftMs)));
    const onDisk = lanes.hasWaitAof !== false;
    const command: Command = onDisk ? ["WAITAOF", 1, copies - 1, waitMs] : ["WAIT", copies - 1, waitMs];
    const [reply] = await connection.send([command], { ...send, timeoutMs: waitMs + ANSWER_MS_MAX });
    if (onDisk && reply instanceof ReplyError) {
      // An older server, or one that keeps no append-only file.
      lanes.hasWaitAof = false;
      continue;
    }
    const have = copiesIn(reply);
    if (have >= copies) return;
    if (leftMs > WAIT_MS_MAX) continue;
    throw new Mem0ctlError(
      "unknown-outcome",
      "too-few-copies",
      `the write is at its primary, and ${have} of the ${copies} copies asked for are known to have it`,
      {
        why: "a failover now could lose it, and nobody takes it back",
        hint: "see the replicas with `mem0ctl replicas lag`; read the memory back before repeating it",
      },
    );
  }
}

/** The primary's own copy counts where it has what was asked: in memory for WAIT, on disk for WAITAOF. */
function copiesIn(reply: Reply | undefined): number {
  if (!Array.isArray(reply)) return numberOf(reply) + 1;
  const [own, others] = listOf(reply);
  return numberOf(own) + numberOf(others);
}
