// Replicas of a real cluster that move, one operation after the other, while clients go on and nodes are killed and
// stopped. It ends when so many steps were done; then everything is healed, what replicas hold is compared, and what
// the clients saw is judged as after any fault.

import type { Protocol } from "../../src/model/ids.ts";
import type { MemoryRecord, OperationAnswer } from "../../src/model/node-api.ts";
import { hasEnded, type ClusterStep, type OperationReport } from "../../src/model/operation.ts";
import type { ShardMap } from "../../src/model/shard-map.ts";
import { call } from "../e2e/support/api.ts";
import { scheduleOf, strike } from "./faults.ts";
import { randomFrom, type Random } from "./random.ts";
import { cluster as runOn, type ChaosResult } from "./run.ts";
import type { Stage } from "./stage.ts";

export interface MovesOptions {
  readonly protocol: Protocol;
  /** Steps to be done, at least. */
  readonly moves: number;
  readonly seed: number;
  readonly say: (line: string) => void;
}

/** One more than copies, so that there is somewhere to go. */
const NODES = 4;
const LOOK_MS = 200;
/** A move that takes this long has lost its way. */
const STUCK_MS = 120_000;
/** Between blows; what is under way gets some time to go on. */
const REST_MS = 2000;
const SCHEDULE_SECONDS = 20;

export async function runMoves(options: MovesOptions): Promise<ChaosResult> {
  const { protocol, moves, seed, say } = options;
  return runOn({ protocol, seed, say, nodes: NODES, exports: comparedExport }, async (run) => {
    const random = randomFrom(seed);
    const over = new AbortController();
    const struck = strikeUntil(run.stage, random, over.signal);
    let done = 0;
    run.load.start();
    try {
      done = await moveAbout(run.stage, random, moves, (count) => {
        if (count % 10 === 0) say(`${protocol}: ${count} of ${moves} moves`);
      });
    } catch (error) {
      run.violate(String(error));
    }
    over.abort();
    const blows = await struck;
    run.stage.heal();
    await run.load.stop();
    await run.judge(`${protocol} moves: ${done} moves under ${blows} faults`);
    return 1;
  });
}

/** Kills and stops, one after the other, until it is over. Resolves with how many there were. */
async function strikeUntil(stage: Stage, random: Random, over: AbortSignal): Promise<number> {
  const kills = scheduleOf("kill", random, SCHEDULE_SECONDS);
  const pauses = scheduleOf("pause", random, SCHEDULE_SECONDS);
  let blows = 0;
  while (!over.aborted) {
    const from = blows % 2 === 0 ? kills : pauses;
    const blow = from[Math.floor(blows / 2) % from.length];
    if (blow === undefined) throw new Error("the schedule is empty");
    await strike(stage, { ...blow, gapMs: blow.gapMs + REST_MS }, over);
    blows += 1;
  }
  return blows;
}

/** Resolves with the number of steps done. @throws Error when an operation does not end */
async function moveAbout(
  stage: Stage,
  random: Random,
  wanted: number,
  onMove: (count: number) => void,
): Promise<number> {
  let done = 0;
  while (done < wanted) {
    const map = await ask<ShardMap>(stage, "/v1/cluster/map");
    const steps = map === undefined ? [] : drawSteps(map, random);
    const begun = steps.length > 0 ? await begin(stage, steps) : undefined;
    const ended = begun === undefined ? undefined : await endOf(stage, begun);
    for (const state of ended?.progress.steps ?? []) {
      if (state !== "done") continue;
      done += 1;
      onMove(done);
    }
    if (ended === undefined) await pause(LOOK_MS);
  }
  return done;
}

/** One to three shards, each from one of its nodes to one that has no copy of it. */
function drawSteps(map: ShardMap, random: Random): ClusterStep[] {
  const count = random.between(1, 3);
  const first = random.between(0, map.shards.length - 1);
  return Array.from(
    { length: count },
    (_, offset) => map.shards[(first + offset) % map.shards.length],
  ).flatMap((shard): ClusterStep[] => {
    const free = map.nodes.filter(({ id }) => shard?.replicas.includes(id) === false);
    if (shard === undefined || free.length === 0) return [];
    const { id: to } = random.pick(free);
    return [{ kind: "move-replica", shard: shard.id, from: random.pick(shard.replicas), to, bytes: 0 }];
  });
}

/** The name of the operation; undefined when nobody could say that it began, or another runs. */
async function begin(stage: Stage, steps: readonly ClusterStep[]): Promise<string | undefined> {
  const name = `chaos ${Date.now()}`;
  const body = { name, startedBy: "chaos", waves: [steps], concurrency: 2 };
  for (const host of stage.hosts) {
    const { status } = await call(host, {
      method: "POST",
      path: "/v1/cluster/operation",
      body,
      headers: { "x-timeout-ms": "3000" },
    });
    if (status === 200) return name;
  }
  return undefined;
}

async function endOf(stage: Stage, name: string): Promise<OperationReport | undefined> {
  const untilMs = performance.now() + STUCK_MS;
  let last: OperationReport | null | undefined;
  while (performance.now() < untilMs) {
    last = (await ask<OperationAnswer>(stage, "/v1/cluster/operation"))?.operation;
    // A node that was away may still show the one before.
    if (last?.plan.name === name && hasEnded(last)) return last;
    await pause(LOOK_MS);
  }
  throw new Error(`${name} did not end within ${STUCK_MS} ms: ${JSON.stringify(last)}`);
}

/** What the first node that answers says. */
async function ask<Body>(stage: Stage, path: string): Promise<Body | undefined> {
  for (const host of stage.hosts) {
    const { status, body } = await call(host, { path, headers: { "x-timeout-ms": "2000" } });
    if (status === 200) return body as Body;
  }
  return undefined;
}

/** Everything, once its replicas were compared. @throws Error where they differ, or some cannot be read */
async function comparedExport({ cluster }: Stage): Promise<Map<string, readonly MemoryRecord[]>> {
  const verified = await cluster.mem0ctl("replicas", "verify", "-o", "json");
  if (verified.code !== 0) throw new Error(`replicas verify: ${verified.stdout}${verified.stderr}`);
  const { code, stdout, stderr } = await cluster.mem0ctl("memories", "export");
  if (code !== 0) throw new Error(stderr);
  const lines = stdout.split("\n").filter((line) => line !== "");
  return new Map([["the cluster", lines.map((line) => JSON.parse(line) as MemoryRecord)]]);
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
