// What goes wrong, and when. Each seed draws which kinds of faults it has and how often: one that has all of
// them never shows what a single one does. Faults end by themselves, and all of them end when the run heals.

import { META_GROUP, type GroupId, type NodeId, type ShardId } from "../../src/model/ids.ts";
import type { ShardMap, ShardSlice } from "../../src/model/shard-map.ts";
import { changeOfMap } from "../../src/node/cluster/map-change.ts";
import type { CallContext } from "../../src/memory/service.ts";
import { shardById } from "../../src/topology/shard-map.ts";
import type { Chance } from "./chance.ts";
import type { Layout, Mood } from "./layout.ts";
import { Operator } from "./operator.ts";
import type { Machine } from "./machine.ts";
import { CALM, type SimulatedNetwork } from "./network.ts";
import type { World } from "./world.ts";

const HOUR_MS = 3_600_000;
/** Kinds that a seed of some mood always has, and twice as often as others. */
const KINDS_OF_MOOD: Readonly<Partial<Record<Mood, readonly string[]>>> = {
  snapshots: ["transfer", "reset", "slow", "weather"],
  members: ["move", "members", "crash", "slow", "relay"],
  arbiters: ["crash", "isolate", "slow", "relay"],
  clients: ["reset", "clog", "crash", "full"],
};
/** What takes a while comes to no end where something fails all the time. */
const PAUSES_OF_MOOD: Readonly<Partial<Record<Mood, readonly number[]>>> = {
  members: [400, 800, 1200],
  clients: [400, 800],
};
const ADMIN_TIMEOUT_MS = 6000;
const CALL_BACK_MS_MAX = 3000;
const LOOK_MS = 10;

type Fault = () => void;

export class Faults {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #network: SimulatedNetwork;
  readonly #machines: ReadonlyMap<NodeId, Machine>;
  readonly #layout: Layout;
  readonly #kinds: readonly Fault[];
  /** Whether a disk of this run may lose something for good. */
  readonly losesData: boolean;
  readonly #spares: Machine[];
  readonly #pauseMsMean: number;
  /** Whom an admin asked for something and was not answered by yet. */
  readonly #asked = new Set<{ readonly process: Machine["process"] }>();
  #isOver = false;
  #hasLost = false;
  /** When somebody was asked to leave last: nobody can tell how far that is. */
  #membersAskedMs = -Infinity;
  readonly #rotting: NodeId;
  /** Faults prefer those that lead. */
  readonly #huntsLeaders: boolean;
  readonly operator: Operator;

  constructor(parts: {
    readonly world: World;
    readonly network: SimulatedNetwork;
    readonly machines: ReadonlyMap<NodeId, Machine>;
    readonly spares: readonly Machine[];
    readonly layout: Layout;
  }) {
    this.#world = parts.world;
    this.#chance = parts.world.chance.fork("faults");
    this.#network = parts.network;
    this.#machines = parts.machines;
    this.#layout = parts.layout;
    this.#spares = [...parts.spares];
    const chance = this.#chance;
    const all: readonly (readonly [string, Fault])[] = [
      ["crash", () => this.#crash()],
      ["crash", () => this.#crash()],
      ["power", () => this.#powerCut()],
      ["pause", () => this.#pause()],
      ["isolate", () => this.#isolate()],
      ["relay", () => this.#relay()],
      ["one-way", () => this.#oneWay()],
      ["split", () => this.#split()],
      ["bridge", () => this.#bridge()],
      ["ring", () => this.#ring()],
      ["clog", () => this.#clog()],
      ["reset", () => this.#reset()],
      ["weather", () => this.#changeWeather()],
      ["full", () => this.#fillDisk()],
      ["stall", () => this.#stallDisk()],
      ["eio", () => this.#failDisk()],
      ["slow", () => this.#slowDisk()],
      ["clock", () => this.#jump()],
      ["transfer", () => this.#transfer()],
      ["members", () => this.#changeMembers()],
      ["move", () => this.#moveReplica()],
      ["move", () => this.#moveReplica()],
      ["loss", () => this.#lose()],
      ["rot", () => this.#rot()],
      ["flap", () => this.#flap()],
    ];
    const favoured = KINDS_OF_MOOD[parts.layout.mood] ?? [];
    const chosen = all.flatMap((one) => {
      const isChosen = chance.hits(0.45);
      if (favoured.includes(one[0])) return [one, one];
      return isChosen ? [one] : [];
    });
    this.#kinds = chosen.map(([, fault]) => fault);
    this.#rotting = chance.pick([...parts.machines.keys()]);
    this.#huntsLeaders = chance.hits(0.4);
    this.#pauseMsMean = chance.pick(PAUSES_OF_MOOD[parts.layout.mood] ?? [150, 400, 1200]);
    const names = [...new Set(chosen.map(([name]) => name))];
    this.losesData = names.includes("loss") || names.includes("rot");
    this.operator = new Operator({
      world: parts.world,
      machines: parts.machines,
      copies: parts.layout.manifest.replication.replicas + 1,
      keys: parts.layout.handedOver,
      isBusy: parts.layout.mood === "members",
      contextOf: (machine) => this.#context(machine),
      follow: (machine, words, work) => this.#follow(machine, words, work),
      crash: (machine, why) => this.#crashAndRestart(machine, why),
    });
    this.#world.say(
      "faults",
      names.length === 0 ? "none" : `${names.join(", ")}, every ${this.#pauseMsMean} ms`,
    );
  }

  /** Questions of an admin that somebody still works on. */
  get open(): number {
    return [...this.#asked].filter(({ process }) => process?.isAlive === true).length;
  }

  start(): void {
    if (this.#kinds.length > 0) this.#next();
    this.operator.start();
  }

  /** Ends every fault, and brings back what can come back. */
  heal(): void {
    this.#isOver = true;
    this.operator.isOver = true;
    this.#world.say("faults", "all faults end");
    this.#network.healAll();
    for (const machine of this.#machines.values()) {
      machine.disk.isFull = false;
      machine.disk.isFailing = false;
      machine.disk.endStall();
      machine.disk.slowMs = 0;
      machine.disk.misdirects = false;
      machine.resume();
      if (!machine.isUp && machine.canReturn) machine.start();
    }
  }

  #next(): void {
    this.#world.timeline.plan(this.#chance.between(0, 2 * this.#pauseMsMean), () => {
      if (this.#isOver) return;
      this.#chance.pick(this.#kinds)();
      this.#next();
    });
  }

  /** Does something later, unless everything was healed meanwhile. */
  #after(ms: number, work: () => void): void {
    this.#world.timeline.plan(ms, () => {
      if (!this.#isOver) work();
    });
  }

  #up(): Machine[] {
    return [...this.#machines.values()].filter((machine) => machine.isUp);
  }

  #anyUp(): Machine | undefined {
    const up = this.#up();
    return up.length === 0 ? undefined : this.#chance.pick(up);
  }

  /** Whom a fault is for: in some runs it is mostly a leader, for whom more is under way. */
  #victim(): Machine | undefined {
    if (!this.#huntsLeaders || !this.#chance.hits(0.7)) return this.#anyUp();
    const leaders = this.#leaders();
    return leaders.length === 0 ? this.#anyUp() : this.#chance.pick(leaders).machine;
  }

  /** Each group that a machine leads, or thinks it does. */
  #leaders(): { readonly machine: Machine; readonly group: GroupId }[] {
    return this.#up().flatMap((machine) =>
      [...(machine.core?.host.groups.values() ?? [])].flatMap(({ id, replica }) =>
        replica.status().role === "leader" ? [{ machine, group: id }] : [],
      ),
    );
  }

  #crash(): void {
    const machine = this.#victim();
    if (machine !== undefined) this.#crashAndRestart(machine, "killed");
  }

  #crashAndRestart(machine: Machine, why: string): void {
    machine.crash(why);
    this.#after(this.#chance.between(20, this.#chance.pick([100, 1000, 4000])), () => {
      machine.disk.isFailing = false;
      if (machine.canReturn) machine.start();
    });
  }

  #powerCut(): void {
    for (const machine of this.#up()) this.#crashAndRestart(machine, "power cut");
  }

  #pause(): void {
    this.#victim()?.pause(this.#chance.between(50, this.#chance.pick([300, 2000, 5000])));
  }

  #ids(): NodeId[] {
    return [...this.#machines.keys()];
  }

  /** Blocks paths for a while. Returns how long. */
  #block(
    words: string,
    paths: readonly (readonly [NodeId, NodeId])[],
    ms = this.#chance.between(100, this.#chance.pick([500, 2000, 5000])),
  ): number {
    const chance = this.#chance;
    this.#world.say("faults", words);
    for (const [from, to] of paths) this.#network.block(from, to);
    if (chance.hits(0.3)) for (const [from, to] of paths) this.#network.breakLink(from, to);
    this.#after(ms, () => {
      this.#world.say("faults", `${words}: over`);
      for (const [from, to] of paths) this.#network.unblock(from, to);
    });
    return ms;
  }

  #cutOff(id: NodeId, ms?: number): number {
    const others = this.#ids().filter((other) => other !== id);
    return this.#block(`${id} is cut off`, between([id], others), ms);
  }

  #isolate(): void {
    const id = this.#victim()?.id ?? this.#chance.pick(this.#ids());
    const ms = this.#cutOff(id);
    // Its disk is on the same network, and comes back a little later.
    const machine = this.#machines.get(id);
    if (machine !== undefined && this.#chance.hits(0.3))
      this.#stall(machine, ms + this.#chance.between(0, 400));
  }

  /** A leader is cut off until there is another; then that one is, and the first, with what it took alone, is back. */
  #relay(): void {
    const chance = this.#chance;
    const led = this.#leaders();
    if (led.length === 0) return;
    const { machine, group } = chance.pick(led);
    const ms = chance.between(0.8, 2.5) * this.#layout.manifest.consensus.electionTimeoutMs;
    this.#cutOff(machine.id, ms);
    this.#after(ms, () => {
      const next = this.#leaders().find((one) => one.group === group && one.machine !== machine);
      if (next !== undefined) this.#cutOff(next.machine.id);
    });
  }

  /** What somebody sends is lost for a moment, and what it sends next is not; often it dies soon after that. */
  #flap(): void {
    const machine = this.#victim();
    if (machine === undefined) return;
    const chance = this.#chance;
    const others = this.#ids().filter((other) => other !== machine.id);
    this.#world.say("faults", `${machine.id} is not heard for a moment`);
    for (const other of others) this.#network.block(machine.id, other);
    this.#after(chance.between(1, chance.pick([10, 40])), () => {
      for (const other of others) this.#network.unblock(machine.id, other);
      if (chance.hits(0.6)) {
        this.#after(chance.between(0, 60), () => {
          if (machine.isUp) this.#crashAndRestart(machine, "killed after it was not heard");
        });
      }
    });
  }

  #oneWay(): void {
    const [from = "", to = ""] = this.#chance.shuffled(this.#ids());
    if (this.#chance.hits(0.5)) {
      this.#block(`nothing gets from ${from} to ${to}`, [[from, to]]);
      return;
    }
    const others = this.#ids().filter((other) => other !== from);
    const isDeaf = this.#chance.hits(0.5);
    this.#block(
      isDeaf ? `${from} hears nobody` : `nobody hears ${from}`,
      others.map((other) => (isDeaf ? [other, from] : [from, other])),
    );
  }

  #split(): void {
    const ids = this.#chance.shuffled(this.#ids());
    const one = ids.slice(0, 1 + this.#chance.below(ids.length - 1));
    const other = ids.filter((id) => !one.includes(id));
    this.#block(`${one.join(",")} and ${other.join(",")} are apart`, between(one, other));
  }

  /** Two halves that only one node sees both of. */
  #bridge(): void {
    const [middle = "", ...rest] = this.#chance.shuffled(this.#ids());
    const half = Math.floor(rest.length / 2);
    this.#block(`only ${middle} sees both sides`, between(rest.slice(0, half), rest.slice(half)));
  }

  /** Each node sees its two neighbours only. */
  #ring(): void {
    const ids = this.#chance.shuffled(this.#ids());
    const paths: (readonly [NodeId, NodeId])[] = [];
    ids.forEach((a, at) =>
      ids.forEach((b, other) => {
        const distance = Math.abs(at - other);
        if (distance > 1 && distance < ids.length - 1) paths.push([a, b]);
      }),
    );
    this.#block(`a ring: ${ids.join(" ")}`, paths);
  }

  #clog(): void {
    const [from = "", to = ""] = this.#chance.shuffled(this.#ids());
    const ms = this.#chance.between(20, this.#chance.pick([100, 1000]));
    this.#world.say("faults", `from ${from} to ${to} takes ${Math.round(ms)} ms more`);
    this.#network.path(from, to).clogMs = ms;
    this.#after(this.#chance.between(200, 3000), () => {
      this.#network.path(from, to).clogMs = 0;
    });
  }

  /** What is under way between two nodes is lost: a leader may lose several connections at once. */
  #reset(): void {
    const a = this.#victim()?.id ?? this.#chance.pick(this.#ids());
    const others = this.#chance.shuffled(this.#ids().filter((other) => other !== a));
    for (const b of others.slice(0, this.#chance.pick([1, 1, others.length]))) {
      this.#world.say("faults", `${a} and ${b} lose their connection`);
      this.#network.breakLink(a, b);
    }
  }

  #changeWeather(): void {
    const chance = this.#chance;
    if (chance.hits(0.3)) {
      this.#network.weather = { ...CALM };
      return;
    }
    const weather = {
      loss: chance.hits(0.5) ? chance.between(0, 0.3) : 0,
      duplication: chance.hits(0.5) ? chance.between(0, 0.5) : 0,
      delayMsMin: 0.2,
      delayMsMax: chance.pick([1, 10, 60]),
      straggling: chance.hits(0.5) ? chance.between(0, 0.2) : 0,
    };
    this.#network.weather = weather;
    const percent = (part: number): string => `${Math.round(part * 100)} %`;
    this.#world.say(
      "faults",
      `weather: ${percent(weather.loss)} lost, ${percent(weather.duplication)} twice, up to ${weather.delayMsMax} ms, ${percent(weather.straggling)} much later`,
    );
  }

  /** Replicas hold the same, so their disks may be full at the same time. */
  #fillDisk(): void {
    const all = [...this.#machines.values()];
    const isEverywhere = this.#chance.hits(0.4);
    // Then what waits for room has lost the one who asked for it, who asks again.
    for (let resets = isEverywhere ? this.#chance.below(4) : 0; resets > 0; resets -= 1) {
      this.#after(this.#chance.between(0, 2000), () => this.#reset());
    }
    for (const machine of isEverywhere ? all : [this.#victim() ?? this.#chance.pick(all)]) {
      machine.disk.isFull = true;
      this.#world.say(machine.id, "disk is full");
      this.#after(this.#chance.between(100, 4000), () => {
        machine.disk.isFull = false;
        this.#world.say(machine.id, "disk has room again");
      });
    }
  }

  /** Nothing that is written from now on is done before the disk answers again. */
  #stallDisk(): void {
    const machine = this.#victim();
    if (machine === undefined) return;
    this.#stall(machine, this.#chance.between(20, this.#chance.pick([100, 600, 2000])));
  }

  #stall(machine: Machine, ms: number): void {
    machine.disk.stalledUntilMs = this.#world.nowMs + ms;
    this.#world.say(machine.id, `disk hangs for ${Math.round(ms)} ms`);
  }

  #failDisk(): void {
    const machine = this.#anyUp();
    if (machine === undefined) return;
    machine.disk.isFailing = true;
    this.#world.say(machine.id, "disk fails");
    this.#after(this.#chance.between(300, 2000), () => {
      machine.disk.isFailing = false;
      if (!machine.isUp && machine.canReturn) machine.start();
    });
  }

  /** Nothing is lost, everything takes its time. */
  #slowDisk(): void {
    const machine = this.#chance.pick([...this.#machines.values()]);
    const ms = this.#chance.between(20, this.#chance.pick([100, 500]));
    machine.disk.slowMs = ms;
    this.#world.say(machine.id, `every write takes ${Math.round(ms)} ms more`);
    this.#after(this.#chance.between(200, 3000), () => {
      machine.disk.slowMs = 0;
    });
  }

  #jump(): void {
    const machine = this.#chance.pick([...this.#machines.values()]);
    machine.clockHabits.wallOffsetMs += this.#chance.pick([-HOUR_MS, HOUR_MS, -1000, 1000]);
    if (machine.clockHabits.wallOffsetMs > 0) machine.wasAhead = true;
    this.#world.say(machine.id, "its wall clock is set");
  }

  #context(machine: Machine): CallContext {
    return {
      deadlineMs: (machine.process?.clock.nowMs() ?? 0) + ADMIN_TIMEOUT_MS,
      requestId: "admin",
      consistency: { read: "linearizable", write: "quorum" },
    };
  }

  #follow(
    machine: Machine,
    words: string,
    work: Promise<unknown>,
    onDone: () => void = () => undefined,
  ): void {
    const { process } = machine;
    this.#world.say(machine.id, `is asked: ${words}`);
    const asked = { process };
    this.#asked.add(asked);
    work.then(
      () => {
        this.#asked.delete(asked);
        if (process?.isAlive !== true) return;
        this.#world.say(machine.id, `${words}: done`);
        onDone();
      },
      (error: unknown) => {
        this.#asked.delete(asked);
        if (process?.isAlive !== true) return;
        this.#world.say(machine.id, `${words}: ${error instanceof Error ? error.message : String(error)}`);
      },
    );
  }

  #transfer(): void {
    const machine = this.#anyUp();
    const core = machine?.core;
    if (machine === undefined || core === undefined) return;
    const map = core.map();
    if (map.nodes.length === 0) return;
    const group = this.#chance.pick([META_GROUP, ...map.shards.map((shard) => shard.id)]);
    const members =
      group === META_GROUP ? map.metaVoters : (map.shards.find(({ id }) => id === group)?.replicas ?? []);
    const to = this.#chance.hits(0.5) && members.length > 0 ? this.#chance.pick(members) : undefined;
    const work = core.admin.transfer({ group, ...(to === undefined ? {} : { to }) }, this.#context(machine));
    this.#follow(machine, `hand ${group} over${to === undefined ? "" : ` to ${to}`}`, work);
  }

  #changeMembers(): void {
    const machine = this.#anyUp();
    const core = machine?.core;
    if (machine === undefined || core === undefined) return;
    const spare = this.#spares[0];
    if (spare !== undefined && !spare.isUp && this.#network.isReachable(spare.id, machine.id)) {
      spare.start();
      const { id, address, role, zone, weight } = spare.spec;
      const work = core.admin.join(
        { id, address, role, zone, weight, draining: false },
        this.#context(machine),
      );
      this.#follow(machine, `let ${id} join`, work, () => void this.#spares.shift());
      return;
    }
    const map = core.map();
    // With one machine gone for good, whoever else leaves may take a quorum along.
    const gone = [...this.#machines.values()].find(({ loss, hasLeft }) => loss !== undefined && !hasLeft);
    // It has not been told yet who is in the cluster.
    if (map.nodes.length === 0) return;
    this.#membersAskedMs = this.#world.nowMs;
    const leaving = gone ?? this.#machines.get(this.#chance.pick(map.nodes).id);
    if (leaving === undefined || !map.nodes.some(({ id }) => id === leaving.id)) return;
    const work = core.admin.leave(leaving.id, this.#context(machine));
    this.#follow(machine, `let ${leaving.id} leave`, work, () => {
      leaving.hasLeft = true;
      leaving.crash("it left");
    });
  }

  /** Puts a copy of a shard onto another node, as an operator does who balances the cluster, and may think better of it. */
  #moveReplica(): void {
    if (!this.#layout.canMove) {
      this.operator.operate();
      return;
    }
    const map = this.#anyUp()?.core?.map();
    // One that is only being made keeps the members that found it.
    const shards = map?.shards.filter(({ founding }) => founding !== true) ?? [];
    if (map === undefined || shards.length === 0) return;
    const shard = this.#chance.pick(shards);
    const from = this.#chance.pick(shard.replicas);
    const free = map.nodes.filter(
      ({ id, role, draining }) =>
        role !== "arbiter" && !draining && ![...shard.replicas, ...shard.arbiters].includes(id),
    );
    if (free.length === 0) return;
    const { id: to } = this.#chance.pick(free);
    this.moveShard(shard.id, from, to);
    if (this.#chance.hits(0.5)) this.#callBack(shard, to, from);
  }

  /** The copy moves back, in some runs as soon as it is gone: then it begins with nothing. */
  #callBack({ id, replicas }: ShardSlice, from: NodeId, gone: NodeId): void {
    const chance = this.#chance;
    const ledBy = (): NodeId | undefined => this.#leaders().find(({ group }) => group === id)?.machine.id;
    const others = replicas.filter((other) => other !== gone && other !== ledBy());
    if (others.length === 0 || chance.hits(0.4)) {
      const backMs = chance.between(0, chance.pick([300, 2000]));
      this.#after(backMs, () => this.moveShard(id, from, gone));
      return;
    }
    const status = () => this.#machines.get(gone)?.core?.host.groups.get(id)?.replica.status();
    const other = chance.pick(others);
    const isAwayAgain = chance.hits(0.4);
    // Another copy sees nothing of all this, and is back when the leader is not there: it knows the members of before.
    if (!isAwayAgain) this.#cutOff(other, CALL_BACK_MS_MAX);
    const isGone = (): boolean => this.#machines.get(gone)?.core !== undefined && status() === undefined;
    const isBlank = (): boolean => status()?.membership.voters.length === 0;
    this.#once(isGone, () => {
      this.moveShard(id, from, gone);
      this.#once(isBlank, () => {
        if (isAwayAgain) {
          this.moveShard(id, gone, from);
          return;
        }
        const rest = this.#ids().filter((one) => one !== other);
        for (const [one, two] of between([other], rest)) this.#network.unblock(one, two);
        const leader = ledBy();
        const electionMs = this.#layout.manifest.consensus.electionTimeoutMs;
        if (leader !== undefined) this.#cutOff(leader, chance.between(2, 4) * electionMs);
      });
    });
  }

  /** Does something as soon as it is so, unless that takes too long. */
  #once(isSo: () => boolean, work: () => void, untilMs = this.#world.nowMs + CALL_BACK_MS_MAX): void {
    this.#after(LOOK_MS, () => {
      if (isSo()) work();
      else if (this.#world.nowMs < untilMs) this.#once(isSo, work, untilMs);
    });
  }

  moveShard(shard: ShardId, from: NodeId, to: NodeId): void {
    const machine = this.#anyUp();
    const core = machine?.core;
    if (machine === undefined || core === undefined || this.#hasLost) return;
    this.#membersAskedMs = this.#world.nowMs;
    const { deadlineMs } = this.#context(machine);
    const work = changeOfMap(
      core.map(),
      (newest) => withReplicaMoved(newest, shard, from, to),
      (command) => core.router.changeMap(command, deadlineMs),
    );
    this.#follow(machine, `move shard ${shard} from ${from} to ${to}`, work);
  }

  /** Bits of the applied state of one machine flip, always the same: the others keep good copies. */
  #rot(): void {
    const machine = this.#machines.get(this.#rotting);
    if (machine === undefined || machine.loss !== undefined || !this.#layout.canRot) return;
    // A lost copy and a rotten one may be all there are.
    if (this.#hasLost || this.#hasOnlyCopy(machine.id)) return;
    this.#hasLost = true;
    this.#crashAndRestart(machine, "bits of its state flip");
    machine.disk.rot();
  }

  /** Whether some group, by any replica of it, keeps its data on that machine alone: copies may have been taken away. */
  #hasOnlyCopy(id: NodeId): boolean {
    return [...this.#machines.values()].some((machine) =>
      [...(machine.core?.host.groups.values() ?? [])].some(({ replica }) => {
        const { voters, arbiters } = replica.status().membership;
        const copies = voters.filter((voter) => !arbiters.includes(voter));
        return copies.length > 0 && copies.every((voter) => voter === id);
      }),
    );
  }

  /** Whether every group, as any replica of it sees itself, keeps a quorum and its data without the machine. */
  #canSpare(id: NodeId): boolean {
    for (const machine of this.#machines.values()) {
      // What the map wants comes to pass, whatever the groups are now.
      const map = machine.core?.map();
      const wanted = [
        map?.metaVoters ?? [],
        ...(map?.shards.map((s) => [...s.replicas, ...s.arbiters]) ?? []),
      ];
      for (const voters of wanted) {
        if (2 * voters.filter((voter) => voter !== id).length <= voters.length && voters.length > 0)
          return false;
      }
      for (const { replica } of machine.core?.host.groups.values() ?? []) {
        const { voters, outgoing, arbiters } = replica.status().membership;
        const left = voters.filter((voter) => voter !== id);
        if (outgoing.length > 0 || 2 * left.length <= voters.length) return false;
        if (left.every((voter) => arbiters.includes(voter))) return false;
      }
    }
    return true;
  }

  /** Whether the cluster can do without what this machine has. */
  #mayLose(machine: Machine): boolean {
    const members = machine.core?.map().nodes.map(({ id }) => id) ?? [];
    if (!members.includes(machine.id)) return false;
    // Who has not begun yet waits for every founder, or for one that has begun: this one may be the only one.
    if (!this.#up().some((other) => other !== machine && other.core !== undefined)) return false;
    const askedMs = Math.max(this.#membersAskedMs, this.operator.askedMs);
    if (this.#world.nowMs - askedMs < ADMIN_TIMEOUT_MS || !this.#canSpare(machine.id)) return false;
    // What has still to be moved may need it.
    return !this.#up().some(({ core }) => core?.admin.report().operation !== undefined);
  }

  /** One machine loses its data, or some of it, for good. */
  #lose(): void {
    if (this.#hasLost || !this.#layout.canLoseOne) return;
    const machine = this.#anyUp();
    if (machine === undefined || !this.#mayLose(machine)) return;
    this.#hasLost = true;
    const choice = this.#chance.next();
    if (choice < 0.3) {
      machine.wipe();
    } else if (choice < 0.55) {
      machine.crash("a bit of its log flips");
      if (!machine.disk.flipBit()) return;
      machine.loss = "damaged";
    } else if (choice < 0.8) {
      const known = machine.logEnd();
      this.#after(this.#chance.between(200, 4000), () => {
        if (known !== undefined && this.#mayLose(machine) && machine.loseEnd(known)) {
          this.#after(this.#chance.between(50, 2000), () => machine.start());
        } else this.#hasLost = false;
      });
      return;
    } else {
      machine.disk.misdirects = true;
      this.#after(500, () => {
        machine.disk.misdirects = false;
        if (machine.disk.isMisdirected) this.#crashAndRestart(machine, "after a misdirected write");
      });
      return;
    }
    // It tries to come back: with nothing it must not, with a damaged log it recovers.
    this.#after(this.#chance.between(50, 2000), () => machine.start());
  }
}

/** The very same map where it is not possible, or done. */
function withReplicaMoved(map: ShardMap, shard: ShardId, from: NodeId, to: NodeId): ShardMap {
  const replicas = shardById(map, shard)?.replicas ?? [];
  const isMember = map.nodes.some(({ id, draining }) => id === to && !draining);
  if (!isMember || !replicas.includes(from) || replicas.includes(to)) return map;
  const moved = replicas.map((id) => (id === from ? to : id));
  return {
    ...map,
    epoch: map.epoch + 1,
    shards: map.shards.map((one) => (one.id === shard ? { ...one, replicas: moved } : one)),
  };
}

function between(one: readonly NodeId[], other: readonly NodeId[]): (readonly [NodeId, NodeId])[] {
  return one.flatMap((a) => other.flatMap((b) => [[a, b] as const, [b, a] as const]));
}
