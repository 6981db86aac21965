// The network between the nodes of a cluster, as far as a process without rights can spoil it: one TCP
// proxy stands at every node's address and forwards to where the node listens. A proxy learns who dialled
// from the hello that begins every connection between nodes, and applies rules by direction and pair.
// Bytes are delayed, throttled, held back or cut off with their connection, never changed: TCP would not.

import { connect, createServer, type Server, type Socket } from "node:net";
import { FrameReader } from "../../src/node/transport/frames.ts";

export interface NodePlace {
  readonly id: string;
  /** Where the others dial it. */
  readonly port: number;
  /** Where its process listens. */
  readonly listens: number;
}

/** What happens to the bytes from one node to another. */
export interface LinkRule {
  /** Nothing gets through; what was sent arrives when the rule is gone, unless the connection died. */
  readonly stalled?: boolean;
  readonly delayMs?: number;
  readonly bytesPerSecond?: number;
}

/** Between two nodes, either way, or a way of its own. */
export interface Links {
  rule(from: string, to: string, rule: LinkRule): void;
  /** Ends the connections of a pair; a new one may be dialled. */
  reset(one: string, other: string): void;
  /**
   * Connections that are open lose everything from now on and never end, and new ones are accepted and
   * never answered, until `heal`, which frees new ones only: a firewall that forgot its connections.
   */
  freeze(node: string): void;
  /** No rule is left; connections that were held go on, frozen ones never do. */
  heal(): void;
  close(): Promise<void>;
}

/** Listens at every node's address. */
export async function openLinks(places: readonly NodePlace[]): Promise<Links> {
  const links = new ProxiedLinks(places);
  await links.open();
  return links;
}

const HOST = "127.0.0.1";
/** Read ahead of a slow direction; above this the sender meets a closed window. */
const HELD_BYTES_MAX = 1 << 20;
const HTTP_HEAD_END = Buffer.from("\r\n\r\n");

class ProxiedLinks implements Links {
  private readonly places: readonly NodePlace[];
  private readonly servers: Server[] = [];
  private readonly rules = new Map<string, LinkRule>();
  private readonly frozen = new Set<string>();
  private readonly connections = new Set<Connection>();

  constructor(places: readonly NodePlace[]) {
    this.places = places;
  }

  async open(): Promise<void> {
    for (const place of this.places) {
      const server = createServer((socket) => this.accept(place, socket));
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(place.port, HOST, resolve);
      });
      this.servers.push(server);
    }
  }

  rule(from: string, to: string, rule: LinkRule): void {
    this.rules.set(`${from} > ${to}`, rule);
    this.look();
  }

  reset(one: string, other: string): void {
    for (const connection of this.connections) {
      if (connection.isBetween(one, other)) connection.end();
    }
  }

  freeze(node: string): void {
    this.frozen.add(node);
    for (const connection of this.connections) if (connection.touches(node)) connection.freeze();
  }

  heal(): void {
    this.rules.clear();
    this.frozen.clear();
    this.look();
  }

  async close(): Promise<void> {
    for (const connection of this.connections) connection.end();
    await Promise.all(
      this.servers.map(
        async (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve());
          }),
      ),
    );
  }

  private accept(place: NodePlace, dialled: Socket): void {
    const connection = new Connection({
      dialled,
      reached: connect({ host: HOST, port: place.listens }),
      to: place.id,
      ruleOf: (from, to) => this.rules.get(`${from} > ${to}`),
      onKnown: (from) => {
        if (this.frozen.has(from)) connection.freeze();
      },
      onEnd: () => this.connections.delete(connection),
    });
    this.connections.add(connection);
    if (this.frozen.has(place.id)) connection.freeze();
  }

  private look(): void {
    for (const connection of this.connections) connection.look();
  }
}

interface ConnectionParts {
  readonly dialled: Socket;
  readonly reached: Socket;
  readonly to: string;
  readonly ruleOf: (from: string, to: string) => LinkRule | undefined;
  readonly onKnown: (from: string) => void;
  readonly onEnd: () => void;
}

/** One connection through a proxy: two directions, each under its rule. */
class Connection {
  private readonly parts: ConnectionParts;
  /** Who dialled; undefined until it has said so, and for whoever is no node. */
  private from: string | undefined;
  private readonly there: Direction;
  private readonly back: Direction;
  private ended = false;

  constructor(parts: ConnectionParts) {
    this.parts = parts;
    const { dialled, reached, to, ruleOf } = parts;
    const listen = listener((from) => {
      this.from = from;
      parts.onKnown(from);
    });
    this.there = new Direction(dialled, reached, () =>
      this.from === undefined ? undefined : ruleOf(this.from, to),
    );
    this.back = new Direction(reached, dialled, () =>
      this.from === undefined ? undefined : ruleOf(to, this.from),
    );
    for (const socket of [dialled, reached]) {
      socket.setNoDelay(true);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => this.look());
    }
    dialled.on("data", (chunk: Buffer) => {
      if (this.from === undefined) listen(chunk);
      this.there.take(chunk);
    });
    reached.on("data", (chunk: Buffer) => this.back.take(chunk));
  }

  isBetween(one: string, other: string): boolean {
    const { to } = this.parts;
    return (this.from === one && to === other) || (this.from === other && to === one);
  }

  touches(node: string): boolean {
    return this.from === node || this.parts.to === node;
  }

  freeze(): void {
    this.there.freeze();
    this.back.freeze();
  }

  /** Looks again at what is due. That one side has closed comes through when nothing holds it up. */
  look(): void {
    this.there.look();
    this.back.look();
    const { dialled, reached } = this.parts;
    if (dialled.destroyed && reached.destroyed) this.end();
    else if (dialled.destroyed && this.there.isOpen()) this.end();
    else if (reached.destroyed && this.back.isOpen()) this.end();
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.there.stop();
    this.back.stop();
    this.parts.dialled.destroy();
    this.parts.reached.destroy();
    this.parts.onEnd();
  }
}

/** What one side sends to the other, in order, each chunk when its time has come. */
class Direction {
  private isFrozen = false;
  private readonly source: Socket;
  private readonly target: Socket;
  private readonly rule: () => LinkRule | undefined;
  private readonly held: { readonly chunk: Buffer; readonly dueMs: number }[] = [];
  private heldBytes = 0;
  private timer: NodeJS.Timeout | undefined;
  /** Until when a throttled link is busy with what it took before. */
  private busyUntilMs = 0;

  constructor(source: Socket, target: Socket, rule: () => LinkRule | undefined) {
    this.source = source;
    this.target = target;
    this.rule = rule;
  }

  take(chunk: Buffer): void {
    if (this.isFrozen) return;
    const { delayMs = 0, bytesPerSecond } = this.rule() ?? {};
    const nowMs = performance.now();
    let dueMs = nowMs + delayMs;
    if (bytesPerSecond !== undefined) {
      this.busyUntilMs = Math.max(this.busyUntilMs, nowMs) + (chunk.length / bytesPerSecond) * 1000;
      dueMs = Math.max(dueMs, this.busyUntilMs);
    }
    this.held.push({ chunk, dueMs });
    this.heldBytes += chunk.length;
    this.look();
  }

  /** Forwards what is due, and takes more or not. */
  look(): void {
    clearTimeout(this.timer);
    if (this.isFrozen) return;
    const stalled = this.rule()?.stalled === true;
    for (let first = this.held[0]; first !== undefined && !stalled; first = this.held[0]) {
      const waitMs = first.dueMs - performance.now();
      if (waitMs > 0) {
        this.timer = setTimeout(() => this.look(), waitMs);
        break;
      }
      this.held.shift();
      this.heldBytes -= first.chunk.length;
      this.target.write(first.chunk);
    }
    if (this.heldBytes > HELD_BYTES_MAX) this.source.pause();
    else this.source.resume();
  }

  freeze(): void {
    this.isFrozen = true;
    this.stop();
    // What comes is read and thrown away: the sender never meets a closed window, as with a lost machine
    // it would not for a while.
    this.source.resume();
  }

  /** Whether an end would get through. */
  isOpen(): boolean {
    return !this.isFrozen && this.rule()?.stalled !== true;
  }

  stop(): void {
    clearTimeout(this.timer);
    this.held.length = 0;
    this.heldBytes = 0;
  }
}

/** Reads the beginning of what a dialler sends, and tells who it is as soon as its hello has passed. */
function listener(onKnown: (from: string) => void): (chunk: Buffer) => void {
  const reader = new FrameReader();
  let head: Buffer | undefined = Buffer.alloc(0);
  let done = false;
  return (chunk) => {
    if (done) return;
    let rest = chunk;
    if (head !== undefined) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf(HTTP_HEAD_END);
      if (end === -1) return;
      rest = head.subarray(end + HTTP_HEAD_END.length);
      head = undefined;
    }
    try {
      reader.push(rest, (frame) => {
        if (typeof frame !== "object" || frame === null || !("from" in frame) || done) return;
        done = true;
        onKnown(String(frame.from));
      });
    } catch {
      // No node: an HTTP client's next request.
      done = true;
    }
  };
}
