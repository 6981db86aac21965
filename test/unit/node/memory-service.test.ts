// What a request by an id is answered when the shards that it asks do not agree: the id says nothing about
// where its memory lies, so all of them are asked.

import { expect, it } from "vitest";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import { createMemoryService } from "../../../src/node/cluster/memory-service.ts";
import type { ShardRef } from "../../../src/node/cluster/router.ts";
import { encodeCommand, type ShardCommand } from "../../../src/node/memories/commands.ts";
import { memoryNotFound } from "../../../src/memory/changes.ts";
import type { CallContext, MemoryService } from "../../../src/memory/service.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { initialShardMap } from "../../../src/topology/shard-map.ts";
import { manifestOf } from "../topology/manifest.ts";

const context: CallContext = {
  deadlineMs: performance.now() + 60_000,
  requestId: "r",
  consistency: { read: "linearizable", write: "quorum" },
};

const notThere = memoryNotFound("own-id");
const unreachable = new Mem0ctlError("unavailable", "no-leader", "the shard has no leader", { hint: "" });
const unanswered = new Mem0ctlError("unknown-outcome", "timed-out", "no answer in time", { hint: "" });

/** A service over shards that answer so, each after the ones before it. */
function serviceOver(...answers: readonly (Error | "done" | number)[]): MemoryService {
  const map = initialShardMap(manifestOf({ nodes: 3, shards: answers.length, copies: 3 }));
  const answer = async ({ id: shard }: ShardRef): Promise<unknown> => {
    await new Promise((resolve) => setTimeout(resolve, Number(shard)));
    const said = answers[Number(shard)];
    if (said instanceof Error) throw said;
    return said;
  };
  return createMemoryService({
    shards: { write: answer, read: answer },
    clock: systemClock,
    embedder: { embed: async () => [], close: async () => undefined },
    dimensions: 4,
    protocol: "raft",
    map: () => map,
  });
}

const codeOf = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "done",
    (error: unknown) => (error instanceof Mem0ctlError ? error.code : error),
  );

it("what one shard did counts, though another could not be asked", async () => {
  expect(await codeOf(serviceOver(unreachable, "done", notThere).delete("own-id", context))).toBe("done");
  expect(await codeOf(serviceOver(unanswered, notThere, "done").delete("own-id", context))).toBe("done");
});

it("certainly not done is said only when no shard may have done it", async () => {
  const both = serviceOver(unreachable, notThere, unanswered);
  expect(await codeOf(both.delete("own-id", context))).toBe("timed-out");
  expect(await codeOf(both.update("own-id", { metadata: {} }, context))).toBe("timed-out");
  expect(await codeOf(serviceOver(notThere, unreachable).delete("own-id", context))).toBe("no-leader");
});

it("of a scope that lies in many shards all that was deleted is counted, whichever shard is done when", async () => {
  expect(await serviceOver(3, 40, 0, 500, 6000).deleteAll({ kind: "all", of: [] }, context)).toBe(6543);
});

it("one write whose outcome is unknown is no part of anything; of several the whole is unknown", async () => {
  const filter = { kind: "all", of: [] } as const;
  expect(await codeOf(serviceOver(unanswered).deleteAll(filter, context))).toBe("timed-out");
  const none = await serviceOver(unanswered, unreachable).deleteAll(filter, context).catch(String);
  expect(none).toContain("none of the request is known to be done");
  const part = await serviceOver(unanswered, 7).deleteAll(filter, context).catch(String);
  expect(part).toContain("only part of the request is known to be done");
});

it("not found is said only when every shard said so", async () => {
  expect(await codeOf(serviceOver(notThere, notThere).get("own-id", context))).toBe("memory-not-found");
  expect(await codeOf(serviceOver(notThere, unreachable).get("own-id", context))).toBe("no-leader");
});

it("an import is put in commands that a message between nodes holds, however long its histories are", async () => {
  const map = initialShardMap(manifestOf({ nodes: 3, shards: 1, copies: 3 }));
  const commands: Uint8Array[] = [];
  const service = createMemoryService({
    shards: {
      write: async (_: ShardRef, command: ShardCommand) => {
        commands.push(encodeCommand({ session: "s", sequence: 1, answered: 1, command }));
      },
      read: async () => null,
    },
    clock: systemClock,
    embedder: { embed: async () => [], close: async () => undefined },
    dimensions: 4,
    protocol: "raft",
    map: () => map,
  });
  const at = "2026-01-01T00:00:00.000Z";
  const text = "x".repeat(50_000);
  const change = { id: "e", event: "UPDATE" as const, old_memory: text, new_memory: text, created_at: at };
  const records = Array.from({ length: 20 }, (_, number) => ({
    id: `m${number}`,
    memory: "text",
    user_id: "ada",
    embedding: [1, 0, 0, 0],
    history: Array.from({ length: 1 + number * 5 }, () => change),
    created_at: at,
    updated_at: at,
  }));
  expect(await service.import({ records }, context)).toEqual({ imported: 20, failed: [] });
  expect(Math.max(...commands.map((command) => command.length))).toBeLessThan(4 << 20);
});
