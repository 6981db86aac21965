// When an operation has to wait: a node that it does not empty is down, a shard has nobody who leads, a replica
// lags beyond the manifest's limit. One bad look is not enough: elections and hiccups pass.

import type { NodeId } from "../../model/ids.ts";
import { stepsOf, type Operation } from "../../model/operation.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { formatDuration } from "../../model/units.ts";
import type { Clock } from "../clock.ts";
import type { Liveness } from "../cluster/liveness.ts";
import type { Router } from "../cluster/router.ts";
import type { Network } from "../transport/network.ts";

/** Between two looks: each asks every node. */
const LOOK_MS = 1000;
const ASK_MS = 1000;
/** How long something has to be wrong before the operation waits for it. */
const PATIENCE_MS = 2000;

/** The replica that lags most, of those that a node feeds and that count for their shard. */
export interface WorstLag {
  readonly shard: string;
  readonly node: NodeId;
  readonly lagMs: number;
}

export interface HealthBoundOptions {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly network: Network;
  readonly liveness: Liveness;
  readonly router: Router;
  readonly map: () => ShardMap;
  readonly leaderless: boolean;
  readonly lagMsMax: number;
  readonly worstLagHere: () => WorstLag | null;
}

export class HealthBound {
  private readonly options: HealthBoundOptions;
  private lookedMs = -Infinity;
  /** What is wrong now, and since when. */
  private seen: { readonly what: string; readonly sinceMs: number } | undefined;

  constructor(options: HealthBoundOptions) {
    this.options = options;
  }

  /** Why nothing new should begin, for people; undefined while nothing speaks against it. */
  async trouble(operation: Operation): Promise<string | undefined> {
    const { clock } = this.options;
    if (clock.nowMs() - this.lookedMs >= LOOK_MS) {
      this.lookedMs = clock.nowMs();
      const what = this.nodeDown(operation) ?? this.leaderlessShard() ?? (await this.lagging());
      if (what === undefined) this.seen = undefined;
      else this.seen = { what, sinceMs: this.seen?.sinceMs ?? clock.nowMs() };
    }
    if (this.seen === undefined) return undefined;
    const { what, sinceMs } = this.seen;
    return clock.nowMs() - sinceMs >= PATIENCE_MS ? what : undefined;
  }

  /** A node that is emptied or left behind may be down: that can be why. */
  private nodeDown({ plan }: Operation): string | undefined {
    const { self, liveness } = this.options;
    const left = new Set(
      stepsOf(plan).flatMap((step) => ("from" in step ? step.from : "node" in step ? step.node : [])),
    );
    const down = this.options
      .map()
      .nodes.find(
        ({ id, draining }) => id !== self && !draining && !left.has(id) && liveness.state(id) === "down",
      );
    return down === undefined ? undefined : `${down.id} is down`;
  }

  private leaderlessShard(): string | undefined {
    const { leaderless, router } = this.options;
    if (leaderless) return undefined;
    const shard = this.options.map().shards.find(({ id }) => router.leaderOf(id).leader === null);
    return shard === undefined ? undefined : `shard ${shard.id} has no leader`;
  }

  private async lagging(): Promise<string | undefined> {
    const { self, network, clock, lagMsMax, worstLagHere } = this.options;
    const answers = await Promise.all(
      this.options.map().nodes.map(async ({ id }) => {
        if (id === self) return worstLagHere();
        if (!network.connected(id)) return null;
        const asked = network.call(id, "worst-lag", {}, clock.nowMs() + ASK_MS);
        return (await asked.catch(() => null)) as WorstLag | null;
      }),
    );
    const worst = answers.filter((answer) => answer !== null).toSorted((a, b) => b.lagMs - a.lagMs)[0];
    if (worst === undefined || worst.lagMs <= lagMsMax) return undefined;
    return `shard ${worst.shard} on ${worst.node} is ${formatDuration(worst.lagMs)} behind`;
  }
}
