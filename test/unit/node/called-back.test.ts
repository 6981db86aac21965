// A replica that is moved away and called back before anything of that is on disk.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EMPTY_MEMBERSHIP } from "../../../src/consensus/membership.ts";
import type { Message } from "../../../src/consensus/seam.ts";
import { pause } from "../../../src/node/clock.ts";
import { replicaFactoryOf } from "../../../src/node/cluster/protocols.ts";
import { Host } from "../../../src/node/host/host.ts";
import type { HostOptions } from "../../../src/node/host/host-options.ts";
import { LOG_ONLY } from "../../../src/node/host/machine.ts";
import { encodeKey, extendKey } from "../../../src/node/storage/key.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import { openLogFolder } from "../../../src/node/storage/log-folder.ts";
import { LogStore } from "../../../src/node/storage/log-store.ts";
import type { Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";

let folder: string;
let log: LogStore;
let state: Store;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-called-back-"));
  const onDiskFailure = (reason: string): never => {
    throw new Error(reason);
  };
  log = new LogStore({ folder: openLogFolder(join(folder, "log")), clock: systemClock, onDiskFailure });
  state = openLmdbStore({ folder, flushDelayMs: 0, onDiskFailure });
});
afterEach(async () => {
  await state.close();
  await log.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A host of raft groups, and what it sends. */
function hostSending(sent: Message[]): Host {
  return new Host({
    self: "a",
    stores: { log, state },
    network: {
      send: (_to: string, _group: string, message: Message) => void sent.push(message),
      flush: () => undefined,
      flushSoon: () => undefined,
      connected: () => false,
    },
    clock: systemClock,
    protocolOf: (group: string) => replicaFactoryOf("raft", group),
    logsMatch: () => true,
    heartbeatIntervalMs: 100,
    electionTimeoutMs: 1000,
    makeMachine: () => LOG_ONLY,
    limits: { cleanRecordsMax: 2000, logBytes: 1, groupLogBytesMin: 1 },
    onChanged: () => undefined,
    onFailure: (error: unknown) => {
      throw error;
    },
  } as unknown as HostOptions);
}

const start = { id: "7", arbiter: false, rank: 0, genesis: EMPTY_MEMBERSHIP };

test("what was written for a replica that was taken away is acknowledged for none that was called back", async () => {
  const sent: Message[] = [];
  const host = hostSending(sent);
  host.open(start);
  let reach: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  const append = log.append.bind(log);
  let isWritten = false;
  log.append = async (writes) => {
    await append(writes);
    if (!writes.some(({ kind }) => kind === "entries")) return;
    isWritten = true;
    await reached;
  };
  const entry = { index: 1, term: 3, kind: "command", data: Buffer.of(1) } as const;
  const sentBy = { from: "b", to: "a", term: 3 };
  host.deliver("b", "7", {
    ...sentBy,
    kind: "append",
    prevIndex: 0,
    prevTerm: 0,
    commit: 0,
    entries: [entry],
    heldByAll: 0,
  } as Message);
  while (!isWritten) await pause(systemClock, 1);
  const removed = host.removeGroup("7", () => true);
  while (host.groups.has("7")) await pause(systemClock, 1);
  host.open(start);
  reach();
  await removed;
  await pause(systemClock, 20);
  expect(sent.filter(({ kind }) => kind === "append-accepted")).toEqual([]);
  await host.stop();
});

test("what is staged for a replica that was called back is not deleted with what it was before", async () => {
  const host = hostSending([]);
  const before = host.open(start);
  const old = extendKey(before.durable.prefix(), "memory");
  await state.transact((writer) => writer.put(old, Buffer.of(1)));
  // The removal reaches the disk when it is told to.
  let reach: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  const append = log.append.bind(log);
  log.append = async (writes) => {
    await append(writes);
    if (writes.some(({ kind }) => kind === "remove")) await reached;
  };
  const removed = host.removeGroup("7", () => true);
  while (host.groups.has("7")) await pause(systemClock, 1);
  const back = host.open(start);
  expect(back).not.toBe(before);
  const staged = extendKey(back.durable.stagingPrefix(), "memory");
  // As the begin of a snapshot does, and what comes after it.
  const isStaged = host.cleaned().then(() => state.transact((writer) => writer.put(staged, Buffer.of(2))));
  await pause(systemClock, 50);
  reach();
  await removed;
  await isStaged;
  await host.cleaned();
  expect(state.get(staged)).toEqual(Buffer.of(2));
  expect(state.get(old)).toBeUndefined();
  expect(state.get(encodeKey("state", "7", 1, "memory"))).toBeUndefined();
  await host.stop();
});
