// How old a replica knows its state to be: only by its own clock, and never younger than it is.

import { describe, expect, test } from "vitest";
import type { Clock } from "../../../src/node/clock.ts";
import { Freshness } from "../../../src/node/cluster/freshness.ts";

const GROUP = "3";

/** A leader that is asked, and answers when told to; a replica that applies when told to; time by hand. */
function setting() {
  let nowMs = 1000;
  const questions: { readonly answer: (index: number) => void; readonly fail: () => void }[] = [];
  const waiting: { readonly index: number; readonly resolve: () => void }[] = [];
  const timers: { readonly atMs: number; readonly work: () => void }[] = [];
  const replica = {
    id: GROUP,
    applied: 10,
    reached: (index: number): Promise<void> =>
      new Promise((resolve) => {
        waiting.push({ index, resolve });
      }),
  };
  const clock: Clock = {
    nowMs: () => nowMs,
    wallMs: () => 0,
    soon: (work) => queueMicrotask(work),
    later: (ms, work) => {
      timers.push({ atMs: nowMs + ms, work });
      return { close: () => undefined };
    },
    random: () => 0,
    randomBytes: (count) => new Uint8Array(count),
  };
  const freshness = new Freshness({
    clock,
    askIndex: () =>
      new Promise((resolve, reject) => {
        questions.push({ answer: resolve, fail: () => reject(new Error("no leader")) });
      }),
  });
  return {
    questions,
    pass: (ms: number): void => {
      nowMs += ms;
      for (const { atMs, work } of timers) if (atMs <= nowMs) work();
    },
    apply: (index: number): void => {
      replica.applied = index;
      for (const each of waiting) if (each.index <= index) each.resolve();
    },
    /** Without `timeoutMs` asked with a deadline that never comes. */
    isWithin: (maxMs: number, timeoutMs = 1_000_000) => freshness.isWithin(replica, maxMs, nowMs + timeoutMs),
  };
}

async function turn(): Promise<void> {
  for (let step = 0; step < 8; step += 1) await Promise.resolve();
}

describe("a replica's age", () => {
  test("counts from when the question was sent, not from when it was answered", async () => {
    const { questions, pass, isWithin } = setting();
    const first = isWithin(900);
    pass(700);
    questions[0]?.answer(10);
    expect(await first).toBe(true);
    expect(await isWithin(900)).toBe(true);
    // 700 ms on the way and 200 ms since then make 900 ms, which a slow clock may show for 1000.
    pass(200);
    const later = isWithin(900);
    await turn();
    for (const { fail } of questions) fail();
    await turn();
    for (const { fail } of questions) fail();
    expect(await later).toBe(false);
  });

  test("is not waited for beyond the deadline, whoever asked and however long they wait", async () => {
    const { questions, pass, isWithin } = setting();
    void isWithin(9000);
    let answer: boolean | undefined;
    void isWithin(300, 300).then((isFresh) => {
      answer = isFresh;
    });
    pass(299);
    await turn();
    expect(answer).toBeUndefined();
    pass(1);
    await turn();
    expect(answer).toBe(false);
    expect(questions).toHaveLength(1);
  });

  test("an answer that a stopped process finds in its socket afterwards makes nothing fresh", async () => {
    const { questions, pass, isWithin } = setting();
    const read = isWithin(1000);
    pass(30_000);
    questions[0]?.answer(10);
    await turn();
    // It asks anew, and only that answer counts.
    expect(questions).toHaveLength(2);
    questions[1]?.answer(10);
    expect(await read).toBe(true);
  });

  test("is known only once what the leader named is applied", async () => {
    const { questions, apply, isWithin } = setting();
    let outcome: boolean | undefined;
    const read = isWithin(1000).then((within) => void (outcome = within));
    questions[0]?.answer(12);
    await turn();
    apply(11);
    await turn();
    expect(outcome).toBe(undefined);
    apply(12);
    await read;
    expect(outcome).toBe(true);
  });

  test("is too great when what the leader named is applied too late", async () => {
    const { questions, apply, pass, isWithin } = setting();
    const read = isWithin(1000);
    questions[0]?.answer(12);
    await turn();
    pass(950);
    apply(12);
    expect(await read).toBe(false);
  });

  test("is not known without a leader that answers", async () => {
    const { questions, isWithin } = setting();
    const read = isWithin(1000);
    await turn();
    questions[0]?.fail();
    await turn();
    questions[1]?.fail();
    expect(await read).toBe(false);
    expect(questions).toHaveLength(2);
  });
});

describe("questions to the leader", () => {
  test("reads that come together share one, and those of the next while need none", async () => {
    const { questions, isWithin } = setting();
    const reads = [isWithin(1000), isWithin(500), isWithin(2000)];
    questions[0]?.answer(10);
    expect(await Promise.all(reads)).toEqual([true, true, true]);
    expect(await isWithin(1000)).toBe(true);
    expect(questions).toHaveLength(1);
  });

  test("are asked before the old answer is too old, while reads go on without waiting", async () => {
    const { questions, pass, isWithin } = setting();
    const first = isWithin(1000);
    questions[0]?.answer(10);
    await first;
    pass(600);
    expect(await isWithin(1000)).toBe(true);
    expect(questions).toHaveLength(2);
    pass(200);
    questions[1]?.answer(10);
    await turn();
    pass(600);
    // The second question is 800 ms old, the first would be 1400.
    expect(await isWithin(1000)).toBe(true);
  });
});
