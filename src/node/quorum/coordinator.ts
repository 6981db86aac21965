// Writes and reads of one shard at the copy that coordinates them. A write that changes what is there reads
// it first, at the read level, so that it supersedes every acknowledged version and knows whether it was
// done before under the same name. It gets its dot in the transaction that stores it here, and leaves this
// node when that is flushed. Writes to the same memory take turns here; those at other coordinators are
// concurrent, and stay apart until someone has seen both.

import { isEnough, everyone, type Level } from "../../consensus/quorum/levels.ts";
import { ReadRound, type ReadOutput } from "../../consensus/quorum/read-round.ts";
import { cappedTime, resolve } from "../../consensus/quorum/resolve.ts";
import type { Dot, VersionVector } from "../../consensus/quorum/vectors.ts";
import { doneBy, merge, written, type Held, type Item } from "../../consensus/quorum/versions.ts";
import { WriteRound, type WriteOutput } from "../../consensus/quorum/write-round.ts";
import { addedEvent, memoryNotFound, updated } from "../../memory/changes.ts";
import { boundingShardKeys, matches } from "../../memory/filter.ts";
import { countedOf, type StoredRecord } from "../../memory/stored.ts";
import type { Consistency } from "../../model/consistency.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import type { Clock } from "../clock.ts";
import type { Query } from "../cluster/router.ts";
import { runShardQuery } from "../cluster/shard-queries.ts";
import { staleEpoch } from "../memories/custody.ts";
import { memoryValue, recordIn, vectorBytesIn, type ShardCommand } from "../memories/commands.ts";
import { listMemories } from "../memories/queries.ts";
import type { Network } from "../transport/network.ts";
import {
  refuseBehind,
  refuseOtherVersion,
  refuseOutdated,
  standingOf,
  type CopyClient,
  type Standing,
} from "./calls.ts";
import { compare, refuseWhenChanged, type ComparisonLimits } from "./comparison.ts";
import type { Handoff } from "./handoff.ts";
import type { PeerClocks } from "./peer-clocks.ts";
import type { MemoryValue } from "./records.ts";
import { sizeOf, type Change } from "./copy-items.ts";
import type { ShardCopy } from "./shard-copy.ts";

/** Changes sent in one call, roughly. */
const CALL_BYTES_MAX = 4 << 20;
/** Memories deleted by one filter in one round. */
const DELETES_PER_ROUND = 500;

export interface CoordinatorOptions {
  readonly self: NodeId;
  readonly copy: ShardCopy;
  readonly handoff: Handoff;
  readonly client: CopyClient;
  readonly network: Network;
  readonly clock: Clock;
  readonly map: () => ShardMap;
  readonly comparison: ComparisonLimits;
  readonly clocks: PeerClocks;
  /** How long a copy may take before another one is asked as well. */
  readonly slowMs: number;
  /** Looks whether this copy was away for too long to answer. */
  readonly noticeAbsence: () => void;
}

/** One request to write: its name makes a repetition recognisable. */
export interface WriteRequest {
  readonly command: ShardCommand;
  readonly write: string;
  readonly consistency: Consistency;
  readonly deadlineMs: number;
  /** It may have been done before. */
  readonly isRepeated: boolean;
  /** When it was taken, by the clock of the node that took it. */
  readonly takenMs: number;
}

/** What a command makes of one memory: a new value, null to delete it, or nothing. */
interface Intent {
  readonly id: string;
  readonly value: (seen: MemoryValue | undefined) => MemoryValue | null | undefined;
}

type Values = Item<MemoryValue>;

export class Coordinator {
  private readonly options: CoordinatorOptions;
  private readonly turns = new Map<string, Promise<unknown>>();
  /** Writes on their way to a copy: since when, by a number of their own. */
  private readonly unacknowledged = new Map<NodeId, Map<number, number>>();
  private nextRound = 1;
  /** Memories of each write that is still being sent; some of them were answered before. */
  private readonly sending = new Set<readonly string[]>();

  constructor(options: CoordinatorOptions) {
    this.options = options;
  }

  /** Writes that a copy has not acknowledged yet, and the age of the oldest in ms. */
  waitingFor(node: NodeId): { readonly count: number; readonly ageMs: number } {
    const waiting = this.unacknowledged.get(node);
    const [since] = waiting?.values() ?? [];
    const ageMs = since === undefined ? 0 : this.options.clock.nowMs() - since;
    return { count: waiting?.size ?? 0, ageMs };
  }

  /** Whether a write of the memory is under way here. */
  isBeingWritten(id: string): boolean {
    return this.turns.has(id) || [...this.sending].some((ids) => ids.includes(id));
  }

  async write(request: WriteRequest): Promise<unknown> {
    const { command } = request;
    this.refuseUnlessServing();
    switch (command.t) {
      case "put": {
        const intents = command.items.map(({ id, ...value }): Intent => ({
          id,
          value: () => value,
        }));
        await this.change(request, intents, command.fresh === true);
        return intents.length;
      }
      case "update": {
        const { id } = command;
        const [value] = await this.change(
          request,
          [{ id, value: (seen) => seen && changed(seen, command) }],
          false,
        );
        if (value === undefined || value === null) throw memoryNotFound(id);
        return { id, ...recordOf(value) };
      }
      case "delete": {
        const { id } = command;
        const [value] = await this.change(request, [{ id, value: (seen) => seen && null }], false);
        if (value === undefined) throw memoryNotFound(id);
        return null;
      }
      case "delete-matching":
        return this.deleteMatching(request, command);
      // Of shards that keep a log.
      case "open-session":
      case "handover":
        return null;
    }
  }

  async read(query: Query, level: Level, deadlineMs: number): Promise<unknown> {
    const { copy, map } = this.options;
    this.refuseUnlessServing();
    if (query.kind === "get" || query.kind === "history") {
      const id = String(query.args);
      const [held] = await this.readItems([id], level, deadlineMs);
      const value = held === undefined ? undefined : resolve(held.item)?.value;
      if (value === undefined || value === null) throw memoryNotFound(id);
      const record = recordOf(value);
      if (query.kind === "get") return { id, ...record };
      const { history = [] } = value;
      return history.length > 0 ? history : [addedEvent(id, record)];
    }
    return this.whole(level, deadlineMs, () => runShardQuery(copy.machine, map().key, query));
  }

  /** Reads of the whole shard here, when this copy holds what enough copies do; told once they hold what was read. */
  private async whole<Answer>(
    level: Level,
    deadlineMs: number,
    read: () => Promise<Answer>,
  ): Promise<Answer> {
    const { copy } = this.options;
    const { generation } = copy;
    const { root } = copy.items.tree;
    await this.catchUp(level, deadlineMs);
    this.refuseUnlessServing();
    try {
      const answer = await read();
      await copy.settled();
      // What came here after the others were compared was read as well, and a later read may ask them alone (2).
      if (copy.items.tree.root !== root) await this.catchUp(level, deadlineMs);
      // Given up or found damaged meanwhile, it may have lacked what it was asked for.
      this.refuseUnlessServing();
      refuseWhenChanged(copy.generation, generation);
      return answer;
    } catch (error) {
      throw copy.noteDamage(error);
    }
  }

  /** Deletes what matches, as it was when the request began. */
  private async deleteMatching(
    request: WriteRequest,
    command: ShardCommand & { readonly t: "delete-matching" },
  ): Promise<number> {
    const { copy, map } = this.options;
    const { filter } = command;
    const { newest } = await this.whole(request.consistency.read, request.deadlineMs, () =>
      listMemories(copy.machine, filter, map().key, Number.MAX_SAFE_INTEGER),
    );
    const ids = new Set(newest.map(({ id }) => id));
    // Sent again after some of it was done: what it deleted then counts as well.
    const before = request.isRepeated ? copy.items.deletedBy(request.write) : [];
    for (const id of before) ids.add(id);
    const keys = boundingShardKeys(filter, map().key);
    const all = [...ids];
    let deleted = 0;
    for (let at = 0; at < all.length; at += DELETES_PER_ROUND) {
      const intents = all.slice(at, at + DELETES_PER_ROUND).map((id): Intent => ({
        id,
        // Others may have changed it since it was listed.
        value: (seen) =>
          seen !== undefined &&
          (keys === undefined || keys.includes(seen.key)) &&
          matches(filter, { id, ...recordOf(seen) })
            ? null
            : undefined,
      }));
      const values = await this.change(request, intents, false).catch((error: unknown) => {
        // What says that nothing was written means this round.
        const isRefused = error instanceof Mem0ctlError && error.kind === "unavailable";
        throw deleted > 0 && isRefused ? unknownOutcome(copy.shard) : error;
      });
      deleted += values.filter((value) => value === null).length;
    }
    return deleted;
  }

  /**
   * Makes new versions and replicates them. Answers with the value of each memory afterwards: null when
   * deleted, undefined when the intent was to leave it. `fresh`: the ids are new, nothing is there to read.
   */
  private async change(
    request: WriteRequest,
    intents: readonly Intent[],
    fresh: boolean,
  ): Promise<readonly (MemoryValue | null | undefined)[]> {
    const { self, copy } = this.options;
    const { write: level, read } = request.consistency;
    const reachable = (node: NodeId): boolean => node === self || this.options.network.connected(node);
    if (!isEnough(this.standing(), level, reachable)) {
      throw tooFewCopies(copy.shard, "nothing was written");
    }
    return this.inTurn(
      intents.map(({ id }) => id),
      async () => {
        const standing = this.standing();
        const ids = intents.map(({ id }) => id);
        const seen = fresh ? undefined : await this.readItems(ids, read, request.deadlineMs, standing);
        return this.store(request, intents, seen, standing);
      },
    );
  }

  private async store(
    request: WriteRequest,
    intents: readonly Intent[],
    seen: readonly Held<MemoryValue>[] | undefined,
    standing: Standing,
  ): Promise<readonly (MemoryValue | null | undefined)[]> {
    const { copy, clock, clocks, handoff, network, self } = this.options;
    // A new member may have read this copy since, and answers later reads in the place of one that was asked (12).
    refuseOutdated(standing, this.standing());
    this.refuseUnlessServing();
    // It has waited for its turn for too long: whoever asked was told so.
    if (clock.nowMs() >= request.deadlineMs) throw tooFewCopies(copy.shard, "nothing was written");
    // No single clock decides, not even this node's own.
    const atMs = cappedTime(request.takenMs, clocks.agreedMs());
    const results = new Map<string, MemoryValue | null | undefined>();
    const changes: Change[] = [];
    const toWrite: {
      readonly intent: Intent;
      readonly known: Held<MemoryValue>;
      readonly value: MemoryValue | null;
      readonly key: string | undefined;
    }[] = [];
    copy.guarded(() => {
      intents.forEach((intent, at) => {
        const local = copy.held(intent.id);
        const known = seen?.[at] ?? local;
        const merged = merge(local.item, known.item, { a: local.floor, b: known.floor });
        const done = doneBy(merged, request.write);
        if (done !== undefined) {
          // Done already, under another coordinator or with a lost answer: it only has to be on enough copies.
          results.set(intent.id, done.writes[0] === request.write ? done.value : resolve(merged)?.value);
          changes.push({ id: intent.id, item: merged });
          return;
        }
        const before = resolve(known.item)?.value ?? undefined;
        const value = intent.value(before);
        results.set(intent.id, value);
        if (value !== undefined) toWrite.push({ intent, known, value, key: before?.key });
      });
    });
    if (toWrite.length === 0 && changes.length === 0) return intents.map(({ id }) => results.get(id));
    for (const { intent, value, key } of toWrite) {
      // Once the two shards are one, it takes the place of the other memory, as any that is put does.
      const isNew = value !== null && value.key !== key;
      if (isNew && copy.heirs?.refuse(copy, intent.id, value.key) === true) throw staleEpoch();
    }
    const byId = new Map(toWrite.map((one) => [one.intent.id, one]));
    const needsOthers = (level: Level): boolean => !isEnough(standing, level, (node) => node === self);
    const away = everyone(standing).filter((node) => node !== self && !network.connected(node));
    const make = (dot: Dot, id: string, local: Values): { change: Change; made: null } => {
      const one = byId.get(id);
      if (one === undefined) throw new RangeError(`nothing is to be written to ${id}`);
      const { known, value, key } = one;
      const hasRead = seen !== undefined && needsOthers(request.consistency.read);
      const isShared = hasRead || known.item.versions.every(({ shared }) => shared === true);
      const base = merge(local, known.item, { a: copy.floor, b: known.floor });
      const marks = {
        ...(value === null && key !== undefined ? { key } : {}),
        ...(isShared && needsOthers(request.consistency.write) ? { shared: true as const } : {}),
      };
      const version = { dot, atMs, write: request.write, value, ...marks };
      return { change: { id, item: written(base, known.item, version) }, made: null };
    };
    const coordinated = copy.guarded(() =>
      copy.coordinate([...byId.keys()], make, (writer) => {
        for (const node of away) handoff.noteIn(writer, node, [...byId.keys()]);
      }),
    );
    changes.push(...coordinated.changes);
    await this.replicate(changes, copy.floor, coordinated.flushed, request, standing);
    return intents.map(({ id }) => results.get(id));
  }

  /** Resolves when enough copies have flushed. Goes on with the others, and keeps hints for those who fail. */
  private async replicate(
    changes: readonly Change[],
    floor: VersionVector,
    flushed: Promise<void>,
    request: WriteRequest,
    standing: Standing,
  ): Promise<void> {
    const { self, copy, clock, handoff, client } = this.options;
    const { generation } = copy;
    await flushed;
    await copy.settled();
    // A disk held it up: whoever asked was told so, and it may be done elsewhere, and deleted.
    if (clock.nowMs() >= request.deadlineMs) throw unknownOutcome(copy.shard);
    const round = new WriteRound({ self, sets: standing, level: request.consistency.write });
    const ids = changes.map(({ id }) => id);
    this.sending.add(ids);
    await new Promise<void>((resolveWrite, reject) => {
      const timer = clock.later(Math.max(1, request.deadlineMs - clock.nowMs()), () =>
        carryOut(round.step({ kind: "deadline" })),
      );
      const carryOut = (output: WriteOutput): void => {
        for (const node of output.hint) handoff.note(node, ids);
        if (output.answer === "acknowledged") resolveWrite();
        if (output.answer === "unknown") reject(unknownOutcome(copy.shard));
        for (const node of output.send) send(node);
        if (!round.isOver) return;
        timer.close();
        this.sending.delete(ids);
      };
      const send = (node: NodeId): void => {
        const done = this.noteUnacknowledged(node);
        sendParts(changes, (part) => {
          // Away for too long it has to ask the others first, and may have to drop what is sent here.
          refuseWhenChanged(copy.generation, generation);
          return client.call(
            node,
            "quorum-store",
            copy.shard,
            { changes: part, floor },
            request.deadlineMs,
            standing,
          );
        })
          .then(
            () => carryOut(round.step({ kind: "flushed", node })),
            () => carryOut(round.step({ kind: "failed", node })),
          )
          .finally(done);
      };
      carryOut(round.begin());
    });
  }

  /** What enough copies know of some keys, written back to those that did not. */
  private async readItems(
    ids: readonly string[],
    level: Level,
    deadlineMs: number,
    standing: Standing = this.standing(),
  ): Promise<readonly Held<MemoryValue>[]> {
    const { self, copy, clock, clocks, client, network, slowMs } = this.options;
    // Refuses a level that cannot be, before anything waits for it.
    isEnough(standing, level, () => true);
    if (ids.length === 0) return [];
    const { shard, generation } = copy;
    const own = copy.guarded(() => ids.map((id) => copy.held(id)));
    const ownDigests = copy.guarded(() => ids.map((id) => copy.items.digest(id)));
    await copy.settled();
    const usable = everyone(standing).filter((node) => node === self || network.connected(node));
    const round = new ReadRound({ self, sets: standing, level, usable, own, ownDigests });
    return new Promise((resolveRead, reject) => {
      let slow = clock.later(slowMs, onSlow);
      const deadline = clock.later(Math.max(1, deadlineMs - clock.nowMs()), () =>
        end(() => reject(readTimedOut(shard))),
      );
      let isOver = false;
      function end(settle: () => void): void {
        isOver = true;
        slow.close();
        deadline.close();
        settle();
      }
      function onSlow(): void {
        slow = clock.later(slowMs, onSlow);
        carryOut(round.step({ kind: "slow" }));
      }
      const failed = (node: NodeId) => (): void => carryOut(round.step({ kind: "failed", node }));
      let merged: readonly Held<MemoryValue>[] = [];
      const carryOut = (output: ReadOutput<MemoryValue>): void => {
        if (isOver) return;
        // It lost what it told of itself, or has to withhold it.
        if (copy.generation !== generation) {
          end(() => reject(tooFewCopies(shard, "nothing was read")));
          return;
        }
        for (const node of output.askDigests) {
          client
            .call(node, "quorum-digests", shard, { ids }, deadlineMs, standing)
            .then(({ digests, wallMs }) => {
              clocks.hear(node, wallMs);
              carryOut(round.step({ kind: "digests", node, digests }));
            }, failed(node));
        }
        for (const node of output.askItems) {
          this.itemsOf(node, ids, deadlineMs, standing).then(
            (held) => carryOut(round.step({ kind: "items", node, held })),
            failed(node),
          );
        }
        if (output.repair.length > 0) merged = round.result;
        for (const node of output.repair) {
          this.repair(node, ids, merged, deadlineMs, standing).then(
            () => carryOut(round.step({ kind: "repaired", node })),
            failed(node),
          );
        }
        const { answer } = output;
        if (answer !== undefined) end(() => resolveRead(answer));
        if (output.failed === true) end(() => reject(tooFewCopies(shard, "nothing was read")));
      };
      carryOut(round.begin());
    });
  }

  private async itemsOf(
    node: NodeId,
    ids: readonly string[],
    deadlineMs: number,
    standing: Standing,
  ): Promise<readonly Held<MemoryValue>[]> {
    const { client, copy } = this.options;
    const held: Held<MemoryValue>[] = [];
    while (held.length < ids.length) {
      const ask = { ids: ids.slice(held.length), reading: true };
      const answer = await client.call(node, "quorum-items", copy.shard, ask, deadlineMs, standing);
      refuseBehind(answer.past, copy.forgotten, copy.shard);
      for (const { item } of answer.changes) held.push({ item, floor: answer.floor });
      if (answer.changes.length === 0) throw tooFewCopies(copy.shard, "nothing was read");
    }
    return held;
  }

  private async repair(
    node: NodeId,
    ids: readonly string[],
    merged: readonly Held<MemoryValue>[],
    deadlineMs: number,
    standing: Standing,
  ): Promise<void> {
    const { self, copy, client } = this.options;
    const { generation } = copy;
    const changes = ids.map((id, at): Change => ({
      id,
      item: merged[at]?.item ?? { context: [], versions: [] },
    }));
    const floor = merged[0]?.floor ?? [];
    if (node === self) {
      await copy.guarded(() => copy.take(changes, floor));
      return;
    }
    await sendParts(changes, (part) => {
      refuseWhenChanged(copy.generation, generation);
      return client.call(node, "quorum-store", copy.shard, { changes: part, floor }, deadlineMs, standing);
    });
  }

  /** Brings this copy up to what enough copies hold of the whole shard, and them up to this one. */
  private async catchUp(level: Level, deadlineMs: number): Promise<void> {
    const { self, copy, client, clock, network, comparison } = this.options;
    const standing = this.standing();
    const good = new Set<NodeId>([self]);
    const tried = new Set<NodeId>([self]);
    while (!isEnough(standing, level, (node) => good.has(node))) {
      const next = everyone(standing).filter((node) => !tried.has(node) && network.connected(node));
      // As many at a time as are missing at most: one that fails is replaced by another.
      const wanted = next.filter((_, at) => at < missing(standing, level, good));
      if (wanted.length === 0) throw tooFewCopies(copy.shard, "nothing was read");
      for (const node of wanted) tried.add(node);
      await Promise.all(
        wanted.map((peer) =>
          compare({
            peer,
            copy,
            client,
            clock,
            standing,
            limits: comparison,
            reading: true,
            deadlineMs,
          }).then(
            () => void good.add(peer),
            () => undefined,
          ),
        ),
      );
      if (clock.nowMs() >= deadlineMs) throw readTimedOut(copy.shard);
    }
  }

  /** Which sets everything goes by that begins now. Refuses where the shard's keys are others than this copy's. */
  private standing(): Standing {
    const { copy, map } = this.options;
    const standing = standingOf(map(), copy.shard);
    refuseOtherVersion(standing, copy);
    return standing;
  }

  private refuseUnlessServing(): void {
    const { copy, self, noticeAbsence } = this.options;
    this.standing();
    noticeAbsence();
    if (copy.isReadable && copy.state === "serving") return;
    throw new Mem0ctlError("unavailable", "copy-not-serving", `${self} holds no whole copy of the shard`, {
      hint: "another copy answers meanwhile",
      data: { shard: copy.shard },
    });
  }

  /** Runs `work` after everything that is under way for the same keys here. */
  private async inTurn<Result>(ids: readonly string[], work: () => Promise<Result>): Promise<Result> {
    const before = [...new Set(ids.flatMap((id) => this.turns.get(id) ?? []))];
    const result = Promise.allSettled(before).then(work);
    const settled = result.catch(() => undefined);
    for (const id of ids) this.turns.set(id, settled);
    try {
      return await result;
    } finally {
      for (const id of ids) if (this.turns.get(id) === settled) this.turns.delete(id);
    }
  }

  private noteUnacknowledged(node: NodeId): () => void {
    const round = this.nextRound++;
    let waiting = this.unacknowledged.get(node);
    if (waiting === undefined) this.unacknowledged.set(node, (waiting = new Map()));
    waiting.set(round, this.options.clock.nowMs());
    return () => void this.unacknowledged.get(node)?.delete(round);
  }
}

function changed(seen: MemoryValue, command: ShardCommand & { readonly t: "update" }): MemoryValue {
  const { after, events } = updated(command, recordOf(seen), seen.history ?? []);
  const value = memoryValue(after, command.vector ?? vectorBytesIn(bytesOf(seen)));
  return { key: seen.key, value, counted: countedOf(after), history: events };
}

function recordOf(value: MemoryValue): StoredRecord {
  return recordIn(bytesOf(value));
}

/** What came over the network is a plain view of bytes. */
function bytesOf({ value }: MemoryValue): Buffer {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

/** How many more copies are needed at most, over both sets. */
function missing(standing: Standing, level: Level, good: ReadonlySet<NodeId>): number {
  let count = 0;
  const reckoned = new Set(good);
  for (const node of everyone(standing)) {
    if (isEnough(standing, level, (one) => reckoned.has(one))) break;
    if (reckoned.has(node)) continue;
    reckoned.add(node);
    count += 1;
  }
  return Math.max(1, count);
}

async function sendParts(
  changes: readonly Change[],
  send: (part: readonly Change[]) => Promise<unknown>,
): Promise<void> {
  let part: Change[] = [];
  let bytes = 0;
  for (const change of changes) {
    const size = sizeOf(change);
    if (part.length > 0 && bytes + size > CALL_BYTES_MAX) {
      await send(part);
      part = [];
      bytes = 0;
    }
    part.push(change);
    bytes += size;
  }
  await send(part);
}

function tooFewCopies(shard: string, outcome: string): Mem0ctlError {
  return new Mem0ctlError(
    "unavailable",
    "too-few-copies",
    `too few copies of shard ${shard} can be reached`,
    {
      why: "the consistency level of the request needs more of them",
      hint: `${outcome}; \`mem0ctl status\` says which nodes are missing; a lower level may do`,
      data: { shard },
    },
  );
}

function unknownOutcome(shard: string): Mem0ctlError {
  return new Mem0ctlError(
    "unknown-outcome",
    "too-few-acknowledged",
    `too few copies of shard ${shard} acknowledged`,
    {
      why: "the write is on some copies and may appear later",
      hint: "read it back, or repeat the request with the same id",
      data: { shard },
    },
  );
}

function readTimedOut(shard: string): Mem0ctlError {
  return new Mem0ctlError(
    "unavailable",
    "read-timed-out",
    `too few copies of shard ${shard} answered in time`,
    {
      hint: "`mem0ctl status` says which nodes are slow or missing; a lower level may do",
      data: { shard },
    },
  );
}
