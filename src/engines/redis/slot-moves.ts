// Slots that move from one primary to another while clients go on: a slot is opened on both sides, its keys
// are moved by MIGRATE, and then it is given to its new owner. Many slots are opened, moved and closed with
// one question each way, because most of what a single one costs is the way there and back, and a server
// saves its configuration once for all commands that arrive together. The keys that one piece moves are
// bounded by time: a server serves nobody while it migrates.
//
// The steps and their order are those of "Live resharding" in the Redis Cluster specification: the target
// first, so that a slot always has an owner.

import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId } from "../../model/ids.ts";
import type { RedisConnection } from "./connection.ts";
import { bytesListOf, numberOf, ReplyError, textOf } from "./reply-values.ts";
import type { Command, Reply } from "./reply-values.ts";

/** One end of a move: a server that answered, and its name in the cluster. */
export interface End {
  readonly node: NodeId;
  readonly redisId: string;
  /** As the other servers reach it. */
  readonly host: string;
  readonly port: number;
  readonly connection: RedisConnection;
}

export interface MoveOptions {
  readonly signal?: AbortSignal;
  /** By `performance.now()`. */
  readonly deadlineMs: number;
  /** How servers log in to each other. */
  readonly login: { readonly user: string | undefined; readonly password: string | undefined };
  /** Called after every batch with the slots that it moved. */
  readonly onMoved: (slots: number, keys: number) => void;
  /** Part of the time in which keys are moved; the rest is left to clients alone. 1: no pauses. */
  readonly share: number;
  /** Most that is sent in a second, by the mean size of the source's keys; absent: no bound. */
  readonly keysPerSecondMax?: number;
}

/** Slots that are open at the same time. */
const SLOTS_PER_BATCH = 128;
/** A server that moves keys answers nobody: pieces are cut so that one takes about this long. */
const PIECE_MS = 10;
const KEYS_PER_PIECE_MIN = 8;
const KEYS_PER_PIECE_MAX = 2000;
/** The first piece, while nobody knows how large keys are. */
const KEYS_AT_FIRST = 20;
/** Keys of one slot asked for at a time. */
const KEYS_PER_SLOT = 500;
/** How long a server waits for the other one before it gives a piece up. */
const MIGRATE_TIMEOUT_MS = 5000;
const ANSWER_MS_MAX = 15_000;
const ANSWER_MS_MIN = 2000;
const RETRIES_MAX = 5;

interface Pace {
  /** Keys in one piece; learned from how long pieces take. */
  keys: number;
}

/**
 * Moves the slots, some at a time. What was closed stays moved whatever happens after; what is open is found
 * and ended by the next run.
 * @returns how many keys were moved.
 * @throws Mem0ctlError `slot-not-moved` with the server's words, `interrupted`, or NodeFailure.
 */
export async function moveSlots(
  from: End,
  to: End,
  slots: readonly number[],
  options: MoveOptions,
): Promise<number> {
  const pace: Pace = { keys: KEYS_AT_FIRST };
  let moved = 0;
  let emptied: readonly number[] = [];
  let keys = 0;
  for (let at = 0; at < slots.length; at += SLOTS_PER_BATCH) {
    if (isOver(options)) await closeSlots(from, to, emptied, options);
    throwIfInterrupted(options);
    const batch = slots.slice(at, at + SLOTS_PER_BATCH);
    const lists = await turnOver(from, to, emptied, batch, options);
    if (emptied.length > 0) options.onMoved(emptied.length, keys);
    keys = await moveKeys(from, to, batch, pace, options, lists);
    moved += keys;
    emptied = batch;
  }
  await closeSlots(from, to, emptied, options);
  if (emptied.length > 0) options.onMoved(emptied.length, keys);
  return moved;
}

/**
 * Closes the slots of one batch and opens those of the next, with one question to each side: the target first, so
 * that it owns what is closed and takes what the source redirects to it. Resolves to the keys of those opened.
 */
async function turnOver(
  from: End,
  to: End,
  emptied: readonly number[],
  batch: readonly number[],
  options: MoveOptions,
): Promise<readonly SlotKeys[]> {
  const give = emptied.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "NODE", to.redisId]);
  const set = (state: "IMPORTING" | "MIGRATING", peer: End): Command[] =>
    batch.map((slot) => ["CLUSTER", "SETSLOT", slot, state, peer.redisId]);
  const slots = [...emptied, ...batch];
  checkTold(to, slots, await sent(to, [...give, ...set("IMPORTING", from)], options));
  const replies = await sent(from, [...give, ...set("MIGRATING", to), ...batch.map(listKeys)], options);
  checkTold(from, slots, replies.slice(0, slots.length));
  return batch.map((slot, index) => ({ slot, keys: bytesListOf(replies[slots.length + index]) }));
}

/** The target first: from here on it owns them with a higher epoch, and tells the others. */
async function closeSlots(from: End, to: End, slots: readonly number[], options: MoveOptions): Promise<void> {
  const command = (slot: number): Command => ["CLUSTER", "SETSLOT", slot, "NODE", to.redisId];
  await toldAll(to, slots, command, options);
  await toldAll(from, slots, command, options);
}

function listKeys(slot: number): Command {
  return ["CLUSTER", "GETKEYSINSLOT", slot, KEYS_PER_SLOT];
}

/**
 * Moves every key of slots that are open on both sides. Where a piece broke off before, a key may be on both
 * sides; the source's copy is the one that clients were served since, so it replaces the other.
 */
export async function moveKeys(
  from: End,
  to: End,
  slots: readonly number[],
  pace: Pace,
  options: MoveOptions,
  first?: readonly SlotKeys[],
): Promise<number> {
  let moved = 0;
  let left: readonly number[] = slots;
  let known = first;
  while (left.length > 0) {
    const lists = known ?? (await keysOf(from, left, options));
    known = undefined;
    moved += await movePieces(from, to, lists, pace, options);
    // A slot that is open takes no new keys, so a list that was not full was all of it.
    left = lists.filter(({ keys }) => keys.length === KEYS_PER_SLOT).map(({ slot }) => slot);
  }
  return moved;
}

async function keysOf(
  from: End,
  slots: readonly number[],
  options: MoveOptions,
): Promise<readonly SlotKeys[]> {
  const listed = await sent(from, slots.map(listKeys), options);
  return slots.map((slot, index) => ({ slot, keys: bytesListOf(listed[index]) }));
}

interface SlotKeys {
  readonly slot: number;
  readonly keys: readonly Buffer[];
}

async function movePieces(
  from: End,
  to: End,
  lists: readonly SlotKeys[],
  pace: Pace,
  options: MoveOptions,
): Promise<number> {
  // MIGRATE takes keys of one slot only.
  const waiting = lists
    .filter(({ keys }) => keys.length > 0)
    .map(({ slot, keys }) => ({ slot, keys, at: 0 }));
  let moved = 0;
  let failures = 0;
  while (waiting.length > 0) {
    throwIfInterrupted(options);
    const commands: Command[] = [];
    const taken: { readonly list: (typeof waiting)[number]; readonly count: number }[] = [];
    // A bound on what is sent holds from second to second, so no piece may be worth many of them.
    let room = Math.max(1, Math.min(pace.keys, (options.keysPerSecondMax ?? Infinity) / 4));
    for (const list of waiting) {
      if (room <= 0) break;
      const count = Math.min(Math.ceil(room), list.keys.length - list.at);
      commands.push(migrate(to, list.keys.slice(list.at, list.at + count), options));
      taken.push({ list, count });
      room -= count;
    }
    const began = performance.now();
    const replies = await sent(from, commands, options);
    const tookMs = performance.now() - began;
    let failure: ReplyError | undefined;
    for (const [index, { list, count }] of taken.entries()) {
      const reply = replies[index];
      if (reply instanceof ReplyError) failure ??= reply;
      else {
        list.at += count; // NOKEY, too: they expired or were deleted meanwhile
        moved += textOf(reply) === "NOKEY" ? 0 : count;
      }
    }
    for (let index = waiting.length - 1; index >= 0; index -= 1) {
      const list = waiting[index];
      if (list !== undefined && list.at >= list.keys.length) waiting.splice(index, 1);
    }
    if (failure === undefined) failures = 0;
    else if (!isTransient(failure) || (failures += 1) > RETRIES_MAX) throw notMoved(from, to, failure);
    pace.keys = nextPace(pace.keys, tookMs);
    const calmMs = (tookMs * (1 - options.share)) / options.share;
    const sentKeys = taken.reduce((sum, { count }) => sum + count, 0);
    const paceMs =
      options.keysPerSecondMax === undefined ? 0 : (sentKeys / options.keysPerSecondMax) * 1000 - tookMs;
    const restMs = Math.max(calmMs, paceMs);
    if (restMs >= 1) await pauseFor(restMs, options);
  }
  return moved;
}

function migrate(to: End, keys: readonly Buffer[], { login }: MoveOptions): Command {
  const { user, password } = login;
  const auth =
    password === undefined ? [] : user === undefined ? ["AUTH", password] : ["AUTH2", user, password];
  return ["MIGRATE", to.host, to.port, "", 0, MIGRATE_TIMEOUT_MS, "REPLACE", ...auth, "KEYS", ...keys];
}

/** Down at once, up by doubling at most: a piece that is too long keeps clients waiting, one too short only us. */
function nextPace(keys: number, tookMs: number): number {
  const ideal = Math.round(keys * (PIECE_MS / Math.max(0.5, tookMs)));
  return Math.max(KEYS_PER_PIECE_MIN, Math.min(KEYS_PER_PIECE_MAX, keys * 2, ideal));
}

/** The other server was slow, or loading, or full for the moment. */
function isTransient({ code }: ReplyError): boolean {
  return code === "IOERR" || code === "LOADING" || code === "TRYAGAIN";
}

async function toldAll(
  end: End,
  slots: readonly number[],
  command: (slot: number) => Command,
  options: MoveOptions,
): Promise<void> {
  if (slots.length > 0) checkTold(end, slots, await sent(end, slots.map(command), options));
}

function checkTold(end: End, slots: readonly number[], replies: readonly Reply[]): void {
  for (const [index, reply] of replies.entries()) {
    if (reply instanceof ReplyError) throw refused(end, slots[index] ?? -1, reply);
  }
}

async function sent(
  { connection }: End,
  commands: readonly Command[],
  { deadlineMs }: MoveOptions,
): Promise<readonly Reply[]> {
  // Not cut short by the signal, nor by the deadline's last moment: between two pieces is the place to stop.
  const timeoutMs = Math.max(ANSWER_MS_MIN, Math.min(ANSWER_MS_MAX, deadlineMs - performance.now()));
  return connection.send(commands, { timeoutMs, write: true });
}

/** How many keys of a slot a server holds. */
export async function keysIn(end: End, slot: number, options: MoveOptions): Promise<number> {
  const [reply] = await sent(end, [["CLUSTER", "COUNTKEYSINSLOT", slot]], options);
  return numberOf(reply);
}

/** Opens, gives or closes one slot on one side. */
export async function setSlot(
  end: End,
  slot: number,
  state: "STABLE" | readonly ["IMPORTING" | "MIGRATING" | "NODE", redisId: string],
  options: MoveOptions,
): Promise<void> {
  const words = typeof state === "string" ? [state] : state;
  await toldAll(end, [slot], () => ["CLUSTER", "SETSLOT", slot, ...words], options);
}

function refused({ node }: End, slot: number, { message }: ReplyError): Mem0ctlError {
  return new Mem0ctlError("conflict", "slot-not-moved", `${node} refused to open or close slot ${slot}`, {
    why: message,
    hint: "the cluster changed meanwhile, or another tool moves slots: look with `mem0ctl status` and try again",
  });
}

function notMoved(from: End, to: End, { message }: ReplyError): Mem0ctlError {
  return new Mem0ctlError(
    "failed",
    "slot-not-moved",
    `keys could not be moved from ${from.node} to ${to.node}`,
    {
      why: message,
      hint: "what was moved stays moved; the same command goes on where this one stopped",
    },
  );
}

function isOver({ signal, deadlineMs }: MoveOptions): boolean {
  return signal?.aborted === true || performance.now() >= deadlineMs;
}

function throwIfInterrupted({ signal, deadlineMs }: MoveOptions): void {
  if (signal?.aborted === true) {
    throw new Mem0ctlError("failed", "interrupted", "interrupted", {
      hint: "the same command goes on where this one stopped",
    });
  }
  if (performance.now() < deadlineMs) return;
  throw new Mem0ctlError("unknown-outcome", "step-timeout", "the time is up, and slots are left to move", {
    why: "what was moved stays moved",
    hint: "the same command goes on where this one stopped; raise --timeout",
  });
}

async function pauseFor(ms: number, { signal }: MoveOptions): Promise<void> {
  const { setTimeout: pause } = await import("node:timers/promises");
  await pause(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}
