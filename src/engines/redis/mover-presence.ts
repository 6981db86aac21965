// Two runs that move slots at the same time would undo each other's work. A run says that it is there by the
// name of its connections, which every server shows (CLIENT LIST) and which goes when its process goes:
// nothing is written into the cluster, and nothing has to be cleaned up after a kill.

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";

import { Mem0ctlError } from "../../model/errors.ts";
import type { RedisConnection } from "./connection.ts";
import { ReplyError, textOf } from "./reply-values.ts";

const PREFIX = "mem0ctl-moves";

export interface MoverPresence {
  /** Says on this connection that slots are being moved. Again and again is harmless. */
  announce(connection: RedisConnection, timeoutMs: number): Promise<void>;
}

/** One for each process that moves: its connections know each other by it. */
export function moverPresence(nowMs: number): MoverPresence {
  const host = hostname().replaceAll(/[^\w.-]/g, "-") || "unknown";
  const name = [PREFIX, host, process.pid, nowMs, randomBytes(4).toString("hex")].join("|");
  return {
    async announce(connection, timeoutMs) {
      const [, list] = await connection.send(
        [
          ["CLIENT", "SETNAME", name],
          ["CLIENT", "LIST"],
        ],
        { timeoutMs },
      );
      // A user who may not list clients may still move slots.
      if (list instanceof ReplyError) return;
      const other = otherMover(textOf(list), name);
      if (other !== undefined) throw running(other);
    },
  };
}

interface OtherMover {
  readonly host: string;
  readonly pid: string;
  readonly sinceMs: number;
}

/** The first one was there first: of two that see each other the one with the older connection goes on. */
export function otherMover(clients: string, own: string): OtherMover | undefined {
  let ownId = Infinity;
  const others: (OtherMover & { readonly id: number })[] = [];
  for (const line of clients.split("\n")) {
    const fields = new Map(
      line.split(" ").map((field) => [field.split("=", 1)[0], field.slice(field.indexOf("=") + 1)]),
    );
    const name = fields.get("name") ?? "";
    const id = Number(fields.get("id"));
    if (name === own) ownId = Math.min(ownId, id);
    else if (name.startsWith(`${PREFIX}|`)) {
      const [, host = "", pid = "", since = ""] = name.split("|");
      others.push({ id, host, pid, sinceMs: Number(since) });
    }
  }
  return others.toSorted((one, other) => one.id - other.id).find(({ id }) => id < ownId);
}

function running({ host, pid, sinceMs }: OtherMover): Mem0ctlError {
  const since = Number.isFinite(sinceMs) ? new Date(sinceMs).toISOString() : "an unknown time";
  return new Mem0ctlError("conflict", "operation-running", "slots are being moved already", {
    why: `by process ${pid} on ${host}, since ${since}`,
    hint: "watch it with `mem0ctl status --watch`, or stop that process; a later run goes on where it stopped",
    data: { host, pid: Number(pid), since },
  });
}
