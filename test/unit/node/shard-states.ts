// The states of shards on a real store, and what their logs tell them, for tests of keys that go from one to another.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { scopeFilter } from "../../../src/memory/filter.ts";
import { VectorCache } from "../../../src/memory/vector-cache.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { Clock } from "../../../src/node/clock.ts";
import { queries, runShardQuery } from "../../../src/node/cluster/shard-queries.ts";
import {
  encodeCommand,
  putItem,
  type CommandResult,
  type HandoverCommand,
  type ShardCommand,
} from "../../../src/node/memories/commands.ts";
import type { CustodyState } from "../../../src/node/memories/custody.ts";
import { MemoryMachine } from "../../../src/node/memories/memory-machine.ts";
import { encodeKey } from "../../../src/node/storage/key.ts";
import { openLmdbStore } from "../../../src/node/storage/lmdb.ts";
import type { Store } from "../../../src/node/storage/store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";

const AT = "2026-01-01T00:00:00.000Z";

export class ShardStates {
  readonly store: Store;
  private readonly folder: string;
  private index = 1;
  private sequence = 0;

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "mem0ctl-shards-"));
    this.store = openLmdbStore({
      folder: this.folder,
      flushDelayMs: 0,
      onDiskFailure: (reason) => {
        throw new Error(reason);
      },
    });
  }

  async close(): Promise<void> {
    await this.store.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** As a replica finds it that starts: the first time without anything. */
  open(owner: string, clock: Clock = systemClock): MemoryMachine {
    return new MemoryMachine({
      owner,
      store: this.store,
      vectors: new VectorCache({ bytesMax: 1 << 20, setsMax: 8 }),
      clock,
      prefix: encodeKey("state", owner, 1),
      sessionsMax: 256,
    });
  }

  /** One that can be written to. */
  async begin(owner: string): Promise<MemoryMachine> {
    const machine = this.open(owner);
    const command = { t: "open-session" } as const;
    await this.apply(machine, encodeCommand({ session: "s", sequence: 0, answered: 0, command }));
    return machine;
  }

  async apply(machine: MemoryMachine, bytes: Uint8Array): Promise<CommandResult> {
    this.index += 1;
    const results: CommandResult[] = [];
    await this.store.transact((writer) => {
      results.push(machine.apply(bytes, this.index, writer));
      machine.finish(writer);
    });
    const [result] = results;
    if (result === undefined) throw new Error("nothing was applied");
    return result;
  }

  encoded(command: ShardCommand, version = 0, at = (this.sequence += 1)): Uint8Array {
    return encodeCommand({ session: "s", sequence: at, answered: 1, command, version });
  }

  write(machine: MemoryMachine, command: ShardCommand, version = 0): Promise<CommandResult> {
    return this.apply(machine, this.encoded(command, version));
  }

  async tell(machine: MemoryMachine, part: HandoverCommand): Promise<CustodyState> {
    const command: ShardCommand = { t: "handover", part };
    const bytes = encodeCommand({ session: "", sequence: 0, answered: 0, command });
    const result = await this.apply(machine, bytes);
    if (!result.ok) throw new Error(result.error.error.message);
    return result.value as CustodyState;
  }
}

export const put = (id: string, key: string, text = id): ShardCommand => ({
  t: "put",
  items: [
    putItem({
      id,
      key,
      record: { memory: text, user_id: key, created_at: AT, updated_at: AT, hash: text },
      vector: Float32Array.of(1, 0, 0),
    }),
  ],
});
export const update = (id: string, text: string): ShardCommand => ({
  t: "update",
  id,
  text,
  hash: text,
  at: AT,
});
export const remove = (id: string): ShardCommand => ({ t: "delete", id });

/** What a client that goes by this version of the shard is answered; the code of what refuses it. */
export async function listed(machine: MemoryMachine, version: number): Promise<unknown> {
  const query = { ...queries.list(scopeFilter({}), 100), version };
  return runShardQuery(machine, "user", query).then(
    (answer) => (answer as { newest: readonly { id: string }[] }).newest.map(({ id }) => id).toSorted(),
    (error: unknown) => (error instanceof Mem0ctlError ? error.code : error),
  );
}

export const codeOf = (result: CommandResult): string => (result.ok ? "done" : result.error.error.code);
