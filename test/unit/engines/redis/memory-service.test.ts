// A request of several writes that ends in the middle: what was done is not called undone. The store fails
// where the test says; all else about it is tried on real servers.

import { describe, expect, it } from "vitest";
import type { Held } from "../../../../src/engines/redis/memory/store.ts";
import { MemoryStore } from "../../../../src/engines/redis/memory/store.ts";
import { createRedisMemoryService } from "../../../../src/engines/redis/memory/service.ts";
import { SlotCommands } from "../../../../src/engines/redis/slot-commands.ts";
import { scopeFilter } from "../../../../src/memory/filter.ts";
import type { CallContext, MemoryService } from "../../../../src/memory/service.ts";
import { Mem0ctlError } from "../../../../src/model/errors.ts";

const AT = "2026-01-31T09:30:00Z";

function heldUnder(id: string): Held {
  const record = { memory: "text", user_id: "ada", created_at: AT, updated_at: AT, hash: "" };
  return { slot: 1, shardKey: "ada", id, record, vector: undefined, history: [], since: "w" };
}

/** Its first `done` changes are done; every write after them finds nobody. */
class FailingStore extends MemoryStore {
  #left: number;

  constructor(done: number) {
    const nobody = (): never => {
      throw new Error("nothing is asked of a server here");
    };
    super(new SlotCommands({ look: nobody, endpointAt: nobody, connect: nobody }));
    this.#left = done;
  }

  override find = async (id: string): Promise<Held> => heldUnder(id);
  override async *under(): AsyncGenerator<Held[]> {
    yield [heldUnder("one")];
    yield [heldUnder("two")];
  }
  override change = async (): Promise<readonly ["done"]> => {
    if ((this.#left -= 1) < 0) throw new Mem0ctlError("unavailable", "slot-unavailable", "nobody answers");
    return ["done"];
  };
  override setPlaces = async (): Promise<void> => {
    if (this.#left <= 0) throw new Mem0ctlError("unavailable", "slot-unavailable", "nobody answers");
  };
  override read = async (): Promise<Held[]> => [];
}

function serviceWith(done: number): MemoryService {
  return createRedisMemoryService({
    store: new FailingStore(done),
    embedder: () => Promise.reject(new Error("nothing is embedded here")),
    dimensions: 4,
    key: "user",
    copies: 2,
    shards: async () => [],
  });
}

const context: CallContext = {
  deadlineMs: Number.POSITIVE_INFINITY,
  requestId: "r",
  consistency: { read: "one", write: "one" },
};

describe("a request that ends in the middle", () => {
  it("is certainly not done when nothing of it was", async () => {
    const none = { kind: "unavailable", code: "slot-unavailable" };
    await expect(serviceWith(0).delete("one", context)).rejects.toMatchObject(none);
    const all = serviceWith(0).deleteAll(scopeFilter({ user_id: "ada" }), context);
    await expect(all).rejects.toMatchObject(none);
  });

  it("is of unknown outcome when a part of it was", async () => {
    const part = { kind: "unknown-outcome", code: "partly-done" };
    await expect(serviceWith(1).delete("one", context)).rejects.toMatchObject(part);
    const all = serviceWith(1).deleteAll(scopeFilter({ user_id: "ada" }), context);
    await expect(all).rejects.toMatchObject(part);
  });
});
