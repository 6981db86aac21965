// One seed: a cluster of real node cores under virtual time, clients, faults; invariants in every step; then the
// faults end, and the cluster must be whole again. Safety and liveness are judged apart: what a fault may
// delay is only demanded after the last one.

import { META_GROUP, type GroupId, type NodeId, type Protocol } from "../../src/model/ids.ts";
import type { NodeSpec } from "../../src/model/manifest.ts";
import type { MemoryEvent } from "../../src/model/node-api.ts";
import { hasEnded, type OperationSummary } from "../../src/model/operation.ts";
import { copiesOfLevel } from "../../src/model/consistency.ts";
import type { Handover } from "../../src/model/shard-map.ts";
import { hasHandedOver } from "../../src/topology/handovers.ts";
import { shardOfKey } from "../../src/topology/shard-map.ts";
import { checkConvergence } from "../histories/convergence.ts";
import { MemoryMachine } from "../../src/node/memories/memory-machine.ts";
import { StoreCorruptError } from "../../src/node/storage/store.ts";
import { extendKey, prefixEnd } from "../../src/node/storage/key.ts";
import { checkLinearizability } from "../histories/linearizability.ts";
import { Drills } from "./drills.ts";
import { Faults } from "./faults.ts";
import { Invariants } from "./invariants.ts";
import { clockHabitsOf, diskHabitsOf, DIMENSIONS, habitsOfNode, layoutOf, type Layout } from "./layout.ts";
import { LeaderlessWatch } from "./leaderless.ts";
import { Machine, newestMap, Process, ProcessEnded, recoveringMembers } from "./machine.ts";
import { SimulatedNetwork } from "./network.ts";
import { OddChanges } from "./odd-changes.ts";
import { OperationWatch, type OperationCounts } from "./operation-watch.ts";
import { Questions } from "./questions.ts";
import { ReplicaWatch } from "./replica-watch.ts";
import { Workload } from "./workload.ts";
import { World, type SimulationViolation } from "./world.ts";

export interface SimulationOptions {
  readonly protocol: Protocol;
  readonly seed: number;
  /** Keep what happened as lines of text. */
  readonly trace?: boolean;
}

export interface SimulationResult {
  readonly events: number;
  readonly simulatedMs: number;
  /** Equal for two runs of a seed. */
  readonly traceHash: string;
  readonly violation: SimulationViolation | undefined;
  /** What the cluster carried out. */
  readonly operations: OperationCounts;
  readonly trace?: readonly string[];
}

/** As the host counts them. */
const TICKS_PER_HEARTBEAT = 4;
/** Slots between a membership and the first that it decides, of multi-paxos. */
const WINDOW_SLOTS = 256;
const LOG_BYTES_MAX = 64 << 10;
/** Of these, what a replica keeps beside what a leader works ahead. */
const KEPT_BYTES_MAX = 48 << 10;
const STORM_MS_MIN = 5000;
const STORM_MS_MAX = 10_000;
/** No deadline is longer. */
const REQUESTS_MS_MAX = 7500;
const ELECTIONS_TO_HEAL = 10;
/** A few steps, and the longest that one of them is given. */
const OPERATION_MS = 30_000;
const LOOK_MS = 50;
/** Time in which every pair of copies is compared more than once. */
const QUIET_MS = 2500;
const SEARCH_ENDS_MS = 500;
/** A run that comes to no end by itself. */
const END_MS = 120_000;

/** Runs one seed to its end, or to its first violation. */
export async function simulate({
  protocol,
  seed,
  trace = false,
}: SimulationOptions): Promise<SimulationResult> {
  const world = new World(seed, trace);
  const onRejection = (error: unknown): void => {
    if (error instanceof ProcessEnded) return;
    const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
    world.violate("no-unhandled-rejection", why);
  };
  process.on("unhandledRejection", onRejection);
  // Refusals are part of the day here, and nobody reads where they were made.
  const { stackTraceLimit } = Error;
  if (!trace) Error.stackTraceLimit = 2;
  const run = new Run(world, protocol);
  try {
    await run.run();
  } finally {
    process.off("unhandledRejection", onRejection);
    Error.stackTraceLimit = stackTraceLimit;
  }
  return {
    events: world.timeline.events,
    simulatedMs: world.nowMs,
    traceHash: world.traceHash,
    violation: world.violation,
    operations: run.operations,
    ...(world.lines === undefined ? {} : { trace: world.lines }),
  };
}

class Run {
  readonly #world: World;
  readonly #layout: Layout;
  readonly #network: SimulatedNetwork;
  readonly #invariants: Invariants;
  readonly #watch: ReplicaWatch;
  readonly #machines = new Map<NodeId, Machine>();
  readonly #workload: Workload;
  /** Only where shards have no leaders. */
  readonly #leaderlessWatch: LeaderlessWatch | undefined;
  /** What the copies hold, while it is counted what they still ask each other. */
  #equal: string | undefined;
  #callsWithItems = 0;
  readonly #faults: Faults;
  readonly #drills: Drills;
  readonly #questions: Questions;
  readonly #oddChanges: OddChanges;
  readonly #operations: OperationWatch;
  #isOver = false;

  constructor(world: World, protocol: Protocol) {
    this.#world = world;
    this.#layout = layoutOf(world.chance.fork("layout"), protocol, world.chanceApart("sharding"));
    const { manifest, spares, name } = this.#layout;
    world.say("cluster", `${protocol}: ${name}, election timeout ${manifest.consensus.electionTimeoutMs} ms`);
    const isOver = (group: GroupId): boolean =>
      group !== META_GROUP && this.#map()?.shards.every(({ id }) => id !== group) === true;
    const { heartbeatIntervalMs, electionTimeoutMs } = manifest.consensus;
    const { limits } = this.#layout.nodeHabits;
    this.#invariants = new Invariants(world, this.#machines, {
      // In a burst a leader may work ahead by more than that.
      logBytesMax: Math.max(LOG_BYTES_MAX, KEPT_BYTES_MAX + (limits.uncommittedBytesMax ?? 0)),
      isOver,
    });
    this.#watch = new ReplicaWatch((invariant, message) => world.violate(invariant, message), {
      electionTicks: Math.ceil((electionTimeoutMs * TICKS_PER_HEARTBEAT) / heartbeatIntervalMs),
      uncommittedBytesMax: limits.uncommittedBytesMax ?? Infinity,
      inflightBytesMax: limits.inflightBytesMax ?? Infinity,
      inflightMessagesMax: limits.inflightMessagesMax ?? Infinity,
      windowSlots: WINDOW_SLOTS,
      keptLog: {
        logBytesMax: LOG_BYTES_MAX,
        lookBytes: Math.max(limits.logBytes ?? 0, limits.groupLogBytesMin ?? 0),
      },
      isOver,
    });
    this.#network = new SimulatedNetwork(world, world.chance.fork("network"), {
      onSend: (from, to, group, message) => this.#invariants.onSend(from, to, group, message),
      onLinked: (a, b) => this.#invariants.onLinked(a, b),
      onCall: (method, by) => {
        // If they are, the change of copies is over in a moment.
        if (method === "quorum-filled") this.#faults.operator.onProgress(by, 0.15);
        // Asked again and again while keys are handed over.
        if (method === "succession") this.#faults.operator.onProgress(by, 0.01);
        const isOfItems = method === "quorum-items" || method === "quorum-keys";
        if (isOfItems && this.#digests() === this.#equal) this.#callsWithItems += 1;
      },
      onAsked: (asked, method, body) =>
        method === "members"
          ? this.#watch.askedForMembers(asked, (body as { group: GroupId }).group)
          : undefined,
    });
    for (const spec of manifest.nodes) this.#machines.set(spec.id, this.#machine(spec, manifest.nodes));
    for (const spec of spares) {
      // It is started from a manifest that names it: that of the cluster has changed since.
      this.#machines.set(spec.id, this.#machine(spec, [...manifest.nodes, spec]));
    }
    this.#oddChanges = new OddChanges(
      world,
      world.chance.fork("odd changes"),
      () => protocol !== "paxos" && !this.#faults.losesData && this.#layout.drill !== "cut",
    );
    this.#workload = new Workload(world, this.#machines, 1 + world.chance.below(3), manifest.consensus);
    this.#watch.onDone = (text) => this.#workload.see(text);
    this.#watch.onMembers = (node) => this.#drills.onMembers(node);
    const { leaderless } = this.#layout.nodeHabits.limits;
    if (protocol === "quorum" && leaderless !== undefined) {
      const watch = new LeaderlessWatch(world, this.#machines, leaderless);
      this.#leaderlessWatch = watch;
      this.#network.writeMsMax = leaderless.graceMs;
      const { read, write } = manifest.consensus.consistency;
      if (read === "one") this.#workload.isOutdated = (asked) => watch.goesByOldCopies(asked);
      this.#workload.onRead = (asked, key, value) => watch.judgeRead(asked, key, value, read);
      this.#workload.onWrite = (asked, key, value) => watch.judgeWrite(asked, key, value, write);
    }
    this.#faults = new Faults({
      world,
      network: this.#network,
      machines: this.#machines,
      spares: spares.flatMap(({ id }) => this.#machines.get(id) ?? []),
      layout: this.#layout,
    });
    const asksAlways = this.#layout.drill === "members";
    this.#questions = new Questions(world, this.#machines, this.#network, asksAlways);
    this.#drills = new Drills({
      world,
      machines: this.#machines,
      network: this.#network,
      workload: this.#workload,
      drill: this.#layout.drill,
      splitSlowly: (machine, bytesPerSecondMax) =>
        this.#faults.operator.splitSlowly(machine, bytesPerSecondMax),
      moveShard: (shard, from, to) => this.#faults.moveShard(shard, from, to),
      electionTimeoutMs,
    });
    const { operator } = this.#faults;
    this.#invariants.onNewMap = (name) => operator.onProgress(name, 0.25);
    this.#operations = new OperationWatch(
      world,
      (operation) => operator.onOperation(operation),
      (node) => operator.undrained.has(node),
    );
  }

  get operations(): OperationCounts {
    return this.#operations.counts();
  }

  async run(): Promise<void> {
    const world = this.#world;
    const { timeline, chance } = world;
    for (const { id } of this.#layout.manifest.nodes) {
      timeline.plan(chance.between(0, 300), () => this.#machines.get(id)?.start());
    }
    timeline.plan(500, () =>
      this.#workload.start((this.#layout.mood === "clients" ? 4 : 1) + chance.below(4)),
    );
    timeline.plan(chance.pick([0, 1500]), () => {
      // Other faults would seldom leave a drill the time that it takes.
      if (this.#layout.drill === "none" || this.#layout.drill === "members") this.#faults.start();
    });
    timeline.plan(500, () => this.#drills.start());
    timeline.plan(chance.between(STORM_MS_MIN, STORM_MS_MAX), () => this.#heal());
    await timeline.run({
      onSettled: (owner) => {
        if (!(owner instanceof Process) || !owner.isAlive) return;
        this.#invariants.look(owner);
        this.#lookAtOperations(owner);
        this.#leaderlessWatch?.look(owner);
      },
      isOver: () => this.#isOver || world.violation !== undefined || world.nowMs > END_MS,
      onThrow: (error, owner) => {
        if (error instanceof ProcessEnded) return;
        const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
        world.violate("no-uncaught-exception", `${owner?.name ?? "the simulator"}: ${why}`);
      },
      onLeak: (source) => world.violate("no-real-time", `simulated code used ${source}`),
    });
    world.must(this.#isOver || world.violation !== undefined, "run-ends", () => "no event is left");
    if (world.violation === undefined) this.#judge();
  }

  #lookAtOperations(process: Process): void {
    const core = process.running;
    if (core !== undefined && this.#machines.get(process.name)?.loss !== "wiped") {
      this.#operations.look(process, core);
    }
  }

  #heal(): void {
    this.#workload.isOver = true;
    this.#drills.isOver = true;
    this.#faults.heal();
    this.#oddChanges.isOver = true;
    const electionMs = this.#layout.manifest.consensus.electionTimeoutMs;
    this.#await(
      "leader-after-heal",
      ELECTIONS_TO_HEAL * electionMs,
      () => this.#leaderless(),
      () => {
        this.#await(
          "requests-end",
          REQUESTS_MS_MAX,
          () => (this.#workload.open + this.#faults.open === 0 ? [] : ["some requests"]),
          () => this.#endOperation(() => this.#useEveryNode()),
        );
      },
    );
  }

  /** What runs comes to its end by itself; where a node that it needs is gone for good, the operator cancels it. */
  #endOperation(then: () => void): void {
    const world = this.#world;
    const isHurt = [...this.#machines.values()].some(({ loss, hasLeft }) => loss !== undefined && !hasLeft);
    const running = (): string[] => {
      const operation = this.#newestOperation();
      // Whoever has just joined may have still to be told the map.
      if (operation === undefined) {
        const { handover } = this.#map() ?? {};
        if (handover === undefined || this.#waitsForLost(handover)) return this.#leaderless();
        return [`still to be ended: ${handover.name}`];
      }
      return [`${operation.name}: ${operation.state} ${operation.running.join(", ")}`];
    };
    if (!isHurt || this.#newestOperation() === undefined) {
      this.#await("operation-ends", OPERATION_MS, running, then);
      return;
    }
    world.timeline.plan(OPERATION_MS / 4, () => {
      const asked = this.#serving()[0];
      const deadlineMs = (asked?.process?.clock.nowMs() ?? 0) + 5000;
      const { consistency } = this.#layout.manifest.consensus;
      // Refused where it has ended meanwhile.
      asked?.core?.admin
        .cancelOperation({ deadlineMs, requestId: "operator", consistency })
        .catch(() => undefined);
      this.#await("operation-ends", OPERATION_MS, running, then);
    });
  }

  /** The keys are the other shard's, and a copy that is gone for good will not follow: the operator would replace its node. */
  #waitsForLost({ phase, from, to }: Handover): boolean {
    const concerned = this.#map()?.shards.filter(({ id }) => id === from || id === to) ?? [];
    const members = concerned.flatMap(({ replicas, outgoing }) => [
      ...replicas,
      ...(outgoing?.replicas ?? []),
    ]);
    const isLost = (id: NodeId): boolean => {
      const machine = this.#machines.get(id);
      return machine?.loss !== undefined && !machine.isUp;
    };
    return this.#leaderlessWatch !== undefined && phase === "dropping" && members.some(isLost);
  }

  #newestOperation(): OperationSummary | undefined {
    const reports = this.#serving().flatMap(({ core }) => core?.admin.report() ?? []);
    return reports.flatMap(({ operation }) => operation ?? []).toSorted((a, b) => b.revision - a.revision)[0];
  }

  /** Every node serves every key again. */
  #useEveryNode(): void {
    let open = 0;
    const workload = this.#workload;
    const [readsAll] = this.#serving();
    const hasFewSessions = (this.#layout.nodeHabits.limits.sessionsMax ?? Infinity) < this.#machines.size;
    for (const machine of this.#serving()) {
      // One of them reads everything, so that the history has an end for every key.
      const keys = machine === readsAll ? workload.keys : workload.keys.slice(0, 2);
      const requests = [workload.put(workload.keys.slice(0, 1)), ...keys.map((key) => workload.read(key))];
      for (const request of requests) {
        open += 1;
        workload.ask(`final-${machine.id}`, machine, request, 5000, (outcome, error) => {
          open -= 1;
          const isMissing = error instanceof Error && Reflect.get(error, "code") === "memory-not-found";
          // Sessions that make room for each other leave some writes unknown by rule.
          const isByRule = outcome === "unknown" && hasFewSessions;
          this.#world.must(
            // One that was still leaving may be gone by now.
            outcome === "ok" || isMissing || isByRule || machine.hasLeft,
            "works-after-heal",
            () => `${machine.id} ${request.words}: ${error instanceof Error ? error.message : outcome}`,
          );
        });
      }
    }
    const electionMs = this.#layout.manifest.consensus.electionTimeoutMs;
    this.#await(
      "requests-end",
      7000,
      () => (open === 0 ? [] : [`${open} requests`]),
      () => {
        this.#await(
          "replicas-converge",
          ELECTIONS_TO_HEAL * electionMs,
          () => this.#behind(),
          () => this.#restQuietly(),
        );
      },
    );
  }

  /** Copies that are equal compare their digests and send each other nothing more (Quorum 11). */
  #restQuietly(): void {
    const copies = this.#serving().flatMap((machine) => [...(machine.core?.leaderless?.shards.all() ?? [])]);
    if (copies.length === 0 || copies.some(({ copy }) => copy.items.remains.size > 0)) {
      this.#isOver = true;
      return;
    }
    // One that began before they were equal still asks for what differed then.
    const began = copies.flatMap(({ copy, comparing }) =>
      [...comparing].map((peer) => ({ name: `a comparison of ${copy.shard} with ${peer}`, peer, comparing })),
    );
    this.#await(
      "comparisons-end",
      QUIET_MS,
      () => began.filter(({ peer, comparing }) => comparing.has(peer)).map(({ name }) => name),
      // A search that its client has given up compares as well, and ends.
      () => this.#world.timeline.plan(SEARCH_ENDS_MS, () => this.#countCallsWithItems()),
    );
  }

  #countCallsWithItems(): void {
    const before = this.#callsWithItems;
    const held = this.#digests();
    // One whose record is found rotten meanwhile is not equal until it has it from another.
    this.#equal = held;
    this.#world.timeline.plan(QUIET_MS, () => {
      // A write whose client has given up may still have waited for a disk: its copies were not equal meanwhile.
      if (this.#digests() !== held) {
        this.#equal = undefined;
        this.#restQuietly();
        return;
      }
      this.#world.must(
        this.#callsWithItems === before,
        "compares-by-digest",
        () => `${this.#callsWithItems - before} calls about keys between copies that are equal`,
      );
      this.#isOver = true;
    });
  }

  /** Of all that the copies hold. */
  #digests(): string {
    return this.#serving()
      .flatMap((machine) => [...(machine.core?.leaderless?.shards.all() ?? [])])
      .map(({ copy }) => copy.items.tree.root)
      .join();
  }

  /** Asks again and again until nothing is missing; what is missing at the end of the time is a violation. */
  #await(invariant: string, withinMs: number, missing: () => readonly string[], then: () => void): void {
    const endMs = this.#world.nowMs + withinMs;
    const look = (): void => {
      const left = missing();
      if (left.length === 0) {
        then();
        return;
      }
      if (this.#world.nowMs >= endMs) {
        this.#world.violate(invariant, `after ${Math.round(withinMs)} ms without faults: ${left.join("; ")}`);
        return;
      }
      this.#world.timeline.plan(LOOK_MS, look);
    };
    look();
  }

  #serving(): Machine[] {
    return [...this.#machines.values()].filter(
      (machine) => machine.loss === undefined && !machine.hasLeft && this.#isMember(machine.id),
    );
  }

  /** By the newest map that anybody has. */
  #isMember(id: NodeId): boolean {
    return this.#map()?.nodes.some((node) => node.id === id) === true;
  }

  #map() {
    return newestMap([...this.#machines.values()].filter(({ loss }) => loss === undefined));
  }

  #groups(): GroupId[] {
    if (this.#leaderlessWatch !== undefined) return [META_GROUP];
    return [META_GROUP, ...(this.#map()?.shards.map((shard) => shard.id) ?? [])];
  }

  #leaderless(): string[] {
    const down = this.#serving().filter((machine) => machine.core === undefined);
    if (down.length > 0) return down.map((machine) => `${machine.id} does not run`);
    const epoch = this.#map()?.epoch ?? 0;
    const behind = this.#serving().filter((machine) => machine.core?.map().epoch !== epoch);
    if (behind.length > 0) return behind.map((machine) => `${machine.id} does not know epoch ${epoch}`);
    const refusing = this.#serving().filter((machine) => machine.core?.host.writeRefusal !== null);
    if (refusing.length > 0) return refusing.map((machine) => `${machine.id} refuses writes`);
    const unsettled = this.#isPaced()
      ? []
      : (this.#leaderlessWatch?.unsettled(this.#serving(), this.#map()) ?? []);
    if (unsettled.length > 0) return unsettled;
    return this.#groups()
      .filter((group) => {
        const leaders = this.#serving().filter(
          (machine) => machine.core?.host.groups.get(group)?.replica.status().role === "leader",
        );
        return leaders.length === 0;
      })
      .map((group) => `${group} has no leader (${this.#wordsOf(group)})`);
  }

  /** What runs copies no faster than it was told, which takes as long as it takes. */
  #isPaced(): boolean {
    return this.#serving().some(({ core }) => {
      const operation = core?.operation() ?? null;
      return operation !== null && !hasEnded(operation) && operation.plan.bytesPerSecondMax !== null;
    });
  }

  /** How each of its replicas sees a group. */
  #wordsOf(group: GroupId): string {
    return [...this.#machines.values()]
      .flatMap((machine) => {
        const status = machine.core?.host.groups.get(group)?.replica.status();
        if (status === undefined) return [];
        const { role, term, commit, last, membership } = status;
        const members = [membership.voters, membership.outgoing, membership.learners]
          .map((ids) => ids.join(","))
          .join(" | ");
        return [`${machine.id} ${role} term ${term} commit ${commit} last ${last} of ${members}`];
      })
      .join("; ");
  }

  /** Replicas that have not applied what is committed. */
  #behind(): string[] {
    const missing: string[] = this.#leaderlessWatch?.apart(this.#serving(), this.#map()) ?? [];
    const operations = this.#serving().map(({ core }) => JSON.stringify(core?.operation() ?? null));
    if (new Set(operations).size > 1) missing.push("not all know the same of the last operation");
    for (const { id } of recoveringMembers(this.#machines.values())) missing.push(`${id} recovers`);
    for (const machine of this.#serving()) {
      const groups = machine.core?.host.groups;
      if (groups === undefined) missing.push(`${machine.id} does not run`);
      for (const group of groups?.values() ?? []) {
        const { role, membership } = group.replica.status();
        if (role === "leader" && membership.outgoing.length > 0) {
          missing.push(`${machine.id} leads ${group.id} in a joint configuration`);
        }
        const committed = this.#invariants.committedTo(group.id);
        if (group.applied < committed) {
          missing.push(`${machine.id} has applied ${group.applied} of ${committed} of ${group.id}`);
        }
      }
    }
    return missing;
  }

  /** What replicas hold in the end: no command was applied twice (7), sessions are bounded (15). */
  #judgeReplicas(): void {
    const sessionsMax = this.#layout.nodeHabits.limits.sessionsMax ?? Infinity;
    for (const { id, core } of this.#serving()) {
      for (const { id: group, machine } of core?.host.groups.values() ?? []) {
        if (!(machine instanceof MemoryMachine)) continue;
        // A damaged record that nobody has read yet is no history.
        const read = (key: string): readonly MemoryEvent[] => {
          try {
            return machine.events(key);
          } catch (error) {
            if (error instanceof StoreCorruptError) return [];
            throw error;
          }
        };
        for (const { id: key } of this.#workload.keys) {
          // Every value is written once, so an update that left two events was applied twice.
          const texts = read(key).map((event) => event.new_memory);
          this.#world.must(
            new Set(texts).size === texts.length,
            "applied-once",
            () => `${id}, group ${group}: the history of ${key} is ${texts.join(", ")}`,
          );
        }
        const start = extendKey(machine.prefix, "session");
        const sessions = [...machine.store.keys({ start, end: prefixEnd(start) })].length;
        this.#world.must(
          sessions <= sessionsMax,
          "sessions-bounded",
          () => `${id}, group ${group}: ${sessions} sessions, ${sessionsMax} at most`,
        );
      }
    }
  }

  #judge(): void {
    if (this.#leaderlessWatch !== undefined) {
      this.#judgeLeaderless(this.#leaderlessWatch);
      return;
    }
    this.#judgeReplicas();
    const [violation] = checkLinearizability(this.#workload.history);
    if (violation !== undefined) {
      this.#world.violate(`history-${violation.code}`, `key ${violation.key}: ${violation.message}`);
    }
  }

  #judgeLeaderless(watch: LeaderlessWatch): void {
    const map = this.#map();
    const { consensus, replication } = this.#layout.manifest;
    const copies = replication.replicas + 1;
    const reads = (count: number): number => copiesOfLevel(consensus.consistency.read, count) ?? count;
    const writes = (count: number): number => copiesOfLevel(consensus.consistency.write, count) ?? count;
    for (const shard of map?.shards ?? []) {
      const keys = this.#workload.keys.filter(
        ({ user }) => map !== undefined && shardOfKey(map, user) === shard,
      );
      const history = this.#workload.history.filter(({ key }) => keys.some(({ id }) => id === key));
      // N is what the shard has: an operator who adds a copy to one may take the overlap of one and one from it. Keys
      // that were handed over were in others before.
      const seen = map !== undefined && hasHandedOver(map) ? undefined : shard.id;
      const counts = [copies, ...this.#invariants.copiesOf(seen)];
      const overlap = counts.every((count) => reads(count) + writes(count) > count);
      const [violation] = checkConvergence(history, watch.states(this.#serving(), shard.id), {
        overlap,
        // Without overlap the newer of two writes is decided by clocks, and they are set at will.
        skewMax: overlap ? 0 : Number.MAX_SAFE_INTEGER,
        atomic: overlap && counts.every((count) => 2 * reads(count) > count),
      });
      if (violation !== undefined) {
        this.#world.violate(`history-${violation.code}`, `key ${violation.key}: ${violation.message}`);
      }
    }
    watch.judgeDigests(this.#serving());
    const ahead = [...this.#machines.values()].filter(({ wasAhead }) => wasAhead).length;
    watch.judgeTimes(this.#serving(), ahead <= 1 && reads(copies) >= 2 && copies >= 3);
  }

  #machine(spec: NodeSpec, nodes: readonly NodeSpec[]): Machine {
    const chance = this.#world.chance.fork(spec.id);
    return new Machine({
      world: this.#world,
      network: this.#network,
      manifest: { ...this.#layout.manifest, nodes },
      spec,
      clockHabits: clockHabitsOf(chance),
      diskHabits: diskHabitsOf(chance),
      nodeHabits: habitsOfNode(this.#layout, chance),
      embedder: {
        embed: (texts) => Promise.resolve(texts.map(() => new Float32Array(DIMENSIONS).fill(1))),
        close: () => Promise.resolve(),
      },
      chance,
      diskWatch: this.#invariants.diskWatch(spec.id),
      reach: (asker, other) =>
        this.#network.isReachable(asker, other) ? this.#machines.get(other) : undefined,
      onMade: (id, core) => {
        const machine = this.#machines.get(id);
        if (machine === undefined || machine.loss === "wiped") return;
        this.#watch.attach(id, core.host.groups, {
          // Every node routes by the map, so even an arbiter has that group's state.
          isArbiter: (group) => group !== META_GROUP && spec.role === "arbiter",
          claimOf: (group) => core.liveness.leaderOf(group),
          isOnDisk: (group, index, term) => machine.disk.mirror?.holds(group, index, term) ?? false,
          onTick: () => {
            if (machine.process !== undefined) machine.process.tickedMs = this.#world.nowMs;
          },
          isHeldBy: (node, group, index, term) => {
            const other = this.#machines.get(node);
            if (other?.loss !== undefined || other?.disk.mirror?.holds(group, index, term) === true)
              return true;
            // Nobody lacks anything of a shard that was merged into another one, though not all have heard of that.
            const map = this.#map();
            if (group === META_GROUP || map === undefined || map.epoch === 0) return false;
            return !map.shards.some((shard) => shard.id === group);
          },
          onLeader: (group) => {
            const led = core.host.groups.get(group);
            if (led !== undefined && machine.process !== undefined) {
              this.#oddChanges.onLeader(led, machine.process);
            }
            this.#questions.onLeader(id, group);
          },
          onSnapshot: (group) => {
            const led = core.host.groups.get(group);
            if (led !== undefined && machine.process !== undefined) {
              this.#oddChanges.onSnapshot(led, machine.process);
            }
          },
        });
      },
      onStarted: (started, log) => this.#invariants.onStarted(started, log),
      onEnded: (id) => this.#watch.gone(id),
    });
  }
}
