// Whom this node talks to, when its own shard map lags. A node follows the map through the metadata group, and so
// through that group's leader. One that was away while others joined knows none of them: if one of those leads now,
// it would refuse the only node that could tell it, for as long as that one leads. So every beat names the epoch of
// its sender's map, and who hears of a newer one asks for it. What is learnt so says who the peers are, and nothing
// else: shards and members follow the map of the group.

import type { NodeId } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";

export interface MapNewsOptions {
  /** As the metadata group has told it here. */
  readonly map: () => ShardMap;
  readonly ask: (peer: NodeId) => Promise<ShardMap>;
  /** The peers may be others. */
  readonly onNews: () => void;
}

export class MapNews {
  private readonly options: MapNewsOptions;
  private heard: ShardMap | undefined;
  private isAsking = false;

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
    if (this.isAsking || epoch === undefined || epoch <= this.newest().epoch) return;
    this.isAsking = true;
    this.options
      .ask(peer)
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
