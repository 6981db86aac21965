// A log that lost its end without a trace in itself: what the state says of it.

import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EMPTY_MEMBERSHIP } from "../../../src/consensus/membership.ts";
import { pause } from "../../../src/node/clock.ts";
import { replicaFactoryOf } from "../../../src/node/cluster/protocols.ts";
import { isLogShort } from "../../../src/node/host/durable-group.ts";
import { Host } from "../../../src/node/host/host.ts";
import type { HostOptions } from "../../../src/node/host/host-options.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import { openLogFolder } from "../../../src/node/storage/log-folder.ts";
import { LogStore } from "../../../src/node/storage/log-store.ts";
import type { Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";

const GROUP = { id: "7", arbiter: false, rank: 0, genesis: EMPTY_MEMBERSHIP };
const MEMBERS = { voters: ["a", "b", "c"], outgoing: [], learners: [], arbiters: [] };

let folder: string;
let log: LogStore;
let state: Store;

const onDiskFailure = (reason: string): never => {
  throw new Error(reason);
};

function openLog(): void {
  log = new LogStore({ folder: openLogFolder(join(folder, "log")), clock: systemClock, onDiskFailure });
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-cut-log-"));
  openLog();
  state = openLmdbStore({ folder, flushDelayMs: 0, onDiskFailure });
});
afterEach(async () => {
  await state.close();
  await log.close();
  rmSync(folder, { recursive: true, force: true });
});

function openHost(): Host {
  const host = new Host({
    self: "a",
    stores: { log, state },
    network: {
      send: () => undefined,
      flush: () => undefined,
      flushSoon: () => undefined,
      connected: () => false,
    },
    clock: systemClock,
    protocolOf: (group: string) => replicaFactoryOf("raft", group),
    logsMatch: () => true,
    heartbeatIntervalMs: 100,
    electionTimeoutMs: 1000,
    makeMachine: () => ({
      apply: () => undefined,
      finish: () => undefined,
      reload: () => undefined,
      close: () => undefined,
    }),
    limits: { cleanRecordsMax: 2000, logBytes: 1000, groupLogBytesMin: 1000 },
    onChanged: () => undefined,
    onFailure: (error: unknown) => {
      throw error;
    },
  } as unknown as HostOptions);
  return host;
}

/** Such as a leader sends to who lags: the group's state as of `index`. */
async function sendState(host: Host, index: number): Promise<void> {
  const id = `at ${index}`;
  await host.snapshots.receive("b", { step: "begin", group: "7", id, term: 3 });
  const items = [[Buffer.from("memory"), Buffer.of(index)]];
  await host.snapshots.receive("b", { step: "chunk", group: "7", id, items });
  const meta = { index, term: 3, membership: MEMBERS };
  await host.snapshots.receive("b", { step: "end", group: "7", id, meta, term: 3 });
  const group = host.group("7");
  while (group.applied < index) await pause(systemClock, 1);
}

/** Everything that is under way has reached the disk, and what is not needed any more is gone from it. */
async function settle(host: Host): Promise<void> {
  await log.append([]);
  await pause(systemClock, 5);
  await host.cleaned();
  await state.flush();
}

/** The node stops, and its log is what it was when it was copied. */
async function cutBack(host: Host): Promise<void> {
  await host.stop();
  await log.close();
  copyFileSync(join(folder, "before"), join(folder, "log", "log"));
  openLog();
}

test("a log that lost the record of a newer state is short, though its own state is gone", async () => {
  const host = openHost();
  host.open(GROUP);
  await sendState(host, 5);
  await settle(host);
  expect(isLogShort({ log, state })).toBe(false);
  copyFileSync(join(folder, "log", "log"), join(folder, "before"));
  await sendState(host, 9);
  await settle(host);
  expect(isLogShort({ log, state })).toBe(false);
  await cutBack(host);
  expect(log.groups.get("7")?.record.snapshot.index).toBe(5);
  expect(isLogShort({ log, state })).toBe(true);
});

test("a log that lost a whole replica is short", async () => {
  await log.append([{ kind: "fact", name: "before", value: "all replicas" }]);
  copyFileSync(join(folder, "log", "log"), join(folder, "before"));
  const host = openHost();
  host.open(GROUP);
  await settle(host);
  await cutBack(host);
  expect(log.groups.has("7")).toBe(false);
  expect(isLogShort({ log, state })).toBe(true);
});

test("a replica that was taken away leaves no log that looks short, at no moment", async () => {
  const host = openHost();
  host.open(GROUP);
  await sendState(host, 5);
  await settle(host);
  const append = log.append.bind(log);
  const looks: boolean[] = [];
  log.append = async (writes) => {
    await append(writes);
    if (writes.some(({ kind }) => kind === "remove")) looks.push(isLogShort({ log, state }));
  };
  await host.removeGroup("7", () => true);
  await settle(host);
  looks.push(isLogShort({ log, state }));
  expect(looks).toEqual([false, false]);
  // Called back, it is known again.
  host.open(GROUP);
  await settle(host);
  copyFileSync(join(folder, "log", "log"), join(folder, "before"));
  await sendState(host, 12);
  await settle(host);
  await cutBack(host);
  expect(isLogShort({ log, state })).toBe(true);
});

test("a replica that is called back before it went is as well known as it was", async () => {
  const host = openHost();
  host.open(GROUP);
  await sendState(host, 5);
  await settle(host);
  copyFileSync(join(folder, "log", "log"), join(folder, "before"));
  await host.removeGroup("7", () => false);
  await sendState(host, 9);
  await settle(host);
  await cutBack(host);
  expect(isLogShort({ log, state })).toBe(true);
});

test("a log that lost that a replica was taken away, called back and fed is short, however new its former state was", async () => {
  const host = openHost();
  host.open(GROUP);
  for (const index of [5, 6, 7]) await sendState(host, index);
  await settle(host);
  copyFileSync(join(folder, "log", "log"), join(folder, "before"));
  await host.removeGroup("7", () => true);
  await settle(host);
  host.open(GROUP);
  await sendState(host, 12);
  await settle(host);
  expect(isLogShort({ log, state })).toBe(false);
  await cutBack(host);
  expect(log.groups.get("7")?.record.snapshot.index).toBe(7);
  expect(isLogShort({ log, state })).toBe(true);
});
