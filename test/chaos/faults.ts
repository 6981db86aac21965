// The faults of a chaos run: which there are, a schedule of them from a seed, and how each is done to the
// cluster and taken back. A schedule is data, so that a failing run can print what it did.

import { callReport } from "./reports.ts";
import type { Random } from "./random.ts";
import type { Stage } from "./stage.ts";

export const FAULTS = [
  "kill",
  "pause",
  "partition",
  "slow",
  "disk",
  "restart",
  "clock",
  "damage",
  "storm",
] as const;
export type FaultName = (typeof FAULTS)[number];

/** `leader` is whoever leads most when the blow falls. */
type Victim = number | "leader";

export type Blow = { readonly gapMs: number; readonly forMs: number } & (
  | { readonly kind: "kill"; readonly victims: readonly Victim[] }
  | { readonly kind: "pause"; readonly victim: Victim }
  | { readonly kind: "cut"; readonly victim: Victim; readonly way: Way; readonly resets: boolean }
  | { readonly kind: "bridge"; readonly victim: Victim; readonly resets: boolean }
  | {
      readonly kind: "slow";
      readonly victim: Victim;
      readonly delayMs: number;
      readonly kilobytesPerSecond: number;
    }
  | { readonly kind: "freeze"; readonly victim: Victim }
  | { readonly kind: "full"; readonly victim: Victim }
  | { readonly kind: "clock"; readonly victim: Victim; readonly offsetMs: number }
  | { readonly kind: "records"; readonly victim: Victim; readonly every: number }
  | {
      readonly kind: "log";
      readonly victim: Victim;
      readonly how: "flip" | "truncate";
      readonly where: number;
    }
  | { readonly kind: "restart"; readonly victim: Victim }
);

/** A node is cut off both ways, hears nothing, or is not heard. */
type Way = "both" | "in" | "out";

const UP_MS = 15_000;
const PAUSE_MS_MAX = 30_000;
const BLOWS_MAX = 1000;
const CLOCK_MS_MAX = 3_600_000;
const STORM = ["kill", "pause", "partition", "slow", "disk", "restart", "clock", "damage"] as const;

/** As many blows as could fit into the time; each waits for the one before it. */
export function scheduleOf(fault: FaultName, random: Random, seconds: number): readonly Blow[] {
  const blows: Blow[] = [];
  for (let ms = 0; ms < seconds * 1000 && blows.length < BLOWS_MAX;) {
    const kind = fault === "storm" ? random.pick(STORM) : fault;
    const blow = blowOf(kind, random, seconds);
    blows.push(blow);
    ms += blow.gapMs + blow.forMs;
  }
  return blows;
}

function blowOf(fault: Exclude<FaultName, "storm">, random: Random, seconds: number): Blow {
  const victim: Victim = random.chance(0.5) ? "leader" : random.between(0, 2);
  const gapMs = random.between(300, 1500);
  const time = { gapMs, forMs: random.between(500, 4000) };
  switch (fault) {
    case "kill": {
      // One mostly; sometimes a majority, or all at once.
      const victims = random.pick<readonly Victim[]>([
        [victim],
        [victim],
        [victim],
        [0, 1],
        [1, 2],
        [0, 1, 2],
      ]);
      return { ...time, forMs: random.between(50, 2500), kind: "kill", victims };
    }
    case "pause": {
      // From 0.1 s to 30 s, short ones as often as long ones, and never most of a short run.
      const maxMs = Math.min(PAUSE_MS_MAX, seconds * 300);
      const forMs = Math.round(100 * (maxMs / 100) ** random.next());
      return { gapMs, forMs, kind: "pause", victim };
    }
    case "partition": {
      const resets = random.chance(0.5);
      if (random.chance(0.25)) return { ...time, kind: "bridge", victim, resets };
      return { ...time, kind: "cut", victim, way: random.pick(["both", "in", "out"] as const), resets };
    }
    case "slow": {
      if (random.chance(0.3)) return { ...time, kind: "freeze", victim };
      const delayMs = random.between(20, 400);
      return { ...time, kind: "slow", victim, delayMs, kilobytesPerSecond: random.between(20, 200) };
    }
    case "disk":
      return { ...time, kind: "full", victim };
    case "restart":
      return { ...time, forMs: 0, kind: "restart", victim };
    case "clock":
      return { ...time, kind: "clock", victim, offsetMs: random.between(-CLOCK_MS_MAX, CLOCK_MS_MAX) };
    case "damage": {
      const brief = { gapMs, forMs: random.between(0, 1000) };
      const how = random.pick(["flip", "truncate"] as const);
      if (random.chance(0.6)) return { ...brief, kind: "log", victim, how, where: random.next() };
      return { ...brief, kind: "records", victim, every: random.between(1, 10) };
    }
  }
}

/** One line: `after 0.8 s: pause leader for 2.1 s`. */
export function describeBlow({ gapMs, forMs, ...blow }: Blow): string {
  const { kind, ...more } = blow;
  const rest = Object.entries(more).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  return `after ${gapMs} ms ${kind} for ${forMs} ms: ${rest.join(", ")}`;
}

/** Does it, waits, and takes it back. `done` shortens the waiting. */
export async function strike(stage: Stage, blow: Blow, done: AbortSignal): Promise<void> {
  await pause(blow.gapMs, done);
  if (done.aborted) return;
  const hold = async (): Promise<void> => pause(blow.forMs, done);
  if (blow.kind === "kill") {
    const nodes = await Promise.all(blow.victims.map(async (victim) => nodeOf(stage, victim)));
    await stage.kill([...new Set(nodes)]);
    await hold();
    await stage.up(UP_MS);
    return;
  }
  const node = await nodeOf(stage, blow.victim);
  const others = stage.nodes.filter((other) => other !== node);
  switch (blow.kind) {
    case "pause":
      stage.stop(node);
      await hold();
      stage.continue(node);
      return;
    case "cut":
      for (const other of others) {
        if (blow.way !== "out") stage.links.rule(other, node, { stalled: true });
        if (blow.way !== "in") stage.links.rule(node, other, { stalled: true });
      }
      await hold();
      if (blow.resets) for (const other of others) stage.links.reset(node, other);
      stage.links.heal();
      return;
    case "bridge": {
      // The two others do not see each other; both see this one.
      const [one = "", other = ""] = others;
      stage.links.rule(one, other, { stalled: true });
      stage.links.rule(other, one, { stalled: true });
      await hold();
      if (blow.resets) stage.links.reset(one, other);
      stage.links.heal();
      return;
    }
    case "slow": {
      const rule = { delayMs: blow.delayMs, bytesPerSecond: blow.kilobytesPerSecond * 1000 };
      for (const other of others) {
        stage.links.rule(node, other, rule);
        stage.links.rule(other, node, rule);
      }
      await hold();
      stage.links.heal();
      return;
    }
    case "freeze":
      stage.links.freeze(node);
      await hold();
      stage.links.heal();
      return;
    case "full":
      stage.fill(node);
      await hold();
      stage.empty(node);
      return;
    case "restart":
      await stage.restart(node);
      return;
    case "clock":
      stage.setClock(node, blow.offsetMs);
      await hold();
      stage.setClock(node, 0);
      return;
    case "records":
      await stage.kill([node]);
      await stage.damageRecords(node, blow.every);
      await hold();
      await stage.up(UP_MS);
      return;
    case "log": {
      await stage.kill([node]);
      const undo = stage.damageLog(node, blow.how, blow.where);
      await hold();
      if (await stage.up(UP_MS)) return;
      // It says that its log is damaged and does not start: its data is put back.
      undo();
      await stage.up(UP_MS);
      return;
    }
  }
}

async function nodeOf(stage: Stage, victim: Victim): Promise<string> {
  const [first = ""] = stage.nodes;
  if (victim !== "leader") return stage.nodes[victim] ?? first;
  const led = new Map<string, number>();
  for (const host of stage.hosts) {
    const report = await callReport(host);
    for (const { leader } of Object.values(report?.leaders ?? {})) {
      if (leader !== null) led.set(leader, (led.get(leader) ?? 0) + 1);
    }
    if (led.size > 0) break;
  }
  return [...led].toSorted((left, right) => right[1] - left[1])[0]?.[0] ?? first;
}

/** Resolves early when the run is over. */
async function pause(ms: number, done: AbortSignal): Promise<void> {
  if (done.aborted) return;
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      done.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    done.addEventListener("abort", end);
  });
}
