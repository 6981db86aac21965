// How old this node's replicas can be at most, by this node's clock alone. A replica asks its leader for an
// index: one that a quorum confirmed after the question came, so it covers whatever had been acknowledged
// when the question was sent. Once that index is applied here, the state lacks nothing that is older than
// the question. Only the moment of sending counts, which is this node's own: a process that was stopped and
// finds an old answer in its socket knows that the question is as old.

import type { GroupId } from "../../model/ids.ts";
import type { Clock } from "../clock.ts";
import type { ReplicaGroup } from "../host/replica-group.ts";

/** A clock may run slow by a tenth: what it calls an age can be that much more. */
const DRIFT = 10 / 9;
/** A question that was on its way already may turn out too old; one of our own cannot be asked earlier. */
const QUESTIONS_MAX = 2;

/** Everything that had been acknowledged at `askedMs` is within `index`. */
interface Mark {
  readonly askedMs: number;
  readonly index: number;
}

export interface FreshnessOptions {
  readonly clock: Clock;
  /** Asks the group's leader for an index that a quorum confirmed after the question; rejects at the deadline. */
  readonly askIndex: (group: GroupId, deadlineMs: number) => Promise<number>;
}

export class Freshness {
  private readonly options: FreshnessOptions;
  private readonly marks = new Map<GroupId, Mark>();
  private readonly asking = new Map<GroupId, Promise<void>>();

  constructor(options: FreshnessOptions) {
    this.options = options;
  }

  /** True once the replica's state is at most `maxMs` old; false when that cannot be had by the deadline. */
  async isWithin(
    replica: Pick<ReplicaGroup, "id" | "applied" | "reached">,
    maxMs: number,
    deadlineMs: number,
  ): Promise<boolean> {
    const { clock } = this.options;
    const lifeMs = maxMs / DRIFT;
    for (let questions = 0; ; questions += 1) {
      const mark = this.marks.get(replica.id);
      const ageMs = mark === undefined ? Infinity : clock.nowMs() - mark.askedMs;
      if (mark !== undefined && ageMs <= lifeMs) {
        // Asked for again in good time, so that reads that come steadily never wait for the leader.
        if (ageMs > lifeMs / 2) void this.ask(replica.id, clock.nowMs() + lifeMs);
        if (replica.applied >= mark.index) return true;
        const until = Math.min(deadlineMs, mark.askedMs + lifeMs);
        return replica.reached(mark.index, until).then(
          () => clock.nowMs() - mark.askedMs <= lifeMs,
          () => false,
        );
      }
      if (questions === QUESTIONS_MAX || clock.nowMs() >= deadlineMs) return false;
      await this.ask(replica.id, Math.min(deadlineMs, clock.nowMs() + lifeMs));
    }
  }

  /** One question at a time for each group; who comes meanwhile waits for its answer, as long as it can itself. */
  private ask(group: GroupId, deadlineMs: number): Promise<void> {
    const running = this.asking.get(group);
    if (running !== undefined) return this.answeredBy(running, deadlineMs);
    const askedMs = this.options.clock.nowMs();
    const question = this.options
      .askIndex(group, deadlineMs)
      .then(
        (index) => void this.marks.set(group, { askedMs, index }),
        // The leader cannot be reached or is none any more: the old mark goes on ageing.
        () => undefined,
      )
      .finally(() => this.asking.delete(group));
    this.asking.set(group, question);
    return question;
  }

  /** Who asked that question may wait longer for it. */
  private answeredBy(question: Promise<void>, deadlineMs: number): Promise<void> {
    const { clock } = this.options;
    return new Promise((resolve) => {
      const timer = clock.later(Math.max(0, deadlineMs - clock.nowMs()), resolve);
      void question.then(() => {
        timer.close();
        resolve();
      });
    });
  }
}
