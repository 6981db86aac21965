// An id names one memory of a shard. Where two shards have the same id under different keys, which an import can bring
// about, the one shard that they become could keep only one of the two: such keys are not handed over.

import { Mem0ctlError } from "../../model/errors.ts";
import type { ShardId } from "../../model/ids.ts";
import { stepWords } from "../../model/operation.ts";
import type { HandoverStep } from "../../model/plan.ts";
import type { Handover, ShardMap } from "../../model/shard-map.ts";
import { mapHandingOver } from "../../topology/handovers.ts";
import { shardById } from "../../topology/shard-map.ts";
import type { Query } from "../cluster/router.ts";
import { queries } from "../cluster/shard-queries.ts";
import { CLASHES_NAMED_MAX } from "../memories/custody.ts";
import type { SliceIds } from "../memories/slice-parts.ts";

/** A read of the newest state of a shard. */
export type ReadShard = (shard: ShardId, query: Query, deadlineMs: number) => Promise<unknown>;

/** @throws Mem0ctlError `ids-clash` (conflict), which names some of them. */
export async function refuseClashes(
  map: ShardMap,
  step: HandoverStep,
  read: ReadShard,
  deadlineMs: number,
): Promise<void> {
  const handover = handoverNow(map, step);
  // A shard that is made for it has nothing yet.
  if (handover === undefined || shardById(map, handover.to) === undefined) return;
  const clashes = await clashesOf(handover, read, deadlineMs);
  if (clashes.length > 0) throw idsClash("ids-clash", stepWords(step), handover, clashes);
}

/** Some of the ids that the giver has in the slice, and the taker outside of it; empty where there are none. */
export async function clashesOf(
  { from, to, slice }: Pick<Handover, "from" | "to" | "slice">,
  read: ReadShard,
  deadlineMs: number,
): Promise<readonly string[]> {
  const clashes: string[] = [];
  let after: SliceIds["to"] = null;
  do {
    const page = (await read(from, queries.sliceIds(slice, after), deadlineMs)) as SliceIds;
    if (page.ids.length > 0) {
      clashes.push(
        ...((await read(to, queries.idsElsewhere(slice, page.ids), deadlineMs)) as readonly string[]),
      );
    }
    after = page.to;
  } while (after !== null && clashes.length <= CLASHES_NAMED_MAX);
  return clashes;
}

/** undefined where the map does not allow it now: what comes before it may change that. */
function handoverNow(map: ShardMap, step: HandoverStep): Handover | undefined {
  try {
    return mapHandingOver(map, step).handover;
  } catch {
    return undefined;
  }
}

/** `step-outdated`: of one that had begun, which is given up. */
export function idsClash(
  code: "ids-clash" | "step-outdated",
  name: string,
  { from, to }: Pick<Handover, "from" | "to">,
  clashes: readonly string[],
): Mem0ctlError {
  const named = clashes.slice(0, CLASHES_NAMED_MAX);
  const more = clashes.length > named.length ? ", and more" : "";
  return new Mem0ctlError("conflict", code, `cannot ${name}`, {
    why: `shards ${from} and ${to} both have memories with the ids ${named.join(", ")}${more}, under different keys; a shard has one memory of an id, so one of each would be lost`,
    hint: "`mem0ctl memories export` has both, and `mem0ctl memories delete ID` deletes both: import them again, one under another id",
    data: { ids: named },
  });
}
