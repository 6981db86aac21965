// The hints of one copy on disk, and bringing what they name to those who are back. The book says what is
// kept; every hint is a record of the state store as well, so that a restart forgets none.

import { HintBook, type HintLimits } from "../../consensus/quorum/hints.ts";
import type { NodeId } from "../../model/ids.ts";
import type { Clock } from "../clock.ts";
import { decodeKey, extendKey, prefixEnd, type Key } from "../storage/key.ts";
import type { Store, StoreWriter } from "../storage/store.ts";
import { pack, unpack } from "../transport/frames.ts";
import { refuseOtherVersion, type CopyClient } from "./calls.ts";
import type { Change } from "./copy-items.ts";
import type { ShardCopy } from "./shard-copy.ts";

const KEYS_PER_CALL = 64;
const CALL_MS = 3000;

export interface HandoffOptions {
  readonly copy: ShardCopy;
  readonly store: Store;
  readonly clock: Clock;
  readonly client: CopyClient;
  readonly limits: HintLimits;
}

export class Handoff {
  readonly book: HintBook;
  private readonly options: HandoffOptions;
  private readonly bringing = new Set<NodeId>();

  constructor(options: HandoffOptions) {
    this.options = options;
    this.book = new HintBook(options.limits);
  }

  /** Reads the hints that an earlier process left. */
  open(): void {
    const { copy, store } = this.options;
    const start = extendKey(copy.prefix, "hint");
    try {
      for (const { key, value } of store.range({ start, end: prefixEnd(start) })) {
        const [target, id] = decodeKey(key, start.length) as [NodeId, string];
        this.book.note({ target, key: id, sinceMs: Number(unpack(value)) });
      }
    } catch (error) {
      // One that cannot be read is lost; the copy drops it, and a comparison finds what it named.
      copy.noteDamage(error);
    }
  }

  /** Notes in a transaction that is under way. */
  noteIn(writer: StoreWriter, target: NodeId, ids: readonly string[]): void {
    const sinceMs = this.options.clock.wallMs();
    for (const id of ids) {
      if (this.book.note({ target, key: id, sinceMs })) writer.put(this.key(target, id), pack(sinceMs));
    }
  }

  /** Notes for a copy that did not acknowledge. */
  note(target: NodeId, ids: readonly string[]): void {
    const { store } = this.options;
    if (store.full) return;
    this.write((writer) => this.noteIn(writer, target, ids));
  }

  /** Forgets what is too old, and what is for a node that holds no copy any more. */
  expire(isCopy: (node: NodeId) => boolean): void {
    const expired = this.book.expired(this.options.clock.wallMs(), isCopy);
    if (expired.length > 0) this.drop(expired.map(({ target, key }) => [target, key] as const));
  }

  /** Everything noted for a copy that has been compared with in full since. */
  settle(target: NodeId, beforeMs: number): void {
    const { book } = this;
    const oldest = book.oldestFor(target);
    if (oldest === undefined || oldest > beforeMs) return;
    const keys = book
      .next(target, book.countFor(target))
      .filter((key) => book.sinceOf(target, key) <= beforeMs);
    this.drop(keys.map((key) => [target, key] as const));
  }

  /** Brings the oldest to a copy that can be reached, one call at a time. */
  async bring(target: NodeId): Promise<void> {
    if (this.bringing.has(target) || this.book.countFor(target) === 0) return;
    this.bringing.add(target);
    try {
      const { copy, client, clock } = this.options;
      const standing = client.standing(copy.shard);
      refuseOtherVersion(standing, copy);
      const ids = this.book.next(target, KEYS_PER_CALL);
      const changes = copy.guarded(() => ids.map((id): Change => ({ id, item: copy.held(id).item })));
      const ask = { changes, floor: copy.floor };
      await copy.settled();
      if (copy.withholds) return;
      await client.call(target, "quorum-store", copy.shard, ask, clock.nowMs() + CALL_MS, standing);
      this.drop(ids.map((id) => [target, id] as const));
    } finally {
      this.bringing.delete(target);
    }
  }

  private drop(hints: readonly (readonly [target: NodeId, id: string])[]): void {
    this.write((writer) => {
      for (const [target, id] of hints) {
        if (this.book.drop(target, id)) writer.remove(this.key(target, id));
      }
    });
  }

  private write(work: (writer: StoreWriter) => void): void {
    const { store } = this.options;
    // Best effort: a crash before the flush loses a hint, and a comparison finds what it named.
    store.transact(work).catch(() => undefined);
    store.flush().catch(() => undefined);
  }

  private key(target: NodeId, id: string): Key {
    return extendKey(this.options.copy.prefix, "hint", target, id);
  }
}
