// Situations that chance hardly ever brings about, one kind of them in some seeds: a few faults and requests in the
// order in which they hurt, begun again and again. A drill draws from a stream of its own, so that seeds without one run
// as they did before there were any.

import type { GroupId, NodeId, Protocol, ShardId } from "../../src/model/ids.ts";
import { shardOfKey } from "../../src/topology/shard-map.ts";
import type { Chance } from "./chance.ts";
import type { Machine } from "./machine.ts";
import type { SimulatedNetwork } from "./network.ts";
import type { Key, Request, Workload } from "./workload.ts";
import type { World } from "./world.ts";

/**
 * - burst: a leader that is cut off takes many writes; then it is back, and whoever led meanwhile is not, or its disk
 *   has still to write what others have replaced.
 * - answers: connections break when they carry the answer to a write, and few sessions make room for each other.
 * - arbiter: an arbiter has to lead, because it alone has the newest entries, and is asked to read.
 * - members: a leader dies as soon as other members are committed, which nobody else knows by then; beside all other faults.
 * - damaged: all lose power while nobody has heard of what was just accepted, and the log of one of them is damaged.
 * - overtaken: a state is on its way to a copy that has accepted beyond it what is chosen by then, by its voice.
 * - cut: a copy is sent a state in place of its own, and its log loses the end, with the word of that.
 * - recalled: a copy of a shard moves away and is called back while what it held is still being deleted.
 * - forgotten: a copy is away while what it holds is deleted, until nobody remembers that any more.
 * - halved: a node dies while a copy of a part of its shard is being made there, slowly; what it leaves lies on its disk.
 * - orphan: the same, of a write that the copy took before all others, which was then done elsewhere.
 */
export type Drill =
  | "none"
  | "burst"
  | "answers"
  | "arbiter"
  | "members"
  | "damaged"
  | "overtaken"
  | "cut"
  | "recalled"
  | "forgotten"
  | "halved"
  | "orphan";

const DRILLS: Readonly<Record<Protocol, readonly Drill[]>> = {
  raft: ["burst", "answers", "arbiter", "members", "recalled", "cut"],
  paxos: ["burst", "answers", "damaged", "overtaken", "cut"],
  quorum: ["forgotten", "orphan"],
};
const NONE_PART = 0.7;
/** Of those without another one, with the quorum protocol. */
const HALVED_PART = 0.04;

/** The drill of a seed. */
export function drillOf(apart: Chance, protocol: Protocol): Drill {
  const drawn = apart.next();
  if (drawn < HALVED_PART && protocol === "quorum") return "halved";
  return drawn < NONE_PART ? "none" : apart.pick(DRILLS[protocol]);
}

const LOOK_MS = 10;
/** What is over at once: an arbiter that leads hands over, a copy is sent what it lacks. */
const SHORT_LOOK_MS = 2;
const PATIENCE_MS = 3000;
/** Bytes per second at which a few keys take a second or two. */
const SLOW_COPY = 1000;
/** A disk has written by then, unless it is stalled. */
const FLUSHED_MS = 100;
const BURST_MAX = 12;
/** More slots than a multi-paxos leader works ahead. */
const FLOOD = 300;
const BURST_TIMEOUT_MS = 300;
const ANSWERS_LOST = 0.15;
const WRITE_TIMEOUT_MS = 1000;

export interface DrillParts {
  readonly world: World;
  readonly machines: ReadonlyMap<NodeId, Machine>;
  readonly network: SimulatedNetwork;
  readonly workload: Workload;
  readonly drill: Drill;
  readonly splitSlowly: (machine: Machine, bytesPerSecondMax: number) => void;
  readonly moveShard: (shard: ShardId, from: NodeId, to: NodeId) => void;
  readonly electionTimeoutMs: number;
}

export class Drills {
  isOver = false;
  readonly #parts: DrillParts;
  readonly #chance: Chance;

  constructor(parts: DrillParts) {
    this.#parts = parts;
    this.#chance = parts.world.chanceApart("drills");
  }

  start(): void {
    const { drill, world, network } = this.#parts;
    if (drill === "none") return;
    world.say("drill", drill);
    if (drill === "burst") this.#burst();
    if (drill === "forgotten") this.#forget();
    if (drill === "orphan") this.#orphan();
    if (drill === "halved") this.#halve();
    if (drill === "arbiter") this.#leadByArbiter();
    if (drill === "damaged") this.#damage();
    if (drill === "overtaken") this.#overtake();
    if (drill === "cut") this.#cutLog();
    if (drill === "recalled") this.#recall();
    if (drill === "answers") network.losesAnswer = (method, asked) => this.#losesAnswer(method, asked);
  }

  /** A replica of the node has committed another membership, before all others. */
  onMembers(node: NodeId): void {
    const { drill, machines } = this.#parts;
    const chance = this.#chance;
    if (drill !== "members" || this.isOver || !chance.hits(0.5)) return;
    const machine = machines.get(node);
    this.#after(0, () => {
      machine?.crash("killed with members that only it knows to be committed");
      this.#after(chance.between(300, 2000), () => {
        if (machine?.canReturn === true) machine.start();
      });
    });
  }

  /** In some cases the disk of whoever answered is full when it is asked again. */
  #losesAnswer(method: string, asked: NodeId): boolean {
    const chance = this.#chance;
    if (method !== "propose" || this.isOver || !chance.hits(ANSWERS_LOST)) return false;
    const machine = this.#parts.machines.get(asked);
    if (machine !== undefined && chance.hits(0.2)) {
      machine.disk.isFull = true;
      this.#after(chance.between(100, 600), () => {
        machine.disk.isFull = false;
      });
    }
    return true;
  }

  /** Does something later, unless everything was healed meanwhile. */
  #after(ms: number, work: () => void): void {
    this.#parts.world.timeline.plan(ms, () => {
      if (!this.isOver) work();
    });
  }

  /** Does something as soon as it is so, or when it took too long. */
  #once(
    isSo: () => boolean,
    work: () => void,
    lookMs = LOOK_MS,
    untilMs = this.#parts.world.nowMs + PATIENCE_MS,
  ): void {
    this.#after(lookMs, () => {
      if (isSo() || this.#parts.world.nowMs >= untilMs) work();
      else this.#once(isSo, work, lookMs, untilMs);
    });
  }

  /** Asks a machine for a write; told a moment later whether it was done for certain. */
  #write(machine: Machine | undefined, request: () => Request, then: (isDone: boolean) => void): void {
    const { workload } = this.#parts;
    if (machine === undefined) this.#after(LOOK_MS, () => then(false));
    else {
      workload.ask("drill", machine, request(), WRITE_TIMEOUT_MS, (outcome) => {
        this.#after(outcome === "ok" ? 0 : LOOK_MS, () => then(outcome === "ok"));
      });
    }
  }

  #isolate(id: NodeId, isOn: boolean): void {
    const { network, machines, world } = this.#parts;
    world.say("drill", `${id} is ${isOn ? "cut off" : "back"}`);
    for (const other of machines.keys()) {
      if (other === id) continue;
      for (const [from, to] of [
        [id, other],
        [other, id],
      ] as const) {
        if (isOn) network.block(from, to);
        else network.unblock(from, to);
      }
    }
  }

  #leaders(): { readonly machine: Machine; readonly group: GroupId }[] {
    return [...this.#parts.machines.values()].flatMap((machine) =>
      [...(machine.core?.host.groups.values() ?? [])].flatMap(({ id, replica }) =>
        replica.status().role === "leader" ? [{ machine, group: id }] : [],
      ),
    );
  }

  #burst(): void {
    const { workload, electionTimeoutMs } = this.#parts;
    const chance = this.#chance;
    this.#after(chance.between(0, electionTimeoutMs), () => {
      const led = this.#ledKey();
      if (led === undefined) {
        this.#burst();
        return;
      }
      const { machine, group, key } = led;
      // With an open session, what comes later is in the log of whoever leads at once.
      this.#write(
        machine,
        () => workload.put([key]),
        (isDone) => {
          if (isDone) this.#cutOffInBurst(machine, group, key);
          else this.#burst();
        },
      );
    });
  }

  #cutOffInBurst(machine: Machine, group: GroupId, key: Key): void {
    const { world, workload, electionTimeoutMs } = this.#parts;
    const chance = this.#chance;
    this.#isolate(machine.id, true);
    // Its disk is on the same network, and comes back a little later.
    const isStalled = chance.hits(0.3);
    if (isStalled) machine.disk.stalledUntilMs = world.nowMs + PATIENCE_MS;
    for (let count = 1 + chance.below(BURST_MAX); count > 0; count -= 1) {
      this.#after(chance.between(0, 0.5 * electionTimeoutMs), () => {
        workload.ask("drill", machine, workload.put([key]), BURST_TIMEOUT_MS, () => undefined);
      });
    }
    // More than a leader may work ahead; of a memory that nobody has, so that no history has to explain them.
    for (let count = chance.hits(0.3) ? FLOOD : 0; count > 0; count -= 1) {
      this.#after(chance.between(0, 0.5 * electionTimeoutMs), () => {
        workload.ask("drill", machine, workload.removeNothing(), BURST_TIMEOUT_MS, () => undefined);
      });
    }
    const next = (): Machine | undefined =>
      this.#leaders().find((one) => one.group === group && one.machine !== machine)?.machine;
    this.#once(
      () => next() !== undefined,
      () => {
        const other = isStalled ? undefined : next();
        this.#isolate(machine.id, false);
        if (other !== undefined) this.#isolate(other.id, true);
        if (isStalled) machine.disk.stalledUntilMs = world.nowMs + chance.between(20, 300);
        this.#after(chance.between(2, 4) * electionTimeoutMs, () => {
          if (other !== undefined) this.#isolate(other.id, false);
          this.#burst();
        });
      },
    );
  }

  #recall(): void {
    const { machines, moveShard } = this.#parts;
    const chance = this.#chance;
    this.#after(chance.between(0, 300), () => {
      const map = [...machines.values()].find(({ core }) => core !== undefined)?.core?.map();
      const shard = map === undefined || map.shards.length === 0 ? undefined : chance.pick(map.shards);
      const free = map?.nodes.filter(({ id }) => shard?.replicas.includes(id) === false) ?? [];
      if (shard === undefined || free.length === 0) {
        this.#recall();
        return;
      }
      const from = chance.pick(shard.replicas);
      const to = chance.pick(free).id;
      const status = () => machines.get(from)?.core?.host.groups.get(shard.id)?.replica.status();
      moveShard(shard.id, from, to);
      this.#once(
        () => status() === undefined,
        () => {
          moveShard(shard.id, to, from);
          this.#once(
            () => status()?.membership.voters.includes(from) === true,
            () => this.#after(1000, () => this.#recall()),
          );
        },
      );
    });
  }

  /** What the leader hears of takes long, so that it does not know what is chosen; then the lights go out. */
  #damage(): void {
    const { world, machines, network, workload, electionTimeoutMs } = this.#parts;
    const chance = this.#chance;
    this.#after(chance.between(electionTimeoutMs, 4 * electionTimeoutMs), () => {
      const led = this.#ledKey();
      if (led === undefined) {
        this.#damage();
        return;
      }
      const { machine, group, key } = led;
      for (const other of machines.keys())
        if (other !== machine.id) network.path(other, machine.id).clogMs = 300;
      for (let count = 1 + chance.below(BURST_MAX); count > 0; count -= 1) {
        this.#after(chance.between(0, 100), () => {
          workload.ask("drill", machine, workload.put([key]), BURST_TIMEOUT_MS, () => undefined);
        });
      }
      this.#after(chance.between(60, 200), () => {
        const up = [...machines.values()].filter(({ isUp }) => isUp);
        const holders = up.filter(
          ({ id, core }) => id !== machine.id && core?.host.groups.has(group) === true,
        );
        const victim = holders.length === 0 ? undefined : chance.pick(holders);
        for (const one of up) one.crash("power cut");
        for (const other of machines.keys()) network.path(other, machine.id).clogMs = 0;
        world.say("drill", `the log of ${victim?.id ?? "nobody"} is damaged`);
        if (victim?.disk.flipBit() === true) victim.loss = "damaged";
        for (const one of up) {
          this.#after(chance.between(20, 600), () => {
            if (one.canReturn) one.start();
          });
        }
      });
    });
  }

  /**
   * A copy misses one value, and what it says takes long to arrive. Until its leader hears what it lacks, that is
   * forgotten there: a state has to be sent. The next value is accepted by that copy and its leader alone.
   */
  #overtake(): void {
    const { network, workload, electionTimeoutMs } = this.#parts;
    const chance = this.#chance;
    this.#after(chance.between(0, electionTimeoutMs), () => {
      const led = this.#ledKey();
      const others = led === undefined ? [] : this.#othersOf(led.machine, led.group);
      const behind = others.length === 2 ? chance.pick(others) : undefined;
      const away = others.find((one) => one !== behind);
      if (led === undefined || behind === undefined || away === undefined) {
        this.#overtake();
        return;
      }
      const { machine, group, key } = led;
      const statusOf = ({ core }: Machine) => core?.host.groups.get(group)?.replica.status();
      const answers = network.path(behind.id, machine.id);
      const giveUp = (): void => {
        answers.clogMs = 0;
        this.#overtake();
      };
      const write = (then: () => void): void =>
        this.#write(
          machine,
          () => workload.put([key]),
          (isDone) => (isDone ? then() : giveUp()),
        );
      const isForgotten = (): boolean =>
        (statusOf(machine)?.first ?? 0) > (statusOf(behind)?.commit ?? Infinity) + 1;
      const fill = (left: number): void => {
        if (isForgotten()) this.#chooseAhead(machine, behind, away, group, key);
        else if (left === 0) giveUp();
        else write(() => fill(left - 1));
      };
      // Not so long that the leader takes itself for cut off.
      answers.clogMs = 0.6 * electionTimeoutMs;
      network.block(machine.id, behind.id);
      write(() => {
        network.unblock(machine.id, behind.id);
        fill(BURST_MAX);
      });
    });
  }

  /** A copy is away until it has to be sent a state; a little after it has that, its log is what it was before. */
  #cutLog(): void {
    const { machines, workload, electionTimeoutMs } = this.#parts;
    const chance = this.#chance;
    this.#after(chance.between(0, electionTimeoutMs), () => {
      const led = this.#ledKey();
      const others = led === undefined ? [] : this.#othersOf(led.machine, led.group);
      const behind = others.length === 0 ? undefined : chance.pick(others);
      const known = behind?.logEnd();
      if (led === undefined || behind === undefined || known === undefined) {
        this.#cutLog();
        return;
      }
      const { machine, group, key } = led;
      const groupOf = ({ core }: Machine) => core?.host.groups.get(group);
      const generation = groupOf(behind)?.durable.generation ?? 0;
      const isForgotten = (): boolean =>
        (groupOf(machine)?.replica.status().first ?? 0) >
        (groupOf(behind)?.replica.status().commit ?? Infinity) + 1;
      const comeBack = (): void => {
        this.#isolate(behind.id, false);
        this.#once(
          () => (groupOf(behind)?.durable.generation ?? 0) > generation,
          () =>
            this.#after(chance.between(FLUSHED_MS, 5 * FLUSHED_MS), () => {
              const areWhole = [...machines.values()].every(
                (one) => one.loss === undefined && !one.isRecovering,
              );
              const isCut = areWhole && behind.loseEnd(known);
              this.#after(chance.between(20, 600), () => {
                if (isCut) behind.start();
                this.#cutLog();
              });
            }),
        );
      };
      const fill = (left: number): void => {
        if (left === 0 || isForgotten()) comeBack();
        else
          this.#write(
            machine,
            () => workload.put([key]),
            () => fill(left - 1),
          );
      };
      this.#isolate(behind.id, true);
      fill(BURST_MAX);
    });
  }

  #chooseAhead(machine: Machine, behind: Machine, away: Machine, group: GroupId, key: Key): void {
    const { network, workload, world, electionTimeoutMs } = this.#parts;
    const statusOf = ({ core }: Machine) => core?.host.groups.get(group)?.replica.status();
    const commitOf = (one: Machine): number => statusOf(one)?.commit ?? 0;
    const answers = network.path(behind.id, machine.id);
    const before = statusOf(machine)?.last ?? 0;
    const lacked = commitOf(behind);
    world.say("drill", `${behind.id} lacks what ${machine.id} has forgotten, ${away.id} is away`);
    network.block(machine.id, away.id);
    network.block(away.id, machine.id);
    workload.ask("drill", machine, workload.put([key]), WRITE_TIMEOUT_MS, () => undefined);
    const isSent = (): boolean =>
      statusOf(machine)?.progress.find(({ node }) => node === behind.id)?.state === "snapshot";
    const isLed = (): boolean =>
      this.#leaders().some(
        (one) => one.group === group && one.machine !== machine && commitOf(one.machine) > before,
      );
    const lead = (): void => {
      this.#isolate(machine.id, true);
      answers.clogMs = 0;
      this.#once(isLed, () => {
        this.#isolate(machine.id, false);
        this.#overtake();
      });
    };
    this.#once(
      () => isSent() && commitOf(machine) > before,
      () => {
        // Long enough to see that the state has arrived before its sender knows.
        answers.clogMs = 2 * SHORT_LOOK_MS;
        this.#once(() => commitOf(behind) > lacked, lead, SHORT_LOOK_MS);
      },
      SHORT_LOOK_MS,
      world.nowMs + 3 * electionTimeoutMs,
    );
  }

  /** Of two copies one is away while values are written; then it is back, and the other is not: the arbiter has to lead. */
  #leadByArbiter(): void {
    const { workload, machines, electionTimeoutMs } = this.#parts;
    const chance = this.#chance;
    this.#after(chance.between(0, electionTimeoutMs), () => {
      const led = this.#ledKey();
      const behind = [...machines.values()].find(
        ({ id, spec, core }) =>
          led !== undefined &&
          id !== led.machine.id &&
          spec.role !== "arbiter" &&
          core?.host.groups.has(led.group) === true,
      );
      if (led === undefined || led.machine.spec.role === "arbiter" || behind === undefined) {
        this.#leadByArbiter();
        return;
      }
      const { machine, group, key } = led;
      this.#isolate(behind.id, true);
      this.#writeWithArbiter(machine, group, key, () => {
        this.#isolate(behind.id, false);
        this.#isolate(machine.id, true);
        const arbiter = (): Machine | undefined =>
          this.#leaders().find((one) => one.group === group && one.machine.spec.role === "arbiter")?.machine;
        this.#once(
          () => arbiter() !== undefined,
          () => {
            for (const asked of [arbiter(), behind]) {
              if (asked?.core !== undefined)
                workload.ask("drill", asked, workload.read(key), WRITE_TIMEOUT_MS, () => undefined);
            }
            this.#after(chance.between(0, electionTimeoutMs), () => {
              this.#isolate(machine.id, false);
              this.#leadByArbiter();
            });
          },
          SHORT_LOOK_MS,
        );
      });
    });
  }

  /** The leader and the arbiter are two of three: what is written is done, the other copy away or not. */
  #writeWithArbiter(machine: Machine, group: GroupId, key: Key, then: () => void): void {
    const { world, workload } = this.#parts;
    const term = (): number | undefined => {
      const status = machine.core?.host.groups.get(group)?.replica.status();
      return status?.role === "leader" ? status.term : undefined;
    };
    const led = term();
    const untilMs = world.nowMs + PATIENCE_MS;
    const attempt = (): void =>
      this.#write(
        machine,
        () => workload.put([key]),
        (isDone) => {
          const isLate = !isDone && world.nowMs >= untilMs;
          world.must(
            !isLate || led === undefined || term() !== led,
            "works-with-an-arbiter",
            () => `${machine.id} and the arbiter of ${group} get nothing done while the other copy is away`,
          );
          if (isDone || term() !== led) then();
          else attempt();
        },
      );
    attempt();
  }

  /** Machines with a replica of the group, but for one. */
  #othersOf({ id: one }: Machine, group: GroupId): Machine[] {
    const machines = [...this.#parts.machines.values()];
    return machines.filter(({ id, core }) => id !== one && core?.host.groups.has(group) === true);
  }

  /** A group with a leader, and a key of it. */
  #ledKey(): { readonly machine: Machine; readonly group: GroupId; readonly key: Key } | undefined {
    const { keys } = this.#parts.workload;
    const led = this.#leaders().flatMap(({ machine, group }) =>
      keys.flatMap((key) => (shardOf(machine, key) === group ? [{ machine, group, key }] : [])),
    );
    return led.length === 0 ? undefined : this.#chance.pick(led);
  }

  /** A value reaches every copy, one copy goes away, the value is deleted, and the deletion is forgotten by the rest. */
  #forget(): void {
    const chance = this.#chance;
    const key = this.#parts.workload.quietKey();
    const everywhere = (): boolean =>
      this.#copiesOf(key).every((machine) => this.#holds(machine, key) === "value");
    const put = (): void => {
      const up = this.#up();
      this.#write(
        up.length === 0 ? undefined : chance.pick(up),
        () => this.#parts.workload.put([key]),
        (isDone) => {
          if (!isDone) {
            put();
            return;
          }
          this.#once(everywhere, () => {
            const copies = this.#copiesOf(key);
            const away = copies.length < 2 ? undefined : chance.pick(copies);
            if (away === undefined) return;
            this.#isolate(away.id, true);
            this.#forgetWithout(away, key);
          });
        },
      );
    };
    this.#after(chance.between(0, 100), put);
  }

  /** A node without a copy brings a write to one that is cut off as soon as it has it, and then to the next. */
  #orphan(): void {
    const { workload, world } = this.#parts;
    const chance = this.#chance;
    const key = workload.quietKey();
    const taken = (): Machine | undefined =>
      this.#copiesOf(key).find((machine) => this.#holds(machine, key) === "value");
    const begin = (): void => {
      const outside = this.#up().filter((machine) => this.#holds(machine, key) === undefined);
      if (outside.length === 0 || this.#copiesOf(key).length < 2) {
        this.#after(LOOK_MS, begin);
        return;
      }
      let away: Machine | undefined;
      const cutOff = (): void => {
        away = taken();
        if (away === undefined) return;
        this.#isolate(away.id, true);
        // Once it is on the disk. What is on its way to it, or from it, is lost then.
        this.#after(FLUSHED_MS, () => away?.crash("killed with what it alone has heard of"));
      };
      this.#once(() => taken() !== undefined, cutOff, 1, world.nowMs + PATIENCE_MS);
      workload.ask("drill", chance.pick(outside), workload.put([key]), 2 * PATIENCE_MS, () => {
        // The history tells which of two was first where a moment lies between them.
        this.#after(LOOK_MS, () => {
          if (away !== undefined) this.#forgetWithout(away, key);
        });
      });
    };
    this.#after(chance.between(0, 100), begin);
  }

  /** Dies once some of the copy that it makes is on the disk, and makes it anew. */
  #halve(): void {
    const chance = this.#chance;
    const isMaking = ({ core }: Machine): boolean => {
      const handover = core?.map().handover;
      return handover !== undefined && core?.leaderless?.shards.succession(handover.id).state === "copying";
    };
    this.#after(chance.between(0, 500), () => {
      const up = this.#up();
      if (up.length > 0) this.#parts.splitSlowly(chance.pick(up), SLOW_COPY);
      const makers = (): Machine[] => this.#up().filter(isMaking);
      this.#once(
        () => makers().length > 0,
        () => {
          const making = makers();
          if (making.length === 0) {
            this.#halve();
            return;
          }
          const victim = chance.pick(making);
          this.#after(chance.between(FLUSHED_MS, 10 * FLUSHED_MS), () => {
            victim.crash("killed while it makes a copy");
            this.#after(chance.between(20, 600), () => {
              if (victim.canReturn) victim.start();
              this.#halve();
            });
          });
        },
      );
    });
  }

  /** The value is deleted while a copy is cut off, which is back when no other remembers that. */
  #forgetWithout(away: Machine, key: Key): void {
    const { workload, world } = this.#parts;
    const isForgotten = (): boolean =>
      this.#copiesOf(key).every((machine) => machine === away || this.#holds(machine, key) === "nothing");
    const remove = (): void => {
      const able = this.#up().filter((machine) => machine !== away);
      const asked = able.length === 0 ? undefined : this.#chance.pick(able);
      this.#write(
        asked,
        () => workload.remove(key),
        (isDone) => {
          if (!isDone) {
            remove();
            return;
          }
          const back = (): void => {
            this.#isolate(away.id, false);
            if (!away.isUp && away.canReturn) away.start();
          };
          this.#once(isForgotten, back, LOOK_MS, world.nowMs + 2 * PATIENCE_MS);
        },
      );
    };
    remove();
  }

  #up(): Machine[] {
    return [...this.#parts.machines.values()].filter(({ core }) => core !== undefined);
  }

  #copiesOf(key: Key): Machine[] {
    return this.#up().filter((machine) => this.#holds(machine, key) !== undefined);
  }

  /** What a machine's copy has of a key; undefined where it has no copy, or none that answers. */
  #holds(machine: Machine, key: Key): "value" | "deletion" | "nothing" | undefined {
    const shard = shardOf(machine, key);
    const copy = shard === undefined ? undefined : machine.core?.leaderless?.shards.here(shard)?.copy;
    if (copy?.isReadable !== true) return undefined;
    const { versions } = copy.items.outline(key.id);
    if (versions.length === 0) return "nothing";
    return versions.some(({ value }) => value !== null) ? "value" : "deletion";
  }
}

/** By the map that the machine has. */
function shardOf({ core }: Machine, { user }: Key): ShardId | undefined {
  const map = core?.map();
  return map === undefined || map.shards.length === 0 ? undefined : shardOfKey(map, user).id;
}
