// Which process has a TCP port, for an error message. Best effort: Linux only, and only processes that
// this user may look into; undefined otherwise.

import { readdir, readFile, readlink } from "node:fs/promises";

export interface PortHolder {
  readonly pid: number;
  /** Name of its executable, as the kernel has it. */
  readonly name: string;
}

const LISTEN = "0A";

export async function portHolder(port: number): Promise<PortHolder | undefined> {
  if (process.platform !== "linux") return undefined;
  try {
    const inodes = await listeningInodes(port);
    if (inodes.size === 0) return undefined;
    for (const entry of await readdir("/proc")) {
      if (/^\d+$/.test(entry) && (await holdsSocket(entry, inodes))) {
        const name = await readFile(`/proc/${entry}/comm`, "utf8").catch(() => "");
        return { pid: Number(entry), name: name.trim() };
      }
    }
  } catch {
    // An unreadable /proc costs the message its pid, nothing else.
  }
  return undefined;
}

/** Inodes of the sockets that listen on the port (proc(5), /proc/net/tcp). */
async function listeningInodes(port: number): Promise<Set<string>> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const tables = await Promise.all(
    ["/proc/net/tcp", "/proc/net/tcp6"].map((table) => readFile(table, "utf8").catch(() => "")),
  );
  const inodes = new Set<string>();
  for (const line of tables.join("\n").split("\n")) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    if (local?.endsWith(suffix) === true && state === LISTEN && inode !== undefined) inodes.add(inode);
  }
  return inodes;
}

async function holdsSocket(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const descriptors = await readdir(`/proc/${pid}/fd`).catch((): string[] => []);
  const targets = await Promise.all(
    descriptors.map((descriptor) => readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => "")),
  );
  return targets.some((target) => {
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    return inode !== undefined && inodes.has(inode);
  });
}
