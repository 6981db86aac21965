// Memories of a Redis or Valkey Cluster, read and changed by slot: what the service (service.ts) asks for,
// as commands. Reads are not snapshots: what is written while a scan goes on may or may not be in it.

import { randomBytes } from "node:crypto";

import type { ScopeField } from "../../../memory/record.ts";
import { vectorFrom, type StoredRecord } from "../../../memory/stored.ts";
import type { MemoryEvent } from "../../../model/node-api.ts";
import { SLOTS, slotOf } from "../../../topology/slots.ts";
import { bytesIn, bytesListOf, listOf, ReplyError, textOf } from "../reply-values.ts";
import type { Argument, Command, Reply } from "../reply-values.ts";
import type { RunOptions, SlotCommand, SlotCommands } from "../slot-commands.ts";
import {
  bytesOf,
  changeCommand,
  outcomesIn,
  type ChangeOutcome,
  type MemoryChange,
} from "./changes-script.ts";
import {
  countsKey,
  decodeHistory,
  decodeRecord,
  hintedSlot,
  indexKey,
  indexRange,
  memberIn,
  memoryKey,
  placeKey,
  placeSlot,
  writesKey,
  type MemoryField,
} from "./layout.ts";

/** A memory's place in the index. */
export interface Indexed {
  readonly slot: number;
  readonly shardKey: string;
  readonly id: string;
}

export interface Held extends Indexed {
  readonly record: StoredRecord;
  /** Undefined where it was not asked for. */
  readonly vector: Float32Array | undefined;
  /** Empty for a memory that was only added. */
  readonly history: readonly MemoryEvent[];
  /** The write that made it what it is. */
  readonly since: string;
}

export interface SlotCounts {
  readonly slot: number;
  readonly memories: number;
  readonly bytes: number;
  readonly entities: readonly {
    readonly field: ScopeField;
    readonly name: string;
    readonly memories: number;
    readonly createdAt: string;
    readonly updatedAt: string;
  }[];
}

/** Memories read with one call of `run`: bounds what is in memory at a time. */
const READ_AT_ONCE = 1000;
const CHANGES_PER_SCRIPT = 100;
const SCRIPT_BYTES_MAX = 1 << 20;
const SLOTS_AT_ONCE = 2048;
/** Slots of which one script reads the counts: it holds up its server. */
const COUNTS_AT_ONCE = 128;

export type ReadOptions = Omit<RunOptions, "copies">;
export type WriteOptions = RunOptions & { readonly copies: number };

export class MemoryStore {
  readonly #slots: SlotCommands;

  constructor(slots: SlotCommands) {
    this.#slots = slots;
  }

  /** Where a memory is, and what it is. A new one's id tells; that of one from elsewhere is looked up. */
  async find(id: string, options: ReadOptions): Promise<Held | undefined> {
    const hinted = hintedSlot(id);
    const [place, near] = await this.#run(
      [
        { slot: placeSlot(id), command: ["GET", placeKey(id)] },
        ...(hinted === undefined ? [] : [readCommand(hinted, id, "without-vectors")]),
      ],
      options,
    );
    const found = hinted === undefined ? undefined : heldIn(hinted, id, near);
    if (found !== undefined || place === null || place === undefined) return found;
    const slot = Number(textOf(place));
    if (slot === hinted) return undefined;
    const [far] = await this.#run([readCommand(slot, id, "without-vectors")], options);
    return heldIn(slot, id, far);
  }

  /** Memories as they are now; what was deleted since is left out. */
  async read(indexed: readonly Indexed[], vectors: Vectors, options: ReadOptions): Promise<Held[]> {
    const replies = await this.#run(
      indexed.map(({ slot, id }) => readCommand(slot, id, vectors)),
      options,
    );
    return indexed.flatMap(({ slot, id }, at) => heldIn(slot, id, replies[at]) ?? []);
  }

  /** Every memory under these shard keys, a part at a time. */
  async *under(shardKeys: readonly string[], vectors: Vectors, options: ReadOptions): AsyncGenerator<Held[]> {
    for (const shardKey of shardKeys) {
      yield* this.#inParts(await this.index(shardKey, options), vectors, options);
    }
  }

  /** Every memory there is, a part at a time. */
  async *everything(vectors: Vectors, options: ReadOptions): AsyncGenerator<Held[]> {
    for (let from = 0; from < SLOTS; from += SLOTS_AT_ONCE) {
      const slots = Array.from({ length: Math.min(SLOTS_AT_ONCE, SLOTS - from) }, (_, at) => from + at);
      const replies = await this.#run(
        slots.map((slot) => ({ slot, command: ["ZRANGE", indexKey(slot), 0, -1] })),
        options,
      );
      const indexed = slots.flatMap((slot, at) => indexedIn(slot, replies[at]));
      yield* this.#inParts(indexed, vectors, options);
    }
  }

  async *#inParts(
    indexed: readonly Indexed[],
    vectors: Vectors,
    options: ReadOptions,
  ): AsyncGenerator<Held[]> {
    for (let from = 0; from < indexed.length; from += READ_AT_ONCE) {
      yield this.read(indexed.slice(from, from + READ_AT_ONCE), vectors, options);
    }
  }

  /** What is under a shard key, by id. */
  async index(shardKey: string, options: ReadOptions): Promise<readonly Indexed[]> {
    const slot = slotOf(shardKey);
    const command: Command = ["ZRANGEBYLEX", indexKey(slot), ...indexRange(shardKey)];
    const [reply] = await this.#run([{ slot, command }], options);
    return indexedIn(slot, reply);
  }

  /** The first of a list of slots behind `after`, by slot, shard key and id; at most `limit`. */
  async page(
    slots: readonly number[],
    after: { readonly slot: number; readonly member: Buffer } | undefined,
    limit: number,
    options: ReadOptions,
  ): Promise<readonly Indexed[]> {
    const found: Indexed[] = [];
    for (let from = 0; from < slots.length && found.length < limit; from += SLOTS_AT_ONCE) {
      const part = slots.slice(from, from + SLOTS_AT_ONCE);
      const replies = await this.#run(
        part.map((slot) => {
          const min: Argument = after?.slot === slot ? Buffer.concat([Buffer.from("("), after.member]) : "-";
          return { slot, command: ["ZRANGEBYLEX", indexKey(slot), min, "+", "LIMIT", 0, limit] };
        }),
        options,
      );
      for (const [at, slot] of part.entries()) found.push(...indexedIn(slot, replies[at]));
    }
    return found.slice(0, limit);
  }

  /** Vectors by id; of a memory that was deleted since there is none. */
  async vectors(
    indexed: readonly Indexed[],
    options: ReadOptions,
  ): Promise<readonly { readonly id: string; readonly vector: Float32Array }[]> {
    const replies = await this.#run(
      indexed.map(({ slot, id }) => ({ slot, command: ["HGET", memoryKey(slot, id), VECTOR_FIELD] })),
      options,
    );
    return indexed.flatMap(({ id }, at) => {
      const bytes = bytesIn(replies[at]);
      return bytes === null ? [] : [{ id, vector: vectorFrom(bytes) }];
    });
  }

  /** The last write under a shard key; null where nothing is. */
  async lastWrite(shardKey: string, options: ReadOptions): Promise<string | null> {
    const slot = slotOf(shardKey);
    const [reply] = await this.#run([{ slot, command: ["HGET", writesKey(slot), shardKey] }], options);
    return bytesIn(reply)?.toString("utf8") ?? null;
  }

  /** Of every slot. */
  async counts(options: ReadOptions): Promise<readonly SlotCounts[]> {
    const slots = Array.from({ length: SLOTS }, (_, slot) => slot);
    const parts = Array.from({ length: Math.ceil(SLOTS / COUNTS_AT_ONCE) }, (_, part) =>
      slots.slice(part * COUNTS_AT_ONCE, (part + 1) * COUNTS_AT_ONCE),
    );
    const replies = await this.#slots.run(parts.flatMap(countsCommand), options);
    // Where the slots of a part are not all with one server, one is on its way, or the server has no such scripts.
    const alone = parts.filter((_, at) => !Array.isArray(replies[at])).flat();
    const single = await this.#run(
      alone.map((slot) => ({ slot, command: ["HGETALL", countsKey(slot)] })),
      options,
    );
    const bySlot = new Map(alone.map((slot, at) => [slot, single[at]]));
    for (const [at, part] of parts.entries()) {
      const reply = replies[at];
      if (!Array.isArray(reply)) continue;
      for (const [place, slot] of part.entries()) bySlot.set(slot, listOf(reply)[place]);
    }
    return slots.map((slot) => countsIn(slot, bytesListOf(bySlot.get(slot))));
  }

  /**
   * Changes memories, those of one slot together, and says what came of each. Sent again where it has to
   * be, it applies once.
   */
  async change(
    changes: readonly { readonly slot: number; readonly change: MemoryChange }[],
    options: WriteOptions,
  ): Promise<readonly ChangeOutcome[]> {
    const scripts = scriptsOf(changes);
    const replies = await this.#run(
      scripts.map(({ slot, parts }) => ({
        slot,
        command: changeCommand(
          slot,
          newWrite(),
          parts.map(({ change }) => change),
        ),
      })),
      options,
    );
    const outcomes: ChangeOutcome[] = changes.map(() => "missing");
    for (const [at, { parts }] of scripts.entries()) {
      const own = outcomesIn(textOf(replies[at]));
      for (const [place, { index }] of parts.entries()) outcomes[index] = own[place] ?? "missing";
    }
    return outcomes;
  }

  /** Slots in which an id was known before: by its place, and where its own number points. */
  async placesOf(
    ids: readonly string[],
    options: ReadOptions,
  ): Promise<readonly { readonly place: number | undefined; readonly hinted: number | undefined }[]> {
    const commands = ids.flatMap((id): SlotCommand[] => {
      const hinted = hintedSlot(id) ?? placeSlot(id);
      return [
        { slot: placeSlot(id), command: ["GET", placeKey(id)] },
        { slot: hinted, command: ["EXISTS", memoryKey(hinted, id)] },
      ];
    });
    const replies = await this.#run(commands, options);
    return ids.map((id, at) => {
      const place = bytesIn(replies[2 * at]);
      const hinted = hintedSlot(id);
      return {
        place: place === null ? undefined : Number(place.toString()),
        hinted: replies[2 * at + 1] === 1 ? hinted : undefined,
      };
    });
  }

  async setPlaces(
    places: readonly { readonly id: string; readonly slot: number | undefined }[],
    options: WriteOptions,
  ): Promise<void> {
    const commands = places.map(({ id, slot }): SlotCommand => ({
      slot: placeSlot(id),
      command: slot === undefined ? ["DEL", placeKey(id)] : ["SET", placeKey(id), slot],
    }));
    await this.#run(commands, options);
  }

  /** @throws ReplyError that a command led to: the keys hold something else, or a defect. */
  async #run(commands: readonly SlotCommand[], options: RunOptions): Promise<Reply[]> {
    const replies = await this.#slots.run(commands, options);
    for (const reply of replies) if (reply instanceof ReplyError) throw reply;
    return replies;
  }
}

/**
 * Neighbouring slots are mostly one server's, and one script costs a hundredth of as many commands. Of keys that it
 * declares all must be in one slot, so it declares the first.
 */
const COUNTS_SCRIPT = `#!lua flags=no-writes,allow-cross-slot-keys
local all = { redis.call('HGETALL', KEYS[1]) }
for at, key in ipairs(ARGV) do all[at + 1] = redis.call('HGETALL', key) end
return all
`;

function countsCommand(slots: readonly number[]): SlotCommand[] {
  const [slot] = slots;
  if (slot === undefined) return [];
  return [{ slot, command: ["EVAL", COUNTS_SCRIPT, 1, ...slots.map(countsKey)] }];
}

const READ_FIELDS: readonly MemoryField[] = ["k", "r", "h", "w"];
const VECTOR_FIELD: MemoryField = "v";

/** Whether the vectors are read with the memories: they are most of what a memory weighs. */
export type Vectors = "with-vectors" | "without-vectors";

function readCommand(slot: number, id: string, vectors: Vectors): SlotCommand {
  const fields = vectors === "with-vectors" ? [...READ_FIELDS, VECTOR_FIELD] : READ_FIELDS;
  return { slot, command: ["HMGET", memoryKey(slot, id), ...fields] };
}

function heldIn(slot: number, id: string, reply: Reply | undefined): Held | undefined {
  const [shardKey, record, history, since, vector] = listOf(reply).map(bytesIn);
  if (shardKey === null || shardKey === undefined || record === null || record === undefined)
    return undefined;
  return {
    slot,
    id,
    shardKey: shardKey.toString("utf8"),
    record: decodeRecord(record),
    vector: vector === null || vector === undefined ? undefined : vectorFrom(vector),
    history: decodeHistory(history ?? null),
    since: since?.toString("utf8") ?? "",
  };
}

function indexedIn(slot: number, reply: Reply | undefined): Indexed[] {
  return bytesListOf(reply).map((member) => ({ slot, ...memberIn(member) }));
}

function countsIn(slot: number, list: readonly Buffer[]): SlotCounts {
  let memories = 0;
  let bytes = 0;
  const entities: SlotCounts["entities"][number][] = [];
  for (let at = 0; at + 1 < list.length; at += 2) {
    const name = list[at]?.toString("utf8") ?? "";
    const value = list[at + 1]?.toString("utf8") ?? "";
    if (name === "memories") memories = Number(value);
    else if (name === "bytes") bytes = Number(value);
    else {
      const space = name.indexOf(" ");
      const [count, createdAt, updatedAt] = JSON.parse(value) as [number, string, string];
      // Only the script writes here, and only fields of a scope.
      const of = name.slice(0, space) as ScopeField;
      entities.push({ field: of, name: name.slice(space + 1), memories: count, createdAt, updatedAt });
    }
  }
  return { slot, memories, bytes, entities };
}

interface Script {
  readonly slot: number;
  readonly parts: { readonly index: number; readonly change: MemoryChange }[];
  bytes: number;
}

/** Those of one slot together, in their order, each script of bounded size: it holds up its server. */
function scriptsOf(
  changes: readonly { readonly slot: number; readonly change: MemoryChange }[],
): readonly Script[] {
  const scripts: Script[] = [];
  const open = new Map<number, Script>();
  for (const [index, { slot, change }] of changes.entries()) {
    const bytes = bytesOf(change);
    let script = open.get(slot);
    if (
      script === undefined ||
      script.parts.length >= CHANGES_PER_SCRIPT ||
      script.bytes + bytes > SCRIPT_BYTES_MAX
    ) {
      script = { slot, parts: [], bytes: 0 };
      open.set(slot, script);
      scripts.push(script);
    }
    script.parts.push({ index, change });
    script.bytes += bytes;
  }
  return scripts;
}

/** Unique: 96 random bits. */
function newWrite(): string {
  return randomBytes(12).toString("base64url");
}
