// What raft replicas say to each other: plain data that the host encodes. `term` is always the
// sender's current term. Nothing here sends or handles a message; `isRaftMessage` is the edge at which
// something received becomes typed.

import type { Entry, Message } from "../seam.ts";
import { parseMembership } from "../membership.ts";

/** Would you vote for me in `term` + 1? Changes nothing at the receiver (dissertation 9.6). */
export interface PreVote extends Message {
  readonly kind: "pre-vote";
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Rank of the asker: of two that ask at the same time the preferred one goes on. */
  readonly priority: number;
}

export interface PreVoteResponse extends Message {
  readonly kind: "pre-vote-response";
  /** The term that was asked about. */
  readonly campaignTerm: number;
  readonly granted: boolean;
}

export interface Vote extends Message {
  readonly kind: "vote";
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The leader asked for this election: voters need not protect it. */
  readonly transfer: boolean;
}

export interface VoteResponse extends Message {
  readonly kind: "vote-response";
  readonly granted: boolean;
}

export interface Append extends Message {
  readonly kind: "append";
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly commit: number;
  /** prevIndex + 1 …, without a gap; may be empty (a probe). */
  readonly entries: readonly Entry[];
}

/** The sender's log equals the leader's up to `index`, on disk. */
export interface AppendAccepted extends Message {
  readonly kind: "append-accepted";
  readonly index: number;
}

/** The sender has no entry of the leader's term at `index`; it can agree at `hintIndex` at most, where its term is `hintTerm`. */
export interface AppendRejected extends Message {
  readonly kind: "append-rejected";
  readonly index: number;
  readonly hintIndex: number;
  readonly hintTerm: number;
}

export interface Heartbeat extends Message {
  readonly kind: "heartbeat";
  /** min(leader's commit, what the receiver acknowledged). */
  readonly commit: number;
  /** The newest ReadIndex round. */
  readonly round: number;
  /** To arbiters: every member with data holds the log up to here. 0 to others. */
  readonly heldByAll: number;
}

export interface HeartbeatResponse extends Message {
  readonly kind: "heartbeat-response";
  readonly round: number;
}

/** The leader hands over: campaign at once (dissertation 3.10). */
export interface TimeoutNow extends Message {
  readonly kind: "timeout-now";
}

export type RaftMessage =
  | PreVote
  | PreVoteResponse
  | Vote
  | VoteResponse
  | Append
  | AppendAccepted
  | AppendRejected
  | Heartbeat
  | HeartbeatResponse
  | TimeoutNow;

/** Whether a received message has the shape of its kind. What its values claim is judged where it is handled. */
export function isRaftMessage(message: Message): message is RaftMessage {
  if (typeof message.from !== "string" || message.from === "" || !isCount(message, "term")) return false;
  switch (message.kind) {
    case "pre-vote":
      return isCount(message, "lastIndex") && isCount(message, "lastTerm") && isCount(message, "priority");
    case "pre-vote-response":
      return isCount(message, "campaignTerm") && isFlag(message, "granted");
    case "vote":
      return isCount(message, "lastIndex") && isCount(message, "lastTerm") && isFlag(message, "transfer");
    case "vote-response":
      return isFlag(message, "granted");
    case "append":
      return (
        isCount(message, "prevIndex") &&
        isCount(message, "prevTerm") &&
        isCount(message, "commit") &&
        areEntries(message)
      );
    case "append-accepted":
      return isCount(message, "index");
    case "append-rejected":
      return isCount(message, "index") && isCount(message, "hintIndex") && isCount(message, "hintTerm");
    case "heartbeat":
      return isCount(message, "commit") && isCount(message, "round") && isCount(message, "heldByAll");
    case "heartbeat-response":
      return isCount(message, "round");
    case "timeout-now":
      return true;
    default:
      return false;
  }
}

function isCount(message: object, key: string): boolean {
  const value: unknown = Reflect.get(message, key);
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isFlag(message: object, key: string): boolean {
  return typeof Reflect.get(message, key) === "boolean";
}

/** Entries follow `prevIndex` without a gap, their terms never fall and never exceed the leader's. */
function areEntries(message: Message): boolean {
  const entries: unknown = Reflect.get(message, "entries");
  if (!Array.isArray(entries)) return false;
  let index = Number(Reflect.get(message, "prevIndex"));
  let term = Number(Reflect.get(message, "prevTerm"));
  for (const entry of entries as readonly unknown[]) {
    index += 1;
    if (typeof entry !== "object" || entry === null) return false;
    const entryTerm: unknown = Reflect.get(entry, "term");
    if (Reflect.get(entry, "index") !== index) return false;
    if (typeof entryTerm !== "number" || !Number.isSafeInteger(entryTerm)) return false;
    if (entryTerm < term || entryTerm > message.term) return false;
    term = entryTerm;
    const kind: unknown = Reflect.get(entry, "kind");
    const data: unknown = Reflect.get(entry, "data");
    if (!(data instanceof Uint8Array)) return false;
    if (kind === "config") {
      const membership = parseMembership(data);
      if (membership === undefined || membership.voters.length === 0) return false;
    } else if (kind !== "noop" && kind !== "command") return false;
  }
  return true;
}
