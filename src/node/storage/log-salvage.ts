// What can be had from a log that is damaged: pure, bytes in, records out. Entries are taken from before the
// damage alone. Behind it a frame may be missing that dropped or replaced some of them, and a log that is
// put together from both sides would claim to agree with its leader where it does not. From behind come
// only what can do no harm: facts, each of which stands for itself, higher terms, newer places of the state, that a
// replica is gone.

import type { GroupId } from "../../model/ids.ts";
import { readAnyFrame } from "./log-frames.ts";
import { newerHardState, readRecords } from "./log-records.ts";
import type { GroupLog, GroupRecord, LogWrite } from "./log-store.ts";

export interface Salvage {
  readonly groups: ReadonlyMap<GroupId, GroupLog>;
  readonly facts: ReadonlyMap<string, unknown>;
  /** Byte at which the first damage lies. */
  readonly damagedAt: number;
  /** Frames that could be read, and bytes that could not. */
  readonly frames: number;
  readonly bytesLost: number;
}

interface Frame {
  readonly payload: Buffer;
  readonly sequence: number;
  readonly at: number;
  readonly end: number;
}

/**
 * Every frame that can be read, in the order in which they were written, not that of their places: a disk may have
 * put one in the place of another, and those between are whole (misdirected writes; Bairavasundaram et al., "An
 * Analysis of Data Corruption in the Storage Stack", FAST 2008).
 */
function framesOf(bytes: Buffer): readonly Frame[] {
  const frames: Frame[] = [];
  let at: number | undefined = 0;
  while (at !== undefined) {
    const frame = readAnyFrame(bytes, at);
    if (frame !== undefined) frames.push({ ...frame, at });
    // A frame begins with certain bytes; anything else is passed over at once.
    at = frame?.end ?? nextFrameAt(bytes, at + 1);
  }
  return frames.toSorted((one, other) => one.sequence - other.sequence);
}

function nextFrameAt(bytes: Buffer, from: number): number | undefined {
  const magic = Buffer.from("4d306c67", "hex");
  const at = bytes.indexOf(magic, from);
  return at === -1 ? undefined : at;
}

/** Reads what there is of a damaged log. Every group in it is marked: its promises may not be all. */
export function salvageLog(bytes: Buffer): Salvage {
  const groups = new Map<GroupId, GroupLog>();
  const facts = new Map<string, unknown>();
  let damagedAt: number | undefined;
  let frames = 0;
  let read = 0;
  let sequence = 0;
  let end = 0;
  for (const frame of framesOf(bytes)) {
    if (frame.sequence !== sequence + 1 || frame.at !== end) damagedAt ??= end;
    sequence = frame.sequence;
    end = Math.max(end, frame.end);
    frames += 1;
    read += frame.end - frame.at;
    for (const one of readRecords(frame.payload)) {
      if (!take(one, groups, facts, damagedAt !== undefined)) damagedAt ??= frame.at;
    }
  }
  damagedAt ??= end;
  for (const log of groups.values()) log.record = marked(log.record, log.record.recovery?.refill === true);
  const tail = bytes.subarray(end);
  const used = tail.equals(Buffer.alloc(tail.length)) ? end : bytes.length;
  return { groups, facts, damagedAt, frames, bytesLost: Math.max(0, used - read) };
}

/** A group's record with the mark of one whose log was damaged; an earlier attempt's term is not its term. */
export function marked(record: GroupRecord, refill: boolean): GroupRecord {
  return { ...record, recovery: { refill } };
}

/** False when a record does not follow from those before it: that, too, is damage. */
function take(
  one: LogWrite,
  groups: Map<GroupId, GroupLog>,
  facts: Map<string, unknown>,
  isBehind: boolean,
): boolean {
  if (one.kind === "fact") {
    facts.set(one.name, one.value);
    return true;
  }
  const log = groups.get(one.group);
  switch (one.kind) {
    case "remove":
      groups.delete(one.group);
      return true;
    case "promise":
      if (log !== undefined) withHardState(log, one.hardState);
      return true;
    case "truncate":
      if (log !== undefined) {
        const kept = Math.max(0, one.from - 1 - log.record.snapshot.index);
        log.entries.length = Math.min(log.entries.length, kept);
      }
      return true;
    case "entries":
      if (log === undefined || isBehind) return true;
      for (const entry of one.entries) {
        if (entry.index !== log.record.snapshot.index + log.entries.length + 1) return false;
        log.entries.push(entry);
      }
      return true;
    case "group":
      if (log === undefined) {
        // Behind the damage, it is not known what came before it.
        const record = isBehind ? marked(one.record, true) : one.record;
        groups.set(one.group, { record, entries: [] });
      } else takeRecord(log, one.record, isBehind);
      return true;
  }
}

function takeRecord(log: GroupLog, record: GroupRecord, isBehind: boolean): void {
  const before = log.record;
  const dropped = record.snapshot.index - before.snapshot.index;
  const isOther = record.generation !== before.generation;
  if (isBehind) {
    // The commit index counts only with the entries that it spoke of.
    withHardState(log, record.hardState);
    log.record = { ...log.record, generation: Math.max(before.generation, record.generation) };
    if (isOther || dropped !== 0) log.record = marked(log.record, true);
    return;
  }
  if (isOther && dropped !== 0) log.entries = [];
  else if (dropped > 0) log.entries.splice(0, dropped);
  log.record = { ...record, hardState: newerHardState(before.hardState, record.hardState) };
}

function withHardState(log: GroupLog, hardState: GroupRecord["hardState"]): void {
  const { commit } = log.record.hardState;
  log.record = {
    ...log.record,
    hardState: { ...newerHardState(log.record.hardState, hardState), commit },
  };
}
