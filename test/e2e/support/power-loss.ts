// What a disk could hold after it lost its power, made from the journal of shims/power-loss.c: everything
// that was flushed, and of what was not a random part: writes whole, lost, or torn at sectors; files and
// names that their folder was not flushed for, there or not. Pure but for reading and writing files.

import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const HEAD_BYTES = 40;
const SECTOR_BYTES = 512;

interface JournalRecord {
  /** One letter; see the shim. */
  readonly kind: string;
  readonly id: number;
  readonly inode: number;
  /** Offset of a write, length of a truncation, result of an end. */
  readonly at: number;
  readonly synchronous: boolean;
  readonly path: string;
  readonly data: Buffer;
}

/** Records of one process, in order. A last one that `kill -9` cut off was never acted upon. */
function* recordsOf(journal: Buffer): Generator<JournalRecord> {
  for (let at = 0; at + HEAD_BYTES <= journal.length;) {
    const pathBytes = journal.readUInt32LE(at + 4);
    const dataBytes = journal.readUInt32LE(at + 8);
    const data = at + HEAD_BYTES + pathBytes;
    if (data + dataBytes > journal.length) return;
    yield {
      kind: String.fromCharCode(journal.readUInt32LE(at)),
      id: Number(journal.readBigUInt64LE(at + 16)),
      inode: Number(journal.readBigUInt64LE(at + 24)),
      at: Number(journal.readBigInt64LE(at + 32)),
      synchronous: journal.readUInt32LE(at + 12) !== 0,
      path: journal.toString("utf8", at + HEAD_BYTES, data),
      data: journal.subarray(data, data + dataBytes),
    };
    at = data + dataBytes;
  }
}

interface Change {
  readonly truncateTo?: number;
  readonly offset: number;
  data: Buffer;
  ended: boolean;
  durable: boolean;
}

interface Contents {
  readonly base: Buffer;
  readonly changes: Change[];
}

/** A name that came, went or moved in a folder. */
interface Naming {
  readonly folder: string;
  readonly apply: (names: Map<string, Contents>) => void;
  durable: boolean;
}

/**
 * Replaces the folder `store` of a data directory by what could be left of it. `before` holds `store` as it
 * was when the journals began (absent for a node that was new); `chance` is uniform in [0, 1).
 * Throws when the journal shows a write that it cannot follow.
 */
export function losePower(
  dataDir: string,
  before: string,
  journals: readonly string[],
  chance: () => number,
): void {
  const inodes = new Map<number, Contents>();
  const folders = new Map<number, string>();
  const names = new Map<string, Contents>();
  for (const file of filesBelow(before)) {
    names.set(join(dataDir, relative(before, file)), { base: readFileSync(file), changes: [] });
  }
  const namings: Naming[] = [];
  /** As the running process sees it, whether or not it will last. */
  const present = new Map(names);
  const naming = (path: string, apply: (all: Map<string, Contents>) => void): void => {
    apply(present);
    namings.push({ folder: dirname(path), apply, durable: false });
  };

  for (const journal of journals) {
    const writes = new Map<number, Change>();
    const flushes = new Map<number, readonly { ended?: boolean; durable: boolean }[]>();
    for (const one of recordsOf(readFileSync(journal))) {
      if (one.path !== "" && one.path !== dataDir && !one.path.startsWith(`${dataDir}/`)) break;
      const contents = inodes.get(one.inode);
      switch (one.kind) {
        case "c": {
          const made: Contents = { base: Buffer.alloc(0), changes: [] };
          inodes.set(one.inode, made);
          naming(one.path, (all) => all.set(one.path, made));
          break;
        }
        case "o": {
          const known = present.get(one.path);
          if (known === undefined) folders.set(one.inode, one.path);
          else inodes.set(one.inode, known);
          break;
        }
        case "w": {
          const change = { offset: one.at, data: one.data, ended: false, durable: false };
          writes.set(one.id, change);
          contents?.changes.push(change);
          if (one.synchronous) flushes.set(one.id, [change]);
          break;
        }
        case "e": {
          const change = writes.get(one.id);
          if (change === undefined) break;
          change.ended = true;
          if (one.at < change.data.length) {
            change.data = change.data.subarray(0, Math.max(0, one.at));
          }
          if (one.at >= 0 && flushes.has(one.id)) change.durable = true;
          break;
        }
        case "t":
          contents?.changes.push({
            truncateTo: one.at,
            offset: 0,
            data: Buffer.alloc(0),
            ended: true,
            durable: false,
          });
          break;
        case "f": {
          // What had ended when the flush began is what its end speaks for.
          const folder = folders.get(one.inode);
          const covered =
            folder === undefined
              ? (contents?.changes ?? []).filter(({ ended }) => ended)
              : namings.filter((other) => other.folder === folder);
          flushes.set(one.id, covered);
          break;
        }
        case "g":
          if (one.at === 0) for (const covered of flushes.get(one.id) ?? []) covered.durable = true;
          break;
        case "r": {
          const to = one.data.toString();
          naming(to, (all) => {
            const moved = all.get(one.path);
            if (moved !== undefined) all.set(to, moved);
            all.delete(one.path);
          });
          break;
        }
        case "u":
          naming(one.path, (all) => all.delete(one.path));
          break;
        case "m":
          naming(one.path, () => undefined);
          break;
        case "x": {
          const path = [...present].find(([, known]) => known === contents)?.[0] ?? "a file";
          // LMDB's lock file is made anew by whoever opens the store first.
          if (!path.endsWith("/lock.mdb")) throw new Error(`${path} is written through a mapping`);
          break;
        }
        default:
          throw new Error(`a journal holds a record of kind ${one.kind}`);
      }
    }
  }

  const lost = (durable: boolean): boolean => !durable && chance() < 0.5;
  for (const one of namings) if (!lost(one.durable)) one.apply(names);
  rmSync(join(dataDir, "store"), { recursive: true, force: true });
  for (const [path, { base, changes }] of names) {
    if (path.endsWith("/lock.mdb")) continue;
    let image = base;
    for (const change of changes) if (!lost(change.durable)) image = changed(image, change, chance);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, image, { mode: 0o600 });
  }
}

function changed(image: Buffer, change: Change, chance: () => number): Buffer {
  const { truncateTo, offset, data, durable } = change;
  if (truncateTo !== undefined) return resized(image, truncateTo);
  const end = offset + data.length;
  const result = end > image.length ? resized(image, end) : image;
  const torn = !durable && chance() < 0.7;
  if (!torn) {
    result.set(data, offset);
    return result;
  }
  for (let sector = offset - (offset % SECTOR_BYTES); sector < end; sector += SECTOR_BYTES) {
    if (chance() < 0.5) continue;
    const from = Math.max(sector, offset);
    result.set(data.subarray(from - offset, Math.min(sector + SECTOR_BYTES, end) - offset), from);
  }
  return result;
}

/** A copy, longer ones filled with zeros; never the base itself, which another try starts from. */
function resized(image: Buffer, bytes: number): Buffer {
  const result = Buffer.alloc(bytes);
  image.copy(result, 0, 0, Math.min(bytes, image.length));
  return result;
}

function filesBelow(folder: string): string[] {
  if (statSync(folder, { throwIfNoEntry: false }) === undefined) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Keeps `store` of a data directory as it is now, for `losePower`. */
export function keepStore(dataDir: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to, { recursive: true });
  const store = join(dataDir, "store");
  if (statSync(store, { throwIfNoEntry: false }) !== undefined) {
    cpSync(store, join(to, "store"), { recursive: true });
  }
}
