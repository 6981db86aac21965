// How many copies, or which of them, have to answer before a read or a write has: the levels that a
// request may ask for, which protocol has which, and what is said to whoever asks for another. One place,
// because the same words come from a manifest, a flag, a header and the library.

import { Mem0ctlError } from "./errors.ts";
import type { Protocol, ReplicationProtocol } from "./ids.ts";

/** `one`, `quorum`, `all` or a number are the quorum protocol's; the others are those of raft and paxos. */
export type ReadConsistency = "linearizable" | "stale" | "one" | "quorum" | "all" | number;
/** raft and paxos write by `quorum`. */
export type WriteConsistency = "one" | "quorum" | "all" | number;

/** The levels of one request, checked against the cluster's protocol. */
export interface Consistency {
  readonly read: ReadConsistency;
  /** raft and paxos: always `quorum`. */
  readonly write: WriteConsistency;
  /** Only with `stale`: the state that answers lacks nothing that was acknowledged longer ago than this. */
  readonly maxStalenessMs?: number;
}

/** What a caller asked for; the rest comes from the manifest. */
export interface ConsistencyRequest {
  readonly read?: ReadConsistency;
  readonly write?: WriteConsistency;
  readonly maxStalenessMs?: number;
}

/** What a request is judged by. */
export interface ConsistencyTerms {
  readonly protocol: ReplicationProtocol;
  /** N: data copies of each shard. */
  readonly copies: number;
  readonly defaults: Consistency;
}

export const STALENESS_MS_MAX = 86_400_000;

/** Of a manifest's settings. `protocol`: where it is the engine's own and not the manifest's. */
export function consistencyTerms(
  manifest: {
    readonly consensus: { readonly protocol: Protocol; readonly consistency: Consistency };
    readonly replication: { readonly replicas: number };
  },
  protocol: ReplicationProtocol = manifest.consensus.protocol,
): ConsistencyTerms {
  const { consistency } = manifest.consensus;
  return { protocol, copies: manifest.replication.replicas + 1, defaults: consistency };
}

const COUNT = /^\d{1,4}$/;

/** A level as text has it: `quorum`, `2`. undefined for what is no level of any protocol. */
export function parseReadLevel(text: string): ReadConsistency | undefined {
  if (text === "linearizable" || text === "stale") return text;
  return parseWriteLevel(text);
}

export function parseWriteLevel(text: string): WriteConsistency | undefined {
  if (text === "one" || text === "quorum" || text === "all") return text;
  return COUNT.test(text) ? Number(text) : undefined;
}

/** How many of N copies a level of the quorum protocol waits for; undefined for any other level. */
export function copiesOfLevel(level: ReadConsistency, copies: number): number | undefined {
  if (typeof level === "number") return level >= 1 && level <= copies ? level : undefined;
  if (level === "one") return 1;
  if (level === "all") return copies;
  return level === "quorum" ? Math.floor(copies / 2) + 1 : undefined;
}

/**
 * The levels that a request runs with.
 * @throws Mem0ctlError, kind invalid: `consistency-not-in-protocol`, `quorum-not-linearizable`,
 *   `consistency-out-of-range`, `staleness-without-stale`, `staleness-out-of-range`.
 */
export function resolveConsistency(asked: ConsistencyRequest, terms: ConsistencyTerms): Consistency {
  const { protocol, copies, defaults } = terms;
  if (asked.read !== undefined) checkRead(asked.read, protocol, copies);
  if (asked.write !== undefined) checkWrite(asked.write, protocol, copies);
  const read = asked.read ?? defaults.read;
  const write = asked.write ?? defaults.write;
  if (asked.maxStalenessMs !== undefined) checkBound(asked.maxStalenessMs, read, protocol);
  // A bound of the manifest is that of its own stale reads, and of those that name no other.
  const maxStalenessMs = asked.maxStalenessMs ?? defaults.maxStalenessMs;
  return read === "stale" && maxStalenessMs !== undefined ? { read, write, maxStalenessMs } : { read, write };
}

/**
 * An update on condition is decided where all writes of a memory are in one order.
 * @throws Mem0ctlError `no-compare-and-set`, kind invalid, where the protocol has no such order.
 */
export function checkConditional(protocol: ReplicationProtocol): void {
  if (protocol !== "quorum") return;
  throw new Mem0ctlError(
    "invalid",
    "no-compare-and-set",
    "the quorum protocol cannot update a memory on a condition",
    {
      why: "two nodes may each find the condition true at the same time, for nobody orders their writes",
      hint: "leave the condition out, or build a cluster of protocol raft or paxos",
    },
  );
}

function checkRead(level: ReadConsistency, protocol: ReplicationProtocol, copies: number): void {
  if (protocol === "redis-cluster") return checkAsynchronousRead(level);
  if (protocol !== "quorum") {
    if (level === "linearizable" || level === "stale") return;
    throw new Mem0ctlError(
      "invalid",
      "consistency-not-in-protocol",
      `${protocol} reads are linearizable or stale, not ${level}`,
      {
        why: "one, quorum, all and numbers of copies belong to the quorum protocol",
        hint: "read linearizable, or stale from the nearest copy; for the others build a cluster of protocol quorum",
      },
    );
  }
  if (level === "linearizable") {
    throw new Mem0ctlError(
      "invalid",
      "quorum-not-linearizable",
      "the quorum protocol has no linearizable reads",
      {
        why: "it puts writes in no order: R + W > N makes a read meet the newest finished write, not more",
        hint: "read by quorum or all, or build a cluster of protocol raft or paxos",
      },
    );
  }
  if (level === "stale") {
    throw new Mem0ctlError(
      "invalid",
      "consistency-not-in-protocol",
      "stale reads belong to raft and paxos, and this cluster's protocol is quorum",
      {
        why: "without a leader there is nobody to be behind of; a read asks a number of copies",
        hint: "read by one: the nearest copy answers",
      },
    );
  }
  checkCount("a read", level, copies);
}

function checkWrite(level: WriteConsistency, protocol: ReplicationProtocol, copies: number): void {
  if (protocol !== "raft" && protocol !== "paxos") return checkCount("a write", level, copies);
  if (level === "quorum") return;
  throw new Mem0ctlError(
    "invalid",
    "consistency-not-in-protocol",
    `${protocol} always writes to a quorum, not to ${level}`,
    {
      why: "one, all and numbers of copies belong to the quorum protocol",
      hint: "leave the level out; for another one build a cluster of protocol quorum",
    },
  );
}

/** Replication is asynchronous there: the primary answers, and one that was deposed may for a moment. */
function checkAsynchronousRead(level: ReadConsistency): void {
  if (level === "one" || level === "stale") return;
  throw new Mem0ctlError(
    "invalid",
    "consistency-not-in-protocol",
    `reads of a Redis or Valkey Cluster are one or stale, not ${level}`,
    {
      why: "its copies follow their primary asynchronously, and no read asks more than one of them",
      hint: "leave the level out: the primary answers; for linearizable reads use the embedded engine",
    },
  );
}

function checkCount(what: string, level: ReadConsistency, copies: number): void {
  if (typeof level !== "number" || (level >= 1 && level <= copies)) return;
  throw new Mem0ctlError(
    "invalid",
    "consistency-out-of-range",
    `${what} cannot ask for ${level} of ${copies} ${copies === 1 ? "copy" : "copies"}`,
    {
      why: level < 1 ? "at least one copy has to answer" : "each shard has no more copies than that",
      hint: `ask for one, quorum, all, or a number from 1 to ${copies}`,
    },
  );
}

function checkBound(ms: number, read: ReadConsistency, protocol: ReplicationProtocol): void {
  if (read !== "stale") {
    throw new Mem0ctlError(
      "invalid",
      "staleness-without-stale",
      `a bound on staleness needs a stale read, and this one is ${read}`,
      {
        why:
          protocol === "quorum"
            ? "stale reads, and bounds on them, belong to raft and paxos"
            : protocol === "redis-cluster"
              ? "the primary answers it, and nobody is ahead of that"
              : "a linearizable read is never stale",
        hint:
          protocol === "quorum"
            ? "leave the bound out; to meet the newest writes read by quorum or all"
            : "ask for stale as well, or leave the bound out",
      },
    );
  }
  if (Number.isInteger(ms) && ms >= 1 && ms <= STALENESS_MS_MAX) return;
  throw new Mem0ctlError(
    "invalid",
    "staleness-out-of-range",
    `a bound on staleness is 1 ms to 24 h, not ${ms} ms`,
    {
      why: ms === 0 ? "nothing that was read is younger than now" : "it is no such time",
      hint: `for no staleness at all read ${protocol === "redis-cluster" ? "one" : "linearizable"}`,
    },
  );
}
