// Which errors of the system say that a disk has no room.

import { constants } from "node:os";

const CODES = ["ENOSPC", "EFBIG", "EDQUOT"] as const;

/** A full disk, a file-size limit or a quota, by name or, as LMDB gives it, by number. */
export function isNoRoom(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return CODES.some((name) => code === name || code === constants.errno[name]);
}
