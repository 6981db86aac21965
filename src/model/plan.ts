// A plan is data: printed, saved, compared, and only then applied. A step is idempotent. The planner in
// topology/ makes plans, an engine executes their steps; neither knows the other.

import type { GroupId, NodeId, Role, ShardId } from "./ids.ts";
import type { MapNode, SlotRange } from "./shard-map.ts";
import { SLOTS } from "./slot-choice.ts";

export type Step =
  | { readonly kind: "add-node"; readonly node: MapNode }
  | { readonly kind: "remove-node"; readonly node: NodeId }
  | AddReplica
  | RemoveReplica
  | MoveReplica
  | TransferLeader
  | MoveSlots
  | HandoverStep;

/** What hands keys from one shard to another. */
export type HandoverStep =
  /** `at`: the first key, or the first slot in decimal, of the new shard `into`. */
  | { readonly kind: "split"; readonly shard: ShardId; readonly at: string; readonly into: ShardId }
  /** `shard` becomes part of `into`, with range sharding its neighbour. */
  | { readonly kind: "merge"; readonly shard: ShardId; readonly into: ShardId }
  /** `key` belongs to `shard` from now on, and its memories with it. */
  | { readonly kind: "pin"; readonly key: string; readonly shard: ShardId }
  /** `key` belongs to the shard of its hash again. */
  | { readonly kind: "unpin"; readonly key: string };

export interface AddReplica {
  readonly kind: "add-replica";
  readonly shard: ShardId;
  readonly to: NodeId;
  /** What is copied, as known when it was planned. */
  readonly bytes: number;
  /** One that holds it: by which the shard is meant where steps before this one may change the ids of shards. */
  readonly holder?: NodeId;
}

export interface RemoveReplica {
  readonly kind: "remove-replica";
  readonly shard: ShardId;
  readonly from: NodeId;
}

/** `to` takes the place of `from` in the shard's order of leadership: if `from` led, `to` will. */
export interface MoveReplica {
  readonly kind: "move-replica";
  readonly shard: ShardId;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly bytes: number;
}

export interface TransferLeader {
  readonly kind: "transfer-leader";
  readonly group: GroupId;
  /** Absent: the best caught-up replica. */
  readonly to?: NodeId;
  /** As of `AddReplica`. */
  readonly holder?: NodeId;
}

/** Of engines that shard by slots. */
export interface MoveSlots {
  readonly kind: "move-slots";
  readonly slots: readonly SlotRange[];
  readonly from: NodeId;
  readonly to: NodeId;
  readonly bytes: number;
}

/** What a rebalance is made of. */
export type RebalanceStep = AddReplica | RemoveReplica | MoveReplica | TransferLeader | MoveSlots;

/** What is made even: the number of copies on each node, or what they hold, or how much they are asked. */
export type Measure = "shards" | "bytes" | "memories" | "load";

/** What the planner knows of a node. */
export interface PlannedNode {
  readonly id: NodeId;
  readonly role: Role;
  readonly zone: string;
  /** Its fair share relative to the others; > 0. */
  readonly weight: number;
  /** It shall end empty. */
  readonly draining: boolean;
  /** Most bytes that it may hold, also on the way; absent: no bound. */
  readonly capacityBytes?: number;
}

/** What the planner knows of a shard. Sizes are of one copy; 0 where nobody knows. */
export interface PlannedShard {
  readonly id: ShardId;
  /** Data copies, in the order of leadership. */
  readonly replicas: readonly NodeId[];
  /** Who leads now; null where there is none, or none by design. */
  readonly leader: NodeId | null;
  /** How many copies it should have. */
  readonly copies: number;
  readonly bytes: number;
  readonly memories: number;
  /** Requests per second, or any other number that is alike for all shards. */
  readonly load: number;
}

/** The state that a plan is made for, and that it names when it is applied. */
export interface PlannedState {
  /** Of the shard map, or the engine's own version of its configuration. */
  readonly epoch: number;
  readonly nodes: readonly PlannedNode[];
  readonly shards: readonly PlannedShard[];
}

/** A rule or an aim that cannot be kept, and what would let it be. */
export interface PlanProblem {
  readonly code: string;
  /** hard: no step of the plan can be taken; soft: the plan is good, and stays short of its aim. */
  readonly severity: "hard" | "soft";
  readonly message: string;
  readonly hint: string;
}

/** A node's part before or after. */
export interface NodeLoad {
  readonly replicas: number;
  readonly leads: number;
  readonly bytes: number;
  /** In the measure that the plan makes even. */
  readonly held: number;
}

export interface PlannedChange {
  readonly node: NodeId;
  /** What it should hold in the plan's measure: by weight, as far as the hard rules let it. */
  readonly share: number;
  readonly before: NodeLoad;
  readonly after: NodeLoad;
  /** Copies that come and that go. */
  readonly received: number;
  readonly given: number;
}

/** What is copied from node to node: replicas, or slots. */
export interface MoveCount {
  readonly moves: number;
  readonly bytes: number;
}

export interface Plan {
  readonly apiVersion: "mem0ctl/v1";
  readonly kind: "Plan";
  /** `leaders`: no copy moves, and what is even is how many shards each node leads. */
  readonly by: Measure | "leaders";
  /** How far a node may be from its share, as a part of it: 0.02 is 2 %. */
  readonly threshold: number;
  /** Steps of one wave run side by side; no two of them are about one shard. */
  readonly waves: readonly (readonly RebalanceStep[])[];
  readonly predicted: MoveCount & {
    readonly leaderTransfers: number;
    /** At the bytes per second that were assumed; null when nobody said how many. */
    readonly durationMs: number | null;
  };
  /** No plan that reaches the same balance can do with less. */
  readonly lowerBound: MoveCount;
  /** How much more than the lower bound is moved, as a part of it, in moves (by shards) or in bytes. */
  readonly gap: number;
  /** The plan is proven to be the least: the gap is 0. */
  readonly optimal: boolean;
  /** Every node ends within the threshold of its share. */
  readonly balanced: boolean;
  readonly nodes: readonly PlannedChange[];
  readonly problems: readonly PlanProblem[];
  readonly state: PlannedState;
}

/** What a plan counts, for people: of engines that shard by slots every slot is a shard of one copy. */
export function measureWords({ by, state }: Pick<Plan, "by" | "state">): string {
  const isSlots = state.shards.length === SLOTS && state.shards.every(({ copies }) => copies === 1);
  if (isSlots && by === "shards") return "slots";
  return isSlots && by === "memories" ? "keys" : by;
}

/** A plan with the cluster that it is for: what is printed, saved and applied. */
export interface ClusterPlan extends Plan {
  readonly cluster: string;
}

/** One difference between the manifest and the live cluster. */
export interface ManifestChange {
  readonly action: "add" | "change" | "remove";
  readonly subject: string;
  readonly message: string;
  /** What it takes, and what may go wrong; empty where it cannot be done. */
  readonly cost: string;
  readonly risk: string;
  /** It can be changed while the cluster runs; otherwise `hint` says how to get there. */
  readonly live: boolean;
  readonly hint?: string;
}

/**
 * What makes the cluster as the manifest says, in this order: nodes join and change, copies move, nodes leave, and those
 * that go by other settings are restarted.
 */
export interface ManifestPlan {
  readonly apiVersion: "mem0ctl/v1";
  readonly kind: "ManifestPlan";
  readonly cluster: string;
  /** Of the shard map that it was made for. */
  readonly epoch: number;
  readonly changes: readonly ManifestChange[];
  readonly joins: readonly NodeId[];
  /** Those that join, and members as they should be. */
  readonly nodes: readonly MapNode[];
  readonly leaves: readonly NodeId[];
  /** Those that were started with other settings. */
  readonly restarts: readonly NodeId[];
  readonly plan: ClusterPlan;
}

export interface ShardSizes {
  readonly memories: number;
  readonly bytes: number;
}

/** One shard before and after a handover of keys: null where it is not there. */
export interface ShardChange {
  readonly shard: ShardId;
  readonly keysBefore: string | null;
  readonly keysAfter: string | null;
  readonly before: ShardSizes | null;
  readonly after: ShardSizes | null;
}

export interface HandoverPlan {
  readonly apiVersion: "mem0ctl/v1";
  readonly kind: "HandoverPlan";
  readonly cluster: string;
  /** Of the shard map that it was made for. */
  readonly epoch: number;
  readonly step: HandoverStep;
  /** What is copied from shard to shard. */
  readonly moved: ShardSizes;
  readonly shards: readonly ShardChange[];
}
