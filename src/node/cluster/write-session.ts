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
  isOpen: boolean;
  opening: Promise<void> | undefined;
  nextSequence: number;
  /** In rising order, as they were given out. */
  readonly outstanding: Set<number>;
}

const ID_BYTES = 16;

function newSession(clock: Clock): Session {
  const id = Buffer.from(clock.randomBytes(ID_BYTES)).toString("hex");
  return { id, isOpen: false, opening: undefined, nextSequence: 1, outstanding: new Set() };
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

  /** `version`: of the shard, in the map that it is routed by. Resolves with the command's value; throws what the state machine refused it with. */
  async execute(command: ShardCommand, deadlineMs: number, version = 0): Promise<unknown> {
    for (let renewed = false; ; renewed = true) {
      // A write belongs to the session it began with, whatever others do to the current one meanwhile.
      const session = this.current.isOpen ? this.current : await this.open(deadlineMs);
      const sequence = session.nextSequence++;
      session.outstanding.add(sequence);
      try {
        const data = encodeCommand({
          session: session.id,
          sequence,
          answered: firstOutstanding(session),
          command,
          version,
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

  /**
   * The current session, once it is open. Writes that come together open one session; each waits for it no
   * longer than its own deadline, and tries again where another's deadline ended the attempt.
   */
  private async open(deadlineMs: number): Promise<Session> {
    for (;;) {
      const session = this.current;
      if (session.isOpen) return session;
      const isMine = session.opening === undefined;
      session.opening ??= this.register(session, deadlineMs);
      try {
        await this.within(session.opening, deadlineMs);
      } catch (error) {
        if (!isMine && this.clock.nowMs() < deadlineMs) continue;
        // Opening a session changes no memory: whatever happened to it, the write was not done.
        throw error instanceof Mem0ctlError && error.kind === "unknown-outcome"
          ? new Mem0ctlError("unavailable", "no-leader", error.message, {
              why: "no quorum of the shard's replicas acknowledged in time",
              hint: "nothing was written; `mem0ctl status` says which nodes are missing",
            })
          : error;
      }
    }
  }

  private within(work: Promise<void>, deadlineMs: number): Promise<void> {
    const { clock } = this;
    return new Promise((resolve, reject) => {
      const timer = clock.later(Math.max(1, deadlineMs - clock.nowMs()), () => {
        reject(new Mem0ctlError("unknown-outcome", "timed-out", "the shard did not answer in time"));
      });
      work.finally(() => timer.close()).then(resolve, reject);
    });
  }

  private async register(session: Session, deadlineMs: number): Promise<void> {
    const command: ShardCommand = { t: "open-session" };
    try {
      await this.deliver(
        encodeCommand({ session: session.id, sequence: 0, answered: 0, command }),
        deadlineMs,
      );
      session.isOpen = true;
    } catch (error) {
      if (this.current === session) this.current = newSession(this.clock);
      throw error;
    }
  }
}

function firstOutstanding(session: Session): number {
  for (const sequence of session.outstanding) return sequence;
  return session.nextSequence;
}
