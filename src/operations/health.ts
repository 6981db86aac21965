// Judges a view: healthy, degraded or unavailable, and why. Pure. Every reason has a stable code and says
// what to do; scripts read the codes, people the messages. The codes:
//
//   nothing-answered       unavailable  no node answered
//   shard-down             unavailable  no replica of a shard is on a node that answers
//   shard-leaderless       unavailable  a shard has replicas but no leader: it takes no writes
//   slots-unowned          unavailable  slots belong to no node
//   shard-refuses          unavailable  a shard's leader answers, and refuses requests
//   shard-below-level      unavailable  quorum protocol: fewer copies answer than a read or a write asks for
//   node-down              degraded     a node does not answer, and no other node heard of it lately
//   node-suspect           degraded     a node does not answer, but another node heard of it lately
//   node-refused           degraded     other nodes take no connection from a node: it is not the one they knew
//   node-waiting           degraded     a node has no data, and may not begin yet
//   write-refused          degraded     a node refuses writes (its disk is full, say)
//   replica-damaged        degraded     a record of a replica's state does not match its checksum
//   shard-under-replicated degraded     a replica is missing, or is still catching up
//   shard-moving           (no reason)  a move is under way; the shard serves meanwhile
//   node-not-member        degraded     a node runs, but the others do not count it in
//   address-changed        degraded     others look for a node at the address that it had, and was not started with
//   nodes-cut-off          degraded     nodes that answer have no connection to each other
//   slots-open             degraded     slots are in the middle of a move that has not ended
//   lag-above-limit        degraded     a replica is further behind than `limits.maxLag`
//   no-cluster-leader      degraded     the metadata group has no leader: no joins, leaves or moves
//   nodes-disagree         degraded     nodes name different leaders, or live in different terms

import { groupName, type NodeId } from "../model/ids.ts";
import type { EngineView } from "../engines/engine.ts";
import { formatDuration } from "../model/units.ts";
import type { Health, NodeView, Reason, ShardView, Shortage } from "../model/view.ts";

export interface HealthLimits {
  /** Lag above which a cluster is degraded. */
  readonly maxLagMs: number;
}

export interface Judgement {
  readonly health: Health;
  /** Worst first; empty exactly when healthy. */
  readonly reasons: readonly Reason[];
}

/** Shards named in one message before the rest are counted. */
const SHARDS_NAMED_MAX = 8;

export function judge(view: EngineView, limits: HealthLimits): Judgement {
  if (view.nodes.every((node) => node.state === "down" || node.state === "suspect")) {
    return { health: "unavailable", reasons: [nothingAnswered(view)] };
  }
  const unavailable = [...unservedShards(view)];
  const degraded = [
    ...nodeReasons(view.nodes),
    ...cutOffReasons(view.nodes),
    ...underReplicated(view),
    ...openSlots(view),
    ...lagging(view, limits),
    ...leadership(view),
  ];
  const health = unavailable.length > 0 ? "unavailable" : degraded.length > 0 ? "degraded" : "healthy";
  return { health, reasons: [...unavailable, ...degraded] };
}

function nothingAnswered(view: EngineView): Reason {
  const errors = [...new Set(view.nodes.map((node) => node.error ?? "no answer"))];
  const isOnly = (error: string): boolean => errors.every((one) => one.startsWith(error));
  return {
    code: "nothing-answered",
    message: `none of the ${view.totalNodes} nodes answered (${errors.slice(0, 3).join("; ")})`,
    hint: isOnly("connection refused")
      ? "start the cluster with `mem0ctl up`"
      : isOnly("belongs to the cluster ")
        ? "stop that cluster, or give this one other ports in the manifest"
        : "look at `mem0ctl nodes list` and at the network between here and the nodes",
  };
}

function* unservedShards(view: EngineView): Generator<Reason> {
  if (view.unownedSlots !== undefined) {
    yield {
      code: "slots-unowned",
      message: `slots that belong to no node: ${view.unownedSlots}`,
      hint: "a cluster that is not formed yet: `mem0ctl up`; else a node that owned them was removed or reset: bring it back with its data",
    };
  }
  for (const shard of view.shards) {
    if (shard.refusal === undefined) continue;
    yield {
      code: "shard-refuses",
      message: `shard ${shard.id} (${shard.range}) on ${shard.leader ?? "no node"} refuses requests: ${shard.refusal}`,
      hint: "it goes on by itself once every slot has an owner that answers, and a majority of the primaries is there",
    };
  }
  yield* belowLevel(view);
  const down = view.shards.filter((shard) => shard.state === "down" && answering(shard) === 0);
  if (down.length > 0) {
    yield {
      code: "shard-down",
      message: `${counted(down, "has", "have")} no replica that answers: ${named(down)}${slotsOf(down)}`,
      hint: "start the nodes that hold them: `mem0ctl restart` or `mem0ctl nodes logs NODE`",
    };
  }
  const leaderless = view.shards.filter((shard) => shard.state === "leaderless");
  if (leaderless.length > 0) {
    yield {
      code: "shard-leaderless",
      message: `${counted(leaderless, "has", "have")} no leader and ${leaderless.length === 1 ? "takes" : "take"} no writes: ${named(leaderless)}${slotsOf(leaderless)}`,
      hint: "an election takes a moment; if it lasts, a majority of the replicas is missing: start their nodes",
    };
  }
}

/** How many copies of a leaderless shard can be asked; 0 of one with a leader, which needs no counting. */
function answering({ leaderless, replicas }: ShardView): number {
  if (leaderless !== true) return 0;
  return replicas.filter(({ state, copy }) => state !== "down" && copy === "serving").length;
}

/** Quorum protocol: some copies answer, but fewer than the R or W that nodes go by. */
function* belowLevel({ shards, levels, copies }: EngineView): Generator<Reason> {
  if (levels === undefined) return;
  const alike = new Map<string, ShardView[]>();
  for (const shard of shards) {
    if (shard.state !== "down" || answering(shard) === 0) continue;
    const missed = missedWords(shard.short ?? { copies, answering: answering(shard), ...levels });
    alike.set(missed, [...(alike.get(missed) ?? []), shard]);
  }
  for (const [missed, short] of alike) {
    yield {
      code: "shard-below-level",
      message: `${counted(short, "takes", "take")} ${missed}: ${named(short)}`,
      hint: "start the nodes that are down; until then a request can ask for less: `--consistency one`",
    };
  }
}

/** `no writes (W is 3), 2 of 3 copies answer`. */
function missedWords({ copies, answering: count, read, write }: Shortage): string {
  const missed = [
    ...(count < read ? [`no reads (R is ${read})`] : []),
    ...(count < write ? [`no writes (W is ${write})`] : []),
  ];
  return `${missed.join(" and ")}, ${count} of ${copies} copies ${count === 1 ? "answers" : "answer"}`;
}

function* nodeReasons(nodes: readonly NodeView[]): Generator<Reason> {
  for (const node of nodes) {
    if (node.state === "down") {
      yield {
        code: "node-down",
        message: `${node.id} (${node.address}) is down: ${node.error ?? "no answer"}`,
        hint: node.error?.startsWith("HTTP 40")
          ? "set MEM0CTL_TOKEN to a token that the node knows"
          : `start it with \`mem0ctl restart ${node.id}\`; its log: \`mem0ctl nodes logs ${node.id}\``,
      };
    } else if (node.state === "suspect") {
      const heard =
        node.lastHeartbeatMs === null ? "" : `, last heard of ${formatDuration(node.lastHeartbeatMs)} ago`;
      yield {
        code: "node-suspect",
        message: `${node.id} (${node.address}) does not answer: ${node.error ?? "no answer"}${heard}`,
        hint: "it may be starting, stopping or cut off from here; look again in a few seconds",
      };
    }
    if (node.state === "up" && node.error !== undefined) {
      yield {
        code: "node-not-member",
        message: `${node.id} (${node.address}) ${node.error}`,
        hint: `a new node joins with \`mem0ctl nodes add\`; one that was taken out is stopped by \`mem0ctl nodes remove ${node.id}\`; one that was reset has lost its data and its place`,
      };
    }
    if (node.waiting !== undefined) {
      yield {
        code: "node-waiting",
        message: `${node.id} (${node.address}) ${node.waiting}`,
        hint: "it begins by itself once it may; if it was here before and its data is lost, take it out (`mem0ctl nodes remove`) and let a new one join (`mem0ctl nodes add`)",
      };
    }
    if (node.refusal !== undefined) {
      const { by, why } = node.refusal;
      const what = why.startsWith(`${node.id} `) ? `it ${why.slice(node.id.length + 1)}` : why;
      yield {
        code: "node-refused",
        message: `${node.id} (${node.address}) is refused by ${by.join(", ")}: ${what}`,
        hint: "start it with the data directory and the address that belong to this id; if its data is lost, take it out (`mem0ctl nodes remove`) and let it join under a new id (`mem0ctl nodes add`)",
      };
    }
    if (node.writeRefusal !== undefined) {
      yield {
        code: "write-refused",
        message: `${node.id} refuses writes: ${node.writeRefusal}`,
        hint: "free space on its disk; it takes writes again by itself",
      };
    }
    for (const { group, why } of node.damaged ?? []) {
      yield {
        code: "replica-damaged",
        message: `${groupName(group)} on ${node.id} is damaged: ${why}`,
        hint: "it is rebuilt from another replica by itself; where there is none, import what was lost from an export, and look at the disk",
      };
    }
  }
}

/** A pair is told once, of the one that more others miss; a node that was started elsewhere always. */
function* cutOffReasons(nodes: readonly NodeView[]): Generator<Reason> {
  const told = new Set<string>();
  const weight = ({ cutOffFrom = [], ownAddress }: NodeView): number =>
    ownAddress === undefined ? cutOffFrom.length : nodes.length;
  for (const { id, address, ownAddress, cutOffFrom = [] } of nodes.toSorted(
    (a, b) => weight(b) - weight(a),
  )) {
    const isTold = (other: NodeId): boolean => ownAddress === undefined && told.has(`${other} ${id}`);
    const from = cutOffFrom.filter((other) => !isTold(other));
    if (from.length === 0) continue;
    for (const other of from) told.add(`${id} ${other}`);
    yield ownAddress === undefined
      ? {
          code: "nodes-cut-off",
          message: `${id} (${address}) has no connection from ${from.join(", ")}`,
          hint: "for a moment after a start this is usual; if it lasts, look at the network, and at the firewall for the port that nodes use among themselves",
        }
      : {
          code: "address-changed",
          message: `${id} was started at ${ownAddress}, and ${from.join(", ")} ${from.length === 1 ? "looks" : "look"} for it at ${address}`,
          hint: `a node keeps the address it joined with: put it back into the manifest and \`mem0ctl restart ${id}\`; another address is for a new node (\`mem0ctl nodes add\`)`,
        };
  }
}

function* underReplicated(view: EngineView): Generator<Reason> {
  const short = view.shards.filter((shard) => shard.state === "under-replicated");
  if (short.length === 0) return;
  const unanswering = new Set(
    view.nodes.filter(({ state }) => state === "suspect" || state === "down").map(({ id }) => id),
  );
  const silent = new Set<NodeId>();
  const missing = new Set<NodeId>();
  for (const { leader, replicas } of short) {
    // How far its followers are is known to the leader alone.
    if (leader !== null && unanswering.has(leader)) silent.add(leader);
    else for (const { node, state } of replicas) if (state !== "replicating") missing.add(node);
  }
  const where = [
    ...(missing.size === 0 ? [] : [`missing or catching up on ${list(missing)}`]),
    ...(silent.size === 0 ? [] : [`not known of those that ${list(silent)} leads, which does not answer`]),
  ];
  yield {
    code: "shard-under-replicated",
    message: `${counted(short, "is", "are")} under-replicated: ${named(short)}${where.length === 0 ? "" : ` (${where.join("; ")})`}`,
    hint: "it heals by itself once the nodes are up; watch it with `mem0ctl replicas lag`",
  };
}

function* openSlots({ openSlots: open = [] }: EngineView): Generator<Reason> {
  if (open.length === 0) return;
  const shown = open
    .slice(0, SHARDS_NAMED_MAX)
    .map(({ slot, from, to }) => `${slot} (${from ?? "?"} to ${to ?? "?"})`);
  const rest = open.length - shown.length;
  yield {
    code: "slots-open",
    message: `${open.length} ${open.length === 1 ? "slot is" : "slots are"} in the middle of a move: ${shown.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`,
    hint: "a move that runs closes them; one that broke off leaves them open, and their keys are then on both sides",
  };
}

function* lagging(view: EngineView, limits: HealthLimits): Generator<Reason> {
  let worst: { shard: string; node: string; lagMs: number } | undefined;
  for (const shard of view.shards) {
    for (const replica of shard.replicas) {
      // What is down is named above; how far it is behind says nothing more about the cluster.
      if (replica.state === "down" || replica.lagMs === null) continue;
      if (replica.lagMs > (worst?.lagMs ?? limits.maxLagMs)) {
        worst = { shard: shard.id, node: replica.node, lagMs: replica.lagMs };
      }
    }
  }
  if (worst === undefined) return;
  yield {
    code: "lag-above-limit",
    message: `shard ${worst.shard} on ${worst.node} is ${formatDuration(worst.lagMs)} behind (limit ${formatDuration(limits.maxLagMs)})`,
    hint: "look at the node's disk and load; the limit is `spec.limits.maxLag` or `--max-lag`",
  };
}

function* leadership(view: EngineView): Generator<Reason> {
  if (view.leader === null && view.leaderless !== true) {
    yield {
      code: "no-cluster-leader",
      message: "the metadata group has no leader",
      hint: "an election takes a moment; if it lasts, a majority of the nodes that vote in it is missing",
    };
  }
  const first = view.disagreements[0];
  if (first === undefined) return;
  const claims = first.claims.map(
    (claim) => `${claim.node} says ${claim.leader ?? "none"} in term ${claim.term}`,
  );
  const more = view.disagreements.length > 1 ? `, and on ${view.disagreements.length - 1} more` : "";
  yield {
    code: "nodes-disagree",
    message: `nodes disagree about the leader of ${groupName(first.group)}: ${claims.join("; ")}${more}`,
    hint: "normal for a moment during an election; if it lasts, some nodes cannot reach each other",
  };
}

/** What is not served, where the engine's shards are known by their slots: ` (slots 0-5460)`. */
function slotsOf(shards: readonly ShardView[]): string {
  const ranges = shards.filter(({ slots = 0 }) => slots > 0).map(({ range }) => range);
  return ranges.length === 0 ? "" : ` (${ranges.join("; ")})`;
}

function list(nodes: ReadonlySet<NodeId>): string {
  return [...nodes].toSorted().join(", ");
}

function counted(shards: readonly ShardView[], one: string, many: string): string {
  return shards.length === 1 ? `1 shard ${one}` : `${shards.length} shards ${many}`;
}

function named(shards: readonly ShardView[]): string {
  const ids = shards.slice(0, SHARDS_NAMED_MAX).map((shard) => shard.id);
  const rest = shards.length - ids.length;
  return rest > 0 ? `${ids.join(", ")} and ${rest} more` : ids.join(", ");
}
