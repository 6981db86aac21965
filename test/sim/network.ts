// The network between simulated nodes. Messages of the protocols may be lost, doubled, delayed and overtaken;
// calls run in order over a connection that may stall for as long as a partition lasts, or break. Which of
// it happens is decided by the weather, and by partitions, path by path and direction by direction.

import type { Message } from "../../src/consensus/seam.ts";
import { errorBody, errorFromBody, Mem0ctlError, type ErrorBody } from "../../src/model/errors.ts";
import type { GroupId, NodeId } from "../../src/model/ids.ts";
import type { Clock, Timer } from "../../src/node/clock.ts";
import { pack, unpack } from "../../src/node/transport/frames.ts";
import { refusalOf } from "../../src/node/transport/hello.ts";
import type { Network, NetworkHandlers, NodeBeat } from "../../src/node/transport/network.ts";
import type { Chance } from "./chance.ts";
import type { Owner } from "./timeline.ts";
import type { World } from "./world.ts";

export interface Weather {
  /** Of messages. */
  loss: number;
  duplication: number;
  delayMsMin: number;
  delayMsMax: number;
  /** A message takes ten times as long, so that others overtake it. */
  straggling: number;
}

export const CALM: Weather = { loss: 0, duplication: 0, delayMsMin: 0.2, delayMsMax: 1, straggling: 0 };

const RELINK_MS_MIN = 20;
const RELINK_MS_MAX = 150;
const GONE_MS_MIN = 5;
const GONE_MS_MAX = 150;

/** Who a node is when it says hello. */
export interface Introduction {
  readonly id: NodeId;
  readonly clusterId: string;
  readonly uid: string;
  readonly knownUid: (peer: NodeId) => string | undefined;
  readonly rememberUid: (peer: NodeId, uid: string) => void;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer;
}

type Stream = readonly (
  | { readonly k: "call"; readonly id: number; readonly method: string; readonly body: unknown }
  | { readonly k: "answer"; readonly id: number; readonly body: unknown }
  | { readonly k: "failure"; readonly id: number; readonly error: ErrorBody }
)[];

/** One direction between two nodes. */
class Path {
  isBlocked = false;
  /** Everything takes this much longer while it is clogged. */
  clogMs = 0;
  /** No later frame of the stream arrives before it. */
  streamAtMs = 0;
  /** Of the stream, kept while the path is blocked. */
  stalled: (() => void)[] = [];
}

export interface NetworkWatch {
  /** Told of every message before it leaves. */
  onSend(from: NodeId, to: NodeId, group: GroupId, message: Message): void;
  /** Two nodes took each other for what they say they are. */
  onLinked(a: NodeId, b: NodeId): void;
  /** Told of every call before it leaves. */
  onCall(method: string, by: NodeId): void;
  /** Told of every call when it arrives; may judge the answer when there is one. */
  onAsked(asked: NodeId, method: string, body: unknown): ((answer: unknown) => void) | undefined;
}

export class SimulatedNetwork {
  weather: Weather = { ...CALM };
  /** Whether the connection breaks that carries the answer to such a call. */
  losesAnswer: (method: string, asked: NodeId) => boolean = () => false;
  /**
   * Longest that a write is under way to the copy that is to coordinate it; then the connection that carries it breaks. A
   * connection that carries nothing is given up after seconds, and a deletion is remembered for hours: only the latter
   * are shortened here, and a write that is sent again would outlive what it would be known by.
   */
  writeMsMax = Infinity;
  readonly world: World;
  readonly chance: Chance;
  readonly watch: NetworkWatch;
  readonly #paths = new Map<string, Path>();
  readonly #ports = new Map<NodeId, Port>();
  #linkNumber = 0;

  constructor(world: World, chance: Chance, watch: NetworkWatch) {
    this.world = world;
    this.chance = chance;
    this.watch = watch;
  }

  path(from: NodeId, to: NodeId): Path {
    const name = `${from}>${to}`;
    let path = this.#paths.get(name);
    if (path === undefined) {
      path = new Path();
      this.#paths.set(name, path);
    }
    return path;
  }

  /** The network as a process sees it; it replaces the one that the process before had. */
  attach(owner: Owner, introduction: Introduction, clock: Clock, handlers: NetworkHandlers): Port {
    const port = new Port(this, owner, introduction, clock, handlers);
    this.#ports.set(introduction.id, port);
    return port;
  }

  port(id: NodeId): Port | undefined {
    const port = this.#ports.get(id);
    return port?.owner.isAlive === true ? port : undefined;
  }

  /** Whether a request could go there and its answer come back. */
  isReachable(from: NodeId, to: NodeId): boolean {
    return !this.path(from, to).isBlocked && !this.path(to, from).isBlocked;
  }

  block(from: NodeId, to: NodeId): void {
    this.path(from, to).isBlocked = true;
  }

  unblock(from: NodeId, to: NodeId): void {
    const path = this.path(from, to);
    if (!path.isBlocked) return;
    path.isBlocked = false;
    const { stalled } = path;
    path.stalled = [];
    for (const deliver of stalled) deliver();
    this.relink(from, to);
  }

  healAll(): void {
    this.weather = { ...CALM };
    for (const [name, path] of this.#paths) {
      path.clogMs = 0;
      const [from, to] = name.split(">");
      if (from !== undefined && to !== undefined) this.unblock(from, to);
    }
  }

  /** The process ended: its connections break, and some peers see that its port is closed. */
  ended(id: NodeId): void {
    for (const [other, port] of this.#ports) {
      if (other === id || !port.owner.isAlive) continue;
      port.unlink(id, "the connection was closed");
      this.path(id, other).stalled = [];
      this.path(other, id).stalled = [];
      if (!this.isReachable(other, id) || this.chance.hits(0.3)) continue;
      this.world.timeline.plan(
        this.chance.between(GONE_MS_MIN, GONE_MS_MAX),
        () => {
          if (this.port(id) === undefined && this.isReachable(other, id)) port.handlers.onGone(id);
        },
        port.owner,
      );
    }
  }

  /** Breaks the connection of two nodes that live on. */
  breakLink(a: NodeId, b: NodeId): void {
    this.port(a)?.unlink(b, "the connection was reset");
    this.port(b)?.unlink(a, "the connection was reset");
    this.path(a, b).stalled = [];
    this.path(b, a).stalled = [];
    this.relink(a, b);
  }

  /** Two nodes find each other again a little later, if they can. */
  relink(a: NodeId, b: NodeId): void {
    this.world.timeline.plan(this.chance.between(RELINK_MS_MIN, RELINK_MS_MAX), () => this.#link(a, b));
  }

  #link(a: NodeId, b: NodeId): void {
    const [one, other] = [this.port(a), this.port(b)];
    if (one === undefined || other === undefined || !this.isReachable(a, b)) return;
    if (one.isLinked(b) && other.isLinked(a)) return;
    if (one.owner.pausedUntilMs > this.world.nowMs || other.owner.pausedUntilMs > this.world.nowMs) {
      this.relink(a, b);
      return;
    }
    if (!one.isOpen || !other.isOpen) return;
    const refusal = one.refusalOf(other) ?? other.refusalOf(one);
    if (refusal !== undefined) {
      if (refusal !== one.errorOf(b)) this.world.say(a, `refused with ${b}: ${refusal}`);
      one.unlink(b, `refused: ${refusal}`);
      other.unlink(a, `refused: ${refusal}`);
      return;
    }
    this.watch.onLinked(a, b);
    this.#linkNumber += 1;
    one.link(other, this.#linkNumber);
    other.link(one, this.#linkNumber);
  }

  sendMessages(from: Port, to: NodeId, frame: Buffer): void {
    const path = this.path(from.id, to);
    const { weather, chance } = this;
    if (path.isBlocked || chance.hits(weather.loss)) {
      if (this.world.isTraced) this.world.note(from.id, `  lost on its way to ${to}`);
      return;
    }
    const copies = chance.hits(weather.duplication) ? 2 : 1;
    for (let count = 0; count < copies; count += 1) {
      const delayMs = path.clogMs + this.#delayMs() * (chance.hits(weather.straggling) ? 10 : 1);
      this.#deliver(to, delayMs, frame, (port) => {
        const [messages, beat] = unpack(frame) as [(readonly [GroupId, Message])[], NodeBeat | null];
        if (messages.length > 0) port.handlers.onMessages(from.id, messages);
        if (beat !== null) port.handlers.onBeat(from.id, beat);
      });
    }
  }

  sendStream(from: Port, to: NodeId, frame: Buffer): void {
    const path = this.path(from.id, to);
    const link = from.linkOf(to);
    const sentMs = this.world.nowMs;
    const send = (): void => {
      path.streamAtMs = Math.max(path.streamAtMs, this.world.nowMs + path.clogMs + this.#delayMs());
      this.#deliver(to, path.streamAtMs - this.world.nowMs, frame, (port) => {
        // What a broken connection carried is gone.
        if (link !== undefined && port.linkOf(from.id)?.number === link.number) {
          port.receive(from.id, unpack(frame) as Stream, this.world.nowMs - sentMs);
        }
      });
    };
    if (path.isBlocked) path.stalled.push(send);
    else send();
  }

  #delayMs(): number {
    return this.chance.between(this.weather.delayMsMin, this.weather.delayMsMax);
  }

  #deliver(to: NodeId, delayMs: number, frame: Buffer, take: (port: Port) => void): void {
    const port = this.port(to);
    if (port === undefined) return;
    this.world.timeline.plan(
      delayMs,
      () => {
        this.world.mix(frame);
        take(port);
      },
      port.owner,
    );
  }
}

interface Link {
  /** The same at both ends. */
  readonly number: number;
  messages: (readonly [GroupId, Message])[];
  stream: Stream[number][];
  beat: NodeBeat | null;
  readonly calls: Map<number, Pending>;
}

/** One process's end of the network. */
export class Port implements Network {
  readonly owner: Owner;
  readonly handlers: NetworkHandlers;
  isOpen = false;
  readonly #network: SimulatedNetwork;
  readonly #introduction: Introduction;
  readonly #clock: Clock;
  readonly #links = new Map<NodeId, Link>();
  readonly #errors = new Map<NodeId, string>();
  #peers: ReadonlySet<NodeId> = new Set();
  #nextCall = 1;
  #isFlushPlanned = false;

  constructor(
    network: SimulatedNetwork,
    owner: Owner,
    introduction: Introduction,
    clock: Clock,
    handlers: NetworkHandlers,
  ) {
    this.#network = network;
    this.owner = owner;
    this.#introduction = introduction;
    this.#clock = clock;
    this.handlers = handlers;
  }

  get id(): NodeId {
    return this.#introduction.id;
  }

  setPeers(peers: readonly NodeId[]): void {
    if (peers.length === this.#peers.size && peers.every((peer) => this.#peers.has(peer))) return;
    for (const peer of this.#peers) if (!peers.includes(peer)) this.unlink(peer, "it is no longer a member");
    this.#peers = new Set(peers);
    for (const peer of peers) this.#network.relink(this.id, peer);
  }

  /** From now on it can be reached. */
  open(): void {
    this.isOpen = true;
    for (const peer of this.#peers) this.#network.relink(this.id, peer);
  }

  refusalOf(other: Port): string | undefined {
    const { id, clusterId, uid } = other.#introduction;
    return refusalOf(
      { k: "hello", clusterId, from: id, to: this.id, uid },
      { self: this.id, clusterId: this.#introduction.clusterId, knownUid: this.#introduction.knownUid },
      id,
      this.#peers.has(id),
    );
  }

  isLinked(peer: NodeId): boolean {
    return this.#links.has(peer);
  }

  linkOf(peer: NodeId): Link | undefined {
    return this.#links.get(peer);
  }

  errorOf(peer: NodeId): string | undefined {
    return this.#errors.get(peer)?.replace("refused: ", "");
  }

  link(other: Port, number: number): void {
    const peer = other.id;
    this.unlink(peer, "it connected anew");
    const { knownUid, rememberUid } = this.#introduction;
    if (knownUid(peer) === undefined) rememberUid(peer, other.#introduction.uid);
    this.#links.set(peer, { number, messages: [], stream: [], beat: null, calls: new Map() });
    this.#errors.delete(peer);
  }

  unlink(peer: NodeId, error: string): void {
    const link = this.#links.get(peer);
    this.#links.delete(peer);
    this.#errors.set(peer, error);
    for (const call of link?.calls.values() ?? []) {
      call.timer.close();
      call.reject(unanswered(peer, error));
    }
  }

  send(to: NodeId, group: GroupId, message: Message): void {
    const link = this.#links.get(to);
    if (link === undefined || !this.owner.isAlive) return;
    this.#network.watch.onSend(this.id, to, group, message);
    link.messages.push([group, message]);
  }

  beat(to: NodeId, beat: NodeBeat): void {
    const link = this.#links.get(to);
    if (link !== undefined) link.beat = beat;
  }

  flush(): void {
    if (!this.owner.isAlive) return;
    for (const [peer, link] of this.#links) {
      const { messages, beat, stream } = link;
      if (messages.length > 0 || beat !== null) {
        link.messages = [];
        link.beat = null;
        this.#network.sendMessages(this, peer, pack([messages, beat]));
      }
      if (stream.length === 0) continue;
      link.stream = [];
      this.#network.sendStream(this, peer, pack(stream));
    }
  }

  call(to: NodeId, method: string, body: unknown, deadlineMs: number): Promise<unknown> {
    this.#network.watch.onCall(method, this.owner.name);
    const link = this.#links.get(to);
    if (link === undefined) {
      const why = this.#errors.get(to) ?? "it is not part of the cluster";
      return Promise.reject(
        new Mem0ctlError("unavailable", "peer-unreachable", `${to} cannot be reached`, { why }),
      );
    }
    const id = this.#nextCall++;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.later(Math.max(1, deadlineMs - this.#clock.nowMs()), () => {
        link.calls.delete(id);
        reject(unanswered(to, "no answer in time"));
      });
      link.calls.set(id, { resolve, reject, timer });
      this.#queue(link, { k: "call", id, method, body });
    });
  }

  connected(to: NodeId): boolean {
    return this.#links.has(to);
  }

  lastError(to: NodeId): string | undefined {
    return this.#errors.get(to);
  }

  receive(from: NodeId, stream: Stream, underWayMs: number): void {
    const link = this.#links.get(from);
    if (link === undefined) return;
    for (const one of stream) {
      if (one.k === "call" && one.method === "quorum-write" && underWayMs > this.#network.writeMsMax) {
        this.#network.breakLink(this.id, from);
        return;
      }
      if (one.k === "call") {
        const { id } = one;
        const judge = this.#network.watch.onAsked(this.owner.name, one.method, one.body);
        this.handlers.onCall(from, one.method, one.body).then(
          (body) => {
            judge?.(body);
            if (this.#network.losesAnswer(one.method, this.id)) this.#network.breakLink(this.id, from);
            else this.#queue(link, { k: "answer", id, body });
          },
          (error: unknown) => this.#queue(link, { k: "failure", id, error: errorBody(error) }),
        );
        continue;
      }
      const call = link.calls.get(one.id);
      if (call === undefined) continue;
      link.calls.delete(one.id);
      call.timer.close();
      if (one.k === "answer") call.resolve(one.body);
      else call.reject(errorFromBody(one.error));
    }
  }

  #queue(link: Link, one: Stream[number]): void {
    link.stream.push(one);
    this.flushSoon();
  }

  flushSoon(): void {
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    this.#clock.soon(() => {
      this.#isFlushPlanned = false;
      this.flush();
    });
  }
}

function unanswered(peer: NodeId, why: string): Mem0ctlError {
  return new Mem0ctlError("unknown-outcome", "peer-did-not-answer", `${peer} did not answer`, { why });
}
