// Slots that a move left open, ours or anybody's: completed or rolled back by rule, and never by a guess.
// What the rules rest on: a slot that is open takes new keys on the target's side only, and a key that is
// on the source's side is served from there. So keys are in danger only where one side is closed.
//
//   both sides are open                          completed
//   only the source, the target holds no key     rolled back: nothing was moved
//   only the source, the target holds keys       opened there again, and completed
//   only the target, the source owns the slot:   the same two, the other way round
//   the target owns the slot already             what the source still holds is moved, both are closed
//   anything else                                left, and said: another owner, or an end that is silent

import { Mem0ctlError } from "../../model/errors.ts";
import { keysIn, moveKeys, setSlot } from "./slot-moves.ts";
import type { End, MoveOptions } from "./slot-moves.ts";
import type { Member, OpenSlotFound, RedisTopology } from "./topology.ts";

export interface Settled {
  readonly slot: number;
  readonly outcome: "completed" | "rolled-back" | "closed" | "left";
  /** Which rule, and on what it rests. */
  readonly why: string;
}

/** @param endOf the connection to a member that answers. */
export async function settleOpenSlots(
  topology: RedisTopology,
  endOf: (member: Member) => Promise<End>,
  options: MoveOptions,
  onSettled: (settled: Settled) => void,
): Promise<readonly Settled[]> {
  const all: Settled[] = [];
  for (const open of topology.open) {
    if (options.signal?.aborted === true) throw new Mem0ctlError("failed", "interrupted", "interrupted");
    const settled = { slot: open.slot, ...(await settle(open, topology, endOf, options)) };
    all.push(settled);
    onSettled(settled);
  }
  return all;
}

async function settle(
  open: OpenSlotFound,
  topology: RedisTopology,
  endOf: (member: Member) => Promise<End>,
  options: MoveOptions,
): Promise<Omit<Settled, "slot">> {
  const { slot } = open;
  const named = (redisId: string | undefined): Member | undefined =>
    topology.members.find((member) => redisId !== undefined && member.redisId === redisId);
  const source = open.source ?? named(open.targetNames);
  const target = open.target ?? named(open.sourceNames);
  if (source?.report === undefined || target?.report === undefined) {
    const silent = source?.report === undefined ? (source?.id ?? "its source") : (target?.id ?? "its target");
    return { outcome: "left", why: `${silent} does not answer, and may hold some of its keys` };
  }
  const agree =
    (open.sourceNames ?? target.redisId) === target.redisId &&
    (open.targetNames ?? source.redisId) === source.redisId;
  if (!agree) return { outcome: "left", why: "its two sides name different partners" };
  const [from, to] = [await endOf(source), await endOf(target)];
  const owner = topology.ownerOf(slot);
  const finish = async (): Promise<number> => {
    const moved = await moveKeys(from, to, [slot], { keys: 20 }, options);
    await setSlot(to, slot, ["NODE", to.redisId], options);
    await setSlot(from, slot, ["NODE", to.redisId], options);
    return moved;
  };

  if (owner === to.redisId) {
    const left = await keysIn(from, slot, options);
    // The source takes MIGRATE for a slot that it gave away only while it has it open.
    if (left > 0 && open.source === undefined) await setSlot(from, slot, ["MIGRATING", to.redisId], options);
    await finish();
    return { outcome: "closed", why: `${to.node} owns it already; ${left} keys were left on ${from.node}` };
  }
  if (owner !== from.redisId) {
    return { outcome: "left", why: `its owner is neither ${from.node} nor ${to.node}` };
  }
  if (open.source !== undefined && open.target !== undefined) {
    const moved = await finish();
    return {
      outcome: "completed",
      why: `it was open on ${from.node} and ${to.node}; ${moved} keys were still to move`,
    };
  }
  // Redis 8.4 counts no keys of a slot that is neither its own nor open: what it holds would look like nothing.
  if (open.target === undefined) await setSlot(to, slot, ["IMPORTING", from.redisId], options);
  const there = await keysIn(to, slot, options);
  if (there === 0) {
    await setSlot(to, slot, "STABLE", options);
    if (open.source !== undefined) await setSlot(from, slot, "STABLE", options);
    return {
      outcome: "rolled-back",
      why: `only ${open.source === undefined ? to.node : from.node} had it open, and ${to.node} holds none of its keys`,
    };
  }
  await setSlot(from, slot, ["MIGRATING", to.redisId], options);
  const moved = await finish();
  return {
    outcome: "completed",
    why: `only ${open.source === undefined ? to.node : from.node} had it open, but ${there} of its keys are on ${to.node}; ${moved} followed`,
  };
}
