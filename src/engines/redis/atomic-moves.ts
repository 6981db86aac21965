// Servers that move slots by themselves: a snapshot is streamed and what is written since, and the slots change hands in
// one moment. No slot is ever half here and half there, no client is redirected by ASK, and a move that was begun
// goes on whoever watches. Valkey 9 exports (CLUSTER MIGRATESLOTS at the source), Redis 8.4 imports (CLUSTER MIGRATION
// IMPORT at the target). Source: the documentation of these commands.

import { setTimeout as pause } from "node:timers/promises";

import { Mem0ctlError } from "../../model/errors.ts";
import type { SlotRange } from "../../model/shard-map.ts";
import { numbersOf } from "../../topology/slot-ranges.ts";
import type { RedisConnection } from "./connection.ts";
import type { RedisReport } from "./nodes.ts";
import { ProtocolError, ReplyError, textOf } from "./reply-values.ts";
import type { Command, Reply } from "./reply-values.ts";
import type { End, MoveOptions } from "./slot-moves.ts";
import type { Member } from "./topology.ts";

const LOOK_MS = 50;
const LIMITS = { timeoutMs: 5000, write: true };

/** A move as a server tells it: field, value, field, value. */
type Job = ReadonlyMap<string, string>;

interface Primitive {
  /** Where it is begun, watched and cancelled. */
  readonly at: "source" | "target";
  readonly begin: (to: End, ranges: readonly SlotRange[]) => Command;
  readonly list: Command;
  /** The job that `begin` was answered with; the newest comes first. */
  readonly isOurs: (job: Job, begun: Reply, to: End, ranges: readonly SlotRange[]) => boolean;
  readonly cancel: (begun: Reply) => Command;
  /** What it calls a move that is done, one that is over without that, and one that it will try again by itself. */
  readonly done: string;
  readonly givenUp: readonly string[];
  readonly retrying: readonly string[];
  /** The field that says why. */
  readonly why: string;
}

const EXPORT: Primitive = {
  at: "source",
  begin: (to, ranges) => [
    "CLUSTER",
    "MIGRATESLOTS",
    "SLOTSRANGE",
    ...ranges.flatMap(({ from, to: last }) => [from, last]),
    "NODE",
    to.redisId,
  ],
  list: ["CLUSTER", "GETSLOTMIGRATIONS"],
  isOurs: (job, _, to, ranges) =>
    job.get("operation") === "EXPORT" &&
    job.get("target_node") === to.redisId &&
    sameSlots(job.get("slot_ranges") ?? "", ranges),
  cancel: () => ["CLUSTER", "CANCELSLOTMIGRATIONS"],
  done: "success",
  givenUp: ["failed", "cancelled"],
  retrying: [],
  why: "message",
};

const IMPORT: Primitive = {
  at: "target",
  begin: (_, ranges) => ["CLUSTER", "MIGRATION", "IMPORT", ...ranges.flatMap(({ from, to }) => [from, to])],
  list: ["CLUSTER", "MIGRATION", "STATUS", "ALL"],
  isOurs: (job, begun) => job.get("id") === textOf(begun),
  cancel: (begun) => ["CLUSTER", "MIGRATION", "CANCEL", "ID", textOf(begun)],
  done: "completed",
  givenUp: ["canceled"],
  // The target tries again until it is told not to.
  retrying: ["failed"],
  why: "last_error",
};

/** Tries of the server's own after which a move is given up. */
const RETRIES_MAX = 20;

/** What a server has, by its version; undefined where slots move key by key. */
function primitiveOf({ info }: RedisReport): Primitive | undefined {
  const valkey = info.get("valkey_version");
  if (valkey !== undefined) return Number(valkey.split(".", 1)[0]) >= 9 ? EXPORT : undefined;
  const [major = 0, minor = 0] = (info.get("redis_version") ?? "").split(".").map(Number);
  return major > 8 || (major === 8 && minor >= 4) ? IMPORT : undefined;
}

/** Whether both servers have it. */
export function movesAtomically(source: Member, target: Member): boolean {
  const [one, other] = [source, target].map(({ report }) => report && primitiveOf(report));
  return one !== undefined && one === other;
}

/**
 * Hands the ranges over in one piece. When interrupted, the move is cancelled: nothing has changed then. One that
 * another run left to the servers is waited for.
 * @returns false when the server refused it and nothing was begun.
 * @throws Mem0ctlError `slot-not-moved` with the server's words, `interrupted`, `step-timeout`, NodeFailure.
 */
export async function moveAtomically(
  { report }: Member,
  from: End,
  to: End,
  ranges: readonly SlotRange[],
  options: MoveOptions,
): Promise<boolean> {
  const primitive = report === undefined ? undefined : primitiveOf(report);
  if (primitive === undefined) return false;
  const { connection } = primitive.at === "source" ? from : to;
  const begun = await begin(connection, primitive, to, ranges, options);
  if (begun === undefined) return false;
  const cancel = (): Promise<Reply> => connection.call(primitive.cancel(begun), LIMITS);
  for (;;) {
    const jobs = await jobsOn(connection, primitive);
    const job = jobs.find((each) => primitive.isOurs(each, begun, to, ranges));
    const state = job?.get("state") ?? "";
    if (state === primitive.done) return true;
    const why = job?.get(primitive.why) || `the move is ${state}`;
    if (primitive.givenUp.includes(state)) throw notMoved(from, to, why);
    if (primitive.retrying.includes(state) && Number(job?.get("retries")) >= RETRIES_MAX) {
      await cancel();
      throw notMoved(from, to, why);
    }
    if (options.signal?.aborted === true) {
      await cancel();
      throw interrupted();
    }
    if (performance.now() + LOOK_MS >= options.deadlineMs) throw timedOut(primitive, from, to);
    await pause(LOOK_MS);
  }
}

/** What the server names the move by; undefined when it refused, and nothing of another run is on its way. */
async function begin(
  connection: RedisConnection,
  primitive: Primitive,
  to: End,
  ranges: readonly SlotRange[],
  { signal, deadlineMs }: MoveOptions,
): Promise<Reply | undefined> {
  for (;;) {
    try {
      return await connection.call(primitive.begin(to, ranges), LIMITS);
    } catch (error) {
      if (!(error instanceof ReplyError)) throw error;
    }
    if (signal?.aborted === true) throw interrupted();
    const busy = (await jobsOn(connection, primitive)).some((job) => isUnderWay(job, primitive));
    if (!busy || performance.now() + LOOK_MS >= deadlineMs) return undefined;
    await pause(LOOK_MS);
  }
}

function isUnderWay(job: Job, { done, givenUp, retrying }: Primitive): boolean {
  return ![done, ...givenUp, ...retrying].includes(job.get("state") ?? done);
}

/**
 * Waits until the servers have ended what a run before left to them: until then nobody can say who owns what.
 * @param connectionOf to a member that answers.
 * @returns the moves that were under way, as sentences. Those still under way at the deadline are among them.
 */
export async function awaitServerMoves(
  members: readonly Member[],
  connectionOf: (member: Member) => Promise<RedisConnection>,
  { signal, deadlineMs }: Pick<MoveOptions, "signal" | "deadlineMs">,
): Promise<readonly string[]> {
  const seen = new Set<string>();
  for (const member of members) {
    const primitive = member.report === undefined ? undefined : primitiveOf(member.report);
    if (primitive === undefined) continue;
    const connection = await connectionOf(member);
    for (;;) {
      const running = (await jobsOn(connection, primitive)).filter((job) => isUnderWay(job, primitive));
      for (const job of running) seen.add(`slots ${job.get("slots") ?? job.get("slot_ranges") ?? ""}`);
      if (running.length === 0 || performance.now() + LOOK_MS >= deadlineMs) break;
      if (signal?.aborted === true) throw interrupted();
      await pause(LOOK_MS);
    }
  }
  return [...seen];
}

/** Empty where the server refuses to say: then a move that is begun is refused, too. */
async function jobsOn(connection: RedisConnection, { list }: Primitive): Promise<readonly Job[]> {
  const [reply] = await connection.send([list], LIMITS);
  if (reply instanceof ReplyError) return [];
  if (!Array.isArray(reply)) throw new ProtocolError("a list of moves was expected");
  const jobs: readonly Reply[] = reply;
  return jobs.map((job) => {
    if (!Array.isArray(job)) throw new ProtocolError("a move was expected");
    const words: readonly Reply[] = job;
    const fields = new Map<string, string>();
    for (let at = 0; at + 1 < words.length; at += 2) {
      const value = words[at + 1];
      fields.set(textOf(words[at]), typeof value === "number" ? String(value) : textOf(value));
    }
    return fields;
  });
}

/** `5-7` and `5-5 6-7` are the same slots. */
function sameSlots(text: string, ranges: readonly SlotRange[]): boolean {
  const numbers = text.split(" ").flatMap((range) => {
    const [first = "", last = first] = range.split("-");
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index);
  });
  const wanted = numbersOf(ranges);
  const slots = new Set(numbers);
  return slots.size === wanted.length && wanted.every((slot) => slots.has(slot));
}

/** One move at a time for each node that takes part: a server refuses a second one. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  async take<Result>(nodes: readonly string[], work: () => Promise<Result>): Promise<Result> {
    const mine = Promise.all(nodes.map((node) => this.#last.get(node) ?? Promise.resolve())).then(work);
    const over = mine.catch(() => undefined);
    for (const node of nodes) this.#last.set(node, over);
    return mine;
  }
}

function interrupted(): Mem0ctlError {
  return new Mem0ctlError("failed", "interrupted", "interrupted", {
    hint: "the move was cancelled; the same command begins it again",
  });
}

function timedOut({ at }: Primitive, from: End, to: End): Mem0ctlError {
  const mover = at === "source" ? from : to;
  return new Mem0ctlError("unknown-outcome", "step-timeout", "the time is up, and slots are on their way", {
    why: `${mover.node} goes on moving them from ${from.node} to ${to.node} by itself`,
    hint: "look again with `mem0ctl shards list`",
  });
}

function notMoved(from: End, to: End, why: string): Mem0ctlError {
  return new Mem0ctlError(
    "failed",
    "slot-not-moved",
    `slots could not be moved from ${from.node} to ${to.node}`,
    {
      why,
      hint: "nothing of them was moved; try again",
    },
  );
}
