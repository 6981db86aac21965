// Who leads what, and handing a group's leadership to another node.

import { setTimeout as pause } from "node:timers/promises";

import type { CallOptions, Engine, EngineView } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import { groupName, META_GROUP } from "../model/ids.ts";
import type { GroupId, NodeId } from "../model/ids.ts";
import type { Ballot } from "../model/view.ts";
import { unknownNode } from "./up.ts";

export interface GroupLeader {
  /** `meta` or a shard's id. */
  readonly group: GroupId;
  readonly leader: NodeId | null;
  readonly term: number;
  /** Paxos: the highest ballot that was promised. */
  readonly ballot?: Ballot;
  /** There is none by design (quorum protocol; the cluster as such where the engine has no metadata group). */
  readonly leaderless?: true;
}

export interface LeadersView {
  readonly cluster: string;
  /** The metadata group first, then the shards in order. */
  readonly groups: readonly GroupLeader[];
  /** How many shards each node leads, nodes in the manifest's order. */
  readonly nodes: readonly { readonly node: NodeId; readonly leads: number }[];
}

export interface TransferOutcome {
  readonly group: GroupId;
  readonly from: NodeId | null;
  readonly to: NodeId;
  readonly term: number;
  /** false: it already led, and nothing was done. */
  readonly changed: boolean;
}

export async function clusterLeaders(engine: Engine, options: CallOptions): Promise<LeadersView> {
  return leadersOf(await engine.view(options));
}

function leadersOf(view: EngineView): LeadersView {
  return {
    cluster: view.cluster,
    groups: [
      {
        group: META_GROUP,
        leader: view.leader,
        term: view.term,
        ...(view.leaderless === undefined ? {} : { leaderless: view.leaderless }),
      },
      ...view.shards.map(({ id, leader, term, ballot, leaderless }) => ({
        group: id,
        leader,
        term,
        ...(ballot === undefined ? {} : { ballot }),
        ...(leaderless === undefined ? {} : { leaderless }),
      })),
    ],
    nodes: view.nodes.map(({ id, leads }) => ({ node: id, leads })),
  };
}

/**
 * Hands leadership of one group to `to`, or to its best caught-up replica when `to` is absent.
 * @throws Mem0ctlError `unknown-shard`, `leaderless-by-design`, `unknown-node`, `not-a-replica`, `no-leader`, and what the node
 *   answers; `transfer-not-seen` (kind unknown-outcome) when the new leader did not show up in time.
 */
export async function transferLeader(
  engine: Engine,
  request: { readonly group: GroupId; readonly to?: NodeId },
  options: CallOptions,
): Promise<TransferOutcome> {
  const { group, to } = request;
  const deadlineMs = performance.now() + options.timeoutMs;
  const view = await engine.view(options);
  const before = checkTransfer(view, group, to);
  if (before.leader === to && to !== undefined) {
    return { group, from: to, to, term: before.term, changed: false };
  }
  await engine.execute({ kind: "transfer-leader", group, ...(to === undefined ? {} : { to }) }, options);
  for (;;) {
    const leftMs = deadlineMs - performance.now();
    const now = leaderOf(await engine.view({ ...options, timeoutMs: Math.max(1, leftMs) }), group);
    if (now?.leader !== null && now !== undefined && now.leader !== before.leader) {
      return { group, from: before.leader, to: now.leader, term: now.term, changed: true };
    }
    if (leftMs <= 100) break;
    await pause(50);
  }
  throw new Mem0ctlError(
    "unknown-outcome",
    "transfer-not-seen",
    `the transfer of ${groupName(group)} was accepted, but no new leader was seen in time`,
    { why: `it was led by ${before.leader ?? "nobody"}`, hint: "look again with `mem0ctl leader show`" },
  );
}

function checkTransfer(view: EngineView, group: GroupId, to: NodeId | undefined): GroupLeader {
  const nodes = view.nodes.map((node) => node.id);
  if (to !== undefined && !nodes.includes(to)) throw unknownNode(to, nodes);
  const found = leaderOf(view, group);
  if (found === undefined) throw unknownShard(group, view.totalShards);
  if (found.leaderless === true) {
    const isMeta = group === META_GROUP;
    throw new Mem0ctlError(
      "invalid",
      "leaderless-by-design",
      `${isMeta ? "the cluster" : groupName(group)} has no leader to transfer: it is leaderless by design`,
      isMeta
        ? {
            why: "this engine has no metadata group: its nodes agree by gossip, and only shards have leaders",
            hint: "name a shard: `mem0ctl leader transfer 0`; see them with `mem0ctl leader show`",
          }
        : {
            why: "in the quorum protocol any node coordinates reads and writes; only the metadata group has a leader",
            hint: "`mem0ctl leader transfer meta` moves the cluster leader",
          },
    );
  }
  const replicas = view.shards.find((shard) => shard.id === group)?.replicas;
  if (to !== undefined && replicas !== undefined) {
    const replica = replicas.find(({ node }) => node === to);
    if (replica === undefined || replica.role === "arbiter") {
      throw new Mem0ctlError(
        "invalid",
        "not-a-replica",
        `${to} cannot lead ${groupName(group)}: it ${replica === undefined ? "holds no replica of it" : "is its arbiter"}`,
        {
          why: `data replicas are on ${replicas
            .filter(({ role }) => role !== "arbiter")
            .map(({ node }) => node)
            .join(", ")}`,
          hint: "name one of these with --to, or leave --to out",
        },
      );
    }
  }
  if (found.leader === null) {
    throw new Mem0ctlError("unavailable", "no-leader", `${groupName(group)} has no leader to transfer from`, {
      why: "an election is under way, or a majority of its replicas is missing",
      hint: "see why with `mem0ctl status`",
    });
  }
  return found;
}

/** One message for every command that names a shard. */
export function unknownShard(shard: string, totalShards: number): Mem0ctlError {
  return new Mem0ctlError("not-found", "unknown-shard", `there is no shard ${JSON.stringify(shard)}`, {
    why: `the cluster has ${totalShards} shards, and the metadata group is called meta`,
    hint: "see them with `mem0ctl shards list`",
  });
}

function leaderOf(view: EngineView, group: GroupId): GroupLeader | undefined {
  return leadersOf(view).groups.find((candidate) => candidate.group === group);
}
