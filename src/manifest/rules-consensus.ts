// Rules about replication and consensus: do the copies, the votes and the consistency levels fit
// together, and can the engine do what is asked of it.

import { copiesOfLevel } from "../model/consistency.ts";
import type { ShardingStrategy } from "../model/ids.ts";
import { ENGINE_CAPABILITIES } from "./capabilities.ts";
import type { Path } from "./raw.ts";
import { counted, firstGiven, isGiven, majorityOf, votersOf } from "./rules.ts";
import type { Rules } from "./rules.ts";

const REPLICATION: Path = ["spec", "replication"];
const CONSISTENCY: Path = ["spec", "consensus", "consistency"];
/** A leader must be able to miss a few heartbeats without being deposed. */
const HEARTBEATS_PER_ELECTION_TIMEOUT_MIN = 5;

export function checkConsensus(rules: Rules): void {
  checkReplicas(rules);
  checkVoters(rules);
  checkTimeouts(rules);
  checkStaleness(rules);
  if (replicatesItself(rules)) return; // rules-one-shard.ts
  if (rules.spec.consensus?.protocol === "quorum") checkQuorumConsistency(rules);
  else checkLogConsistency(rules);
}

/** Whether the engine replicates in a way of its own, so that no protocol can be chosen. */
function replicatesItself({ spec }: Rules): boolean {
  return spec.engine !== undefined && ENGINE_CAPABILITIES[spec.engine].protocols.length === 0;
}

function checkReplicas(rules: Rules): void {
  const { spec, report } = rules;
  const { strategy, replicas } = spec.replication ?? {};
  if (strategy === undefined) return;
  const path = [...REPLICATION, "replicas"];
  if (strategy === "multiple") {
    if (replicas === undefined && !isGiven(rules, path)) {
      report({
        code: "missing-field",
        path,
        message: "replication strategy multiple needs replicas: how many copies besides the leader's",
        hint: "replicas: 2 makes 3 copies, which survive the loss of a node",
      });
    } else if (replicas === 0) {
      report({
        code: "out-of-range",
        path,
        message: "replicas is 0; with strategy multiple it must be 1 or more",
        hint: "use strategy none for no copies besides the leader's",
      });
    }
    return;
  }
  const implied = strategy === "none" ? 0 : 1;
  if (replicas === undefined || replicas === implied) return;
  report({
    code: "replicas-contradict-strategy",
    path,
    message: `replication strategy ${strategy} means ${counted(implied, "replica")}, but replicas is ${replicas}`,
    hint:
      replicas > 1
        ? "set strategy: multiple, or remove replicas"
        : "remove replicas, or choose the other strategy",
  });
}

function checkVoters(rules: Rules): void {
  const { copies, arbiters, spec, report, dataNodes } = rules;
  if (copies === undefined || copies > dataNodes.length || spec.consensus?.protocol === "quorum") return;
  if (replicatesItself(rules)) return;
  const voters = votersOf(copies, arbiters.length);
  if (voters % 2 === 1) return;
  const tolerated = voters - majorityOf(voters);
  report({
    code: "even-voters",
    severity: "warning",
    path: firstGiven(rules, [...REPLICATION, "replicas"], [...REPLICATION, "strategy"], ["spec", "nodes"]),
    message: `each shard has ${voters} votes: with a quorum of ${majorityOf(voters)} it goes on writing after the loss of ${tolerated === 0 ? "no node" : counted(tolerated, "node")}, no more than ${voters - 1} would`,
    hint: "add an arbiter, or one more replica",
  });
}

function checkTimeouts({ spec, report }: Rules): void {
  const { heartbeatInterval, electionTimeout } = spec.consensus ?? {};
  if (heartbeatInterval === undefined || electionTimeout === undefined) return;
  const neededMs = heartbeatInterval * HEARTBEATS_PER_ELECTION_TIMEOUT_MIN;
  if (electionTimeout >= neededMs) return;
  report({
    code: "election-timeout-too-short",
    path: ["spec", "consensus", "electionTimeout"],
    message: `electionTimeout is ${electionTimeout}ms; with a heartbeatInterval of ${heartbeatInterval}ms it must be at least ${neededMs}ms, or one late heartbeat would depose a healthy leader`,
    hint: `raise electionTimeout to ${neededMs}ms or lower heartbeatInterval to ${electionTimeout / HEARTBEATS_PER_ELECTION_TIMEOUT_MIN}ms`,
  });
}

/** A bound on staleness is of use to stale reads alone. */
function checkStaleness({ spec, report }: Rules): void {
  const { read, maxStaleness } = spec.consensus?.consistency ?? {};
  if (maxStaleness === undefined || read === "stale") return;
  report({
    code: "staleness-without-stale",
    path: [...CONSISTENCY, "maxStaleness"],
    message:
      "maxStaleness bounds stale reads, and the manifest does not ask for them; a single request may bring a bound of its own",
    hint: "set read: stale (raft, paxos, redis), or remove maxStaleness",
  });
}

/** raft and paxos: one log, one order; reads and writes have no number of copies to choose. */
function checkLogConsistency({ spec, report }: Rules): void {
  const { protocol, consistency } = spec.consensus ?? {};
  if (protocol === undefined || consistency === undefined) return;
  const { read, write } = consistency;
  if (read !== undefined && read !== "linearizable" && read !== "stale") {
    report({
      code: "consistency-not-in-protocol",
      path: [...CONSISTENCY, "read"],
      message: `${protocol} reads are linearizable or stale, not ${read}; one, quorum, all and numbers belong to the quorum protocol`,
      hint: "use read: linearizable, or protocol: quorum",
    });
  }
  if (write !== undefined && write !== "quorum") {
    report({
      code: "consistency-not-in-protocol",
      path: [...CONSISTENCY, "write"],
      message: `${protocol} always writes to a quorum, not ${write}; one, all and numbers belong to the quorum protocol`,
      hint: "use write: quorum, or protocol: quorum",
    });
  }
}

/** quorum: N copies, of which R answer a read and W a write (Gifford 1979; Dynamo 2007, section 4.5). */
function checkQuorumConsistency({ spec, report, copies }: Rules): void {
  const { consistency } = spec.consensus ?? {};
  if (consistency === undefined) return;
  const { read, write } = consistency;
  if (read === "linearizable" || read === "stale") {
    report({
      code: read === "linearizable" ? "quorum-not-linearizable" : "consistency-not-in-protocol",
      path: [...CONSISTENCY, "read"],
      message:
        read === "linearizable"
          ? "the quorum protocol orders no writes, so its reads cannot be linearizable"
          : "stale reads belong to raft and paxos; in the quorum protocol a read asks one, quorum, all or a number of copies",
      hint: read === "linearizable" ? "use raft or paxos, or read: quorum" : "use read: one",
    });
  }
  for (const [field, level] of Object.entries({ read, write })) {
    if (typeof level !== "number" || (level >= 1 && (copies === undefined || level <= copies))) continue;
    report({
      code: "consistency-out-of-range",
      path: [...CONSISTENCY, field],
      message: `${field} is ${level}; with ${copies === undefined ? "N" : counted(copies, "copy", "copies")} it must be 1..${copies ?? "N"}`,
    });
  }
  if (copies === undefined) return;
  const readCopies = copiesOfLevel(read ?? "quorum", copies);
  const writeCopies = copiesOfLevel(write ?? "quorum", copies);
  if (readCopies === undefined || writeCopies === undefined || readCopies + writeCopies > copies) return;
  report({
    code: "stale-reads-possible",
    severity: "warning",
    path: CONSISTENCY,
    message: `a read asks ${readCopies} and a write waits for ${writeCopies} of ${copies} copies: they need not meet, so reads can be stale`,
    hint: `make read + write at least ${copies + 1}`,
  });
}

/** What the chosen engine cannot do, each where it is asked for. */
export function checkCapabilities(rules: Rules): void {
  const { spec, report, nodes } = rules;
  if (spec.engine === undefined) return;
  const can = ENGINE_CAPABILITIES[spec.engine];
  const cannot = (path: Path, what: string, asked: string, known: readonly string[]): void => {
    report({
      code: "engine-cannot",
      path,
      message: `the ${can.engine} engine cannot do ${what} ${asked}`,
      hint:
        known.length === 0
          ? `leave it out; ${can.engine} has a way of its own: ${can.replicatesBy ?? "its own"}`
          : `${what} it can do: ${known.join(", ")}`,
    });
  };
  const strategy: ShardingStrategy | undefined = spec.sharding?.strategy;
  if (strategy !== undefined && !can.sharding.includes(strategy)) {
    cannot(["spec", "sharding", "strategy"], "sharding", strategy, can.sharding);
  }
  const protocolPath = ["spec", "consensus", "protocol"];
  const protocol = spec.consensus?.protocol;
  if (protocol !== undefined && !can.protocols.includes(protocol) && isGiven(rules, protocolPath)) {
    cannot(protocolPath, "protocol", protocol, can.protocols);
  }
  for (const { draft, path } of nodes) {
    if (draft.role !== undefined && !can.roles.includes(draft.role)) {
      cannot([...path, "role"], "role", draft.role, can.roles);
    }
  }
}
