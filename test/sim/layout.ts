// Which cluster a seed runs: how many nodes of which roles, how many copies and shards, how its disks, clocks and
// limits are. All of it small, so that a few seconds reach what takes a real cluster days.

import type { Protocol, Role, ShardingStrategy } from "../../src/model/ids.ts";
import type { Manifest, NodeSpec } from "../../src/model/manifest.ts";
import type { Consistency } from "../../src/model/consistency.ts";
import type { CoreLimits } from "../../src/node/core-options.ts";
import type { LeaderlessLimits } from "../../src/node/quorum/copy-here.ts";
import type { Chance } from "./chance.ts";
import type { DiskHabits } from "./disk.ts";
import { drillOf, type Drill } from "./drills.ts";
import type { ClockHabits, NodeHabits } from "./machine.ts";

export const DIMENSIONS = 2;
const HEARTBEAT_MS = 100;

interface Shape {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly copies: number;
  readonly shardsMax: number;
}

const P: Role = "primary";
const S: Role = "secondary";
const A: Role = "arbiter";

/** The usual ones more than once: chance takes one of the list. */
const SHAPES: readonly Shape[] = [
  { name: "three nodes", roles: [P, S, S], copies: 3, shardsMax: 2 },
  { name: "three primaries", roles: [P, P, P], copies: 3, shardsMax: 3 },
  { name: "two copies and an arbiter", roles: [P, S, A], copies: 2, shardsMax: 2 },
  { name: "five nodes, three copies", roles: [P, P, P, S, S], copies: 3, shardsMax: 3 },
  { name: "five nodes, five copies", roles: [P, P, S, S, S], copies: 5, shardsMax: 1 },
  { name: "three nodes, two copies", roles: [P, P, S], copies: 2, shardsMax: 2 },
  { name: "four copies and an arbiter", roles: [P, P, S, S, A], copies: 4, shardsMax: 1 },
  { name: "six nodes", roles: [P, P, P, S, S, S], copies: 3, shardsMax: 2 },
  { name: "one copy", roles: [P, P, P], copies: 1, shardsMax: 3 },
];
const OFTEN = [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8];

/** What a seed is for; most are for everything. */
export type Mood = "any" | "snapshots" | "members" | "arbiters" | "clients";
const MOODS: readonly Mood[] = [
  ...(["any", "any", "any", "any"] as const),
  ...(["snapshots", "members", "members", "arbiters", "clients"] as const),
];
/** The quorum protocol has neither logs nor arbiters nor sessions. */
const LEADERLESS_MOODS: readonly Mood[] = ["any", "any", "any", "members"];
/** Shapes in which a copy can move to a node that has none, and those with a log-only voter. */
const SHAPES_OF_MOOD: Readonly<Partial<Record<Mood, readonly number[]>>> = {
  members: [3, 3, 3, 5, 5, 7, 7, 8],
  arbiters: [2, 2, 6],
};

const STRATEGIES: readonly ShardingStrategy[] = ["hash", "hash", "range", "directory"];
/** As `Workload` names its users. */
const USERS = ["u0", "u1", "u2"];

function shardingOf(
  strategy: ShardingStrategy,
  shards: number,
): Pick<Manifest["sharding"], "strategy" | "ranges" | "directory"> {
  return { strategy, ranges: strategy === "range" ? USERS.slice(1, shards) : [], directory: {} };
}

const LINEARIZABLE: Consistency = { read: "linearizable", write: "quorum" };
/** Of the quorum protocol; most clusters want reads that meet every write. */
const LEVELS: readonly Consistency[] = [
  { read: "quorum", write: "quorum" },
  { read: "quorum", write: "quorum" },
  { read: "quorum", write: "quorum" },
  { read: "quorum", write: "quorum" },
  { read: "one", write: "all" },
  { read: "all", write: "one" },
  { read: "one", write: "one" },
];

/** Seconds take the place of hours, and a handful of keys that of thousands. */
function leaderlessLimits(chance: Chance): LeaderlessLimits {
  const graceMs = chance.pick([400, 1000]);
  return {
    rangesPerQuestion: chance.pick([1, 8]),
    leavesPerQuestion: chance.pick([1, 16]),
    keysPerQuestion: chance.pick([1, 4]),
    restMs: chance.pick([0, 5]),
    callMs: 500,
    compareEveryMs: chance.pick([300, 1000]),
    compareMsMax: 5000,
    graceMs,
    awayMsMax: chance.pick([1500, 4000, 1_000_000_000]),
    hints: { hintsMax: chance.pick([3, 100]), bytesMax: 2000, ageMsMax: graceMs / 2 },
    hintsEveryMs: 100,
    slowMs: chance.pick([20, 100]),
  };
}

/** Those in which one copy can be away, and in which an arbiter decides. */
const SHAPE_OF_DRILL: Readonly<Partial<Record<Drill, number>>> = {
  forgotten: 0,
  arbiter: 2,
  damaged: 0,
  overtaken: 0,
  cut: 0,
  recalled: 3,
  halved: 0,
  orphan: 3,
};
/** So that a deletion is forgotten, and who was away is not waited for, within a run. */
const FORGETFUL: Partial<LeaderlessLimits> = { compareEveryMs: 300, graceMs: 400, awayMsMax: 1500 };
const LIMITS_OF_DRILL: Readonly<Partial<Record<Drill, Partial<LeaderlessLimits>>>> = {
  forgotten: FORGETFUL,
  orphan: FORGETFUL,
};

export interface Layout {
  readonly name: string;
  readonly mood: Mood;
  readonly drill: Drill;
  readonly manifest: Manifest;
  /** Not of the cluster; may join it. */
  readonly spares: readonly NodeSpec[];
  readonly nodeHabits: NodeHabits;
  /** Log bytes that a node keeps for its followers, where nodes differ in it: one needs a snapshot where another does not. */
  readonly logBytesOfNode: readonly number[];
  /** A replica can be lost for good, and every group keeps a quorum and a copy. */
  readonly canLoseOne: boolean;
  /** A copy of a shard can be put elsewhere by a change of the map alone. */
  readonly canMove: boolean;
  /** Keys of clients at which shards can be split, or that can be pinned. */
  readonly handedOver: readonly string[];
  /** There are other copies of what one machine holds. With two and an arbiter the other may lag behind what is chosen. */
  readonly canRot: boolean;
}

/** `apart`: draws what is drawn since the runs of old seeds were known. */
export function layoutOf(chance: Chance, protocol: Protocol, apart: Chance): Layout {
  const strategy = apart.pick(STRATEGIES);
  const drill = drillOf(apart, protocol);
  const drawnMood = chance.pick(protocol === "quorum" ? LEADERLESS_MOODS : MOODS);
  const mood = drill === "members" ? "members" : drawnMood;
  const drawn = chance.pick(SHAPES_OF_MOOD[mood] ?? OFTEN);
  const shape = SHAPES[SHAPE_OF_DRILL[drill] ?? drawn] ?? SHAPES[0];
  if (shape === undefined) throw new Error("there are shapes");
  const shards = 1 + chance.below(shape.shardsMax);
  const sharding = shardingOf(strategy, shards);
  const nodes = shape.roles.map((role, index) => nodeOf(index, role));
  const spares = chance.hits(0.4) || mood === "members" ? [nodeOf(nodes.length, S)] : [];
  const nodeCount = nodes.length + spares.length;
  const forgetsLog = drill === "overtaken" || drill === "cut";
  const limits: Partial<CoreLimits> = {
    // What moves finds logs cut, and is sent states.
    logBytes: mood === "snapshots" || mood === "members" || forgetsLog ? 256 : 4096,
    groupLogBytesMin: Math.min(
      chance.pick(mood === "members" ? [150, 400, 2048] : [1024, 2048, 6000]),
      forgetsLog ? 400 : Infinity,
    ),
    snapshotChunkBytes: chance.pick([300, 1000, 4000]),
    // Where copies move and move back, what is deleted takes its time.
    cleanRecordsMax: Math.min(
      chance.pick([2, 2000]),
      mood === "members" || drill === "recalled" ? 1 : Infinity,
    ),
    appendBytesMax: chance.pick([500, 2000]),
    // Where answers take long, more has to be on its way meanwhile.
    inflightBytesMax: Math.max(chance.pick([1500, 8000]), drill === "overtaken" ? 100_000 : 0),
    inflightMessagesMax: Math.max(chance.pick([2, 8]), drill === "overtaken" ? 64 : 0),
    uncommittedBytesMax: Math.max(chance.pick([300, 4000, 16_000]), drill === "burst" ? 100_000 : 0),
    // Fewer than the nodes that use them make room for each other all the time. With one for each, those that
    // restarted nodes leave behind push out one that rests, or waits for an answer.
    sessionsMax:
      mood === "clients" || drill === "answers"
        ? Math.ceil(nodes.length / 2)
        : chance.pick([Math.ceil(nodes.length / 2), nodeCount, nodeCount + 2, 16, 40]),
    leaderless: { ...leaderlessLimits(chance.fork("leaderless")), ...LIMITS_OF_DRILL[drill] },
  };
  const level = protocol === "quorum" ? chance.pick(LEVELS) : LINEARIZABLE;
  // A write is done while a copy is away, and every read meets it.
  const isMet = drill === "forgotten" || drill === "orphan";
  const consistency: Consistency = isMet ? { read: "quorum", write: "quorum" } : level;
  const electionTimeoutMs = chance.pick([500, 1000]);
  const manifest = manifestOf({
    nodes,
    copies: shape.copies,
    sharding: { ...sharding, shards, key: "user" },
    protocol,
    electionTimeoutMs,
    consistency,
  });
  const arbiters = shape.roles.filter((role) => role === "arbiter").length;
  return {
    name: `${shape.name}, ${shards} ${shards === 1 ? "shard" : "shards"} by ${sharding.strategy}, for ${mood}${drill === "none" ? "" : `, drill ${drill}`}`,
    mood,
    drill,
    manifest,
    spares,
    handedOver: USERS,
    nodeHabits: {
      limits,
      rewriteBytesMin: chance.pick([4096, 16_384, 1 << 20]),
      aheadBytes: chance.pick([1024, 8192]),
      reserveBytes: chance.pick([2048, 8192]),
    },
    logBytesOfNode: mood === "snapshots" && drill !== "overtaken" ? [150, 400, 2048] : [],
    canRot: shape.copies >= (arbiters > 0 ? 3 : 2) && consistency.write !== "one",
    canMove: protocol !== "quorum",
    canLoseOne:
      protocol === "quorum"
        ? shape.copies >= 3 && consistency.read === "quorum" && consistency.write === "quorum"
        : shape.copies + arbiters >= 3 && shape.copies >= 2,
  };
}

function manifestOf(parts: {
  readonly nodes: readonly NodeSpec[];
  readonly copies: number;
  readonly sharding: Manifest["sharding"];
  readonly protocol: Protocol;
  readonly electionTimeoutMs: number;
  readonly consistency: Consistency;
}): Manifest {
  const { nodes, copies, sharding, protocol, electionTimeoutMs, consistency } = parts;
  return {
    apiVersion: "mem0ctl/v1",
    kind: "Cluster",
    name: "sim",
    engine: "embedded",
    dataDir: "/sim",
    nodes,
    replication: { strategy: "multiple", replicas: copies - 1 },
    sharding,
    consensus: {
      protocol,
      heartbeatIntervalMs: HEARTBEAT_MS,
      electionTimeoutMs,
      consistency,
    },
    embedding: {
      provider: "none",
      dimensions: DIMENSIONS,
      url: undefined,
      model: undefined,
      apiKey: undefined,
    },
    limits: { maxLagMs: 5000, bodyBytesMax: 1 << 20, batchMax: 100, connectionsMax: 100 },
    security: { tokens: [], tls: undefined },
  };
}

/** A cluster without anything drawn: three copies of each shard, and the limits of a real node. */
export function calmLayout(
  protocol: Protocol,
  nodes: number,
  shards: number,
): Pick<Layout, "manifest" | "nodeHabits"> {
  const consistency: Consistency = protocol === "quorum" ? { read: "quorum", write: "quorum" } : LINEARIZABLE;
  const specs = Array.from({ length: nodes }, (_, index) => nodeOf(index, P));
  return {
    manifest: manifestOf({
      nodes: specs,
      copies: 3,
      sharding: { ...shardingOf("hash", shards), shards, key: "user" },
      protocol,
      electionTimeoutMs: 1000,
      consistency,
    }),
    nodeHabits: { limits: {}, rewriteBytesMin: 1 << 26, aheadBytes: 1 << 16, reserveBytes: 8192 },
  };
}

/** What every node has in common, and what it has for itself. */
export function habitsOfNode({ nodeHabits, logBytesOfNode }: Layout, chance: Chance): NodeHabits {
  if (logBytesOfNode.length === 0) return nodeHabits;
  const groupLogBytesMin = chance.pick(logBytesOfNode);
  return { ...nodeHabits, limits: { ...nodeHabits.limits, groupLogBytesMin } };
}

function nodeOf(index: number, role: Role): NodeSpec {
  const id = `node-${index + 1}`;
  return {
    id,
    address: `127.0.0.1:${7001 + index}`,
    host: "127.0.0.1",
    port: 7001 + index,
    role,
    zone: id,
    weight: 1,
    manage: "spawn",
    dataDir: `/sim/${id}`,
  };
}

export function diskHabitsOf(chance: Chance): DiskHabits {
  const isSlow = chance.hits(0.3);
  return {
    writeMsMin: isSlow ? 2 : 0.05,
    writeMsMax: isSlow ? 25 : chance.pick([0.5, 2, 8]),
    stateFlushMs: chance.pick([20, 200, 1000]),
  };
}

/** Seconds that differ by up to 10 %. */
export function clockHabitsOf(chance: Chance): ClockHabits {
  return { rate: chance.hits(0.5) ? 1 : chance.between(0.95, 1.05), wallOffsetMs: 0 };
}
