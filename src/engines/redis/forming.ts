// Servers become a cluster: they meet, replicas follow their primaries, and last of all the slots are given
// out, so that nobody can write before everything else is in place. Each round looks at what is there and
// does what is missing; so it can be interrupted anywhere, run twice at the same time, and completes what
// another run began.

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId } from "../../model/ids.ts";
import type { Manifest } from "../../model/manifest.ts";
import { placeOwnShards } from "../../topology/own-shard-placement.ts";
import type { OwnShard } from "../../topology/own-shard-placement.ts";
import { slotsOutside } from "../../topology/slot-ranges.ts";
import { SLOTS } from "../../topology/slots.ts";
import type { CallOptions } from "../engine.ts";
import type { RedisNodes, RedisReport } from "./nodes.ts";
import { ReplyError } from "./reply-values.ts";
import type { Command } from "./reply-values.ts";

export type Formation =
  | { readonly kind: "formed" | "was-formed" }
  /** Left as it is, and why. */
  | { readonly kind: "left"; readonly why: string };

const ROUND_MS = 50;
const ANSWER_MS_MAX = 2000;

type Reports = ReadonlyMap<NodeId, RedisReport>;

/**
 * Forms the cluster that the manifest describes, where none is. Only servers without a single key, which
 * know nobody but each other and own no slot but their own, are formed: anything else is a cluster that
 * somebody uses, and what is missing in it is not for a guess.
 * @throws Mem0ctlError `forming-timeout` (kind unknown-outcome), or kind denied.
 */
export async function formCluster(
  manifest: Manifest,
  nodes: RedisNodes,
  options: CallOptions,
): Promise<Formation> {
  const deadlineMs = performance.now() + options.timeoutMs;
  const placement = placeOwnShards(manifest.nodes, manifest.sharding.shards);
  let acted = false;
  let message = "";
  for (;;) {
    const reports = await reportsOf(manifest, nodes, options, deadlineMs);
    if (reports === undefined) return { kind: "left", why: "not every node answers" };
    const verdict = judge(reports, placement);
    if (verdict !== "unformed") {
      if (verdict === "formed") return { kind: acted ? "formed" : "was-formed" };
      return { kind: "left", why: verdict };
    }
    const round = nextRound(reports, placement, await addressesOf(manifest));
    acted = true;
    if (round.message !== message) {
      message = round.message;
      options.onProgress?.({ done: round.done, total: STAGES, message });
    }
    await perform(nodes, round.commands, deadlineMs);
    if (performance.now() + ROUND_MS >= deadlineMs) {
      throw new Mem0ctlError("unknown-outcome", "forming-timeout", "the cluster is not formed yet", {
        why: message,
        hint: "`mem0ctl up` again goes on where this one stopped",
      });
    }
    await pause(ROUND_MS, undefined, options.signal === undefined ? {} : { signal: options.signal });
  }
}

async function reportsOf(
  manifest: Manifest,
  nodes: RedisNodes,
  { signal }: CallOptions,
  deadlineMs: number,
): Promise<Reports | undefined> {
  const timeoutMs = Math.max(1, Math.min(ANSWER_MS_MAX, deadlineMs - performance.now()));
  const answers = await nodes.askAll({ timeoutMs, ...(signal === undefined ? {} : { signal }) });
  const reports = new Map(
    answers.flatMap((answer) => ("report" in answer ? [[answer.node, answer.report] as const] : [])),
  );
  return manifest.nodes.every(({ id }) => reports.has(id)) ? reports : undefined;
}

function judge(reports: Reports, placement: readonly OwnShard[]): "formed" | "unformed" | (string & {}) {
  const all = [...reports.values()];
  const ids = new Map(all.map(({ self, node }) => [self.redisId, node]));
  const target = targetOwners(placement);
  let owned = 0;
  let foreign = false;
  for (const { node, self } of all) {
    for (const { from, to } of self.slots) {
      owned += to - from + 1;
      for (let slot = from; slot <= to; slot += 1) foreign ||= target[slot] !== node;
    }
  }
  if (owned >= SLOTS) {
    const settled = all.every(({ cluster }) => cluster.get("cluster_slots_assigned") === String(SLOTS));
    return settled || foreign || all.some(({ keys }) => keys > 0) ? "formed" : "unformed";
  }
  if (foreign) return "slots are given out otherwise than by this manifest, and some have no owner";
  if (all.some(({ keys }) => keys > 0)) return "slots have no owner, and there are keys";
  const strangers = all.flatMap(({ nodes: lines }) =>
    lines.filter(({ redisId, flags }) => !ids.has(redisId) && !flags.has("handshake")),
  );
  return strangers.length > 0 ? "nodes know others that the manifest does not name" : "unformed";
}

function targetOwners(placement: readonly OwnShard[]): readonly (NodeId | undefined)[] {
  const owners: (NodeId | undefined)[] = Array.from({ length: SLOTS });
  for (const { replicas, slots } of placement) owners.fill(replicas[0], slots.from, slots.to + 1);
  return owners;
}

interface Round {
  readonly message: string;
  readonly done: number;
  readonly commands: readonly (readonly [node: NodeId, command: Command])[];
}

const STAGES = 3;

function nextRound(
  reports: Reports,
  placement: readonly OwnShard[],
  addresses: ReadonlyMap<NodeId, string>,
): Round {
  const leaders = placement.flatMap(({ replicas }) => replicas.slice(0, 1));
  const commands: [NodeId, Command][] = [];

  // Epochs of their own from the start: no two primaries have to settle a tie (as redis-cli does it).
  for (const [index, leader] of leaders.entries()) {
    const report = reports.get(leader);
    if (report?.self.epoch === 0 && report.nodes.length === 1 && report.self.slots.length === 0) {
      commands.push([leader, ["CLUSTER", "SET-CONFIG-EPOCH", index + 1]]);
    }
  }
  const acquainted = (one: RedisReport): boolean =>
    [...reports.values()].every((other) =>
      one.nodes.some(({ redisId, flags }) => redisId === other.self.redisId && !flags.has("handshake")),
    );
  // Each meets each: gossip alone would introduce them to each other one ping, that is a second, at a time.
  for (const [index, one] of [...reports.values()].entries()) {
    for (const { node, self } of [...reports.values()].slice(index + 1)) {
      const met = one.nodes.some(
        ({ redisId, port, flags }) =>
          redisId === self.redisId || (flags.has("handshake") && port === self.port),
      );
      if (met) continue;
      commands.push([
        one.node,
        ["CLUSTER", "MEET", addresses.get(node) ?? self.host, self.port, self.busPort],
      ]);
    }
  }
  if (![...reports.values()].every(acquainted)) return { message: "the nodes meet", done: 0, commands };

  for (const { replicas } of placement) {
    const [leader = "", ...followers] = replicas;
    const primary = reports.get(leader)?.self.redisId;
    for (const follower of followers) {
      if (primary === undefined || reports.get(follower)?.self.primary === primary) continue;
      commands.push([follower, ["CLUSTER", "REPLICATE", primary]]);
    }
  }
  if (commands.length > 0) return { message: "replicas follow their primaries", done: 1, commands };

  for (const { replicas, slots } of placement) {
    const [leader = ""] = replicas;
    const missing = slotsOutside([slots], reports.get(leader)?.self.slots ?? []);
    if (missing.length === 0) continue;
    commands.push([leader, ["CLUSTER", "ADDSLOTSRANGE", ...missing.flatMap(({ from, to }) => [from, to])]]);
  }
  return { message: "slots are given out", done: 2, commands };
}

/** An error of one command is no error of the round: another run may have been first; the next look tells. */
async function perform(nodes: RedisNodes, commands: Round["commands"], deadlineMs: number): Promise<void> {
  await Promise.all(
    commands.map(async ([node, command]) => {
      const connection = await nodes.connection(node);
      const timeoutMs = Math.max(1, Math.min(ANSWER_MS_MAX, deadlineMs - performance.now()));
      try {
        await connection.call(command, { timeoutMs, write: true });
      } catch (error) {
        if (!(error instanceof ReplyError)) throw error;
      }
    }),
  );
}

/** MEET takes addresses, not names. */
async function addressesOf(manifest: Manifest): Promise<ReadonlyMap<NodeId, string>> {
  const entries = await Promise.all(
    manifest.nodes.map(async ({ id, host }): Promise<[NodeId, string]> => {
      if (isIP(host) !== 0) return [id, host];
      const { address } = await lookup(host, host === "localhost" ? { family: 4 } : {});
      return [id, address];
    }),
  );
  return new Map(entries);
}
