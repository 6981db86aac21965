// Ends changes of a shard's copies: the leader of the metadata group asks the new members of every shard that
// is changing whether they hold everything, and takes the set before out of the map when all of them do. It
// works from the map alone, so the next leader goes on where this one stopped.

import { META_GROUP } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { withoutOutgoing } from "../../topology/membership.ts";
import type { Clock } from "../clock.ts";
import type { Router } from "../cluster/router.ts";
import type { Host } from "../host/host.ts";
import type { LeaderlessShards } from "./leaderless-shards.ts";

const ASK_MS = 2000;

export interface ChangeoverOptions {
  readonly host: Host;
  readonly router: Router;
  readonly clock: Clock;
  readonly shards: LeaderlessShards;
  readonly map: () => ShardMap;
}

export class Changeover {
  private readonly options: ChangeoverOptions;
  private isLooking = false;

  constructor(options: ChangeoverOptions) {
    this.options = options;
  }

  look(): void {
    const { host } = this.options;
    if (this.isLooking || host.groups.get(META_GROUP)?.replica.status().role !== "leader") return;
    if (!this.options.map().shards.some((shard) => shard.outgoing !== undefined)) return;
    this.isLooking = true;
    // Whatever keeps it from ending is looked at again next time.
    this.end()
      .catch(() => undefined)
      .finally(() => {
        this.isLooking = false;
      });
  }

  private async end(): Promise<void> {
    const { clock, shards, router } = this.options;
    const map = this.options.map();
    const deadlineMs = clock.nowMs() + ASK_MS;
    const changing = map.shards.filter((shard) => shard.outgoing !== undefined);
    const filled = await Promise.all(changing.map((shard) => shards.areFilled(shard, deadlineMs)));
    const done = changing.filter((_, at) => filled[at]).map(({ id }) => id);
    if (done.length === 0) return;
    await router.changeMap({ from: map.epoch, map: withoutOutgoing(map, done) }, deadlineMs);
  }
}
