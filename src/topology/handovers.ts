// What splits, merges and pins make of a shard map. Each hands a slice of keys from one shard to another: the map
// says so first, while nothing changes for clients; then, once all is there, it says whose the keys are. What is to
// become of a handover that has begun follows from the map alone, so anyone can end it.

import { Mem0ctlError } from "../model/errors.ts";
import type { ShardId } from "../model/ids.ts";
import { stepWords } from "../model/operation.ts";
import type { HandoverStep, Step } from "../model/plan.ts";
import { slotCount } from "../model/shard-map.ts";
import type { Handover, KeySlice, ShardMap, ShardSlice, SlotRange } from "../model/shard-map.ts";
import { keyCompare, shardById, sliceLabel } from "./shard-map.ts";
import { SLOTS, slotOf } from "./slots.ts";

/** As many as the ids of memories can name. */
const SHARDS_MAX = 16_384;

export function isHandoverStep(step: Step): step is HandoverStep {
  return step.kind === "split" || step.kind === "merge" || step.kind === "pin" || step.kind === "unpin";
}

/** Whether a key of the shard that hands over belongs to the slice. */
export function isInSlice(slice: KeySlice, key: string): boolean {
  switch (slice.kind) {
    case "key":
      return slice.key === key;
    case "range":
      return keyCompare(key, slice.start) >= 0 && (slice.end === null || keyCompare(key, slice.end) < 0);
    case "slots": {
      if (slice.also.includes(key)) return true;
      if (slice.except.includes(key)) return false;
      const slot = slotOf(key);
      return slice.slots.some(({ from, to }) => from <= slot && slot <= to);
    }
  }
}

/** What a request for the shard's keys has to name. */
function versionOf({ version }: Pick<ShardSlice, "version">): number {
  return version ?? 0;
}

/** Whether shards were split, merged or pinned since the cluster was founded: its manifest says no more how they are. */
export function hasHandedOver({ nextShard }: ShardMap): boolean {
  return nextShard !== undefined;
}

/** The id of the next shard that is made. */
export function nextShardId({ nextShard, shards }: ShardMap): ShardId {
  return String(nextShard ?? 1 + Math.max(...shards.map(({ id }) => Number(id))));
}

/**
 * The map in which the handover has begun. The very same map where the step is done already, or is this handover.
 * `leaderless`: the copies of both shards hand over each for itself, so they have to be on the same nodes.
 * @throws Mem0ctlError `step-impossible` (invalid) for one that no map of this cluster allows; `step-outdated` (conflict)
 *   where the map is neither before nor after it; `handover-running`, `shard-moving` (conflict) while another one is under
 *   way, or copies of the shards move.
 */
export function mapHandingOver(map: ShardMap, step: HandoverStep, leaderless = false): ShardMap {
  const name = stepWords(step);
  if (map.handover?.name === name || isHandedOver(map, step)) return map;
  if (map.handover !== undefined) {
    throw new Mem0ctlError("conflict", "handover-running", "keys are being handed over already", {
      why: `one handover runs at a time, and now it is: ${map.handover.name}`,
      hint: "watch it with `mem0ctl shards rebalance --watch`, or end it with `mem0ctl shards rebalance --cancel`",
    });
  }
  const epoch = map.epoch + 1;
  const { slice, from, to } = handoverOf(map, step, leaderless);
  // Its memories are where they belong already: only the directory changes.
  const nextShard = Number(nextShardId(map));
  if (from === to && slice.kind === "key") {
    return { ...map, epoch, directory: pinnedAs(map, slice, to), nextShard };
  }
  const isWhole = step.kind === "merge";
  const versions = leaderless ? { versions: versionsBetween(map, step, from, to) } : {};
  const handover: Handover = { id: epoch, name, from, to, slice, isWhole, phase: "copying", ...versions };
  if (shardById(map, to) !== undefined) return { ...map, epoch, handover, nextShard };
  const { replicas, arbiters } = requireShard(map, step, from);
  const edge = slice.kind === "range" ? slice.start : "";
  const made: ShardSlice = {
    id: to,
    slots: [],
    start: edge,
    end: slice.kind === "range" ? edge : null,
    replicas,
    arbiters,
    founding: true,
    founders: [...replicas, ...arbiters].toSorted(),
  };
  return { ...map, epoch, handover, shards: [...map.shards, made], nextShard: Number(to) + 1 };
}

function versionsBetween(
  map: ShardMap,
  step: HandoverStep,
  from: ShardId,
  to: ShardId,
): NonNullable<Handover["versions"]> {
  const giver = requireShard(map, step, from);
  const taker = shardById(map, to);
  for (const shard of [giver, ...(taker === undefined ? [] : [taker])]) {
    if (shard.outgoing !== undefined) throw shardMoving(shard.id);
  }
  const isElsewhere =
    taker !== undefined && giver.replicas.toSorted().join() !== taker.replicas.toSorted().join();
  if (isElsewhere) throw outdated(step, `the copies of shards ${from} and ${to} are not on the same nodes`);
  return { from: versionOf(giver), to: taker === undefined ? null : versionOf(taker) };
}

/** The map in which the slice belongs to the shard that has taken it. */
export function mapHandedOver(map: ShardMap): ShardMap {
  const { handover } = map;
  if (handover?.phase !== "copying") return map;
  const { from, to, slice } = handover;
  const epoch = map.epoch + 1;
  const [giver, taker] = [shardById(map, from), shardById(map, to)];
  if (giver === undefined || taker === undefined) return map;
  const { founding: _, founders: __, ...taking } = { ...taker, version: versionOf(taker) + 1 };
  const giving = { ...giver, version: versionOf(giver) + 1 };
  const exchanged = (given: ShardSlice | undefined, taken: ShardSlice): readonly ShardSlice[] =>
    map.shards.flatMap((shard) => {
      if (shard.id === from) return given === undefined ? [] : [given];
      return [shard.id === to ? taken : shard];
    });
  if (handover.isWhole) {
    const { handover: ___, ...others } = map;
    // Late copies of the taker still have to be made of those of the giver.
    const rest =
      handover.versions === undefined
        ? others
        : { ...map, handover: { ...handover, phase: "dropping" as const } };
    const heirs = Object.entries(map.heirs ?? {}).map(([gone, heir]) => [gone, heir === from ? to : heir]);
    const pins = Object.entries(map.directory).map(([key, shard]) => [key, shard === from ? to : shard]);
    return {
      ...rest,
      epoch,
      directory: Object.fromEntries(pins) as ShardMap["directory"],
      shards: exchanged(undefined, { ...taking, ...together(giver, taker) }),
      heirs: { ...(Object.fromEntries(heirs) as ShardMap["heirs"]), [from]: to },
    };
  }
  switch (slice.kind) {
    case "slots":
      return {
        ...map,
        epoch,
        handover: { ...handover, phase: "dropping" },
        shards: exchanged(
          { ...giving, slots: slotsWithout(giver.slots, slice.slots) },
          { ...taking, slots: joined([...taker.slots, ...slice.slots]) },
        ),
      };
    case "range":
      return {
        ...map,
        epoch,
        handover: { ...handover, phase: "dropping" },
        shards: exchanged({ ...giving, end: slice.start }, { ...taking, start: slice.start, end: slice.end }),
      };
    case "key":
      return {
        ...map,
        epoch,
        handover: { ...handover, phase: "dropping" },
        directory: pinnedAs(map, slice, to),
        shards: exchanged(giving, taking),
      };
  }
}

/** The map once nothing of a handover is left to do: it was given up, or the giver has forgotten the slice. */
export function mapWithoutHandover(map: ShardMap): ShardMap {
  if (map.handover === undefined) return map;
  const { handover: _, ...rest } = map;
  return { ...rest, epoch: map.epoch + 1, shards: map.shards.filter(({ founding }) => founding !== true) };
}

/** The map as the step leaves it: what a plan of several steps goes on from. */
export function mapAfterHandover(map: ShardMap, step: HandoverStep, leaderless = false): ShardMap {
  return mapWithoutHandover(mapHandedOver(mapHandingOver(map, step, leaderless)));
}

/** Whether the map has what the step is to bring. */
export function isHandedOver(map: ShardMap, step: HandoverStep): boolean {
  switch (step.kind) {
    case "split": {
      const made = shardById(map, step.into);
      return made !== undefined && made.founding !== true && versionOf(made) > 0;
    }
    case "merge":
      return shardById(map, step.shard) === undefined && map.heirs?.[step.shard] === step.into;
    case "pin":
      return pinOf(map, step.key) === step.shard;
    case "unpin":
      return pinOf(map, step.key) === undefined;
  }
}

function handoverOf(
  map: ShardMap,
  step: HandoverStep,
  leaderless: boolean,
): Pick<Handover, "slice" | "from" | "to"> {
  switch (step.kind) {
    case "split":
      return splitOf(map, step);
    case "merge":
      return mergeOf(map, step);
    case "pin":
    case "unpin":
      return pinningOf(map, step, leaderless);
  }
}

type SplitStep = Extract<HandoverStep, { readonly kind: "split" }>;

function splitOf(map: ShardMap, step: SplitStep): Pick<Handover, "slice" | "from" | "to"> {
  const { shard: from, into: to, at } = step;
  const shard = requireShard(map, step, from);
  if (Number(to) >= SHARDS_MAX) throw outdated(step, `there can be no more than ${SHARDS_MAX} shards`);
  if (to !== nextShardId(map)) throw outdated(step, `the next shard that is made is ${nextShardId(map)}`);
  if (map.strategy === "range") {
    const isInside = keyCompare(at, shard.start) > 0 && (shard.end === null || keyCompare(at, shard.end) < 0);
    if (!isInside) throw outdated(step, `${at} is no key inside of shard ${from}`);
    return { from, to, slice: { kind: "range", start: at, end: shard.end } };
  }
  if (!/^\d{1,5}$/.test(at) || Number(at) >= SLOTS) {
    throw impossible(step, `${JSON.stringify(at)} is no slot: they are numbers from 0 to ${SLOTS - 1}`);
  }
  const slice = slotsCutOff(map, from, Number(at));
  if (slice.slots.length === 0 || slotCount(slice.slots) === slotCount(shard.slots)) {
    throw outdated(
      step,
      `${at} is no slot that leaves both shards some: it has ${sliceLabel(shard, map.strategy)}`,
    );
  }
  return { from, to, slice };
}

/** What goes with a shard's slots from `first` on: all but the keys that are pinned to it. */
export function slotsCutOff(
  map: ShardMap,
  shard: ShardId,
  first: number,
): KeySlice & { readonly kind: "slots" } {
  const slots = slotsFrom(shardById(map, shard)?.slots ?? [], first);
  return { kind: "slots", slots, except: pinnedTo(map, shard), also: [] };
}

function mergeOf(
  map: ShardMap,
  step: Extract<HandoverStep, { readonly kind: "merge" }>,
): Pick<Handover, "slice" | "from" | "to"> {
  const { shard: from, into: to } = step;
  if (from === to) throw impossible(step, "they are one shard");
  const [giver, taker] = [requireShard(map, step, from), requireShard(map, step, to)];
  if (map.strategy === "range" && giver.end !== taker.start && taker.end !== giver.start) {
    throw outdated(step, "they are no neighbours: keys of other shards lie between them");
  }
  if (map.strategy === "range")
    return { from, to, slice: { kind: "range", start: giver.start, end: giver.end } };
  const also = pinnedTo(map, from);
  const except = Object.keys(map.directory).filter((key) => !also.includes(key));
  return { from, to, slice: { kind: "slots", slots: giver.slots, except, also } };
}

function pinningOf(
  map: ShardMap,
  step: Extract<HandoverStep, { readonly kind: "pin" | "unpin" }>,
  leaderless: boolean,
): Pick<Handover, "slice" | "from" | "to"> {
  const { key } = step;
  if (map.strategy !== "directory") {
    throw impossible(
      step,
      `keys are pinned with directory sharding only, and this cluster has ${map.strategy}`,
    );
  }
  const slot = slotOf(key);
  const hashed = map.shards.find(({ slots }) => slots.some(({ from, to }) => from <= slot && slot <= to));
  const own = hashed?.id ?? "";
  // A key on its way to copies on other nodes is a shard of its own meanwhile.
  const isNew = leaderless && step.kind === "pin" && step.shard === nextShardId(map);
  const to = step.kind === "unpin" ? own : isNew ? step.shard : requireShard(map, step, step.shard).id;
  const from = pinOf(map, key) ?? own;
  return { from, to, slice: { kind: "key", key, pinned: step.kind === "pin" } };
}

function pinnedAs(
  map: ShardMap,
  { key, pinned }: KeySlice & { readonly kind: "key" },
  shard: ShardId,
): ShardMap["directory"] {
  const others = Object.entries(map.directory).filter(([other]) => other !== key);
  return Object.fromEntries(pinned ? [...others, [key, shard]] : others);
}

function pinOf(map: ShardMap, key: string): ShardId | undefined {
  return Object.hasOwn(map.directory, key) ? map.directory[key] : undefined;
}

function pinnedTo({ directory }: ShardMap, shard: ShardId): string[] {
  return Object.keys(directory).filter((key) => directory[key] === shard);
}

/** The slot at which a shard's slots are halved; undefined where it has only one. */
export function middleSlot(slots: readonly SlotRange[]): number | undefined {
  const count = slotCount(slots);
  if (count < 2) return undefined;
  let before = Math.ceil(count / 2);
  for (const { from, to } of slots.toSorted((a, b) => a.from - b.from)) {
    const here = to - from + 1;
    if (before < here) return from + before;
    before -= here;
  }
  return undefined;
}

function slotsFrom(slots: readonly SlotRange[], first: number): SlotRange[] {
  if (!Number.isInteger(first) || first < 0 || first >= SLOTS) return [];
  return slots.flatMap(({ from, to }) => (to < first ? [] : [{ from: Math.max(from, first), to }]));
}

/** What is left of `slots` without `gone`, whose ranges each lie in one of them. */
function slotsWithout(slots: readonly SlotRange[], gone: readonly SlotRange[]): SlotRange[] {
  let left = [...slots];
  for (const { from, to } of gone) {
    left = left.flatMap((range) => {
      if (to < range.from || from > range.to) return [range];
      return [
        ...(from > range.from ? [{ from: range.from, to: from - 1 }] : []),
        ...(to < range.to ? [{ from: to + 1, to: range.to }] : []),
      ];
    });
  }
  return left;
}

/** In order, and ranges that touch as one. */
function joined(slots: readonly SlotRange[]): SlotRange[] {
  const ordered: SlotRange[] = [];
  for (const range of slots.toSorted((a, b) => a.from - b.from)) {
    const last = ordered.at(-1);
    if (last !== undefined && last.to + 1 === range.from)
      ordered[ordered.length - 1] = { from: last.from, to: range.to };
    else ordered.push(range);
  }
  return ordered;
}

function together(giver: ShardSlice, taker: ShardSlice): Pick<ShardSlice, "slots" | "start" | "end"> {
  const slots = joined([...giver.slots, ...taker.slots]);
  if (slots.length > 0 || (giver.start === "" && giver.end === null)) return { slots, start: "", end: null };
  return giver.end === taker.start
    ? { slots, start: giver.start, end: taker.end }
    : { slots, start: taker.start, end: giver.end };
}

/** While keys of it are being handed over, or its copies move. */
export function shardMoving(shard: ShardId): Mem0ctlError {
  return new Mem0ctlError("conflict", "shard-moving", `the copies of shard ${shard} are still changing`, {
    why: "one change at a time keeps every two quorums in touch",
    hint: "wait until `mem0ctl status` shows no shard that moves, then try again",
    data: { shard },
  });
}

function requireShard(map: ShardMap, step: HandoverStep, id: ShardId): ShardSlice {
  const shard = shardById(map, id);
  if (shard === undefined) throw outdated(step, `there is no shard ${id}`);
  if (shard.founding === true) throw outdated(step, `shard ${id} is only being made`);
  return shard;
}

function impossible(step: HandoverStep, why: string): Mem0ctlError {
  return new Mem0ctlError("invalid", "step-impossible", `cannot ${stepWords(step)}`, { why });
}

function outdated(step: HandoverStep, why: string): Mem0ctlError {
  return new Mem0ctlError("conflict", "step-outdated", `cannot ${stepWords(step)}`, {
    why,
    hint: "look at `mem0ctl shards list`",
  });
}
