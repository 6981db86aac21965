// Everything that may be wrong where a node starts: each is told in plain words with its code, nobody else is
// harmed, and nothing is ever taken for empty.

import { spawn, type ChildProcess } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { encodePidFile, PID_FILE, startTimeOfStat } from "../../src/model/pid-file.ts";
import type { Identity } from "../../src/node/identity.ts";
import type { NodeReport } from "../../src/model/node-api.ts";
import { openLogFolder } from "../../src/node/storage/log-folder.ts";
import { LogStore } from "../../src/node/storage/log-store.ts";
import { systemClock } from "../../src/node/system-clock.ts";
import { call, importRecords, record, staleExport, type Answer } from "./support/api.ts";
import { bringUpCluster, isAlive, makeCluster, until, type TestCluster } from "./support/cluster.ts";

const BIN = fileURLToPath(new URL("../../bin/mem0ctl.js", import.meta.url));
const TEXT = "The spare key is under the third flower pot";

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

interface Failure {
  readonly code: number;
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string };
}

/** A command that must fail, with its error as `-o json` gives it. */
async function failing(cluster: TestCluster, ...args: readonly string[]): Promise<Failure> {
  const { code, stdout, stderr } = await cluster.mem0ctl(...args, "-o", "json");
  const text = [stdout, stderr].find((stream) => stream.includes('"error"'));
  if (text === undefined) throw new Error(`exit ${code}, no error: ${stdout}${stderr}`);
  return { code, ...JSON.parse(text.slice(text.indexOf("{"))) };
}

async function get(host: string, id: string): Promise<Answer> {
  return call(host, { path: `/v1/memories/${id}/` });
}

describe("a cluster that is started for the first time", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await makeCluster();
  });
  afterAll(async () => cluster?.end());

  test("a taken port is named, with the process that has it; free again, up works", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.resume().end("I am no node\r\n");
    });
    await new Promise<void>((resolve) => server.listen(cluster.ports[1], "127.0.0.1", resolve));
    try {
      const { code, error } = await failing(cluster, "up", "--timeout", "20s");
      expect(code).toBe(1);
      expect(error.code).toBe("port-taken");
      expect(error.message).toContain(String(cluster.ports[1]));
      expect(error.message).toContain(`pid ${process.pid}`);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  });

  test("a second process on a node's data is refused, and the first goes on", async () => {
    const before = cluster.pidOf("node-1");
    const { code, stdout, stderr } = await cluster.mem0ctl("node", "run", "--node", "node-1");
    expect(code).not.toBe(0);
    expect(`${stdout}${stderr}`).toContain("data-locked");
    expect(`${stdout}${stderr}`).toContain(String(before));
    expect(cluster.pidOf("node-1")).toBe(before);
    expect((await cluster.status()).code).toBe(0);
  });

  test("a pid file that names another program's process gets that program no signal", async () => {
    expect(await importRecords(cluster.hosts[0] ?? "", [record("kept", "ada", TEXT)])).toMatchObject({
      status: 200,
    });
    expect(await cluster.mem0ctl("down")).toMatchObject({ code: 0 });
    const bystander = spawn("sleep", ["600"], { stdio: "ignore" });
    children.push(bystander);
    const pid = bystander.pid ?? 0;
    const file = join(cluster.dataDir("node-1"), PID_FILE);
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const its = startTimeOfStat(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? "";
    for (const startTime of ["1", its]) {
      const port = cluster.ports[0] ?? 0;
      writeFileSync(file, encodePidFile({ pid, startTime, bootId, node: "node-1", cluster: "e2e", port }));
      expect(await cluster.mem0ctl("down")).toMatchObject({ code: 0 });
      expect(isAlive(pid)).toBe(true);
    }
    writeFileSync(
      file,
      encodePidFile({ pid, startTime: "1", bootId, node: "node-1", cluster: "e2e", port: 1 }),
    );
    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
    expect(isAlive(pid)).toBe(true);
    expect(await get(cluster.hosts[0] ?? "", "kept")).toMatchObject({ status: 200, body: { memory: TEXT } });
  });
});

describe("data that a node must not take for its own", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await bringUpCluster({ spare: 1 });
    const records = Array.from({ length: 50 }, (_, index) =>
      record(`s-${index}`, `user-${index}`, `${TEXT} ${index}`),
    );
    const answer = await importRecords(cluster.hosts[0] ?? "", records);
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
    await cluster.mem0ctl("wait", "--for", "healthy");
  });
  afterAll(async () => cluster?.end());

  test("a node whose address was edited is named with both, and comes back with the one it had", async () => {
    expect(await cluster.mem0ctl("down")).toMatchObject({ code: 0 });
    const manifest = readFileSync(cluster.file, "utf8");
    const [, port = 0, , elsewhere = 0] = cluster.ports;
    writeFileSync(cluster.file, manifest.replace(`:${port}`, `:${elsewhere}`));
    const { code, stdout } = await cluster.mem0ctl("up", "--timeout", "5s");
    expect({ code, stdout }).toMatchObject({ code: 3 });
    expect(stdout).toContain(`node-2 was started at 127.0.0.1:${elsewhere}`);
    expect(stdout).toContain(`127.0.0.1:${port}`);
    writeFileSync(cluster.file, manifest);
    expect(await cluster.mem0ctl("restart", "node-2", "--timeout", "30s")).toMatchObject({ code: 0 });
  });

  test("data of another cluster is refused, and left as it is", async () => {
    expect(await cluster.mem0ctl("down")).toMatchObject({ code: 0 });
    const manifest = readFileSync(cluster.file, "utf8");
    writeFileSync(cluster.file, manifest.replace("name: e2e", "name: another"));
    try {
      const { code, error } = await failing(cluster, "up", "--timeout", "20s");
      expect(code).toBe(6);
      expect(error.code).toBe("data-of-other-cluster");
      expect(error.message).toContain("belongs to the cluster e2e, not to another");
    } finally {
      writeFileSync(cluster.file, manifest);
    }
    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
    expect(await get(cluster.hosts[1] ?? "", "s-7")).toMatchObject({ status: 200 });
  });

  test("data in a newer format is refused: upgrade", async () => {
    expect(await cluster.mem0ctl("down", "node-2")).toMatchObject({ code: 0 });
    const file = join(cluster.dataDir("node-2"), "store", "log");
    copyFileSync(file, join(cluster.directory, "log.kept"));
    const log = new LogStore({
      folder: openLogFolder(join(cluster.dataDir("node-2"), "store")),
      clock: systemClock,
      onDiskFailure: (reason) => {
        throw new Error(reason);
      },
    });
    const identity = log.facts.get("identity") as Identity;
    await log.append([
      { kind: "fact", name: "identity", value: { ...identity, format: identity.format + 1 } },
    ]);
    await log.close();
    const { code, error } = await failing(cluster, "up", "--timeout", "20s");
    expect(code).toBe(6);
    expect(error.code).toBe("data-newer-format");
    expect(error.hint).toContain("upgrade");
    copyFileSync(join(cluster.directory, "log.kept"), file);
    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  });

  test("a flipped bit in the log is told, and the node recovers from the others", async () => {
    expect(await cluster.mem0ctl("down", "node-3")).toMatchObject({ code: 0 });
    const file = join(cluster.dataDir("node-3"), "store", "log");
    writeFileSync(file, flipped(readFileSync(file)));
    expect(await get(cluster.hosts[0] ?? "", "s-33")).toMatchObject({ status: 200 });
    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
    await until("every group of node-3 has everything again", async () => {
      const { body } = await call(cluster.hosts[2] ?? "", { path: "/v1/cluster/node" });
      return (body as NodeReport).groups.every(({ damage }) => damage === undefined);
    });
    expect(readFileSync(join(cluster.dataDir("node-3"), "node.log"), "utf8")).toContain("log damaged");
    expect(await get(cluster.hosts[2] ?? "", "s-33")).toMatchObject({ status: 200 });
  });

  test("a flipped bit in the state is never a memory less, and the node repairs it", async () => {
    const file = join(cluster.dataDir("node-3"), "store", "state", "data.mdb");
    writeFileSync(file, flipped(readFileSync(file)));
    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
    const found = (): Promise<number> =>
      Promise.all(
        Array.from({ length: 8 }, async (_, shard) => staleExport(cluster.hosts[2] ?? "", String(shard))),
      ).then((shards) => shards.flat().filter(({ id }) => id === "s-33").length);
    expect(await found()).toBe(1);
    expect(await get(cluster.hosts[2] ?? "", "s-33")).toMatchObject({ status: 200 });
    await until("node-3 is repaired", () =>
      readFileSync(join(cluster.dataDir("node-3"), "node.log"), "utf8").includes("replica repaired"),
    );
    expect(await found()).toBe(1);
  });

  test("a node whose data is gone is not let in again under its old id", async () => {
    expect(await cluster.mem0ctl("down", "node-2")).toMatchObject({ code: 0 });
    rmSync(join(cluster.dataDir("node-2"), "store"), { recursive: true });
    const { code, error } = await failing(cluster, "up", "--timeout", "10s");
    expect(code).toBe(6);
    expect(error.code).toBe("data-lost");
    expect(error.message).toContain("node-2");
    const view = await until("the others serve without it", async () => {
      const status = await cluster.status();
      return status.code === 3 ? status.view : undefined;
    });
    expect(view.nodes.find(({ id }) => id === "node-2")?.state).not.toBe("up");
    expect(await get(cluster.hosts[0] ?? "", "s-0")).toMatchObject({ status: 200 });
  });

  test("what it says to do then works: another joins without it, and it leaves", async () => {
    const address = `127.0.0.1:${cluster.ports[3] ?? 0}`;
    const joined = await cluster.mem0ctl("nodes", "add", "node-4", "--address", address, "--timeout", "40s");
    // As degraded as before, and no more is waited for.
    expect(joined).toMatchObject({ code: 3 });
    expect(joined.stdout).toMatch(/node-4 +started/);
    expect(joined.stdout).not.toContain("node-4 (");
    expect(await cluster.mem0ctl("nodes", "remove", "node-2", "--yes")).toMatchObject({ code: 0 });
    await until("it is healthy", async () => (await cluster.status()).code === 0);
    expect(await get(`http://${address}`, "s-0")).toMatchObject({ status: 200 });
  });
});

describe("a node without data", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await makeCluster({ spare: 2, flags: ["--shards", "2"] });
  });
  afterAll(async () => cluster?.end());

  /** The report of a node, while it answers. */
  async function reportOf(number: number): Promise<NodeReport | undefined> {
    const url = { path: "/v1/cluster/node" };
    const answer = await call(cluster.hosts[number - 1] ?? "", url).catch(() => undefined);
    return answer?.body as NodeReport | undefined;
  }

  function run(node: string): ChildProcess {
    const child = spawn(process.execPath, [BIN, "node", "run", "--node", node, "-f", cluster.file], {
      stdio: "ignore",
    });
    children.push(child);
    return child;
  }

  async function add(number: number): Promise<void> {
    const address = `127.0.0.1:${cluster.ports[number - 1] ?? 0}`;
    const node = ["--address", address, "--zone", `z${number}`, "--timeout", "3s"];
    await cluster.mem0ctl("nodes", "add", `node-${number}`, ...node);
    await until(`node-${number} has begun`, async () => {
      const report = await reportOf(number);
      return report !== undefined && report.waiting === undefined;
    });
  }

  test("founds no cluster while a node of its manifest has not been heard of, and says so", async () => {
    const founders = [run("node-1"), run("node-2")];
    const waiting = await until("node-1 waits for node-3 alone", async () => {
      const words = (await reportOf(1))?.waiting;
      return words?.endsWith("nothing is heard of node-3") === true ? words : undefined;
    });
    const { code, view } = await cluster.status();
    expect(code).toBe(4);
    const reasons = view.reasons.filter((reason) => reason.code === "node-waiting");
    expect(reasons.map(({ message }) => message)).toEqual([
      `node-1 (127.0.0.1:${cluster.ports[0] ?? 0}) ${waiting}`,
      expect.stringContaining("node-2"),
    ]);
    const refused = await cluster.mem0ctl("memories", "list", "--user", "u", "--timeout", "2s");
    expect(refused).toMatchObject({ code: 4, stderr: expect.stringContaining("node-3") });
    for (const child of founders) child.kill("SIGKILL");
    expect(await cluster.mem0ctl("up", "--timeout", "40s")).toMatchObject({ code: 0 });
  });

  test("that lost it waits beside one that never met it, and is refused by whoever did", async () => {
    expect(await cluster.mem0ctl("down", "node-2")).toMatchObject({ code: 0 });
    rmSync(join(cluster.dataDir("node-2"), "store"), { recursive: true });
    await add(4);
    expect(await cluster.mem0ctl("down", "node-1", "node-3")).toMatchObject({ code: 0 });
    const lost = run("node-2");
    const ended = new Promise<number | null>((resolve) => void lost.once("exit", resolve));
    await until("node-2 has heard that nobody can admit it", async () => {
      const words = (await reportOf(2))?.waiting;
      return words?.startsWith("waits until the metadata group admits it") === true;
    });
    expect((await reportOf(4))?.peers.find(({ id }) => id === "node-2")?.state).toBe("down");
    await cluster.mem0ctl("restart", "node-1", "--timeout", "3s");
    expect(await ended).toBe(1);
  });

  test("comes back in the documented way: the old id is removed, a new one is added", async () => {
    await cluster.mem0ctl("restart", "node-3", "--timeout", "3s");
    await add(5);
    expect(await cluster.mem0ctl("nodes", "remove", "node-2", "--yes", "--timeout", "30s")).toMatchObject({
      code: 0,
    });
    const view = await until("the cluster is healthy without node-2", async () => {
      const status = await cluster.status();
      return status.code === 0 ? status.view : undefined;
    });
    expect(view.nodes.map(({ id }) => id).toSorted()).toEqual(["node-1", "node-3", "node-4", "node-5"]);
  });
});

/** The file with a bit flipped in every copy of one stored memory's text. */
function flipped(bytes: Buffer): Buffer {
  const plain = Buffer.from(`${TEXT} 33`);
  // The log whitens what it writes: every byte is combined with a constant.
  const white = plain.map((byte) => byte ^ 0xa5);
  const changed = Buffer.from(bytes);
  for (const text of [plain, white]) {
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) {
      changed[at + 5] = (changed[at + 5] ?? 0) ^ 0x01;
    }
  }
  if (changed.equals(bytes)) throw new Error("the file does not hold the memory");
  return changed;
}
