// What paxos replicas say to each other: plain data that the host encodes. `term` is the round of the ballot
// that a message is about; a ballot is (round, proposer), and every message names its sender. Nothing here
// sends or handles a message; `isPaxosMessage` is the edge at which something received becomes typed.

import type { NodeId } from "../../model/ids.ts";
import { parseMembership } from "../membership.ts";
import type { Entry, Message } from "../seam.ts";

/** Would you promise me a ballot? Changes nothing at the receiver; `term` is what the sender has promised. */
export interface Canvass extends Message {
  readonly kind: "canvass";
  /** Which canvass of the sender. */
  readonly number: number;
  readonly commit: number;
  /** Rank of the asker: of two that ask at the same time the preferred one goes on. */
  readonly priority: number;
}

/** `term` is the round that the answerer has promised: a ballot has to be higher. */
export interface CanvassAnswer extends Message {
  readonly kind: "canvass-answer";
  readonly number: number;
  readonly willing: boolean;
}

/**
 * Why no leader needs to be protected from a ballot: the leader asked for it (`transfer`), or a quorum has
 * promised it already (`quorum`), so whoever led before is none any more.
 */
export type Mandate = "none" | "transfer" | "quorum";

/** Phase 1a, for every slot from `from` on. Asked again with a later `from` for the next page of the report. */
export interface Prepare extends Message {
  readonly kind: "prepare";
  readonly first: number;
  readonly mandate: Mandate;
}

/** Phase 1b: accepts nothing below the ballot any more, and what it has accepted from `first` on. */
export interface Promised extends Message {
  readonly kind: "promise";
  readonly first: number;
  /** first …, holes included; as many as fit. */
  readonly entries: readonly Entry[];
  /** The report ends here: a later page may have to be asked for. */
  readonly last: number;
  /** It knows the slots up to here to be chosen. */
  readonly commit: number;
  /** Its log was damaged: it may have accepted more than it tells, and nothing is chosen on its word. */
  readonly partial?: true;
}

/** A ballot was refused, for this one was promised. */
export interface Refused extends Message {
  readonly kind: "refused";
  readonly round: number;
  readonly proposer: NodeId;
}

/** A ballot was refused, for what it asks about is no longer in the log: the proposer needs the state first. */
export interface Trimmed extends Message {
  readonly kind: "trimmed";
  /** Where the sender's log begins. */
  readonly index: number;
}

/** Phase 2a, for consecutive slots. */
export interface Accept extends Message {
  readonly kind: "accept";
  readonly entries: readonly Entry[];
  readonly commit: number;
}

/** Phase 2b: accepted in this very ballot, or known to be chosen, and on disk. */
export interface Accepted extends Message {
  readonly kind: "accepted";
  readonly first: number;
  readonly last: number;
}

/** Consecutive slots that are chosen, for who missed them. */
export interface Learn extends Message {
  readonly kind: "learn";
  readonly entries: readonly Entry[];
}

/** Everything up to `index` is chosen and on disk here. */
export interface Learned extends Message {
  readonly kind: "learned";
  readonly index: number;
}

export interface Heartbeat extends Message {
  readonly kind: "heartbeat";
  /** Slots up to here are chosen. */
  readonly commit: number;
  /** The newest round of reads. */
  readonly round: number;
  /** The receiver was sent everything up to here. */
  readonly sent: number;
  /** Beside an arbiter: no data voter needs the log up to here, even after a crash. 0 where there never was one. */
  readonly settledByAll: number;
  /** To who tells but a part of what it accepted: nothing beyond this slot was chosen before this ballot. */
  readonly complete?: number;
}

export interface HeartbeatResponse extends Message {
  readonly kind: "heartbeat-response";
  readonly round: number;
  readonly sent: number;
  /** Up to here it has on disk what is chosen, or was accepted in this ballot. */
  readonly held: number;
  /** The first slot of which it has neither, on disk or not. */
  readonly lacks: number;
  /** Its log begins after this slot, or could: up to here, what is chosen is on disk as state. */
  readonly base: number;
}

/** The leader hands over: prepare at once. */
export interface HandOver extends Message {
  readonly kind: "hand-over";
  readonly commit: number;
}

export type PaxosMessage =
  | Canvass
  | CanvassAnswer
  | Prepare
  | Promised
  | Refused
  | Trimmed
  | Accept
  | Accepted
  | Learn
  | Learned
  | Heartbeat
  | HeartbeatResponse
  | HandOver;

/** Whether a received message has the shape of its kind. What its values claim is judged where it is handled. */
export function isPaxosMessage(message: Message): message is PaxosMessage {
  if (typeof message.from !== "string" || message.from === "" || !isCount(message, "term")) return false;
  switch (message.kind) {
    case "canvass":
      return isCount(message, "number") && isCount(message, "commit") && isCount(message, "priority");
    case "canvass-answer":
      return isCount(message, "number") && isFlag(message, "willing");
    case "prepare":
      return isCount(message, "first") && isMandate(message);
    case "promise":
      return (
        isCount(message, "first") &&
        isCount(message, "last") &&
        isCount(message, "commit") &&
        [undefined, true].includes(Reflect.get(message, "partial")) &&
        areEntries(message, Number(Reflect.get(message, "first")), true)
      );
    case "refused":
      return isCount(message, "round") && typeof Reflect.get(message, "proposer") === "string";
    case "trimmed":
    case "learned":
      return isCount(message, "index");
    case "accept":
      return isCount(message, "commit") && areEntries(message, undefined, false);
    case "learn":
      return areEntries(message, undefined, false);
    case "accepted":
      return isCount(message, "first") && isCount(message, "last");
    case "heartbeat":
      return (
        isCount(message, "commit") &&
        isCount(message, "round") &&
        isCount(message, "sent") &&
        isCount(message, "settledByAll") &&
        (Reflect.get(message, "complete") === undefined || isCount(message, "complete"))
      );
    case "heartbeat-response":
      return (
        isCount(message, "round") &&
        isCount(message, "sent") &&
        isCount(message, "held") &&
        isCount(message, "lacks") &&
        isCount(message, "base")
      );
    case "hand-over":
      return isCount(message, "commit");
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

function isMandate(message: Message): boolean {
  const mandate: unknown = Reflect.get(message, "mandate");
  return mandate === "none" || mandate === "transfer" || mandate === "quorum";
}

/** Consecutive entries, none of a later reign than the message's; holes only where a report may have them. */
function areEntries(message: Message, first: number | undefined, holes: boolean): boolean {
  const entries: unknown = Reflect.get(message, "entries");
  if (!Array.isArray(entries)) return false;
  let index = first;
  for (const entry of entries as readonly unknown[]) {
    if (typeof entry !== "object" || entry === null || !isCount(entry, "index") || !isCount(entry, "term")) {
      return false;
    }
    const at = Number(Reflect.get(entry, "index"));
    if (at === 0 || (index !== undefined && at !== index)) return false;
    index = at + 1;
    const term = Number(Reflect.get(entry, "term"));
    const ballot: unknown = Reflect.get(entry, "ballot");
    if (ballot !== undefined && !(isCount(entry, "ballot") && Number(ballot) >= term)) return false;
    if (Number(ballot ?? term) > message.term) return false;
    const kind: unknown = Reflect.get(entry, "kind");
    const data: unknown = Reflect.get(entry, "data");
    if (!(data instanceof Uint8Array)) return false;
    if (kind === "hole") {
      if (!holes) return false;
      continue;
    }
    // A value is of some reign: round 0 is nobody's.
    if (term === 0) return false;
    if (kind === "config") {
      const membership = parseMembership(data);
      if (membership === undefined || membership.voters.length === 0) return false;
    } else if (kind !== "noop" && kind !== "command") return false;
  }
  return index !== undefined;
}
