// A server process for a node of this machine: which program, with which configuration, and how it is
// brought to the point where it answers as itself. What is secret stands in a file that only this user can
// read, never on a command line.

import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, open, rename } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

import { resolveSecret, tlsOfNode } from "../../manifest/secrets.ts";
import { Mem0ctlError } from "../../model/errors.ts";
import type { Manifest, NodeSpec } from "../../model/manifest.ts";
import { PID_FILE } from "../../model/pid-file.ts";
import { busPort } from "../../topology/bus-port.ts";
import type { NodeAction } from "../engine.ts";
import { nodeProcess } from "../local/process-identity.ts";
import type { Recognise } from "../local/process-identity.ts";
import { notePid, prepareDataDir, spawnNode } from "../local/processes.ts";
import type { NodeExit, SpawnedNode } from "../local/processes.ts";
import {
  diskFull,
  logLines,
  nodeDied,
  portTaken,
  refuseElsewhere,
  startData,
} from "../local/start-failure.ts";
import { NodeFailure } from "../node-failure.ts";
import { infoNumber } from "./gossip.ts";
import type { RedisNodes, RedisReport } from "./nodes.ts";
import { ProtocolError, ReplyError } from "./reply-values.ts";

const PROGRAMS = ["redis-server", "valkey-server"];
/** Cluster commands over ranges of slots, and INFO as it is read here, are of this version. */
const VERSION_MIN = 7;
const CONFIG_FILE = "redis.conf";
const POLL_MS = 25;
const QUESTION_MS_MAX = 1000;
const CONNECT_MS_MAX = 2000;

const run = promisify(execFile);

/**
 * The server's program: `MEM0CTL_REDIS_SERVER`, else the first of `redis-server` and `valkey-server` on PATH.
 * @throws Mem0ctlError `server-not-found`, `server-too-old`.
 */
export async function serverProgram(): Promise<string> {
  const program = await findProgram();
  const said = await run(program, ["--version"], { timeout: 5000 }).catch((error: unknown) => {
    throw new Mem0ctlError("failed", "server-not-found", `${program} cannot be run`, {
      why: error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error),
      hint: INSTALL,
    });
  });
  const version = /\bv=(\d+)[\d.]*/.exec(said.stdout);
  if (version !== null && Number(version[1]) < VERSION_MIN) {
    throw new Mem0ctlError("failed", "server-too-old", `${program} is too old`, {
      why: `it is ${version[0].slice(2)}, and ${VERSION_MIN}.0 is the oldest that will do`,
      hint: "install a newer Redis or Valkey",
    });
  }
  return program;
}

const INSTALL =
  "install one, for example `apt-get install redis-server` (Debian, Ubuntu), `dnf install valkey` (Fedora) or `brew install valkey`, or name it by MEM0CTL_REDIS_SERVER";

async function findProgram(): Promise<string> {
  const named = process.env["MEM0CTL_REDIS_SERVER"];
  if (named !== undefined && named !== "") return named;
  for (const name of PROGRAMS) {
    for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
      if (folder === "") continue;
      const path = join(folder, name);
      if (
        await access(path, constants.X_OK).then(
          () => true,
          () => false,
        )
      )
        return path;
    }
  }
  throw new Mem0ctlError("failed", "server-not-found", "no Redis or Valkey server is installed here", {
    why: `neither ${PROGRAMS.join(" nor ")} is on PATH`,
    hint: INSTALL,
  });
}

/** The title that the server gives itself, and before that its command line. */
export function isServerProcess(spec: NodeSpec): Recognise {
  return (command, { node, cluster }) =>
    command.includes(titleOf(cluster, node)) || command.includes(join(spec.dataDir, CONFIG_FILE));
}

function titleOf(cluster: string, node: string): string {
  return `mem0ctl:${cluster}/${node}`;
}

export interface ServerStart {
  readonly manifest: Manifest;
  readonly program: string;
  readonly nodes: RedisNodes;
  /** By `performance.now()`. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * @throws Mem0ctlError `port-taken`, `node-runs-elsewhere`, `node-start-timeout` (kind unknown-outcome), `node-died`, `disk-full`,
 *   `spawn-failed`, of the data directory, or kind denied.
 */
export async function startServer(spec: NodeSpec, start: ServerStart): Promise<NodeAction> {
  const node = spec.id;
  if (spec.manage === "connect") return connect(spec, start);
  const found = await nodeProcess(spec.dataDir, node, start.manifest.name, isServerProcess(spec));
  const record = found.kind === "spawned" || found.kind === "foreground" ? found.record : undefined;
  if (record !== undefined) refuseElsewhere(spec, record);
  const answer = await ask(spec, start);
  if (record !== undefined) {
    const { pid } = record;
    const report = isReport(answer) ? answer : await untilItAnswers(spec, start);
    if (pidOf(report) === pid) return { node, outcome: "already-running", pid };
    throw await portTaken(spec);
  }
  // Whatever has the port is not a server that was started for this node.
  if (isReport(answer) || answer.code !== "connection-refused") throw await portTaken(spec);
  await prepareDataDir(spec);
  await writeConfig(spec, start.manifest);
  const spawned = await spawnNode(spec, start.manifest.name, {
    program: start.program,
    args: [join(spec.dataDir, CONFIG_FILE)],
  });
  const report = await untilItAnswers(spec, start, spawned);
  // Another `up` at the same time may have been the faster one; its server is in the same file.
  if (pidOf(report) !== spawned.pid) return { node, outcome: "already-running", pid: pidOf(report) };
  await notePid(spec, start.manifest.name, spawned.pid, PID_FILE);
  return { node, outcome: "spawned", pid: spawned.pid };
}

async function connect(spec: NodeSpec, start: ServerStart): Promise<NodeAction> {
  const deadlineMs = Math.min(start.deadlineMs, performance.now() + CONNECT_MS_MAX);
  for (;;) {
    const answer = await ask(spec, start);
    if (isReport(answer)) return { node: spec.id, outcome: "connected", pid: pidOf(answer) };
    const isOver = (): boolean => performance.now() + POLL_MS >= deadlineMs;
    if (!isOver()) await pause(POLL_MS);
    // A pause may take longer; a question without time would only find that there was none.
    if (isOver()) return { node: spec.id, outcome: "not-managed", pid: null, error: reasonOf(answer) };
  }
}

async function untilItAnswers(
  spec: NodeSpec,
  start: ServerStart,
  spawned?: SpawnedNode,
): Promise<RedisReport> {
  for (;;) {
    const exit = spawned?.exit();
    const answer = await ask(spec, start);
    if (isReport(answer)) return answer;
    if (spawned !== undefined && exit !== undefined) throw await startFailure(spec, spawned, exit);
    if (performance.now() + POLL_MS >= start.deadlineMs) {
      throw new Mem0ctlError("unknown-outcome", "node-start-timeout", `${spec.id} does not answer yet`, {
        why: `${spawned === undefined ? "its process runs" : `pid ${spawned.pid} was started`}, but: ${reasonOf(answer)}`,
        hint: `it may still come; its log: \`mem0ctl nodes logs ${spec.id}\`, or raise --timeout`,
        data: { node: spec.id },
      });
    }
    await pause(POLL_MS);
  }
}

/** The server's own view, or why there is none yet. What waiting cannot heal is thrown. */
async function ask(
  spec: NodeSpec,
  { nodes, deadlineMs, signal }: ServerStart,
): Promise<RedisReport | NodeFailure> {
  const timeoutMs = Math.max(1, Math.min(QUESTION_MS_MAX, deadlineMs - performance.now()));
  try {
    return await nodes.report(spec.id, { timeoutMs, ...(signal === undefined ? {} : { signal }) });
  } catch (error) {
    if (error instanceof NodeFailure) {
      if (error.kind === "unavailable") return error;
      if (error.code === "not-our-server") throw await portTaken(spec);
      if (error.code === "not-a-node" && spec.manage === "spawn") throw await portTaken(spec);
      throw error;
    }
    if (error instanceof ReplyError || error instanceof ProtocolError) throw await portTaken(spec);
    throw error;
  }
}

function isReport(answer: RedisReport | NodeFailure): answer is RedisReport {
  return !(answer instanceof NodeFailure);
}

function pidOf({ info }: RedisReport): number | null {
  return infoNumber(info, "process_id");
}

function reasonOf(failure: NodeFailure | RedisReport): string {
  return failure instanceof NodeFailure ? failure.reason : "";
}

async function startFailure(node: NodeSpec, spawned: SpawnedNode, exit: NodeExit): Promise<Mem0ctlError> {
  const lines = await logLines(spawned);
  const data = startData(node, spawned, exit, lines);
  const said = lines.join("\n");
  if (/Address already in use/i.test(said)) return portTaken(node, data, takenPort(said));
  if (/No space left on device/i.test(said)) return diskFull(node, data);
  return nodeDied(node, exit, data);
}

/**
 * The port that a server could not have, where it says so: its cluster bus may be in the range of outgoing connections.
 * @internal
 */
export function takenPort(said: string): number | undefined {
  const port =
    /listening socket (?:\S*:)?(\d+): /i.exec(said)?.[1] ?? /listening on port (\d+)/i.exec(said)?.[1];
  return port === undefined ? undefined : Number(port);
}

// --- configuration -----------------------------------------------------------------------------

/** Written anew at every start, so that it always says what the manifest says. */
async function writeConfig(spec: NodeSpec, manifest: Manifest): Promise<void> {
  const { security } = manifest;
  const password =
    security.password === undefined ? undefined : await resolveSecret(security.password, "the password");
  const lines = configLines(spec, manifest, password);
  const file = join(spec.dataDir, CONFIG_FILE);
  const made = `${file}.${process.pid}`;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
  const handle = await open(made, flags, 0o600);
  try {
    await handle.writeFile(`${lines.map((words) => words.map(quoted).join(" ")).join("\n")}\n`);
  } finally {
    await handle.close();
  }
  await rename(made, file);
}

/** @internal Tested without starting a server. */
export function configLines(
  spec: NodeSpec,
  manifest: Manifest,
  password: string | undefined,
): readonly (readonly string[])[] {
  const { consensus, limits, security } = manifest;
  const place = spec.listen ?? spec;
  const tls = tlsOfNode(manifest, spec.id);
  return [
    ["bind", place.host],
    ...(tls === undefined
      ? [["port", String(place.port)]]
      : [
          ["port", "0"],
          ["tls-port", String(place.port)],
          ["tls-cert-file", tls.cert],
          ["tls-key-file", tls.key],
          ["tls-ca-cert-file", tls.ca],
          ["tls-auth-clients", "yes"],
          ["tls-replication", "yes"],
          ["tls-cluster", "yes"],
        ]),
    ["dir", spec.dataDir],
    ["daemonize", "no"],
    ["logfile", ""],
    ["proc-title-template", `{title} ${titleOf(manifest.name, spec.id)} {listen-addr}`],
    ["maxclients", String(limits.connectionsMax)],
    // Every write is in the append-only file within a second; snapshots would say the same again.
    ["appendonly", "yes"],
    ["appendfsync", "everysec"],
    ["save", ""],
    ["cluster-enabled", "yes"],
    ["cluster-config-file", "nodes.conf"],
    ["cluster-port", String(busPort(place.port))],
    ["cluster-node-timeout", String(consensus.electionTimeoutMs)],
    // A shard that is lost takes no other one with it.
    ["cluster-require-full-coverage", "no"],
    // Replicas stay where they were placed.
    ["cluster-allow-replica-migration", "no"],
    // A replica that was away for a moment catches up from the backlog, and a new one need not wait.
    ["repl-backlog-size", "16mb"],
    ["repl-diskless-sync-delay", "0"],
    ...(spec.listen === undefined
      ? []
      : [
          ["cluster-announce-ip", spec.host],
          [tls === undefined ? "cluster-announce-port" : "cluster-announce-tls-port", String(spec.port)],
          ["cluster-announce-bus-port", String(busPort(spec.port))],
        ]),
    ...accountLines(security.user, password),
  ];
}

function accountLines(
  user: string | undefined,
  password: string | undefined,
): readonly (readonly string[])[] {
  if (password === undefined) return [];
  if (user === undefined || user === "default") {
    return [
      ["requirepass", password],
      ["masterauth", password],
    ];
  }
  return [
    ["user", "default", "off"],
    ["user", user, "on", `>${password}`, "~*", "&*", "+@all"],
    ["masteruser", user],
    ["masterauth", password],
  ];
}

/** A word as the server's configuration reads it: quoted where it holds more than plain characters. */
function quoted(word: string): string {
  if (/^[\w./:@{}*&+~>-]+$/.test(word) && !word.startsWith(">")) return word;
  return `"${word.replaceAll(/["\\]/g, "\\$&")}"`;
}
