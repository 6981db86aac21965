// Clients of a cluster under faults: each asks one thing after the other, through any node, at a limited
// rate, and writes down what it asked and what it was told (test/histories). They share their keys, so
// that operations meet. What an answer says is taken at its word: 503 means that nothing was done.

import { Agent, request as httpRequest } from "node:http";
import type { Operation, OperationKind, Outcome } from "../histories/history.ts";
import type { Random } from "./random.ts";

export interface LoadOptions {
  /** `http://127.0.0.1:<port>` of each node. */
  readonly hosts: readonly string[];
  readonly clients: number;
  /** Between two operations of one client, on average. */
  readonly thinkMs: number;
  readonly random: Random;
  /** How reads ask for the newest: `linearizable`, or, without leaders, a level of the quorum protocol. */
  readonly newest: string;
  /** How reads ask for less. */
  readonly stale: "stale" | "one";
  /** Whether the node could have answered all the time since then; one that could and did not, hangs. */
  readonly wasWell: (host: string, sinceMs: number) => boolean;
}

/** A memory that clients know of. */
interface Key {
  readonly id: string;
  isDeleted: boolean;
}

const WRITE_MS = 4000;
const READ_MS = 3000;
/** After its own deadline a node may need this long to say so on a busy machine. */
const GRACE_MS = 10_000;
/** A client turns away from a node that is stopped or gone this long after the deadline. */
const PATIENCE_MS = 500;
const KEYS_AT_ONCE = 40;
/** Bounds that stale reads ask for. */
const STALENESS_MS = [200, 1000, 3000];

export class Load {
  /** Operations of known keys. */
  readonly history: Operation[] = [];
  /** Adds of which nobody was told the id: text -> when it was asked for. */
  readonly nameless = new Map<string, { readonly client: string; readonly invoked: number }>();
  /** Answers that no client should get, and answers that never came. */
  readonly complaints: string[] = [];
  operations = 0;
  private readonly options: LoadOptions;
  private readonly agent = new Agent({ keepAlive: true, maxFreeSockets: 4, timeout: 60_000 });
  private readonly keys: Key[] = [];
  private done = new AbortController();
  private running: Promise<unknown> | undefined;
  private written = 0;

  constructor(options: LoadOptions) {
    this.options = options;
  }

  start(): void {
    this.done = new AbortController();
    const clients = Array.from({ length: this.options.clients }, async (_, number) =>
      this.client(`client-${number + 1}`),
    );
    this.running = Promise.all(clients);
  }

  /** Resolves when every operation under way has ended. */
  async stop(): Promise<void> {
    this.done.abort();
    await this.running;
  }

  close(): void {
    this.agent.destroy();
  }

  /** Reads every key once more; every read is tried until it is answered. Resolves with what was not. */
  async readAll(withinMs: number): Promise<readonly string[]> {
    const deadlineMs = performance.now() + withinMs;
    const unanswered: string[] = [];
    const left = [...new Set([...this.keys.map(({ id }) => id), ...this.history.map(({ key }) => key)])];
    const reader = async (name: string): Promise<void> => {
      for (let id = left.shift(); id !== undefined; id = left.shift()) {
        while (!(await this.read(name, this.host(), id, false))) {
          if (performance.now() > deadlineMs) {
            unanswered.push(id);
            break;
          }
          await pause(50);
        }
      }
    };
    await Promise.all(["reader-1", "reader-2", "reader-3"].map(reader));
    return unanswered;
  }

  private host(): string {
    return this.options.random.pick(this.options.hosts);
  }

  private async client(name: string): Promise<void> {
    const { random, thinkMs } = this.options;
    while (!this.done.signal.aborted) {
      const host = this.host();
      const key = this.choose();
      const dice = random.next();
      if (key === undefined || dice < 0.2) await this.add(name, host);
      else if (dice < 0.45) await this.update(name, host, key);
      else if (dice < 0.53) await this.remove(name, host, key);
      else await this.read(name, host, key.id, dice > 0.85);
      await pause(random.next() * 2 * thinkMs);
    }
  }

  /** Mostly one of the newest, and one that is there. */
  private choose(): Key | undefined {
    const { random } = this.options;
    const newest = this.keys.slice(-KEYS_AT_ONCE);
    const there = newest.filter(({ isDeleted }) => !isDeleted);
    const from = there.length > 0 && random.chance(0.9) ? there : newest;
    return from.length === 0 ? undefined : random.pick(from);
  }

  private async add(client: string, host: string): Promise<void> {
    const value = this.text(client);
    const user_id = `user-${this.options.random.between(1, 12)}`;
    const invoked = performance.now();
    // Some come under an id of their own, which says nothing about where they lie.
    if (this.options.random.chance(0.15)) {
      const at = new Date().toISOString();
      const id = `own-${value.replaceAll(" ", "-")}`;
      const record = { id, memory: value, user_id, created_at: at, updated_at: at };
      const body = { records: [record] };
      const answer = await this.ask(host, "POST", "/v1/memories/import", body, WRITE_MS, {});
      this.note({ client, key: id, kind: "add", value, invoked }, answer, host);
      if (answer.status === 200) this.keys.push({ id, isDeleted: false });
      return;
    }
    const body = { messages: value, user_id };
    const answer = await this.ask(host, "POST", "/v3/memories/add/", body, WRITE_MS, {});
    const id = addedId(answer.body);
    if (answer.status === 200 && id !== undefined) {
      this.note({ client, key: id, kind: "add", value, invoked }, answer, host);
      this.keys.push({ id, isDeleted: false });
    } else {
      this.operations += 1;
      if (this.outcome(answer, "add", host) === "unknown") this.nameless.set(value, { client, invoked });
    }
  }

  private async update(client: string, host: string, key: Key): Promise<void> {
    const value = this.text(client);
    const invoked = performance.now();
    const answer = await this.ask(host, "PUT", path(key.id), { text: value }, WRITE_MS, {});
    this.note({ client, key: key.id, kind: "update", value, invoked }, answer, host);
  }

  private async remove(client: string, host: string, key: Key): Promise<void> {
    const invoked = performance.now();
    key.isDeleted = true;
    const answer = await this.ask(host, "DELETE", path(key.id), undefined, WRITE_MS, {});
    this.note({ client, key: key.id, kind: "delete", value: null, invoked }, answer, host);
  }

  /** False when it was not answered. */
  private async read(client: string, host: string, id: string, stale: boolean): Promise<boolean> {
    const invoked = performance.now();
    const { random, newest, stale: level } = this.options;
    // The bound is one that raft and paxos keep; a copy of a leaderless shard cannot know how old it is.
    const staleness = level === "stale" && random.chance(0.6) ? random.pick(STALENESS_MS) : Infinity;
    const headers = {
      "x-consistency": stale ? level : newest,
      ...(stale && staleness !== Infinity ? { "x-max-staleness-ms": String(staleness) } : {}),
    };
    const lag = stale ? { staleness } : {};
    const answer = await this.ask(host, "GET", path(id), undefined, READ_MS, headers);
    const seen = answer.status === 200 ? memoryText(answer.body) : null;
    this.note({ client, key: id, kind: "read", value: seen, invoked, ...lag }, answer, host);
    return answer.status === 200 || answer.status === 404;
  }

  private note(asked: Omit<Operation, "returned" | "outcome">, answer: Answer, host: string): void {
    this.operations += 1;
    const returned = performance.now();
    const outcome = this.outcome(answer, asked.kind, host);
    // Told that nothing is there, an update or delete has seen what a read of nothing sees.
    const seen = answer.status === 404 ? ({ ...asked, kind: "read", value: null } as const) : asked;
    if (seen.kind === "read" && outcome !== "ok") return;
    this.history.push({ ...seen, outcome, returned: outcome === "unknown" ? Infinity : returned });
  }

  private outcome({ status, body, refused }: Answer, kind: OperationKind, host: string): Outcome {
    if (status === 200 || (status === 404 && kind !== "add")) return "ok";
    if (status === 503 || status === 507 || status === 429 || refused) return "failed";
    if (status !== 0 && status !== 504) {
      this.complaints.push(`${kind} at ${host} was answered ${status} ${JSON.stringify(body)}`);
    }
    return "unknown";
  }

  private text(client: string): string {
    this.written += 1;
    return `${client} wrote ${this.written}`;
  }

  private async ask(
    host: string,
    method: string,
    where: string,
    body: unknown,
    withinMs: number,
    headers: Readonly<Record<string, string>>,
  ): Promise<Answer> {
    const began = performance.now();
    const payload = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve) => {
      const give = (answer: Answer): void => {
        clearInterval(watch);
        resolve(answer);
      };
      const request = httpRequest(
        new URL(where, host),
        {
          method,
          agent: this.agent,
          headers: {
            "x-timeout-ms": String(withinMs),
            ...(payload === undefined ? {} : { "content-type": "application/json" }),
            ...headers,
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", (error) => give(noAnswer(error)));
          response.on("end", () => give(readAnswer(response.statusCode ?? 0, Buffer.concat(chunks))));
        },
      );
      const watch = setInterval(() => {
        const lateMs = performance.now() - began - withinMs;
        const isWell = this.options.wasWell(host, began);
        if (lateMs < (isWell ? GRACE_MS : PATIENCE_MS)) return;
        if (isWell) this.complaints.push(`${host} did not answer ${method} ${where} within its deadline`);
        request.destroy(new Error("no answer in time"));
      }, 250);
      request.on("error", (error) => give(noAnswer(error)));
      request.end(payload);
    });
  }
}

interface Answer {
  /** 0: none came. */
  readonly status: number;
  readonly body: unknown;
  /** The node was not there, and so never saw the request. */
  readonly refused: boolean;
}

function noAnswer(error: Error): Answer {
  const refused = "code" in error && error.code === "ECONNREFUSED";
  return { status: 0, body: error.message, refused };
}

function readAnswer(status: number, bytes: Buffer): Answer {
  const text = bytes.toString();
  try {
    return { status, body: text === "" ? undefined : JSON.parse(text), refused: false };
  } catch {
    return { status: 0, body: text, refused: false };
  }
}

function path(id: string): string {
  return `/v1/memories/${id}/`;
}

function addedId(body: unknown): string | undefined {
  const { results } = (body ?? {}) as { readonly results?: readonly { readonly id?: string }[] };
  return results?.[0]?.id;
}

function memoryText(body: unknown): string | null {
  const { memory } = body as { readonly memory?: string };
  return memory ?? null;
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
