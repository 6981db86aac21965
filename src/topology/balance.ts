// Gives each of many items to one of a few candidates so that the load per weight is as even as the
// candidates allow. Knows nothing of shards; placement uses it for leaders and for replacements.

import type { NodeId } from "../model/ids.ts";

export interface Capacity {
  readonly weight: number;
  /** Items that the node has already, outside of this assignment. */
  readonly load: number;
}

/** Load per weight closer than this is equal: weights are written by people, sums are floating point. */
const EPSILON = 1e-9;

/**
 * One candidate for each item: `candidates[i]` lists the nodes that item i may go to, not empty; the
 * earlier one wins a tie. Items go greedily to the least loaded candidate; then every chain of exchanges
 * that takes an item off a more loaded node and ends on a less loaded one is followed until none is
 * left, which makes the assignment optimal (Harvey, Ladner, Lovász, Tamir: Semi-matchings for
 * bipartite graphs and load balancing, theorem 3.1).
 */
export function assignEvenly(
  candidates: readonly (readonly NodeId[])[],
  capacities: ReadonlyMap<NodeId, Capacity>,
): NodeId[] {
  const loads = new Map([...capacities].map(([id, { load }]) => [id, load]));
  const ratio = (id: NodeId, extra: number): number =>
    ((loads.get(id) ?? 0) + extra) / (capacities.get(id)?.weight ?? 1);
  const move = (id: NodeId, change: number): void => {
    loads.set(id, (loads.get(id) ?? 0) + change);
  };

  const chosen = candidates.map((options) => {
    let best = "";
    for (const option of options) {
      if (best === "" || ratio(option, 1) < ratio(best, 1) - EPSILON) best = option;
    }
    move(best, 1);
    return best;
  });

  for (;;) {
    const chain = improvingChain(candidates, chosen, ratio);
    if (chain === undefined) return chosen;
    for (const { item, to } of chain) {
      move(chosen[item] ?? to, -1);
      move(to, 1);
      chosen[item] = to;
    }
  }
}

interface Exchange {
  readonly item: number;
  readonly to: NodeId;
}

function improvingChain(
  candidates: readonly (readonly NodeId[])[],
  chosen: readonly NodeId[],
  ratio: (id: NodeId, extra: number) => number,
): Exchange[] | undefined {
  const owned = itemsByNode(chosen);
  const heaviestFirst = [...owned.keys()].sort((a, b) => ratio(b, 0) - ratio(a, 0));
  // A node reached from a heavier one without success need not be started from: what it reaches, the
  // heavier one reached too.
  const exhausted = new Set<NodeId>();
  for (const start of heaviestFirst) {
    if (exhausted.has(start)) continue;
    const reachedBy = new Map<NodeId, Exchange & { readonly from: NodeId }>();
    const queue: NodeId[] = [start];
    let best: NodeId | undefined;
    for (let head = 0; head < queue.length; head += 1) {
      const from = queue[head] ?? start;
      for (const item of owned.get(from) ?? []) {
        for (const to of candidates[item] ?? []) {
          if (to === start || exhausted.has(to) || reachedBy.has(to)) continue;
          reachedBy.set(to, { item, to, from });
          queue.push(to);
          if (ratio(to, 1) < ratio(best ?? start, best === undefined ? 0 : 1) - EPSILON) best = to;
        }
      }
    }
    if (best !== undefined) {
      const chain: Exchange[] = [];
      for (let step = reachedBy.get(best); step !== undefined; step = reachedBy.get(step.from))
        chain.push(step);
      return chain;
    }
    for (const node of queue) exhausted.add(node);
  }
  return undefined;
}

function itemsByNode(chosen: readonly NodeId[]): Map<NodeId, number[]> {
  const items = new Map<NodeId, number[]>();
  for (const [item, node] of chosen.entries()) {
    const list = items.get(node);
    if (list === undefined) items.set(node, [item]);
    else list.push(item);
  }
  return items;
}
