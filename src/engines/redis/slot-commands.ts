// Commands by slot, brought to whoever owns it now: pipelined per server, and sent again where the cluster
// says so (MOVED, ASK, TRYAGAIN), is between two primaries, or a connection broke, until the deadline. A
// write is sent again like a read: whoever hands one in here has seen to it that it applies once. What is
// not known to be done at the deadline is of unknown outcome, and is called so.

import { setTimeout as sleep } from "node:timers/promises";

import { Mem0ctlError } from "../../model/errors.ts";
import { NodeFailure, type Endpoint } from "../node-failure.ts";
import type { RedisConnection, SendOptions } from "./connection.ts";
import { CopyWaits } from "./copy-waits.ts";
import { ReplicaReads } from "./replica-reads.ts";
import { ReplyError, type Command, type Reply } from "./reply-values.ts";

export interface SlotCommand {
  readonly slot: number;
  readonly command: Command;
}

export interface RunOptions {
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
  /** Copies that have a write, the primary's among them, before it is done; absent: these are reads. */
  readonly copies?: number;
  /** Reads that a replica may answer. */
  readonly stale?: StaleRead;
}

export interface StaleRead {
  /** What answers lacks nothing that was acknowledged longer ago than this; absent: nobody says. */
  readonly maxStalenessMs?: number;
}

/** Who has which slots, as the servers say now. */
export interface SlotPlaces {
  /** By slot; undefined for a slot without an owner. */
  readonly owners: readonly (Endpoint | undefined)[];
  readonly replicasOf: (owner: Endpoint) => readonly Endpoint[];
}

export interface LookOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface SlotCommandsOptions {
  readonly look: (options: LookOptions) => Promise<SlotPlaces>;
  /** The server at a place that another one named. */
  readonly endpointAt: (host: string, port: number) => Endpoint;
  /** A new connection, not opened yet. */
  readonly connect: (endpoint: Endpoint) => Promise<RedisConnection>;
}

/** One server is waited for this long before the map is asked for again: it may have been replaced. */
const ATTEMPT_MS_MAX = 3000;
const CHUNK_COMMANDS_MAX = 500;
const CHUNK_BYTES_MAX = 1 << 20;
const DELAY_MS_MIN = 10;
const DELAY_MS_MAX = 200;

/** A command that is not done yet. */
interface Pending extends SlotCommand {
  readonly at: number;
  /** Whom the owner of the slot referred to, for one attempt. */
  ask: Endpoint | undefined;
  /** It was sent, and no answer came. */
  doubtful: boolean;
  /** Replicas that may still answer a stale read, before its primary is asked; undefined: none was chosen yet. */
  replicas: readonly Endpoint[] | undefined;
  /** What a replica answered that has nothing there. */
  nothing: Reply | undefined;
}

/** Stale reads for one replica, and whose it is. */
interface AtReplica {
  readonly replica: Endpoint;
  readonly primary: Endpoint;
  readonly items: Pending[];
}

/** Why a command has to be sent again. */
interface Again {
  readonly why: string;
  /** The owner may be another one by now. */
  readonly look: boolean;
  /** Nothing but time helps. */
  readonly wait: boolean;
}

export class SlotCommands {
  readonly #options: SlotCommandsOptions;
  readonly #connections = new Map<string, Promise<RedisConnection>>();
  readonly #waits: CopyWaits;
  readonly #replicaReads = new ReplicaReads((endpoint) => this.#connection(endpoint));
  #owners: (Endpoint | undefined)[] | undefined;
  #replicasOf: SlotPlaces["replicasOf"] = () => [];
  #looking: Promise<void> | undefined;

  constructor(options: SlotCommandsOptions) {
    this.#options = options;
    this.#waits = new CopyWaits(options.connect);
  }

  /**
   * Runs all; the replies in the order of the commands, an error that a command itself led to among them as
   * a value.
   * @throws Mem0ctlError of kind unavailable (certainly not done), unknown-outcome, full, denied.
   */
  async run(commands: readonly SlotCommand[], options: RunOptions): Promise<Reply[]> {
    const replies: Reply[] = Array.from({ length: commands.length }, () => null);
    const beganMs = performance.now();
    const fresh = { ask: undefined, doubtful: false, replicas: undefined, nothing: undefined };
    let left = commands.map((command, at): Pending => ({ ...command, at, ...fresh }));
    let delayMs = 0;
    let why = "nothing was asked yet";
    while (left.length > 0) {
      if (options.signal?.aborted === true) throw stopped(left, replies.length, options, "interrupted");
      if (performance.now() + delayMs >= options.deadlineMs)
        throw stopped(left, replies.length, options, why);
      if (delayMs > 0) await sleep(delayMs);
      const again = await this.#attempt(left, replies, options, beganMs);
      left = left.filter((pending) => again.has(pending));
      const reasons = [...again.values()];
      why = reasons[0]?.why ?? why;
      if (reasons.some(({ look }) => look)) {
        this.#owners = undefined;
        for (const pending of left) pending.replicas = undefined;
      }
      const wait = reasons.some((reason) => reason.wait);
      delayMs = wait ? Math.min(DELAY_MS_MAX, Math.max(DELAY_MS_MIN, delayMs * 2)) : 0;
    }
    return replies;
  }

  close(): void {
    for (const opened of this.#connections.values())
      opened.then(
        (connection) => connection.close(),
        () => {},
      );
    this.#connections.clear();
    this.#waits.close();
  }

  /** Sends what is left once; gives back what has to be sent again. */
  async #attempt(
    left: readonly Pending[],
    replies: Reply[],
    options: RunOptions,
    beganMs: number,
  ): Promise<ReadonlyMap<Pending, Again>> {
    const again = new Map<Pending, Again>();
    const owners = await this.#knownOwners(options);
    const groups = new Map<string, { readonly endpoint: Endpoint; readonly items: Pending[] }>();
    const atReplicas = new Map<string, AtReplica>();
    for (const pending of left) {
      const endpoint = pending.ask ?? owners?.[pending.slot];
      if (endpoint === undefined) {
        const why = owners === undefined ? "no server answered" : `slot ${pending.slot} has no owner`;
        again.set(pending, { why, look: true, wait: true });
        continue;
      }
      const name = `${endpoint.host} ${endpoint.port}`;
      const replica = pending.ask === undefined ? this.#replicaFor(pending, endpoint, options) : undefined;
      if (replica !== undefined) {
        const place = `${name} ${replica.host} ${replica.port}`;
        const group = atReplicas.get(place);
        if (group === undefined) atReplicas.set(place, { replica, primary: endpoint, items: [pending] });
        else group.items.push(pending);
        continue;
      }
      const group = groups.get(name);
      if (group === undefined) groups.set(name, { endpoint, items: [pending] });
      else group.items.push(pending);
    }
    await Promise.all(
      [...atReplicas.values()].map((group) => this.#readAt(group, replies, again, options, beganMs)),
    );
    const failures: Mem0ctlError[] = [];
    await Promise.all(
      [...groups.values()].map(async ({ endpoint, items }) => {
        try {
          await this.#inTurn(endpoint, items, replies, again, options);
        } catch (error) {
          if (!(error instanceof Mem0ctlError)) throw error;
          failures.push(error);
        }
      }),
    );
    const [failure] = failures;
    if (failure === undefined) return again;
    const isDoubtful = left.some(({ doubtful }) => doubtful) || left.length < replies.length;
    const isPartly = [...groups.values()].flatMap(({ items }) => items).length > 1;
    if (options.copies === undefined || failure.kind === "unknown-outcome" || !(isDoubtful || isPartly)) {
      throw failure;
    }
    throw partlyDone(failure);
  }

  /** One chunk after the other, so that each has its own time, and a server that is gone is told no more. */
  async #inTurn(
    endpoint: Endpoint,
    items: readonly Pending[],
    replies: Reply[],
    again: Map<Pending, Again>,
    options: RunOptions,
  ): Promise<void> {
    const chunks = chunksOf(items);
    for (const [at, chunk] of chunks.entries()) {
      const lost = await this.#exchange(endpoint, chunk, replies, again, options);
      if (lost === undefined) continue;
      for (const pending of chunks.slice(at).flat()) {
        pending.ask = undefined;
        // Without a bound, what a replica said is as good as what nobody else can say.
        if (pending.nothing === undefined) again.set(pending, lost);
        else replies[pending.at] = pending.nothing;
      }
      return;
    }
  }

  /** The replica that a command is for; undefined: its primary is asked. */
  #replicaFor(pending: Pending, owner: Endpoint, { stale }: RunOptions): Endpoint | undefined {
    if (stale === undefined) return undefined;
    pending.replicas ??= this.#replicaReads.nearestFirst(this.#replicasOf(owner));
    return pending.replicas[0];
  }

  /**
   * What the replica cannot answer is for the next one, at last for the primary. So is whatever the replica does not
   * have: a key that moves to another shard is gone here before the slot is, and only the primary knows where it went.
   */
  async #readAt(
    { replica, primary, items }: AtReplica,
    replies: Reply[],
    again: Map<Pending, Again>,
    options: RunOptions,
    beganMs: number,
  ): Promise<void> {
    const { signal, stale } = options;
    const boundMs = stale?.maxStalenessMs;
    const send = (): SendOptions => ({
      timeoutMs: Math.max(1, Math.min(ATTEMPT_MS_MAX, options.deadlineMs - performance.now())),
      ...(signal === undefined ? {} : { signal }),
    });
    const mark =
      boundMs === undefined
        ? undefined
        : await this.#replicaReads.mark(primary, { boundMs, beganMs }, send());
    // Without a mark no replica can show how far it is.
    const isHopeless = boundMs !== undefined && mark === undefined;
    let lost = isHopeless ? `${primary.id} does not say how far its replicas should be` : undefined;
    for (const chunk of chunksOf(items)) {
      const commands = chunk.map(({ command }) => command);
      let answers: readonly Reply[] | undefined;
      try {
        if (lost === undefined) answers = await this.#replicaReads.read(replica, commands, mark, send());
      } catch (error) {
        if (!(error instanceof NodeFailure) || error.kind === "denied") throw error;
        lost = `${replica.id}: ${error.reason}`;
      }
      for (const [index, pending] of chunk.entries()) {
        const reply = answers?.[index];
        const isKnown = reply !== undefined && !(reply instanceof ReplyError);
        if (isKnown && !isNothing(reply)) {
          replies[pending.at] = reply;
          continue;
        }
        pending.replicas = isKnown || isHopeless ? [] : pending.replicas?.slice(1);
        if (isKnown && boundMs === undefined) pending.nothing = reply;
        const why = lost ?? `${replica.id} does not follow ${primary.id} closely enough`;
        again.set(pending, { why, look: false, wait: false });
      }
    }
  }

  /** undefined: the server answered. */
  async #exchange(
    endpoint: Endpoint,
    chunk: readonly Pending[],
    replies: Reply[],
    again: Map<Pending, Again>,
    options: RunOptions,
  ): Promise<Again | undefined> {
    const commands = chunk.flatMap(({ ask, command }): Command[] =>
      ask === undefined ? [command] : [["ASKING"], command],
    );
    const { signal, copies } = options;
    const send = {
      timeoutMs: Math.max(1, Math.min(ATTEMPT_MS_MAX, options.deadlineMs - performance.now())),
      write: copies !== undefined,
      ...(signal === undefined ? {} : { signal }),
    };
    let answers: readonly Reply[];
    try {
      answers =
        copies === undefined || copies <= 1
          ? await (await this.#connection(endpoint)).send(commands, send)
          : await this.#waits.send(endpoint, commands, { ...options, copies, send });
    } catch (error) {
      if (!(error instanceof NodeFailure) || error.kind === "denied") throw error;
      if (error.kind === "unknown-outcome") for (const pending of chunk) pending.doubtful = true;
      return { why: `${endpoint.id}: ${error.reason}`, look: true, wait: true };
    }
    let next = 0;
    for (const pending of chunk) {
      if (pending.ask !== undefined) next += 1;
      const reply = answers[next++] ?? null;
      pending.ask = undefined;
      const reason = reply instanceof ReplyError ? this.#againOf(reply, endpoint, pending) : undefined;
      if (reason === undefined) replies[pending.at] = reply;
      else again.set(pending, reason);
    }
    return undefined;
  }

  /** undefined: the error is the command's own. Throws where the server takes no writes. */
  #againOf(error: ReplyError, { id, host }: Endpoint, pending: Pending): Again | undefined {
    const why = `${id}: ${error.message}`;
    switch (error.code) {
      case "MOVED": {
        const owner = this.#placeIn(error, host);
        if (this.#owners !== undefined) this.#owners[pending.slot] = owner;
        return { why, look: false, wait: false };
      }
      case "ASK":
        pending.ask = this.#placeIn(error, host);
        return { why, look: false, wait: false };
      case "TRYAGAIN":
        return { why: `slot ${pending.slot} is in the middle of a move`, look: false, wait: true };
      case "LOADING":
      case "NOREPLICAS":
      case "BUSY":
        return { why, look: false, wait: true };
      case "CLUSTERDOWN":
      case "MASTERDOWN":
      case "READONLY":
        return { why, look: true, wait: true };
      case "OOM":
      case "MISCONF":
        throw new Mem0ctlError("full", "server-full", `${id} takes no writes`, {
          why: error.message,
          hint:
            error.code === "OOM"
              ? "raise `maxmemory`, or spread the slots over more primaries"
              : "free its disk; it writes again when it can save",
        });
      default:
        return undefined;
    }
  }

  /** The place in `MOVED 3999 127.0.0.1:6381`; without a host it is that of whoever says so. */
  #placeIn({ message }: ReplyError, speaker: string): Endpoint {
    const place = message.split(" ")[2] ?? "";
    const colon = place.lastIndexOf(":");
    return this.#options.endpointAt(place.slice(0, colon) || speaker, Number(place.slice(colon + 1)));
  }

  async #knownOwners(options: RunOptions): Promise<readonly (Endpoint | undefined)[] | undefined> {
    const { signal } = options;
    if (this.#owners === undefined) {
      const timeoutMs = Math.max(1, options.deadlineMs - performance.now());
      this.#looking ??= this.#options
        .look({ timeoutMs, ...(signal === undefined ? {} : { signal }) })
        .then(({ owners, replicasOf }) => {
          if (!owners.some((owner) => owner !== undefined)) return;
          this.#owners = [...owners];
          this.#replicasOf = replicasOf;
        })
        .finally(() => {
          this.#looking = undefined;
        });
      await this.#looking;
    }
    return this.#owners;
  }

  async #connection(endpoint: Endpoint): Promise<RedisConnection> {
    const name = `${endpoint.host} ${endpoint.port}`;
    let opened = this.#connections.get(name);
    if (opened === undefined) {
      opened = this.#options.connect(endpoint);
      this.#connections.set(name, opened);
    }
    return opened;
  }
}

/** No key, or nothing in it. */
function isNothing(reply: Reply): boolean {
  return reply === null || reply === 0 || (Array.isArray(reply) && reply.every(isNothing));
}

function chunksOf(items: readonly Pending[]): Pending[][] {
  const chunks: Pending[][] = [];
  let bytes = 0;
  for (const item of items) {
    const size = item.command.reduce<number>(
      (sum, part) => sum + (typeof part === "number" ? 8 : part.length),
      0,
    );
    const last = chunks.at(-1);
    if (last === undefined || last.length >= CHUNK_COMMANDS_MAX || bytes + size > CHUNK_BYTES_MAX) {
      chunks.push([item]);
      bytes = size;
    } else {
      last.push(item);
      bytes += size;
    }
  }
  return chunks;
}

/** What is said of commands that the deadline, or the caller, left undone. */
function stopped(
  left: readonly Pending[],
  total: number,
  { copies, signal, stale }: RunOptions,
  why: string,
): Mem0ctlError {
  const isWrite = copies !== undefined;
  if (isWrite && left.length < total) {
    return partlyDone(new Mem0ctlError("unavailable", "slot-unavailable", why));
  }
  if (isWrite && left.some(({ doubtful }) => doubtful)) {
    return new Mem0ctlError("unknown-outcome", "outcome-unknown", "the outcome of the write is unknown", {
      why: `a server was told and did not answer before the deadline; ${why}`,
      hint: "read back what is there; repeating an import with the same ids is safe",
    });
  }
  if (signal?.aborted === true) return new Mem0ctlError("failed", "interrupted", "interrupted");
  const slots = [...new Set(left.map(({ slot }) => slot))];
  if (stale?.maxStalenessMs !== undefined) {
    const what = slots.length === 1 ? `slot ${slots[0]}` : `${slots.length} slots`;
    return new Mem0ctlError(
      "unavailable",
      "too-stale",
      `no copy of ${what} is known to lack nothing older than ${stale.maxStalenessMs} ms`,
      {
        why: `only the primary can say how far its replicas are; ${why}`,
        hint: "ask for a larger bound, or for stale without one; `mem0ctl status` says what is missing",
      },
    );
  }
  return new Mem0ctlError(
    "unavailable",
    "slot-unavailable",
    slots.length === 1 ? `slot ${slots[0]} cannot be reached` : `${slots.length} slots cannot be reached`,
    { why, hint: "see which servers answer, and which slots are open, with `mem0ctl status`" },
  );
}

/** What is said of a request of several writes when some are done and `cause` ended the others. */
export function partlyDone(cause: Mem0ctlError): Mem0ctlError {
  return new Mem0ctlError("unknown-outcome", "partly-done", "only part of the request is known to be done", {
    why: cause.message,
    hint: "read back what is there; repeating an import with the same ids is safe",
    cause,
  });
}
