// The cluster that a chaos run is about: real processes of the built CLI, each behind a proxy of its own at
// the address where the others dial it, and what can be done to them. Clients talk to the nodes directly.

import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Protocol } from "../../src/model/ids.ts";
import { bringUpCluster, isAlive, until, type TestCluster } from "../e2e/support/cluster.ts";
import { damageState } from "../e2e/support/damage.ts";
import { openLinks, type Links } from "./links.ts";

export const SHARDS = 4;
/** Below what every node's files have: nothing that it writes fits any more. */
const FULL_BYTES = 65_536;
const CLOCK = new URL("clock.mjs", import.meta.url).href;

export interface Stage {
  readonly protocol: Protocol;
  readonly cluster: TestCluster;
  readonly links: Links;
  readonly nodes: readonly string[];
  /** Where clients reach each node, in the order of `nodes`. */
  readonly hosts: readonly string[];
  /** Kills the processes at once, as a machine that loses its power would. */
  kill(nodes: readonly string[]): Promise<void>;
  /** Starts what does not run, and waits until the cluster is healthy or time is up. True when it is. */
  up(withinMs: number): Promise<boolean>;
  stop(node: string): void;
  continue(node: string): void;
  fill(node: string): void;
  empty(node: string): void;
  /** Sets a node's wall clock, by so much against the right time. */
  setClock(node: string, offsetMs: number): void;
  /** Flips a bit in every so many-th record of a node's state, which does not run. */
  damageRecords(node: string, every: number): Promise<void>;
  /**
   * Flips a bit of a node's log, which does not run, or takes away all that is behind it. Gives back what undoes
   * it, for a node that refuses to start with it.
   */
  damageLog(node: string, how: "flip" | "truncate", where: number): () => void;
  /** Restarts a node in the way an operator does. */
  restart(node: string): Promise<void>;
  /** Ends every fault that is still on; processes that were killed are not started. */
  heal(): void;
  /** Whether the process of this host was there and running all the time since then. */
  wasWell(host: string, sinceMs: number): boolean;
  /** Takes it down. Resolves with what was wrong with that. */
  end(keep: boolean): Promise<readonly string[]>;
}

/** With more than three nodes each shard has three copies, and there are nodes without one of it. */
export async function openStage(protocol: Protocol, nodes: number): Promise<Stage> {
  // The proxies are there before the nodes: their addresses are known once the manifest is.
  let links: Links | undefined;
  let places: { readonly id: string; readonly port: number; readonly listens: number }[] = [];
  const opened: Promise<void>[] = [];
  const bringUp = bringUpCluster({
    nodes,
    spare: nodes,
    env: { NODE_OPTIONS: `--import ${CLOCK}` },
    name: `chaos-${protocol}`,
    flags: ["--consensus", protocol, "--sharding", "hash", "--shards", String(SHARDS), "--replicas", "2"],
    edit: (manifest) => {
      const ports = [...manifest.matchAll(/address: "127\.0\.0\.1:(\d+)"/g)].map(([, port]) => Number(port));
      places = ports.map((port, index) => ({ id: `node-${index + 1}`, port, listens: port + nodes }));
      opened.push(openLinks(places).then((made) => void (links = made)));
      return manifest.replaceAll(
        /address: "127\.0\.0\.1:(\d+)"/g,
        (address, port) => `${address}, listen: "127.0.0.1:${Number(port) + nodes}"`,
      );
    },
  });
  const cluster = await bringUp.catch(async (error: unknown) => {
    await links?.close();
    throw error;
  });
  await Promise.all(opened);
  if (links === undefined) throw new Error("the manifest has no addresses");
  return new RealStage(protocol, cluster, links, places);
}

class RealStage implements Stage {
  readonly protocol: Protocol;
  readonly cluster: TestCluster;
  readonly links: Links;
  readonly nodes: readonly string[];
  readonly hosts: readonly string[];
  private readonly paused = new Set<string>();
  private readonly full = new Set<string>();
  /** Host -> when it was last not well; infinite while it is not. */
  private readonly unwell = new Map<string, number>();

  constructor(
    protocol: Protocol,
    cluster: TestCluster,
    links: Links,
    places: readonly { readonly id: string; readonly listens: number }[],
  ) {
    this.protocol = protocol;
    this.cluster = cluster;
    this.links = links;
    this.nodes = places.map(({ id }) => id);
    this.hosts = places.map(({ listens }) => `http://127.0.0.1:${listens}`);
  }

  async kill(nodes: readonly string[]): Promise<void> {
    for (const node of nodes) this.mark(node, Infinity);
    const pids = nodes.flatMap((node) => this.cluster.pidOf(node) ?? []);
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await until(`${nodes.join(", ")} gone`, () => !pids.some(isAlive));
  }

  async up(withinMs: number): Promise<boolean> {
    const { code } = await this.cluster.mem0ctl("up", "--timeout", `${withinMs}ms`);
    for (const node of this.nodes) {
      if (this.unwell.get(this.hostOf(node)) === Infinity && !this.paused.has(node)) this.markNow(node);
    }
    return code === 0;
  }

  stop(node: string): void {
    const pid = this.cluster.pidOf(node);
    if (pid === undefined) return;
    this.mark(node, Infinity);
    this.paused.add(node);
    process.kill(pid, "SIGSTOP");
  }

  continue(node: string): void {
    if (!this.paused.delete(node)) return;
    const pid = this.cluster.pidOf(node);
    if (pid !== undefined) process.kill(pid, "SIGCONT");
    this.markNow(node);
  }

  fill(node: string): void {
    this.limit(node, String(FULL_BYTES));
    this.full.add(node);
  }

  empty(node: string): void {
    if (this.full.delete(node)) this.limit(node, "unlimited");
  }

  setClock(node: string, offsetMs: number): void {
    writeFileSync(this.clockOf(node), String(offsetMs));
  }

  async damageRecords(node: string, every: number): Promise<void> {
    let count = 0;
    await damageState(
      this.cluster.dataDir(node),
      (_group, name) => name === "memory" && (count += 1) % every === 0,
    );
  }

  damageLog(node: string, how: "flip" | "truncate", where: number): () => void {
    const file = join(this.cluster.dataDir(node), "store", "log");
    const kept = join(this.cluster.directory, `log-of-${node}`);
    copyFileSync(file, kept);
    const bytes = readFileSync(file);
    // The space ahead of what was written is zeros.
    let end = bytes.length;
    while (end > 1 && bytes[end - 1] === 0) end -= 1;
    const at = Math.floor(where * end);
    if (how === "flip") bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
    writeFileSync(file, how === "flip" ? bytes : bytes.subarray(0, at));
    return () => copyFileSync(kept, file);
  }

  async restart(node: string): Promise<void> {
    this.mark(node, Infinity);
    await this.cluster.mem0ctl("restart", node, "--timeout", "20s");
    this.markNow(node);
  }

  heal(): void {
    this.links.heal();
    for (const node of this.nodes) {
      this.continue(node);
      this.empty(node);
      rmSync(this.clockOf(node), { force: true });
    }
  }

  wasWell(host: string, sinceMs: number): boolean {
    return (this.unwell.get(host) ?? 0) < sinceMs;
  }

  async end(keep: boolean): Promise<readonly string[]> {
    this.heal();
    const wrong: string[] = [];
    const running = this.nodes.filter((node) => this.cluster.pidOf(node) !== undefined);
    const logs = running.map((node) => join(this.cluster.dataDir(node), "node.log"));
    const pids = running.flatMap((node) => this.cluster.pidOf(node) ?? []);
    // What it said is looked at before the folder goes.
    const { code, stdout, stderr } = await this.cluster.mem0ctl("down");
    if (code !== 0) wrong.push(`down: exit ${code} ${stdout}${stderr}`);
    for (const log of logs) {
      const last = readFileSync(log, "utf8").trimEnd().split("\n").at(-1) ?? "";
      if (!last.includes("node stopped")) wrong.push(`${log} ends with ${last}: it was killed, not stopped`);
    }
    if (pids.some(isAlive)) wrong.push(`down left processes: ${pids.filter(isAlive).join(", ")}`);
    await this.cluster.end({ keep });
    await this.links.close();
    return wrong;
  }

  private limit(node: string, bytes: string): void {
    const pid = this.cluster.pidOf(node);
    if (pid === undefined) return;
    execFileSync("prlimit", ["--pid", String(pid), `--fsize=${bytes}:unlimited`]);
  }

  private clockOf(node: string): string {
    return join(this.cluster.directory, `clock-${node}`);
  }

  private hostOf(node: string): string {
    return this.hosts[this.nodes.indexOf(node)] ?? "";
  }

  private mark(node: string, untilMs: number): void {
    this.unwell.set(this.hostOf(node), untilMs);
  }

  private markNow(node: string): void {
    this.mark(node, performance.now());
  }
}
