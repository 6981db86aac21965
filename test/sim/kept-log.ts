// What may be in a log that is kept for others (invariant 15): an arbiter's, and with paxos that of whoever brings an arbiter
// up to date. It keeps what a member with data lacks, for it may be the only one left that has it, up to a bound that no
// simulated run comes near. Of what its leader has told it that all of them hold it keeps no more than every other
// replica of its log, from when its host has looked at the log again.

import { isPaxosMessage } from "../../src/consensus/paxos/messages.ts";
import { isRaftMessage } from "../../src/consensus/raft/messages.ts";
import type { Input, Replica, ReplicaStatus } from "../../src/consensus/seam.ts";
import type { Must } from "./flow-watch.ts";

export interface KeptLogLimits {
  /** Of a log that nobody needs. */
  readonly logBytesMax: number;
  /** The host looks whether a log can be cut at least as often as it has grown by so many bytes. */
  readonly lookBytes: number;
}

export class KeptLog {
  readonly #name: string;
  readonly #replica: Pick<Replica, "entry">;
  readonly #limits: KeptLogLimits;
  readonly #must: Must;
  /** The last entry that all members with data hold, as it was told since it started. */
  #told = 0;
  /** The same when the log had last grown by `lookBytes`, and the time before: that much its host can have cut. */
  #toldAtLook = 0;
  #toldBefore = 0;
  #grownBytes = 0;

  constructor(name: string, replica: Pick<Replica, "entry">, limits: KeptLogLimits, must: Must) {
    this.#name = name;
    this.#replica = replica;
    this.#limits = limits;
    this.#must = must;
  }

  /** After a step. */
  judge(before: ReplicaStatus, after: ReplicaStatus, input: Input): void {
    if (input.kind === "message" && input.message.from === after.leader) {
      this.#told = Math.max(this.#told, heldByAll(input.message));
    }
    this.#grownBytes += Math.max(0, after.logBytes - before.logBytes);
    // One that leads goes by what it has heard itself since.
    if (after.role === "leader") this.#told = this.#toldAtLook = this.#toldBefore = 0;
    if (this.#grownBytes >= this.#limits.lookBytes) {
      this.#grownBytes = 0;
      this.#toldBefore = this.#toldAtLook;
      this.#toldAtLook = this.#told;
    }
    const { logBytesMax } = this.#limits;
    if (after.logBytes <= logBytesMax) return;
    const bytes = this.#bytes(after.first, Math.min(this.#toldBefore, after.commit));
    this.#must(
      bytes <= logBytesMax,
      "log-bounded",
      () => `${this.#name}: ${bytes} bytes of entries up to ${this.#toldBefore}, which all others hold`,
    );
  }

  #bytes(first: number, last: number): number {
    let bytes = 0;
    for (let index = first; index <= last; index += 1)
      bytes += this.#replica.entry(index)?.data.byteLength ?? 0;
    return bytes;
  }
}

function heldByAll(message: Parameters<typeof isRaftMessage>[0]): number {
  if (isRaftMessage(message)) return message.kind === "heartbeat" ? message.heldByAll : 0;
  return isPaxosMessage(message) && message.kind === "heartbeat" ? message.settledByAll : 0;
}
