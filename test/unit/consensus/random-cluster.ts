// A cluster of simulated hosts under a seeded storm: loss, duplication, reordering, delay, partitions,
// crashes between write and flush, transfers, membership changes, compaction, snapshots. Safety is asserted
// on every step, liveness after the storm. The same seed gives the same run.

import { acceptedIn } from "../../../src/consensus/paxos/log.ts";
import { hasQuorum } from "../../../src/consensus/quorum-math.ts";
import {
  decodeMembership,
  EMPTY_MEMBERSHIP,
  membersOf,
  membershipOf,
  sameMembership,
} from "../../../src/consensus/membership.ts";
import type {
  Effects,
  Entry,
  Input,
  Membership,
  Message,
  ReplicaStatus,
} from "../../../src/consensus/seam.ts";
import { ReplicaWatch, type LeaderClaim, type NodeKnowledge } from "../../sim/replica-watch.ts";
import { isPaxosMessage } from "../../../src/consensus/paxos/messages.ts";
import { PAXOS, type Protocol } from "./protocols.ts";
import { digestOf, seededRandom, SimulatedHost, type Snapshot } from "./simulated-host.ts";

const ELECTION_TICKS = 10;
const HEARTBEAT_TICKS = 2;
const UNCOMMITTED_BYTES_MAX = 200;
const INFLIGHT_BYTES_MAX = 400;
const INFLIGHT_MESSAGES_MAX = 4;
const NO_CLAIM: LeaderClaim = { leader: null, term: 0 };
const encoder = new TextEncoder();

/** Which cluster a seed runs. */
export interface Layout {
  readonly name: string;
  readonly membership: Membership;
  /** Nodes that may join later. */
  readonly spares: readonly string[];
}

export const LAYOUTS: readonly Layout[] = [
  layout("three voters", { voters: ["a", "b", "c"] }, ["d", "e"]),
  layout("five voters", { voters: ["a", "b", "c", "d", "e"] }, ["f"]),
  layout("three voters and a learner", { voters: ["a", "b", "c"], learners: ["d"] }, ["e"]),
  layout("two data voters and an arbiter", { voters: ["a", "b", "z"], arbiters: ["z"] }, ["c"]),
  layout("four data voters and an arbiter", { voters: ["a", "b", "c", "d", "z"], arbiters: ["z"] }, []),
  layout("one voter that grows", { voters: ["a"] }, ["b", "c"]),
];

function layout(name: string, parts: Partial<Membership>, spares: readonly string[]): Layout {
  return { name, membership: membershipOf(parts), spares };
}

/** What a run did, so that a test can tell a storm from a calm. */
export interface Tally {
  steps: number;
  elections: number;
  committed: number;
  reads: number;
  snapshots: number;
  changes: number;
  crashes: number;
  /** Replicas that were taken away, and began anew. */
  wipes: number;
  handOvers: number;
}

interface InFlight {
  readonly due: number;
  readonly order: number;
  readonly message: Message;
}

interface Stream {
  readonly due: number;
  readonly from: string;
  readonly to: string;
  readonly term: number;
  readonly snapshot: Snapshot;
  readonly fails: boolean;
}

/** Runs one seed. @throws Error naming the broken invariant */
export function runSeed(protocol: Protocol, seed: number, layoutOf: Layout = layoutFor(seed)): Tally {
  const cluster = new RandomCluster(protocol, seed, layoutOf);
  cluster.storm(260);
  cluster.heal();
  return cluster.tally;
}

export function layoutFor(seed: number): Layout {
  const chosen = LAYOUTS[seed % LAYOUTS.length];
  if (chosen === undefined) throw new Error("there are layouts");
  return chosen;
}

class RandomCluster {
  readonly tally: Tally = {
    steps: 0,
    elections: 0,
    committed: 0,
    reads: 0,
    snapshots: 0,
    changes: 0,
    crashes: 0,
    wipes: 0,
    handOvers: 0,
  };
  readonly #protocol: Protocol;
  readonly #random: () => number;
  readonly #hosts = new Map<string, SimulatedHost>();
  readonly #arbiters: readonly string[];
  #now = 0;
  #order = 0;
  #network: InFlight[] = [];
  #streams: Stream[] = [];
  readonly #wanted: { readonly host: SimulatedHost; readonly to: string; readonly term: number }[] = [];
  #blocked = new Set<string>();
  #loss = 0;
  #duplication = 0;
  #delayMax = 1;
  #flushChance = 1;
  #nextContext = 1;
  // What was ever true, to hold every later step against.
  readonly #leaderOfTerm = new Map<number, string>();
  readonly #voteOf = new Map<string, string>();
  readonly #entryAt = new Map<string, { readonly digest: number; readonly prevTerm: number }>();
  readonly #committed: Entry[] = [];
  readonly #promisedBy = new Map<string, number>();
  readonly #chosenAt = new Map<number, number>();
  readonly #digestAt = new Map<number, number>();
  readonly #seen = new Map<string, ReplicaStatus & { readonly host: unknown }>();
  readonly #initial: Membership;
  readonly #readFloor = new Map<number, number>();
  readonly #watch = new ReplicaWatch((invariant, message) => this.#must(false, `${invariant}: ${message}`), {
    electionTicks: ELECTION_TICKS,
    uncommittedBytesMax: UNCOMMITTED_BYTES_MAX,
    inflightBytesMax: INFLIGHT_BYTES_MAX,
    inflightMessagesMax: INFLIGHT_MESSAGES_MAX,
    windowSlots: PAXOS.window,
  });

  constructor(protocol: Protocol, seed: number, { membership, spares }: Layout) {
    this.#protocol = protocol;
    this.#random = seededRandom(seed);
    this.#arbiters = membership.arbiters;
    this.#initial = membership;
    const nodes = [...membership.voters, ...membership.learners, ...spares];
    const priorities = this.#random() < 0.5;
    const keepsCommit = this.#random() < 0.5;
    nodes.forEach((id, position) => {
      const arbiter = membership.arbiters.includes(id);
      const host = new SimulatedHost(
        {
          id,
          heartbeatTicks: HEARTBEAT_TICKS,
          electionTicks: ELECTION_TICKS,
          priority: priorities ? position : 0,
          arbiter,
          random: this.#random,
          appendBytesMax: 120,
          inflightBytesMax: INFLIGHT_BYTES_MAX,
          inflightMessagesMax: INFLIGHT_MESSAGES_MAX,
          uncommittedBytesMax: UNCOMMITTED_BYTES_MAX,
        },
        membership,
        {
          onSend: (message) => this.#send(message),
          onEffects: (at, input, effects) => this.#observe(at, input, effects),
          onReplica: (node, replica) => {
            if (replica === undefined) this.#watch.gone(node);
            else this.#watch.watch(node, { id: "group", replica }, this.#knowledgeOf(node, arbiter));
          },
        },
        { create: protocol.create, keepsCommit },
      );
      this.#hosts.set(id, host);
    });
  }

  storm(rounds: number): void {
    for (let round = 0; round < rounds; round += 1) {
      if (round % 40 === 0) this.#changeWeather();
      this.#round(0.9);
      this.#misfortune();
      if (this.#random() < 0.6) this.#client();
      if (this.#random() < 0.15) this.#operator();
    }
  }

  /** No more faults: there must be a leader, everything settles, and everybody agrees. */
  heal(): void {
    this.#loss = 0;
    this.#duplication = 0;
    this.#delayMax = 1;
    this.#flushChance = 1;
    this.#blocked.clear();
    for (const host of this.#hosts.values()) if (host.replica === undefined) host.start();
    let leader: SimulatedHost | undefined;
    for (let round = 0; round < 10 * ELECTION_TICKS && leader === undefined; round += 1) {
      this.#round(1);
      leader = this.#dataLeader();
    }
    this.#must(leader !== undefined, "a leader that takes writes within ten election timeouts");
    for (let round = 0; round < 60 * ELECTION_TICKS; round += 1) {
      leader = this.#dataLeader();
      if (leader !== undefined && round % 10 === 0) {
        const data = encoder.encode(`settle ${round}`);
        leader.step({ kind: "propose", proposals: [{ data, context: this.#nextContext }] });
        this.#nextContext += 1;
      }
      this.#round(1);
      if (leader !== undefined && round > 30 && this.#isSettled(leader)) return;
    }
    this.#must(false, `convergence; ${this.describe()}`);
  }

  describe(): string {
    return [...this.#hosts.values()]
      .map((host) => {
        if (host.replica === undefined) return `${host.id}: down`;
        const { role, term, leader, last, commit, membership, progress } = host.replica.status();
        return `${host.id}: ${role} of ${leader} term ${term} last ${last} commit ${commit} ${JSON.stringify(membership)} ${JSON.stringify(progress)}`;
      })
      .join("\n");
  }

  #isSettled(leader: SimulatedHost): boolean {
    const { membership, last, commit, transferringTo } = leader.running.status();
    if (!membership.voters.includes(leader.id) || membership.outgoing.length > 0) return false;
    if (commit !== last || transferringTo !== "") return false;
    return [...membership.voters, ...membership.learners].every((id) => {
      const host = this.#host(id);
      return host.state.index === last && host.state.digest === leader.state.digest;
    });
  }

  #dataLeader(): SimulatedHost | undefined {
    let best: SimulatedHost | undefined;
    for (const host of this.#hosts.values()) {
      if (host.replica?.status().role !== "leader" || host.options.arbiter) continue;
      if (best === undefined || host.running.status().term > best.running.status().term) best = host;
    }
    return best;
  }

  #round(tickChance: number): void {
    this.#now += 1;
    for (const host of this.#hosts.values()) {
      if (host.replica !== undefined && this.#random() < tickChance) host.step({ kind: "tick" });
    }
    this.#deliver();
    for (const host of this.#hosts.values()) {
      if (host.writes.length === 0 || this.#random() >= this.#flushChance) continue;
      host.flush(this.#random() < 0.7 ? host.writes.length : 1 + this.#below(host.writes.length));
    }
    this.#deliver();
  }

  #deliver(): void {
    // A step may switch to a snapshot and ask for one to be streamed: the host does one after the other.
    for (const { host, to, term } of this.#wanted.splice(0)) {
      if (host.replica !== undefined) this.#beginStream(host, to, term);
    }
    const due = this.#network.filter((one) => one.due <= this.#now);
    this.#network = this.#network.filter((one) => one.due > this.#now);
    due.sort((a, b) => a.order - b.order);
    for (const { message } of due) {
      const host = this.#hosts.get(message.to);
      if (host?.replica === undefined || this.#blocked.has(`${message.from}>${message.to}`)) continue;
      host.step({ kind: "message", message });
    }
    const streams = this.#streams.filter((one) => one.due <= this.#now);
    this.#streams = this.#streams.filter((one) => one.due > this.#now);
    for (const stream of streams) {
      this.#endStream(stream);
      // Now and then the same snapshot arrives again, when it is old.
      if (this.#random() < 0.2) this.#streams.push({ ...stream, due: this.#now + this.#below(20) });
    }
  }

  #endStream({ from, to, term, snapshot, fails }: Stream): void {
    const receiver = this.#host(to);
    const sender = this.#host(from);
    const ok = !fails && receiver.replica !== undefined && !this.#blocked.has(`${from}>${to}`);
    if (ok) {
      receiver.install(snapshot, from, term);
      this.tally.snapshots += 1;
    }
    if (sender.replica !== undefined) {
      sender.step({ kind: "snapshot-sent", to, ok, index: snapshot.meta.index });
    }
  }

  #send(message: Message): void {
    if (isPaxosMessage(message)) {
      const { from, term } = message;
      if (message.kind === "promise")
        this.#promisedBy.set(from, Math.max(this.#promisedBy.get(from) ?? 0, term));
      if (message.kind === "accepted") this.#observeAccepted(from, term, message.first, message.last);
    }
    if (this.#random() < this.#loss) return;
    const copies = this.#random() < this.#duplication ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      const due = this.#now + this.#below(this.#delayMax);
      // Within one round messages keep their order only when nothing delays them.
      const order = this.#delayMax > 1 ? this.#random() * 1e9 : this.#order;
      this.#order += 1;
      this.#network.push({ due, order, message });
    }
  }

  #changeWeather(): void {
    this.#loss = this.#random() < 0.5 ? 0 : this.#random() * 0.3;
    this.#duplication = this.#random() < 0.5 ? 0 : this.#random() * 0.5;
    this.#delayMax = this.#random() < 0.4 ? 1 : 1 + this.#below(8);
    this.#flushChance = this.#random() < 0.5 ? 1 : 0.2 + this.#random() * 0.8;
  }

  #misfortune(): void {
    const ids = [...this.#hosts.keys()];
    if (this.#random() < 0.02) {
      this.#blocked.clear();
      if (this.#random() < 0.6) this.#partition(ids);
    }
    for (const host of this.#hosts.values()) {
      if (host.replica === undefined) {
        if (this.#random() < 0.08) host.start();
      } else if (this.#random() < 0.006) {
        host.crash();
        this.tally.crashes += 1;
        for (const other of this.#hosts.values()) {
          if (other.replica !== undefined && this.#random() < 0.5) {
            other.step({ kind: "unreachable", peer: host.id });
          }
        }
      }
    }
  }

  #partition(ids: readonly string[]): void {
    const kind = this.#below(3);
    const lonely = this.#pick(ids);
    const side = new Set(ids.filter(() => this.#random() < 0.5));
    for (const from of ids) {
      for (const to of ids) {
        const cut =
          kind === 0
            ? side.has(from) !== side.has(to)
            : kind === 1
              ? from === lonely
              : from === lonely || to === lonely;
        if (cut && from !== to) this.#blocked.add(`${from}>${to}`);
      }
    }
  }

  #client(): void {
    const leaders = [...this.#hosts.values()].filter((host) => host.replica?.status().role === "leader");
    const host = leaders.length > 0 ? this.#pick(leaders) : undefined;
    if (host === undefined) return;
    const context = this.#nextContext;
    this.#nextContext += 1;
    if (this.#random() < 0.3) {
      this.#readFloor.set(context, this.#committed.length);
      host.step({ kind: "read", context });
      return;
    }
    const proposals = Array.from({ length: 1 + this.#below(4) }, (_, position) => ({
      data: encoder.encode(`write ${context}.${position} ${"x".repeat(this.#below(40))}`),
      context: context * 10 + position,
    }));
    host.step({ kind: "propose", proposals });
  }

  #operator(): void {
    const running = [...this.#hosts.values()].filter((host) => host.replica !== undefined);
    if (running.length === 0) return;
    const host = this.#pick(running);
    const choice = this.#random();
    if (choice < 0.5) {
      // The host's state must be flushed before the log goes.
      const index = host.disk.applied.index - this.#below(4);
      if (index > 0) host.step({ kind: "compact", index });
    } else if (choice < 0.65) {
      host.step({ kind: "transfer", to: this.#pick([...this.#hosts.keys()]) });
    } else if (choice < 0.7) {
      host.step({ kind: "campaign" });
    } else if (choice < 0.78) {
      this.#takeAway(host);
    } else {
      host.step({ kind: "reconfigure", target: this.#target() });
    }
  }

  /** A replica that its group has let go is deleted; when it is wanted again, it begins with nothing. */
  #takeAway(host: SimulatedHost): void {
    const leader = this.#dataLeader();
    if (this.#protocol.name !== "paxos" || leader === undefined || leader === host) return;
    const named = (membership: Membership): boolean => membersOf(membership).includes(host.id);
    const pending = this.#committed.findLast((entry) => entry.kind === "config");
    const { commit, last, membership } = leader.running.status();
    let wanted = named(membership) || (pending !== undefined && named(decodeMembership(pending.data)));
    for (let index = commit + 1; index <= last; index += 1) {
      const entry = leader.running.entry(index);
      wanted ||= entry?.kind === "config" && named(decodeMembership(entry.data));
    }
    if (wanted || commit < this.#committed.length) return;
    // A node founds its groups with a first entry that no log holds, so who begins with nothing is always streamed
    // the state of today. Nobody may be left here who would have it live through the time when it was a member.
    const past = (pending?.index ?? 0) + this.#protocol.window;
    if (![...this.#hosts.values()].every((one) => one === host || one.disk.snapshot.index >= past)) return;
    this.tally.wipes += 1;
    // It asked the leader whether it is still a member, over the connection on which everything before had come.
    this.#network = this.#network.filter(({ message }) => message.from !== host.id);
    host.wipe();
    this.#promisedBy.delete(host.id);
  }

  #target(): Membership {
    const data = [...this.#hosts.keys()].filter((id) => !this.#arbiters.includes(id));
    const voters = data.filter(() => this.#random() < 0.7);
    const learners = data.filter((id) => !voters.includes(id) && this.#random() < 0.3);
    const arbiters = this.#random() < 0.8 ? this.#arbiters : [];
    return membershipOf({ voters: [...voters, ...arbiters], learners, arbiters });
  }

  #observe(host: SimulatedHost, input: Input, effects: Effects): void {
    this.tally.steps += 1;
    const status = host.running.status();
    const { term, role, commit } = status;
    const seen = this.#seen.get(host.id);
    const before = seen?.host === host.replica ? seen : undefined;
    if (before !== undefined) {
      this.#must(term >= before.term && commit >= before.commit, `${host.id}: term and commit only grow`);
    }
    this.#seen.set(host.id, { ...status, host: host.replica });
    this.#must(status.applied <= commit, `${host.id}: applied <= commit`);
    this.#must(commit <= status.last, `${host.id}: commit <= last`);

    for (const message of effects.sendAfterPersist) this.#observePromise(message);
    for (const message of [...effects.send, ...effects.sendAfterPersist]) {
      this.#must(
        this.#protocol.isMessage(message),
        `${host.id}: what it sends has the shape of its kind (${message.kind})`,
      );
      if (message.kind === "timeout-now" && host.options.arbiter) this.tally.handOvers += 1;
    }
    for (const message of effects.send) {
      this.#must(!this.#protocol.promises(message), `${host.id}: ${message.kind} waits for the flush`);
    }
    for (const { node, match } of status.progress) {
      const last = before?.term === term ? before.progress.find((one) => one.node === node) : undefined;
      this.#must(match >= (last?.match ?? 0), `${host.id}: what ${node} acknowledged only grows`);
    }
    this.#observeMembership(host, effects);
    const isRaft = this.#protocol.name === "raft";
    let prevTerm = host.running.entry((effects.persist?.entries?.[0]?.index ?? 0) - 1)?.term ?? undefined;
    for (const entry of effects.persist?.entries ?? []) {
      if (isRaft) this.#observeEntry(entry, prevTerm);
      else if (entry.kind !== "hole") this.#observeValue(host, entry, term);
      prevTerm = entry.term;
      if (entry.kind === "config" && role === "leader") this.tally.changes += 1;
    }
    if (role === "leader" && before?.role !== "leader") this.#observeElection(host, term);
    let digest = host.state.digest;
    for (const entry of effects.committed) {
      digest = digestOf(digest, entry);
      // A leader that commits its own removal is none any more at the end of the step.
      const leads = role === "leader" || before?.role === "leader";
      // A paxos proposer also finds out in phase 1 what was chosen before.
      const finds = !isRaft && (role === "candidate" || before?.role === "candidate");
      const deciding = isRaft ? (before?.membership ?? status.membership) : this.#decides(entry.index);
      this.#observeCommit(host, entry, digest, leads || finds, deciding);
    }
    if (effects.reads.length > 0) {
      this.#must(!host.options.arbiter, "an arbiter never serves a read");
      for (const { context, index } of effects.reads) {
        this.tally.reads += 1;
        this.#must(
          index >= (this.#readFloor.get(context) ?? 0),
          "no read is older than what completed before it",
        );
        this.#must(this.#readFloor.delete(context), "a read is answered once");
      }
    }
    for (const { to } of effects.snapshotWanted) this.#wanted.push({ host, to, term });
    if (input.kind === "persisted") {
      this.#must(status.durable <= status.last, `${host.id}: durable <= last`);
    }
  }

  /** The configuration in use is the newest one of the log; a snapshot carries the one at its index. */
  #observeMembership(host: SimulatedHost, effects: Effects): void {
    const { persist } = effects;
    if (persist?.compactTo !== undefined) {
      const { index, membership } = persist.compactTo;
      this.#mustBeMembershipAt(host, index, membership);
    }
    if (persist?.truncateFrom === undefined || this.#protocol.name !== "raft") return;
    const { first, last, membership } = host.running.status();
    for (let index = last; index >= first; index -= 1) {
      const entry = host.running.entry(index);
      if (entry?.kind !== "config") continue;
      this.#must(
        sameMembership(membership, decodeMembership(entry.data)),
        `${host.id}: a truncated change is rolled back`,
      );
      return;
    }
  }

  #mustBeMembershipAt(host: SimulatedHost, index: number, membership: Membership): void {
    const due = this.#decides(index + 1);
    // Who joined later knows nothing of the time before the first change.
    const unknown = due === this.#initial && sameMembership(membership, EMPTY_MEMBERSHIP);
    this.#must(unknown || sameMembership(membership, due), `${host.id}: membership at ${index}`);
  }

  /** Who decides a slot, by what is committed. */
  #decides(index: number): Membership {
    const last = index - this.#protocol.window;
    const entry = this.#committed.findLast((one) => one.index <= last && one.kind === "config");
    return entry === undefined ? this.#initial : decodeMembership(entry.data);
  }

  #beginStream(host: SimulatedHost, to: string, term: number): void {
    this.#must(!host.options.arbiter, "an arbiter has no state to stream");
    const { meta } = host.snapshot();
    this.#mustBeMembershipAt(host, meta.index, meta.membership);
    this.#streams.push({
      due: this.#now + 1 + this.#below(6),
      from: host.id,
      to,
      term,
      snapshot: host.snapshot(),
      fails: this.#random() < this.#loss,
    });
  }

  #observePromise(message: Message): void {
    const votedFor = this.#protocol.votesFor(message);
    if (votedFor === undefined) return;
    const key = `${message.from}@${message.term}`;
    const earlier = this.#voteOf.get(key);
    this.#voteOf.set(key, votedFor);
    // A vote that was never flushed was never given: a crash may forget it.
    const flushed = this.#host(message.from).disk.hardState;
    const kept = flushed.term === message.term && flushed.vote === earlier;
    this.#must(
      earlier === undefined || earlier === votedFor || !kept,
      `one vote per term (${message.from} in ${message.term})`,
    );
  }

  /** Paxos: (slot, reign) names one value, and so does (slot, ballot); nothing is accepted above the promise. */
  #observeValue(host: SimulatedHost, entry: Entry, term: number): void {
    const digest = digestOf(0, entry);
    const round = acceptedIn(entry);
    this.#must(round <= term, `${host.id}: accepted in ${round}, promised ${term}`);
    for (const key of [`${entry.index}/${entry.term}`, `${entry.index}@${round}`]) {
      const known = this.#entryAt.get(key);
      if (known === undefined) this.#entryAt.set(key, { digest, prevTerm: 0 });
      else this.#must(known.digest === digest, `one value at ${key}`);
    }
  }

  /** Paxos: an acknowledgement has left. What a quorum of those who decide holds of one ballot is chosen for ever. */
  #observeAccepted(from: string, term: number, first: number, last: number): void {
    const promised = this.#promisedBy.get(from) ?? 0;
    this.#must(term >= promised, `${from} accepts in ${term} after it promised ${promised}`);
    for (let index = first; index <= last; index += 1) {
      const accepted = this.#onDisk(this.#host(from), index);
      if (accepted === undefined || acceptedIn(accepted) !== term) continue;
      if (index - this.#protocol.window > this.#committed.length) continue;
      const holds = (id: string): boolean => {
        const entry = this.#onDisk(this.#host(id), index);
        return entry !== undefined && entry.kind !== "hole" && acceptedIn(entry) === term;
      };
      if (!hasQuorum(this.#decides(index), holds)) continue;
      const chosen = this.#chosenAt.get(index) ?? digestOf(0, accepted);
      this.#chosenAt.set(index, chosen);
      this.#must(chosen === digestOf(0, accepted), `one chosen value in slot ${index}`);
    }
  }

  #onDisk({ disk }: SimulatedHost, index: number): Entry | undefined {
    return disk.entries[index - disk.snapshot.index - 1];
  }

  #observeEntry(entry: Entry, prevTerm: number | undefined): void {
    const key = `${entry.index}/${entry.term}`;
    const digest = digestOf(0, entry);
    const known = this.#entryAt.get(key);
    if (known === undefined) {
      if (prevTerm !== undefined) this.#entryAt.set(key, { digest, prevTerm });
      return;
    }
    const matches = known.digest === digest && (prevTerm === undefined || known.prevTerm === prevTerm);
    this.#must(matches, `logs match at ${key}`);
  }

  #observeElection(host: SimulatedHost, term: number): void {
    this.tally.elections += 1;
    const other = this.#leaderOfTerm.get(term);
    this.#must(other === undefined || other === host.id, `one leader in term ${term}`);
    this.#leaderOfTerm.set(term, host.id);
    this.#must(
      host.disk.hardState.term === term && host.disk.hardState.vote === host.id,
      `${host.id} leads with its own vote on disk`,
    );
    const { first, last } = host.running.status();
    this.#must(last >= this.#committed.length, `${host.id} leads with every committed entry`);
    for (let index = first; index <= this.#committed.length; index += 1) {
      this.#must(
        host.running.entry(index)?.term === this.#committed[index - 1]?.term,
        `${host.id} leads with committed entry ${index}`,
      );
    }
  }

  #observeCommit(
    host: SimulatedHost,
    entry: Entry,
    digest: number,
    leads: boolean,
    membership: Membership,
  ): void {
    const known = this.#committed[entry.index - 1];
    if (known === undefined) {
      this.#must(entry.index === this.#committed.length + 1, "commits leave no gap");
      this.#must(leads, `entry ${entry.index} is committed by a leader first`);
      const chosen = this.#chosenAt.get(entry.index) ?? digestOf(0, entry);
      this.#must(chosen === digestOf(0, entry), `committed entry ${entry.index} is the chosen one`);
      this.#committed.push(entry);
      this.#digestAt.set(entry.index, digest);
      this.tally.committed += 1;
      // Which configuration decided: the same step may already have appended the next.
      const holds = (id: string): boolean => this.#hasOnDisk(this.#host(id), entry);
      this.#must(hasQuorum(membership, holds), `entry ${entry.index} is on disk at a quorum when committed`);
      return;
    }
    this.#must(known.term === entry.term, `committed entry ${entry.index} never changes`);
    if (host.state.index > 0 || entry.index === 1 || !host.options.arbiter) {
      this.#must(
        this.#digestAt.get(entry.index) === digest,
        `${host.id}: same index ${entry.index}, same state`,
      );
    }
  }

  #knowledgeOf(node: string, arbiter: boolean): NodeKnowledge {
    return {
      isArbiter: () => arbiter,
      claimOf: () => NO_CLAIM,
      isOnDisk: (_group, index, term) => {
        const { disk } = this.#host(node);
        return disk.snapshot.index >= index || disk.entries[index - disk.snapshot.index - 1]?.term === term;
      },
    };
  }

  #hasOnDisk({ disk }: SimulatedHost, entry: Entry): boolean {
    if (disk.snapshot.index >= entry.index) return true;
    const present = disk.entries[entry.index - disk.snapshot.index - 1];
    return present?.term === entry.term && present.kind === entry.kind;
  }

  #host(id: string): SimulatedHost {
    const host = this.#hosts.get(id);
    if (host === undefined) throw new Error(`no host ${id}`);
    return host;
  }

  #pick<T>(list: readonly T[]): T {
    const picked = list[this.#below(list.length)];
    if (picked === undefined) throw new Error("nothing to pick from");
    return picked;
  }

  #below(bound: number): number {
    return Math.floor(this.#random() * bound);
  }

  #must(holds: boolean, promise: string): void {
    if (!holds) throw new Error(`broken at round ${this.#now}: ${promise}`);
  }
}
