// The network on sockets: one connection per pair of nodes, made by the node whose id sorts first, by an
// HTTP upgrade on the peer's one port. Both directions carry batches of group messages, beats and calls
// as frames. A peer of another cluster, another id, or one that lost its data and came back empty under
// its old id is refused.

import type { IncomingMessage } from "node:http";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { errorBody, errorFromBody, Mem0ctlError, type ErrorBody } from "../../model/errors.ts";
import type { GroupId, NodeId } from "../../model/ids.ts";
import type { Message } from "../../consensus/seam.ts";
import { TransientMap } from "../transient-map.ts";
import { encodeFrame, FRAME_BYTES_MAX, FrameReader } from "./frames.ts";
import { notPart, refusalOf, type Hello } from "./hello.ts";
import { PEER_PROTOCOL, type Network, type NetworkHandlers, type NodeBeat } from "./network.ts";
import { packMessage, unpackMessage, type PackedMessage } from "./packed.ts";

/** Above this many unsent bytes a peer is too slow: its messages are dropped (the protocol repeats them). */
const UNSENT_BYTES_MAX = 64 << 20;
const CALLS_MAX = 20_000;
const PROBES_MAX = 5;
const PROBE_MS = 30;
const FAREWELL_MS = 1000;
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 1000;

export interface PeerAddress {
  readonly id: NodeId;
  readonly host: string;
  readonly port: number;
}

export interface PeersOptions {
  readonly self: NodeId;
  readonly clusterId: string;
  /** Made when this node's data directory was made; a node that lost its data has a new one. */
  readonly uid: string;
  /** The uid a peer had before, if ever seen; `remember` stores it durably. */
  readonly knownUid: (peer: NodeId) => string | undefined;
  readonly rememberUid: (peer: NodeId, uid: string) => void;
  readonly adminToken: string | undefined;
  readonly tls: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer } | undefined;
  /** So many beats are sent without a word from the peer; then the connection is given up and made anew. */
  readonly silentBeatsMax: number;
  readonly handlers: NetworkHandlers;
  readonly onRefused: (peer: NodeId, reason: string) => void;
}

interface Refused {
  readonly k: "refused";
  readonly reason: string;
  /** Of the sender's shard map, where the reason is that it does not have the other side; an older version does not say. */
  readonly epoch?: number;
}

type Frame = Hello | Refused | Batch;

type Call = readonly [id: number, method: string, body: unknown];
type Answer = readonly [id: number, body: unknown];
type Failure = readonly [id: number, error: ErrorBody];

/** Everything that one turn of the event loop has for a peer, without the names of its parts: most frames are this. */
type Batch = readonly [
  messages: readonly PackedMessage[],
  calls: readonly Call[],
  answers: readonly Answer[],
  failures: readonly Failure[],
  beat: NodeBeat | null,
];

interface PendingCall {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

interface Outbox {
  readonly messages: PackedMessage[];
  readonly calls: Call[];
  readonly answers: Answer[];
  readonly failures: Failure[];
  beat: NodeBeat | null;
}

function emptyOutbox(): Outbox {
  return { messages: [], calls: [], answers: [], failures: [], beat: null };
}

function isEmpty({ messages, calls, answers, failures, beat }: Outbox): boolean {
  return messages.length + calls.length + answers.length + failures.length === 0 && beat === null;
}

interface Link {
  address: PeerAddress;
  socket: Duplex | undefined;
  /** Beats sent since the peer was last heard on this connection. */
  silentBeats: number;
  outbox: Outbox;
  readonly calls: TransientMap<number, PendingCall>;
  error: string | undefined;
  retryMs: number;
  retryTimer: NodeJS.Timeout | undefined;
  dialing: boolean;
}

export class Peers implements Network {
  private readonly links = new Map<NodeId, Link>();
  private readonly options: PeersOptions;
  private readonly pendingSockets = new Set<Duplex>();
  /** Of the map that says who the peers are. */
  private epoch = 0;
  private nextCall = 1;
  private closed = false;
  private soon: NodeJS.Immediate | undefined;

  constructor(options: PeersOptions) {
    this.options = options;
  }

  /**
   * Sets who the peers are, by the map of that epoch; those that it does not have any more are told so and their
   * connections are closed, new ones are dialled.
   */
  setPeers(addresses: readonly PeerAddress[], epoch: number): void {
    this.epoch = epoch;
    const wanted = new Map(addresses.map((address) => [address.id, address]));
    for (const [id, link] of this.links) {
      const address = wanted.get(id);
      if (address !== undefined && address.host === link.address.host && address.port === link.address.port)
        continue;
      this.links.delete(id);
      this.drop(
        link,
        "it is no longer part of the cluster",
        address === undefined ? { k: "refused", reason: notPart(id), epoch } : undefined,
      );
      clearTimeout(link.retryTimer);
    }
    for (const address of addresses) {
      if (address.id === this.options.self || this.links.has(address.id)) continue;
      const link: Link = {
        address,
        socket: undefined,
        silentBeats: 0,
        outbox: emptyOutbox(),
        calls: new TransientMap(),
        error: "not connected yet",
        retryMs: RETRY_MS_MIN,
        retryTimer: undefined,
        dialing: false,
      };
      this.links.set(address.id, link);
      if (this.dials(address.id)) this.dial(link);
    }
  }

  send(to: NodeId, group: GroupId, message: Message): void {
    const link = this.links.get(to);
    if (link?.socket !== undefined) link.outbox.messages.push(packMessage(group, message));
  }

  beat(to: NodeId, beat: NodeBeat): void {
    const link = this.links.get(to);
    if (link?.socket === undefined) return;
    link.outbox.beat = beat;
    // Whoever lies between may have forgotten the connection (NAT, a firewall, a machine without power): then
    // nobody ends it, and it never carries anything again. Counted in beats and not in time, so that a
    // process that was stopped does not blame its peers for the time that it missed.
    link.silentBeats += 1;
    if (link.silentBeats <= this.options.silentBeatsMax) return;
    link.error = "the connection is open, and nothing comes";
    link.socket.destroy();
  }

  flush(): void {
    // What comes after this leaves with the next turn's: a frame costs more than what it carries.
    clearImmediate(this.soon);
    this.soon = undefined;
    for (const link of this.links.values()) {
      const { outbox, socket } = link;
      if (isEmpty(outbox)) continue;
      link.outbox = emptyOutbox();
      if (socket === undefined) continue;
      // A peer that is too slow loses messages, which the protocol repeats; never a call or an answer.
      const messages = socket.writableLength < UNSENT_BYTES_MAX ? outbox.messages : [];
      writeBatch(socket, { ...outbox, messages });
    }
  }

  /** At the end of the turn, with everything else that it has for the peer. */
  flushSoon(): void {
    this.soon ??= setImmediate(() => {
      this.soon = undefined;
      if (!this.options.handlers.willFlush()) this.flush();
    });
  }

  call(to: NodeId, method: string, body: unknown, deadlineMs: number): Promise<unknown> {
    const link = this.links.get(to);
    const socket = link?.socket;
    if (link === undefined || socket === undefined) {
      return Promise.reject(notDelivered(to, link?.error ?? "it is not part of the cluster"));
    }
    if (link.calls.size >= CALLS_MAX || socket.writableLength >= UNSENT_BYTES_MAX) {
      return Promise.reject(new Mem0ctlError("busy", "peer-busy", `${to} has too many requests in flight`));
    }
    const id = this.nextCall++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => {
          link.calls.take(id);
          reject(unanswered(to, "no answer in time"));
        },
        Math.max(1, deadlineMs - performance.now()),
      );
      link.calls.set(id, { resolve, reject, timer });
      link.outbox.calls.push([id, method, body]);
      this.flushSoon();
    });
  }

  connected(to: NodeId): boolean {
    return this.links.get(to)?.socket !== undefined;
  }

  lastError(to: NodeId): string | undefined {
    const link = this.links.get(to);
    return link?.socket === undefined ? link?.error : undefined;
  }

  /** Takes over a socket that a peer upgraded. The HTTP server has checked the token and certificate. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (this.closed || request.headers.upgrade !== PEER_PROTOCOL) {
      socket.destroy();
      return;
    }
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${PEER_PROTOCOL}\r\n\r\n`,
    );
    this.greet(socket, head, undefined);
  }

  close(): void {
    this.closed = true;
    for (const socket of this.pendingSockets) socket.destroy();
    for (const link of this.links.values()) {
      clearTimeout(link.retryTimer);
      this.drop(link, "this node is stopping");
    }
  }

  private dials(peer: NodeId): boolean {
    return this.options.self < peer;
  }

  private dial(link: Link): void {
    if (this.closed || link.dialing || link.socket !== undefined || this.links.get(link.address.id) !== link)
      return;
    link.dialing = true;
    const { tls, adminToken } = this.options;
    const send = tls === undefined ? httpRequest : httpsRequest;
    const request = send({
      host: link.address.host,
      port: link.address.port,
      path: "/",
      timeout: 3000,
      ...(tls === undefined ? {} : { cert: tls.cert, key: tls.key, ca: tls.ca }),
      headers: {
        connection: "Upgrade",
        upgrade: PEER_PROTOCOL,
        ...(adminToken === undefined ? {} : { authorization: `Token ${adminToken}` }),
      },
    });
    let settled = false;
    const fail = (error: string, refused: boolean): void => {
      if (settled) return;
      settled = true;
      request.destroy();
      link.dialing = false;
      link.error = error;
      if (refused) this.options.handlers.onGone(link.address.id);
      this.redial(link);
    };
    request.on("upgrade", (_response, socket, head) => {
      if (settled) {
        socket.destroy();
        return;
      }
      settled = true;
      link.dialing = false;
      this.greet(socket, head, link);
    });
    request.on("response", (response) => {
      response.resume();
      fail(`HTTP ${response.statusCode ?? 0}`, false);
    });
    request.on("timeout", () => fail("no answer within 3 s", false));
    request.on("error", (error: NodeJS.ErrnoException) => {
      fail(
        error.code === "ECONNREFUSED" ? "connection refused" : error.message,
        error.code === "ECONNREFUSED",
      );
    });
    request.end();
  }

  private redial(link: Link): void {
    if (this.closed || !this.dials(link.address.id)) return;
    clearTimeout(link.retryTimer);
    link.retryTimer = setTimeout(() => this.dial(link), link.retryMs);
    link.retryMs = Math.min(RETRY_MS_MAX, link.retryMs * 2);
  }

  /** Both sides say hello first; `dialled` is the link this side dialled, undefined when it accepted. */
  private greet(socket: Duplex, head: Buffer, dialled: Link | undefined): void {
    if ("setNoDelay" in socket && typeof socket.setNoDelay === "function") socket.setNoDelay(true);
    if ("setTimeout" in socket && typeof socket.setTimeout === "function") socket.setTimeout(0);
    this.pendingSockets.add(socket);
    const { self, clusterId, uid } = this.options;
    const hello = (to: NodeId): void => {
      socket.write(encodeFrame({ k: "hello", clusterId, from: self, to, uid } satisfies Frame));
    };
    if (dialled !== undefined) hello(dialled.address.id);
    const reader = new FrameReader();
    let link: Link | undefined;
    const timer = setTimeout(() => socket.destroy(), 5000);
    const onFrame = (frame: Frame): void => {
      // Also after its own hello was accepted: the other side may know what this one does not.
      if ("k" in frame && frame.k === "refused") {
        const peer = link ?? dialled;
        if (peer !== undefined) peer.error = `refused: ${frame.reason}`;
        this.options.onRefused(peer?.address.id ?? "", frame.reason);
        if (frame.epoch !== undefined) this.options.handlers.onDismissed(frame.epoch);
        socket.destroy();
        return;
      }
      if (link !== undefined) {
        // Of one that was told to go, nothing more.
        if (link.socket === socket) this.receive(link, frame);
        return;
      }
      if (!("k" in frame) || frame.k !== "hello") {
        socket.destroy();
        return;
      }
      const isMember = this.links.has(frame.from);
      const refusal = refusalOf(frame, this.options, dialled?.address.id, isMember);
      if (refusal !== undefined) {
        const known = this.links.get(frame.from);
        if (known !== undefined) known.error = `refused: ${refusal}`;
        this.options.onRefused(frame.from, refusal);
        const { epoch } = this;
        const about = refusal === notPart(frame.from) ? { epoch } : {};
        socket.end(encodeFrame({ k: "refused", reason: refusal, ...about } satisfies Frame));
        return;
      }
      clearTimeout(timer);
      this.pendingSockets.delete(socket);
      if (dialled === undefined) hello(frame.from);
      link = this.links.get(frame.from);
      if (link === undefined) {
        socket.destroy();
        return;
      }
      if (this.options.knownUid(frame.from) === undefined) this.options.rememberUid(frame.from, frame.uid);
      if (link.socket !== undefined) this.drop(link, "it connected anew");
      link.socket = socket;
      link.silentBeats = 0;
      link.error = undefined;
      link.retryMs = RETRY_MS_MIN;
    };
    const read = (chunk: Buffer): void => {
      // Bytes and not frames: a large frame takes its time on a slow link.
      if (link?.socket === socket) link.silentBeats = 0;
      try {
        reader.push(chunk, (value) => onFrame(parseFrame(value)));
      } catch (error) {
        const where = link ?? dialled;
        if (where !== undefined) where.error = error instanceof Error ? error.message : String(error);
        socket.destroy();
      }
    };
    socket.on("data", read);
    socket.on("error", () => socket.destroy());
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      clearTimeout(timer);
      this.pendingSockets.delete(socket);
      const mine = link ?? dialled;
      if (mine !== undefined && (mine.socket === socket || link === undefined)) {
        this.drop(mine, mine.error ?? "the connection was closed");
        this.probe(mine);
        this.redial(mine);
      }
    });
    if (head.length > 0) read(head);
  }

  /**
   * A closed connection alone says little; a refused one says that the process is gone. Asked a few times:
   * a dying process may close its connections just before the port they came to.
   */
  private probe(link: Link, times = PROBES_MAX): void {
    if (this.closed || link.socket !== undefined || times === 0) return;
    const socket = connect({ host: link.address.host, port: link.address.port, timeout: PROBE_MS });
    const again = (): void => {
      socket.destroy();
      setTimeout(() => this.probe(link, times - 1), PROBE_MS);
    };
    socket.on("connect", again);
    socket.on("timeout", again);
    socket.on("error", (error: NodeJS.ErrnoException) => {
      socket.destroy();
      if (error.code !== "ECONNREFUSED" || this.closed || link.socket !== undefined) return;
      link.error = "connection refused";
      this.options.handlers.onGone(link.address.id);
    });
  }

  private drop(link: Link, error: string, farewell?: Refused): void {
    const { socket } = link;
    link.socket = undefined;
    link.outbox = emptyOutbox();
    link.error = error;
    if (farewell === undefined) socket?.destroy();
    else part(socket, farewell);
    for (const call of link.calls.takeAll()) {
      clearTimeout(call.timer);
      call.reject(unanswered(link.address.id, error));
    }
  }

  private receive(link: Link, frame: Frame): void {
    if ("k" in frame) return;
    const [packed, calls, answers, failures, beat] = frame;
    const { handlers } = this.options;
    const from = link.address.id;
    if (beat !== null) handlers.onBeat(from, beat);
    if (packed.length > 0) {
      const { self } = this.options;
      const messages = packed.map((message) => unpackMessage(message, from, self));
      handlers.onMessages(
        from,
        messages.filter((message) => message !== undefined),
      );
    }
    for (const [id, method, body] of calls) this.answer(link, id, handlers.onCall(from, method, body));
    for (const [id, body] of answers) this.settle(link, id)?.resolve(body);
    for (const [id, error] of failures) this.settle(link, id)?.reject(errorFromBody(error));
  }

  private answer(link: Link, id: number, work: Promise<unknown>): void {
    const { socket } = link;
    work.then(
      (body) => {
        // A peer that connected anew has given the call up.
        if (link.socket === socket) link.outbox.answers.push([id, body]);
        this.flushSoon();
      },
      (error: unknown) => {
        if (link.socket === socket) link.outbox.failures.push([id, errorBody(error)]);
        this.flushSoon();
      },
    );
  }

  private settle(link: Link, id: number): PendingCall | undefined {
    const call = link.calls.take(id);
    clearTimeout(call?.timer);
    return call;
  }
}

/** The last word to a peer, which closes the connection when it has read it, or has it closed. */
function part(socket: Duplex | undefined, farewell: Refused): void {
  socket?.end(encodeFrame(farewell satisfies Frame));
  setTimeout(() => socket?.destroy(), FAREWELL_MS).unref();
}

/** One frame, or, where that would be more than a peer takes, one for each thing in it. */
function writeBatch(socket: Duplex, outbox: Outbox): void {
  const { messages, calls, answers, failures, beat } = outbox;
  const frame = encodeFrame([messages, calls, answers, failures, beat] satisfies Frame);
  if (frame.length - 4 <= FRAME_BYTES_MAX) {
    socket.write(frame);
    return;
  }
  const alone = (part: Partial<Outbox>): void => writeBatch(socket, { ...emptyOutbox(), ...part });
  if (messages.length + calls.length + answers.length + failures.length > 1) {
    if (beat !== null) alone({ beat });
    for (const message of messages) alone({ messages: [message] });
    for (const call of calls) alone({ calls: [call] });
    for (const answer of answers) alone({ answers: [answer] });
    for (const failure of failures) alone({ failures: [failure] });
    return;
  }
  // A single call or message is bounded where it is made; an answer is as large as what was asked for.
  for (const [id] of answers) alone({ failures: [[id, errorBody(answerTooLarge())]] });
}

function answerTooLarge(): Mem0ctlError {
  return new Mem0ctlError(
    "too-large",
    "answer-too-large",
    "the answer is larger than one message between nodes",
    {
      why: `${FRAME_BYTES_MAX} bytes is the limit`,
      hint: "ask for a smaller page, or narrow the filter",
    },
  );
}

function notDelivered(peer: NodeId, why: string): Mem0ctlError {
  return new Mem0ctlError("unavailable", "peer-unreachable", `${peer} cannot be reached`, { why });
}

function unanswered(peer: NodeId, why: string): Mem0ctlError {
  return new Mem0ctlError("unknown-outcome", "peer-did-not-answer", `${peer} did not answer`, {
    why,
    hint: "the outcome of a write is unknown: read it back, or repeat it with the same id",
  });
}

const KINDS = new Set(["hello", "refused"]);
const LISTS = 4;

/** Peers are authenticated; this still refuses what is not a frame at all. */
function parseFrame(value: unknown): Frame {
  if (Array.isArray(value)) {
    if (value.length > LISTS && value.slice(0, LISTS).every(Array.isArray)) return value as unknown as Batch;
  } else if (typeof value === "object" && value !== null && "k" in value && KINDS.has(String(value.k))) {
    return value as Hello | Refused;
  }
  throw new Error("the peer sent something that is not a frame");
}
