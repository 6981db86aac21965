// The one script by which memories change. It runs in the slot of a shard key, changes any number of its
// memories with the index and the counts that belong to them, and keeps what it did under the name of the
// write: sent again after a lost answer, it answers and changes nothing.

import { SCOPE_FIELDS } from "../../../memory/record.ts";
import { countedOf, vectorBytes, type StoredRecord } from "../../../memory/stored.ts";
import type { MemoryEvent } from "../../../model/node-api.ts";
import type { Argument, Command } from "../reply-values.ts";
import { countsKey, doneKey, encodeRecord, indexKey, memoryKey, writesKey } from "./layout.ts";

export type MemoryChange =
  | {
      /** In place of one with the same id in this slot. */
      readonly kind: "put";
      readonly id: string;
      readonly shardKey: string;
      readonly record: StoredRecord;
      readonly vector: Float32Array;
      readonly history: readonly MemoryEvent[];
    }
  | {
      readonly kind: "replace";
      readonly id: string;
      /** Only while this is the write that made it what it is. */
      readonly since: string;
      readonly record: StoredRecord;
      readonly vector: Float32Array | undefined;
      readonly history: readonly MemoryEvent[];
    }
  | { readonly kind: "delete"; readonly id: string; readonly since: string };

/** `changed`: another write came between. */
export type ChangeOutcome = "done" | "changed" | "missing";

/** Longer than any request may take: nothing is sent again after that. */
const DONE_MS = 120_000;

const SCRIPT = `
local counts, index, writes, done = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local before = redis.call('GET', done)
if before then
  -- A write all the same, so that WAIT after it waits for the replicas.
  redis.call('PEXPIRE', done, ARGV[2])
  return before
end
local name = ARGV[1]
local FIELDS = {${SCOPE_FIELDS.map((field) => `'${field}'`).join(", ")}}
local touched = {}

local function count(counted, change)
  for place, field in ipairs(FIELDS) do
    local who = counted[1][place]
    if who ~= nil and who ~= cjson.null then
      local entity = field .. ' ' .. who
      local known = redis.call('HGET', counts, entity)
      local memories, created, updated = 0, counted[2], counted[3]
      if known then
        known = cjson.decode(known)
        memories, created, updated = known[1], known[2], known[3]
        if counted[2] < created then created = counted[2] end
        if change >= 0 and counted[3] > updated then updated = counted[3] end
      end
      memories = memories + change
      if memories > 0 then
        redis.call('HSET', counts, entity, cjson.encode({memories, created, updated}))
      else
        redis.call('HDEL', counts, entity)
      end
    end
  end
end

local function bytes(memory)
  return redis.call('HSTRLEN', memory, 'r') + redis.call('HSTRLEN', memory, 'v')
end

local function remove(memory, id)
  local old = redis.call('HMGET', memory, 'k', 'c')
  if not old[1] then return end
  redis.call('HINCRBY', counts, 'memories', -1)
  redis.call('HINCRBY', counts, 'bytes', -bytes(memory))
  count(cjson.decode(old[2]), -1)
  redis.call('ZREM', index, old[1] .. '\\0' .. id)
  redis.call('DEL', memory)
  touched[old[1]] = true
end

local function keepHistory(memory, history)
  if history == '' then redis.call('HDEL', memory, 'h') else redis.call('HSET', memory, 'h', history) end
end

local function put(memory, id, key, record, vector, history, counted)
  remove(memory, id)
  redis.call('HSET', memory, 'k', key, 'r', record, 'v', vector, 'c', counted, 'w', name)
  keepHistory(memory, history)
  redis.call('ZADD', index, 0, key .. '\\0' .. id)
  redis.call('HINCRBY', counts, 'memories', 1)
  redis.call('HINCRBY', counts, 'bytes', bytes(memory))
  count(cjson.decode(counted), 1)
  touched[key] = true
end

local function since(memory, expected)
  local now = redis.call('HMGET', memory, 'k', 'w')
  if not now[1] then return 'missing' end
  if now[2] ~= expected then return 'changed' end
  return 'done', now[1]
end

local function replace(memory, record, vector, history, counted)
  local old = bytes(memory)
  redis.call('HSET', memory, 'r', record, 'c', counted, 'w', name)
  if vector ~= '' then redis.call('HSET', memory, 'v', vector) end
  keepHistory(memory, history)
  redis.call('HINCRBY', counts, 'bytes', bytes(memory) - old)
  count(cjson.decode(counted), 0)
end

local outcomes = {}
local at = 3
for place = 5, #KEYS do
  local memory, kind, id = KEYS[place], ARGV[at], ARGV[at + 1]
  if kind == 'put' then
    put(memory, id, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6])
    outcomes[#outcomes + 1] = 'done'
    at = at + 7
  elseif kind == 'replace' then
    local outcome, key = since(memory, ARGV[at + 2])
    if outcome == 'done' then
      replace(memory, ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6])
      touched[key] = true
    end
    outcomes[#outcomes + 1] = outcome
    at = at + 7
  else
    local outcome = since(memory, ARGV[at + 2])
    if outcome == 'done' then remove(memory, id) end
    outcomes[#outcomes + 1] = outcome
    at = at + 3
  end
end
for key in pairs(touched) do
  local left = redis.call('ZRANGEBYLEX', index, '[' .. key .. '\\0', '(' .. key .. '\\1', 'LIMIT', 0, 1)
  if #left > 0 then redis.call('HSET', writes, key, name) else redis.call('HDEL', writes, key) end
end
local result = cjson.encode(outcomes)
redis.call('SET', done, result, 'PX', ARGV[2])
return result
`;

/** `write` names it: the same name is the same write, however often it is sent. */
export function changeCommand(slot: number, write: string, changes: readonly MemoryChange[]): Command {
  const keys = [
    countsKey(slot),
    indexKey(slot),
    writesKey(slot),
    doneKey(slot, write),
    ...changes.map(({ id }) => memoryKey(slot, id)),
  ];
  return ["EVAL", SCRIPT, keys.length, ...keys, write, DONE_MS, ...changes.flatMap(argumentsOf)];
}

function argumentsOf(change: MemoryChange): Argument[] {
  if (change.kind === "delete") return [change.kind, change.id, change.since];
  const { kind, id, record, vector, history } = change;
  return [
    kind,
    id,
    kind === "put" ? change.shardKey : change.since,
    encodeRecord(record),
    vector === undefined ? "" : vectorBytes(vector),
    history.length === 0 ? "" : JSON.stringify(history),
    JSON.stringify(countedOf(record)),
  ];
}

export function outcomesIn(reply: string): readonly ChangeOutcome[] {
  return JSON.parse(reply) as ChangeOutcome[];
}

/** Bytes that a change takes on its way, roughly. */
export function bytesOf(change: MemoryChange): number {
  return change.kind === "delete"
    ? 100
    : change.record.memory.length * 3 + (change.vector?.byteLength ?? 0) + 1000;
}
