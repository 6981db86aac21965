// What the simulator asks of a replica that counts again after damage of its log: no less than what it may have helped
// to commit, and nothing that others committed without it.

import { beforeEach, expect, test } from "vitest";
import { RecoveryWatch } from "../../sim/recovery-watch.ts";

const HURT = "node-3";
let watch: RecoveryWatch;

beforeEach(() => {
  watch = new RecoveryWatch();
});

const begins = (term: number, recovering = true): void =>
  watch.begins(HURT, { recovering, term }, () => false);

test("what was committed when it lost its log it must have", () => {
  watch.commits(4, 13);
  watch.damaged(HURT, 13);
  begins(5);
  expect(watch.counts(HURT)).toBe(13);
});

test("what others commit in the term in which it begins, while its disk is full, it need not have", () => {
  watch.damaged(HURT, 13);
  watch.commits(5, 19);
  begins(5);
  expect(watch.counts(HURT)).toBe(13);
});

test.each(["before", "after"])("what a late acknowledgement commits %s it begins it must have", (when) => {
  watch.damaged(HURT, 13);
  if (when === "after") begins(5);
  watch.commits(4, 14);
  if (when === "before") begins(5);
  watch.commits(5, 19);
  expect(watch.counts(HURT)).toBe(14);
});

test("a start in the middle of a recovery loses nothing more", () => {
  watch.damaged(HURT, 13);
  begins(5);
  watch.commits(6, 20);
  begins(6);
  expect(watch.counts(HURT)).toBe(13);
});

test("of what it acknowledged while it recovered nothing is lost by another damage", () => {
  watch.damaged(HURT, 13);
  begins(5);
  watch.commits(5, 20);
  watch.damaged(HURT, 20);
  begins(7);
  expect(watch.counts(HURT)).toBe(20);
});

test("one that counts, and starts again before that is on its disk, has lost nothing", () => {
  watch.damaged(HURT, 13);
  begins(5);
  expect(watch.counts(HURT)).toBe(13);
  watch.commits(4, 30);
  begins(5);
  expect(watch.counts(HURT)).toBe(0);
  watch.damaged(HURT, 30);
  begins(6, false);
  expect(watch.counts(HURT)).toBe(0);
});
