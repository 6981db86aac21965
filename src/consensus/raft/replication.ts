// Log replication (Raft 5.3, 5.4.2): becoming a leader, appending, sending, acknowledging, committing,
// heartbeats. It knows nothing of how leaders are chosen.

import type { NodeId } from "../../model/ids.ts";
import { restartElectionTimer } from "../election-timer.ts";
import { dataMembersOf, isVoter } from "../membership.ts";
import { entryBytes, proposedBytes } from "../inflight-window.ts";
import { committedIndex } from "../quorum-math.ts";
import type { Entry, EntryKind, Proposal } from "../seam.ts";
import type { Append, AppendAccepted, AppendRejected, Heartbeat, HeartbeatResponse } from "./messages.ts";
import type { Progress } from "./progress.ts";
import { becomeFollower } from "./roles.ts";
import { alignProgress, heldBy, isActive, type Leading, type RaftState } from "./state.ts";

const NO_DATA = new Uint8Array(0);

/** Won the election of `state.term`: opens the term with a no-op and tells everybody (13). */
export function becomeLeader(state: RaftState): void {
  let uncommittedBytes = 0;
  for (let index = state.commit + 1; index <= state.log.lastIndex; index += 1) {
    const entry = state.log.entry(index);
    if (entry !== undefined) uncommittedBytes += proposedBytes(entry);
  }
  const leading: Leading = {
    opening: state.log.lastIndex + 1,
    progress: new Map<NodeId, Progress>(),
    uncommittedBytes,
    round: 0,
    waitingReads: [],
    reading: undefined,
    transfer: undefined,
    triedTransferTo: "",
    plan: undefined,
  };
  state.campaign = undefined;
  state.leading = leading;
  state.leader = state.id;
  state.campaignsLost = 0;
  alignProgress(state, leading);
  appendOwn(state, leading, "noop", NO_DATA);
}

/** Adds one entry of the leader's own making and sends it. */
export function appendOwn(state: RaftState, leading: Leading, kind: EntryKind, data: Uint8Array): void {
  appendAsLeader(state, leading, [{ index: state.log.lastIndex + 1, term: state.term, kind, data }]);
}

/** Takes proposals into the log, as many as the bound on uncommitted bytes allows, and sends them. */
export function propose(state: RaftState, proposals: readonly Proposal[]): void {
  const { leading } = state;
  if (leading === undefined || leading.transfer !== undefined || state.options.arbiter || isLetGo(state)) {
    const reason = leading === undefined ? "not-leader" : "transferring";
    for (const { context } of proposals) state.effects.refuse(context, reason, state.leader);
    return;
  }
  const entries: Entry[] = [];
  let index = state.log.lastIndex;
  for (const { data, context } of proposals) {
    // One that is larger than the whole bound still passes when nothing else waits.
    const bytes = leading.uncommittedBytes + data.byteLength;
    if (leading.uncommittedBytes > 0 && bytes > state.options.uncommittedBytesMax) {
      state.effects.refuse(context, "overloaded", state.leader);
      continue;
    }
    index += 1;
    leading.uncommittedBytes = bytes;
    entries.push({ index, term: state.term, kind: "command", data });
    state.effects.accept(context, index, state.term);
  }
  if (entries.length > 0) appendAsLeader(state, leading, entries);
}

/**
 * The membership at the end of the log is without this leader (37). It goes when that is committed: with nothing
 * behind it, somebody has everything by then and can be named its successor, and nobody waits for an election.
 */
function isLetGo(state: RaftState): boolean {
  return !isVoter(state.memberships.current, state.id);
}

function appendAsLeader(state: RaftState, leading: Leading, entries: readonly Entry[]): void {
  state.memberships.append(entries);
  // Before the log grows, so that new members are sent the entry that names them.
  if (entries.some((entry) => entry.kind === "config")) alignProgress(state, leading);
  state.log.append(entries);
  state.effects.append(entries);
  for (const progress of leading.progress.values()) sendAppends(state, progress);
}

/** Sends what the follower lacks, as far as its state and window allow. True when anything was sent. */
export function sendAppends(state: RaftState, progress: Progress): boolean {
  const { log, options, effects } = state;
  const { window } = progress;
  let sent = false;
  while (progress.next <= log.lastIndex) {
    if (progress.state === "snapshot" || (progress.state === "probing" && progress.probeSent)) break;
    if (window.messages >= options.inflightMessagesMax || window.bytes >= options.inflightBytesMax) break;
    if (log.term(progress.next - 1) === undefined) {
      // An arbiter has no state to give away, and a peer that does not answer could not take it.
      if (options.arbiter || !isActive(state, progress)) break;
      progress.awaitSnapshot();
      effects.wantSnapshot(progress.node, state.term);
      break;
    }
    const entries = log.batch(progress.next, options.appendBytesMax);
    sendAppend(state, progress, progress.next - 1, entries);
    sent = true;
    if (progress.state === "probing") break;
    let bytes = 0;
    for (const entry of entries) bytes += entryBytes(entry);
    progress.next += entries.length;
    window.add(progress.next - 1, bytes);
  }
  return sent;
}

function sendAppend(
  state: RaftState,
  progress: Progress,
  prevIndex: number,
  entries: readonly Entry[],
): void {
  progress.probeSent = true;
  state.effects.send({
    kind: "append",
    from: state.id,
    to: progress.node,
    term: state.term,
    prevIndex,
    prevTerm: state.log.term(prevIndex) ?? 0,
    commit: state.commit,
    entries,
  });
}

/** A follower's part of `append`: verify, truncate on conflict only, append, acknowledge after the flush. */
export function handleAppend(state: RaftState, message: Append): void {
  if (!follow(state, message.from)) return;
  const { log } = state;
  let { entries, prevIndex } = message;
  if (prevIndex > log.lastIndex || (prevIndex >= log.baseIndex && log.term(prevIndex) !== message.prevTerm)) {
    reject(state, message);
    return;
  }
  if (prevIndex < log.baseIndex) {
    // What a snapshot or compaction covers is committed, so it equals what every later leader has.
    entries = entries.slice(log.baseIndex - prevIndex);
    prevIndex = log.baseIndex;
  }
  const verified = prevIndex + entries.length;
  let position = 0;
  while (position < entries.length) {
    const entry = entries[position];
    if (entry === undefined || log.term(entry.index) !== entry.term) break;
    position += 1;
  }
  const news = position === 0 ? entries : entries.slice(position);
  const first = news[0];
  if (first !== undefined) {
    if (first.index <= log.lastIndex) {
      // No leader contradicts what is committed: whoever sent this is not one (17).
      if (first.index <= state.commit) return;
      log.truncate(first.index);
      state.memberships.truncate(first.index);
      state.durability.truncated(first.index);
      state.effects.truncate(first.index);
    }
    log.append(news);
    state.memberships.append(news);
    state.effects.append(news);
  }
  commitTo(state, Math.min(message.commit, verified));
  state.effects.promise({
    kind: "append-accepted",
    from: state.id,
    to: message.from,
    term: state.term,
    index: verified,
  });
}

function reject(state: RaftState, message: Append): void {
  const { log } = state;
  const hintIndex = log.lastNotAfter(message.prevIndex, message.prevTerm);
  state.effects.send({
    kind: "append-rejected",
    from: state.id,
    to: message.from,
    term: state.term,
    index: message.prevIndex,
    hintIndex,
    hintTerm: log.term(hintIndex) ?? 0,
  });
}

/** Takes `from` as the leader of the current term. False when that cannot be, for this replica leads it. */
export function follow(state: RaftState, from: NodeId): boolean {
  if (state.leading !== undefined) return false;
  if (state.leader === from && state.campaign === undefined) {
    state.electionElapsed = 0;
    state.campaignsLost = 0;
    return true;
  }
  becomeFollower(state, state.term, from);
  restartElectionTimer(state);
  return true;
}

export function handleAppendAccepted(state: RaftState, leading: Leading, message: AppendAccepted): void {
  const progress = leading.progress.get(message.from);
  if (progress === undefined || message.index > state.log.lastIndex) return;
  progress.heardTick = state.tick;
  const moved = message.index > progress.match;
  if (moved) {
    progress.match = message.index;
    progress.next = Math.max(progress.next, progress.match + 1);
  }
  progress.window.release(message.index);
  if (progress.state === "probing" && message.index >= progress.match) progress.replicate();
  else if (progress.state === "snapshot" && progress.match >= state.log.baseIndex) progress.replicate();
  if (moved) advanceCommit(state, leading);
  sendAppends(state, progress);
}

export function handleAppendRejected(state: RaftState, leading: Leading, message: AppendRejected): void {
  const progress = leading.progress.get(message.from);
  if (progress === undefined) return;
  progress.heardTick = state.tick;
  // Late answers: what it holds by now reaches further, or another probe is out already (4, 20).
  if (progress.state === "snapshot" || message.index <= progress.match) return;
  if (progress.state === "replicating") {
    progress.probe(progress.match + 1);
  } else {
    if (message.index !== progress.next - 1) return;
    const agree = Math.min(message.hintIndex, message.index - 1);
    // Below the base nothing is known here: the hint alone decides, and a snapshot bridges the gap.
    progress.probe(Math.min(agree, state.log.lastNotAfter(agree, message.hintTerm)) + 1);
  }
  sendAppends(state, progress);
}

/** Only entries of the current term are committed by counting (12); a leader counts what it flushed (14). */
export function advanceCommit(state: RaftState, leading: Leading): void {
  const index = committedIndex(state.memberships.current, (node) => heldBy(state, leading, node));
  if (index > state.commit && state.log.term(index) === state.term) commitTo(state, index);
}

/** Commit never passes the end of the log, whatever a peer says, and never goes back. */
export function commitTo(state: RaftState, index: number): void {
  if (index > state.commit && index <= state.log.lastIndex) state.commit = index;
}

/** One heartbeat to everybody: commit, the newest read round. */
export function broadcastHeartbeat(state: RaftState, leading: Leading): void {
  const { arbiters } = state.memberships.current;
  for (const progress of leading.progress.values()) {
    state.effects.send({
      kind: "heartbeat",
      from: state.id,
      to: progress.node,
      term: state.term,
      commit: Math.min(state.commit, progress.match),
      round: leading.round,
      heldByAll: arbiters.includes(progress.node) ? heldByAllData(state, leading) : 0,
    });
  }
}

/**
 * The index up to which every member with data holds the log. A learner counts: made a voter, it may soon be the only
 * one besides the arbiter.
 */
export function heldByAllData(state: RaftState, leading: Leading): number {
  let held = state.log.lastIndex;
  for (const node of dataMembersOf(state.memberships.current)) {
    held = Math.min(held, heldBy(state, leading, node));
  }
  return held;
}

export function handleHeartbeat(state: RaftState, message: Heartbeat): void {
  if (!follow(state, message.from)) return;
  commitTo(state, message.commit);
  state.heldByAll = Math.max(state.heldByAll, message.heldByAll);
  const { id, term } = state;
  state.effects.send({ kind: "heartbeat-response", from: id, to: message.from, term, round: message.round });
}

export function handleHeartbeatResponse(
  state: RaftState,
  leading: Leading,
  message: HeartbeatResponse,
): void {
  const progress = leading.progress.get(message.from);
  if (progress === undefined) return;
  progress.heardTick = state.tick;
  if (message.round <= leading.round) progress.round = Math.max(progress.round, message.round);
  if (progress.state === "snapshot") return;
  // One that was given up and has everything still has to say so to be replicated to again.
  if (progress.state === "replicating" && progress.match >= state.log.lastIndex) return;
  // It is alive but behind: an append or its answer may have been lost. Send what is due; where the
  // window is full or everything was sent, an empty append finds out, for it is rejected or acknowledged.
  progress.probeSent = false;
  const before = progress.state;
  if (sendAppends(state, progress) || progress.state !== before) return;
  // Compaction may have passed what was sent; then the base is what to ask about.
  sendAppend(state, progress, Math.max(progress.next - 1, state.log.baseIndex), []);
}
