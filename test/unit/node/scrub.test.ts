// Every record of every state is read again and again, whoever asks for it, and what lies in the store of copies
// that were given up is found.

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { ShardMap, ShardSlice } from "../../../src/model/shard-map.ts";
import type { Clock } from "../../../src/node/clock.ts";
import { Scrub } from "../../../src/node/host/scrub.ts";
import { forgottenCopies } from "../../../src/node/quorum/forgotten.ts";
import { COPY, type CopyRecord } from "../../../src/node/quorum/records.ts";
import { encodeKey, extendKey } from "../../../src/node/storage/key.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import type { Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { pack } from "../../../src/node/transport/frames.ts";

let folder: string;
let store: Store;
const open = (): Store =>
  openLmdbStore({
    folder,
    flushDelayMs: 0,
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-scrub-"));
  store = open();
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Time goes on when `pass` is called. */
function clockByHand(): { readonly clock: Clock; readonly pass: () => void } {
  let due: (() => void) | undefined;
  const later: Clock["later"] = (_ms, work) => {
    due = work;
    return { close: () => (due = undefined) };
  };
  return { clock: { ...systemClock, later }, pass: () => due?.() };
}

it("damage of a record that nobody reads is found, in the state in which it lies, before all is read again", async () => {
  const prefixes = ["1", "2", "3"].map((shard) => encodeKey("state", shard, 1));
  await store.transact((writer) => {
    for (const prefix of prefixes) {
      for (let number = 0; number < 40; number += 1) {
        const isVictim = prefix === prefixes[1] && number === 25;
        const value = isVictim ? "PAYLOAD-TO-FLIP" : `value ${number}`;
        writer.put(extendKey(prefix, "memory", number), Buffer.from(value));
      }
    }
  });
  await store.close();
  const file = join(folder, "data.mdb");
  const at = readFileSync(file).indexOf("PAYLOAD-TO-FLIP");
  const descriptor = openSync(file, "r+");
  writeSync(descriptor, Buffer.from("Q"), 0, 1, at);
  closeSync(descriptor);
  store = open();

  const found: number[] = [];
  const { clock, pass } = clockByHand();
  const scrub = new Scrub({
    states: () => prefixes.map((prefix, position) => ({ prefix, onDamage: () => found.push(position) })),
    store,
    clock,
    // Ten records in a look: twelve looks and those that find an end are one pass.
    bytesPerSecond: 10 * 256 * 4,
  });
  scrub.start();
  for (let look = 0; look < 14; look += 1) pass();
  expect(found).toEqual([1]);
  for (let look = 0; look < 14; look += 1) pass();
  expect(found).toEqual([1, 1]);
  scrub.stop();
});

it("what is left of copies that were given up is found by a map that is no older, and no copy that belongs here", async () => {
  const record = (state: CopyRecord["state"], filledFor: number): CopyRecord => ({
    actor: "a",
    counter: 1,
    floor: [],
    forgotten: [],
    state,
    filledFor,
    lacks: false,
    syncedMs: 0,
    members: [],
  });
  const copies: Readonly<Record<string, CopyRecord | undefined>> = {
    meta: undefined,
    here: record("serving", 0),
    joining: record("filling", 0),
    leaving: record("serving", 2),
    gone: record("serving", 3),
    "half removed": undefined,
    "newer than the map": record("serving", 8),
    "filled for a change that is not known yet": record("filling", 0),
  };
  await store.transact((writer) => {
    for (const [id, copy] of Object.entries(copies)) {
      const prefix = encodeKey("state", id, 1);
      writer.put(extendKey(prefix, "item", 0, "x"), Buffer.from("x"));
      if (copy !== undefined) writer.put(extendKey(prefix, COPY), pack(copy));
    }
  });
  const slice = (id: string, replicas: string[], outgoing?: ShardSlice["outgoing"]): ShardSlice => ({
    id,
    slots: [],
    start: "",
    end: null,
    replicas,
    arbiters: [],
    ...(outgoing === undefined ? {} : { outgoing }),
  });
  const map: ShardMap = {
    epoch: 7,
    strategy: "hash",
    key: "user",
    directory: {},
    shards: [
      slice("here", ["me"]),
      slice("joining", ["me"], { replicas: ["other"], since: 7 }),
      slice("leaving", ["other"], { replicas: ["me"], since: 7 }),
      ...Object.keys(copies)
        .slice(4)
        .map((id) => slice(id, ["other"])),
    ],
    nodes: [],
    metaVoters: [],
  };
  const forgotten = forgottenCopies(store, map, "me", () => false);
  expect(forgotten.map(({ shard }) => shard).toSorted()).toEqual(["gone", "half removed"]);
});
