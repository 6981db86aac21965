// How keys of leaderless shards are handed over by what every node can do alone: where the copies of both shards are
// on the same nodes, each divides or joins its own. Else they come to the same nodes first: what goes as a whole moves
// there, and a single key is a shard of its own while it does.

import { Mem0ctlError } from "../model/errors.ts";
import type { ShardId } from "../model/ids.ts";
import { stepWords, type ClusterStep } from "../model/operation.ts";
import type { HandoverStep } from "../model/plan.ts";
import type { ShardMap, ShardSlice } from "../model/shard-map.ts";
import { isHandedOver, nextShardId } from "./handovers.ts";
import { shardById, shardOfKey } from "./shard-map.ts";

type Waves = readonly (readonly ClusterStep[])[];

/**
 * The waves of steps that do what the step says, from the map as it is.
 * @throws Mem0ctlError `copies-differ` (conflict) where the two shards have different numbers of copies.
 */
export function leaderlessWaves(map: ShardMap, step: HandoverStep): Waves {
  if (step.kind === "split" || isHandedOver(map, step)) return [[step]];
  if (step.kind === "merge") {
    const giver = shardById(map, step.shard);
    const taker = shardById(map, step.into);
    return giver === undefined || taker === undefined ? [[step]] : [...bringing(giver, taker, step), [step]];
  }
  const { key } = step;
  const giver = shardOfKey(map, key);
  const { [key]: _, ...directory } = map.directory;
  const taker = step.kind === "pin" ? shardById(map, step.shard) : shardOfKey({ ...map, directory }, key);
  if (taker === undefined || giver.id === taker.id || isBeside(giver, taker)) return [[step]];
  const into = taker.id;
  const last: Waves = step.kind === "unpin" ? [[step]] : [];
  if (isAlone(map, giver, key)) {
    return [...bringing(giver, taker, step), [{ kind: "merge", shard: giver.id, into }], ...last];
  }
  const apart: ShardSlice = { ...giver, id: nextShardId(map) };
  return [
    [{ kind: "pin", key, shard: apart.id }],
    ...bringing(apart, taker, step),
    [{ kind: "merge", shard: apart.id, into }],
    ...last,
  ];
}

function isBeside(a: ShardSlice, b: ShardSlice): boolean {
  return a.replicas.length === b.replicas.length && a.replicas.every((node) => b.replicas.includes(node));
}

/** Whether a shard is the key's own: left there when somebody gave up on the way. */
function isAlone({ directory }: ShardMap, { id, slots }: ShardSlice, key: string): boolean {
  return (
    slots.length === 0 && Object.keys(directory).every((other) => other === key || directory[other] !== id)
  );
}

/** One after the other: two changes of a shard at a time are refused. */
function bringing(giver: ShardSlice, taker: ShardSlice, step: HandoverStep): Waves {
  if (giver.replicas.length !== taker.replicas.length) throw copiesDiffer(step, giver.id, taker.id);
  const gone = giver.replicas.filter((node) => !taker.replicas.includes(node));
  const added = taker.replicas.filter((node) => !giver.replicas.includes(node));
  const moves = gone.flatMap((from, at): readonly ClusterStep[] => {
    const to = added[at];
    return to === undefined ? [] : [{ kind: "move-replica", shard: giver.id, from, to, bytes: 0 }];
  });
  return moves.length === 0 ? [] : [moves];
}

function copiesDiffer(step: HandoverStep, from: ShardId, to: ShardId): Mem0ctlError {
  return new Mem0ctlError("conflict", "copies-differ", `cannot ${stepWords(step)}`, {
    why: `shards ${from} and ${to} have different numbers of copies, and each copy of the one joins one of the other`,
    hint: "`mem0ctl replicas add` to the shard that has fewer first",
  });
}
