// A store whose disk is full, by a limit on the size of this process's files: nothing that it was given is lost,
// nobody is told that it is on disk, and the process lives.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isNoRoom } from "../../../src/model/no-room.ts";
import { encodeKey, prefixEnd } from "../../../src/node/storage/key.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import { Room } from "../../../src/node/storage/room.ts";
import { Register, type Store } from "../../../src/node/storage/store.ts";
import { limitFiles } from "../file-limit.ts";

let folder: string;
const failures: string[] = [];
const open = (): Store =>
  openLmdbStore({
    folder,
    flushDelayMs: 0,
    onDiskFailure: (reason) => {
      failures.push(reason);
    },
  });

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-full-"));
  failures.length = 0;
});
afterEach(() => {
  limitFiles("unlimited");
  rmSync(folder, { recursive: true, force: true });
});

describe("a store without room", () => {
  let store: Store;
  const put = (from: number, count: number, bytes: number): Promise<void> =>
    store.transact((writer) => {
      for (let at = from; at < from + count; at += 1) writer.put(encodeKey("r", at), Buffer.alloc(bytes, at));
    });
  const held = (): number =>
    [...store.keys({ start: encodeKey("r"), end: prefixEnd(encodeKey("r")) })].length;

  beforeEach(async () => {
    store = open();
    await put(0, 200, 1000);
  });

  it("keeps what it is given, calls none of it durable, and writes it when there is room", async () => {
    limitFiles(65_536);
    let durable = 0;
    const writes = Array.from({ length: 20 }, async (_, at) => {
      await put(200 + 100 * at, 100, 1000);
      durable += 1;
    });
    await until(() => store.full);
    expect(held()).toBe(2200);
    expect(durable).toBe(0);
    limitFiles("unlimited");
    await Promise.all(writes);
    expect(store).toMatchObject({ full: false, unwrittenBytes: 0 });
    await store.close();
    store = open();
    expect(held()).toBe(2200);
    await store.close();
    expect(failures).toEqual([]);
  });

  it("has the last value of a register, whatever came before and behind the flush that found no room", async () => {
    const register = new Register(encodeKey("register"));
    const note = (value: string): Promise<void> => store.transact((writer) => writer.put(register, value));
    limitFiles(65_536);
    const writes = [note("before"), put(200, 100, 1000)];
    await until(() => store.full);
    writes.push(note("while full"), put(300, 100, 1000), note("later"));
    expect(store.get(register.key)?.toString()).toBe("later");
    limitFiles("unlimited");
    await Promise.all(writes);
    writes.push(note("on disk"));
    await Promise.all(writes);
    await store.close();
    store = open();
    expect(store.get(register.key)?.toString()).toBe("on disk");
    expect(held()).toBe(400);
    await store.close();
    expect(failures).toEqual([]);
  });

  it("is closed without what found no room, and opened with all that was durable", async () => {
    limitFiles(65_536);
    void put(200, 100, 1000);
    await until(() => store.full);
    await store.close();
    store = open();
    expect(held()).toBe(200);
    await store.close();
    expect(failures).toEqual([]);
  });

  it("takes no lack of room for a failing disk, however it comes and goes", async () => {
    for (let round = 0; round < 12; round += 1) {
      limitFiles(65_536);
      const written = put(200 + round, 40, 3000 + 100 * round);
      for (let turn = 0; turn < round % 11; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      limitFiles("unlimited");
      await written;
    }
    expect(held()).toBe(200 + 11 + 40);
    await store.close();
    expect(failures).toEqual([]);
  });
});

describe("the room of a file", () => {
  it("ends where a limit on the size of files does, a part of a write's length included", () => {
    const file = join(folder, "file");
    writeFileSync(file, Buffer.alloc(40_960));
    const room = new Room(folder, file);
    room.check(1 << 20);
    expect(room.isGone()).toBe(false);
    limitFiles(65_536);
    room.check(24_576);
    expect(() => room.check(24_577)).toThrow(expect.toSatisfy(isNoRoom));
    expect(room.isGone()).toBe(true);
    room.close();
  });

  it("is no more than the file system has", () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    const room = new Room(folder, file);
    expect(() => room.check(2 ** 52)).toThrow(expect.toSatisfy(isNoRoom));
    room.close();
  });
});
