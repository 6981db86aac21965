// One connection to one Redis or Valkey server, by ioredis: commands go out in the order of the calls, as many
// as the caller likes without waiting, and every way to fail becomes words and what is known of the outcome.
// The library is told to send each command once and to answer for one server: it dials once, keeps nothing
// back for later, sends nothing again and follows no redirection. Whoever asks one node for its own view, or
// moves one slot, must know which node answered, and whoever writes, whether it may have been done.

import type { Redis, RedisOptions } from "ioredis";

import { Mem0ctlError } from "../../model/errors.ts";
import { connectionReason, NodeFailure, shortDuration, systemCode } from "../node-failure.ts";
import type { Endpoint } from "../node-failure.ts";
import { ProtocolError, ReplyError, textOf } from "./reply-values.ts";
import type { Argument, Command, Reply } from "./reply-values.ts";

export interface RedisCredentials {
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** PEM; undefined: no TLS. Certificate and key of this client where it has them. */
  readonly tls:
    | { readonly ca: Buffer; readonly cert: Buffer | undefined; readonly key: Buffer | undefined }
    | undefined;
}

export interface SendOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** A lost answer then means that the outcome is unknown, not that it failed. Default false. */
  readonly write?: boolean;
}

const CONNECT_MS_MAX = 2000;

/** What ioredis would otherwise do by itself. */
const ONCE_AND_AS_IT_IS = {
  lazyConnect: true,
  connectTimeout: CONNECT_MS_MAX,
  // After this many ms without the server's consent a connection is closed all the same.
  disconnectTimeout: 0,
  retryStrategy: () => null,
  reconnectOnError: null,
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false,
  // INFO, asked until the server has loaded its data: that it is loading is an answer, too.
  enableReadyCheck: false,
  // An older server takes them for errors.
  disableClientInfo: true,
  protocol: 2,
} as const satisfies RedisOptions;

/** A client of the library that has been dialled once, and why it is of no use any more. */
interface Line {
  readonly client: Redis;
  readonly ready: Promise<void>;
  ended: Error | undefined;
}

class Deadline extends Error {}
class ConnectDeadline extends Error {}
class Interrupted extends Error {}
class Closed extends Error {
  constructor() {
    super("connection closed");
  }
}

export class RedisConnection {
  readonly endpoint: Endpoint;
  readonly #credentials: RedisCredentials;
  #line: Line | undefined;
  #closed = false;

  constructor(endpoint: Endpoint, credentials: RedisCredentials) {
    this.endpoint = endpoint;
    this.#credentials = credentials;
  }

  /**
   * Sends the commands in one piece; the replies come in the same order, errors of single commands among
   * them as values.
   * @throws NodeFailure when the server did not answer, or refuses this client (kind denied).
   */
  async send(commands: readonly Command[], options: SendOptions): Promise<readonly Reply[]> {
    if (commands.length === 0) return [];
    let line: Line | undefined;
    let sent = false;
    let timer: NodeJS.Timeout | undefined;
    let interrupt: (() => void) | undefined;
    try {
      const ended = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(new Deadline()), options.timeoutMs);
        interrupt = () => reject(new Interrupted());
        if (options.signal?.aborted === true) interrupt();
        options.signal?.addEventListener("abort", interrupt, { once: true });
      });
      const Client = await Promise.race([library(), ended]);
      // The server may have closed it since the command before.
      if (this.#line !== undefined && !isWritable(this.#line)) this.#drop(this.#line, new Closed());
      line = this.#line ??= this.#dial(Client);
      await Promise.race([line.ready, ended]);
      if (line.ended !== undefined || !isWritable(line)) throw line.ended ?? new Closed();
      sent = true;
      const replies = await Promise.race([exchange(line.client, commands), ended]);
      const denied = replies.find(isDenial);
      if (denied !== undefined) throw this.#denial(denied);
      return replies;
    } catch (error) {
      if (error instanceof Mem0ctlError) throw error;
      const reason = isOurs(error) ? error : line?.ended;
      if (reason === undefined) throw error; // Nothing that a server or a network did.
      // Replies that come later would be taken for those of the next commands.
      if (line !== undefined) this.#drop(line, reason);
      throw this.#failure(reason, sent, options);
    } finally {
      clearTimeout(timer);
      if (interrupt !== undefined) options.signal?.removeEventListener("abort", interrupt);
    }
  }

  /** One command. @throws ReplyError as the server replied; NodeFailure. */
  async call(command: Command, options: SendOptions): Promise<Reply> {
    const [reply = null] = await this.send([command], options);
    if (reply instanceof ReplyError) throw reply;
    return reply;
  }

  close(): void {
    this.#closed = true;
    if (this.#line !== undefined) this.#drop(this.#line, new Closed());
  }

  #dial(Client: typeof Redis): Line {
    if (this.#closed) throw new Closed();
    const { host, port } = this.endpoint;
    const client = new Client({ ...ONCE_AND_AS_IT_IS, host, port, ...this.#tls() });
    const line: Line = { client, ready: this.#logIn(client), ended: undefined };
    line.ready.catch(() => this.#drop(line, new Closed()));
    client.on("error", (error) => this.#drop(line, meant(error)));
    client.on("close", () => this.#drop(line, new Closed()));
    return line;
  }

  #tls(): Pick<RedisOptions, "tls"> {
    const { tls } = this.#credentials;
    if (tls === undefined) return {};
    const { ca, cert, key } = tls;
    const { certifiedHost } = this.endpoint;
    return {
      tls: {
        ca,
        ...(cert === undefined || key === undefined ? {} : { cert, key }),
        ...(certifiedHost === undefined
          ? {}
          : {
              // Loaded by the library when it dials; imported above, every command would load it.
              checkServerIdentity: (_dialled, certificate) =>
                process.getBuiltinModule("node:tls").checkServerIdentity(certifiedHost, certificate),
            }),
      },
    };
  }

  /** As a command like others, because the library takes some refusals of a password for consent. */
  async #logIn(client: Redis): Promise<void> {
    await client.connect();
    const { user, password } = this.#credentials;
    if (password === undefined) return;
    const [reply] = await exchange(client, [["AUTH", ...(user === undefined ? [] : [user]), password]]);
    if (reply instanceof ReplyError) throw this.#denial(reply);
    textOf(reply);
  }

  /** The next call dials again, unless it was closed. */
  #drop(line: Line, reason: Error): void {
    if (line.ended !== undefined) return;
    // To those who wait behind, another's interruption is none of theirs.
    line.ended = reason instanceof Interrupted ? new Closed() : reason;
    if (this.#line === line) this.#line = undefined;
    line.client.disconnect();
  }

  #denial({ message, code }: ReplyError): NodeFailure {
    const { id } = this.endpoint;
    const without = this.#credentials.password === undefined;
    const isUnknownCommand = code === "NOPERM";
    return new NodeFailure(id, isUnknownCommand ? "not allowed" : "password refused", true, {
      kind: "denied",
      code: isUnknownCommand ? "not-allowed" : "unauthenticated",
      message: isUnknownCommand
        ? `${id} does not allow this user what was asked of it`
        : `${id} refused ${without ? "a client without a password" : "the password"}`,
      // The server's words name the user and the command, never the password.
      why: message,
      hint: "see `spec.security.user` and `spec.security.password` of the manifest",
    });
  }

  #failure(error: Error, sent: boolean, { timeoutMs, write = false }: SendOptions): Mem0ctlError {
    const { id } = this.endpoint;
    const reason = reasonOf(error, timeoutMs);
    if (sent && write) {
      return new NodeFailure(id, reason, true, {
        kind: "unknown-outcome",
        code: "outcome-unknown",
        message: `the outcome is unknown: ${this.#place()} was told, then ${reason}`,
        why: "it may or may not have happened",
        hint: "the same command again finds out, and goes on from there",
        cause: error,
      });
    }
    if (error instanceof Interrupted) return new Mem0ctlError("failed", "interrupted", "interrupted");
    return new NodeFailure(id, reason, sent, {
      kind: "unavailable",
      code: error instanceof ProtocolError ? "not-a-node" : codeOf(error),
      message: `${this.#place()}: ${reason}`,
      hint: "see the state of all nodes with `mem0ctl status`",
      cause: error,
    });
  }

  #place(): string {
    const { id, host, port } = this.endpoint;
    return `${id} (${host.includes(":") ? `[${host}]` : host}:${port})`;
  }
}

function isDenial(reply: Reply): reply is ReplyError {
  return reply instanceof ReplyError && ["NOAUTH", "WRONGPASS", "NOPERM"].includes(reply.code);
}

let loaded: Promise<typeof Redis> | undefined;

/** Loaded with the first command to a server: most commands of the program need none. */
function library(): Promise<typeof Redis> {
  // By its default: the bundler knows no other names of a CommonJS module that is imported when it is needed.
  return (loaded ??= import("ioredis").then((module) => module.default.Redis));
}

/** Being dialled counts. */
function isWritable({ client }: Line): boolean {
  return client.status !== "end" && client.stream?.writable !== false;
}

/** All in one piece. Rejects when a reply is missing. */
async function exchange(client: Redis, commands: readonly Command[]): Promise<Reply[]> {
  const pipeline = client.pipeline();
  for (const [name, ...rest] of commands) pipeline.callBuffer(name, rest.map(bytesOrText));
  const answers = (await pipeline.exec()) ?? [];
  return answers.map(([error, value]) => replyOf(error ?? value));
}

/** The library takes bytes that are no Buffer for a list of numbers. */
function bytesOrText(argument: Argument): string | Buffer {
  if (typeof argument !== "object") return String(argument);
  return Buffer.isBuffer(argument)
    ? argument
    : Buffer.from(argument.buffer, argument.byteOffset, argument.byteLength);
}

function replyOf(value: unknown): Reply {
  if (value === null || typeof value === "number" || Buffer.isBuffer(value)) return value;
  if (Array.isArray(value)) return value.map(replyOf);
  // Its own would hold the command and with it what may be secret.
  if (value instanceof Error && value.name === "ReplyError") return new ReplyError(value.message);
  throw value instanceof Error ? value : new ProtocolError("a reply of a kind that was not asked for");
}

/** What the library reports of a connection: an error of the system, or that it cannot read what arrived. */
function meant(error: Error): Error {
  if (systemCode(error) === "") return new ProtocolError(error.message);
  return error.message === "connect ETIMEDOUT" ? new ConnectDeadline() : error;
}

function isOurs(error: unknown): error is Error {
  return [Deadline, Interrupted, Closed, ConnectDeadline, ProtocolError].some(
    (kind) => error instanceof kind,
  );
}

function reasonOf(error: Error, timeoutMs: number): string {
  if (error instanceof Deadline) return `no answer within ${shortDuration(timeoutMs)}`;
  if (error instanceof ConnectDeadline) return `no connection within ${shortDuration(CONNECT_MS_MAX)}`;
  if (error instanceof Interrupted) return "interrupted";
  if (error instanceof ProtocolError) return "does not speak Redis";
  return connectionReason(error);
}

function codeOf(error: Error): string {
  if (error instanceof Deadline || error instanceof ConnectDeadline) return "no-answer";
  return systemCode(error) === "ECONNREFUSED" ? "connection-refused" : "connection-failed";
}
