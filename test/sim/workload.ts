// Clients that write and read through any node, and the history of what they were told. A key is a memory's id;
// every value is written once. What a client knows of the end of a request is all that the history says.

import { Mem0ctlError } from "../../src/model/errors.ts";
import type { Consistency } from "../../src/model/consistency.ts";
import { scopeFilter } from "../../src/memory/filter.ts";
import { textHash } from "../../src/memory/record.ts";
import type { ConsensusSpec } from "../../src/model/manifest.ts";
import type { NodeCore } from "../../src/node/core.ts";
import type { CallContext } from "../../src/memory/service.ts";
import type { NodeId } from "../../src/model/ids.ts";
import type { Operation, OperationKind, Outcome } from "../histories/history.ts";
import type { Chance } from "./chance.ts";
import { DIMENSIONS } from "./layout.ts";
import { ProcessEnded, type Machine } from "./machine.ts";
import type { World } from "./world.ts";

const KEYS_PER_USER = 3;
/** Memories that get their id from the cluster; more would only dilute what happens to each. */
const ADDED_MAX = 6;
/** Of the seeds in which keys can go from shard to shard. */
const WATCHED_PART = 0.3;
/** Longer than any deadline takes to be noticed. */
const GRACE_MS = 700;
/** A clock that is slower than another makes a bound last longer. */
const DRIFT = 1.25;

export interface Key {
  readonly id: string;
  readonly user: string;
}

/** One request: what it does at a node, and what it means for the keys that it is about. */
export interface Request {
  readonly words: string;
  readonly run: (core: NodeCore, context: CallContext) => Promise<unknown>;
  readonly consistency?: Consistency;
  readonly about: readonly {
    readonly key: string;
    readonly kind: OperationKind;
    readonly value: string | null;
    readonly expected?: string;
  }[];
  /** Everything of a user goes: of every key that turns out to be there. */
  readonly clears?: string;
  /** Text of a memory that gets its id from the cluster. */
  readonly adds?: { readonly user: string; readonly text: string };
  /** What a read saw, key by key; undefined for a write. */
  readonly seen?: (answer: unknown) => ReadonlyMap<string, string | null>;
  readonly staleness?: number;
  /** What the protocol does not have: it must be refused with this code, whenever it is answered at all. */
  readonly refusedAs?: string;
  /** The one key that it reads as the manifest says. */
  readonly reads?: Key;
}

export class Workload {
  /** Told at the moment in which a node answers an ordinary read of one key with a value. */
  onRead: ((asked: NodeId, key: Key, value: string) => void) | undefined;
  /** Told at the moment in which a node acknowledges that an ordinary write has given one key a value. */
  onWrite: ((asked: NodeId, key: Key, value: string) => void) | undefined;
  /** What it answers may be older than what was acknowledged before, and is judged as a read that says so. */
  isOutdated: (asked: Machine) => boolean = () => false;
  readonly history: Operation[] = [];
  readonly #keys: Key[];
  readonly #quietKeys: Key[] = [];
  isOver = false;
  #open = 0;
  #nextValue = 1;
  readonly #world: World;
  readonly #chance: Chance;
  readonly #machines: ReadonlyMap<string, Machine>;
  readonly #consensus: ConsensusSpec;
  /** What a client was told last of a key. */
  readonly #known = new Map<string, string>();
  readonly #textOfHash = new Map<string, string>();
  /** Requests that emptied a user, without a key. */
  readonly #clears: { readonly user: string; readonly operation: Omit<Operation, "key"> }[] = [];
  /** Texts that were refused for certain, and those that somebody saw. */
  readonly #refusedTexts = new Set<string>();
  readonly #seenTexts = new Set<string>();
  #added = 0;

  constructor(world: World, machines: ReadonlyMap<string, Machine>, users: number, consensus: ConsensusSpec) {
    this.#consensus = consensus;
    this.#world = world;
    this.#chance = world.chance.fork("clients");
    this.#machines = machines;
    this.#keys = Array.from({ length: users * KEYS_PER_USER }, (_, index) => ({
      id: `k${index}`,
      user: `u${index % users}`,
    }));
  }

  get keys(): readonly Key[] {
    return [...this.#keys, ...this.#quietKeys];
  }

  /** One that no client touches: whoever asks for it decides what becomes of it. It is read in the end. */
  quietKey(): Key {
    const key = { id: `quiet${this.#quietKeys.length}`, user: "u0" };
    this.#quietKeys.push(key);
    return key;
  }

  /** Requests whose end nobody knows yet. */
  get open(): number {
    return this.#open;
  }

  start(clients: number): void {
    for (let index = 0; index < clients; index += 1) this.#think(`client-${index + 1}`);
    const apart = this.#world.chanceApart("watcher");
    if (this.#consensus.protocol !== "quorum" && apart.hits(WATCHED_PART)) this.#watchAll(apart);
  }

  /** One client who lists everything, again and again. */
  #watchAll(chance: Chance): void {
    this.#world.timeline.plan(chance.between(0, 60), () => {
      if (this.isOver) return;
      const up = [...this.#machines.values()].filter((machine) => machine.core !== undefined);
      if (up.length === 0) this.#watchAll(chance);
      else this.ask("watcher", chance.pick(up), this.listAll(), 1000, () => this.#watchAll(chance));
    });
  }

  #think(client: string): void {
    const pauseMs = this.#chance.hits(0.2) ? this.#chance.between(0, 400) : this.#chance.between(0, 60);
    this.#world.timeline.plan(pauseMs, () => {
      if (this.isOver) return;
      const up = [...this.#machines.values()].filter((machine) => machine.core !== undefined);
      if (up.length === 0) {
        this.#think(client);
        return;
      }
      const timeoutMs = this.#chance.pick([300, 1000, 3000]);
      this.ask(client, this.#chance.pick(up), this.#request(), timeoutMs, () => this.#think(client));
    });
  }

  #request(): Request {
    const chance = this.#chance;
    const key = chance.pick(this.#keys);
    const choice = chance.next();
    if (choice < 0.3) return this.put(choice < 0.06 ? [key, this.#other(key)] : [key]);
    // Where copies are compared in the end, every write has to be of a known key.
    if (this.#consensus.protocol !== "quorum") {
      if (choice < 0.34 && this.#added < ADDED_MAX) return this.add(key.user);
      if (choice < 0.36) return this.clear(key.user);
      if (choice < 0.43) return this.updateIf(key);
    }
    if (choice < 0.5) return this.update(key);
    if (choice < 0.6) return this.remove(key);
    if (choice < 0.85) return this.read(key);
    if (choice < 0.93) {
      if (this.#consensus.protocol === "quorum") return this.#refused(key);
      return this.readStale(key, chance.pick([Infinity, 300, 2000]));
    }
    return chance.hits(0.5) ? this.list(key.user) : this.search(key.user);
  }

  /** What no cluster of the quorum protocol does (Quorum 1, 13, 14), or, as often, an ordinary read. */
  #refused(key: Key): Request {
    const read = this.read(key);
    const { consistency } = this.#consensus;
    const write = this.update(key);
    switch (this.#chance.below(6)) {
      case 0:
        return {
          ...read,
          words: `reads ${key.id} linearizably`,
          consistency: { ...consistency, read: "linearizable" },
          about: [],
          refusedAs: "consistency-out-of-range",
        };
      case 1:
        return {
          ...read,
          words: `reads ${key.id} from more copies than there are`,
          consistency: { ...consistency, read: 9 },
          about: [],
          refusedAs: "consistency-out-of-range",
        };
      case 2:
        return {
          words: `${write.words} if it is still what it was`,
          run: (core, context) =>
            core.memories.update(key.id, { text: "?", ifHash: "0".repeat(32) }, context),
          about: [],
          refusedAs: "no-compare-and-set",
        };
      default:
        return read;
    }
  }

  #other(key: Key): Key {
    return this.#chance.pick(this.#keys.filter((one) => one !== key));
  }

  #value(): string {
    const value = `v${this.#nextValue++}`;
    this.#textOfHash.set(textHash(value), value);
    return value;
  }

  /** A memory that is new for certain. */
  add(user: string): Request {
    this.#added += 1;
    const text = this.#value();
    const embedding = Float32Array.of(1, 1);
    return {
      words: `adds ${text} for ${user}`,
      run: (core, context) => core.memories.add([{ text, user_id: user, embedding }], context),
      about: [],
      adds: { user, text },
    };
  }

  clear(user: string): Request {
    return {
      words: `deletes all of ${user}`,
      run: (core, context) => core.memories.deleteAll(scopeFilter({ user_id: user }), context),
      about: [],
      clears: user,
    };
  }

  /** An update of what a client knows, if it is still so. */
  updateIf(key: Key): Request {
    const expected = this.#known.get(key.id);
    if (expected === undefined) return this.update(key);
    const value = this.#value();
    const change = { text: value, embedding: Float32Array.of(1, 0), ifHash: textHash(expected) };
    return {
      words: `updates ${key.id}=${value} if it is ${expected}`,
      run: (core, context) => core.memories.update(key.id, change, context),
      about: [{ key: key.id, kind: "update", value, expected }],
    };
  }

  put(keys: readonly Key[]): Request {
    const values = keys.map(() => this.#value());
    const records = keys.map(({ id, user }, at) => ({
      id,
      memory: values[at] ?? "",
      user_id: user,
      created_at: "2026-01-01T00:00:00.000Z",
      updated_at: "2026-01-01T00:00:00.000Z",
      embedding: Array.from({ length: DIMENSIONS }, () => 1),
    }));
    return {
      words: `puts ${keys.map(({ id }, at) => `${id}=${values[at] ?? ""}`).join(" ")}`,
      run: (core, context) => core.memories.import({ records }, context),
      about: keys.map(({ id }, at) => ({ key: id, kind: "add", value: values[at] ?? "" })),
    };
  }

  update({ id }: Key): Request {
    const value = this.#value();
    const embedding = Float32Array.of(1, 0);
    return {
      words: `updates ${id}=${value}`,
      run: (core, context) => core.memories.update(id, { text: value, embedding }, context),
      about: [{ key: id, kind: "update", value }],
    };
  }

  remove({ id }: Key): Request {
    return {
      words: `deletes ${id}`,
      run: (core, context) => core.memories.delete(id, context),
      about: [{ key: id, kind: "delete", value: null }],
    };
  }

  /** Of an id that no memory has: written in the log, and nothing comes of it. */
  removeNothing(): Request {
    return {
      words: "deletes a memory that nobody has",
      run: (core, context) => core.memories.delete("nobody", context),
      about: [],
    };
  }

  read(key: Key): Request {
    const { id } = key;
    return {
      reads: key,
      words: `reads ${id}`,
      run: (core, context) => core.memories.get(id, context),
      about: [{ key: id, kind: "read", value: null }],
      seen: (answer) => new Map([[id, textOf(answer)]]),
    };
  }

  readStale(key: Key, boundMs: number): Request {
    return {
      ...this.read(key),
      words: `reads ${key.id}, ${boundMs === Infinity ? "as stale as it comes" : `at most ${boundMs} ms stale`}`,
      consistency: {
        read: "stale",
        write: "quorum",
        ...(boundMs === Infinity ? {} : { maxStalenessMs: boundMs }),
      },
      staleness: boundMs * DRIFT,
    };
  }

  list(user: string): Request {
    return this.#readAll(user, `lists ${user}`, async (core, context) => {
      const filter = scopeFilter({ user_id: user });
      const { results } = await core.memories.list({ filter, page: 1, pageSize: 100 }, context);
      return results;
    });
  }

  /** All that there is, whichever shards it lies in: nothing twice, not even while keys go from shard to shard. */
  listAll(): Request {
    return {
      words: "lists everything",
      run: async (core, context) => {
        const filter = scopeFilter({});
        const { results } = await core.memories.list({ filter, page: 1, pageSize: 100 }, context);
        return results;
      },
      about: [],
      seen: (answer) => {
        const ids = (answer as readonly { id: string }[]).map(({ id }) => id);
        this.#world.must(
          new Set(ids).size === ids.length,
          "listed-once",
          () => `of everything there is ${ids.toSorted().join(", ")}`,
        );
        return new Map();
      },
    };
  }

  /** Whatever the vectors are: all memories are as good as the worst that is asked for. */
  search(user: string): Request {
    const filter = scopeFilter({ user_id: user });
    const request = { query: "?", vector: Float32Array.of(1, 0), filter, topK: 100, threshold: -1 };
    return this.#readAll(user, `searches ${user}`, (core, context) => core.memories.search(request, context));
  }

  #readAll(
    user: string,
    words: string,
    run: (core: NodeCore, context: CallContext) => Promise<readonly { id: string; memory: string }[]>,
  ): Request {
    const keys = this.keys.filter((key) => key.user === user).map(({ id }) => id);
    return {
      words,
      run,
      about: keys.map((key) => ({ key, kind: "read", value: null })),
      seen: (answer) => {
        const found = new Map(
          (answer as readonly { id: string; memory: string }[]).map(({ id, memory }) => [id, memory]),
        );
        for (const text of found.values()) this.see(text);
        this.#world.must(
          new Set(found.values()).size === found.size,
          "added-once",
          () => `${user} has ${[...found.values()].join(", ")}`,
        );
        return new Map(keys.map((key) => [key, found.get(key) ?? null]));
      },
    };
  }

  /** The text of a memory is there, or was: somebody has read it, or a replica has done what brings it. */
  see(text: string): void {
    this.#seenTexts.add(text);
    this.#judgeRefused(text);
  }

  #refuse(text: string): void {
    this.#refusedTexts.add(text);
    this.#judgeRefused(text);
  }

  /** What was said to be certainly not done is not there, before or after. */
  #judgeRefused(text: string): void {
    this.#world.must(
      !this.#refusedTexts.has(text) || !this.#seenTexts.has(text),
      "refused-is-not-done",
      () => `${text} was refused and is there`,
    );
  }

  /** Sends a request to a machine and records what becomes of it; `onEnd` is told the outcome. */
  ask(
    client: string,
    machine: Machine,
    request: Request,
    timeoutMs: number,
    onEnd: (outcome: Outcome, error: unknown) => void,
  ): void {
    const world = this.#world;
    const invoked = world.nowMs;
    const judged = this.isOutdated(machine) ? { ...request, staleness: Infinity } : request;
    const { process } = machine;
    let isOpen = true;
    this.#open += 1;
    if (world.isTraced) world.note(client, `${request.words} at ${machine.id}`);
    const end = (outcome: Outcome, answer: unknown, error?: unknown): void => {
      if (!isOpen) return;
      isOpen = false;
      this.#open -= 1;
      process?.onEnd.delete(onEnded);
      this.#record(client, judged, invoked, outcome, answer, error);
      onEnd(outcome, error);
    };
    const delayMs = (): number => this.#chance.between(0.05, 0.5);
    // The connection breaks: what became of the request nobody knows.
    const onEnded = (): void => {
      world.timeline.plan(delayMs(), () => end("unknown", undefined));
    };
    process?.onEnd.add(onEnded);
    const answerLater = (outcome: Outcome, answer: unknown, error?: unknown): void => {
      if (process?.isAlive !== true) return;
      world.timeline.plan(delayMs(), () => end(outcome, answer, error));
    };
    world.timeline.plan(
      delayMs(),
      () => {
        const core = process?.running;
        if (core === undefined || process === undefined) {
          end("failed", undefined);
          return;
        }
        const context: CallContext = {
          deadlineMs: process.clock.nowMs() + timeoutMs,
          requestId: client,
          consistency: request.consistency ?? this.#consensus.consistency,
        };
        request.run(core, context).then(
          (answer) => {
            this.#mustBeRefused(request, machine, undefined);
            if (request.consistency === undefined && process.isAlive) this.#tell(machine.id, request, answer);
            answerLater("ok", answer);
          },
          (error: unknown) => {
            if (error instanceof ProcessEnded || process.isAlive !== true) return;
            this.#mustBeRefused(request, machine, error);
            const outcome = this.#outcomeOf(error, machine);
            world.must(
              outcome !== "unknown" || request.about[0]?.kind !== "read",
              "reads-end-for-certain",
              () =>
                `${machine.id} does not know the outcome of a read, asked by ${client}, who ${request.words}`,
            );
            answerLater(outcome, undefined, error);
          },
        );
      },
      process,
    );
    world.timeline.plan(timeoutMs + GRACE_MS, () => {
      const wasStopped = process === undefined || !process.isAlive || process.pausedUntilMs > invoked;
      world.must(
        !isOpen || wasStopped,
        "answered-in-time",
        () => `${machine.id} has not answered ${client}, who ${request.words}, within ${timeoutMs} ms`,
      );
      end("unknown", undefined);
    });
  }

  #tell(asked: NodeId, { reads, about }: Request, answer: unknown): void {
    if (reads !== undefined) this.onRead?.(asked, reads, textOf(answer));
    for (const { key: id, kind, value } of about) {
      const key = kind === "read" ? undefined : this.keys.find((one) => one.id === id);
      if (key !== undefined && value !== null) this.onWrite?.(asked, key, value);
    }
  }

  #mustBeRefused({ refusedAs, words }: Request, machine: Machine, error: unknown): void {
    if (refusedAs === undefined) return;
    const { kind, code } = error instanceof Mem0ctlError ? error : { kind: "", code: "ok" };
    // Whoever cannot reach the shard says so.
    const isAway = ["unavailable", "unknown-outcome", "busy", "full"].includes(kind);
    this.#world.must(
      isAway || code === refusedAs,
      "refused-with-the-reason",
      () => `${machine.id}, asked by a client who ${words}, says ${code}`,
    );
  }

  #outcomeOf(error: unknown, machine: Machine): Outcome {
    if (!(error instanceof Mem0ctlError) || error.kind === "failed") {
      const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#world.violate("request-refused-soundly", `${machine.id} answered with a defect: ${why}`);
      return "unknown";
    }
    return error.kind === "unknown-outcome" ? "unknown" : "failed";
  }

  #record(
    client: string,
    request: Request,
    invoked: number,
    outcome: Outcome,
    answer: unknown,
    error: unknown,
  ): void {
    const world = this.#world;
    const isMissing = error instanceof Mem0ctlError && error.code === "memory-not-found";
    if (world.isTraced) world.note(client, `${request.words}: ${wordsOf(outcome, answer, error, request)}`);
    world.mix(outcome);
    const seen = outcome === "ok" ? request.seen?.(answer) : undefined;
    const returned = outcome === "unknown" ? Infinity : world.nowMs;
    if (request.clears !== undefined) {
      const operation = { client, kind: "clear", value: null, invoked, returned, outcome } as const;
      this.#clears.push({ user: request.clears, operation });
      for (const { id, user } of this.keys) {
        if (user === request.clears) this.history.push({ ...operation, key: id });
      }
    }
    if (request.adds !== undefined) this.#recordAdded(client, request.adds, invoked, outcome, answer);
    const isChanged = error instanceof Mem0ctlError && error.code === "memory-changed";
    for (const { key, kind, value, expected } of request.about) {
      if (outcome === "failed" && value !== null) this.#refuse(value);
      if (kind === "read" && outcome !== "ok" && !isMissing) continue;
      const base = {
        client,
        key,
        invoked,
        returned,
        ...(request.staleness === undefined ? {} : { staleness: request.staleness }),
        ...(expected === undefined ? {} : { expected }),
      };
      // Whoever is told that nothing is there, or something else, has read it.
      if (isMissing) this.history.push({ ...base, kind: "read", value: null, outcome: "ok" });
      else if (isChanged) {
        const there = this.#textOfHash.get(String(error.data?.["hash"])) ?? null;
        this.history.push({ ...base, kind: "read", value: there, outcome: "ok" });
      } else if (kind === "read") {
        this.history.push({ ...base, kind, value: seen?.get(key) ?? null, outcome });
      } else this.history.push({ ...base, kind, value, outcome });
      const last = this.history.at(-1);
      if (last?.outcome === "ok" && last.value !== null) this.#known.set(key, last.value);
    }
  }

  /** From here on its id is known, and it is a key as every other. */
  #recordAdded(
    client: string,
    { user, text }: { readonly user: string; readonly text: string },
    invoked: number,
    outcome: Outcome,
    answer: unknown,
  ): void {
    if (outcome === "failed") this.#refuse(text);
    if (outcome !== "ok") return;
    const [{ id } = { id: "" }] = answer as readonly { id: string }[];
    const returned = this.#world.nowMs;
    this.#keys.push({ id, user });
    this.history.push({ client, key: id, kind: "add", value: text, invoked, returned, outcome });
    for (const clear of this.#clears) {
      if (clear.user === user) this.history.push({ ...clear.operation, key: id });
    }
  }
}

function textOf(answer: unknown): string {
  return (answer as { memory: string }).memory;
}

function wordsOf(outcome: Outcome, answer: unknown, error: unknown, request: Request): string {
  if (error instanceof Mem0ctlError) return `${outcome} (${error.code})`;
  if (outcome !== "ok" || request.seen === undefined) return outcome;
  return [...request.seen(answer)].map(([key, value]) => `${key}=${value ?? "nothing"}`).join(" ");
}
