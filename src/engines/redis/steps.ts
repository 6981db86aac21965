// One step of a plan, done to a live cluster: each looks first, does only what is missing, and ends when the
// cluster itself says that it is so. A step that was done already is done again without harm.

import { setTimeout as pause } from "node:timers/promises";

import { resolveSecret } from "../../manifest/secrets.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId } from "../../model/ids.ts";
import type { Manifest } from "../../model/manifest.ts";
import type { MoveSlots, Step } from "../../model/plan.ts";
import type { CallOptions, Settled as EngineSettled } from "../engine.ts";
import type { Turns } from "./atomic-moves.ts";
import { awaitServerMoves, moveAtomically, movesAtomically } from "./atomic-moves.ts";
import { infoNumber } from "./gossip.ts";
import type { RedisNodes } from "./nodes.ts";
import type { MoverPresence } from "./mover-presence.ts";
import { settleOpenSlots } from "./open-slots.ts";
import { ReplyError } from "./reply-values.ts";
import { moveSlots } from "./slot-moves.ts";
import type { End, MoveOptions } from "./slot-moves.ts";
import type { Command } from "./reply-values.ts";
import { numbersOf, rangesOf } from "../../topology/slot-ranges.ts";
import { topologyOf } from "./topology.ts";
import type { Group, Member, RedisTopology } from "./topology.ts";

export interface LiveCluster {
  readonly manifest: Manifest;
  readonly nodes: RedisNodes;
  readonly presence: MoverPresence;
  readonly turns: Turns;
}

const ANSWER_MS_MAX = 2000;
const POLL_MS = 50;
/** After this the servers have given a handover up (CLUSTER_MF_TIMEOUT is 5 s). */
const HANDOVER_MS = 5500;
/** The new primary tells all others at once; a replica that has not heard of it by then is told. */
const FOLLOWING_MS = 2000;

/** Part of the time in which a server may be busy with moving; the rest is its clients'. */
const MOVING_SHARE = 0.9;

/** @throws Mem0ctlError `engine-cannot`, of what the servers refuse, or `step-not-seen` (unknown-outcome). */
export async function executeStep(cluster: LiveCluster, step: Step, options: CallOptions): Promise<string> {
  const deadlineMs = performance.now() + options.timeoutMs;
  switch (step.kind) {
    case "transfer-leader":
      return transferLeader(cluster, step.holder ?? { id: step.group }, step.to, options, deadlineMs);
    case "add-node":
      return addNode(cluster, step.node.id, options, deadlineMs);
    case "remove-node":
      return removeNode(cluster, step.node, options, deadlineMs);
    case "add-replica":
      return addReplica(cluster, step.holder ?? { id: step.shard }, step.to, options, deadlineMs);
    case "remove-replica":
      return emptyNode(cluster, step.from, options, deadlineMs);
    case "move-replica": {
      await addReplica(cluster, step.from, step.to, options, deadlineMs);
      const { groups } = await look(cluster, options, deadlineMs);
      if (groups.some(({ primary }) => primary.id === step.from)) {
        await transferLeader(cluster, step.from, step.to, options, deadlineMs);
      }
      return emptyNode(cluster, step.from, options, deadlineMs);
    }
    case "move-slots":
      return executeMove(cluster, step, options, deadlineMs);
    default:
      throw new Mem0ctlError("invalid", "engine-cannot", `the redis engine cannot ${step.kind}`, {
        why: "it shards by 16384 slots, each of which belongs to one primary",
        hint: "what it can do: add and remove nodes and replicas, and transfer leaders",
      });
  }
}

async function look(
  { manifest, nodes }: LiveCluster,
  { signal }: CallOptions,
  deadlineMs: number,
): Promise<RedisTopology> {
  const timeoutMs = Math.max(1, Math.min(ANSWER_MS_MAX, deadlineMs - performance.now()));
  return topologyOf(manifest, await nodes.askAll({ timeoutMs, ...(signal === undefined ? {} : { signal }) }));
}

/** Tells one node to do something. @throws Mem0ctlError `refused-by-node` with the server's words. */
async function tell(
  { nodes }: LiveCluster,
  node: NodeId,
  command: Command,
  deadlineMs: number,
): Promise<void> {
  const connection = await nodes.connection(node);
  const timeoutMs = Math.max(1, deadlineMs - performance.now());
  try {
    await connection.call(command, { timeoutMs, write: true });
  } catch (error) {
    if (!(error instanceof ReplyError)) throw error;
    throw new Mem0ctlError(
      "conflict",
      "refused-by-node",
      `${node} refused ${command.slice(0, 2).join(" ")}`,
      {
        why: error.message,
        hint: "see the state of the cluster with `mem0ctl status`",
      },
    );
  }
}

/** What is asked for again and again may be refused meanwhile. @throws every other error. */
function unlessRefused(error: unknown): void {
  if (!(error instanceof Mem0ctlError) || error.code !== "refused-by-node") throw error;
}

/** Looks until it is so. @throws Mem0ctlError `step-not-seen` (unknown-outcome) at the deadline. */
async function untilSeen<Value>(
  cluster: LiveCluster,
  what: string,
  options: CallOptions,
  deadlineMs: number,
  probe: (topology: RedisTopology) => Value | undefined | Promise<Value | undefined>,
): Promise<Value> {
  for (;;) {
    const value = await probe(await look(cluster, options, deadlineMs));
    if (value !== undefined) return value;
    if (performance.now() + POLL_MS >= deadlineMs) {
      throw new Mem0ctlError("unknown-outcome", "step-not-seen", `${what}: accepted, but not seen in time`, {
        why: "the servers spread the news among themselves",
        hint: "look again with `mem0ctl status`",
      });
    }
    await pause(POLL_MS, undefined, options.signal === undefined ? {} : { signal: options.signal });
  }
}

/** A shard by its id, which a node that changes sides may change, or by a node that holds it. */
type ShardName = NodeId | { readonly id: string };

function groupOf({ groups }: RedisTopology, name: ShardName): Group {
  const found = groups.find(({ id, primary, replicas }) =>
    typeof name === "string"
      ? primary.id === name || replicas.some((replica) => replica.id === name)
      : id === name.id,
  );
  if (found !== undefined) return found;
  throw new Mem0ctlError(
    "not-found",
    "unknown-shard",
    `there is no shard ${typeof name === "string" ? `on ${name}` : JSON.stringify(name.id)}`,
    {
      why: `the cluster has shards 0 to ${groups.length - 1}`,
      hint: "see them with `mem0ctl shards list`",
    },
  );
}

function memberOf({ members }: RedisTopology, id: NodeId): Member {
  const found = members.find((member) => member.id === id);
  if (found !== undefined) return found;
  throw new Mem0ctlError("not-found", "unknown-node", `there is no node ${JSON.stringify(id)}`, {
    why: `the cluster has ${members.map((member) => member.id).join(", ")}`,
    hint: "see them with `mem0ctl nodes list`",
  });
}

async function lookAt(
  cluster: LiveCluster,
  id: NodeId,
  options: CallOptions,
  deadlineMs: number,
): Promise<{ readonly topology: RedisTopology; readonly member: Member }> {
  const topology = await look(cluster, options, deadlineMs);
  return { topology, member: memberOf(topology, id) };
}

/** CLUSTER FAILOVER: the primary stops for the moment in which the replica catches up, so nothing is lost. */
async function transferLeader(
  cluster: LiveCluster,
  shard: ShardName,
  to: NodeId | undefined,
  options: CallOptions,
  deadlineMs: number,
): Promise<string> {
  const group = groupOf(await look(cluster, options, deadlineMs), shard);
  const heir = to ?? bestReplica(group)?.id;
  if (heir === undefined) {
    throw new Mem0ctlError("conflict", "no-replica", `shard ${group.id} has no replica that could lead it`, {
      why: `only ${group.primary.id} holds it, or its replicas do not follow`,
      hint: "see them with `mem0ctl replicas lag`",
    });
  }
  if (heir === group.primary.id) return `shard ${group.id} is led by ${heir} already`;
  // One that has only just begun to follow would not catch up in the few seconds that a handover may take.
  await untilSeen(cluster, `${heir} follows ${group.primary.id}`, options, deadlineMs, ({ members }) => {
    const report = members.find(({ id }) => id === heir)?.report;
    return report?.info.get("master_link_status") === "up" || report?.self.primary === null
      ? true
      : undefined;
  });
  await tell(cluster, heir, ["CLUSTER", "FAILOVER"], deadlineMs);
  let toldMs = performance.now();
  const term = await untilSeen(
    cluster,
    `the transfer of shard ${group.id} to ${heir}`,
    options,
    deadlineMs,
    async (topology) => {
      const led = topology.groups.find(({ primary }) => primary.id === heir);
      const behind = led === undefined ? [] : stillWith(group.primary, led.primary, topology);
      if (led !== undefined && behind.length === 0) return led.epoch;
      if (performance.now() - toldMs < (led === undefined ? HANDOVER_MS : FOLLOWING_MS)) return undefined;
      toldMs = performance.now();
      // A handover that did not come about is given up by the servers, and has to be asked for again.
      if (led === undefined)
        await tell(cluster, heir, ["CLUSTER", "FAILOVER"], deadlineMs).catch(unlessRefused);
      for (const { id, line } of behind) {
        if (line?.primary === null || led?.primary.redisId === undefined) continue;
        // One that has not heard of the handover at all refuses to follow a replica.
        await tell(cluster, id, ["CLUSTER", "REPLICATE", led.primary.redisId], deadlineMs).catch(
          unlessRefused,
        );
      }
      return undefined;
    },
  );
  return `shard ${group.id} went from ${group.primary.id} to ${heir} in term ${term}`;
}

/**
 * Those that answer and have not heard yet that another leads: the one that led, and who follows it. What is done next
 * must not find them so, since a replica does not leave a primary that itself goes away.
 */
function stillWith(before: Member, now: Member, { members }: RedisTopology): Member[] {
  return members.filter(
    ({ id, report, line }) =>
      report !== undefined &&
      id !== now.id &&
      (id === before.id ? line?.primary === null : line?.primary === before.redisId),
  );
}

/** The replica that has most of the primary's stream. */
function bestReplica({ replicas }: Group): Member | undefined {
  const offset = ({ report }: Member): number =>
    report?.info.get("master_link_status") === "up"
      ? (infoNumber(report.info, "slave_repl_offset") ?? 0)
      : -1;
  const [best] = replicas.toSorted((one, other) => offset(other) - offset(one));
  return best === undefined || offset(best) < 0 ? undefined : best;
}

/** The node becomes a member without slots. */
async function addNode(
  cluster: LiveCluster,
  id: NodeId,
  options: CallOptions,
  deadlineMs: number,
): Promise<string> {
  const { topology, member } = await lookAt(cluster, id, options, deadlineMs);
  if (member.report === undefined && !member.stranger) {
    throw new Mem0ctlError(
      "unavailable",
      "node-not-running",
      `${id} does not answer: ${member.error ?? ""}`,
      {
        hint: "start it with `mem0ctl up`, then add it",
      },
    );
  }
  if (member.stranger) {
    const timeoutMs = Math.max(1, deadlineMs - performance.now());
    const { self, keys, nodes: known } = await cluster.nodes.report(id, { timeoutMs });
    if (keys > 0 || self.slots.length > 0 || known.length > 1) {
      throw new Mem0ctlError(
        "conflict",
        "node-not-empty",
        `${id} cannot join: it is not a new, empty server`,
        {
          why: known.length > 1 ? "it belongs to another cluster" : `it holds ${keys} keys`,
          hint: "give the node an empty data directory",
        },
      );
    }
    const via = topology.members.find(({ report }) => report !== undefined);
    if (via === undefined) {
      throw new Mem0ctlError("unavailable", "nothing-answered", "no node of the cluster answered", {
        hint: "start the cluster with `mem0ctl up`",
      });
    }
    const host = self.host === "" ? member.host : self.host;
    await tell(cluster, via.id, ["CLUSTER", "MEET", host, self.port, self.busPort], deadlineMs);
  }
  await untilSeen(cluster, `${id} joins`, options, deadlineMs, (now) => hasJoined(now, id));
  return `${id} is a member, without slots`;
}

/** Every node that answers knows every other one. A node that was alone serves nobody for a moment after that. */
function hasJoined({ members }: RedisTopology, id: NodeId): true | undefined {
  const answering = members.flatMap((member) => (member.report === undefined ? [] : [member.report]));
  const acquainted = answering.every(({ nodes }) =>
    answering.every(({ self }) => nodes.some(({ redisId }) => redisId === self.redisId)),
  );
  return acquainted && members.some((one) => one.id === id && serves(one)) ? true : undefined;
}

function serves({ report }: Member): boolean {
  return report?.cluster.get("cluster_state") === "ok";
}

async function addReplica(
  cluster: LiveCluster,
  shard: ShardName,
  to: NodeId,
  options: CallOptions,
  deadlineMs: number,
): Promise<string> {
  const topology = await look(cluster, options, deadlineMs);
  const group = groupOf(topology, shard);
  const primary = group.primary.redisId;
  if (primary === undefined) throw new RangeError("a group without a primary");
  if (memberOf(topology, to).report === undefined) await addNode(cluster, to, options, deadlineMs);
  const already = memberOf(topology, to).line?.primary === primary;
  if (!already) await tell(cluster, to, ["CLUSTER", "REPLICATE", primary], deadlineMs);
  await untilSeen(cluster, `${to} follows ${group.primary.id}`, options, deadlineMs, ({ members }) => {
    const member = members.find(({ id }) => id === to);
    const linked = member?.report?.info.get("master_link_status") === "up";
    return linked && member?.line?.primary === primary ? true : undefined;
  });
  return `${to} holds a replica of shard ${group.id}`;
}

/**
 * The node gives its copy up and stays a member that holds nothing: it forgets the others, which keep it in mind, and
 * meets them again as a primary without slots. One that leads nothing is so already.
 */
async function emptyNode(
  cluster: LiveCluster,
  id: NodeId,
  options: CallOptions,
  deadlineMs: number,
): Promise<string> {
  const { topology, member } = await lookAt(cluster, id, options, deadlineMs);
  const own = topology.groups.find(({ primary }) => primary === member);
  if (own !== undefined) {
    refuseInUse(own);
    return `${id} holds nothing`;
  }
  if (member.redisId === undefined) return `${id} is no member`;
  const others = topology.members.filter((other) => other !== member && other.report !== undefined);
  await tell(cluster, id, ["CLUSTER", "RESET", "SOFT"], deadlineMs);
  for (const { line, host } of others) {
    if (line === undefined) continue;
    const address = line.host === "" ? host : line.host;
    await tell(cluster, id, ["CLUSTER", "MEET", address, line.port, line.busPort], deadlineMs);
  }
  await untilSeen(cluster, `${id} gives its copy up`, options, deadlineMs, (now) =>
    now.groups.some(({ primary }) => primary.id === id) ? hasJoined(now, id) : undefined,
  );
  return `${id} holds nothing`;
}

/** @throws Mem0ctlError `node-in-use` (conflict). */
function refuseInUse({ id, primary, slotCount, replicas }: Group): void {
  if (slotCount === 0 && replicas.length === 0) return;
  throw new Mem0ctlError("conflict", "node-in-use", `${primary.id} leads shard ${id}, and cannot leave it`, {
    why:
      slotCount > 0
        ? `it owns ${slotCount} slots`
        : `${replicas.map((one) => one.id).join(", ")} would follow nobody`,
    hint: `drain it first, or let another node lead: \`mem0ctl leader transfer ${id}\``,
  });
}

/**
 * The node leaves: every other one forgets it, and it forgets them. It must own no slot; a replica simply
 * goes. Forgetting lasts a minute on each node (CLUSTER FORGET), so all are told within one.
 */
async function removeNode(
  cluster: LiveCluster,
  id: NodeId,
  options: CallOptions,
  deadlineMs: number,
): Promise<string> {
  const { topology, member } = await lookAt(cluster, id, options, deadlineMs);
  const { redisId } = member;
  if (redisId === undefined) return `${id} is no member`;
  const own = topology.groups.find(({ primary }) => primary === member);
  if (own !== undefined) refuseInUse(own);
  const others = topology.members.filter((other) => other !== member && other.report !== undefined);
  if (member.report !== undefined) {
    // First, so that it tells nobody about itself any more.
    await tell(cluster, id, ["CLUSTER", "RESET", "HARD"], deadlineMs);
  }
  await Promise.all(
    others.map(async ({ id: other, report }) => {
      if (report?.nodes.some((line) => line.redisId === redisId) !== true) return;
      await tell(cluster, other, ["CLUSTER", "FORGET", redisId], deadlineMs);
    }),
  );
  return `${id} is no member; ${others.length} nodes have forgotten it`;
}

// --- slots -------------------------------------------------------------------------------------

async function executeMove(
  cluster: LiveCluster,
  { slots: ranges, from, to }: MoveSlots,
  options: CallOptions,
  deadlineMs: number,
): Promise<string> {
  const topology = await look(cluster, options, deadlineMs);
  const [source, target] = [memberOf(topology, from), memberOf(topology, to)];
  const all = numbersOf(ranges);
  let left = all.filter((slot) => topology.ownerOf(slot) !== target.redisId);
  const foreign = left.filter((slot) => topology.ownerOf(slot) !== source.redisId);
  if (foreign.length > 0) {
    throw new Mem0ctlError(
      "conflict",
      "plan-outdated",
      `${foreign.length} slots are not ${from}'s any more`,
      {
        why: `slot ${foreign[0] ?? ""} belongs to another node`,
        hint: "make a new plan",
      },
    );
  }
  let done = all.length - left.length;
  const move = await moveOptions(cluster, options, deadlineMs, (slots, keys) => {
    done += slots;
    options.onProgress?.({
      done,
      total: all.length,
      message: `${from} to ${to}: ${done} of ${all.length} slots${keys === 0 ? "" : `, ${keys} keys`}`,
    });
  });
  if (left.length > 0 && !serves(target)) {
    await untilSeen(cluster, `${to} serves`, options, deadlineMs, ({ members }) =>
      members.some((member) => member.id === to && serves(member)) ? true : undefined,
    );
  }
  const [one, other] = [await endOf(cluster, source, deadlineMs), await endOf(cluster, target, deadlineMs)];
  // A bound on what is sent can only be kept by what sends it piece by piece.
  if (options.bytesPerSecondMax === undefined && left.length > 0 && movesAtomically(source, target)) {
    const slots = rangesOf(left.toSorted((a, b) => a - b));
    const moved = await cluster.turns.take([from, to], () => moveAtomically(source, one, other, slots, move));
    if (moved) return `${left.length} slots went from ${from} to ${to} in one piece`;
    // Refused: another run may have done it meanwhile, else key by key is the way that is left.
    const { ownerOf } = await look(cluster, options, deadlineMs);
    left = left.filter((slot) => ownerOf(slot) !== target.redisId);
  }
  const bound = keysPerSecond(source, options.bytesPerSecondMax);
  const keys = await moveSlots(one, other, left, { ...move, ...bound });
  return `${left.length} slots with ${keys} keys went from ${from} to ${to}`;
}

/** A bound in bytes, told in keys: servers do not say how large each key is, but how large all are together. */
function keysPerSecond(
  { report }: Member,
  bytesPerSecondMax: number | undefined,
): Pick<MoveOptions, "keysPerSecondMax"> {
  const bytes = report === undefined ? null : infoNumber(report.info, "used_memory_dataset");
  if (bytesPerSecondMax === undefined || bytes === null || report === undefined || report.keys === 0)
    return {};
  return { keysPerSecondMax: Math.max(1, bytesPerSecondMax / (bytes / report.keys)) };
}

/** Ends what any run left half done: see open-slots.ts for the rules. */
export async function settleCluster(
  cluster: LiveCluster,
  options: CallOptions,
): Promise<readonly EngineSettled[]> {
  const deadlineMs = performance.now() + options.timeoutMs;
  const before = await look(cluster, options, deadlineMs);
  const moves = await awaitServerMoves(before.members, ({ id }) => cluster.nodes.connection(id), {
    deadlineMs,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const waited = moves.map((what) => ({
    what,
    outcome: "completed" as const,
    why: "a run before had left it to the servers, which have ended it",
  }));
  const topology = moves.length === 0 ? before : await look(cluster, options, deadlineMs);
  if (topology.open.length === 0) return waited;
  const move = await moveOptions(cluster, options, deadlineMs, () => undefined);
  let done = 0;
  const settled = await settleOpenSlots(
    topology,
    (member) => endOf(cluster, member, deadlineMs),
    move,
    ({ slot, outcome, why }) => {
      done += 1;
      options.onProgress?.({
        done,
        total: topology.open.length,
        message: `slot ${slot} ${outcome}: ${why}`,
      });
    },
  );
  return [...waited, ...settled.map(({ slot, outcome, why }) => ({ what: `slot ${slot}`, outcome, why }))];
}

async function endOf({ nodes, presence }: LiveCluster, member: Member, deadlineMs: number): Promise<End> {
  const { id, redisId, report, line } = member;
  if (report === undefined || redisId === undefined || line === undefined) {
    throw new Mem0ctlError(
      "unavailable",
      "node-not-running",
      `${id} does not answer: ${member.error ?? ""}`,
      {
        hint: "see the state of all nodes with `mem0ctl status`",
      },
    );
  }
  const connection = await nodes.connection(id);
  await presence.announce(connection, Math.max(1, Math.min(ANSWER_MS_MAX, deadlineMs - performance.now())));
  return { node: id, redisId, host: line.host === "" ? member.host : line.host, port: line.port, connection };
}

async function moveOptions(
  { manifest }: LiveCluster,
  { signal }: CallOptions,
  deadlineMs: number,
  onMoved: MoveOptions["onMoved"],
): Promise<MoveOptions> {
  const { user, password } = manifest.security;
  return {
    deadlineMs,
    onMoved,
    share: MOVING_SHARE,
    login: {
      user,
      password: password === undefined ? undefined : await resolveSecret(password, "the password"),
    },
    ...(signal === undefined ? {} : { signal }),
  };
}
