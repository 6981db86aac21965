// Whether the replicas of a cluster hold the same, shard by shard, and making one that does not anew.

import { setTimeout as pause } from "node:timers/promises";

import type { CallOptions, Engine, OperationControl } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId, ShardId } from "../model/ids.ts";
import type { ShardVerification } from "../model/node-api.ts";
import { whenAway } from "./operation.ts";

const LOOK_MS = 300;
/** Between two attempts at the shards that could not be compared. */
const TRY_AGAIN_MS = 500;

export interface VerifyOptions extends CallOptions {
  /** How long a shard is compared again and again where a replica does not know how old its state is, in ms; default `timeoutMs`. */
  readonly patienceMs?: number;
}

export interface Verification {
  readonly shards: readonly ShardVerification[];
  /** Every replica was read, and holds what the others hold. */
  readonly same: boolean;
}

/**
 * `shards` empty: all of them. Where a replica does not know how old its state is, as under load, the shard is
 * compared again; what nobody could compare in time is in the result with the reason, and is not the same.
 * @throws Mem0ctlError `unknown-shard` (not-found)
 */
export async function verifyReplicas(
  engine: Engine,
  shards: readonly ShardId[],
  options: VerifyOptions,
): Promise<Verification> {
  const control = controlOf(engine);
  const startMs = performance.now();
  const deadlineMs = startMs + options.timeoutMs;
  const untilMs = startMs + Math.min(options.timeoutMs, options.patienceMs ?? Infinity);
  const left = (): CallOptions => ({ ...options, timeoutMs: Math.max(1, deadlineMs - performance.now()) });
  const { map } = await engine.shardMap(left());
  const ids = shards.length > 0 ? shards : map.shards.map(({ id }) => id);
  const verified: ShardVerification[] = [];
  for (const [at, id] of ids.entries()) {
    options.onProgress?.({ done: at, total: ids.length, message: `reading shard ${id}` });
    verified.push(await control.verify(id, left()));
  }
  while (verified.some(mayPass) && performance.now() + TRY_AGAIN_MS < untilMs) {
    await pause(
      TRY_AGAIN_MS,
      undefined,
      options.signal === undefined ? {} : { signal: options.signal },
    ).catch(() => {
      throw new Mem0ctlError("failed", "interrupted", "interrupted");
    });
    for (const [at, known] of verified.entries()) {
      if (!mayPass(known) || performance.now() >= untilMs) continue;
      options.onProgress?.({ done: at, total: ids.length, message: `reading shard ${known.shard} again` });
      // Without an answer, what was found before is still what is known.
      verified[at] = (await control.verify(known.shard, left()).catch(whenAway)) ?? known;
    }
  }
  const same = verified.every(
    ({ differing, replicas }) => differing === 0 && replicas.every(({ error }) => error === undefined),
  );
  return { shards: verified, same };
}

/** Whether all that kept replicas from being compared is that they did not know in time how old their state is. */
function mayPass({ replicas }: ShardVerification): boolean {
  const failed = replicas.filter(({ error }) => error !== undefined);
  return failed.length > 0 && failed.every(({ code }) => code === "too-stale");
}

/**
 * Makes a replica anew from another one, waits until it is, and compares it with the others.
 * @throws Mem0ctlError `not-a-replica`, `repairs-itself` (invalid), `only-copy` (conflict), `still-repairing`
 *   (unknown-outcome)
 */
export async function repairReplica(
  engine: Engine,
  { shard, node }: { readonly shard: ShardId; readonly node: NodeId },
  options: CallOptions,
): Promise<Verification> {
  const deadlineMs = performance.now() + options.timeoutMs;
  const left = (): CallOptions => ({ ...options, timeoutMs: Math.max(1, deadlineMs - performance.now()) });
  await controlOf(engine).repair(shard, node, left());
  for (;;) {
    const view = await engine.view(left());
    const damaged = view.nodes.find(({ id }) => id === node)?.damaged ?? [];
    if (!damaged.some(({ group }) => group === shard)) return verifyReplicas(engine, [shard], left());
    options.onProgress?.({
      node,
      done: 0,
      total: 0,
      message: `shard ${shard} is copied from another replica`,
    });
    if (deadlineMs - performance.now() <= LOOK_MS) {
      throw new Mem0ctlError(
        "unknown-outcome",
        "still-repairing",
        `shard ${shard} on ${node} is not repaired yet`,
        {
          hint: "it goes on by itself; `mem0ctl status` shows it until it is over",
        },
      );
    }
    await pause(LOOK_MS);
  }
}

function controlOf(engine: Engine): OperationControl {
  if (engine.operations !== undefined) return engine.operations;
  throw new Mem0ctlError("invalid", "not-of-this-engine", "this engine compares its replicas by itself", {
    hint: "only clusters of the embedded engine can be verified from here",
  });
}
