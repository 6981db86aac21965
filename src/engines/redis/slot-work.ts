// How much servers had to do so far, by their own counters: of each slot where they count it (CLUSTER SLOT-STATS, Valkey
// 8 and Redis 8.2 with `cluster-slot-stats-enabled yes`), and of all requests together (INFO commandstats).

import type { SlotTable } from "../engine.ts";
import type { RedisConnection } from "./connection.ts";
import type { SendOptions } from "./connection.ts";
import { parseFields, parseInfo } from "./gossip.ts";
import { ReplyError, textOf } from "./reply-values.ts";
import type { Reply } from "./reply-values.ts";

const LAST_SLOT = 16_383;
/** What servers, administrators and moves of slots ask, as opposed to applications. */
const NOT_OF_CLIENTS =
  /^(acl|asking|auth|bgrewriteaof|bgsave|client|cluster|command|config|dbsize|debug|hello|info|latency|memory|migrate|module|ping|psync|quit|readonly|replconf|replicaof|reset|restore|restore-asking|role|select|slaveof|slowlog|sync|syncslots|time|wait|waitaof)$/;

/** Microseconds. @throws NodeFailure, ReplyError where INFO is refused. */
async function workOf(
  connection: RedisConnection,
  options: SendOptions,
): Promise<{ readonly all: number; readonly bySlot: ReadonlyMap<number, number> }> {
  const [stats, info] = await connection.send(
    [
      ["CLUSTER", "SLOT-STATS", "SLOTSRANGE", 0, LAST_SLOT],
      ["INFO", "commandstats"],
    ],
    options,
  );
  if (info instanceof ReplyError) throw info;
  return { all: clientMicroseconds(textOf(info)), bySlot: microsecondsBySlot(stats) };
}

/** @internal */
export function clientMicroseconds(commandstats: string): number {
  let all = 0;
  for (const [name, value] of parseInfo(commandstats)) {
    const command = name.replace(/^cmdstat_/, "").split("|", 1)[0] ?? "";
    if (NOT_OF_CLIENTS.test(command)) continue;
    all += Number(parseFields(value).get("usec") ?? 0);
  }
  return all;
}

/** Empty where the server has no such command, or does not count. A list of slot and fields: name, value, name, value. */
function microsecondsBySlot(reply: Reply | undefined): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  if (!Array.isArray(reply)) return counts;
  const slots: readonly Reply[] = reply;
  for (const each of slots) {
    const [slot, words]: readonly Reply[] = Array.isArray(each) ? each : [];
    if (typeof slot !== "number" || !Array.isArray(words)) continue;
    const fields: readonly Reply[] = words;
    const at = fields.findIndex((field, index) => index % 2 === 0 && textOf(field) === "cpu-usec");
    const value = fields[at + 1];
    if (at !== -1 && typeof value === "number") counts.set(slot, value);
  }
  return counts;
}

/** Of all that own slots. @param connectionOf to a node. @throws as `workOf`. */
export async function workOfAll(
  owners: SlotTable["owners"],
  connectionOf: (id: string) => Promise<RedisConnection>,
  options: SendOptions,
): Promise<NonNullable<SlotTable["work"]>> {
  const parts = await Promise.all(
    owners.map(async ({ id }) => ({ id, ...(await workOf(await connectionOf(id), options)) })),
  );
  return {
    byOwner: new Map(parts.map(({ id, all }) => [id, all])),
    bySlot: new Map(parts.flatMap(({ bySlot }) => [...bySlot])),
  };
}
