// What a leader lets pile up, counted from outside: what it has sent to one peer and not heard of, and proposals that
// have no place in its log yet (invariant 15).

import { isPaxosMessage } from "../../src/consensus/paxos/messages.ts";
import { isRaftMessage } from "../../src/consensus/raft/messages.ts";
import type { Effects, Entry, Input, Message, ReplicaStatus } from "../../src/consensus/seam.ts";
import type { NodeId } from "../../src/model/ids.ts";

/** Violates the invariant where it does not hold. */
export type Must = (holds: boolean, invariant: string, message: () => string) => void;

export interface FlowLimits {
  readonly uncommittedBytesMax: number;
  readonly inflightBytesMax: number;
  readonly inflightMessagesMax: number;
}

/** Messages with entries since anything was heard of the peer; `bytes` without those of the last one, which may be large. */
interface Sent {
  readonly messages: number;
  readonly bytes: number;
  readonly last: number;
}

export class FlowWatch {
  readonly #name: string;
  readonly #limits: FlowLimits;
  readonly #must: Must;
  readonly #sent = new Map<NodeId, Sent>();
  /** Bytes of proposals that wait for a place, by context. */
  readonly #waiting = new Map<number, number>();

  constructor(name: string, limits: FlowLimits, must: Must) {
    this.#name = name;
    this.#limits = limits;
    this.#must = must;
  }

  /** After a step. */
  judge(before: ReplicaStatus, after: ReplicaStatus, input: Input, effects: Effects): void {
    const isSame = after.term === before.term && after.role === before.role;
    if (!isSame || after.membership !== before.membership) this.#sent.clear();
    // Whatever it says may be that something arrived, or was lost.
    if (input.kind === "message") this.#sent.delete(input.message.from);
    if (input.kind === "unreachable") this.#sent.delete(input.peer);
    if (input.kind === "snapshot-sent") this.#sent.delete(input.to);
    for (const message of effects.send) this.#count(message);
    this.#judgeWaiting(input, effects);
  }

  #count(message: Message): void {
    const entries = entriesOf(message);
    if (entries.length === 0) return;
    const { messages, bytes, last } = this.#sent.get(message.to) ?? { messages: 0, bytes: 0, last: 0 };
    const sent: Sent = { messages: messages + 1, bytes: bytes + last, last: bytesOf(entries) };
    this.#sent.set(message.to, sent);
    const { inflightMessagesMax, inflightBytesMax } = this.#limits;
    this.#must(
      sent.messages <= inflightMessagesMax && (sent.bytes < inflightBytesMax || sent.messages === 1),
      "in-flight-is-bounded",
      () =>
        `${this.#name} has ${sent.messages} messages of ${sent.bytes} bytes on their way to ${message.to}`,
    );
  }

  #judgeWaiting(input: Input, { accepted, refused }: Effects): void {
    if (input.kind === "propose") {
      for (const { context, data } of input.proposals) this.#waiting.set(context, data.byteLength);
    }
    for (const { context } of [...accepted, ...refused]) this.#waiting.delete(context);
    if (input.kind !== "propose" || this.#waiting.size < 2) return;
    let bytes = 0;
    for (const each of this.#waiting.values()) bytes += each;
    const { uncommittedBytesMax } = this.#limits;
    this.#must(
      bytes <= uncommittedBytesMax,
      "waiting-is-bounded",
      () => `${this.#name} lets ${this.#waiting.size} proposals of ${bytes} bytes wait`,
    );
  }
}

function entriesOf(message: Message): readonly Entry[] {
  if (isRaftMessage(message)) return message.kind === "append" ? message.entries : [];
  if (!isPaxosMessage(message)) return [];
  return message.kind === "accept" || message.kind === "learn" ? message.entries : [];
}

function bytesOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, { data }) => sum + data.byteLength, 0);
}
