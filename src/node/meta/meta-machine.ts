// The state machine of the metadata group: the shard map. Every change is a whole new map that names the
// epoch it was made from, and is refused when another came first, so a repeated command changes nothing.

import type { ShardMap } from "../../model/shard-map.ts";
import type { StateMachine } from "../host/machine.ts";
import { extendKey, type Key } from "../storage/key.ts";
import type { Store, StoreWriter } from "../storage/store.ts";
import { pack, unpack } from "../transport/frames.ts";

export interface MapCommand {
  /** The epoch that the change was made from. */
  readonly from: number;
  readonly map: ShardMap;
}

export type MapResult = { readonly accepted: boolean; readonly map: ShardMap };

export class MetaMachine implements StateMachine {
  private readonly store: Store;
  private prefix: Key;
  private current: ShardMap;
  private readonly onMap: (map: ShardMap) => void;

  /** `initial` is used until the store has a map. */
  constructor(parts: {
    readonly store: Store;
    readonly prefix: Key;
    readonly initial: ShardMap;
    readonly onMap: (map: ShardMap) => void;
  }) {
    this.store = parts.store;
    this.prefix = parts.prefix;
    this.onMap = parts.onMap;
    this.current = parts.initial;
    this.reload(parts.prefix);
  }

  get map(): ShardMap {
    return this.current;
  }

  apply(command: Uint8Array, _index: number, writer: StoreWriter): MapResult {
    const { from, map } = unpack(command) as MapCommand;
    if (from !== this.current.epoch) return { accepted: false, map: this.current };
    writer.put(extendKey(this.prefix, "map"), pack(map));
    this.change(map);
    return { accepted: true, map };
  }

  finish(): void {
    // The map is written with the command that changes it.
  }

  reload(prefix: Key): void {
    this.prefix = prefix;
    const bytes = this.store.get(extendKey(prefix, "map"));
    if (bytes !== undefined) this.change(unpack(bytes) as ShardMap);
  }

  size(): { readonly memories: number; readonly bytes: number } {
    return { memories: 0, bytes: 0 };
  }

  close(): void {
    // Nothing is held open.
  }

  hasMap(): boolean {
    return this.store.get(extendKey(this.prefix, "map")) !== undefined;
  }

  /** Makes the founding map part of the state, so that snapshots carry it. */
  found(map: ShardMap, writer: StoreWriter): void {
    writer.put(extendKey(this.prefix, "map"), pack(map));
    this.current = map;
  }

  private change(map: ShardMap): void {
    const newer = map.epoch > this.current.epoch;
    this.current = map;
    if (newer) this.onMap(map);
  }
}
