// A replica whose state is damaged while its log is being recovered: neither keeps the other from being mended.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EMPTY_MEMBERSHIP } from "../../../src/consensus/membership.ts";
import { pause } from "../../../src/node/clock.ts";
import { replicaFactoryOf } from "../../../src/node/cluster/protocols.ts";
import { Host } from "../../../src/node/host/host.ts";
import type { HostOptions } from "../../../src/node/host/host-options.ts";
import type { StateMachine } from "../../../src/node/host/machine.ts";
import { encodeKey, extendKey, type Key } from "../../../src/node/storage/key.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import { openLogFolder } from "../../../src/node/storage/log-folder.ts";
import { LogStore } from "../../../src/node/storage/log-store.ts";
import { StoreCorruptError, type Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { pack } from "../../../src/node/transport/frames.ts";
import { eventually } from "./eventually.ts";

const GROUP = { id: "7", arbiter: false, rank: 0, genesis: EMPTY_MEMBERSHIP };
const MEMBERS = { voters: ["a", "b", "c"], outgoing: [], learners: [], arbiters: [] };
/** Where its own state lies. */
const STATE = encodeKey("state", "7", 1);
/** More than it takes to ask others again. */
const WHILE_MS = 1000;

let folder: string;
let log: LogStore;
let state: Store;
let failures: unknown[];
let asked: string[];

const onDiskFailure = (reason: string): never => {
  throw new Error(reason);
};

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-damaged-state-"));
  log = new LogStore({ folder: openLogFolder(join(folder, "log")), clock: systemClock, onDiskFailure });
  state = openLmdbStore({ folder, flushDelayMs: 0, onDiskFailure });
  failures = [];
  asked = [];
  // Entry 6 is applied, and the log was damaged since.
  const record = {
    hardState: { term: 3, vote: "", commit: 6 },
    snapshot: { index: 5, term: 3, membership: MEMBERS },
    generation: 1,
    recovery: { refill: false },
  };
  const entries = [{ index: 6, term: 3, kind: "command" as const, data: Buffer.of(6) }];
  await log.append([
    { kind: "group", group: "7", record },
    { kind: "entries", group: "7", entries },
  ]);
  await state.transact((writer) => {
    writer.put(extendKey(STATE, "applied"), pack(6));
    writer.put(extendKey(STATE, "applied-term"), pack([6, 3]));
  });
});
afterEach(async () => {
  await state.close();
  await log.close();
  rmSync(folder, { recursive: true, force: true });
});

function openHost({
  promisesOf,
  makeMachine,
}: {
  /** Who tells what it has promised. */
  readonly promisesOf: readonly string[];
  readonly makeMachine: (group: string, prefix: Key) => StateMachine;
}): Host {
  const host: Host = new Host({
    self: "a",
    stores: { log, state },
    network: {
      send: () => undefined,
      flush: () => undefined,
      flushSoon: () => undefined,
      connected: () => true,
      call: async (to: string, what: string) => {
        if (what === "promises") {
          if (!promisesOf.includes(to)) throw new Error(`${to} does not answer`);
          return { term: 4, commit: 6, membership: MEMBERS, recovering: false };
        }
        asked.push(to);
        await sendState(host, to, 5);
        return true;
      },
    },
    clock: systemClock,
    protocolOf: (group: string) => replicaFactoryOf("raft", group),
    logsMatch: () => true,
    heartbeatIntervalMs: 100,
    electionTimeoutMs: 1000,
    makeMachine,
    limits: { cleanRecordsMax: 2000, logBytes: 1000, groupLogBytesMin: 1000 },
    nodes: () => ["a", "b", "c"],
    onChanged: () => undefined,
    onDamage: () => undefined,
    onRecovery: () => undefined,
    onRepaired: () => undefined,
    onFailure: (error: unknown) => failures.push(error),
  } as unknown as HostOptions);
  return host;
}

function machine(): StateMachine {
  return {
    apply: () => undefined,
    finish: () => undefined,
    reload: () => undefined,
    close: () => undefined,
  } as unknown as StateMachine;
}

/** Such as a replica gives to one whose state is damaged, which asked for it. */
async function sendState(host: Host, from: string, index: number): Promise<void> {
  const id = `from ${from}`;
  await host.snapshots.receive(from, { step: "begin", group: "7", id });
  await host.snapshots.receive(from, {
    step: "chunk",
    group: "7",
    id,
    items: [[Buffer.from("memory"), Buffer.of(index)]],
  });
  const meta = { index, term: 3, membership: MEMBERS };
  await host.snapshots.receive(from, { step: "end", group: "7", id, meta });
}

test("a state that cannot be opened is asked for while the log is still recovering", async () => {
  const host = openHost({
    promisesOf: ["b", "c"],
    makeMachine: (_, prefix) => {
      if (prefix.equals(STATE)) throw new StoreCorruptError(extendKey(prefix, "totals"));
      return machine();
    },
  });
  host.open(GROUP);
  await eventually(() => expect(host.group("7").durable.recovery?.term).toBe(5));
  await eventually(() => expect(host.group("7").damage).toBeUndefined());
  expect(host.group("7").durable.generation).toBe(2);
  expect(host.group("7").applied).toBe(6);
  expect(failures).toEqual([]);
  await host.stop();
});

test("a replica that is silent takes nobody's state before it knows where to begin", async () => {
  const promisesOf = ["b"];
  const host = openHost({ promisesOf, makeMachine: machine });
  const group = host.open(GROUP);
  host.damaged(group, new StoreCorruptError("a record, says the scrub"));
  await pause(systemClock, WHILE_MS);
  expect(failures).toEqual([]);
  expect(asked).toEqual([]);
  expect(group.durable.generation).toBe(1);
  promisesOf.push("c");
  await eventually(() => expect(host.group("7").durable.generation).toBe(2));
  expect(host.group("7").damage).toBeUndefined();
  expect(host.group("7").applied).toBe(6);
  expect(failures).toEqual([]);
  await host.stop();
});
