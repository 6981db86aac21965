// What a host holds in memory while something does not go on: a disk that is full, a peer that takes no state.

import { expect, test, vi } from "vitest";
import { membershipOf } from "../../../src/consensus/membership.ts";
import type { Effects, Message, Replica } from "../../../src/consensus/seam.ts";
import { pause, type Clock, type Timer } from "../../../src/node/clock.ts";
import { replicaFactoryOf } from "../../../src/node/cluster/protocols.ts";
import { Host } from "../../../src/node/host/host.ts";
import type { HostOptions } from "../../../src/node/host/host-options.ts";
import { LOG_ONLY } from "../../../src/node/host/machine.ts";
import type { LogFile, LogFolder } from "../../../src/node/storage/log-folder.ts";
import { LogStore, type LogWrite } from "../../../src/node/storage/log-store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";

const LIMITS = {
  cleanRecordsMax: 2000,
  logBytes: 1e9,
  groupLogBytesMin: 1e9,
  keptLogBytes: 512 << 20,
  groupKeptLogBytesMax: 64 << 20,
  appendBytesMax: 1 << 20,
  inflightBytesMax: 1 << 24,
  inflightMessagesMax: 256,
  uncommittedBytesMax: 1 << 26,
  unwrittenBytesMax: 64 << 20,
  snapshotChunkBytes: 1 << 19,
  scrubBytesPerSecond: 1,
};
/** A store that holds nothing. */
const EMPTY_STATE = {
  full: false,
  unwrittenBytes: 0,
  get: () => undefined,
  range: () => [],
  keys: () => [],
  flush: async () => undefined,
  transact: async (work: (writer: unknown) => void) =>
    work({ put: () => undefined, remove: () => undefined }),
  sizeBytes: () => 0,
  close: async () => undefined,
};
/** A log that everything is in at once. */
function memoryLog(): object {
  const groups = new Map<string, object>();
  const append = async (writes: readonly LogWrite[]): Promise<void> => {
    for (const write of writes) {
      if (write.kind === "group") groups.set(write.group, { record: write.record, entries: [] });
    }
  };
  return { groups, facts: new Map(), full: false, neededBytes: 0, unwrittenBytes: 0, append };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class MemoryDisk implements LogFolder {
  isFull = false;
  readonly #sizes = new Map<string, number>();

  read(): undefined {
    return undefined;
  }

  open(name: string): LogFile {
    const writeInPlace = (bytes: Buffer, position: number): void => {
      const size = this.#sizes.get(name) ?? 0;
      const end = position + bytes.length;
      if (this.isFull && end > size) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
      this.#sizes.set(name, Math.max(end, size));
    };
    return {
      writeInPlace,
      write: async (bytes, position) => writeInPlace(bytes, position),
      truncate: (bytes) => void this.#sizes.set(name, bytes),
      sync: () => undefined,
      close: () => undefined,
    };
  }

  rename(): void {}
  link(): void {}
  remove(): void {}
  sync(): void {}
}

/** A real raft leader `b`; `c` beside it has everything at once, and `a` is a host. */
class Leader {
  readonly replica: Replica;
  readonly #toHost: (message: Message) => void;

  constructor(toHost: (message: Message) => void) {
    this.#toHost = toHost;
    const membership = membershipOf({ voters: ["a", "b", "c"] });
    this.replica = replicaFactoryOf("raft", "7")(
      {
        id: "b",
        heartbeatTicks: 4,
        electionTicks: 40,
        priority: 0,
        arbiter: false,
        random: () => 0,
        ...LIMITS,
      },
      {
        hardState: { term: 1, vote: "", commit: 1 },
        snapshot: { index: 1, term: 1, membership },
        entries: [],
        applied: 1,
      },
    );
  }

  step(input: Parameters<Replica["step"]>[0]): void {
    this.#carryOut(this.replica.step(input));
  }

  #carryOut({ send, sendAfterPersist, persist }: Effects): void {
    if (persist !== undefined) this.step({ kind: "persisted", sequence: persist.sequence });
    for (const message of [...send, ...sendAfterPersist]) {
      if (message.to === "a") this.#toHost(message);
      else this.#answer(message);
    }
  }

  #answer(message: Message): void {
    const { kind, term } = message;
    const answer = (said: object): void =>
      this.step({ kind: "message", message: { from: "c", to: "b", term, ...said } as Message });
    if (kind === "pre-vote") answer({ kind: "pre-vote-response", campaignTerm: term + 1, granted: true });
    else if (kind === "vote") answer({ kind: "vote-response", granted: true });
    else if (kind === "heartbeat") answer({ kind: "heartbeat-response", round: 0 });
    else if (kind === "append") {
      const { prevIndex, entries } = message as Message & { prevIndex: number; entries: readonly unknown[] };
      answer({ kind: "append-accepted", index: prevIndex + entries.length });
    }
  }
}

test("while a disk is full, what a leader asks again and again does not pile up", async () => {
  const disk = new MemoryDisk();
  const log = new LogStore({
    folder: disk,
    clock: systemClock,
    onDiskFailure: (reason) => expect.unreachable(reason),
    aheadBytes: 8192,
    reserveBytes: 4096,
  });
  const toLeader: Message[] = [];
  const host = new Host({
    self: "a",
    stores: { log, state: EMPTY_STATE },
    network: {
      send: (to: string, _group: string, message: Message) => void (to === "b" && toLeader.push(message)),
      flush: () => undefined,
      flushSoon: () => undefined,
      connected: () => false,
    },
    clock: systemClock,
    protocolOf: (group: string) => replicaFactoryOf("raft", group),
    logsMatch: () => true,
    heartbeatIntervalMs: 100,
    electionTimeoutMs: 1e9,
    makeMachine: () => LOG_ONLY,
    limits: LIMITS,
    onChanged: () => undefined,
    onFailure: (error: unknown) => expect.unreachable(String(error)),
  } as unknown as HostOptions);
  const group = host.open({
    id: "7",
    arbiter: false,
    rank: 1,
    genesis: membershipOf({ voters: ["a", "b", "c"] }),
  });
  await pause(systemClock, 20);
  const leader = new Leader((message) => host.deliver("b", "7", message));
  const goOn = async (): Promise<void> => {
    await turn();
    await turn();
    for (const message of toLeader.splice(0)) leader.step({ kind: "message", message });
  };
  leader.step({ kind: "campaign" });
  for (let turns = 0; turns < 20; turns += 1) await goOn();
  expect(leader.replica.status().role).toBe("leader");
  disk.isFull = true;
  leader.step({ kind: "propose", proposals: [{ data: Buffer.alloc(20_000), context: 1 }] });
  for (let turns = 0; turns < 5; turns += 1) {
    await goOn();
    await pause(systemClock, 5);
  }
  expect(log.full).toBe(true);
  for (let beats = 0; beats < 500; beats += 1) {
    for (let ticks = 0; ticks < 4; ticks += 1) leader.step({ kind: "tick" });
    await goOn();
  }
  expect(group.waitingForDisk).toBeLessThan(100);
  disk.isFull = false;
  for (let turns = 0; turns < 200 && group.waitingForDisk > 0; turns += 1) {
    for (let ticks = 0; ticks < 4; ticks += 1) leader.step({ kind: "tick" });
    await goOn();
    await pause(systemClock, 20);
  }
  for (let turns = 0; turns < 20; turns += 1) await goOn();
  const { last, progress } = leader.replica.status();
  expect(progress?.find(({ node }) => node === "a")).toMatchObject({ match: last });
  await host.stop();
}, 60_000);

/** Time that passes when its timers are run. */
class StillClock implements Pick<Clock, "nowMs" | "later" | "soon"> {
  now = 0;
  #number = 0;
  readonly #timers: { readonly at: number; readonly number: number; readonly work: () => void }[] = [];

  nowMs = (): number => this.now;
  soon = (work: () => void): void => void this.later(0, work);
  later = (ms: number, work: () => void): Timer => {
    const timer = { at: this.now + ms, number: (this.#number += 1), work };
    this.#timers.push(timer);
    return {
      close: () => {
        const at = this.#timers.indexOf(timer);
        if (at >= 0) this.#timers.splice(at, 1);
      },
    };
  };

  /** Runs the next timer, when it is due by then. */
  runNext(byMs: number): boolean {
    this.#timers.sort((a, b) => a.at - b.at || a.number - b.number);
    const [next] = this.#timers;
    if (next === undefined || next.at > byMs) return false;
    this.#timers.shift();
    this.now = Math.max(this.now, next.at);
    next.work();
    return true;
  }
}

/** What the log of a leader holds at most, in bytes, in ten minutes of writes at a MiB per second, and calls to a follower. */
async function logBeside(
  follower: { readonly afterMs: number; readonly takes: boolean },
  { rows, logBytes }: { readonly rows: number; readonly logBytes: number },
): Promise<{ readonly most: number; readonly calls: number }> {
  const clock = new StillClock();
  const state = {
    ...EMPTY_STATE,
    snapshot: () => ({
      get: () => undefined,
      range: () => Array.from({ length: rows }, () => ({ key: Buffer.alloc(64), value: Buffer.alloc(10) })),
      close: () => undefined,
    }),
  };
  let calls = 0;
  const answer = (message: object): void =>
    void clock.later(1, () => host.deliver("b", "7", { from: "b", to: "a", ...message } as Message));
  const host: Host = new Host({
    self: "a",
    stores: { log: memoryLog(), state },
    clock: { ...systemClock, nowMs: clock.nowMs, later: clock.later, soon: clock.soon, random: () => 0.5 },
    pace: { sent: async () => undefined },
    network: {
      send: (_to: string, _group: string, message: Message & { round: number; prevIndex: number }) => {
        const { kind, term, round, prevIndex } = message;
        if (kind === "heartbeat") answer({ kind: "heartbeat-response", term, round });
        if (kind === "append") {
          answer({ kind: "append-rejected", term, index: prevIndex, hintIndex: 0, hintTerm: 0 });
        }
      },
      call: (_to: string, _method: string, { step }: { step: string }) => {
        if (step === "begin") return Promise.resolve(true);
        calls += 1;
        const waitMs = follower.afterMs + ((calls * 37) % 100);
        return new Promise((resolve, reject) =>
          clock.later(waitMs, () => {
            if (follower.takes) resolve(true);
            else reject(new Error("no answer in time"));
          }),
        );
      },
      beat: () => undefined,
      flush: () => undefined,
      flushSoon: () => undefined,
      connected: () => true,
    },
    protocolOf: (group: string) => replicaFactoryOf("raft", group),
    logsMatch: () => true,
    heartbeatIntervalMs: 100,
    electionTimeoutMs: 1000,
    makeMachine: () => LOG_ONLY,
    limits: { ...LIMITS, logBytes, groupLogBytesMin: 1 << 20, snapshotChunkBytes: 1 },
    onChanged: () => undefined,
    beat: () => undefined,
    onFailure: (error: unknown) => expect.unreachable(String(error)),
  } as unknown as HostOptions);
  const genesis = membershipOf({ voters: ["a"], learners: ["b"] });
  const group = host.open({ id: "7", arbiter: false, rank: 0, genesis });
  host.start();
  // A MiB per second.
  const data = Buffer.alloc(20_000);
  let most = 0;
  for (let nextMs = 2000; nextMs < 600_000; nextMs += 20) {
    while (clock.runNext(nextMs)) for (let turns = 0; turns < 12; turns += 1) await Promise.resolve();
    clock.now = nextMs;
    group.propose(data, nextMs + 1e9).catch(() => undefined);
    for (let turns = 0; turns < 12; turns += 1) await Promise.resolve();
    most = Math.max(most, group.replica.status().logBytes);
  }
  await host.stop();
  return { most, calls };
}

test("a follower that takes no state does not keep its leader's log from being cut", async () => {
  // Its disk is full: what it is sent is never flushed.
  const { most, calls } = await logBeside({ afterMs: 30_000, takes: false }, { rows: 1, logBytes: 32 << 20 });
  expect(calls).toBeGreaterThan(5);
  expect(most).toBeGreaterThan(32 << 20);
  expect(most).toBeLessThan(100 << 20);
}, 60_000);

test("a state that is taken for as long as one likes does not let its sender's log grow without end", async () => {
  const { most, calls } = await logBeside({ afterMs: 5000, takes: true }, { rows: 1000, logBytes: 8 << 20 });
  expect(calls).toBeGreaterThan(100);
  expect(most).toBeGreaterThan(64 << 20);
  expect(most).toBeLessThan(80 << 20);
}, 60_000);

test.each([
  [1, 64 << 20],
  [32, 16 << 20],
])("of %i groups each keeps for an arbiter its part of what all may keep", async (count, expected) => {
  const asked: unknown[] = [];
  const host = new Host({
    self: "a",
    stores: { log: memoryLog(), state: EMPTY_STATE },
    clock: systemClock,
    network: {
      send: () => undefined,
      beat: () => undefined,
      flush: () => undefined,
      flushSoon: () => undefined,
    },
    protocolOf: (group: string) => {
      const make = replicaFactoryOf("raft", group);
      return (...parts: Parameters<typeof make>): Replica => {
        const replica = make(...parts);
        const step = replica.step.bind(replica);
        replica.step = (input) => {
          if (input.kind === "compact") asked.push(input.keepBytesMax);
          return step(input);
        };
        return replica;
      };
    },
    logsMatch: () => true,
    heartbeatIntervalMs: 20,
    electionTimeoutMs: 100,
    makeMachine: () => LOG_ONLY,
    limits: { ...LIMITS, logBytes: 1 << 20, groupLogBytesMin: 1 << 10 },
    onChanged: () => undefined,
    beat: () => undefined,
    onFailure: (error: unknown) => expect.unreachable(String(error)),
  } as unknown as HostOptions);
  const genesis = membershipOf({ voters: ["a"] });
  for (let number = 0; number < count; number += 1) {
    host.open({ id: String(number), arbiter: false, rank: 0, genesis });
  }
  host.start();
  const group = host.group("0");
  await vi.waitFor(() => expect(group.replica.status().role).toBe("leader"), { timeout: 10_000 });
  for (let writes = 0; writes < 40; writes += 1) {
    await group.propose(Buffer.alloc(64 << 10), systemClock.nowMs() + 10_000);
  }
  expect(new Set(asked)).toEqual(new Set([expected]));
  await host.stop();
});
