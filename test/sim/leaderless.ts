// What must hold of leaderless shards (quorum protocol), looked at from outside: copies and their hints after
// every event of a process, and all copies together at the end. A run's copies live in the state store alone,
// so that nothing here follows from a log.

import { DigestTree, digestOf } from "../../src/consensus/quorum/digest-tree.ts";
import { covers, includes, join, sameDot } from "../../src/consensus/quorum/vectors.ts";
import { resolve } from "../../src/consensus/quorum/resolve.ts";
import type { Dot, VersionVector } from "../../src/consensus/quorum/vectors.ts";
import { copiesOfLevel, type ReadConsistency, type WriteConsistency } from "../../src/model/consistency.ts";
import type { NodeId, ShardId } from "../../src/model/ids.ts";
import type { ShardMap, ShardSlice } from "../../src/model/shard-map.ts";
import { extendKey, prefixEnd, decodeKey } from "../../src/node/storage/key.ts";
import { shardOfKey } from "../../src/topology/shard-map.ts";
import { StoreCorruptError } from "../../src/node/storage/store.ts";
import { outlineFrom, type Outline } from "../../src/node/quorum/records.ts";
import { sameSets, standingOf } from "../../src/node/quorum/calls.ts";
import type { CopyHere, LeaderlessLimits } from "../../src/node/quorum/copy-here.ts";
import type { ShardCopy } from "../../src/node/quorum/shard-copy.ts";
import { WALL_START_MS, type Machine, type Process } from "./machine.ts";
import type { Key } from "./workload.ts";
import type { World } from "./world.ts";

/** A hint may be older than its limit by this much: clocks are set, and it is looked for now and then. */
const HINT_SLACK_MS = 4000;
/** A claimed time may be ahead by this much: what is tolerated, drift, and a little. */
const AHEAD_SLACK_MS = 3000;

/** What was seen of one process's copy. */
interface Sight {
  /** Tombstones and what they had seen. */
  remains: Map<string, VersionVector>;
  /** When a hint was first seen. */
  readonly hints: Map<string, number>;
  floor: VersionVector;
  generation: string;
  /** Of the shard: another one is another copy. */
  readonly version: number;
}

/** A copy on another node than the one that is looked at. */
interface OtherCopy {
  readonly node: NodeId;
  readonly copy: ShardCopy;
  readonly counts: boolean;
}

export class LeaderlessWatch {
  readonly #world: World;
  readonly #machines: ReadonlyMap<NodeId, Machine>;
  readonly #limits: LeaderlessLimits;
  /** That any node has gone by, also one that is down now. */
  #newest: ShardMap | undefined;
  /** Of each shard, by the last map in which its copies were not changing: an undone change goes back to these. */
  readonly #settled = new Map<ShardId, ShardSlice>();
  readonly #sights = new WeakMap<Process, Map<ShardId, Sight>>();

  constructor(world: World, machines: ReadonlyMap<NodeId, Machine>, limits: LeaderlessLimits) {
    this.#world = world;
    this.#machines = machines;
    this.#limits = limits;
  }

  /** Looks at a process after one of its events. */
  look(process: Process): void {
    const map = process.running?.map();
    if (map !== undefined && map.epoch > (this.#newest?.epoch ?? -1)) this.#follow(map);
    const shards = process.running?.leaderless?.shards;
    if (shards === undefined) return;
    let sights = this.#sights.get(process);
    if (sights === undefined) this.#sights.set(process, (sights = new Map()));
    for (const here of shards.all()) this.#lookAt(process, here, sights);
  }

  #follow(map: ShardMap): void {
    this.#newest = map;
    for (const slice of map.shards) if (slice.outgoing === undefined) this.#settled.set(slice.id, slice);
  }

  #lookAt(process: Process, here: CopyHere, sights: Map<ShardId, Sight>): void {
    const { copy, handoff } = here;
    const { world, limits } = { world: this.#world, limits: this.#limits };
    const say = (): string => `${process.name}, shard ${copy.shard}`;
    const known = sights.get(copy.shard);
    const before = known?.version === copy.version ? known : undefined;
    const { book } = handoff;
    world.must(
      book.count <= limits.hints.hintsMax && book.bytes <= limits.hints.bytesMax,
      "hints-bounded",
      () => `${say()}: ${book.count} hints of ${book.bytes} bytes`,
    );
    const { floor, generation, version } = copy;
    const sight: Sight = before ?? { remains: new Map(), hints: new Map(), floor, generation, version };
    if (before === undefined) sights.set(copy.shard, sight);
    else if (before.generation === generation) {
      world.must(
        includes(floor, before.floor),
        "floor-grows",
        () => `${say()}: it has seen less than before`,
      );
    }
    // One that was given up and called back begins with nothing, and one that was damaged knows that it lost something.
    if (sight.generation !== generation) sight.remains = new Map();
    sight.floor = floor;
    sight.generation = generation;
    this.#lookAtHints(process, here, sight, say);
    this.#lookAtTombstones(process, copy, sight, say);
  }

  /** Hints expire (Quorum 8). */
  #lookAtHints(process: Process, { handoff }: CopyHere, sight: Sight, say: () => string): void {
    const nowMs = this.#world.nowMs;
    const seen = new Set<string>();
    for (const target of handoff.book.targets()) {
      const [key] = handoff.book.next(target, 1);
      if (key === undefined) continue;
      const name = `${target} ${key}`;
      seen.add(name);
      const sinceMs = sight.hints.get(name) ?? nowMs;
      sight.hints.set(name, sinceMs);
      const wasStopped =
        process.pausedUntilMs > sinceMs || this.#machines.get(process.name)?.disk.isFull === true;
      this.#world.must(
        wasStopped || nowMs - sinceMs <= this.#limits.hints.ageMsMax + HINT_SLACK_MS,
        "hints-expire",
        () => `${say()}: a hint for ${target} is kept for ${Math.round(nowMs - sinceMs)} ms`,
      );
    }
    for (const name of sight.hints.keys()) if (!seen.has(name)) sight.hints.delete(name);
  }

  /**
   * A tombstone is forgotten when every copy knows of it (Quorum 9): none that lives holds an older version,
   * but for copies that were away for longer than they are waited for, and those that are still being filled. A node
   * that lags does not know of a copy that is new; what it forgets with the others lies under the floors of them all, so
   * the new copy loses it to whichever of them fills it, and to every read, which meets the copies before it.
   *
   * Nor does it know of a copy that has left, of which those that forgot first have heard: that one may keep what it holds
   * until it hears of it, too, and is given up, or is filled anew where it was called back. Until then it can give it only
   * to copies that know it for gone, so each that counts has to.
   */
  #lookAtTombstones(process: Process, copy: ShardCopy, sight: Sight, say: () => string): void {
    if (!copy.isReadable) {
      sight.remains = new Map();
      return;
    }
    const now = new Map(copy.items.tombstones());
    for (const [id, context] of sight.remains) {
      if (now.has(id) || copy.items.outline(id).versions.length > 0) continue;
      this.#world.mix(`forgets ${id}`);
      if (this.#limits.awayMsMax < 60_000) continue;
      const others = this.#others(process, copy);
      const counting = [copy, ...others.filter(({ counts }) => counts).map((other) => other.copy)];
      for (const other of others) {
        const seen = resolve(other.copy.items.outline(id));
        // Beside the tombstone it may hold an older version: nobody sees that any more.
        const isOld = seen !== undefined && seen.value !== null && includes(context, [seen.dot]);
        if (!isOld) continue;
        this.#world.must(
          !other.counts && counting.every((one) => isGoneFor(one, id, seen.dot)),
          "tombstones-known-to-all",
          () => `${say()} forgot that ${id} is deleted, and ${other.node} still has it`,
        );
      }
    }
    sight.remains = now;
  }

  /** The other copies that a process knows of, and whether each still counts by the newest map. */
  #others(process: Process, { shard, version }: ShardCopy): readonly OtherCopy[] {
    const map = process.running?.map();
    const slice = map?.shards.find((one) => one.id === shard);
    const others: OtherCopy[] = [];
    for (const node of new Set([...(slice?.replicas ?? []), ...(slice?.outgoing?.replicas ?? [])])) {
      const copy = this.#machines.get(node)?.core?.leaderless?.shards.here(shard)?.copy;
      if (node === process.name || copy?.isReadable !== true || copy.version !== version) continue;
      if (copy.state === "filling") continue;
      others.push({ node, copy, counts: this.#counts(node, copy) });
    }
    return others;
  }

  /** Not one that is given up, or filled anew, as soon as its node hears of the newest map. */
  #counts(node: NodeId, { shard, version, filledFor }: ShardCopy): boolean {
    const slice = this.#newest?.shards.find((one) => one.id === shard);
    // Keys were handed over since: what is made of a copy has what it has.
    if (slice === undefined || (slice.version ?? 0) !== version) return true;
    const { replicas, outgoing } = slice;
    if (outgoing?.replicas.includes(node) === true) return true;
    return replicas.includes(node) && (outgoing === undefined || filledFor === outgoing.since);
  }

  /**
   * A write is being acknowledged: as many copies as its level means know of it by now, or of something newer, or may (6, 7).
   * While copies change, these are of the set before: whoever has not heard of the change asks no others (12).
   */
  judgeWrite(asked: NodeId, key: Key, value: string, level: WriteConsistency): void {
    const knowing = this.#knowing(key, value);
    if (knowing === undefined) return;
    const { copies, may } = knowing;
    this.#world.must(
      may >= (copiesOfLevel(level, copies) ?? 0),
      "write-reaches-its-level",
      () => `${asked} has acknowledged that ${key.id} is ${value}, which ${may} of ${copies} copies know of`,
    );
  }

  /** A read is being answered with a value: enough copies know of it by now, or of something newer, or may (2, 12). */
  judgeRead(asked: NodeId, key: Key, value: string, level: ReadConsistency): void {
    const knowing = this.#knowing(key, value);
    if (knowing === undefined) return;
    const { copies, may } = knowing;
    const enough = copiesOfLevel(level, copies) ?? 0;
    this.#world.must(
      // Below a majority two reads need not meet.
      2 * enough <= copies || may >= enough,
      "read-writes-back",
      () => `${asked} answers that ${key.id} is ${value}, which ${may} of ${copies} copies know of`,
    );
  }

  /**
   * How many copies there are, those before where they change, and how many of them know of a value or of something newer,
   * or may: one that is down or being rebuilt may have flushed it before. Undefined where nobody shows it any more: it was
   * written over meanwhile.
   */
  #knowing({ id, user }: Key, value: string): { readonly copies: number; readonly may: number } | undefined {
    // Whoever was asked may know an older map than the copy that answered, and copies that are none any more.
    const slice = this.#newest === undefined ? undefined : shardOfKey(this.#newest, user);
    const settled = slice === undefined ? undefined : this.#settled.get(slice.id);
    if (slice === undefined || settled === undefined || settled.version !== slice.version) return undefined;
    const members = [...slice.replicas, ...(slice.outgoing?.replicas ?? [])];
    const sights = new Map(members.map((node) => [node, this.#sightAt(node, slice, id)]));
    // More than one where a write was sent again and two coordinators did it: either is what was answered.
    const shown = [...sights.values()].flatMap((sight) => (sight?.shown === value ? (sight.seen ?? []) : []));
    if (shown.length === 0) return undefined;
    const knowing = shown.map(({ dot, writes }) => {
      const knows = (sight: ReturnType<typeof sightOf>): boolean =>
        // What was written over the one may name the other only as the same write.
        sight === undefined || covers(sight.known, dot) || sight.names.has(writes[0] ?? "");
      return settled.replicas.filter((node) => knows(sights.get(node))).length;
    });
    return { copies: settled.replicas.length, may: Math.max(...knowing) };
  }

  /** What a node's copy of a shard has of a memory; undefined where none serves. */
  #sightAt(node: NodeId, { id: shard, version = 0 }: ShardSlice, id: string): ReturnType<typeof sightOf> {
    const machine = this.#machines.get(node);
    const copy = machine?.core?.leaderless?.shards.here(shard)?.copy;
    const serves = copy?.isReadable === true && copy.version === version && copy.state === "serving";
    return serves && machine?.loss === undefined ? sightOf(copy, id) : undefined;
  }

  /**
   * For a read of one, a node that has not heard of a change asks nobody but a copy that may be none any more, and no other
   * tells it so. A change that waited for all who could would never end while one of them is gone.
   */
  goesByOldCopies({ core }: Machine): boolean {
    const newest = this.#newest;
    const map = core?.map();
    if (newest === undefined || map === undefined || map.epoch >= newest.epoch) return false;
    return newest.shards.some(({ id }) => !sameSets(standingOf(map, id), standingOf(newest, id)));
  }

  /** Copies that do not serve yet, and changes that are under way. */
  unsettled(serving: readonly Machine[], map: ShardMap | undefined): string[] {
    const missing: string[] = [];
    for (const shard of map?.shards ?? []) {
      // It is only being made, as fast as the operation may go.
      if (shard.founding === true) continue;
      if (shard.outgoing !== undefined) missing.push(`the copies of ${shard.id} are changing`);
      for (const node of shard.replicas) {
        const machine = serving.find(({ id }) => id === node);
        if (machine === undefined) continue;
        const copy = machine.core?.leaderless?.shards.here(shard.id)?.copy;
        if (copy === undefined) missing.push(`${node} has no copy of ${shard.id}`);
        else if (copy.version !== (shard.version ?? 0)) {
          missing.push(`${node}'s copy of ${shard.id} is of version ${copy.version}`);
        } else if (copy.state !== "serving") missing.push(`${node}'s copy of ${shard.id} is ${copy.state}`);
      }
    }
    return missing;
  }

  /** After the faults all copies are equal, and nothing is left to bring to any of them (13). */
  apart(serving: readonly Machine[], map: ShardMap | undefined): string[] {
    const missing = this.unsettled(serving, map);
    for (const shard of map?.shards ?? []) {
      const copies = shard.replicas.flatMap((node) => {
        const here = serving.find(({ id }) => id === node)?.core?.leaderless?.shards.here(shard.id);
        return here === undefined ? [] : [{ node, here }];
      });
      const [first] = copies;
      for (const { node, here } of copies) {
        if (first !== undefined && here.copy.items.tree.root !== first.here.copy.items.tree.root) {
          missing.push(`${node} and ${first.node} differ in shard ${shard.id}`);
        }
        for (const target of here.handoff.book.targets()) {
          const isThere = copies.some((copy) => copy.node === target);
          if (isThere) missing.push(`${node} still has hints for ${target} in shard ${shard.id}`);
        }
      }
    }
    return missing;
  }

  /** Key to value of every node that holds a copy of the key's shard. */
  states(serving: readonly Machine[], shard: ShardId): ReadonlyMap<NodeId, ReadonlyMap<string, string>> {
    const states = new Map<NodeId, ReadonlyMap<string, string>>();
    for (const machine of serving) {
      const copy = machine.core?.leaderless?.shards.here(shard)?.copy;
      if (copy === undefined) continue;
      const held = new Map<string, string>();
      try {
        for (const [id] of outlines(copy)) {
          const key = copy.machine.placeOf(id);
          const record = key === undefined ? undefined : copy.machine.record(key, id);
          if (record !== undefined) held.set(id, record.memory);
        }
        states.set(machine.id, held);
      } catch (error) {
        // Rotten and not read since: whoever reads it repairs it. Its outlines were compared all the same.
        if (!(error instanceof StoreCorruptError)) throw error;
      }
    }
    return states;
  }

  /** Copies are compared by what they hold: what no digest tells of is brought to nobody, and counts as compared (11). */
  judgeDigests(serving: readonly Machine[]): void {
    for (const machine of serving) {
      for (const { copy } of machine.core?.leaderless?.shards.all() ?? []) {
        if (!copy.isReadable) continue;
        const tree = new DigestTree();
        try {
          for (const [id, outline] of outlines(copy)) tree.change(id, "", digestOf(id, outline));
        } catch (error) {
          if (error instanceof StoreCorruptError) continue;
          throw error;
        }
        this.#world.must(
          tree.root === copy.items.tree.root,
          "digests-tell-all",
          () => `${machine.id}, shard ${copy.shard}: its digests are not of what it holds`,
        );
      }
    }
  }

  /** No version claims a time that has not come, unless most clocks did (Quorum 5). */
  judgeTimes(serving: readonly Machine[], hadSaneClocks: boolean): void {
    if (!hadSaneClocks) return;
    const limitMs = WALL_START_MS + 1.1 * this.#world.nowMs + AHEAD_SLACK_MS;
    for (const machine of serving) {
      for (const { copy } of machine.core?.leaderless?.shards.all() ?? []) {
        for (const [id, outline] of outlines(copy)) {
          const seen = resolve(outline);
          this.#world.must(
            outline.versions.every(({ atMs }) => atMs <= limitMs),
            "times-not-in-the-future",
            () =>
              `${machine.id}: ${id} has a version ${Math.round((seen?.atMs ?? 0) - limitMs)} ms in the future`,
          );
        }
      }
    }
  }
}

/**
 * What readers of a copy see of a memory, as which version, all that the copy has seen of it, and the writes that its
 * versions name; undefined when it is rotten.
 */
function sightOf(copy: ShardCopy, id: string) {
  try {
    const outline = copy.items.outline(id);
    const key = copy.machine.placeOf(id);
    return {
      shown: key === undefined ? undefined : copy.machine.record(key, id)?.memory,
      seen: resolve(outline),
      known: join(outline.context, copy.floor),
      names: new Set(outline.versions.flatMap(({ writes }) => writes)),
    };
  } catch (error) {
    if (!(error instanceof StoreCorruptError)) throw error;
    return undefined;
  }
}

/** Whether a version that comes to the copy is no news there; one that is being rebuilt asks the others before it serves. */
function isGoneFor(copy: ShardCopy, id: string, dot: Dot): boolean {
  if (copy.state !== "serving") return true;
  const { context, versions } = copy.items.outline(id);
  const isHeld = versions.some((version) => sameDot(version.dot, dot));
  return !isHeld && covers(join(context, copy.floor), dot);
}

function* outlines(copy: ShardCopy): Iterable<readonly [string, Outline]> {
  const start = extendKey(copy.prefix, "item");
  for (const { key, value } of copy.machine.store.range({ start, end: prefixEnd(start) })) {
    yield [String(decodeKey(key, start.length)[1]), outlineFrom(value)];
  }
}
