// What a replica may not do, whatever comes of it in the end: held against every step of every replica, so that
// a broken promise is seen where it is broken. Many of these would otherwise take a rare crash to show. Most
// are about any protocol behind the seam; those about raft's messages see nothing in others.

import { isMember, isVoter, sameMembership } from "../../src/consensus/membership.ts";
import { isPaxosMessage } from "../../src/consensus/paxos/messages.ts";
import { KeptLog, type KeptLogLimits } from "./kept-log.ts";
import { BallotWatch } from "./ballot-watch.ts";
import { FlowWatch, type FlowLimits, type Must } from "./flow-watch.ts";
import { hasQuorum } from "./quorums.ts";
import { RecoveryWatch } from "./recovery-watch.ts";
import { isRaftMessage, type RaftMessage } from "../../src/consensus/raft/messages.ts";
import type {
  Effects,
  Entry,
  Input,
  Membership,
  Replica,
  ReplicaStatus,
  SnapshotMeta,
} from "../../src/consensus/seam.ts";
import { decodeMembership } from "../../src/consensus/membership.ts";
import type { GroupId, NodeId } from "../../src/model/ids.ts";
import { SilentReplica } from "../../src/node/host/log-recovery.ts";
import type { StateMachine } from "../../src/node/host/machine.ts";
import { decodeCommand, recordIn } from "../../src/node/memories/commands.ts";
import { MemoryMachine } from "../../src/node/memories/memory-machine.ts";

export interface WatchLimits extends FlowLimits {
  readonly electionTicks: number;
  /** Slots between a configuration and the first that it decides, of paxos replicas; absent: not looked at. */
  readonly windowSlots?: number;
  /** Absent: not looked at. */
  readonly keptLog?: KeptLogLimits;
  /** Whether a group is no more, by the newest map: nobody has to let its replicas go. */
  readonly isOver?: (group: GroupId) => boolean;
}

/** What the watch needs of a replica group of the host. */
interface WatchedGroup {
  readonly id: GroupId;
  readonly replica: Replica;
}

/** One that the host runs, with its state. */
interface HostedGroup extends WatchedGroup {
  readonly machine: StateMachine;
  readonly durable: { readonly recovery: unknown };
  readonly applied: number;
  readIndex(deadlineMs: number): Promise<number>;
  reached(index: number, deadlineMs: number): Promise<void>;
}

export interface LeaderClaim {
  readonly leader: NodeId | null;
  readonly term: number;
}

/** What a node knows of its groups besides their replicas. */
export interface NodeKnowledge {
  isArbiter(group: GroupId): boolean;
  /** Who leads the group, as the node has heard. */
  claimOf(group: GroupId): LeaderClaim;
  /** Whether the entry is on the node's disk, whatever the node thinks. */
  isOnDisk(group: GroupId, index: number, term: number): boolean;
  /** The same of another node; true where its disk is gone. */
  isHeldBy?(node: NodeId, group: GroupId, index: number, term: number): boolean;
  /** Told when a replica of the node becomes leader: before anything of its term is committed. */
  onLeader?(group: GroupId): void;
  /** Told when a replica of the node, which leads, asks for a snapshot to be sent. */
  onSnapshot?(group: GroupId): void;
  /** Told of every tick of a replica of the node. */
  onTick?(): void;
}

/** What all replicas of a group have shown together. */
interface Group {
  readonly replicas: Map<NodeId, Watched>;
  commitMax: number;
  readonly recovery: RecoveryWatch;
  /** Committed memberships by index, in rising order. */
  readonly memberships: { readonly index: number; readonly membership: Membership }[];
  /** Whom a voter's delivered vote of a term was for. */
  readonly votes: Map<string, NodeId>;
  /** Of those, what was given by replicas that were moved away: one that is called back is another. */
  readonly votesOfBefore: Set<string>;
  readonly leaders: Map<number, NodeId>;
  /** In which session each write was done. */
  readonly done: Map<string, string>;
}

/** A running replica. */
interface Watched {
  readonly node: NodeId;
  readonly group: Group;
  readonly name: string;
  readonly replica: Replica;
  readonly isArbiter: boolean;
  readonly isPaxos: boolean;
  /** Of paxos alone. */
  readonly ballots: BallotWatch | undefined;
  readonly flow: FlowWatch;
  readonly keptLog: KeptLog | undefined;
  readonly claim: () => LeaderClaim;
  readonly isOnDisk: (index: number, term: number) => boolean;
  readonly isHeldBy: (node: NodeId, index: number, term: number) => boolean;
  readonly onLeader: () => void;
  readonly onSnapshot: () => void;
  readonly onTick: () => void;
  status: ReplicaStatus;
  ticks: number;
  /** The tick in which something of a peer came last. */
  readonly heard: Map<NodeId, number>;
  leadsSinceTick: number;
  leaderHeardTick: number;
  /** What was committed when a read came, and after which step that was. */
  readonly reads: Map<number, { readonly floor: number; readonly step: number }>;
  steps: number;
  /** Its memberships of late, and the step since when. */
  memberships: { readonly step: number; readonly membership: Membership }[];
  /** The step in which something of a peer came last. */
  readonly heardIn: Map<NodeId, number>;
  /** The tick in which it last heard its leader, or voted: it waits from there on. */
  timerTick: number;
  /** The tick before which it handed nothing over as it does now. */
  transferTick: number;
}

/** It does nothing, whatever comes: there is nothing to judge. */
function silentlyTicking(replica: SilentReplica, onTick: () => void): void {
  const step = replica.step.bind(replica);
  replica.step = (input: Input) => {
    if (input.kind === "tick") onTick();
    return step(input);
  };
}

/** As many campaigns of one run tell chance from none. */
const WAITS_MIN = 10;

export class ReplicaWatch {
  /** Told the text of every memory that a replica writes. */
  onDone: ((text: string) => void) | undefined;
  /** Told whose replica commits another membership first. */
  onMembers: ((node: NodeId) => void) | undefined;
  readonly #violate: (invariant: string, message: string) => void;
  readonly #limits: WatchLimits;
  readonly #groups = new Map<GroupId, Group>();
  readonly #waits: number[] = [];

  constructor(violate: (invariant: string, message: string) => void, limits: WatchLimits) {
    this.#violate = violate;
    this.#limits = limits;
  }

  /** Watches the groups that a node's host has and will have. */
  attach(node: NodeId, groups: Map<GroupId, HostedGroup>, knowledge: NodeKnowledge): void {
    const set = groups.set.bind(groups);
    groups.set = (id, group) => {
      this.watch(node, group, knowledge);
      this.#watchReads(node, group);
      this.#watchCommands(node, group);
      return set(id, group);
    };
    const remove = groups.delete.bind(groups);
    groups.delete = (id) => {
      // One whose log was damaged begins again as another.
      if (groups.get(id)?.durable.recovery === undefined) this.#judgeRemoval(node, id);
      else this.#groups.get(id)?.replicas.delete(node);
      return remove(id);
    };
    for (const group of groups.values()) {
      this.watch(node, group, knowledge);
      this.#watchReads(node, group);
      this.#watchCommands(node, group);
    }
  }

  /** What a client asks for once is done once, whatever session it comes in (46): clients write no text twice. */
  #watchCommands(node: NodeId, { id, machine }: HostedGroup): void {
    if (!(machine instanceof MemoryMachine)) return;
    const { done } = this.#group(id);
    const apply = machine.apply.bind(machine);
    machine.apply = (bytes, index, writer) => {
      const result = apply(bytes, index, writer);
      const { session, command } = decodeCommand(bytes);
      if (!result.ok || (command.t !== "put" && command.t !== "update")) return result;
      const texts =
        command.t === "put"
          ? command.items.map(({ value }) => recordIn(Buffer.from(value)).memory)
          : [command.text ?? ""];
      for (const text of texts) {
        this.onDone?.(text);
        const before = done.get(text) ?? session;
        done.set(text, before);
        this.#must(
          before === session,
          "done-once",
          () => `${node} in ${id} does at ${index} what was done in another session already`,
        );
      }
      return result;
    };
  }

  /** A read waits until the state holds what it was confirmed at (44). */
  #watchReads(node: NodeId, group: HostedGroup): void {
    const readIndex = group.readIndex.bind(group);
    const reached = group.reached.bind(group);
    const judge = (index: number): void =>
      this.#must(
        group.applied >= index,
        "read-waits-for-state",
        () => `${node} in ${group.id} serves a read of ${index} with ${group.applied} applied`,
      );
    group.readIndex = async (deadlineMs) => {
      const index = await readIndex(deadlineMs);
      judge(index);
      return index;
    };
    group.reached = async (index, deadlineMs) => {
      await reached(index, deadlineMs);
      judge(index);
    };
  }

  /** Its process is gone. */
  gone(node: NodeId): void {
    for (const { replicas, recovery } of this.#groups.values()) {
      const watched = replicas.get(node);
      if (watched !== undefined) recovery.ended(node, watched.replica);
      replicas.delete(node);
    }
  }

  watch(node: NodeId, { id, replica }: WatchedGroup, knowledge: NodeKnowledge): void {
    const group = this.#group(id);
    if (replica instanceof SilentReplica) {
      group.recovery.damaged(node, group.commitMax);
      silentlyTicking(replica, () => knowledge.onTick?.());
      return;
    }
    const status = replica.status();
    const name = `${node} in ${id}`;
    const must: Must = (holds, invariant, message) => this.#must(holds, invariant, message);
    const isArbiter = knowledge.isArbiter(id);
    const { keptLog } = this.#limits;
    const isPaxos = status.ballot !== undefined;
    const watched: Watched = {
      node,
      group,
      name,
      replica,
      isPaxos,
      ballots: status.ballot === undefined ? undefined : new BallotWatch({ node, name, replica, must }),
      flow: new FlowWatch(name, this.#limits, must),
      keptLog:
        (isArbiter || isPaxos) && keptLog !== undefined
          ? new KeptLog(name, replica, keptLog, must)
          : undefined,
      isArbiter,
      claim: () => knowledge.claimOf(id),
      isOnDisk: (index, term) => knowledge.isOnDisk(id, index, term),
      isHeldBy: (other, index, term) => knowledge.isHeldBy?.(other, id, index, term) ?? true,
      onLeader: () => knowledge.onLeader?.(id),
      onSnapshot: () => knowledge.onSnapshot?.(id),
      onTick: () => knowledge.onTick?.(),
      status,
      ticks: 0,
      heard: new Map(),
      leadsSinceTick: 0,
      leaderHeardTick: Number.NEGATIVE_INFINITY,
      reads: new Map(),
      steps: 0,
      memberships: [{ step: 0, membership: status.membership }],
      heardIn: new Map(),
      timerTick: 0,
      transferTick: 0,
    };
    group.replicas.set(node, watched);
    group.recovery.begins(
      node,
      status,
      (other, index, term) => knowledge.isHeldBy?.(other, id, index, term) ?? false,
    );
    if (!watched.isPaxos) this.#judgeVote(watched);
    const base = replica.snapshotAt(status.first - 1);
    if (base !== undefined && base.membership.voters.length > 0 && group.memberships.length === 0) {
      group.memberships.push({ index: base.index, membership: base.membership });
    }
    const step = replica.step.bind(replica);
    replica.step = (input) => {
      const before = watched.status;
      watched.steps += 1;
      if (input.kind === "read") {
        watched.reads.set(input.context, { floor: group.commitMax, step: watched.steps });
      }
      const agrees =
        input.kind === "install" &&
        !watched.isPaxos &&
        replica.entry(input.snapshot.index)?.term === input.snapshot.term;
      this.#hear(watched, input);
      const effects = step(input);
      if (group.replicas.get(node) !== watched) return effects;
      this.#must(
        !agrees || effects.persist?.snapshot === undefined,
        "snapshot-keeps-what-agrees",
        () => `${watched.name} drops its log for a snapshot that the log agrees with`,
      );
      this.#judge(watched, before, input, effects);
      return effects;
    };
  }

  #group(id: GroupId): Group {
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = {
        replicas: new Map(),
        commitMax: 0,
        recovery: new RecoveryWatch(),
        memberships: [],
        votes: new Map(),
        votesOfBefore: new Set(),
        leaders: new Map(),
        done: new Map(),
      };
      this.#groups.set(id, group);
    }
    return group;
  }

  #must(holds: boolean, invariant: string, message: () => string): void {
    if (!holds) this.#violate(invariant, message());
  }

  #hear(watched: Watched, input: Input): void {
    if (input.kind === "tick") {
      watched.ticks += 1;
      watched.onTick();
    }
    if (input.kind !== "message") return;
    const { message } = input;
    watched.heard.set(message.from, watched.ticks);
    watched.heardIn.set(message.from, watched.steps);
    if (!isRaftMessage(message) || message.kind !== "vote-response" || !message.granted) return;
    const key = `${message.from}@${message.term}`;
    const earlier = watched.group.votes.get(key);
    watched.group.votes.set(key, watched.node);
    this.#must(
      earlier === undefined || earlier === watched.node,
      "one-vote-per-term",
      () => `${message.from} voted in term ${message.term} for ${earlier} and for ${watched.name}`,
    );
  }

  #judge(watched: Watched, before: ReplicaStatus, input: Input, effects: Effects): void {
    const after = watched.replica.status();
    watched.status = after;
    if (after.membership !== before.membership) {
      watched.memberships.push({ step: watched.steps, membership: after.membership });
    }
    this.#judgePositions(watched, before, after);
    this.#judgeRecovery(watched, before);
    // A round of paxos may have several proposers, and what a ballot takes over keeps its term.
    if (!watched.isPaxos) {
      if (after.vote !== before.vote) this.#judgeVote(watched);
      this.#judgeLeaders(watched, input);
      this.#judgeProof(watched, before, input, effects);
    }
    this.#judgeRole(watched, before, input);
    this.#judgeTransfer(watched, before);
    if (effects.accepted.length > 0) this.#judgeBounds(watched, before);
    this.#judgeReads(watched, effects);
    if (watched.isPaxos) this.#judgeBallots(watched, before, input, effects);
    watched.ballots?.judge(before, after, input);
    watched.flow.judge(before, after, input, effects);
    watched.keptLog?.judge(before, after, input);
    this.#judgeLog(watched, before, input, effects);
    for (const message of effects.send) {
      if (isRaftMessage(message)) this.#judgeSent(watched, before, message);
    }
    for (const entry of effects.committed) this.#noteCommitted(watched, entry);
    if (watched.isPaxos && after.membership !== before.membership) this.#judgeInForce(watched);
    if (effects.snapshotWanted.length > 0) watched.onSnapshot();
    watched.group.commitMax = Math.max(watched.group.commitMax, after.commit);
  }

  /** Who counts again whose log was damaged has everything that may have been committed with its help. */
  #judgeRecovery({ node, name, group, isPaxos, status }: Watched, before: ReplicaStatus): void {
    const { recovery } = group;
    const { term, commit, recovering } = status;
    if (!isPaxos && commit !== before.commit) recovery.commits(term, commit);
    if (before.recovering !== true || recovering === true) return;
    const due = recovery.counts(node);
    this.#must(
      commit >= due,
      "recovers-everything",
      () => `${name} counts again with ${commit} committed; it may have helped with all up to ${due}`,
    );
  }

  #judgePositions({ name, isPaxos }: Watched, before: ReplicaStatus, after: ReplicaStatus): void {
    const { term, commit, applied, durable, last } = after;
    this.#must(
      term >= before.term && commit >= before.commit && applied >= before.applied,
      "only-grows",
      () => `${name}: term ${before.term} to ${term}, commit ${before.commit} to ${commit}`,
    );
    this.#must(
      applied <= commit && commit <= last && durable <= last,
      "applied-commit-last",
      () => `${name}: applied ${applied}, commit ${commit}, durable ${durable}, last ${last}`,
    );
    this.#must(
      isPaxos || before.term !== term || before.vote === "" || before.vote === after.vote,
      "one-vote-per-term",
      () => `${name}: voted for ${before.vote} and for ${after.vote} in term ${term}`,
    );
    if (before.term !== term || before.role !== "leader" || after.role !== "leader") return;
    for (const { node, match } of after.progress) {
      const known = before.progress.find((one) => one.node === node)?.match ?? 0;
      this.#must(match >= known, "match-only-grows", () => `${name}: ${node} from ${known} to ${match}`);
    }
  }

  /** One leader per term; and nobody is said to lead a term that it did not win (claims travel with every beat). */
  #judgeLeaders({ name, node, group, status, claim }: Watched, input: Input): void {
    if (status.role === "leader") {
      const known = group.leaders.get(status.term) ?? node;
      group.leaders.set(status.term, known);
      this.#must(
        known === node,
        "one-leader-per-term",
        () => `${known} and ${name} both lead term ${status.term}`,
      );
    }
    if (input.kind !== "tick") return;
    const { leader, term } = claim();
    this.#must(
      leader === null || group.leaders.get(term) === leader,
      "claims-are-true",
      () =>
        `${name} has heard that ${leader} leads in term ${term}; ${group.leaders.get(term) ?? "nobody"} does`,
    );
  }

  /** What a step rests on: flushed entries, entries of the leader's own term, answers of this term, longer logs. */
  #judgeProof(watched: Watched, before: ReplicaStatus, input: Input, effects: Effects): void {
    const { name, status, replica } = watched;
    const durableTerm = replica.entry(status.durable)?.term;
    if (input.kind === "persisted" && status.durable > before.durable && durableTerm !== undefined) {
      this.#must(
        watched.isOnDisk(status.durable, durableTerm),
        "durable-is-on-disk",
        () => `${name} counts ${status.durable} as flushed, which is not on its disk`,
      );
    }
    const leads = before.role === "leader" && status.role === "leader" && before.term === status.term;
    const newest = replica.entry(status.commit)?.term;
    this.#must(
      !leads || status.commit === before.commit || newest === undefined || newest === status.term,
      "commits-own-term",
      () => `${name} commits up to an entry of term ${newest} in term ${status.term}`,
    );
    if (input.kind !== "message" || !isRaftMessage(input.message)) return;
    const { message } = input;
    const isAnswer = message.kind === "append-accepted" || message.kind === "vote-response";
    if (isAnswer && message.term < before.term) {
      const matches = (one: ReplicaStatus): string => one.progress.map(({ match }) => match).join(" ");
      this.#must(
        before.role === status.role && matches(before) === matches(status),
        "old-answers-are-ignored",
        () => `${name}: an answer of term ${message.term} counts in term ${before.term}`,
      );
    }
    if (message.kind === "append-rejected") {
      const again = effects.send.find(
        (one) => isRaftMessage(one) && one.kind === "append" && one.to === message.from,
      );
      this.#must(
        again === undefined || Number(Reflect.get(again, "prevIndex")) < message.index,
        "rejected-probe-goes-back",
        () => `${name} asks ${message.from} again whether it agrees at ${message.index}, which it does not`,
      );
    }
    if (message.kind !== "vote" && message.kind !== "pre-vote") return;
    const grants = [...effects.send, ...effects.sendAfterPersist].some(
      (one) =>
        isRaftMessage(one) &&
        (one.kind === "vote-response" || one.kind === "pre-vote-response") &&
        one.granted,
    );
    this.#must(
      !grants || before.last > 0 || before.membership.voters.length > 0,
      "blank-votes-for-nobody",
      () => `${name} knows nothing of its group and votes for ${message.from}`,
    );
    const lastTerm = replica.snapshotAt(before.last)?.term ?? replica.entry(before.last)?.term ?? 0;
    this.#must(
      !grants ||
        message.lastTerm > lastTerm ||
        (message.lastTerm === lastTerm && message.lastIndex >= before.last),
      "vote-for-a-log-as-new",
      () =>
        `${name} votes for ${message.from}, whose log ends at ${message.lastIndex}/${message.lastTerm}, with its own at ${before.last}/${lastTerm}`,
    );
  }

  /** A vote that was given, and has arrived, is remembered for as long as its term lasts. */
  #judgeVote({ name, node, group, status }: Watched): void {
    const key = `${node}@${status.term}`;
    const given = group.votesOfBefore.has(key) ? undefined : group.votes.get(key);
    this.#must(
      given === undefined || given === status.vote,
      "vote-remembered",
      () => `${name} voted for ${given} in term ${status.term} and now says ${status.vote || "nobody"}`,
    );
  }

  /** Whoever hears nothing waits a random time before it campaigns: waits of a whole run are not all the same. */
  #judgeWait({ name, ticks, timerTick }: Watched): void {
    this.#waits.push(ticks - timerTick);
    if (this.#waits.length < WAITS_MIN) return;
    this.#must(
      this.#waits.some((wait) => wait !== this.#waits[0]),
      "timeouts-are-random",
      () => `${name}: ${this.#waits.length} campaigns began after ${this.#waits[0]} ticks each`,
    );
  }

  #judgeRole(watched: Watched, before: ReplicaStatus, input: Input): void {
    const { status, name, node, ticks } = watched;
    const { electionTicks } = this.#limits;
    if (status.role === "leader" && before.role !== "leader") {
      watched.leadsSinceTick = ticks;
      watched.onLeader();
    }
    const committed = watched.replica.snapshotAt(status.applied)?.membership;
    if (status.role === "candidate" && before.role !== "candidate") {
      const votes =
        isVoter(status.membership, node) ||
        (committed !== undefined && isVoter(committed, node)) ||
        toCome(watched).some((one) => isVoter(one, node));
      const applies = status.applied < status.commit;
      this.#must(votes || applies, "learners-do-not-campaign", () => `${name} campaigns as a learner`);
      if (!watched.isPaxos && input.kind === "tick" && before.leader !== "" && watched.leaderHeardTick >= 0)
        this.#judgeWait(watched);
    }
    if (input.kind === "tick" && status.role === "leader") {
      const since = Math.max(watched.leadsSinceTick, ticks - 3 * electionTicks);
      const isHeard = (voter: NodeId): boolean => voter === node || (watched.heard.get(voter) ?? -1) >= since;
      const { voters, outgoing } = status.membership;
      const heard = [voters, outgoing].every(
        (half) => half.length === 0 || 2 * half.filter(isHeard).length > half.length,
      );
      const isNew = ticks - watched.leadsSinceTick <= 3 * electionTicks;
      this.#must(heard || isNew, "check-quorum", () => `${name} leads and hears from no majority`);
      const lostIndex = committed !== undefined && status.applied >= status.commit;
      const isOut = lostIndex && !isVoter(committed, node) && sameMembership(committed, status.membership);
      this.#must(!isOut, "removed-leader-resigns", () => `${name} leads a group that has let it go`);
    }
    if (input.kind !== "message" || !isRaftMessage(input.message)) return;
    const { message } = input;
    if (message.kind === "pre-vote") {
      this.#must(
        before.term === status.term && before.vote === status.vote,
        "pre-vote-changes-nothing",
        () => `${name}: a pre-vote of ${message.from} moved term ${before.term} to ${status.term}`,
      );
    }
    if (message.kind === "vote" && !message.transfer && status.term > before.term) {
      const follows =
        before.leader !== "" && before.leader !== node && ticks - watched.leaderHeardTick < electionTicks;
      this.#must(
        !follows && before.role !== "leader",
        "leader-is-protected",
        () => `${name} leaves its live leader for a campaign of ${message.from}`,
      );
    }
    const isLeaders = message.kind === "append" || message.kind === "heartbeat";
    if (isLeaders && status.leader === message.from && message.term === status.term) {
      watched.leaderHeardTick = ticks;
      watched.timerTick = ticks;
    }
    if (message.kind === "vote" && status.vote === message.from) watched.timerTick = ticks;
  }

  /** A leader that hands over takes no proposals: it gives up within an election timeout (40). */
  #judgeTransfer(watched: Watched, before: ReplicaStatus): void {
    const { status, ticks, name } = watched;
    if (status.transferringTo === "" || status.transferringTo !== before.transferringTo) {
      watched.transferTick = ticks;
    }
    this.#must(
      ticks - watched.transferTick <= this.#limits.electionTicks,
      "transfer-ends",
      () => `${name} hands over to ${status.transferringTo} for ${ticks - watched.transferTick} ticks`,
    );
  }

  #judgeBounds({ name, status, replica }: Watched, before: ReplicaStatus): void {
    const max = this.#limits.uncommittedBytesMax;
    let bytes = 0;
    let last = 0;
    for (let index = status.commit + 1; index <= status.last; index += 1) {
      const entry = replica.entry(index);
      if (entry?.kind !== "command") continue;
      last = entry.data.byteLength;
      bytes += last;
    }
    this.#must(
      bytes - last <= max || before.role !== "leader",
      "uncommitted-is-bounded",
      () => `${name} took proposals with ${bytes} bytes uncommitted; ${max} is the bound`,
    );
  }

  #judgeReads(watched: Watched, effects: Effects): void {
    const { name, node, reads, heardIn, memberships } = watched;
    for (const { context } of effects.refusedReads) reads.delete(context);
    for (const { context, index } of effects.reads) {
      const { floor, step } = reads.get(context) ?? { floor: 0, step: 0 };
      reads.delete(context);
      this.#must(!watched.isArbiter, "arbiter-serves-no-read", () => `${name} confirms a read`);
      const isHeard = (voter: NodeId): boolean => voter === node || (heardIn.get(voter) ?? -1) > step;
      // Of those who decided while it waited: a paxos read asks whoever decides the slot after its own.
      const deciding = watched.memberships.filter(
        ({ step: since }, position) => since >= step || (memberships[position + 1]?.step ?? step) >= step,
      );
      this.#must(
        deciding.some(({ membership }) => hasQuorum(membership, isHeard)),
        "read-asks-quorum",
        () => `${name} confirms a read and heard from no quorum since it came`,
      );
      this.#must(
        index >= floor,
        "read-index",
        () => `${name} confirms a read at ${index}; ${floor} was committed when it came`,
      );
    }
  }

  /** Paxos: what says something about the disk waits for it, and who knows nothing promises to no candidate. */
  #judgeBallots({ name }: Watched, before: ReplicaStatus, input: Input, effects: Effects): void {
    for (const { kind } of effects.send) {
      const promises = kind === "prepare" || kind === "promise" || kind === "accepted" || kind === "learned";
      this.#must(!promises, "promise-waits-for-flush", () => `${name}: ${kind} does not wait for the flush`);
    }
    const isCandidates =
      input.kind === "message" && isPaxosMessage(input.message) && input.message.kind === "prepare"
        ? input.message.mandate !== "quorum" && input.message.term > before.term
        : false;
    const isBlank = before.last === 0 && before.membership.voters.length === 0;
    const isPromised = effects.sendAfterPersist.some(({ kind }) => kind === "promise");
    this.#must(
      !(isCandidates && isBlank && isPromised),
      "blank-promises-nothing",
      () => `${name} knows nothing of its group and promises to a candidate`,
    );
  }

  #judgeLog(watched: Watched, before: ReplicaStatus, input: Input, effects: Effects): void {
    const { name, status, replica, group } = watched;
    const { persist } = effects;
    if (persist === undefined) return;
    const { truncateFrom, entries, compactTo } = persist;
    if (truncateFrom !== undefined && input.kind === "message" && input.message.kind === "append") {
      this.#must(
        entries?.[0]?.index === truncateFrom,
        "truncates-on-conflict",
        () => `${name} truncates from ${truncateFrom} without anything in its place`,
      );
    }
    // A paxos replica rewrites slots in the middle, and uses a configuration only when it is chosen.
    if (truncateFrom !== undefined && !watched.isPaxos) {
      const due = newestMembership(replica, status);
      this.#must(
        due === undefined || sameMembership(status.membership, due),
        "membership-of-the-log",
        () => `${name} does not use the newest membership of its log`,
      );
    }
    const isLeader = before.role === "leader" && status.role === "leader" && before.term === status.term;
    const aheadMax = watched.isPaxos && isLeader ? (this.#limits.windowSlots ?? Infinity) : Infinity;
    for (const entry of entries ?? []) {
      this.#must(
        entry.ballot !== undefined || entry.index <= status.commit + aheadMax,
        "window-is-kept",
        () => `${name} proposes in slot ${entry.index} with ${status.commit} chosen`,
      );
      // One that a paxos leader found and proposes again is no change of its own.
      if (entry.kind === "config" && isLeader && entry.ballot === undefined)
        this.#judgeChange(watched, before, entry);
    }
    if (compactTo !== undefined) {
      this.#judgeSnapshotMembership(watched, group, compactTo.index, compactTo.membership);
      if (watched.isArbiter) this.#judgeForgotten(watched, compactTo);
    }
    if (persist.snapshot !== undefined) {
      this.#judgeSnapshotMembership(watched, group, persist.snapshot.index, persist.snapshot.membership);
    }
  }

  /**
   * An arbiter has no state to give: what a data voter lacks it keeps, for it may be the only one left that has it. One
   * that lags may not know yet who has been let go, and has given up what it held.
   */
  #judgeForgotten({ name, status, group, isHeldBy }: Watched, { index, term }: SnapshotMeta): void {
    const { voters, arbiters } = status.membership;
    const newest = group.memberships.at(-1)?.membership ?? status.membership;
    const lacking = voters.find(
      (voter) => !arbiters.includes(voter) && isMember(newest, voter) && !isHeldBy(voter, index, term),
    );
    this.#must(
      lacking === undefined,
      "arbiter-keeps-what-others-lack",
      () => `${name} forgets its log up to ${index}, which ${lacking} does not hold`,
    );
  }

  /** A leader is asked who the members are: it names all who are by what is committed, from then until it answers. */
  askedForMembers(asked: NodeId, id: GroupId): (answer: unknown) => void {
    const { memberships } = this.#group(id);
    const known = Math.max(0, memberships.length - 1);
    return (answer) => {
      const named = answer as Membership;
      const [first, ...later] = memberships.slice(known).map(({ membership }) => membership);
      if (first === undefined) return;
      const lacking = [...first.voters, ...first.outgoing, ...first.learners].find(
        (node) => !isMember(named, node) && later.every((one) => isMember(one, node)),
      );
      this.#must(
        lacking === undefined,
        "members-are-named",
        () => `${asked} does not name ${lacking} as a member of ${id}`,
      );
    };
  }

  /** A node gives up a replica: the group must have let it go for good. */
  #judgeRemoval(node: NodeId, id: GroupId): void {
    const group = this.#groups.get(id);
    const newest = group?.memberships.at(-1)?.membership;
    group?.replicas.delete(node);
    for (const key of group?.votes.keys() ?? []) {
      if (key.startsWith(`${node}@`)) group?.votesOfBefore.add(key);
    }
    this.#must(
      newest === undefined || !isMember(newest, node) || this.#limits.isOver?.(id) === true,
      "members-keep-their-replica",
      () => `${node} deletes its replica of ${id} and is a member by what is committed`,
    );
  }

  /** A leader put a new membership into its log. */
  #judgeChange({ name, replica, status }: Watched, before: ReplicaStatus, entry: Entry): void {
    const commit = Math.max(before.commit, status.commit);
    const committed = replica.entry(commit);
    this.#must(
      committed === undefined || (committed.ballot ?? committed.term) === entry.term,
      "change-after-own-term",
      () => `${name} changes members in term ${entry.term} with only term ${committed?.term} committed`,
    );
    for (let index = commit + 1; index < entry.index; index += 1) {
      this.#must(
        replica.entry(index)?.kind !== "config",
        "one-change-at-a-time",
        () => `${name} changes members at ${entry.index} while the change at ${index} is not committed`,
      );
    }
    const { voters, arbiters } = decodeMembership(entry.data);
    this.#must(
      voters.some((voter) => !arbiters.includes(voter)),
      "somebody-votes",
      () => `${name} leaves nobody who votes and holds data`,
    );
  }

  #judgeSnapshotMembership(
    { name, isPaxos }: Watched,
    group: Group,
    index: number,
    membership: Membership,
  ): void {
    const window = isPaxos ? this.#limits.windowSlots : 1;
    if (index > group.commitMax || window === undefined) return;
    const first = group.memberships[0];
    const due = group.memberships.findLast(
      (one) => one.index <= index && (one === first || one.index + window <= index + 1),
    )?.membership;
    this.#must(
      due === undefined || membership.voters.length === 0 || sameMembership(due, membership),
      "snapshot-membership",
      () =>
        `${name}: the snapshot at ${index} names ${membership.voters.join(" ")}, due is ${due?.voters.join(" ")}`,
    );
  }

  /** A membership of paxos decides from a window after its slot on (12), neither sooner nor later. */
  #judgeInForce({ name, group, status }: Watched): void {
    const window = this.#limits.windowSlots;
    const { commit, membership } = status;
    if (window === undefined || commit > group.commitMax) return;
    const first = group.memberships[0];
    const due = group.memberships.findLast(
      (one) => one === first || one.index + window <= commit + 1,
    )?.membership;
    this.#must(
      due === undefined || membership.voters.length === 0 || sameMembership(due, membership),
      "membership-in-force",
      () =>
        `${name}: ${membership.voters.join(" ")} decide slot ${commit + 1}, due are ${due?.voters.join(" ")}`,
    );
  }

  #judgeSent({ name, group, status, isArbiter }: Watched, before: ReplicaStatus, message: RaftMessage): void {
    const promises =
      message.kind === "vote" ||
      message.kind === "append-accepted" ||
      (message.kind === "vote-response" && message.granted);
    this.#must(
      !promises,
      "promise-waits-for-flush",
      () => `${name}: ${message.kind} does not wait for the flush`,
    );
    if (message.kind !== "timeout-now" || before.role !== "leader") return;
    const successor = group.replicas.get(message.to);
    // What it has lost it had, and the leader cannot know; who recovers does not campaign.
    if (successor === undefined || successor.status.recovering === true) return;
    const { last } = successor.status;
    this.#must(
      last >= before.last || status.role !== "leader",
      "transfer-to-one-that-has-everything",
      () =>
        `${name} asks ${message.to} to campaign, which has ${last} of ${before.last}${isArbiter ? ", for an arbiter" : ""}`,
    );
  }

  #noteCommitted({ node, group }: Watched, entry: Entry): void {
    if (entry.kind !== "config" || (group.memberships.at(-1)?.index ?? -1) >= entry.index) return;
    group.memberships.push({ index: entry.index, membership: decodeMembership(entry.data) });
    this.onMembers?.(node);
  }
}

/** Of the log in memory, else of the snapshot before it. */
function newestMembership(replica: Replica, { first, last }: ReplicaStatus): Membership | undefined {
  for (let index = last; index >= first; index -= 1) {
    const entry = replica.entry(index);
    if (entry?.kind === "config") return decodeMembership(entry.data);
  }
  return replica.snapshotAt(first - 1)?.membership;
}

/** Memberships of paxos that are in the log, or were compacted, and do not decide yet. */
function toCome({ isPaxos, replica, status }: Watched): readonly Membership[] {
  if (!isPaxos) return [];
  const { applied, last } = status;
  const compacted = replica.snapshotAt(applied)?.pending ?? [];
  const found = compacted.map(({ membership }) => membership);
  for (let index = applied + 1; index <= last; index += 1) {
    const entry = replica.entry(index);
    if (entry?.kind === "config") found.push(decodeMembership(entry.data));
  }
  return found;
}
