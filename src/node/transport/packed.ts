// What groups say to each other, as it travels. The two messages that a write costs each follower, raft's `append` and
// its answer, are lists: with the names of their fields, and with the addresses that the connection knows, half of what
// is packed and read would be no news. Everything else travels as it is.

import type { Append, AppendAccepted } from "../../consensus/raft/messages.ts";
import type { Entry, Message } from "../../consensus/seam.ts";
import type { GroupId, NodeId } from "../../model/ids.ts";

type PackedEntry = readonly [term: number, kind: string, data: Uint8Array];

export type PackedMessage =
  | readonly [group: GroupId, message: Message]
  | readonly [group: GroupId, term: number, accepted: number]
  | readonly [
      group: GroupId,
      term: number,
      prevIndex: number,
      prevTerm: number,
      commit: number,
      entries: readonly PackedEntry[],
    ];

const ACCEPTED_PARTS = 3;
const APPEND_PARTS = 6;

export function packMessage(group: GroupId, message: Message): PackedMessage {
  if (message.kind === "append") {
    const { term, prevIndex, prevTerm, commit, entries } = message as Append;
    return [group, term, prevIndex, prevTerm, commit, entries.map(packEntry)];
  }
  if (message.kind === "append-accepted") return [group, message.term, (message as AppendAccepted).index];
  return [group, message];
}

/**
 * The reverse, of what came `from` a peer. Nothing is judged here but the form: what the values claim is for the
 * protocol. Undefined for what has no form that is known.
 */
export function unpackMessage(
  packed: unknown,
  from: NodeId,
  to: NodeId,
): readonly [GroupId, Message] | undefined {
  if (!Array.isArray(packed)) return undefined;
  const parts = packed as unknown[];
  const group = parts[0] as GroupId;
  const term = parts[1] as number;
  if (parts.length === APPEND_PARTS) {
    const prevIndex = parts[2] as number;
    const entries = parts[5];
    if (!Array.isArray(entries)) return undefined;
    const append: Append = {
      kind: "append",
      from,
      to,
      term,
      prevIndex,
      prevTerm: parts[3] as number,
      commit: parts[4] as number,
      entries: entries.map((entry, at) => unpackEntry(entry, prevIndex + 1 + at)),
    };
    return [group, append];
  }
  if (parts.length === ACCEPTED_PARTS) {
    const accepted: AppendAccepted = { kind: "append-accepted", from, to, term, index: parts[2] as number };
    return [group, accepted];
  }
  const message = parts[1];
  return typeof message === "object" && message !== null ? [group, message as Message] : undefined;
}

function packEntry({ term, kind, data }: Entry): PackedEntry {
  return [term, kind, data];
}

function unpackEntry(packed: unknown, index: number): Entry {
  const [term, kind, data] = (Array.isArray(packed) ? packed : []) as [number, Entry["kind"], Uint8Array];
  return { index, term, kind, data };
}
