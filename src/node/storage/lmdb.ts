// The store on LMDB. Every value carries a CRC-32 over key and payload, so a flipped bit or a record
// read from the wrong place is noticed. Commits are synchronous and flushed (`overlappingSync` off:
// a commit that returned has been through fdatasync), so a resolved `transact` is durable.
//
// A failed write is one of two things, told apart by probing: no room (rejected, nothing written, the
// node goes on voting), or a failing disk, after which the page cache cannot be trusted any more and the
// process must end.

import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { open } from "lmdb";
import type { Key } from "./key.ts";
import {
  StoreCorruptError,
  StoreFullError,
  type Item,
  type RangeOptions,
  type Store,
  type StoreSnapshot,
  type StoreWriter,
} from "./store.ts";

const CHECKSUM_BYTES = 4;
const PROBE_BYTES = 1 << 20;

function seal(key: Key, payload: Uint8Array): Buffer {
  const record = Buffer.allocUnsafe(CHECKSUM_BYTES + payload.length);
  record.set(payload, CHECKSUM_BYTES);
  record.writeUInt32BE(crc32(payload, crc32(key)), 0);
  return record;
}

function unseal(key: Buffer, record: Buffer): Buffer {
  if (record.length < CHECKSUM_BYTES) throw new StoreCorruptError(Buffer.from(key));
  const payload = record.subarray(CHECKSUM_BYTES);
  if (crc32(payload, crc32(key)) !== record.readUInt32BE(0)) throw new StoreCorruptError(Buffer.from(key));
  return payload;
}

/** True when a file of this folder cannot grow: disk full, quota, or a file-size limit. */
function noRoom(folder: string, dataFile: string): boolean {
  const probe = join(folder, "probe.tmp");
  let descriptor: number | undefined;
  try {
    descriptor = openSync(probe, "w", 0o600);
    // As long as the data file would become: a file-size limit shows only there. Sparse, so it costs one page.
    const size = statSync(dataFile).size;
    ftruncateSync(descriptor, size);
    writeSync(descriptor, Buffer.alloc(PROBE_BYTES, 1), 0, PROBE_BYTES, size);
    fsyncSync(descriptor);
    return false;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    return code === "ENOSPC" || code === "EFBIG" || code === "EDQUOT";
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
    rmSync(probe, { force: true });
  }
}

export interface LmdbOptions {
  /** Made with mode 0700 when it is not there. */
  readonly folder: string;
  /** Called once with the reason when the disk fails; must not return into the store. */
  readonly onDiskFailure: (reason: string) => void;
}

/** Opens or makes the store in `folder`. Throws what LMDB throws when the file is not its own. */
export function openLmdbStore(options: LmdbOptions): Store {
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const environment = open<Buffer, Buffer>({
    path: options.folder,
    keyEncoding: "binary",
    encoding: "binary",
    cache: false,
    overlappingSync: false,
    // The default remembers written values by key in memory for asynchronous writes; all ours are synchronous.
    eventTurnBatching: false,
  });
  const dataFile = join(options.folder, "data.mdb");

  function* scan(range: RangeOptions, transaction?: ReturnType<typeof environment.useReadTransaction>): Generator<Item> {
    const entries = environment.getRange({ ...range, ...(transaction === undefined ? {} : { transaction }) });
    for (const { key, value } of entries) yield { key, value: unseal(key, value) };
  }

  function writer(): StoreWriter {
    return {
      put(key, value) {
        environment.putSync(key, seal(key, value));
      },
      remove(key) {
        environment.removeSync(key);
      },
    };
  }

  return {
    get(key) {
      const record = environment.get(key);
      return record === undefined ? undefined : unseal(key, record);
    },
    range: (range) => scan(range),
    keys: (range) => environment.getKeys({ ...range }),
    transact(work) {
      let thrown: { readonly error: unknown } | undefined;
      try {
        environment.transactionSync(() => {
          try {
            work(writer());
          } catch (error) {
            thrown = { error };
            throw error;
          }
          // A returned promise would turn this into an asynchronous transaction.
        });
        return Promise.resolve();
      } catch (error) {
        if (thrown !== undefined) return Promise.reject(asError(thrown.error));
        if (noRoom(options.folder, dataFile)) {
          return Promise.reject(new StoreFullError(`no room to write to ${options.folder}`, { cause: error }));
        }
        options.onDiskFailure(error instanceof Error ? error.message : String(error));
        return Promise.reject(asError(error));
      }
    },
    snapshot(): StoreSnapshot {
      const transaction = environment.useReadTransaction();
      let closed = false;
      return {
        get(key) {
          for (const item of scan({ start: key, end: Buffer.concat([key, Buffer.of(0)]) }, transaction)) return item.value;
          return undefined;
        },
        range: (range) => scan(range, transaction),
        *keys(range) {
          for (const item of scan(range, transaction)) yield item.key;
        },
        close() {
          if (!closed) transaction.done();
          closed = true;
        },
      };
    },
    sizeBytes: () => statSync(dataFile).size,
    close: () => environment.close(),
  };
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
