// Valkey 9 moves slots by itself (CLUSTER MIGRATESLOTS): the source streams a snapshot and what is written since,
// and the slots change hands in one moment. No slot is ever half here and half there, no client is redirected by ASK,
// and a move that was begun goes on whoever watches. Source: Valkey's documentation of the command.

import { setTimeout as pause } from "node:timers/promises";

import { Mem0ctlError } from "../../model/errors.ts";
import type { SlotRange } from "../../model/shard-map.ts";
import { ProtocolError, ReplyError, textOf } from "./resp.ts";
import type { Reply } from "./resp.ts";
import type { End, MoveOptions } from "./slot-moves.ts";
import type { Member } from "./topology.ts";

const VERSION_MIN = 9;
const LOOK_MS = 50;
const ANSWER_MS_MAX = 5000;

/** Whether both servers have it. */
export function movesAtomically(...members: readonly Member[]): boolean {
  return members.every(({ report }) => {
    const version = Number(report?.info.get("valkey_version")?.split(".", 1)[0]);
    return version >= VERSION_MIN;
  });
}

/**
 * Hands the ranges over in one piece. When interrupted, the move is cancelled: nothing has changed then.
 * @throws Mem0ctlError `slot-not-moved` with the server's words, `interrupted`, `step-timeout`, NodeFailure.
 */
export async function moveAtomically(
  from: End,
  to: End,
  ranges: readonly SlotRange[],
  { signal, deadlineMs }: MoveOptions,
): Promise<void> {
  const limits = { timeoutMs: ANSWER_MS_MAX, write: true };
  const words = ranges.flatMap(({ from: first, to: last }) => [first, last]);
  try {
    await from.connection.call(
      ["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", ...words, "NODE", to.redisId],
      limits,
    );
  } catch (error) {
    if (!(error instanceof ReplyError)) throw error;
    throw notMoved(from, to, error.message);
  }
  const wanted = ranges
    .map(({ from: first, to: last }) => (first === last ? `${first}` : `${first}-${last}`))
    .join(" ");
  const ours = (job: ReadonlyMap<string, string>): boolean =>
    job.get("operation") === "EXPORT" &&
    job.get("target_node") === to.redisId &&
    sameRanges(job.get("slot_ranges") ?? "", wanted);
  for (;;) {
    const jobs = jobsOf(await from.connection.call(["CLUSTER", "GETSLOTMIGRATIONS"], limits));
    // The newest comes first.
    const job = jobs.find(ours);
    const state = job?.get("state");
    if (state === "success") return;
    if (state === "failed" || state === "cancelled") {
      throw notMoved(from, to, job?.get("message") || `the move is ${state}`);
    }
    if (signal?.aborted === true) {
      await from.connection.call(["CLUSTER", "CANCELSLOTMIGRATIONS", "ALL"], limits);
      throw new Mem0ctlError("failed", "interrupted", "interrupted", {
        hint: "the move was cancelled; the same command begins it again",
      });
    }
    if (performance.now() + LOOK_MS >= deadlineMs) {
      throw new Mem0ctlError(
        "unknown-outcome",
        "step-timeout",
        "the time is up, and slots are on their way",
        {
          why: `${from.node} goes on moving them to ${to.node} by itself`,
          hint: "look again with `mem0ctl shards list`",
        },
      );
    }
    await pause(LOOK_MS);
  }
}

/** `5-7` and `5-5 6-7` are the same slots. */
function sameRanges(one: string, other: string): boolean {
  const slots = (text: string): string =>
    text
      .split(" ")
      .flatMap((range) => {
        const [first = "", last = first] = range.split("-");
        return Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index);
      })
      .toSorted((a, b) => a - b)
      .join(",");
  return slots(one) === slots(other);
}

/** A list of flat maps: field, value, field, value. */
function jobsOf(reply: Reply): ReadonlyMap<string, string>[] {
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
