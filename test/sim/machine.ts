// One computer of a simulated cluster: its disk, its clock, and one process after another. The process is the
// node's own core between a simulated disk, network and clock; it starts as a real node starts.

import { establish, type Waiting } from "../../src/node/beginning.ts";
import { pause, type Clock } from "../../src/node/clock.ts";
import type { CoreLimits } from "../../src/node/core-options.ts";
import { NodeCore } from "../../src/node/core.ts";
import { canRecover, isEnough, markShort } from "../../src/node/damaged-log.ts";
import { APPLIED } from "../../src/node/host/durable-group.ts";
import { peerUid, readIdentity, writePeerUid } from "../../src/node/identity.ts";
import type { Embedder } from "../../src/memory/embedder.ts";
import { encodeKey, extendKey } from "../../src/node/storage/key.ts";
import { readAnyFrame } from "../../src/node/storage/log-frames.ts";
import { readRecords } from "../../src/node/storage/log-records.ts";
import { LOG_DAMAGED, LogStore } from "../../src/node/storage/log-store.ts";
import { StoreCorruptError } from "../../src/node/storage/store.ts";
import { unpack } from "../../src/node/transport/frames.ts";
import { waitingReport } from "../../src/node/waiting.ts";
import { Mem0ctlError } from "../../src/model/errors.ts";
import { isNoRoom } from "../../src/model/no-room.ts";
import type { GroupId, NodeId } from "../../src/model/ids.ts";
import type { Manifest, NodeSpec } from "../../src/model/manifest.ts";
import type { NodeReport } from "../../src/model/node-api.ts";
import type { ShardMap } from "../../src/model/shard-map.ts";
import type { Chance } from "./chance.ts";
import { SimulatedDisk, SimulatedStore, type DiskHabits, type DiskWatch, type LogEnd } from "./disk.ts";
import type { Port, SimulatedNetwork } from "./network.ts";
import type { Owner, Planned } from "./timeline.ts";
import type { World } from "./world.ts";

/** How a computer's clocks run. */
export interface ClockHabits {
  /** Its seconds to a true one. */
  readonly rate: number;
  wallOffsetMs: number;
}

/** The newest shard map that any of them has. */
export function newestMap(machines: Iterable<Machine>): ShardMap | undefined {
  return [...machines].flatMap(({ core }) => core?.map() ?? []).toSorted((a, b) => b.epoch - a.epoch)[0];
}

/**
 * Members of the cluster that may come back with a damaged log, and do not have everything again yet. One that was let
 * go meanwhile is refused by all others: it never has.
 */
export function recoveringMembers(machines: Iterable<Machine>): Machine[] {
  const all = [...machines];
  const members = newestMap(all)?.nodes.map(({ id }) => id) ?? [];
  return all.filter(
    (machine) => members.includes(machine.id) && machine.isUp && machine.canReturn && machine.isRecovering,
  );
}

/** Small, so that a run of some seconds reaches every limit. */
export interface NodeHabits {
  readonly limits: Partial<CoreLimits>;
  readonly rewriteBytesMin: number;
  readonly aheadBytes: number;
  readonly reserveBytes: number;
}

const ASK_MS = 20;
const ADMIT_MS = 2000;
/** Whoever keeps a node running tries again after so long. */
const START_AGAIN_MS = 300;
export const WALL_START_MS = Date.UTC(2026, 0, 1);

export class Process implements Owner {
  readonly name: NodeId;
  readonly clock: Clock;
  isAlive = true;
  pausedUntilMs = 0;
  /** When a tick came to its replicas last; before the first, when it began to run. */
  tickedMs = 0;
  deferred: Planned[] = [];
  /** Called when it ends: whoever is connected to it notices. */
  readonly onEnd = new Set<() => void>();
  /** Set while it has no data and may not begin. */
  waiting: Waiting | undefined;
  core: NodeCore | undefined;
  port: Port | undefined;
  log: LogStore | undefined;

  constructor(name: NodeId, clock: (owner: Owner) => Clock) {
    this.name = name;
    this.clock = clock(this);
  }

  /** It has started and runs. */
  get running(): NodeCore | undefined {
    return this.isAlive ? this.core : undefined;
  }
}

/** Thrown where a real process would be gone: nothing after it happens. */
export class ProcessEnded extends Error {
  override readonly name = "ProcessEnded";
}

export interface MachineOptions {
  readonly world: World;
  readonly network: SimulatedNetwork;
  readonly manifest: Manifest;
  readonly spec: NodeSpec;
  readonly clockHabits: ClockHabits;
  readonly diskHabits: DiskHabits;
  readonly nodeHabits: NodeHabits;
  readonly embedder: Embedder;
  readonly chance: Chance;
  readonly diskWatch: DiskWatch;
  /** Another machine, where a request could go there and its answer come back. */
  readonly reach: (asker: NodeId, other: NodeId) => Machine | undefined;
  /** Before it opens its replicas. */
  readonly onMade: (id: NodeId, core: NodeCore) => void;
  readonly onStarted: (process: Process, log: LogStore) => void;
  readonly onEnded: (id: NodeId) => void;
}

/** What a log held at some moment. */
export interface KnownEnd extends LogEnd {
  readonly groups: readonly {
    readonly id: GroupId;
    readonly generation: number;
    /** Index of the last entry, on disk or on its way there. */
    readonly last: number;
    /** Something of its state was on disk. */
    readonly had: boolean;
  }[];
}

export class Machine {
  readonly id: NodeId;
  readonly spec: NodeSpec;
  readonly disk: SimulatedDisk;
  readonly clockHabits: ClockHabits;
  process: Process | undefined;
  /** Its data is gone, and it may never come back under its id; or its log is damaged, and it recovers from the others. */
  loss: "wiped" | "damaged" | undefined;
  /** Its log was damaged once, and those of its replicas that it knew of have recovered. */
  #hadDamage = false;
  /** The end of its log was cut off, and it has not started since. */
  #isCut = false;
  /** Its wall clock was ahead of the true time at some moment. */
  wasAhead = false;
  /** It left the cluster. */
  hasLeft = false;
  readonly #options: MachineOptions;
  readonly #chance: Chance;

  constructor(options: MachineOptions) {
    const { world, chance, diskHabits, diskWatch } = options;
    this.id = options.spec.id;
    this.spec = options.spec;
    this.#options = options;
    this.#chance = chance;
    this.clockHabits = options.clockHabits;
    this.disk = new SimulatedDisk(world, chance.fork("disk"), diskHabits, diskWatch);
  }

  get isUp(): boolean {
    return this.process?.isAlive === true;
  }

  get core(): NodeCore | undefined {
    return this.process?.running;
  }

  /** What it lost is to be had from others. */
  get canReturn(): boolean {
    if (this.hasLeft) return false;
    return this.loss === undefined || (this.loss === "damaged" && canRecover(this.#options.manifest));
  }

  /** Of some group it does not have everything again that it lost. */
  get isRecovering(): boolean {
    const groups = [...(this.process?.core?.host.groups.values() ?? [])];
    return groups.some(({ durable }) => durable.recovery !== undefined);
  }

  /** What it says of itself; undefined where it does not answer. */
  report(): NodeReport | undefined {
    const { process } = this;
    if (process?.isAlive !== true) return undefined;
    if (process.core !== undefined) return process.core.admin.report();
    const { manifest, spec } = this.#options;
    if (process.waiting === undefined) return undefined;
    return waitingReport(manifest, spec, process.waiting, { pid: 1, uptimeMs: 0 });
  }

  start(): void {
    if (this.isUp) return;
    const { world } = this.#options;
    const process = new Process(this.id, (owner) => this.#clockFor(owner));
    this.process = process;
    world.say(this.id, "starts");
    world.timeline.plan(
      0,
      () => {
        this.#boot(process).catch((error: unknown) => this.#startFailed(process, error));
      },
      process,
    );
  }

  /** Killed, or without power. */
  crash(why: string): void {
    const { world, network } = this.#options;
    if (this.process === undefined || !this.isUp) return;
    this.process.isAlive = false;
    this.disk.cut();
    network.ended(this.id);
    this.#options.onEnded(this.id);
    world.say(this.id, `crashes (${why})`);
    for (const notice of this.process.onEnd) notice();
  }

  pause(ms: number): void {
    const { world } = this.#options;
    if (this.process === undefined || !this.isUp) return;
    world.timeline.pause(this.process, ms);
    world.say(this.id, `is stopped for ${Math.round(ms)} ms`);
  }

  resume(): void {
    if (this.process !== undefined) this.#options.world.timeline.resume(this.process);
  }

  wipe(): void {
    this.crash("its disk is gone");
    this.disk.wipe();
    this.loss = "wiped";
  }

  /** What its log holds now, to be cut back to this later; undefined where it does not run, or recovers: it would again. */
  logEnd(): KnownEnd | undefined {
    const end = this.disk.logEnd();
    const { core } = this;
    if (end === undefined || core === undefined || this.isRecovering) return undefined;
    const groups = [...core.host.groups.values()].map(({ id, durable, replica }) => {
      const { generation } = durable;
      return {
        id,
        generation,
        last: replica.status().last,
        had: this.#appliedOnDisk(id, generation) !== undefined,
      };
    });
    return { ...end, groups };
  }

  /**
   * It crashes, and all that its log was given since is gone without a trace in the log itself, but not without one in
   * the state: that it must notice. False where nothing would betray it, or nothing was lost.
   */
  loseEnd(known: KnownEnd): boolean {
    if (this.loss !== undefined || this.isRecovering || !this.#isBetrayed(known)) return false;
    this.crash("the end of its log is cut off");
    if (!this.disk.cutBack(known)) return false;
    this.loss = "damaged";
    this.#isCut = true;
    return true;
  }

  /** The state has applied what the log had not then, or another one has taken its place and it is gone. */
  #isBetrayed({ groups }: KnownEnd): boolean {
    return groups.some(({ id, generation, last, had }) => {
      const now = this.core?.host.groups.get(id)?.durable.generation;
      if (now === undefined || !had) return false;
      const applied = this.#appliedOnDisk(id, generation);
      if (now === generation) return applied !== undefined && applied > last;
      return (
        now > generation &&
        applied === undefined &&
        !this.disk.state.isBelow(encodeKey("state", id, generation)) &&
        this.disk.readable(encodeKey("logged", id)) !== undefined
      );
    });
  }

  #appliedOnDisk(group: GroupId, generation: number): number | undefined {
    const bytes = this.disk.readable(extendKey(encodeKey("state", group, generation), APPLIED));
    return bytes === undefined ? undefined : Number(unpack(bytes));
  }

  async #boot(process: Process): Promise<void> {
    const { manifest, spec, nodeHabits, embedder, network, world, reach } = this.#options;
    const { clock } = process;
    const onDiskFailure = (reason: string): never => this.#failed(process, reason);
    const log = new LogStore({
      folder: this.disk.folder(process),
      clock,
      onDiskFailure,
      rewriteBytesMin: nodeHabits.rewriteBytesMin,
      aheadBytes: nodeHabits.aheadBytes,
      reserveBytes: nodeHabits.reserveBytes,
      salvage: (found) => isEnough(manifest, found),
    });
    process.log = log;
    if (log.salvaged !== undefined) this.#hasLost(`its log is damaged at ${log.salvaged.damagedAt}`);
    const state = new SimulatedStore({
      disk: this.disk,
      owner: process,
      clock,
      beforeFlush: () => log.append([]),
      onDiskFailure,
    });
    const stores = { log, state };
    const isShort = await markShort(manifest, stores);
    if (isShort) this.#hasLost("the end of its log is gone");
    if (log.salvaged === undefined) {
      world.must(
        isShort || !this.#isCut,
        "cut-log-is-noticed",
        () => `${this.id} goes on with a log that was cut off`,
      );
    }
    this.#isCut = false;
    const others = manifest.nodes.filter((node) => node.id !== this.id).map((node) => node.id);
    const { identity, start } = await establish({
      manifest,
      spec,
      log,
      clock,
      folder: this.id,
      others: {
        reports: async () => {
          await pause(clock, ASK_MS);
          return others.map((other) => reach(this.id, other)?.report());
        },
        admit: async (through, uid) => {
          await pause(clock, ASK_MS);
          const asked = reach(this.id, through)?.process;
          const admin = asked?.running?.admin;
          if (admin === undefined || asked === undefined) throw new Error(`${through} does not answer`);
          const answer = new Promise<string | null>((resolve, reject) => {
            // Whose process ends is answered by nobody.
            asked.onEnd.add(() => reject(new Error(`${through} ended`)));
            admin
              .admit(this.id, uid, {
                deadlineMs: asked.clock.nowMs() + ADMIT_MS,
                requestId: "admission",
                consistency: { read: "linearizable", write: "quorum" },
              })
              .then(resolve, reject);
          });
          try {
            return await answer;
          } finally {
            // As an event of the process that asked: one that has ended takes not the place of the next.
            await pause(clock, 0);
          }
        },
      },
      onWaiting: async (waiting) => {
        if (waiting.why !== process.waiting?.why) world.say(this.id, waiting.why);
        process.waiting = waiting;
      },
    });
    const core = new NodeCore({
      manifest,
      spec,
      identity,
      stores,
      clock,
      embedder,
      connect: (handlers) => {
        const introduction = {
          id: this.id,
          clusterId: identity.clusterId,
          uid: identity.uid,
          knownUid: (peer: NodeId) => peerUid(log, peer),
          rememberUid: (peer: NodeId, uid: string) =>
            void writePeerUid(log, peer, uid).catch(() => undefined),
        };
        process.port = network.attach(process, introduction, clock, handlers);
        return process.port;
      },
      onMap: (map) => process.port?.setPeers(map.nodes.map((node) => node.id).filter((id) => id !== this.id)),
      onStopAsked: () => this.crash("asked to stop"),
      onFailure: onDiskFailure,
      onDamage: (group, why) => {
        world.say(this.id, `state of ${group} is damaged: ${why}`);
        // All replicas may have recovered, and a shard be heard of only now in which this node had a part before.
        const recovers = this.#hadDamage && (log.facts.get(LOG_DAMAGED) ?? null) !== null;
        const isSound =
          this.loss === undefined && !recovers && !this.disk.isRotten && !this.disk.isMisdirected;
        world.must(
          !isSound,
          "damage-has-a-cause",
          () => `${this.id}, whose disk is sound, says of ${group}: ${why}`,
        );
      },
      onRecovery: (group, term) => {
        world.say(
          this.id,
          term === undefined ? `${group} is recovered` : `${group} recovers in term ${term}`,
        );
        if (this.loss !== "damaged" || this.isRecovering) return;
        this.loss = undefined;
        this.#hadDamage = true;
      },
      onRepaired: (group, from) => world.say(this.id, `state of ${group} is repaired from ${from}`),
      pid: 1,
      limits: nodeHabits.limits,
    });
    this.#options.onMade(this.id, core);
    await core.open(start?.map, start?.founder === true);
    if (!process.isAlive) return;
    process.core = core;
    process.tickedMs = world.nowMs;
    core.run();
    process.port?.open();
    world.say(this.id, "runs");
    this.#options.onStarted(process, log);
  }

  /** Only a disk that loses something makes a log that is taken for damaged; one that was cut off by a crash is none. */
  #hasLost(what: string): void {
    const { world } = this.#options;
    world.say(this.id, what);
    const isSound = this.loss === undefined && !this.disk.isMisdirected;
    world.must(!isSound, "damage-has-a-cause", () => `${this.id}, whose disk is sound, says: ${what}`);
    this.loss = "damaged";
  }

  /** A node that must not start says why, one without room, or a disk, starts once there is. Any other reason is a defect. */
  #startFailed(process: Process, error: unknown): void {
    const { world } = this.#options;
    if (!process.isAlive || error instanceof ProcessEnded) return;
    const isLost = error instanceof StoreCorruptError && !this.#isKnown(process);
    this.crash("it could not start");
    // What is left of a damaged log is written anew; a whole one is only read.
    const isDamaged = this.loss === "damaged" || this.disk.isMisdirected;
    if (isDamaged && ((this.disk.isFull && isNoRoom(error)) || (this.disk.isFailing && isEio(error)))) {
      world.timeline.plan(START_AGAIN_MS, () => {
        if (this.canReturn) this.start();
      });
      return;
    }
    // A rewrite of the log may have taken the damage away meanwhile.
    if (this.disk.isMisdirected && error instanceof StoreCorruptError) this.loss = "damaged";
    const expected =
      (this.loss === "damaged" && isLost) ||
      (this.loss === "wiped" && error instanceof Mem0ctlError && error.code === "data-lost");
    const why = error instanceof Error ? error.message : String(error);
    if (expected) world.say(this.id, `refuses to start: ${why}`);
    else world.violate("node-starts", `${this.id} does not start: ${why}`);
  }

  /** Others have what its log lost, and some frame that is whole, wherever it lies, says who it is. */
  #isKnown(process: Process): boolean {
    if (!canRecover(this.#options.manifest)) return false;
    const bytes = this.disk.folder(process).read("log") ?? Buffer.alloc(0);
    for (let at = 0; at < bytes.length; at += 1) {
      for (const one of readRecords(readAnyFrame(bytes, at)?.payload ?? Buffer.alloc(0))) {
        const facts = new Map(one.kind === "fact" ? [[one.name, one.value]] : []);
        if (readIdentity({ facts })?.founded === true) return true;
      }
    }
    return false;
  }

  /** The product gives up the process: right on a failing disk, a defect anywhere else. */
  #failed(process: Process, reason: string): never {
    const { world } = this.#options;
    if (process.isAlive) {
      if (!this.disk.isFailing) world.violate("node-lives", `${this.id} gave up: ${reason}`);
      this.crash(reason);
    }
    throw new ProcessEnded(reason);
  }

  #clockFor(owner: Owner): Clock {
    const { timeline } = this.#options.world;
    const habits = this.clockHabits;
    const chance = this.#chance.fork("clock");
    const bornMs = timeline.nowMs;
    const offsetMs = chance.between(0, 1e6);
    return {
      nowMs: () => offsetMs + (timeline.nowMs - bornMs) * habits.rate,
      wallMs: () => Math.floor(WALL_START_MS + timeline.nowMs * habits.rate + habits.wallOffsetMs),
      soon: (work) => void timeline.plan(0, work, owner),
      later: (ms, work) => timeline.plan(ms / habits.rate, work, owner),
      random: () => chance.next(),
      randomBytes: (count) => chance.bytes(count),
    };
  }
}

function isEio(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EIO";
}
