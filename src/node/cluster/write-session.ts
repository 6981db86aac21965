// The client side of sessions: one per node and shard, so that a write that was sent again after a lost
// answer or a change of leader applies once.

import { errorFromBody, Mem0ctlError } from "../../model/errors.ts";
import type { Clock } from "../clock.ts";
import { encodeCommand, type CommandResult, type ShardCommand } from "../memories/commands.ts";

/** Brings an encoded command to the shard's leader until it is answered or the deadline is over. */
export type Deliver = (
  data: Uint8Array,
  deadlineMs: number,
) => Promise<{ result: CommandResult; attempts: number }>;

interface Session {
  readonly id: string;
  opened: Promise<void> | undefined;
  nextSequence: number;
  /** In rising order, as they were given out. */
  readonly outstanding: Set<number>;
}

const ID_BYTES = 16;

function newSession(clock: Clock): Session {
  const id = Buffer.from(clock.randomBytes(ID_BYTES)).toString("hex");
  return { id, opened: undefined, nextSequence: 1, outstanding: new Set() };
}

export class WriteSession {
  private readonly deliver: Deliver;
  private readonly clock: Clock;
  private current: Session;

  constructor(deliver: Deliver, clock: Clock) {
    this.deliver = deliver;
    this.clock = clock;
    this.current = newSession(clock);
  }

  /** Resolves with the command's value; throws what the state machine refused it with. */
  async execute(command: ShardCommand, deadlineMs: number): Promise<unknown> {
    for (let renewed = false; ; renewed = true) {
      // A write belongs to the session it began with, whatever others do to the current one meanwhile.
      const session = this.current;
      await this.open(session, deadlineMs);
      const sequence = session.nextSequence++;
      session.outstanding.add(sequence);
      try {
        const data = encodeCommand({
          session: session.id,
          sequence,
          answered: firstOutstanding(session),
          command,
        });
        const { result, attempts } = await this.deliver(data, deadlineMs);
        if (result.ok) return result.value;
        const error = errorFromBody(result.error);
        // Refused at the first attempt, it cannot have been applied by an earlier one: a new session may try.
        if (error.code !== "session-expired" || attempts > 1 || renewed) throw error;
        if (this.current === session) this.current = newSession(this.clock);
      } finally {
        session.outstanding.delete(sequence);
      }
    }
  }

  private open(session: Session, deadlineMs: number): Promise<void> {
    session.opened ??= this.register(session, deadlineMs).catch((error: unknown) => {
      if (this.current === session) this.current = newSession(this.clock);
      // Opening a session changes no memory: whatever happened to it, the write was not done.
      throw error instanceof Mem0ctlError && error.kind === "unknown-outcome"
        ? new Mem0ctlError("unavailable", "no-leader", error.message, {
            why: "no quorum of the shard's replicas acknowledged in time",
            hint: "nothing was written; `mem0ctl status` says which nodes are missing",
          })
        : error;
    });
    return session.opened;
  }

  private async register(session: Session, deadlineMs: number): Promise<void> {
    const command: ShardCommand = { t: "open-session" };
    await this.deliver(encodeCommand({ session: session.id, sequence: 0, answered: 0, command }), deadlineMs);
  }
}

function firstOutstanding(session: Session): number {
  for (const sequence of session.outstanding) return sequence;
  return session.nextSequence;
}
