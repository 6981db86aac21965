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
 * earlier one wins a tie. Items begin at `start[i]` where that is a candidate, the others go greedily to the
 * least loaded one; then every chain of exchanges that takes an item off a more loaded node and ends on a
 * less loaded one is followed until none is left, which makes the assignment optimal (Harvey, Ladner,
 * Lovász, Tamir: Semi-matchings for bipartite graphs and load balancing, theorem 3.1). Chains are taken
 * shortest first, so that little changes.
 */
export function assignEvenly(
  candidates: readonly (readonly NodeId[])[],
  capacities: ReadonlyMap<NodeId, Capacity>,
  start: readonly (NodeId | null)[] = [],
): NodeId[] {
  // Filled as nodes are used: of a large cluster few nodes may be candidates.
  const loads = new Map<NodeId, number>();
  const loadOf = (id: NodeId): number => loads.get(id) ?? capacities.get(id)?.load ?? 0;
  const ratio = (id: NodeId, extra: number): number =>
    (loadOf(id) + extra) / (capacities.get(id)?.weight ?? 1);
  const move = (id: NodeId, change: number): void => {
    loads.set(id, loadOf(id) + change);
  };

  const chosen = candidates.map((options, item) => {
    const here = start[item];
    if (here === undefined || here === null || !options.includes(here)) return "";
    move(here, 1);
    return here;
  });
  for (const [item, options] of candidates.entries()) {
    if (chosen[item] !== "") continue;
    let best = "";
    for (const option of options) {
      if (best === "" || ratio(option, 1) < ratio(best, 1) - EPSILON) best = option;
    }
    move(best, 1);
    chosen[item] = best;
  }

  const owned = itemsByNode(chosen);
  const usable = [...new Set(candidates.flat())];
  for (;;) {
    const chain = improvingChain(candidates, owned, ratio, Math.min(...usable.map((id) => ratio(id, 1))));
    if (chain === undefined) return chosen;
    for (const { item, to } of chain) {
      const from = chosen[item] ?? to;
      move(from, -1);
      owned.get(from)?.delete(item);
      move(to, 1);
      owned.set(to, (owned.get(to) ?? new Set()).add(item));
      chosen[item] = to;
    }
  }
}

interface Exchange {
  readonly item: number;
  readonly to: NodeId;
}

/** `lightest`: the ratio that no chain can better, so that a search ends where it finds it. */
function improvingChain(
  candidates: readonly (readonly NodeId[])[],
  owned: ReadonlyMap<NodeId, ReadonlySet<number>>,
  ratio: (id: NodeId, extra: number) => number,
  lightest: number,
): Exchange[] | undefined {
  const heaviestFirst = [...owned.keys()].sort((a, b) => ratio(b, 0) - ratio(a, 0));
  // A node reached from a heavier one without success need not be started from: what it reaches, the
  // heavier one reached too.
  const exhausted = new Set<NodeId>();
  for (const start of heaviestFirst) {
    if (exhausted.has(start)) continue;
    const reachedBy = new Map<NodeId, Exchange & { readonly from: NodeId }>();
    const queue: NodeId[] = [start];
    let best: NodeId | undefined;
    const isBest = (): boolean => best !== undefined && ratio(best, 1) <= lightest + EPSILON;
    for (let head = 0; head < queue.length && !isBest(); head += 1) {
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

function itemsByNode(chosen: readonly NodeId[]): Map<NodeId, Set<number>> {
  const items = new Map<NodeId, Set<number>>();
  for (const [item, node] of chosen.entries()) {
    const list = items.get(node);
    if (list === undefined) items.set(node, new Set([item]));
    else list.add(item);
  }
  return items;
}
