// Where a node holds a copy of one shard only: who changes sides so that every shard has its copies on nodes that may
// hold some, over as many zones as these nodes can. Pure and deterministic; where everything is so, nobody changes.

import type { NodeId, ShardId } from "../model/ids.ts";

export interface OwnShardNode {
  readonly id: NodeId;
  readonly zone: string;
  /** It may hold a copy; false: it leaves, or shall hold nothing. */
  readonly stays: boolean;
  /** It answers, and can be given a copy. */
  readonly free: boolean;
}

export interface OwnShardCopies {
  readonly id: ShardId;
  /** The leader first; nobody of a shard that is to be founded. */
  readonly nodes: readonly NodeId[];
}

export interface OwnShardChange {
  readonly shard: ShardId;
  readonly to: NodeId;
  /** Two copies of the shard were in one zone, and need not be: that is all that this is for. */
  readonly forZones: boolean;
}

export interface OwnShardChanges {
  /** Nodes that get a copy, in the order of shards. */
  readonly changes: readonly OwnShardChange[];
  /** The nodes of each shard that stay, the leader first where it stays. */
  readonly after: ReadonlyMap<ShardId, readonly NodeId[]>;
  /** Copies that no node can take. */
  readonly missing: readonly { readonly shard: ShardId; readonly copies: number }[];
}

/**
 * Shards that have too few copies are given nodes that hold nothing, else such of shards that have too many, of a zone
 * of their own where there is one. Then copies change places as long as that spreads one over more zones; leaders
 * never do.
 */
export function ownShardChanges(
  nodes: readonly OwnShardNode[],
  shards: readonly OwnShardCopies[],
  copies: number,
): OwnShardChanges {
  const known = new Map(nodes.map((node) => [node.id, node]));
  const zoneOf = (id: NodeId): string => known.get(id)?.zone ?? id;
  const after = new Map(
    shards.map((shard) => [shard.id, shard.nodes.filter((id) => known.get(id)?.stays === true)]),
  );
  const held = new Set(shards.flatMap((shard) => shard.nodes));
  const idle = nodes.flatMap(({ id, stays, free }) => (stays && free && !held.has(id) ? [id] : []));
  const leads = new Set(shards.flatMap((shard) => shard.nodes.slice(0, 1)));
  const mayMove = (id: NodeId): boolean => !leads.has(id) && known.get(id)?.free === true;
  const zonesOf = (ids: readonly NodeId[]): number => new Set(ids.map(zoneOf)).size;

  const missing: { shard: ShardId; copies: number }[] = [];
  for (const { id } of shards) {
    const own = after.get(id) ?? [];
    while (own.length < copies) {
      const to = takeSpare(own);
      if (to === undefined) {
        missing.push({ shard: id, copies: copies - own.length });
        break;
      }
      own.push(to);
    }
  }
  const filled = new Map([...after].map(([id, own]) => [id, new Set(own)]));
  spreadOverZones();
  const before = new Map(shards.map((shard) => [shard.id, new Set(shard.nodes)]));
  const changes = shards.flatMap(({ id }) =>
    (after.get(id) ?? [])
      .filter((to) => before.get(id)?.has(to) !== true)
      .map((to): OwnShardChange => ({ shard: id, to, forZones: filled.get(id)?.has(to) !== true })),
  );
  return { changes, after, missing };

  /** One whose zone the shard has not yet, if there is any; who holds nothing before who would leave a shard. */
  function takeSpare(own: readonly NodeId[]): NodeId | undefined {
    const surplus = [...after.values()].flatMap((others) =>
      others === own || others.length <= copies ? [] : others.filter(mayMove),
    );
    const isNear = (id: NodeId): number => Number(own.some((other) => zoneOf(other) === zoneOf(id)));
    const [to] = [...idle, ...surplus].toSorted((one, other) => isNear(one) - isNear(other));
    if (to === undefined) return undefined;
    if (idle.includes(to)) idle.splice(idle.indexOf(to), 1);
    else for (const others of after.values()) if (others.includes(to)) others.splice(others.indexOf(to), 1);
    return to;
  }

  /** Each round takes the change that spreads most; the number of zones grows, so it ends. */
  function spreadOverZones(): void {
    for (;;) {
      const offers: { readonly gain: number; readonly apply: () => void }[] = [];
      const offer = (gain: number, apply: () => void): void => {
        if (gain > 0) offers.push({ gain, apply });
      };
      for (const [id, own] of after) {
        for (const [at, one] of own.entries()) {
          if (!mayMove(one)) continue;
          for (const [place, other] of idle.entries()) {
            offer(zonesOf(own.with(at, other)) - zonesOf(own), () => {
              own[at] = other;
              idle[place] = one;
            });
          }
          for (const [otherId, others] of after) {
            if (otherId <= id) continue;
            for (const [place, other] of others.entries()) {
              if (!mayMove(other)) continue;
              const gain =
                zonesOf(own.with(at, other)) -
                zonesOf(own) +
                zonesOf(others.with(place, one)) -
                zonesOf(others);
              offer(gain, () => {
                own[at] = other;
                others[place] = one;
              });
            }
          }
        }
      }
      const [best] = offers.toSorted((one, other) => other.gain - one.gain);
      if (best === undefined) return;
      best.apply();
    }
  }
}
