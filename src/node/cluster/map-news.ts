// Whom this node talks to, when its own shard map lags. A node follows the map through the metadata group, and so
// through that group's leader. One that was away while others joined knows none of them: if one of those leads now,
// it would refuse the only node that could tell it, for as long as that one leads. So every beat names the epoch of
// its sender's map, and who hears of a newer one, and is not told by the group before long, asks for it. What is
// learnt so says who the peers are, and nothing else: shards and members follow the map of the group.

import type { NodeId } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";

export interface MapNewsOptions {
  /** As the metadata group has told it here. */
  readonly map: () => ShardMap;
  readonly ask: (peer: NodeId) => Promise<ShardMap>;
  /** The peers may be others. */
  readonly onNews: () => void;
  readonly nowMs: () => number;
  /** How long the group has to tell. */
  readonly patienceMs: number;
}

export class MapNews {
  private readonly options: MapNewsOptions;
  private heard: ShardMap | undefined;
  private isAsking = false;
  /** Since when there is a newer map than the newest that is known, of that epoch. */
  private lag: { readonly epoch: number; readonly sinceMs: number } | undefined;

  constructor(options: MapNewsOptions) {
    this.options = options;
  }

  /** The newest map that this node has heard of. */
  newest(): ShardMap {
    const map = this.options.map();
    if (this.heard !== undefined && this.heard.epoch > map.epoch) return this.heard;
    this.heard = undefined;
    return map;
  }

  /** A peer's map is of that epoch; an older version of it does not say. */
  hear(peer: NodeId, epoch: number | undefined): void {
    const { ask, nowMs, patienceMs } = this.options;
    const known = this.newest().epoch;
    if (this.isAsking || epoch === undefined || epoch <= known) return;
    if (this.lag?.epoch !== known) this.lag = { epoch: known, sinceMs: nowMs() };
    if (nowMs() - this.lag.sinceMs < patienceMs) return;
    this.isAsking = true;
    ask(peer)
      .then((map) => {
        if (map.epoch <= this.newest().epoch) return;
        this.heard = map;
        this.options.onNews();
      })
      // Its next beat, or that of another, says it again.
      .catch(() => undefined)
      .finally(() => {
        this.isAsking = false;
      });
  }
}
