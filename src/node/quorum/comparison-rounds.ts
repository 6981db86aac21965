// Compares every copy here with every other of its shard, over and over, at rest but for those that have to be filled.

import { everyone } from "../../consensus/quorum/levels.ts";
import type { NodeId, ShardId } from "../../model/ids.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import type { Clock, Timer } from "../clock.ts";
import type { Pace } from "../moves/pace.ts";
import type { Network } from "../transport/network.ts";
import { standingOf, type CopyClient } from "./calls.ts";
import { compare, refuseWhenChanged } from "./comparison.ts";
import type { CopyHere, LeaderlessLimits } from "./copy-here.ts";
import type { PeerClocks } from "./peer-clocks.ts";
import type { Upkeep } from "./upkeep.ts";

/** Of the comparisons, those that a copy waits for to be whole. */
const URGENT_SHARE = 0.75;
/** Pause between two comparisons, at least. */
const COMPARE_MS_MIN = 20;

export interface ComparisonRoundsOptions {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly clocks: PeerClocks;
  readonly network: Network;
  readonly client: CopyClient;
  readonly map: () => ShardMap;
  /** Of what new copies are filled with. */
  readonly pace: Pace;
  readonly limits: LeaderlessLimits;
  readonly all: () => Iterable<CopyHere>;
  /** Those that answer. */
  readonly current: () => readonly CopyHere[];
  readonly upkeep: Upkeep;
}

interface Pair {
  readonly shard: ShardId;
  readonly peer: NodeId;
  readonly here: CopyHere;
}

function isUrgent({ here, peer }: Pair): boolean {
  if (here.copy.withholds) return here.orphans.awaits(peer);
  return here.copy.state !== "serving" && !here.sources.has(peer);
}

export class ComparisonRounds {
  private readonly options: ComparisonRoundsOptions;
  private queue: { shard: ShardId; peer: NodeId }[] = [];
  private stopped = false;
  private next: Timer | undefined;

  constructor(options: ComparisonRoundsOptions) {
    this.options = options;
  }

  start(): void {
    this.schedule();
  }

  stop(): void {
    this.stopped = true;
    this.next?.close();
  }

  private schedule(): void {
    if (this.stopped) return;
    const { clock, limits, all, upkeep } = this.options;
    const pairs = [...all()].reduce((sum, here) => sum + upkeep.peersOf(here).length, 0);
    const isHurried = this.ablePairs().some(isUrgent);
    const everyMs = isHurried ? COMPARE_MS_MIN : limits.compareEveryMs / Math.max(1, pairs);
    // A little chance in it, so that two copies do not always compare at the same moment.
    const waitMs = Math.max(COMPARE_MS_MIN, everyMs * (0.5 + clock.random()));
    this.next = clock.later(waitMs, () => {
      this.compareNext()
        .catch(() => undefined)
        .finally(() => this.schedule());
    });
  }

  /** The next pair of copies in turn; those that have to be filled come first. */
  private async compareNext(): Promise<void> {
    const able = this.ablePairs();
    const allUrgent = able.filter(isUrgent);
    const { clock } = this.options;
    // Any of them, and now and then another: one that answers nothing yet must not keep the others waiting.
    const urgent =
      clock.random() < URGENT_SHARE ? allUrgent[Math.floor(clock.random() * allUrgent.length)] : undefined;
    if (this.queue.length === 0) this.queue = able.map(({ shard, peer }) => ({ shard, peer }));
    let next = urgent;
    while (next === undefined) {
      const turn = this.queue.shift();
      if (turn === undefined) return;
      next = able.find(({ shard, peer }) => shard === turn.shard && peer === turn.peer);
    }
    await this.compareWith(next.here, next.peer);
  }

  private ablePairs(): readonly Pair[] {
    const { network, current, upkeep } = this.options;
    return current().flatMap((here) =>
      here.copy.isReadable
        ? upkeep
            .peersOf(here)
            .flatMap((peer) =>
              network.connected(peer) && !here.comparing.has(peer)
                ? [{ shard: here.copy.shard, peer, here }]
                : [],
            )
        : [],
    );
  }

  private async compareWith(here: CopyHere, peer: NodeId): Promise<void> {
    const { self, clock, clocks, client, limits, map, upkeep } = this.options;
    const beganMs = clock.wallMs();
    const own = standingOf(map(), here.copy.shard);
    here.comparing.add(peer);
    try {
      await upkeep.onDisk(own);
      if (!here.copy.isReadable) return;
      upkeep.noticeAbsence(here);
      if (here.copy.withholds) {
        here.sources.clear();
        try {
          await here.orphans.ask(peer, own);
        } finally {
          await here.orphans.conclude(upkeep.peersOf(here), standingOf(map(), here.copy.shard));
        }
        return;
      }
      const { generation } = here.copy;
      const { standing, lacks, floorOfPeer, wallMs } = await compare({
        peer,
        copy: here.copy,
        client,
        clock,
        standing: own,
        limits,
        reading: false,
        pace: here.copy.state === "filling" ? this.options.pace : undefined,
        deadlineMs: clock.nowMs() + limits.compareMsMax,
        onProgress: (found, settled) => {
          upkeep.knowledge(here, peer).divergentKeys = found - settled;
        },
      });
      clocks.hear(peer, wallMs);
      here.handoff.settle(peer, beganMs);
      // Those of before, too: what it took meanwhile may have been for them.
      await here.copy.exchanged([...everyone(own), ...upkeep.peersOf(here)].filter((node) => node !== self));
      // What was lost while that was written it has not been told again.
      refuseWhenChanged(here.copy.generation, generation);
      await upkeep.compared(here, peer, { floor: floorOfPeer, lacks, standing });
    } finally {
      here.comparing.delete(peer);
    }
  }
}
