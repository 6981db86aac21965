// The manifest after parsing: every field present, every duration in milliseconds, every path
// absolute. `manifest/` makes it from YAML text or from the builder; everyone else trusts it.

import type { Consistency } from "./consistency.ts";
import type {
  EngineName,
  NodeId,
  Protocol,
  ReplicationStrategy,
  Role,
  ShardId,
  ShardingStrategy,
  ShardKeyField,
} from "./ids.ts";

export interface NodeSpec {
  readonly id: NodeId;
  /** `host:port`, or `[v6]:port`. */
  readonly address: string;
  readonly host: string;
  readonly port: number;
  /** Where the process listens when that is not the address (NAT, containers, port forwarding). */
  readonly listen?: { readonly address: string; readonly host: string; readonly port: number };
  readonly role: Role;
  /** Failure domain; the node's id when the manifest names none. */
  readonly zone: string;
  /** Share of data and leaders relative to the others; > 0, default 1. */
  readonly weight: number;
  /** It shall hold nothing: of engines whose clusters cannot keep that themselves. */
  readonly draining?: true;
  /** `spawn`: `up` starts and `down` stops it. Default: spawn on loopback, connect elsewhere. */
  readonly manage: "spawn" | "connect";
  /** Absolute; `<spec.dataDir>/<node id>` unless given. Data, log and pid file of a spawned node. */
  readonly dataDir: string;
}

export interface ReplicationSpec {
  readonly strategy: ReplicationStrategy;
  /** Copies besides the leader's: none 0, single 1, multiple n. */
  readonly replicas: number;
}

export interface ShardingSpec {
  readonly strategy: ShardingStrategy;
  readonly shards: number;
  readonly key: ShardKeyField;
  /** range: split points over the key space, strictly ascending by UTF-8 bytes; shards - 1 of them. */
  readonly ranges: readonly string[];
  /** directory: key -> shard; keys not listed fall to their hash. */
  readonly directory: Readonly<Record<string, ShardId>>;
}

export interface ConsensusSpec {
  readonly protocol: Protocol;
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  readonly consistency: Consistency;
}

/** Where a secret is read from; the secret itself is never in a manifest. */
export type SecretReference = { readonly file: string } | { readonly env: string };

export type TokenRole = "read" | "write" | "admin";

export interface TokenSpec {
  readonly name: string;
  readonly role: TokenRole;
  /** Either a reference to the token, or only its SHA-256 (hex), enough to check it, not to use it. */
  readonly source: SecretReference | { readonly sha256: string };
}

export interface TlsSpec {
  /** Absolute paths of PEM files. `{node}` in a path was already replaced where a node is meant. */
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface SecuritySpec {
  readonly tokens: readonly TokenSpec[];
  readonly tls: TlsSpec | undefined;
  /** Of engines that ask for a password: the account (default: the engine's own default one). */
  readonly user?: string;
  readonly password?: SecretReference;
}

export interface LimitsSpec {
  /** Lag above which `status` says degraded. */
  readonly maxLagMs: number;
  /** Largest HTTP body a node reads. */
  readonly bodyBytesMax: number;
  /** Most memories in one request. */
  readonly batchMax: number;
  /** Most client connections to one node. */
  readonly connectionsMax: number;
}

export interface EmbeddingSpec {
  /** `lexical`: built in, by word and character n-grams. `openai`: any compatible endpoint. `none`: callers bring vectors. */
  readonly provider: "lexical" | "openai" | "none";
  readonly dimensions: number;
  /** openai only: base URL (…/v1), model, and where the API key is read from. */
  readonly url: string | undefined;
  readonly model: string | undefined;
  readonly apiKey: SecretReference | undefined;
}

export interface Manifest {
  readonly apiVersion: "mem0ctl/v1";
  readonly kind: "Cluster";
  readonly name: string;
  readonly engine: EngineName;
  /** Absolute. */
  readonly dataDir: string;
  readonly nodes: readonly NodeSpec[];
  readonly replication: ReplicationSpec;
  readonly sharding: ShardingSpec;
  readonly consensus: ConsensusSpec;
  readonly embedding: EmbeddingSpec;
  readonly limits: LimitsSpec;
  readonly security: SecuritySpec;
}

/** What the settings mean, for people: `3 copies, quorum 2, survives the loss of 1 node or 1 zone`. */
export interface Meaning {
  readonly copies: number;
  /** Votes that a decision needs; the quorum protocol: copies that the more demanding of R and W waits for. */
  readonly quorum: number;
  /** How many nodes, and how many zones, can be lost with every shard still taking reads and writes. */
  readonly survivesNodes: number;
  readonly survivesZones: number;
  /** The quorum protocol's R and W in copies; absent with the others. */
  readonly levels?: {
    readonly read: number;
    readonly write: number;
    /** R + W > N: a read meets every write that was finished before it. */
    readonly overlap: boolean;
  };
  /** How the copies agree where that is the engine's own way; absent where a protocol was chosen. */
  readonly replicatesBy?: string;
  readonly sentence: string;
}
