// Whether LMDB may be given a data file. It maps the file and follows what stands in it: a process that comes to a
// page which is not there ends by a signal (SIGSEGV, SIGBUS), and has said nothing.

import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";

/** Bytes of the first two pages of a file, by `MDB_page`, `MDB_meta` and `MDB_db` of LMDB's mdb.c. */
const AT = { magic: 24, pageBytes: 48, freeRoot: 88, mainRoot: 136, transaction: 152, end: 160 } as const;
const MAGIC = 0xbeefc0de;
const NO_PAGE = 2n ** 64n - 1n;
const PAGE_BYTES = 4096;
/** Of the errors of LMDB, those that say that its file is none, or broken. */
const DAMAGE = /^MDB_(CORRUPTED|INVALID|PAGE_NOTFOUND|VERSION_MISMATCH)\b/;

/** Throws, as `isFileDamage` knows it, where the file has no sound beginning. One that is empty or not there is made. */
export function checkDataFile(file: string): void {
  if (!existsSync(file)) return;
  const descriptor = openSync(file, "r");
  try {
    const { size } = fstatSync(descriptor);
    if (size === 0) return;
    const first = metaAt(descriptor, 0);
    const pageBytes = first?.readUInt32LE(AT.pageBytes) ?? PAGE_BYTES;
    const second = metaAt(descriptor, pageBytes);
    if (first === undefined || second === undefined)
      throw new Error("MDB_INVALID: its first pages are not LMDB's");
    const newer = transactionOf(first) < transactionOf(second) ? second : first;
    for (const root of [newer.readBigUInt64LE(AT.freeRoot), newer.readBigUInt64LE(AT.mainRoot)]) {
      if (root !== NO_PAGE && (root + 1n) * BigInt(pageBytes) > BigInt(size)) {
        throw new Error(`MDB_CORRUPTED: it ends after ${size} bytes, before its page ${root}`);
      }
    }
  } finally {
    closeSync(descriptor);
  }
}

export function isFileDamage(error: unknown): boolean {
  return error instanceof Error && DAMAGE.test(error.message);
}

function metaAt(descriptor: number, position: number): Buffer | undefined {
  const meta = Buffer.alloc(AT.end);
  const isWhole = readSync(descriptor, meta, 0, meta.length, position) === meta.length;
  return isWhole && meta.readUInt32LE(AT.magic) === MAGIC ? meta : undefined;
}

function transactionOf(meta: Buffer): bigint {
  return meta.readBigUInt64LE(AT.transaction);
}
