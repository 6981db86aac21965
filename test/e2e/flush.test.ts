// An acknowledgement means flushed, seen from outside by strace: on every replica that a write needs, the
// data reached the disk before the client had its answer: a write to a file that was opened for
// synchronous writes (O_DSYNC) returned, or a flush that began after the write did.

import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { constants, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { importRecords, record } from "./support/api.ts";
import { bringUpCluster, until, type TestCluster } from "./support/cluster.ts";

const MARKER = "flushed-before-acknowledged";
const NODES = ["node-1", "node-2"];
const SYSCALLS = "trace=write,writev,pwrite64,pwritev,pwritev2,fdatasync,fsync,msync,sync_file_range";

let cluster: TestCluster | undefined;
const tracers: ChildProcess[] = [];
const missing = spawnSync("strace", ["--version"]).error !== undefined;

beforeAll(async () => {
  if (missing) {
    if (process.env["CI"] === "true") throw new Error("strace is not installed");
    process.stderr.write("skipped: flush.test.ts: strace is not installed\n");
    return;
  }
  // Two copies: both nodes are needed for every write.
  cluster = await bringUpCluster({
    nodes: 2,
    flags: ["--replication", "single", "--shards", "1", "--sharding", "hash"],
  });
});
afterAll(async () => {
  for (const tracer of tracers) tracer.kill("SIGKILL");
  await cluster?.end();
});

interface Syscall {
  readonly name: string;
  readonly text: string;
  readonly startedMs: number;
  /** When it returned; undefined while it had not when the trace ended. */
  endedMs: number | undefined;
}

/** Calls in the order in which they began; `-ttt` gives seconds, `-T` how long a call took. */
function syscallsOf(trace: string): readonly Syscall[] {
  const calls: Syscall[] = [];
  const open = new Map<string, Syscall>();
  for (const line of trace.split("\n")) {
    const [, pid = "", seconds = "", rest = ""] = /^(\d+) +(\d+\.\d+) (.*)$/.exec(line) ?? [];
    const atMs = Number(seconds) * 1000;
    const resumed = /^<\.\.\. (\w+) resumed>/.test(rest);
    if (resumed) {
      const call = open.get(pid);
      if (call !== undefined) call.endedMs = atMs;
      open.delete(pid);
      continue;
    }
    const name = /^(\w+)\(/.exec(rest)?.[1];
    if (name === undefined) continue;
    const took = /<(\d+\.\d+)>$/.exec(rest)?.[1];
    const call: Syscall = {
      name,
      text: rest,
      startedMs: atMs,
      endedMs: took === undefined ? undefined : atMs + Number(took) * 1000,
    };
    if (rest.endsWith("<unfinished ...>")) open.set(pid, call);
    calls.push(call);
  }
  return calls;
}

/** The file that a call is about, as `-y` notes it after the descriptor. */
function fileOf({ text }: Syscall): string {
  return /^\w+\(\d+<(?<path>[^>]*)>/.exec(text)?.groups?.["path"] ?? "";
}

test("no acknowledgement before the data is flushed on every replica it needs", async (context) => {
  if (cluster === undefined) return context.skip("strace is not installed");
  const { pidOf, hosts, dataDir } = cluster;
  const stop = await trace(cluster);
  const synchronous = NODES.map((node) => synchronousFiles(pidOf(node) ?? 0));
  const text = `${MARKER} ${"x".repeat(200)}`;
  const answer = await importRecords(hosts[0] ?? "", [record("flushed", "ada", text)]);
  const answeredMs = performance.timeOrigin + performance.now();
  expect(answer).toMatchObject({ status: 200 });
  const traced = await stop();

  for (const [index, node] of NODES.entries()) {
    const calls = traced[index] ?? [];
    const written = calls.find((one) => isWriteOf(one, dataDir(node)) && holdsMarker(one.text));
    expect(written, `${node} wrote the memory below its data directory`).toBeDefined();
    const file = written === undefined ? "" : fileOf(written);
    const writtenMs = written?.endedMs ?? Infinity;
    const flushed = calls.find(
      (one) => /^f(?:data)?sync$/.test(one.name) && fileOf(one) === file && one.startedMs >= writtenMs,
    );
    const durableMs = synchronous[index]?.has(file) === true ? writtenMs : flushed?.endedMs;
    expect(durableMs, `${node} flushed ${file}`).toBeLessThan(answeredMs);
  }
});

test("no vote before the term it was given in is flushed", async (context) => {
  if (cluster === undefined) return context.skip("strace is not installed");
  const { mem0ctl, dataDir, pidOf, status } = cluster;
  const [shard] = (await status()).view.shards;
  const leader = shard?.leader ?? "";
  const voter = NODES.indexOf(leader);
  const successor = NODES.find((node) => node !== leader) ?? "";
  const stop = await trace(cluster);
  const synchronous = synchronousFiles(pidOf(leader) ?? 0);
  const askedMs = performance.timeOrigin + performance.now();
  // The leader that hands over votes for its successor, in a term that it did not know before.
  expect(await mem0ctl("leader", "transfer", "0", "--to", successor)).toMatchObject({ code: 0 });
  const calls = (await stop())[voter] ?? [];
  const sent = calls.find(
    (one) => /^writev?$/.test(one.name) && one.startedMs > askedMs && one.text.includes("vote-response"),
  );
  expect(sent, `${leader} sent its vote`).toBeDefined();
  const promised = calls.filter(
    (one) =>
      isWriteOf(one, dataDir(leader)) &&
      synchronous.has(fileOf(one)) &&
      one.startedMs > askedMs &&
      one.text.includes(whitened(successor)) &&
      (one.endedMs ?? Infinity) <= (sent?.startedMs ?? 0),
  );
  expect(promised.length, `${leader} has its vote on disk before it leaves`).toBeGreaterThan(0);
});

/** Traces all nodes until what it returns is called, which gives the calls of each. */
async function trace({
  pidOf,
  directory,
}: TestCluster): Promise<() => Promise<readonly (readonly Syscall[])[]>> {
  const traces = NODES.map((node) => join(directory, `${node}.strace`));
  const own: ChildProcess[] = [];
  for (const [index, node] of NODES.entries()) {
    const options = ["-f", "-ttt", "-T", "-y", "-s", "1000000", "-e", SYSCALLS];
    const tracer = spawn("strace", [...options, "-p", String(pidOf(node)), "-o", traces[index] ?? ""], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    own.push(tracer);
    tracers.push(tracer);
    let said = "";
    tracer.stderr?.on("data", (chunk: Buffer) => (said += String(chunk)));
    await until(`strace is attached to ${node}`, () => said.includes("attached"));
  }
  return async () => {
    for (const tracer of own) tracer.kill("SIGINT");
    await until("strace has ended", () =>
      own.every(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null),
    );
    return traces.map((file) => syscallsOf(readFileSync(file, "utf8")));
  };
}

/** Files that the process has open with O_DSYNC: a write to them returns when it is on disk. */
function synchronousFiles(pid: number): ReadonlySet<string> {
  const files = new Set<string>();
  for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const information = readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, "utf8");
      const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(information)?.[1] ?? "0", 8);
      if ((flags & constants.O_DSYNC) !== 0) files.add(readlinkSync(`/proc/${pid}/fd/${descriptor}`));
    } catch {
      // Closed meanwhile: not the file that the log is in.
    }
  }
  return files;
}

function isWriteOf(call: Syscall, folder: string): boolean {
  return /^p?write/.test(call.name) && fileOf(call).startsWith(folder);
}

/** The log whitens what it writes: every byte is combined with a constant. */
function holdsMarker(text: string): boolean {
  return text.includes(MARKER) || text.includes(whitened(MARKER));
}

function whitened(marker: string): string {
  return [...Buffer.from(marker)].map((byte) => `\\${(byte ^ 0xa5).toString(8)}`).join("");
}
