// How much each slot holds: its keys counted, its bytes estimated from a few of them. Asked only when a plan is
// to be made by keys or bytes, because it takes thousands of questions, which go out many at a time.

import type { RedisConnection } from "./connection.ts";
import type { SendOptions } from "./connection.ts";
import { bytesListOf, numberOf, ReplyError } from "./reply-values.ts";
import type { Command, Reply } from "./reply-values.ts";

export interface SlotContent {
  readonly keys: number;
  readonly bytes: number;
}

/** Keys of which the size is asked; the others of the slot are taken to be like them. */
const SAMPLE_KEYS = 5;
/** Commands in one piece: a server answers others between two of them. */
const PIECE = 500;
const ANSWER_MS_MAX = 5000;

/** @throws NodeFailure, ReplyError. */
export async function slotContents(
  connection: RedisConnection,
  slots: readonly number[],
  options: SendOptions,
): Promise<ReadonlyMap<number, SlotContent>> {
  const deadlineMs = performance.now() + options.timeoutMs;
  const ask = async (commands: readonly Command[]): Promise<Reply[]> => {
    const replies: Reply[] = [];
    for (let at = 0; at < commands.length; at += PIECE) {
      const timeoutMs = Math.max(1, Math.min(ANSWER_MS_MAX, deadlineMs - performance.now()));
      replies.push(...(await connection.send(commands.slice(at, at + PIECE), { ...options, timeoutMs })));
    }
    return replies;
  };
  const counts = await ask(slots.map((slot) => ["CLUSTER", "COUNTKEYSINSLOT", slot]));
  const filled = slots.flatMap((slot, index) => {
    const keys = numberOf(counts[index]);
    return keys === 0 ? [] : [{ slot, keys }];
  });
  const listed = await ask(filled.map(({ slot }) => ["CLUSTER", "GETKEYSINSLOT", slot, SAMPLE_KEYS]));
  const samples = filled.map(({ slot, keys }, index) => ({ slot, keys, sample: bytesListOf(listed[index]) }));
  const sizes = await ask(
    samples.flatMap(({ sample }) => sample.map((key): Command => ["MEMORY", "USAGE", key])),
  );
  const contents = new Map<number, SlotContent>();
  let at = 0;
  for (const { slot, keys, sample } of samples) {
    const own = sizes.slice(at, at + sample.length);
    at += sample.length;
    // A key that went meanwhile, or a user who may not ask: no size, and the rest of the sample speaks.
    const known = own.flatMap((size) =>
      size === null || size instanceof ReplyError ? [] : [numberOf(size)],
    );
    const mean = known.length === 0 ? 0 : known.reduce((sum, size) => sum + size, 0) / known.length;
    contents.set(slot, { keys, bytes: Math.round(mean * keys) });
  }
  return contents;
}
