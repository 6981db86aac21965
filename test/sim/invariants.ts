// What must hold in every step of every run, whatever the faults. Replicas are looked at from outside: through
// their status, their logs in memory, the bytes that reached their disks, the messages that they send. Each
// invariant has a name that a violation reports; RELIABILITY's numbers are in the comments.

import { hasQuorum } from "./quorums.ts";
import { decodeMembership, sameNodes } from "../../src/consensus/membership.ts";
import type { Entry, Membership, Message, Replica, ReplicaStatus } from "../../src/consensus/seam.ts";
import { META_GROUP, type GroupId, type NodeId, type ShardId } from "../../src/model/ids.ts";
import type { ShardMap } from "../../src/model/shard-map.ts";
import type { NodeCore } from "../../src/node/core.ts";
import type { GroupRecord, LogStore } from "../../src/node/storage/log-store.ts";
import { checkShardMap } from "../../src/topology/shard-map.ts";
import type { DiskWatch } from "./disk.ts";
import type { Machine, Process } from "./machine.ts";
import { digestOf, type Mirror } from "./mirror.ts";
import type { World } from "./world.ts";

interface Fact {
  readonly term: number;
  readonly digest: number;
  /** In whose reign it was committed: a leader of an earlier term, elected late, need not have it. */
  readonly reign: number;
}

/** What was ever true of a group. */
class GroupHistory {
  /** Of a multi-paxos group: a slot may be accepted again, and what is before it says nothing. */
  isPaxos = false;
  /** Entries by index and term. */
  readonly entries = new Map<string, { readonly digest: number; readonly prevTerm: number | undefined }>();
  readonly committed = new Map<number, Fact>();
  readonly leaders = new Map<number, NodeId>();
  readonly votes = new Map<string, NodeId>();
  /** The highest round that a node has spoken for, of paxos. */
  readonly promised = new Map<NodeId, number>();
  /** State digest by applied index. */
  readonly states = new Map<number, number>();
  committedTo = 0;
  membership: { readonly index: number; readonly value: Membership } | undefined;
}

/** What a process's replica showed last. */
interface Sight {
  readonly status: ReplicaStatus;
  readonly replica: Replica;
}

export interface InvariantLimits {
  readonly logBytesMax: number;
  /** Whether a group is no more, by the newest map. */
  readonly isOver: (group: GroupId) => boolean;
}

/** Ticks come every 25 ms of a clock that is at most 5 % wrong. */
const TICKS_APART_MS_MAX = 500;
/** As every protocol bounds what an arbiter keeps for a member that lacks it; what none lacks is looked at apart. */
const ARBITER_LOG_BYTES_MAX = 64 << 20;
/** The same of who brings an arbiter up to date in paxos, beside what may come before its host looks at the log. */
const BESIDE_ARBITER_LOG_BYTES_MAX = 16 << 20;

export class Invariants {
  /** Told whoever is the first to know a map. */
  onNewMap: ((name: NodeId) => void) | undefined;
  readonly #world: World;
  readonly #machines: ReadonlyMap<NodeId, Machine>;
  readonly #limits: InvariantLimits;
  readonly #groups = new Map<GroupId, GroupHistory>();
  readonly #sights = new WeakMap<Process, Map<GroupId, Sight>>();
  readonly #maps = new Map<number, string>();
  /** How many copies a shard has ever had. */
  readonly #copies = new Map<ShardId, Set<number>>();
  /** Who has ever had a connection, and may have promised something. */
  readonly #linked = new Set<NodeId>();
  readonly #mapSeen = new WeakMap<Process, ShardMap>();

  constructor(world: World, machines: ReadonlyMap<NodeId, Machine>, limits: InvariantLimits) {
    this.#world = world;
    this.#machines = machines;
    this.#limits = limits;
  }

  /** What a machine's disk tells. */
  diskWatch(name: NodeId): DiskWatch {
    return {
      name,
      onRecord: (group, record, isNew) => this.#onRecord(name, group, record, isNew),
      onEntry: (group, entry, prevTerm) => this.#onEntry(name, group, entry, prevTerm),
      onState: (group, generation, applied, digest) => {
        // A snapshot that is being staged is the state of nothing yet.
        const record = this.#machines.get(name)?.process?.log?.groups.get(group)?.record;
        if (record?.generation === generation) this.#onState(name, group, applied, digest);
      },
    };
  }

  /** A started process has everything that its disk had for certain. */
  onStarted(process: Process, log: LogStore): void {
    const machine = this.#machines.get(process.name);
    const mirror = machine?.disk.mirror;
    if (mirror === undefined || machine?.loss === "damaged") return;
    for (const [group, held] of mirror.groups) {
      const found = log.groups.get(group);
      const last = found === undefined ? -1 : found.record.snapshot.index + found.entries.length;
      this.#world.must(
        last >= held.record.snapshot.index + held.entries.length &&
          (found?.record.hardState.term ?? -1) >= held.record.hardState.term,
        "recovery-complete",
        () => `${process.name} started without part of what was on its disk of group ${group}`,
      );
    }
  }

  /** Looks at a process after one of its events. */
  look(process: Process): void {
    const core = process.running;
    // One that lost its data before it had a connection may begin anew.
    if (core === undefined || this.#machines.get(process.name)?.loss === "wiped") return;
    this.#lookAtMap(process, core);
    if (core.host.groups.size === 0) process.tickedMs = this.#world.nowMs;
    const since = Math.max(process.tickedMs, process.pausedUntilMs);
    this.#world.must(
      this.#world.nowMs - since <= TICKS_APART_MS_MAX,
      "time-goes-on",
      () => `${process.name} has given its replicas no tick for ${this.#world.nowMs - since} ms`,
    );
    this.#lookAtLog(process, core);
    let sights = this.#sights.get(process);
    const hasRestarted = sights === undefined;
    if (sights === undefined) {
      sights = new Map();
      this.#sights.set(process, sights);
    }
    for (const group of core.host.groups.values()) {
      const status = group.replica.status();
      const sight = sights.get(group.id);
      // One that recovers from damage of its log begins again as another.
      const before = sight?.replica === group.replica ? sight.status : undefined;
      sights.set(group.id, { status, replica: group.replica });
      if (hasRestarted) this.#lookAtRestart(process.name, group.id, status);
      this.#lookAtReplica(process, core, group.id, status, before);
    }
    if (sights.size > core.host.groups.size) {
      for (const id of sights.keys()) {
        if (core.host.groups.has(id)) continue;
        sights.delete(id);
        // What comes back under its name is another replica, which begins with nothing.
        this.#historyOf(id).promised.delete(process.name);
      }
    }
  }

  /** A message that leaves: promises about the disk must be true by now (Raft 1, 14, 15). */
  onSend(from: NodeId, to: NodeId, group: GroupId, message: Message): void {
    if (this.#world.isTraced && !QUIET.has(message.kind)) {
      this.#world.note(from, `  to ${to}, ${group}: ${wordsOfMessage(message)}`);
    }
    const machine = this.#machines.get(from);
    const mirror = machine?.disk.mirror;
    // A replica that was moved away promises nothing any more; what it said before it went may still leave.
    if (mirror?.groups.has(group) !== true && machine?.process?.log?.groups.has(group) !== true) return;
    switch (message.kind) {
      case "vote-response": {
        if (Reflect.get(message, "granted") !== true) return;
        const hard = mirror?.groups.get(group)?.record.hardState;
        this.#world.must(
          hard !== undefined &&
            (hard.term > message.term || (hard.term === message.term && hard.vote === to)),
          "vote-on-disk",
          () => `${from} votes for ${to} in term ${message.term} of ${group} and has not flushed it`,
        );
        return;
      }
      case "prepare":
      case "promise": {
        const hard = mirror?.groups.get(group)?.record.hardState;
        this.#world.must(
          hard !== undefined && hard.term >= message.term,
          "ballot-on-disk",
          () => `${from} speaks of round ${message.term} of ${group} to ${to} and has not flushed it`,
        );
        const { promised } = this.#historyOf(group);
        promised.set(from, Math.max(message.term, promised.get(from) ?? 0));
        return;
      }
      case "accepted": {
        this.#world.must(
          message.term >= (this.#historyOf(group).promised.get(from) ?? 0),
          "accepts-nothing-lower",
          () => `${from} accepts in round ${message.term} of ${group} after it promised a higher one`,
        );
        const last = Number(Reflect.get(message, "last"));
        for (let index = Number(Reflect.get(message, "first")); index <= last; index += 1) {
          this.#world.must(
            (mirror?.acceptedIn(group, index) ?? 0) > 0,
            "accept-on-disk",
            () =>
              `${from} accepted slot ${index} of ${group} in round ${message.term} and has not flushed it`,
          );
        }
        return;
      }
      case "append-accepted": {
        const index = Number(Reflect.get(message, "index"));
        // What it held when it said so may be replaced in the same flush, by a leader of a later term: that one was
        // elected by a majority, each of which had or had not acknowledged before it voted.
        const isReplaced = (mirror?.groups.get(group)?.record.hardState.term ?? 0) > message.term;
        this.#world.must(
          isReplaced || (mirror?.lastOf(group) ?? -1) >= index,
          "append-on-disk",
          () =>
            `${from} acknowledges ${index} of ${group} to ${to}; ${mirror?.lastOf(group) ?? "nothing"} is on disk`,
        );
        return;
      }
      default:
    }
  }

  /** A node that lost its data is no member under its old id (Raft 38), whoever had met it before. */
  onLinked(a: NodeId, b: NodeId): void {
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const isWiped = this.#machines.get(one)?.loss === "wiped";
      this.#world.must(
        !isWiped || !this.#linked.has(one),
        "wiped-is-refused",
        () => `${other} let ${one} in, whose data is gone`,
      );
      if (!isWiped) this.#linked.add(one);
    }
  }

  /** Indexes up to which each group is committed, as anybody has seen. */
  committedTo(group: GroupId): number {
    return this.#historyOf(group).committedTo;
  }

  #historyOf(group: GroupId): GroupHistory {
    let history = this.#groups.get(group);
    if (history === undefined) {
      history = new GroupHistory();
      this.#groups.set(group, history);
    }
    return history;
  }

  /**
   * One vote per term, across restarts (Raft 2). What the group had let go begins anew: whether it had is asked when its
   * replica is given up, and the leader of its old term, who let it go, may be the one who calls it back.
   */
  #onRecord(name: NodeId, group: GroupId, { hardState }: GroupRecord, isNew: boolean): void {
    const { term, vote } = hardState;
    const { votes } = this.#historyOf(group);
    if (isNew) for (const key of votes.keys()) if (key.startsWith(`${name} `)) votes.delete(key);
    if (vote === "" || this.#machines.get(name)?.loss === "wiped") return;
    const known = votes.get(`${name} ${term}`);
    this.#world.must(
      known === undefined || known === vote,
      "one-vote-per-term",
      () => `${name} voted for ${known ?? ""} and ${vote} in term ${term} of ${group}`,
    );
    votes.set(`${name} ${term}`, vote);
  }

  /** Logs match (2). */
  #onEntry(name: NodeId, group: GroupId, entry: Entry, prevTerm: number | undefined): void {
    if (entry.kind === "hole") return;
    const history = this.#historyOf(group);
    const { entries } = history;
    const place = `${entry.index}/${entry.term}`;
    const digest = digestOf(entry);
    if (history.isPaxos) {
      this.#onAccepted(name, group, entry, digest);
      return;
    }
    const known = entries.get(place);
    if (known === undefined) {
      entries.set(place, { digest, prevTerm });
      return;
    }
    this.#world.must(
      known.digest === digest &&
        (known.prevTerm === prevTerm || known.prevTerm === undefined || prevTerm === undefined),
      "logs-match",
      () => `${name} has another entry or another prefix at index/term ${place} of ${group}`,
    );
  }

  /** A slot's value has one origin, and a ballot has one value for a slot (12). */
  #onAccepted(name: NodeId, group: GroupId, entry: Entry, digest: number): void {
    const { entries } = this.#historyOf(group);
    for (const place of [`${entry.index}/${entry.term}`, `${entry.index}@${entry.ballot ?? entry.term}`]) {
      const known = entries.get(place);
      if (known === undefined) entries.set(place, { digest, prevTerm: undefined });
      this.#world.must(
        known === undefined || known.digest === digest,
        "one-value-per-ballot",
        () => `${name} has another value at ${place} of ${group}`,
      );
    }
  }

  /** Same applied index, same state (6). */
  #onState(name: NodeId, group: GroupId, applied: number, digest: number): void {
    // An arbiter keeps the logs of shards, and no state.
    if (group !== META_GROUP && this.#machines.get(name)?.spec.role === "arbiter") return;
    const { states } = this.#historyOf(group);
    const known = states.get(applied);
    if (known === undefined) states.set(applied, digest);
    this.#world.must(
      known === undefined || known === digest,
      "same-state",
      () => `${name} has another state of ${group} at applied index ${applied}`,
    );
  }

  /** Every number of copies that a shard, or any, has had, by the maps that were seen. */
  copiesOf(shard: ShardId | undefined): readonly number[] {
    if (shard === undefined) return [...this.#copies.values()].flatMap((counts) => [...counts]);
    return [...(this.#copies.get(shard) ?? [])];
  }

  /** Each key has one owner per epoch, maps have neither gap nor overlap (10). */
  #lookAtMap(process: Process, core: NodeCore): void {
    const map = core.map();
    const before = this.#mapSeen.get(process);
    if (map === before) return;
    this.#mapSeen.set(process, map);
    if (map.epoch === 0) return;
    this.#world.must(
      before === undefined || map.epoch >= before.epoch,
      "epoch-grows",
      () => `${process.name} went from epoch ${before?.epoch ?? 0} back to ${map.epoch}`,
    );
    const text = JSON.stringify(map);
    const known = this.#maps.get(map.epoch);
    if (known === undefined) {
      this.#maps.set(map.epoch, text);
      if (this.#world.isTraced)
        this.#world.note(process.name, `  knows epoch ${map.epoch}: ${wordsOfMap(map)}`);
      const problems = checkShardMap(map);
      this.#world.must(problems.length === 0, "map-sound", () => problems.join("; "));
      if (core.leaderless !== undefined) this.#lookAtChange(map);
      this.onNewMap?.(process.name);
      for (const { id, replicas, outgoing } of map.shards) {
        const counts = this.#copies.get(id) ?? new Set<number>();
        this.#copies.set(id, counts.add(replicas.length).add((outgoing?.replicas ?? replicas).length));
      }
    }
    this.#world.must(
      known === undefined || known === text,
      "one-map-per-epoch",
      () => `${process.name} has another map of epoch ${map.epoch}`,
    );
  }

  /**
   * Leaderless copies change by way of two sets: those of before stay in force until those of after are complete (12). While
   * both are, either may be the one that stays.
   */
  #lookAtChange(map: ShardMap): void {
    const text = this.#maps.get(map.epoch - 1);
    if (text === undefined) return;
    for (const { id, replicas, outgoing } of (JSON.parse(text) as ShardMap).shards) {
      const before = outgoing?.replicas ?? replicas;
      const after = map.shards.find((shard) => shard.id === id);
      this.#world.must(
        after === undefined ||
          sameNodes(replicas.toSorted(), after.replicas.toSorted()) ||
          sameNodes(replicas.toSorted(), (after.outgoing?.replicas ?? []).toSorted()) ||
          (after.outgoing === undefined && sameNodes(before.toSorted(), after.replicas.toSorted())),
        "changes-by-two-sets",
        () =>
          `in epoch ${map.epoch} the copies of ${id} are not ${replicas.join(" ")} any more, at one stroke`,
      );
    }
  }

  /** What the log holds has a replica: one that was moved away does not come back to life. */
  #lookAtLog({ name, log }: Process, core: NodeCore): void {
    const { groups } = core.host;
    if (log === undefined || log.groups.size === groups.size) return;
    const stray = [...log.groups.keys()].find((group) => !groups.has(group));
    this.#world.must(
      stray === undefined,
      "removed-stays-removed",
      () => `${name} has a log of ${stray}, of which it holds no replica`,
    );
  }

  #lookAtRestart(name: NodeId, group: GroupId, { term }: ReplicaStatus): void {
    const held = this.#mirrorOf(name)?.groups.get(group)?.record.hardState;
    this.#world.must(
      held === undefined || term >= held.term,
      "term-grows",
      () => `${name}, group ${group}: restarted in term ${term}, had promised ${held?.term ?? 0}`,
    );
  }

  #lookAtReplica(
    process: Process,
    core: NodeCore,
    group: GroupId,
    status: ReplicaStatus,
    before: ReplicaStatus | undefined,
  ): void {
    const { name } = process;
    const history = this.#historyOf(group);
    history.isPaxos ||= status.ballot !== undefined;
    const world = this.#world;
    const say = (): string => `${name}, group ${group}`;
    if (before === undefined) {
      // One that was moved here anew, even after it was moved away, has promised nothing.
    } else if (
      status.term === before.term &&
      status.commit === before.commit &&
      status.applied === before.applied &&
      status.role === before.role &&
      status.last === before.last
    ) {
      return;
    } else {
      world.must(
        status.term >= before.term,
        "term-grows",
        () => `${say()}: ${before.term} to ${status.term}`,
      );
      world.must(
        status.commit >= before.commit,
        "commit-grows",
        () => `${say()}: ${before.commit} to ${status.commit}`,
      );
      world.must(
        status.applied >= before.applied,
        "applied-grows",
        () => `${say()}: ${before.applied} to ${status.applied}`,
      );
    }
    world.must(
      status.applied <= status.commit && status.commit <= status.last,
      "applied-commit-order",
      () => `${say()}: applied ${status.applied}, commit ${status.commit}, last ${status.last}`,
    );
    world.must(
      status.logBytes <= this.#logBytesMax(name, status.membership, history),
      "log-bounded",
      () => `${say()}: ${status.logBytes} bytes of entries in memory`,
    );
    if (status.role === "leader" && (before?.role !== "leader" || before.term !== status.term)) {
      world.say(name, `leads ${group} in term ${status.term}`);
      this.#onElected(process, core, group, status, history);
    } else if (before?.role === "leader" && status.role !== "leader") {
      world.say(name, `leads ${group} no more (term ${status.term})`);
    }
    if (before === undefined || status.commit > before.commit) {
      this.#onCommit(process, core, group, status, before, history);
    }
  }

  #logBytesMax(name: NodeId, { arbiters }: Membership, { isPaxos }: GroupHistory): number {
    const { logBytesMax } = this.#limits;
    if (arbiters.includes(name)) return ARBITER_LOG_BYTES_MAX;
    return isPaxos && arbiters.length > 0 ? logBytesMax + BESIDE_ARBITER_LOG_BYTES_MAX : logBytesMax;
  }

  /** One leader per term (1), which has everything that is committed (3). */
  #onElected(
    process: Process,
    core: NodeCore,
    group: GroupId,
    status: ReplicaStatus,
    history: GroupHistory,
  ): void {
    const { name } = process;
    const known = history.leaders.get(status.term);
    this.#world.must(
      known === undefined || known === name,
      "one-leader-per-term",
      () => `${known ?? ""} and ${name} both lead ${group} in term ${status.term}`,
    );
    history.leaders.set(status.term, name);
    const hard = this.#mirrorOf(name)?.groups.get(group)?.record.hardState;
    this.#world.must(
      hard === undefined || hard.term > status.term || (hard.term === status.term && hard.vote === name),
      "leads-by-a-vote-on-disk",
      () => `${name} leads ${group} in term ${status.term} and has not flushed that it votes for itself`,
    );
    const replica = core.host.groups.get(group)?.replica;
    for (let index = status.first; index <= history.committedTo; index += 1) {
      const entry = replica?.entry(index);
      const fact = history.committed.get(index);
      if (fact === undefined || entry?.term === fact.term || fact.reign >= status.term) continue;
      this.#world.violate(
        "leader-complete",
        `${name} leads ${group} in term ${status.term} without the committed entry ${index} of term ${fact.term}`,
      );
      return;
    }
  }

  /** A committed entry never changes, and is on disk at a quorum (4). */
  #onCommit(
    process: Process,
    core: NodeCore,
    group: GroupId,
    status: ReplicaStatus,
    before: ReplicaStatus | undefined,
    history: GroupHistory,
  ): void {
    const replica = core.host.groups.get(group)?.replica;
    if (replica === undefined) return;
    const from = Math.max(status.first, (before?.commit ?? 0) + 1);
    let isNew = false;
    for (let index = from; index <= status.commit; index += 1) {
      const entry = replica.entry(index);
      if (entry === undefined) continue;
      const fact = { term: entry.term, digest: digestOf(entry), reign: status.term };
      const known = history.committed.get(index);
      if (known !== undefined) {
        this.#world.must(
          known.term === fact.term && known.digest === fact.digest,
          "committed-stays",
          () =>
            `${process.name} has another entry committed at ${index} of ${group} (term ${fact.term}, not ${known.term})`,
        );
        continue;
      }
      isNew = true;
      if (history.isPaxos) this.#mustBeAccepted(process.name, group, index, status, before);
      history.committed.set(index, fact);
      history.committedTo = Math.max(history.committedTo, index);
      if (entry.kind === "config") this.#onMembership(group, index, decodeMembership(entry.data), history);
    }
    if (!isNew) return;
    if (this.#world.isTraced) {
      this.#world.note(process.name, `commits ${group} up to ${status.commit} (term ${status.term})`);
    }
    const last = replica.entry(status.commit);
    if (last !== undefined) this.#mustBeHeld(process, group, last, status, before);
    for (const other of this.#machines.values()) {
      const leading = other.core?.host.groups.get(group)?.replica;
      if (leading === undefined || leading === replica || last === undefined) continue;
      const theirs = leading.status();
      if (theirs.role !== "leader" || theirs.term <= status.term || theirs.first > last.index) continue;
      this.#world.must(
        leading.entry(last.index)?.term === last.term,
        "leader-complete",
        () => `${other.id} leads ${group} in term ${theirs.term} without ${last.index}, committed meanwhile`,
      );
    }
  }

  #mustBeHeld(
    process: Process,
    group: GroupId,
    entry: Entry,
    status: ReplicaStatus,
    before: ReplicaStatus | undefined,
  ): void {
    const holds = (node: NodeId): boolean => {
      const machine = this.#machines.get(node);
      // What a lost disk had promised counted while it was there.
      if (machine === undefined || machine.loss !== undefined) return true;
      if (this.#hasGivenUp(machine, group)) return true;
      return machine.disk.mirror?.holds(group, entry.index, entry.term) === true;
    };
    // The step that committed may have changed the membership as well.
    this.#world.must(
      hasQuorum(status.membership, holds) || (before !== undefined && hasQuorum(before.membership, holds)),
      "committed-at-quorum",
      () => `${process.name}: ${group} ${entry.index} is committed and on disk at no quorum`,
    );
  }

  /** Its replica of a group that is no more: others, who do not know that yet, count what it had acknowledged. */
  #hasGivenUp(machine: Machine, group: GroupId): boolean {
    return this.#limits.isOver(group) && machine.disk.mirror?.groups.has(group) !== true;
  }

  /** Chosen for the first time: a quorum accepted it in the leader's own ballot, or in one after it (Paxos 9). */
  #mustBeAccepted(
    name: NodeId,
    group: GroupId,
    slot: number,
    { role, term, membership }: ReplicaStatus,
    before: ReplicaStatus | undefined,
  ): void {
    // What it chose before it led it had learned.
    if (role !== "leader" || before?.role !== "leader" || before.term !== term) return;
    const accepted = (node: NodeId): boolean => {
      const machine = this.#machines.get(node);
      if (machine !== undefined && this.#hasGivenUp(machine, group)) return true;
      return machine?.loss !== undefined || (machine?.disk.mirror?.acceptedIn(group, slot) ?? 0) >= term;
    };
    this.#world.must(
      hasQuorum(membership, accepted) || hasQuorum(before.membership, accepted),
      "chosen-in-one-ballot",
      () => `${name}: slot ${slot} of ${group} is chosen, and no quorum accepted it in round ${term}`,
    );
  }

  /** Quorums of consecutive configurations intersect (11). */
  #onMembership(group: GroupId, index: number, value: Membership, history: GroupHistory): void {
    const before = history.membership;
    history.membership = { index, value };
    this.#world.say("", `${group} members at ${index}: ${wordsOf(value)}`);
    if (before === undefined || before.index > index) return;
    this.#world.must(
      quorumsIntersect(before.value, value),
      "quorums-intersect",
      () => `${group}: ${wordsOf(before.value)}, then ${wordsOf(value)}`,
    );
  }

  #mirrorOf(name: NodeId): Mirror | undefined {
    return this.#machines.get(name)?.disk.mirror;
  }
}

/** What says nothing but "I am here", again and again. */
const QUIET: ReadonlySet<string> = new Set(["heartbeat", "heartbeat-response"]);

/** `0 on node-1 node-2 (and of before node-1 node-3)`. */
function wordsOfMap({ shards }: ShardMap): string {
  return shards
    .map(({ id, replicas, outgoing }) => {
      const before = outgoing === undefined ? "" : ` (and of before ${outgoing.replicas.join(" ")})`;
      return `${id} on ${replicas.join(" ")}${before}`;
    })
    .join(", ");
}

/** `append term 3 prevIndex 7 entries 2`. */
function wordsOfMessage(message: Message): string {
  const parts = [message.kind];
  for (const [name, value] of Object.entries(message)) {
    if (name === "kind" || name === "from" || name === "to") continue;
    if (Array.isArray(value)) parts.push(`${name} ${value.length}`);
    else if (typeof value !== "object") parts.push(`${name} ${String(value)}`);
  }
  return parts.join(" ");
}

function wordsOf({ voters, outgoing, learners }: Membership): string {
  const old = outgoing.length === 0 ? "" : ` and of before ${outgoing.join(",")}`;
  return `${voters.join(",")}${old}${learners.length === 0 ? "" : `, learners ${learners.join(",")}`}`;
}

/** By trying every set of nodes: a set and its complement must not both be quorums. */
function quorumsIntersect(a: Membership, b: Membership): boolean {
  if (sameNodes(a.voters, b.voters) && sameNodes(a.outgoing, b.outgoing)) return true;
  const nodes = [...new Set([...a.voters, ...a.outgoing, ...b.voters, ...b.outgoing])];
  for (let set = 0; set < 1 << nodes.length; set += 1) {
    const isIn = (node: NodeId): boolean => ((set >> nodes.indexOf(node)) & 1) === 1;
    if (hasQuorum(a, isIn) && hasQuorum(b, (node) => !isIn(node))) return false;
  }
  return true;
}
