// What an admin does with slices of keys: a shard is split, two are merged, a key is pinned. Each is an operation of one
// step, planned from the map that the cluster has now, and shown before it is begun.

import type { CallOptions, Engine, EngineView } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { ShardId } from "../model/ids.ts";
import { hasEnded, stepsOf, stepWords, type OperationReport } from "../model/operation.ts";
import type { HandoverPlan, HandoverStep, ShardChange, ShardSizes, Step } from "../model/plan.ts";
import type { ShardMap } from "../model/shard-map.ts";
import { formatBytes } from "../model/units.ts";
import { isHandedOver, mapAfterHandover, middleSlot, nextShardId } from "../topology/handovers.ts";
import { shardById, shardOfKey, sliceLabel } from "../topology/shard-map.ts";
import {
  controlOf,
  currentOperation,
  followOperation,
  requireNoneRunning,
  runOperation,
  type Manner,
} from "./operation.ts";

export type HandoverRequest =
  | { readonly kind: "split"; readonly shard: ShardId; readonly at?: string }
  | { readonly kind: "merge"; readonly shard: ShardId; readonly into: ShardId }
  | { readonly kind: "pin"; readonly key: string; readonly shard: ShardId }
  | { readonly kind: "unpin"; readonly key: string };

/**
 * @throws Mem0ctlError `engine-cannot`, `cannot-split`, `step-impossible` (invalid), `unknown-shard` (not-found),
 *   `step-outdated` (conflict) where the map does not allow it, `nothing-answered` (unavailable).
 */
export async function planHandover(
  engine: Engine,
  request: HandoverRequest,
  options: CallOptions,
): Promise<HandoverPlan> {
  const [{ map, live }, view] = await Promise.all([engine.shardMap(options), engine.view(options)]);
  refuseUnable(engine, live);
  const step = await stepOf(engine, map, request, options);
  const after = isHandedOver(map, step) ? map : mapAfterHandover(map, step);
  const moved = await movedBy(engine, [map, after], view, step, options);
  return {
    apiVersion: "mem0ctl/v1",
    kind: "HandoverPlan",
    cluster: view.cluster,
    epoch: map.epoch,
    step,
    moved,
    shards: changesOf(map, after, view, step, moved),
  };
}

export interface HandoverExplanation {
  /** Sentences: why there and so much, and what clients see of it. */
  readonly reasons: readonly string[];
}

/** Why a plan cuts where it does, or copies what it does: from the plan and what was asked for alone. */
export function explainHandover(
  { step, moved, shards }: HandoverPlan,
  request: HandoverRequest,
): HandoverExplanation {
  const copied = `${moved.memories} ${moved.memories === 1 ? "memory" : "memories"}, ${formatBytes(moved.bytes)}`;
  const before = (id: ShardId): ShardSizes => shards.find(({ shard }) => shard === id)?.before ?? NOTHING;
  const clients =
    "its shard answers for what is copied until all of it is there; only then do requests wait, for a moment";
  switch (step.kind) {
    case "split": {
      const { memories } = before(step.shard);
      const isAsked = request.kind === "split" && request.at !== undefined;
      const isKey = shards.some(({ keysAfter }) => keysAfter?.startsWith("keys") === true);
      const middle = isKey ? "the key that comes nearest to the middle of its memories" : "half of its slots";
      return {
        reasons: [
          `is cut at ${step.at}: ${isAsked ? "that was asked for" : middle}`,
          `${copied} of ${memories} go to shard ${step.into}, a new one on the same nodes; the others stay where they are`,
          clients,
        ],
      };
    }
    case "merge":
      return {
        reasons: [
          `becomes part of shard ${step.into}: all that it has is copied there, ${copied}`,
          `what shard ${step.into} has stays where it is; the number ${step.shard} is not given to another shard`,
          clients,
        ],
      };
    case "pin":
    case "unpin": {
      const [from, to] = [shards[0]?.shard ?? "", shards.at(-1)?.shard ?? ""];
      const why = step.kind === "pin" ? "from now on the directory says so" : "the shard of its hash";
      if (from === to)
        return { reasons: [`${step.key} is in shard ${to} already: only the directory changes`] };
      return {
        reasons: [
          `${step.key} goes from shard ${from} to shard ${to}: ${why}`,
          `its memories are copied, ${copied}; no other key moves`,
          clients,
        ],
      };
    }
  }
}

/** Carries the plan out, and follows it to its end unless the manner says otherwise. */
export function runHandover(
  engine: Engine,
  { step, epoch }: HandoverPlan,
  manner: Manner,
  options: CallOptions,
): Promise<OperationReport<Step> | null> {
  return runOperation(engine, { name: nameOf(step), waves: [[step]], epoch }, manner, options);
}

/**
 * What only the nodes can tell of a plan: whether both shards have a memory of one id under different keys.
 * @throws Mem0ctlError `ids-clash` (conflict), as carrying it out would; nothing is begun.
 */
export function checkHandover(engine: Engine, { step }: HandoverPlan, options: CallOptions): Promise<void> {
  return controlOf(engine).check(step, options);
}

/** Follows the operation that does what is asked, where one runs already; undefined where none does. */
export async function resumeHandover(
  engine: Engine,
  request: HandoverRequest,
  options: CallOptions,
): Promise<OperationReport | undefined> {
  if (engine.operations === undefined) return undefined;
  const running = await currentOperation(engine, options);
  if (running === null || hasEnded(running) || running.plan.name !== nameOf(request)) return undefined;
  const cutsElsewhere = ({ plan }: OperationReport): boolean =>
    request.kind === "split" &&
    request.at !== undefined &&
    stepsOf(plan).some((step) => step.kind === "split" && step.at !== request.at);
  if (cutsElsewhere(running)) {
    await requireNoneRunning(engine, options);
    return undefined;
  }
  return followOperation(engine, options, running);
}

/** The name of its operation. */
function nameOf(request: HandoverRequest): string {
  switch (request.kind) {
    case "split":
      return `split shard ${request.shard}`;
    case "merge":
    case "pin":
    case "unpin":
      return stepWords(request);
  }
}

function refuseUnable(engine: Engine, live: boolean): void {
  if (engine.operations === undefined) {
    throw new Mem0ctlError(
      "invalid",
      "engine-cannot",
      "shards of this engine are not split, merged or pinned",
      {
        why: `${engine.capabilities.engine} shards by slots, each node has one shard, and keys go by their slot`,
        hint: "add or remove a node, and let `mem0ctl shards rebalance` move the slots",
      },
    );
  }
  if (!live) {
    throw new Mem0ctlError("unavailable", "nothing-answered", "no node answered", {
      hint: "start the cluster with `mem0ctl up`, or see `mem0ctl status`",
    });
  }
}

async function stepOf(
  engine: Engine,
  map: ShardMap,
  request: HandoverRequest,
  options: CallOptions,
): Promise<HandoverStep> {
  if (request.kind !== "split") {
    if (request.kind === "merge") requireShards(map, [request.shard, request.into]);
    if (request.kind === "pin") requireShards(map, [request.shard]);
    return request;
  }
  const { shard } = request;
  requireShards(map, [shard]);
  const at = request.at ?? (await middleOf(engine, map, shard, options));
  if (at === null) {
    throw new Mem0ctlError("invalid", "cannot-split", `shard ${shard} cannot be split in two`, {
      why:
        map.strategy === "range"
          ? "its memories have fewer than two keys, so they have no middle"
          : "it has one slot only",
      ...(map.strategy === "range" ? { hint: "say where with --at KEY" } : {}),
    });
  }
  return { kind: "split", shard, at, into: nextShardId(map) };
}

async function middleOf(
  engine: Engine,
  map: ShardMap,
  shard: ShardId,
  options: CallOptions,
): Promise<string | null> {
  if (map.strategy === "range") return (await cutOf(engine, { shard }, options)).at;
  const slot = middleSlot(shardById(map, shard)?.slots ?? []);
  return slot === undefined ? null : String(slot);
}

async function movedBy(
  engine: Engine,
  [map, after]: readonly [ShardMap, ShardMap],
  view: EngineView,
  step: HandoverStep,
  options: CallOptions,
): Promise<ShardSizes> {
  switch (step.kind) {
    case "split":
      return (await cutOf(engine, { shard: step.shard, at: step.at }, options)).goes;
    case "merge":
      return sizeIn(view, step.shard);
    case "pin":
    case "unpin": {
      const [from, to] = endsOf(map, after, step);
      // It is there already, by its hash or by the directory.
      return from === to ? NOTHING : (await cutOf(engine, { shard: from, key: step.key }, options)).goes;
    }
  }
}

const NOTHING: ShardSizes = { memories: 0, bytes: 0 };

function cutOf(
  engine: Engine,
  cut: { readonly shard: ShardId; readonly at?: string; readonly key?: string },
  options: CallOptions,
): Promise<{ readonly at: string | null; readonly goes: ShardSizes }> {
  // Asked for after `refuseUnable`.
  return engine.operations?.cut(cut, options) ?? Promise.resolve({ at: null, goes: NOTHING });
}

function sizeIn({ shards }: EngineView, id: ShardId): ShardSizes {
  const shard = shards.find((other) => other.id === id);
  return { memories: shard?.memories ?? 0, bytes: shard?.bytes ?? 0 };
}

function changesOf(
  before: ShardMap,
  after: ShardMap,
  view: EngineView,
  step: HandoverStep,
  moved: ShardSizes,
): ShardChange[] {
  const [from, to] = endsOf(before, after, step);
  const plus = (size: ShardSizes, sign: 1 | -1): ShardSizes => ({
    memories: Math.max(0, size.memories + sign * moved.memories),
    bytes: Math.max(0, size.bytes + sign * moved.bytes),
  });
  return [...new Set([from, to])].map((shard): ShardChange => {
    const [was, is] = [shardById(before, shard), shardById(after, shard)];
    const size = sizeIn(view, shard);
    const changed = from === to ? size : plus(size, shard === to ? 1 : -1);
    return {
      shard,
      keysBefore: was === undefined ? null : sliceLabel(was, before.strategy),
      keysAfter: is === undefined ? null : sliceLabel(is, after.strategy),
      before: was === undefined ? null : size,
      after: is === undefined ? null : changed,
    };
  });
}

function endsOf(
  before: ShardMap,
  after: ShardMap,
  step: HandoverStep,
): readonly [from: ShardId, to: ShardId] {
  switch (step.kind) {
    case "split":
    case "merge":
      return [step.shard, step.into];
    case "pin":
    case "unpin":
      return [shardOfKey(before, step.key).id, shardOfKey(after, step.key).id];
  }
}

function requireShards(map: ShardMap, ids: readonly ShardId[]): void {
  for (const id of ids) {
    if (shardById(map, id) !== undefined) continue;
    throw new Mem0ctlError("not-found", "unknown-shard", `there is no shard ${JSON.stringify(id)}`, {
      why: `the cluster has ${map.shards.length} shards`,
      hint: "see them with `mem0ctl shards list`",
    });
  }
}
