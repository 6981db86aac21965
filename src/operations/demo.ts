// The demonstration: a cluster from nothing in a temporary folder, filled, robbed of its leader by
// `kill -9`, healed, and compared memory by memory with what it had acknowledged. Everything it says was
// measured in that run; it throws when any of it did not hold.

import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { CallOptions, Engine } from "../engines/engine.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { Manifest } from "../model/manifest.ts";
import { formatDuration } from "../model/units.ts";
import type { ClusterView, NodeView } from "../model/view.ts";
import { openCluster } from "./cluster.ts";
import { scaffoldClusterManifest } from "./manifest-file.ts";
import { exportMemories, importMemories } from "./memories.ts";
import { clusterStatus } from "./status.ts";
import { downCluster, upCluster } from "./up.ts";
import { waitFor } from "./wait.ts";

export interface DemoOptions {
  /** Leave the cluster running and say where. */
  readonly keep: boolean;
  readonly say: (line: string) => void;
  /** JSON Lines of memories to import. */
  readonly dataFile: string;
  /** Ends it early; the cluster is taken down and its folder removed all the same. */
  readonly signal: AbortSignal;
  /** Pictures of a view, made by whoever shows them. */
  readonly pictures: {
    readonly status: (view: ClusterView) => string;
    readonly shardMap: (view: ClusterView) => string;
    readonly lag: (view: ClusterView) => string;
  };
}

const NODES = 3;
const START_MS_MAX = 30_000;
const HEAL_MS_MAX = 30_000;
const CALL_MS = 10_000;
/** Users that are written to while the leader is gone; enough to reach most shards. */
const WRITERS = 48;
const SHARDS_SHOWN = 4;

/** @throws Mem0ctlError `demo-failed` when something that the demo shows did not hold; `interrupted`. */
export async function runDemo(options: DemoOptions): Promise<void> {
  const { say } = options;
  const folder = await mkdtemp(join(tmpdir(), "mem0ctl-demo-"));
  const file = join(folder, "cluster.yaml");
  await writeFile(
    file,
    scaffoldClusterManifest({
      name: "demo",
      nodes: NODES,
      basePort: await freePorts(NODES),
      replication: { strategy: "multiple", replicas: NODES - 1 },
      dataDir: "data",
    }),
    { mode: 0o600 },
  );
  say(`manifest: ${file}`);
  const { engine, manifest, meaning } = await openCluster(file, { starting: true });
  let finished = false;
  try {
    say(`it means: ${meaning.sentence}`);
    await scenes(engine, manifest, options);
    finished = true;
  } catch (error) {
    throw options.signal.aborted ? new Mem0ctlError("failed", "interrupted", "interrupted") : error;
  } finally {
    if (finished && options.keep) {
      say(`\nThe cluster keeps running. Look at it:   mem0ctl status -f ${file}`);
      say(`Stop it with:                            mem0ctl down -f ${file}`);
    } else {
      await downCluster(engine, manifest, [], { timeoutMs: START_MS_MAX });
      await rm(folder, { recursive: true, force: true });
      say("\nThe cluster is down, its folder is gone.");
    }
    await engine.close();
  }
}

async function scenes(engine: Engine, manifest: Manifest, options: DemoOptions): Promise<void> {
  const { say, pictures, signal } = options;
  const call = { timeoutMs: CALL_MS, signal };
  const start = { timeoutMs: START_MS_MAX, signal };
  const look = (): Promise<ClusterView> => clusterStatus(engine, manifest.limits, call);

  heading(say, "1. Three nodes");
  const upSince = performance.now();
  const { view: started } = await upCluster(engine, manifest, start);
  if (started.health !== "healthy")
    throw failed(`the cluster is ${started.health}`, started.reasons[0]?.message);
  say(`up and healthy after ${formatDuration(performance.now() - upSince)}`);

  heading(say, "2. Memories of many users");
  const importSince = performance.now();
  const { imported } = await importMemories(engine, linesOf(options.dataFile), {
    dimensions: manifest.embedding.dimensions,
    limits: manifest.limits,
    ...start,
  });
  say(`${imported} memories imported in ${formatDuration(performance.now() - importSince)}`);
  const acknowledged = await idsOf(engine, call);
  if (acknowledged.size !== imported)
    throw failed(`${imported} were acknowledged and ${acknowledged.size} are there`);
  const full = await look();
  say(pictures.status(full));
  say(pictures.shardMap(full));
  say(`the first ${SHARDS_SHOWN} shards:`);
  say(pictures.lag(firstShards(full)));

  heading(say, "3. kill -9 of the leader");
  const victim = leaderOf(full);
  process.kill(victim.pid, "SIGKILL");
  say(
    `${victim.id} (pid ${victim.pid}) led the cluster and ${victim.leads} of ${full.totalShards} shards; it is gone`,
  );
  const outage = await writeEverywhere(engine, acknowledged, call);
  say(`all writes were acknowledged again after ${formatDuration(outage)}`);
  const after = await idsOf(engine, call);
  requireAll(acknowledged, after);
  say(
    `nothing that was acknowledged is lost: ${acknowledged.size} of ${acknowledged.size} memories are there`,
  );
  say(pictures.status(await look()));

  heading(say, `4. ${victim.id} comes back`);
  const backSince = performance.now();
  say(`it is ${entriesBehind(await look(), victim.id)} log entries behind`);
  await engine.up([victim.id], start);
  say(`started; it is ${entriesBehind(await look(), victim.id)} log entries behind`);
  const healed = await waitFor(engine, "healthy", {
    limits: manifest.limits,
    timeoutMs: HEAL_MS_MAX,
    signal,
  });
  const backMs = performance.now() - backSince;
  say(
    `healthy after ${formatDuration(backMs)}; it is ${entriesBehind(healed, victim.id)} log entries behind`,
  );
  say(`the first ${SHARDS_SHOWN} shards:`);
  say(pictures.lag(firstShards(healed)));
  requireAll(acknowledged, await idsOf(engine, call));
  say("and every acknowledged memory is still there");
}

function heading(say: (line: string) => void, text: string): void {
  say(`\n== ${text}`);
}

/** What fits on a screen. */
function firstShards(view: ClusterView): ClusterView {
  return { ...view, shards: view.shards.slice(0, SHARDS_SHOWN) };
}

/** Log entries that the shards' leaders have and `node` has not acknowledged. */
function entriesBehind(view: ClusterView, node: string): number {
  const replicas = view.shards.flatMap((shard) => shard.replicas).filter((replica) => replica.node === node);
  return replicas.reduce((sum, replica) => sum + (replica.lagEntries ?? 0), 0);
}

/** The cluster's leader, as a process that can be killed. */
function leaderOf(view: ClusterView): NodeView & { readonly pid: number } {
  const leader = view.nodes.find((node) => node.id === view.leader);
  if (leader === undefined || leader.pid === null) throw failed("no node leads the cluster");
  return { ...leader, pid: leader.pid };
}

/**
 * Writes one memory for each of many users, again and again until each was acknowledged; resolves to how
 * long the last of them took, in ms. Every acknowledged one is added to `acknowledged`.
 */
async function writeEverywhere(
  engine: Engine,
  acknowledged: Set<string>,
  call: CallOptions,
): Promise<number> {
  const since = performance.now();
  const write = async (user: string): Promise<void> => {
    while (performance.now() - since < HEAL_MS_MAX) {
      try {
        const texts = [`Written for ${user} while a node was gone.`];
        const stored = await engine.memories.add({ texts, user_id: user }, call);
        for (const memory of stored) acknowledged.add(memory.id);
        return;
      } catch (error) {
        // Not acknowledged: tried again. One of unknown outcome may be there twice, which loses nothing.
        if (!(error instanceof Mem0ctlError) || call.signal?.aborted === true) throw error;
        await sleep(20);
      }
    }
    throw failed(`no write of ${user} was acknowledged within ${formatDuration(HEAL_MS_MAX)}`);
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, at) => write(`demo-writer-${at}`)));
  return performance.now() - since;
}

async function idsOf(engine: Engine, call: CallOptions): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const line of exportMemories(engine, call)) {
    const { id } = JSON.parse(line) as { id: string };
    ids.add(id);
  }
  return ids;
}

function requireAll(acknowledged: ReadonlySet<string>, present: ReadonlySet<string>): void {
  const lost = [...acknowledged].filter((id) => !present.has(id));
  if (lost.length > 0)
    throw failed(`${lost.length} acknowledged memories are lost`, `the first is ${lost[0] ?? ""}`);
}

async function* linesOf(file: string): AsyncGenerator<string> {
  yield* createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
}

function failed(what: string, why?: string): Mem0ctlError {
  return new Mem0ctlError("failed", "demo-failed", `the demo did not hold: ${what}`, {
    ...(why === undefined ? {} : { why }),
    hint: "this is a defect; please report it with what was printed above",
  });
}

/** The first of `count` ports in a row that are free on 127.0.0.1 just now. */
async function freePorts(count: number): Promise<number> {
  for (let base = 7001; base < 60_000; base += 100) {
    const free = await Promise.all(Array.from({ length: count }, (_, at) => isFree(base + at)));
    if (free.every(Boolean)) return base;
  }
  throw failed("no free ports were found on 127.0.0.1");
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
