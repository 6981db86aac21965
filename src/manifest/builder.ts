// The manifest in code: a fluent, immutable builder. It only collects what was said; the same checks as
// for YAML text judge it, so that there is one set of rules. Findings have no line here (0).

import { resolve } from "node:path";
import { stringify } from "yaml";
import type { Finding } from "../model/findings.ts";
import type {
  EngineName,
  NodeId,
  Protocol,
  ReplicationStrategy,
  Role,
  ShardingStrategy,
  ShardKeyField,
} from "../model/ids.ts";
import type { Manifest, SecretReference, TlsSpec, TokenRole } from "../model/manifest.ts";
import type { ReadConsistency, WriteConsistency } from "../model/consistency.ts";
import { checkManifest, invalidManifest } from "./check.ts";
import { FindingList, rawFromValue } from "./raw.ts";

/** `100ms`, `1s`, `2m`, `1h`. */
export type DurationText = `${number}${"ms" | "s" | "m" | "h"}`;
/** `512KiB`, `4MiB`. */
export type SizeText = `${number}${"B" | "KiB" | "MiB" | "GiB"}`;

export interface NodeInput {
  readonly id: NodeId;
  /** `host:port`, or `[v6]:port`. */
  readonly address: string;
  /** Where the process listens when that is not the address (NAT, containers, port forwarding). */
  readonly listen?: string;
  /** Default: primary. */
  readonly role?: Role;
  readonly zone?: string;
  readonly weight?: number;
  /** Of engines whose clusters do not keep it themselves (redis): the node shall hold nothing. */
  readonly draining?: boolean;
  readonly manage?: "spawn" | "connect";
  readonly dataDir?: string;
}

export interface ReplicationInput {
  readonly strategy: ReplicationStrategy;
  /** Copies besides the leader's. */
  readonly replicas?: number;
}

export interface ShardingInput {
  readonly strategy: ShardingStrategy;
  readonly shards?: number;
  readonly key?: ShardKeyField;
  readonly ranges?: readonly string[];
  /** Key -> number of the shard that it is pinned to. */
  readonly directory?: Readonly<Record<string, number>>;
}

export interface ConsensusInput {
  readonly heartbeatInterval?: DurationText;
  readonly electionTimeout?: DurationText;
  /** raft and paxos: linearizable or stale; quorum: one, quorum, all or a number of copies. */
  readonly read?: ReadConsistency;
  /** quorum only. */
  readonly write?: WriteConsistency;
  /** With `read: "stale"`. */
  readonly maxStaleness?: DurationText;
}

export interface EmbeddingInput {
  readonly provider: "lexical" | "openai" | "none";
  readonly dimensions?: number;
  readonly url?: string;
  readonly model?: string;
  readonly apiKey?: SecretReference;
}

export interface LimitsInput {
  readonly maxLag?: DurationText;
  readonly body?: SizeText;
  readonly batch?: number;
  readonly connections?: number;
}

export type TokenInput = { readonly name: string; readonly role: TokenRole } & (
  | SecretReference
  | { readonly sha256: string }
);

/** No copies besides the leader's: the loss of a node loses data. */
export function none(): ReplicationInput {
  return { strategy: "none" };
}

/** One copy besides the leader's. */
export function single(): ReplicationInput {
  return { strategy: "single" };
}

/** `replicas` copies besides the leader's. */
export function multiple(replicas: number): ReplicationInput {
  return { strategy: "multiple", replicas };
}

/** Shards by the CRC16 slot of the key. */
export function hash(shards: number, options: { readonly key?: ShardKeyField } = {}): ShardingInput {
  return { strategy: "hash", shards, ...options };
}

/** Shards between split points, which ascend by their UTF-8 bytes: one shard more than points. */
export function range(
  points: readonly string[],
  options: { readonly key?: ShardKeyField } = {},
): ShardingInput {
  return { strategy: "range", shards: points.length + 1, ranges: points, ...options };
}

/** Listed keys are pinned to shards `0..shards - 1`; others fall to their hash. */
export function directory(
  shards: number,
  pins: Readonly<Record<string, number>>,
  options: { readonly key?: ShardKeyField } = {},
): ShardingInput {
  return { strategy: "directory", shards, directory: pins, ...options };
}

interface SpecInput {
  readonly engine?: EngineName;
  readonly dataDir?: string;
  readonly nodes: readonly NodeInput[];
  readonly replication?: ReplicationInput;
  readonly sharding?: ShardingInput;
  readonly consensus?: {
    readonly protocol: Protocol;
    readonly heartbeatInterval?: DurationText;
    readonly electionTimeout?: DurationText;
    readonly consistency?: Pick<ConsensusInput, "read" | "write" | "maxStaleness">;
  };
  readonly embedding?: EmbeddingInput;
  readonly limits?: LimitsInput;
  readonly security?: { readonly tokens?: readonly TokenInput[]; readonly tls?: TlsSpec };
}

/** Where relative paths of the manifest start; default: the working directory. */
export interface BuildOptions {
  readonly baseDir?: string;
}

/**
 * A manifest under construction. Every `with…` returns a new one; the old one stays as it was. What is
 * said twice is said last, except nodes and tokens, which add up.
 */
export class ClusterManifestBuilder {
  readonly #name: string;
  readonly #spec: SpecInput;

  /** Use `clusterManifest(name)`. */
  constructor(name: string, spec: SpecInput = { nodes: [] }) {
    this.#name = name;
    this.#spec = spec;
  }

  #with(change: Partial<SpecInput>): ClusterManifestBuilder {
    return new ClusterManifestBuilder(this.#name, { ...this.#spec, ...change });
  }

  withEngine(engine: EngineName): ClusterManifestBuilder {
    return this.#with({ engine });
  }

  withDataDir(dataDir: string): ClusterManifestBuilder {
    return this.#with({ dataDir });
  }

  withNode(node: NodeInput): ClusterManifestBuilder {
    return this.withNodes([node]);
  }

  withNodes(nodes: readonly NodeInput[]): ClusterManifestBuilder {
    return this.#with({ nodes: [...this.#spec.nodes, ...nodes] });
  }

  withReplication(replication: ReplicationInput): ClusterManifestBuilder {
    return this.#with({ replication });
  }

  withSharding(sharding: ShardingInput): ClusterManifestBuilder {
    return this.#with({ sharding });
  }

  /** `withConsensus("raft")`, `withConsensus("quorum", { read: "one", write: "all" })`. */
  withConsensus(protocol: Protocol, options: ConsensusInput = {}): ClusterManifestBuilder {
    const { read, write, maxStaleness, ...times } = options;
    const levels = {
      ...(read === undefined ? {} : { read }),
      ...(write === undefined ? {} : { write }),
      ...(maxStaleness === undefined ? {} : { maxStaleness }),
    };
    const consistency = Object.keys(levels).length === 0 ? {} : { consistency: levels };
    return this.#with({ consensus: { protocol, ...times, ...consistency } });
  }

  withEmbedding(embedding: EmbeddingInput): ClusterManifestBuilder {
    return this.#with({ embedding });
  }

  withLimits(limits: LimitsInput): ClusterManifestBuilder {
    return this.#with({ limits });
  }

  withToken(token: TokenInput): ClusterManifestBuilder {
    const { security } = this.#spec;
    return this.#with({ security: { ...security, tokens: [...(security?.tokens ?? []), token] } });
  }

  /** PEM files; `{node}` in a path stands for the node's id. */
  withTls(tls: TlsSpec): ClusterManifestBuilder {
    return this.#with({ security: { ...this.#spec.security, tls } });
  }

  /** Everything that is wrong, and the warnings; empty when there is nothing to say. */
  findings(options: BuildOptions = {}): readonly Finding[] {
    return this.#check(options).findings;
  }

  /**
   * The manifest, with all defaults in place.
   * @throws Mem0ctlError `manifest-invalid` (invalid), with all findings in `data.findings`.
   */
  build(options: BuildOptions = {}): Manifest {
    const { manifest, findings } = this.#check(options);
    if (manifest !== undefined) return manifest;
    throw invalidManifest(`the manifest of ${JSON.stringify(this.#name)}`, findings);
  }

  /** The manifest as YAML text: what was said, without the defaults. */
  toYaml(): string {
    return stringify(this.#plain(), { lineWidth: 100 });
  }

  #plain(): object {
    const { engine, dataDir, nodes, replication, sharding, consensus, embedding, limits, security } =
      this.#spec;
    return {
      apiVersion: "mem0ctl/v1",
      kind: "Cluster",
      metadata: { name: this.#name },
      spec: { engine, dataDir, nodes, replication, sharding, consensus, embedding, limits, security },
    };
  }

  #check({ baseDir = "." }: BuildOptions): { manifest: Manifest | undefined; findings: readonly Finding[] } {
    const list = new FindingList();
    const root = rawFromValue(this.#plain(), list.report);
    const manifest = checkManifest(root, resolve(baseDir), list.report);
    return { manifest: list.hasErrors() ? undefined : manifest, findings: list.findings(root) };
  }
}

/** Begins a manifest: `clusterManifest("demo").withNode({ … }).withReplication(multiple(2)).build()`. */
export function clusterManifest(name: string): ClusterManifestBuilder {
  return new ClusterManifestBuilder(name);
}
