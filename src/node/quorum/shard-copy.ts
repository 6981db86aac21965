// One copy of a leaderless shard on this node: its items, what it has seen, and the dots that it gives. Everything
// that leaves the node, an answer as well as an acknowledgement, waits until what it tells of is flushed: a dot that
// was seen elsewhere and lost here would be given twice.
//
// A record that fails its checksum is never read as absent. The copy is then damaged: it drops that record,
// goes on under a new actor with an empty floor, so that it claims to have seen nothing, and is rebuilt from
// the other copies.

import type { Opening } from "../../consensus/quorum/exchange.ts";
import { resolve } from "../../consensus/quorum/resolve.ts";
import {
  isCollectable,
  mustBeRebuilt,
  type TombstoneAge,
  type Witness,
} from "../../consensus/quorum/tombstones.ts";
import {
  includes,
  join,
  NOTHING,
  sameDot,
  type Dot,
  type VersionVector,
} from "../../consensus/quorum/vectors.ts";
import { isForgettable, merge, sameItem, type Held, type Item } from "../../consensus/quorum/versions.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId, ShardId } from "../../model/ids.ts";
import { giveWay, type Clock } from "../clock.ts";
import type { MachineSize } from "../host/machine.ts";
import { MemoryMachine } from "../memories/memory-machine.ts";
import type { VectorCache } from "../../memory/vector-cache.ts";
import { extendKey, type Key } from "../storage/key.ts";
import { StoreCorruptError, type Store, type StoreWriter } from "../storage/store.ts";
import { pack, unpack } from "../transport/frames.ts";
import type { Past } from "./calls.ts";
import { CopyItems, notHere, type Change } from "./copy-items.ts";
import { prefixOfCopy, rangeOfCopy } from "./forgotten.ts";
import { COPY, type CopyRecord, type CopyState, type MemoryValue, type Outline } from "./records.ts";

/** Keys looked at, or forgotten, in one go. */
const KEYS_PER_TURN = 1000;

/** Copies that are being made of this one, and have to know at once what it comes to know. */
export interface Heirs {
  /** In the transaction that brings a key of `copy` to `item`. */
  readonly wrote: (copy: ShardCopy, change: Change, writer: StoreWriter) => void;
  /** The end of that transaction. */
  readonly finish: (copy: ShardCopy, writer: StoreWriter) => void;
  /** Whether they can take no new memory of that id under that key any more, for they have it under another one. */
  readonly refuse: (copy: ShardCopy, id: string, key: string) => boolean;
}

export interface ShardCopyOptions {
  readonly shard: ShardId;
  /** Of the shard: every handover of its keys makes a new copy of it. */
  readonly version: number;
  readonly store: Store;
  readonly vectors: VectorCache;
  readonly clock: Clock;
  /** What a copy that is not on disk yet begins as. */
  readonly initial: CopyState;
  /** No other copy could repair this one. */
  readonly isAlone: () => boolean;
  /** A record failed its checksum. */
  readonly onDamage: (shard: ShardId, what: string) => void;
}

export class ShardCopy {
  readonly shard: ShardId;
  readonly version: number;
  readonly prefix: Key;
  readonly machine: MemoryMachine;
  readonly items: CopyItems;
  private readonly options: ShardCopyOptions;
  private record: CopyRecord;
  private lastWrite: Promise<void> = Promise.resolve();
  private unflushed = 0;
  /** Changes when the copy loses something: what was told before does not hold any more. */
  private life = 1;
  private repairing: Promise<void> | undefined;
  /** Found before the copy was open. */
  private damage: StoreCorruptError | undefined;
  /** What it alone held when it came back has been judged (orphans.ts). */
  private isJudged = false;
  heirs: Heirs | undefined;

  constructor(options: ShardCopyOptions) {
    this.options = options;
    const { shard, version, store, clock, vectors } = options;
    this.shard = shard;
    this.version = version;
    this.prefix = prefixOfCopy({ shard, version });
    this.dropUnreadableTotals();
    this.machine = new MemoryMachine({
      owner: version === 0 ? shard : `${shard}/${version}`,
      store,
      vectors,
      clock,
      prefix: this.prefix,
      sessionsMax: 1,
    });
    this.items = new CopyItems({ shard, prefix: this.prefix, store, machine: this.machine });
    this.record = this.freshRecord(options.initial);
  }

  /** Reads the copy from disk, or makes it. */
  open(): void {
    const { store } = this.options;
    try {
      const bytes = store.get(extendKey(this.prefix, COPY));
      if (bytes === undefined) void this.begin();
      else this.record = { ...this.record, ...(unpack(bytes) as Partial<CopyRecord>) };
      this.items.index();
      if (this.damage !== undefined) this.noteDamage(this.damage);
    } catch (error) {
      this.noteDamage(error);
    }
  }

  get state(): CopyState {
    return this.record.state;
  }

  get lacks(): boolean {
    return this.record.lacks;
  }

  /** It was away for too long, and what it alone holds is not news to anybody before the others were asked for it. */
  get withholds(): boolean {
    return this.state === "rebuilding" && !this.lacks && !this.isJudged;
  }

  get filledFor(): number {
    return this.record.filledFor;
  }

  get members(): readonly NodeId[] {
    return this.record.members;
  }

  get syncedMs(): number {
    return this.record.syncedMs;
  }

  /** Equal as long as nothing was lost. */
  get generation(): string {
    return `${this.record.actor}/${this.life}`;
  }

  /** Everything this copy has seen, its own writes among it. */
  get floor(): VersionVector {
    const { actor, counter, floor } = this.record;
    return counter === 0 ? floor : join(floor, [[actor, counter]]);
  }

  get forgotten(): VersionVector {
    return this.record.forgotten;
  }

  get past(): Past {
    const { forgotten } = this;
    return this.state === "serving" ? { forgotten, seen: join(this.floor, forgotten) } : { forgotten };
  }

  /** It takes itself for whole, and others have forgotten deletions of which it may not have heard. */
  isBehind(forgottenByOthers: VersionVector): boolean {
    const { seen } = this.past;
    return seen !== undefined && mustBeRebuilt(seen, forgottenByOthers);
  }

  opening(): Opening {
    return { floor: this.floor, forgotten: this.forgotten, root: this.items.tree.root };
  }

  /** Resolves when everything that can be read here is on disk. Throws kind `full` while it cannot be. */
  async settled(): Promise<void> {
    if (this.unflushed === 0) return;
    this.refuseWhenFull();
    await this.lastWrite;
  }

  held(id: string): Held<MemoryValue> {
    return { item: this.items.item(id), floor: this.floor };
  }

  /**
   * Gives dots and writes what was made with them, in one transaction. Resolves when it is flushed. `make`
   * gets one dot per key.
   */
  coordinate<Made>(
    keys: readonly string[],
    make: (dot: Dot, id: string, local: Item<MemoryValue>) => { change: Change; made: Made },
    also?: (writer: StoreWriter) => void,
  ): {
    readonly made: readonly Made[];
    readonly changes: readonly Change[];
    readonly flushed: Promise<void>;
  } {
    this.refuseWhenFull();
    const made: Made[] = [];
    const changes: Change[] = [];
    const flushed = this.transact((writer) => {
      let { counter } = this.record;
      for (const id of keys) {
        counter += 1;
        const one = make([this.record.actor, counter], id, this.held(id).item);
        made.push(one.made);
        changes.push(one.change);
        this.write(one.change, writer);
      }
      this.record = { ...this.record, counter };
      this.writeRecord(writer);
      also?.(writer);
    });
    return { made, changes, flushed };
  }

  /** Merges what another copy knows, whose floor is `floor`. Resolves when it is flushed. */
  take(changes: readonly Change[], floor: VersionVector): Promise<void> {
    this.refuseWhenFull();
    const news = changes
      .map(({ id, item }) => {
        const local = this.held(id);
        return { id, local, item: merge(local.item, item, { a: local.floor, b: floor }) };
      })
      .filter(({ local, item }) => !sameItem(local.item, item))
      // Seen and forgotten here: it stays forgotten.
      .filter(({ local, item }) => local.item.context.length > 0 || !isForgettable(item, local.floor));
    if (news.length === 0) return this.settled();
    // A deletion that is gone was forgotten there, perhaps without a copy that was away: from now on without it here, too.
    let { forgotten } = this.record;
    for (const { local, item } of news) {
      const isDeletion = resolve(local.item)?.value === null;
      if (isDeletion && item.versions.length === 0) forgotten = join(forgotten, item.context);
    }
    return this.transact((writer) => {
      for (const { id, item } of news) this.write({ id, item }, writer);
      if (forgotten === this.record.forgotten) return;
      this.record = { ...this.record, forgotten };
      this.writeRecord(writer);
    });
  }

  /** Runs what `put`s keys of a copy that is being made. */
  make(work: (writer: StoreWriter) => void): void {
    this.refuseWhenFull();
    void this.transact(work);
  }

  /** Brings a key of a copy that is being made to what it is to know of it. */
  put(change: Change, writer: StoreWriter): void {
    this.write(change, writer);
  }

  /** Ends what was put in the transaction of another copy. */
  finishIn(writer: StoreWriter): void {
    this.machine.finish(writer);
  }

  /** It is made: under a name of its own it knows what those that it was made of knew. */
  adopt(known: Omit<CopyRecord, "actor" | "counter">): void {
    void this.save({ ...this.freshRecord(known.state), ...known });
  }

  /**
   * After a full exchange: everything that the other had seen when it began has been seen here, too, and what it had
   * forgotten without some copy is now forgotten here.
   */
  raiseFloor(other: Pick<Opening, "floor" | "forgotten">): Promise<void> {
    const raised = join(this.record.floor, other.floor);
    const forgotten = join(this.record.forgotten, other.forgotten);
    const syncedMs = Math.max(this.record.syncedMs, this.options.clock.wallMs());
    // Told often and changed seldom: the time alone is written now and then.
    const isStale = syncedMs - this.record.syncedMs > 1000;
    if (raised === this.record.floor && forgotten === this.record.forgotten && !isStale) {
      return Promise.resolve();
    }
    return this.save({ ...this.record, floor: raised, forgotten, syncedMs });
  }

  /** From now on what it takes may be known to these as well. */
  joinedBy(nodes: readonly NodeId[]): Promise<void> {
    return this.setMembers([...new Set([...this.members, ...nodes])]);
  }

  /** Another copy has everything that it took, but for what it took meanwhile, of which only these may know. */
  exchanged(nodes: readonly NodeId[]): Promise<void> {
    return this.setMembers([...new Set(nodes)]);
  }

  private setMembers(members: readonly NodeId[]): Promise<void> {
    const before = this.members;
    if (members.length === before.length && members.every((node) => before.includes(node))) {
      return Promise.resolve();
    }
    return this.save({ ...this.record, members });
  }

  become(state: CopyState, filledFor = this.record.filledFor): Promise<void> {
    const lacks = state === "filling" || (state === "rebuilding" && this.record.lacks);
    if (state === "rebuilding") {
      // What is being compared with it would take what it has to withhold.
      this.life += 1;
      this.isJudged = false;
    }
    return this.save({ ...this.record, state, filledFor, lacks });
  }

  /** Versions of some keys go, which stay seen; from here on it tells what it holds. */
  async endWithholding(orphans: ReadonlyMap<string, readonly Dot[]>): Promise<void> {
    if (orphans.size > 0) {
      this.refuseWhenFull();
      await this.transact((writer) => {
        for (const [id, dots] of orphans) {
          const { item } = this.held(id);
          const versions = item.versions.filter(({ dot }) => !dots.some((orphan) => sameDot(orphan, dot)));
          this.write({ id, item: { ...item, versions } }, writer);
        }
      });
    }
    this.isJudged = true;
  }

  /** Forgets tombstones that everybody knows of, and contexts that the floor covers. Resolves to how many. */
  async collect(witnesses: readonly Witness[], age: TombstoneAge): Promise<number> {
    if (this.items.remains.size === 0 || this.options.store.full) return 0;
    const { floor, generation } = this;
    let unheard: VersionVector = NOTHING;
    const gone = new Map<string, Outline>();
    let looked = 0;
    for (const id of this.items.remains) {
      if (gone.size === KEYS_PER_TURN) break;
      looked += 1;
      if (looked % KEYS_PER_TURN === 0) await giveWay(this.options.clock);
      const outline = this.guarded(() => this.items.outline(id));
      if (isForgettable(outline, floor)) gone.set(id, outline);
      else if (isCollectable(outline, floor, witnesses, age)) {
        const toldAll = witnesses.every(
          (witness) => witness.floor !== undefined && includes(witness.floor, outline.context),
        );
        if (!toldAll) unheard = join(unheard, outline.context);
        gone.set(id, outline);
      }
    }
    if (gone.size === 0 || generation !== this.generation) return 0;
    await this.transact((writer) => {
      for (const [id, outline] of gone) {
        // Written again while others had their turn.
        if (!sameItem(this.items.outline(id), outline)) continue;
        this.write({ id, item: { context: outline.context, versions: [] } }, writer);
      }
      // Another copy may have told of more meanwhile.
      const forgotten = join(this.record.forgotten, unheard);
      if (forgotten !== this.record.forgotten) {
        this.record = { ...this.record, forgotten };
        this.writeRecord(writer);
      }
    });
    return gone.size;
  }

  /** Runs `read`; a record that fails its checksum makes the copy damaged and the read fail. */
  guarded<Result>(read: () => Result): Result {
    try {
      return read();
    } catch (error) {
      throw this.noteDamage(error);
    }
  }

  /** What a failed read means to who asked; damage is noted and repaired. */
  noteDamage(error: unknown): Error {
    if (!(error instanceof StoreCorruptError)) {
      return error instanceof Error ? error : new Error(String(error));
    }
    // Half of it may be gone from the disk already.
    if (this.items.isClosed) return notHere(this.shard);
    if (this.repairing === undefined && !this.options.isAlone()) {
      this.options.onDamage(this.shard, error.message);
      this.life += 1;
      const { forgotten, filledFor } = this.record;
      this.record = { ...this.freshRecord("rebuilding"), forgotten, filledFor };
      this.repairing = this.dropDamaged().finally(() => {
        this.repairing = undefined;
      });
    }
    return new Mem0ctlError(
      "unavailable",
      "copy-damaged",
      `this node's copy of shard ${this.shard} is damaged`,
      {
        why: error.message,
        hint: "it is repaired from the other copies; ask again",
      },
    );
  }

  /** False while a damaged copy is being cleared of what cannot be read, and when it was given up. */
  get isReadable(): boolean {
    return this.repairing === undefined && !this.items.isClosed;
  }

  size(): MachineSize {
    return this.machine.size();
  }

  /** Given up, or its process ends: from here on it tells nothing and takes nothing. */
  close(): void {
    this.items.close();
    this.machine.close();
  }

  /** The machine reads its totals when it is made; they are counted anew when the copy is repaired. */
  private dropUnreadableTotals(): void {
    const { store } = this.options;
    const key = extendKey(this.prefix, "totals");
    try {
      store.get(key);
    } catch (error) {
      if (!(error instanceof StoreCorruptError)) throw error;
      this.damage = error;
      void store.transact((writer) => writer.remove(key));
    }
  }

  /** What lies there without a record was given up before: it is no part of a new copy. */
  private begin(): Promise<void> {
    const { start, end } = rangeOfCopy(this);
    const left = [...this.options.store.keys({ start, end })].map((key) => Buffer.from(key));
    return this.transact((writer) => {
      for (const key of left) writer.remove(key);
      this.record = this.freshRecord(this.options.initial);
      this.machine.recount(writer);
      this.writeRecord(writer);
    });
  }

  private refuseWhenGivenUp(): void {
    if (this.items.isClosed) throw notHere(this.shard);
  }

  private refuseWhenFull(): void {
    if (!this.options.store.full) return;
    throw new Mem0ctlError("full", "disk-full", "the disk of this node is full", {
      hint: "free some space below its data directory; writes go on by themselves",
    });
  }

  private freshRecord(state: CopyState): CopyRecord {
    const actor = Buffer.from(this.options.clock.randomBytes(6)).toString("base64url");
    const syncedMs = this.options.clock.wallMs();
    const lacks = state !== "serving";
    const known = { floor: NOTHING, forgotten: NOTHING, members: [] };
    return { actor, counter: 0, ...known, state, filledFor: 0, lacks, syncedMs };
  }

  private save(record: CopyRecord): Promise<void> {
    return this.transact((writer) => {
      this.record = record;
      this.writeRecord(writer);
    });
  }

  private writeRecord(writer: StoreWriter): void {
    writer.put(extendKey(this.prefix, COPY), pack(this.record));
  }

  private transact(work: (writer: StoreWriter) => void): Promise<void> {
    this.refuseWhenGivenUp();
    const { store } = this.options;
    this.unflushed += 1;
    let failure: unknown;
    const done = store
      .transact((writer) => {
        try {
          work(writer);
          this.machine.finish(writer);
          this.heirs?.finish(this, writer);
        } catch (error) {
          failure = error;
          throw error;
        }
      })
      .finally(() => {
        this.unflushed -= 1;
      });
    if (failure !== undefined) {
      done.catch(() => undefined);
      throw this.noteDamage(failure);
    }
    this.lastWrite = done;
    // Not everybody waits for it, and a failed flush ends the process by itself.
    done.catch(() => undefined);
    store.flush().catch(() => undefined);
    return done;
  }

  private write(change: Change, writer: StoreWriter): void {
    this.items.write(change, this.floor, writer);
    this.heirs?.wrote(this, change, writer);
  }

  /** Removes every key of which some record cannot be read, then counts and indexes what is left. */
  private async dropDamaged(): Promise<void> {
    const damaged = await this.items.damaged(this.options.clock);
    if (damaged === undefined) return;
    await this.transact((writer) => {
      for (const key of damaged) writer.remove(key);
      this.machine.recount(writer);
      this.writeRecord(writer);
    });
    this.items.index();
  }
}
