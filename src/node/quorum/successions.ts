// Hands keys of leaderless shards over, on one node: what its copies know is what its copies of the shards that result
// have to know, so each node makes those of its own, without asking another (consensus/quorum/parts.ts).
//
// While the map says that a slice is to go, the copies of the next version are made beside those that serve: read from
// them portion by portion, and told in the same transaction whatever they come to know meanwhile. When the map says that
// the slice has gone, the new ones take over at one stroke, and those before are removed. A node that is late, or was
// down, does the same when it hears of it: requests name the version of their shard, so a copy of one version answers and
// acknowledges nothing of another. What enough copies acknowledged is in the transaction of each of them, so as many copies
// of the next version have it, and every read of that version meets one.
//
// An id that two shards which become one have under different keys would be one memory with two versions, one of which
// readers never see. A node tells of those that it meets, and the slice then stays where it is; and once it has told
// that it is ready, and has met none, it coordinates no write that makes one of what it holds.

import { partOf, renamed, together, type PartRule } from "../../consensus/quorum/parts.ts";
import { resolve } from "../../consensus/quorum/resolve.ts";
import { join, type VersionVector } from "../../consensus/quorum/vectors.ts";
import type { Item } from "../../consensus/quorum/versions.ts";
import type { NodeId, ShardId } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { isInSlice } from "../../topology/handovers.ts";
import { shardById } from "../../topology/shard-map.ts";
import { giveWay, pause, type Clock } from "../clock.ts";
import type { Pace } from "../moves/pace.ts";
import type { Key } from "../storage/key.ts";
import { StoreCorruptError, type Store, type StoreWriter } from "../storage/store.ts";
import { hasRecord, liesOnDisk, type CopyName } from "./forgotten.ts";
import type { CopyState, MemoryValue } from "./records.ts";
import { sizeOf, type Change } from "./copy-items.ts";
import type { ShardCopy } from "./shard-copy.ts";

const KEYS_PER_TURN = 100;
const BYTES_PER_TURN = 256 << 10;
/** While a disk is full. */
const RETRY_MS = 200;

/** How far this node is with a handover. */
export interface SuccessionReport {
  /** over: the copies of the next version serve here, and nothing of those before is needed any more. */
  readonly state: "none" | "copying" | "ready" | "over";
  readonly bytes: number;
  /** Of its copies of the two shards both have a memory of one id, under different keys. */
  readonly hasClashes?: true;
}

interface Target extends CopyName {
  readonly sources: readonly (CopyName & { readonly rule: PartRule<MemoryValue> })[];
}

interface Source {
  readonly copy: ShardCopy;
  readonly rule: PartRule<MemoryValue>;
}

/** A copy that is being made. */
interface Making {
  readonly target: Target;
  readonly copy: ShardCopy;
  readonly sources: readonly Source[];
  isWhole: boolean;
  isGivenUp: boolean;
  /** Somebody was told that it is ready, and counts on that. */
  isPromised: boolean;
  bytes: number;
  /** Ids that more than one source has, under different keys. */
  readonly clashes: Set<string>;
}

export interface SuccessionsOptions {
  readonly self: NodeId;
  readonly store: Store;
  readonly clock: Clock;
  readonly pace: Pace;
  readonly map: () => ShardMap;
  /** The copy that this node has open of that version. */
  readonly opened: (name: CopyName) => ShardCopy | undefined;
  /** One that is not open yet. */
  readonly make: (name: CopyName) => ShardCopy;
  /** Whether what was there is still being removed. */
  readonly isClearing: (name: CopyName) => boolean;
  /** Ends a copy, whether it served or not. */
  readonly end: (copy: ShardCopy) => void;
  readonly serve: (copy: ShardCopy) => void;
  readonly clear: (name: CopyName) => void;
  readonly onFailure: (error: unknown) => void;
}

export class Successions {
  private readonly options: SuccessionsOptions;
  private handover: number | undefined;
  private readonly makings = new Map<ShardId, Making>();
  /** Copies that serve no more, opened here. Each is opened once: of one that is repaired the disk tells too little. */
  private readonly sources: ShardCopy[] = [];
  /** Took over, and not yet so on disk. */
  private settling = 0;
  private stopped = false;

  constructor(options: SuccessionsOptions) {
    this.options = options;
  }

  stop(): void {
    this.stopped = true;
    for (const making of this.makings.values()) this.detach(making);
    this.closeSources();
  }

  /** Ends what is being made and is not to be, by the map or for want of what it was made of. */
  giveUpUnwanted(): void {
    if (this.stopped) return;
    const { handover } = this.options.map();
    const isOther = this.handover !== handover?.id;
    for (const making of this.makings.values()) {
      if (isOther || !this.isMissing(making.target)) this.giveUp(making);
    }
    if (isOther) this.closeSources();
    this.handover = handover?.id;
  }

  /** Makes what the map wants made, and lets it take over when the map says so. */
  follow(): void {
    if (this.stopped) return;
    this.giveUpUnwanted();
    const { handover } = this.options.map();
    if (handover === undefined) return;
    const missing = this.missing();
    for (const target of missing) if (!this.makings.has(target.shard)) this.begin(target);
    const makings = missing.flatMap(({ shard }) => this.makings.get(shard) ?? []);
    if (handover.phase !== "dropping" || makings.length === 0 || makings.length < missing.length) return;
    const areReady = makings.every(
      ({ isWhole, isGivenUp, sources }) =>
        isWhole && !isGivenUp && sources.every(({ copy }) => copy.isReadable),
    );
    if (areReady && !this.options.store.full) this.takeOver(makings, handover.id);
  }

  /** Whether the copy is being made, or will be, from others here: nothing else may be put in its place. */
  isBecoming(name: CopyName): boolean {
    const making = this.makings.get(name.shard);
    return making?.target.version === name.version || this.isMissing(name);
  }

  private isMissing({ shard, version }: CopyName): boolean {
    return this.missing().some((target) => target.shard === shard && target.version === version);
  }

  /** Whether what is made here needs the copy. */
  isNeeded(name: CopyName): boolean {
    return this.missing().some(({ sources }) =>
      sources.some(({ shard, version }) => shard === name.shard && version === name.version),
    );
  }

  report(handover: number): SuccessionReport {
    const known = this.options.map().handover;
    if (known?.id !== handover) return { state: "none", bytes: 0 };
    const missing = this.missing();
    const makings = [...this.makings.values()];
    const bytes = makings.reduce((sum, making) => sum + making.bytes, 0);
    if (known.phase === "dropping") {
      const isOver = missing.length === 0 && this.settling === 0;
      return { state: isOver ? "over" : "copying", bytes };
    }
    if (makings.some(({ clashes }) => clashes.size > 0)) return { state: "copying", bytes, hasClashes: true };
    const areReady = missing.every(({ shard }) => this.makings.get(shard)?.isWhole === true);
    if (areReady) for (const making of makings) making.isPromised = true;
    return { state: areReady ? "ready" : "copying", bytes };
  }

  /** A copy has lost something: what was made of it may have it no more, or not as it was. */
  damaged(copy: ShardCopy): void {
    for (const making of this.makings.values()) {
      const isConcerned = making.copy === copy || making.sources.some((source) => source.copy === copy);
      if (isConcerned) this.giveUp(making);
    }
  }

  /** What has to be made here still, and can be. */
  private missing(): readonly Target[] {
    const { self, store } = this.options;
    const map = this.options.map();
    return targetsOf(map).filter((target) => {
      const slice = shardById(map, target.shard);
      const isMember = [...(slice?.replicas ?? []), ...(slice?.outgoing?.replicas ?? [])].includes(self);
      // One that comes when keys have gone, and never had them, is filled as any other that comes.
      const canBe = target.sources.every((source) => hasRecord(store, source));
      return isMember && canBe && !hasRecord(store, target);
    });
  }

  private begin(target: Target): void {
    const { opened, make, isClearing, store } = this.options;
    if (isClearing(target) || store.full) return;
    // A crash left it of one that was being made. Here it would be in no digest: no comparison would bring it to a copy
    // that lacks it, and to one that takes over this copy's floor it would count as deleted.
    if (liesOnDisk(store, target)) {
      this.options.clear(target);
      return;
    }
    const sources = target.sources.map(({ rule, ...name }): Source => {
      return { copy: opened(name) ?? this.source(name), rule };
    });
    const copy = make(target);
    const making: Making = {
      target,
      copy,
      sources,
      isWhole: false,
      isGivenUp: false,
      isPromised: false,
      bytes: 0,
      clashes: new Set(),
    };
    this.makings.set(target.shard, making);
    for (const source of sources) this.attach(source.copy);
    this.copyAll(making).catch((error: unknown) => {
      // A source that cannot be read has told so, and is repaired; it is begun again then.
      this.giveUp(making);
      if (!isPassing(error)) this.options.onFailure(error);
    });
  }

  private source(name: CopyName): ShardCopy {
    const { shard, version } = name;
    const known = this.sources.find((copy) => copy.shard === shard && copy.version === version);
    if (known !== undefined) return known;
    const copy = this.options.make(name);
    this.sources.push(copy);
    copy.open();
    return copy;
  }

  private closeSources(): void {
    for (const copy of this.sources.splice(0)) copy.close();
  }

  private async copyAll(making: Making): Promise<void> {
    const { clock, pace } = this.options;
    for (const { copy } of making.sources) {
      let after: Key | undefined;
      for (;;) {
        if (making.isGivenUp || this.stopped) return;
        const { ids, to } = copy.guarded(() => copy.items.idsAfter(after, KEYS_PER_TURN));
        if (ids.length === 0) break;
        after = to;
        const bytes = this.copyKeys(making, ids);
        making.bytes += bytes;
        await pace.sent(bytes);
        await giveWay(clock);
      }
    }
    making.isWhole = true;
  }

  private copyKeys(making: Making, ids: readonly string[]): number {
    let bytes = 0;
    let part: Change[] = [];
    let partBytes = 0;
    const write = (): void => {
      const changes = part;
      if (changes.length > 0)
        making.copy.make((writer) => changes.forEach((one) => making.copy.put(one, writer)));
      part = [];
      partBytes = 0;
    };
    for (const id of ids) {
      const change = made(making, id, (source) => source.guarded(() => source.held(id).item));
      part.push(change);
      partBytes += sizeOf(change);
      bytes += sizeOf(change);
      if (partBytes >= BYTES_PER_TURN) write();
    }
    write();
    return bytes;
  }

  private attach(copy: ShardCopy): void {
    copy.heirs = {
      wrote: (source, change, writer) => this.tell(source, change, writer),
      finish: (source, writer) => {
        for (const making of this.madeOf(source)) making.copy.finishIn(writer);
      },
      refuse: (source, id, key) =>
        this.madeOf(source).some(({ isPromised, sources }) => {
          const others = isPromised ? sources.filter((other) => other.copy !== source) : [];
          return others.some((other) => {
            const there = keyIn(
              taken(
                other,
                other.copy.guarded(() => other.copy.held(id).item),
              ),
            );
            return there !== undefined && there !== key;
          });
        }),
    };
  }

  private madeOf(copy: ShardCopy): readonly Making[] {
    return [...this.makings.values()].filter(
      ({ sources, isGivenUp }) => !isGivenUp && sources.some((source) => source.copy === copy),
    );
  }

  private tell(source: ShardCopy, change: Change, writer: StoreWriter): void {
    const { id, item } = change;
    for (const making of this.madeOf(source)) {
      try {
        const itemOf = (copy: ShardCopy): Item<MemoryValue> => (copy === source ? item : copy.held(id).item);
        making.copy.put(made(making, id, itemOf), writer);
      } catch (error) {
        if (!(error instanceof StoreCorruptError)) throw error;
        // The write itself is not concerned; what cannot be read is met again when keys are copied, and repaired.
        making.isGivenUp = true;
        this.options.clock.soon(() => this.giveUp(making));
      }
    }
  }

  /** In one turn: no request sees the one gone and the other not there. */
  private takeOver(makings: readonly Making[], handover: number): void {
    const { end, serve, clear, onFailure } = this.options;
    const sources = new Set(makings.flatMap((making) => making.sources.map(({ copy }) => copy)));
    for (const { copy, sources: from } of makings) copy.adopt(knownBy(from, handover));
    for (const source of sources) {
      source.heirs = undefined;
      end(source);
    }
    this.sources.length = 0;
    for (const { target, copy } of makings) {
      this.makings.delete(target.shard);
      serve(copy);
    }
    this.settling += 1;
    this.onDisk(makings.map(({ copy }) => copy))
      .then(() => {
        for (const { shard, version } of this.stopped ? [] : sources) clear({ shard, version });
      })
      .catch(onFailure)
      .finally(() => (this.settling -= 1));
  }

  /** Resolves when what was made is on disk: only then those that it was made of may go. */
  private async onDisk(copies: readonly ShardCopy[]): Promise<void> {
    while (!this.stopped) {
      try {
        await Promise.all(copies.map((copy) => copy.settled()));
        return;
      } catch (error) {
        if (!isPassing(error)) throw error;
      }
      await pause(this.options.clock, RETRY_MS);
    }
  }

  private giveUp(making: Making): void {
    const { target } = making;
    if (this.makings.get(target.shard) !== making) return;
    this.makings.delete(target.shard);
    this.detach(making);
    making.copy.close();
    this.options.clear({ shard: target.shard, version: target.version });
  }

  private detach(making: Making): void {
    making.isGivenUp = true;
    for (const { copy } of making.sources) {
      if (this.madeOf(copy).length === 0) copy.heirs = undefined;
    }
  }
}

/** The memory as the copy that is made has to know it. */
function made(
  { sources, clashes }: Making,
  id: string,
  itemOf: (source: ShardCopy) => Item<MemoryValue>,
): Change {
  const parts = sources.map((source) => taken(source, itemOf(source.copy)));
  const keys = new Set(parts.map(keyIn).filter((key) => key !== undefined));
  if (keys.size > 1) clashes.add(id);
  else clashes.delete(id);
  return { id, item: together(parts) };
}

function taken({ copy, rule }: Source, item: Item<MemoryValue>): Item<MemoryValue> {
  return partOf(item, copy.floor, rule);
}

/** Under which key readers see it; undefined where they see nothing. */
function keyIn(item: Item<MemoryValue>): string | undefined {
  return resolve(item)?.value?.key;
}

/** All that those it was made of had seen, and no more: what they lacked it lacks. */
function knownBy(sources: readonly Source[], handover: number): Parameters<ShardCopy["adopt"]>[0] {
  let floor: VersionVector = [];
  let forgotten: VersionVector = [];
  let state: CopyState = "serving";
  for (const { copy, rule } of sources) {
    floor = join(floor, renamed(copy.floor, rule.suffix));
    forgotten = join(forgotten, renamed(copy.forgotten, rule.suffix));
    if (copy.state !== "serving") state = "rebuilding";
  }
  const lacks = sources.some(({ copy }) => copy.lacks);
  const syncedMs = Math.min(...sources.map(({ copy }) => copy.syncedMs));
  const members = [...new Set(sources.flatMap(({ copy }) => copy.members))];
  return { floor, forgotten, state, lacks, syncedMs, members, filledFor: handover };
}

/** The copies that a handover makes of those that there are. */
function targetsOf({ handover }: ShardMap): readonly Target[] {
  if (handover?.versions === undefined) return [];
  const { id, from, to, slice, isWhole, versions } = handover;
  const rule = (isGone: boolean, suffix: string): PartRule<MemoryValue> => ({
    keeps: ({ value, key = value?.key }) => key === undefined || isInSlice(slice, key) === isGone,
    suffix,
    divides: true,
  });
  const giver = { shard: from, version: versions.from };
  // Names of actors that stay and names that go are others from here on, for the slice may come back.
  const given = { ...giver, rule: isWhole ? ALL : rule(true, `/${id}`) };
  const taker = { shard: to, version: versions.to ?? 0 };
  const targets: Target[] = [
    {
      shard: to,
      version: taker.version + 1,
      sources: versions.to === null ? [given] : [given, { ...taker, rule: ALL }],
    },
  ];
  if (!isWhole) {
    const left = { ...giver, rule: rule(false, "") };
    targets.push({ shard: from, version: giver.version + 1, sources: [left] });
  }
  return targets;
}

const ALL: PartRule<MemoryValue> = { keeps: () => true, suffix: "", divides: false };

/** It ends by itself: a copy was given up or is being repaired, or a disk is full. */
function isPassing(error: unknown): boolean {
  const kind: unknown = error instanceof Error ? Reflect.get(error, "kind") : undefined;
  return kind === "unavailable" || kind === "full";
}
