// One protocol under one fault after the other: clients go on while the cluster is hit; then everything is
// healed, the cluster has to recover by itself, every operation has to end, and what the clients saw is
// judged. What is wrong is a violation, whichever part of it; a run without any is a pass.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ENGINE_CAPABILITIES } from "../../src/manifest/capabilities.ts";
import type { Protocol } from "../../src/model/ids.ts";
import type { MemoryRecord } from "../../src/model/node-api.ts";
import { staleExport } from "../e2e/support/api.ts";
import { until } from "../e2e/support/cluster.ts";
import { checkConvergence, type ReplicaState } from "../histories/convergence.ts";
import type { Operation } from "../histories/history.ts";
import { checkLinearizability } from "../histories/linearizability.ts";
import { describeBlow, scheduleOf, strike, type Blow, type FaultName } from "./faults.ts";
import { Load } from "./load.ts";
import { randomFrom } from "./random.ts";
import { openStage, SHARDS, type Stage } from "./stage.ts";

export interface ChaosOptions {
  readonly protocol: Protocol;
  readonly faults: readonly FaultName[];
  /** Of each fault. */
  readonly seconds: number;
  readonly seed: number;
  /** Lines for whoever watches. */
  readonly say: (line: string) => void;
}

export interface ChaosResult {
  readonly runs: number;
  readonly operations: number;
  readonly violations: readonly string[];
}

/** What the nodes of this version run. */
export const PROTOCOLS: readonly Protocol[] = ENGINE_CAPABILITIES.embedded.protocols;

const NODES = 3;
const CLIENTS = 5;
const THINK_MS = 60;
const UP_MS = 40_000;
const HEALTHY_MS = 20_000;
const EQUAL_MS = 20_000;
const READ_MS = 30_000;

/** Runs the faults on one cluster, one after the other. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { protocol, faults, seconds, seed, say } = options;
  return cluster({ protocol, seed, say, nodes: NODES, exports: exportsOf }, async (run) => {
    for (const fault of faults) {
      const schedule = scheduleOf(fault, randomFrom(seed), seconds);
      const struck = await hit(run.stage, run.load, schedule, seconds);
      const fresh = await run.judge(`${protocol} ${fault}: ${struck.length} faults`);
      if (fresh === 0) continue;
      keep(run.stage, run.load, fault, struck);
      say(
        `  again: npm run chaos -- --protocol ${protocol} --fault ${fault} --seconds ${seconds} --seed ${seed}`,
      );
    }
    return faults.length;
  });
}

/** What every node, or the cluster, holds of all memories. Throws where that cannot be told yet. */
type Exports = (stage: Stage) => Promise<Map<string, readonly MemoryRecord[]>>;

/** A cluster with clients, and what was found wrong with it so far. */
interface Run {
  readonly stage: Stage;
  readonly load: Load;
  violate(what: string): void;
  /** Says what is wrong now and was not before, under that name. Resolves with how much it is. */
  judge(name: string): Promise<number>;
}

/** Opens a cluster for `work`, which resolves with how many runs it was, and takes it down. */
export async function cluster(
  options: Pick<ChaosOptions, "protocol" | "seed" | "say"> & {
    readonly nodes: number;
    readonly exports: Exports;
  },
  work: (run: Run) => Promise<number>,
): Promise<ChaosResult> {
  const { protocol, seed, say, nodes, exports } = options;
  const stage = await openStage(protocol, nodes);
  const load = new Load({
    hosts: stage.hosts,
    clients: CLIENTS,
    thinkMs: THINK_MS,
    random: randomFrom(seed ^ 0x5eed),
    newest: protocol === "quorum" ? "quorum" : "linearizable",
    stale: staleLevel(protocol),
    wasWell: (host, sinceMs) => stage.wasWell(host, sinceMs),
  });
  const violations: string[] = [];
  const told = new Set<string>();
  let counted = 0;
  const violate = (what: string): void => {
    violations.push(`${protocol}: ${what}`);
    say(violations.at(-1) ?? "");
  };
  const judgeNow = async (name: string): Promise<number> => {
    const began = performance.now();
    const found = await judge(stage, load, exports);
    const healMs = Math.round(performance.now() - began);
    const fresh = found.filter((violation) => !told.has(violation));
    for (const violation of fresh) told.add(violation);
    say(
      `${name}, ${load.operations - counted} operations, healed and read after ${healMs} ms, ${fresh.length} violations`,
    );
    counted = load.operations;
    violations.push(...fresh.map((violation) => `${name}: ${violation}`));
    if (fresh.length > 0) say(`  its folder: ${stage.cluster.directory}`);
    for (const violation of fresh) say(`  ${violation.replaceAll("\n", "\n    ")}`);
    return fresh.length;
  };
  let runs = 0;
  try {
    runs = await work({ stage, load, violate, judge: judgeNow });
  } catch (error) {
    violate(`the run broke: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  } finally {
    load.close();
    for (const line of await stage.end(violations.length > 0)) violate(line);
  }
  return { runs, operations: load.operations, violations };
}

/** The clients work, and the blows fall, for so long. Resolves with those that fell, healed and all answered. */
async function hit(
  stage: Stage,
  load: Load,
  schedule: readonly Blow[],
  seconds: number,
): Promise<readonly Blow[]> {
  const struck: Blow[] = [];
  load.start();
  const done = AbortSignal.timeout(seconds * 1000);
  while (!done.aborted) {
    const blow = schedule[struck.length % schedule.length];
    if (blow === undefined) throw new Error("the schedule is empty");
    struck.push(blow);
    await strike(stage, blow, done);
  }
  stage.heal();
  await load.stop();
  return struck;
}

/** Everything that is wrong once the faults are over. */
async function judge(stage: Stage, load: Load, exportsOfAll: Exports): Promise<readonly string[]> {
  const wrong: string[] = [];
  const demand = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      wrong.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  await demand("the cluster does not come up again", async () => {
    const { code, stdout, stderr } = await stage.cluster.mem0ctl("up", "--timeout", `${UP_MS}ms`);
    if (code !== 0) throw new Error(`exit ${code} ${stdout}${stderr}`);
  });
  await demand("status", async () => {
    let last = "";
    await until(
      "status is healthy",
      async () => {
        const { code, view } = await stage.cluster.status();
        last = `exit ${code} ${view.health} ${JSON.stringify(view.reasons)}`;
        return code === 0 && view.health === "healthy";
      },
      HEALTHY_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; it says ${last}`);
    });
  });
  const unanswered = await load.readAll(READ_MS);
  if (unanswered.length > 0)
    wrong.push(`${unanswered.length} reads get no answer: ${unanswered[0] ?? ""}, …`);
  let exports = new Map<string, readonly MemoryRecord[]>();
  await demand("the replicas do not become equal", async () => {
    let refused = "";
    await until(
      "every node exports the same",
      async () => {
        try {
          exports = await exportsOfAll(stage);
        } catch (error) {
          // A damaged copy refuses until it is repaired.
          refused = `; ${String(error)}`;
          return false;
        }
        const [first, ...others] = [...exports.values()].map((records) => JSON.stringify(records));
        return others.every((other) => other === first);
      },
      EQUAL_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}${refused}`);
    });
  });
  const [records = []] = exports.values();
  const named = withNames(load, records, wrong);
  const replicas = new Map([...exports].map(([node, all]) => [node, stateOf(all)]));
  wrong.push(...load.complaints);
  const violations =
    stage.protocol === "quorum"
      ? checkConvergence(named, replicas, { overlap: true })
      : [...checkLinearizability(named), ...strangers(named, replicas)];
  wrong.push(...violations.map(({ code, key, message }) => `${code} ${key}: ${message}`));
  return wrong;
}

/** How this protocol calls a read that one copy may answer alone. */
function staleLevel(protocol: Protocol): "stale" | "one" {
  return protocol === "quorum" ? "one" : "stale";
}

async function exportsOf(stage: Stage): Promise<Map<string, readonly MemoryRecord[]>> {
  const all = await Promise.all(
    stage.nodes.map(async (node, index): Promise<[string, readonly MemoryRecord[]]> => {
      const shards = Array.from({ length: SHARDS }, (_, shard) => String(shard));
      const host = stage.hosts[index] ?? "";
      const parts = await Promise.all(
        shards.map(async (shard) => staleExport(host, shard, staleLevel(stage.protocol))),
      );
      return [node, parts.flat()];
    }),
  );
  return new Map(all);
}

function stateOf(records: readonly MemoryRecord[]): ReplicaState {
  return new Map(records.map(({ id, memory }) => [id, memory]));
}

/** The history with the adds of which nobody was told the id, where they turn up; one that turns up twice is wrong. */
function withNames(load: Load, records: readonly MemoryRecord[], wrong: string[]): readonly Operation[] {
  const ids = new Map<string, string[]>();
  // What was added under a text may have been updated since; its history says what it was at first.
  for (const { id, memory, history = [] } of records) {
    for (const text of new Set([
      memory,
      ...history.flatMap((event) => [event.old_memory, event.new_memory]),
    ])) {
      if (text !== null) ids.set(text, [...(ids.get(text) ?? []), id]);
    }
  }
  const adds = [...load.nameless].flatMap(([value, { client, invoked }]): Operation[] => {
    const [key, ...more] = ids.get(value) ?? [];
    if (more.length > 0)
      wrong.push(`${JSON.stringify(value)} was added once and is there ${more.length + 1} times`);
    if (key === undefined) return [];
    return [{ client, key, kind: "add", value, invoked, returned: Infinity, outcome: "unknown" }];
  });
  return [...load.history, ...adds];
}

/** Keys that are there and that nobody wrote, and replicas that differ from what was read last. */
function strangers(
  history: readonly Operation[],
  replicas: ReadonlyMap<string, ReplicaState>,
): ReturnType<typeof checkConvergence> {
  return checkConvergence(history, replicas, { overlap: false });
}

/** What a person needs to look into it, beside the nodes' data and logs. */
function keep(stage: Stage, load: Load, fault: FaultName, struck: readonly Blow[]): void {
  const { directory } = stage.cluster;
  writeFileSync(join(directory, `faults-${fault}.txt`), `${struck.map(describeBlow).join("\n")}\n`);
  writeFileSync(
    join(directory, `history-${fault}.jsonl`),
    load.history.map((line) => `${JSON.stringify(line)}\n`).join(""),
  );
}
