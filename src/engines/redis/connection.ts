// One connection to one Redis or Valkey server: commands go out in the order of the calls, as many as the
// caller likes without waiting, and every way to fail becomes words and what is known of the outcome. It
// follows no redirection and never retries: whoever asks one node for its own view, or moves one slot, must
// know which node answered.

import { connect as connectPlain } from "node:net";
import type { Socket } from "node:net";

import { Mem0ctlError } from "../../model/errors.ts";
import { connectionReason, NodeFailure, shortDuration, systemCode } from "../node-failure.ts";
import type { Endpoint } from "../node-failure.ts";
import { encodeCommands, ProtocolError, ReplyError, ReplyParser, textOf } from "./resp.ts";
import type { Command, Reply } from "./resp.ts";

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

interface Waiting {
  readonly expected: number;
  readonly replies: Reply[];
  readonly resolve: (replies: Reply[]) => void;
  readonly reject: (error: Error) => void;
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
  #socket: Promise<Socket> | undefined;
  #waiting: Waiting[] = [];
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
      this.#socket ??= this.#open();
      const socket = await Promise.race([this.#socket, ended]);
      sent = true;
      const replies = await Promise.race([this.#exchange(socket, commands), ended]);
      const denied = replies.find(isDenial);
      if (denied !== undefined) throw this.#denial(denied);
      return replies;
    } catch (error) {
      if (error instanceof Mem0ctlError) throw error;
      // Replies that come later would be taken for those of the next commands.
      this.#drop(error instanceof Error ? error : new Error(String(error)));
      throw this.#failure(error instanceof Error ? error : new Error(String(error)), sent, options);
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
    this.#drop(new Closed());
  }

  #exchange(socket: Socket, commands: readonly Command[]): Promise<Reply[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ expected: commands.length, replies: [], resolve, reject });
      socket.write(encodeCommands(commands));
    });
  }

  async #open(): Promise<Socket> {
    if (this.#closed) throw new Closed();
    const socket = await dial(this.endpoint, this.#credentials.tls);
    const parser = new ReplyParser();
    socket.on("data", (chunk: Buffer) => {
      let replies: Reply[];
      try {
        replies = parser.push(chunk);
      } catch (error) {
        this.#drop(error instanceof Error ? error : new Error(String(error)));
        return;
      }
      for (const reply of replies) this.#deliver(reply);
    });
    socket.on("error", (error) => this.#drop(error));
    socket.on("close", () => this.#drop(new Closed()));
    const { user, password } = this.#credentials;
    if (password !== undefined) {
      const login: Command = user === undefined ? ["AUTH", password] : ["AUTH", user, password];
      const [reply] = await this.#exchange(socket, [login]);
      if (reply instanceof ReplyError) {
        socket.destroy();
        throw this.#denial(reply);
      }
      textOf(reply);
    }
    return socket;
  }

  #deliver(reply: Reply): void {
    const [first] = this.#waiting;
    if (first === undefined) return this.#drop(new ProtocolError("a reply that nobody asked for"));
    first.replies.push(reply);
    if (first.replies.length < first.expected) return;
    this.#waiting.shift();
    first.resolve(first.replies);
  }

  /** The next call dials again, unless it was closed. */
  #drop(error: Error): void {
    const socket = this.#socket;
    const waiting = this.#waiting;
    this.#socket = undefined;
    this.#waiting = [];
    for (const { reject } of waiting) reject(error);
    socket?.then(
      (open) => open.destroy(),
      () => undefined,
    );
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

async function dial({ host, port, certifiedHost }: Endpoint, tls: RedisCredentials["tls"]): Promise<Socket> {
  const secure = tls === undefined ? undefined : await import("node:tls");
  return new Promise((resolve, reject) => {
    const socket =
      tls === undefined || secure === undefined
        ? connectPlain({ host, port, noDelay: true })
        : secure.connect({
            host,
            port,
            ca: tls.ca,
            ...(tls.cert === undefined || tls.key === undefined ? {} : { cert: tls.cert, key: tls.key }),
            checkServerIdentity: (dialled, certificate) =>
              secure.checkServerIdentity(certifiedHost ?? dialled, certificate),
          });
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new ConnectDeadline());
    }, CONNECT_MS_MAX);
    const failed = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    socket.once("error", failed);
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      clearTimeout(timer);
      socket.off("error", failed);
      socket.setNoDelay(true);
      resolve(socket);
    });
  });
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
