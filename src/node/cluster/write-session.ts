// The client side of sessions: one per node and shard, so that a write that was sent again after a lost
// answer or a change of leader applies once.

import { randomUUID } from "node:crypto";
import { errorFromBody, Mem0ctlError } from "../../model/errors.ts";
import { encodeCommand, type CommandResult, type ShardCommand } from "../memories/commands.ts";

/** Brings an encoded command to the shard's leader until it is answered or the deadline is over. */
export type Deliver = (
  data: Uint8Array,
  deadlineMs: number,
) => Promise<{ result: CommandResult; attempts: number }>;

export class WriteSession {
  private readonly deliver: Deliver;
  private id: string = randomUUID();
  private opened: Promise<void> | undefined;
  private nextSequence = 1;
  /** In rising order, as they were given out. */
  private readonly outstanding = new Set<number>();

  constructor(deliver: Deliver) {
    this.deliver = deliver;
  }

  /** Resolves with the command's value; throws what the state machine refused it with. */
  async execute(command: ShardCommand, deadlineMs: number): Promise<unknown> {
    for (let renewed = false; ; renewed = true) {
      await this.open(deadlineMs);
      const { id } = this;
      const sequence = this.nextSequence++;
      this.outstanding.add(sequence);
      try {
        const data = encodeCommand({ session: id, sequence, answered: this.firstOutstanding(), command });
        const { result, attempts } = await this.deliver(data, deadlineMs);
        if (result.ok) return result.value;
        const error = errorFromBody(result.error);
        // Refused at the first attempt, it cannot have been applied by an earlier one: a new session may try.
        if (error.code !== "session-expired" || attempts > 1 || renewed) throw error;
        if (this.id === id) this.renew();
      } finally {
        this.outstanding.delete(sequence);
      }
    }
  }

  private firstOutstanding(): number {
    for (const sequence of this.outstanding) return sequence;
    return this.nextSequence;
  }

  private open(deadlineMs: number): Promise<void> {
    this.opened ??= this.register(deadlineMs).catch((error: unknown) => {
      this.renew();
      // Opening a session changes no memory: whatever happened to it, the write was not done.
      throw error instanceof Mem0ctlError && error.kind === "unknown-outcome"
        ? new Mem0ctlError("unavailable", "no-leader", error.message, {
            why: "no quorum of the shard's replicas acknowledged in time",
            hint: "nothing was written; `mem0ctl status` says which nodes are missing",
          })
        : error;
    });
    return this.opened;
  }

  private async register(deadlineMs: number): Promise<void> {
    const command: ShardCommand = { t: "open-session" };
    await this.deliver(encodeCommand({ session: this.id, sequence: 0, answered: 0, command }), deadlineMs);
  }

  private renew(): void {
    this.id = randomUUID();
    this.opened = undefined;
    this.nextSequence = 1;
    this.outstanding.clear();
  }
}
