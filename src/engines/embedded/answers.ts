// The shapes of a node's answers (model/node-api.ts and mem0's routes), as decoders.

import type { ErrorBody, ErrorKind } from "../../model/errors.ts";
import { HTTP_STATUS } from "../../model/errors.ts";
import type {
  CopyPeerReport,
  CopyReport,
  ExportPage,
  GroupReport,
  ImportResult,
  MemoryEvent,
  MemoryRecord,
  MemoryStats,
  NodeReport,
  PeerReport,
  ProgressReport,
  TransferResult,
} from "../../model/node-api.ts";
import type { OperationSummary } from "../../model/operation.ts";
import type {
  Handover,
  KeySlice,
  MapNode,
  OutgoingReplicas,
  ShardMap,
  ShardSlice,
  SlotRange,
} from "../../model/shard-map.ts";
import type { Memory, MemoryPage } from "../engine.ts";
import {
  anything,
  DecodeError,
  list,
  mapping,
  nullable,
  number,
  object,
  oneOf,
  text,
  truth,
} from "../../model/decode.ts";
import type { Decoder } from "../../model/decode.ts";

const role = oneOf(["primary", "secondary", "arbiter"]);
const replicaRole = oneOf(["leader", "follower", "learner", "arbiter"]);
const replicaState = oneOf(["replicating", "probing", "snapshot", "down"]);

const slotRange = object<SlotRange>({ from: number, to: number });

const isTrue: Decoder<true> = (value, path) => {
  if (value !== true) throw new DecodeError(path, "true");
  return value;
};

const slice = object<ShardSlice>(
  {
    id: text,
    slots: list(slotRange),
    start: text,
    end: nullable(text),
    replicas: list(text),
    arbiters: list(text),
  },
  {
    outgoing: object<OutgoingReplicas>({ replicas: list(text), since: number }),
    version: number,
    founding: isTrue,
    founders: list(text),
  },
);

const SLICES: {
  readonly [Kind in KeySlice["kind"]]: Decoder<Extract<KeySlice, { readonly kind: Kind }>>;
} = {
  slots: object({ kind: oneOf(["slots"]), slots: list(slotRange), except: list(text), also: list(text) }),
  range: object({ kind: oneOf(["range"]), start: text, end: nullable(text) }),
  key: object({ kind: oneOf(["key"]), key: text, pinned: truth }),
};

const keySlice: Decoder<KeySlice> = (value, path) => {
  const { kind } = object<Pick<KeySlice, "kind">>({ kind: oneOf(["slots", "range", "key"]) })(value, path);
  return SLICES[kind](value, path);
};

const handover = object<Handover>(
  {
    id: number,
    name: text,
    from: text,
    to: text,
    slice: keySlice,
    isWhole: truth,
    phase: oneOf(["copying", "dropping"]),
  },
  { versions: object({ from: number, to: nullable(number) }) },
);

const mapNode = object<MapNode>({
  id: text,
  address: text,
  role,
  zone: text,
  weight: number,
  draining: truth,
});

export const shardMap: Decoder<ShardMap> = object<ShardMap>(
  {
    epoch: number,
    strategy: oneOf(["hash", "range", "directory"]),
    key: oneOf(["user", "agent", "run", "app"]),
    directory: mapping(text),
    shards: list(slice),
    nodes: list(mapNode),
    metaVoters: list(text),
  },
  { handover, heirs: mapping(text), nextShard: number },
);

const peer = object<PeerReport>(
  { id: text, state: oneOf(["up", "suspect", "down"]), lastHeartbeatMs: nullable(number) },
  { uid: text, error: text },
);

const progress = object<ProgressReport>({
  node: text,
  role: replicaRole,
  state: replicaState,
  lagEntries: number,
  lagBytes: number,
  lagMs: number,
});

const copyPeer = object<CopyPeerReport>({
  node: text,
  state: replicaState,
  hints: number,
  divergentKeys: number,
  lagEntries: number,
  lagMs: number,
  comparedMs: nullable(number),
});

const copy = object<CopyReport>({
  state: oneOf(["serving", "filling", "rebuilding"]),
  hints: number,
  hintBytes: number,
  tombstones: number,
  divergentKeys: number,
  peers: list(copyPeer),
});

const group = object<GroupReport>(
  {
    id: text,
    role: replicaRole,
    leader: nullable(text),
    term: number,
    commitIndex: number,
    appliedIndex: number,
    lastIndex: number,
    memories: number,
    bytes: number,
    writes: number,
  },
  {
    ballot: object<{ round: number; proposer: string }>({ round: number, proposer: text }),
    progress: list(progress),
    damage: text,
    copy,
  },
);

const operation = object<OperationSummary>({
  id: text,
  name: text,
  state: oneOf(["running", "paused", "cancelling", "done", "cancelled", "failed"]),
  why: nullable(text),
  startedBy: text,
  startedMs: number,
  revision: number,
  steps: number,
  done: number,
  failed: number,
  running: list(text),
});

export const nodeReport: Decoder<NodeReport> = object<NodeReport>(
  {
    cluster: text,
    clusterId: text,
    id: text,
    uid: text,
    address: text,
    role,
    zone: text,
    pid: number,
    version: text,
    protocol: oneOf(["raft", "paxos", "quorum"]),
    uptimeMs: number,
    writeRefusal: nullable(text),
    map: shardMap,
    peers: list(peer),
    groups: list(group),
    leaders: mapping(
      object<{ leader: string | null; term: number }>({ leader: nullable(text), term: number }),
    ),
  },
  { operation, waiting: text, settings: mapping(text) },
);

export const transferResult: Decoder<TransferResult> = object<TransferResult>({
  group: text,
  from: text,
  to: text,
  term: number,
});

const scopeFields = { user_id: text, agent_id: text, run_id: text, app_id: text } as const;

export const memory: Decoder<Memory> = object<Memory>(
  { id: text, memory: text, hash: text, created_at: text, updated_at: text },
  { ...scopeFields, metadata: mapping(anything), categories: list(text), score: number },
);

export const memories: Decoder<readonly Memory[]> = (value, path) =>
  object<{ results: readonly Memory[] }>({ results: list(memory) })(value, path).results;

export const memoryPage: Decoder<MemoryPage> = object<MemoryPage>({ count: number, results: list(memory) });

const memoryEvent = object<MemoryEvent>({
  id: text,
  event: oneOf(["ADD", "UPDATE", "DELETE"]),
  old_memory: nullable(text),
  new_memory: nullable(text),
  created_at: text,
});

export const memoryEvents: Decoder<readonly MemoryEvent[]> = list(memoryEvent);

const memoryRecord = object<MemoryRecord>(
  { id: text, memory: text, created_at: text, updated_at: text },
  {
    ...scopeFields,
    metadata: mapping(anything),
    categories: list(text),
    embedding: list(number),
    history: list(memoryEvent),
  },
);

export const exportPage: Decoder<ExportPage> = object<ExportPage>({
  records: list(memoryRecord),
  cursor: nullable(text),
});

export const importResult: Decoder<ImportResult> = object<ImportResult>({
  imported: number,
  failed: list(object<ImportResult["failed"][number]>({ index: number, field: text, message: text })),
});

export const memoryStats: Decoder<MemoryStats> = object<MemoryStats>({
  memories: number,
  bytes: number,
  shards: list(object<MemoryStats["shards"][number]>({ id: text, memories: number, bytes: number })),
  entities: object<MemoryStats["entities"]>({ users: number, agents: number, runs: number, apps: number }),
});

export const deletion: Decoder<{ readonly deleted: number }> = object<{ readonly deleted: number }>({
  deleted: number,
});

// `Object.keys` forgets the type; the keys of HTTP_STATUS are exactly the kinds, by its declaration.
const kinds = Object.keys(HTTP_STATUS) as ErrorKind[];

export const errorAnswer: Decoder<ErrorBody> = object<ErrorBody>({
  error: object<ErrorBody["error"]>(
    { kind: oneOf(kinds), code: text, message: text },
    { why: text, hint: text, requestId: text, data: mapping(anything) },
  ),
  detail: text,
});
