// Transfers of state between nodes: the protocol is told how each one that it asked for ended.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { membershipOf } from "../../../src/consensus/membership.ts";
import type { Input } from "../../../src/consensus/seam.ts";
import type { Stores } from "../../../src/node/host/durable-group.ts";
import type { ReplicaGroup } from "../../../src/node/host/replica-group.ts";
import { SnapshotTransfers } from "../../../src/node/host/snapshot-transfers.ts";
import { encodeKey } from "../../../src/node/storage/key.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import type { Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { Pace } from "../../../src/node/moves/pace.ts";
import type { Network } from "../../../src/node/transport/network.ts";

let folder: string;
let state: Store;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-transfers-"));
  state = openLmdbStore({
    folder,
    flushDelayMs: 0,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
});
afterEach(async () => {
  await state.close();
  rmSync(folder, { recursive: true, force: true });
});

test("a snapshot that is wanted while the peer is sent a state for repair is said to have failed, so that it is wanted again", async () => {
  const inputs: Input[] = [];
  const membership = membershipOf({ voters: ["a", "b"] });
  // What a transfer reads of a group, and no more.
  const group = {
    id: "0",
    applied: 5,
    damage: undefined,
    durable: { prefix: () => encodeKey("state", "0", 1) },
    replica: {
      snapshotAt: (index: number) => ({ index, term: 1, membership }),
      status: () => ({ membership }),
    },
    step: (input: Input) => void inputs.push(input),
  } as unknown as ReplicaGroup;
  const unanswered = new Map<string, (value: unknown) => void>();
  const network = {
    call: (to: string) => new Promise((resolve) => unanswered.set(to, resolve)),
  } as unknown as Network;
  const transfers = new SnapshotTransfers({
    host: { groups: new Map([["0", group]]), cleaned: async () => undefined },
    stores: { state } as unknown as Stores,
    network,
    clock: systemClock,
    pace: new Pace(systemClock, () => null),
    chunkBytes: 1000,
  } as unknown as ConstructorParameters<typeof SnapshotTransfers>[0]);
  void transfers.sendState("b", { group: "0", indexMin: 1 }).catch(() => undefined);
  await Promise.resolve();
  expect([...unanswered.keys()]).toEqual(["b"]);
  transfers.send(group, "b", 1);
  await new Promise((resolve) => setImmediate(resolve));
  expect(inputs).toEqual([{ kind: "snapshot-sent", to: "b", ok: false, index: 0 }]);
});
