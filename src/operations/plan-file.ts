// A plan that was saved: read back field by field, and compared with the cluster that it is to be applied to.

import { DecodeError, list, nullable, number, object, oneOf, text, truth } from "../model/decode.ts";
import type { Decoder } from "../model/decode.ts";
import type { CallOptions, Engine } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type {
  AddReplica,
  ClusterPlan,
  ManifestChange,
  ManifestPlan,
  MoveReplica,
  MoveSlots,
  NodeLoad,
  PlanProblem,
  PlannedChange,
  PlannedNode,
  PlannedShard,
  PlannedState,
  RebalanceStep,
  RemoveReplica,
  TransferLeader,
} from "../model/plan.ts";
import type { MapNode, SlotRange } from "../model/shard-map.ts";
import { stateChanges } from "../topology/state-changes.ts";
import { lookAtCluster } from "./rebalance.ts";

const STEPS: Readonly<Record<RebalanceStep["kind"], Decoder<RebalanceStep>>> = {
  "move-replica": object<MoveReplica>({
    kind: oneOf(["move-replica"]),
    shard: text,
    from: text,
    to: text,
    bytes: number,
  }),
  "add-replica": object<AddReplica>(
    { kind: oneOf(["add-replica"]), shard: text, to: text, bytes: number },
    { holder: text },
  ),
  "remove-replica": object<RemoveReplica>({ kind: oneOf(["remove-replica"]), shard: text, from: text }),
  "transfer-leader": object<TransferLeader>(
    { kind: oneOf(["transfer-leader"]), group: text },
    { to: text, holder: text },
  ),
  "move-slots": object<MoveSlots>({
    kind: oneOf(["move-slots"]),
    slots: list(object<SlotRange>({ from: number, to: number })),
    from: text,
    to: text,
    bytes: number,
  }),
};

const kindOf = object<{ readonly kind: RebalanceStep["kind"] }>({
  kind: oneOf(["move-replica", "add-replica", "remove-replica", "transfer-leader", "move-slots"]),
});
const step: Decoder<RebalanceStep> = (value, path) => STEPS[kindOf(value, path).kind](value, path);

const load = object<NodeLoad>({ replicas: number, leads: number, bytes: number, held: number });
const count = { moves: number, bytes: number };

const plan = object<ClusterPlan>({
  apiVersion: oneOf(["mem0ctl/v1"]),
  kind: oneOf(["Plan"]),
  cluster: text,
  by: oneOf(["shards", "bytes", "memories", "load", "leaders"]),
  threshold: number,
  waves: list(list(step)),
  predicted: object<ClusterPlan["predicted"]>({
    ...count,
    leaderTransfers: number,
    durationMs: nullable(number),
  }),
  lowerBound: object(count),
  gap: number,
  optimal: truth,
  balanced: truth,
  nodes: list(
    object<PlannedChange>({
      node: text,
      share: number,
      before: load,
      after: load,
      received: number,
      given: number,
    }),
  ),
  problems: list(
    object<PlanProblem>({ code: text, severity: oneOf(["hard", "soft"]), message: text, hint: text }),
  ),
  state: object<PlannedState>({
    epoch: number,
    nodes: list(
      object<PlannedNode>(
        {
          id: text,
          role: oneOf(["primary", "secondary", "arbiter"]),
          zone: text,
          weight: number,
          draining: truth,
        },
        { capacityBytes: number },
      ),
    ),
    shards: list(
      object<PlannedShard>({
        id: text,
        replicas: list(text),
        leader: nullable(text),
        copies: number,
        bytes: number,
        memories: number,
        load: number,
      }),
    ),
  }),
});

const manifestPlan = object<ManifestPlan>({
  apiVersion: oneOf(["mem0ctl/v1"]),
  kind: oneOf(["ManifestPlan"]),
  cluster: text,
  epoch: number,
  changes: list(
    object<ManifestChange>(
      {
        action: oneOf(["add", "change", "remove"]),
        subject: text,
        message: text,
        cost: text,
        risk: text,
        live: truth,
      },
      { hint: text },
    ),
  ),
  joins: list(text),
  nodes: list(
    object<MapNode>({
      id: text,
      address: text,
      role: oneOf(["primary", "secondary", "arbiter"]),
      zone: text,
      weight: number,
      draining: truth,
    }),
  ),
  leaves: list(text),
  restarts: list(text),
  plan,
});

/** Of `shards rebalance --out`, or of `plan --out`. */
type SavedPlan = ClusterPlan | ManifestPlan;

const planKind = object<{ readonly kind: SavedPlan["kind"] }>({ kind: oneOf(["Plan", "ManifestPlan"]) });

/** @throws Mem0ctlError `not-a-plan` (invalid). */
export function readPlan(json: string, name: string): SavedPlan {
  try {
    const value: unknown = JSON.parse(json);
    return planKind(value, "").kind === "Plan" ? plan(value, "") : manifestPlan(value, "");
  } catch (error) {
    if (!(error instanceof DecodeError) && !(error instanceof SyntaxError)) throw error;
    throw new Mem0ctlError("invalid", "not-a-plan", `${name} holds no plan`, {
      why: error.message.replace("the answer", "it"),
      hint: "make one with `mem0ctl shards rebalance --out plan.json` or `mem0ctl plan --out plan.json`",
    });
  }
}

const CHANGES_TOLD_MAX = 3;

/**
 * Looks whether the cluster is still the one that the plan was made for.
 * @throws Mem0ctlError `other-cluster`, `cluster-changed` (conflict), with every change in `data.changes`; what
 *   cannot be looked at is `nothing-answered` (unavailable).
 */
export async function checkPlanFits(
  engine: Engine,
  saved: ClusterPlan,
  call: CallOptions,
): Promise<PlannedState> {
  const { state, view } = await lookAtCluster(engine, call);
  if (view.cluster !== saved.cluster) {
    throw new Mem0ctlError("conflict", "other-cluster", `the plan is for the cluster ${saved.cluster}`, {
      why: `the manifest is of ${view.cluster}`,
      hint: "give the manifest of that cluster with -f",
    });
  }
  const changes = stateChanges(saved.state, state);
  if (changes.length === 0) return state;
  const left = changes.length - CHANGES_TOLD_MAX;
  throw new Mem0ctlError("conflict", "cluster-changed", "the cluster changed since the plan was made", {
    why: `${changes.slice(0, CHANGES_TOLD_MAX).join("; ")}${left > 0 ? `; and ${left} more` : ""}`,
    hint: "plan again: `mem0ctl shards rebalance --out plan.json`",
    data: { changes, plannedAt: saved.state.epoch, now: state.epoch },
  });
}
