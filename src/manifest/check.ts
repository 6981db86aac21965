// Raw tree -> manifest: structure first, then every rule, then (only when nothing is wrong) the manifest
// with all defaults in place. The one path for YAML text and for the builder.

import { resolve } from "node:path";
import type { ReadConsistency, WriteConsistency } from "../model/consistency.ts";
import type { EngineName, Protocol, ShardId } from "../model/ids.ts";
import type {
  EmbeddingSpec,
  Manifest,
  NodeSpec,
  SecretReference,
  SecuritySpec,
  ShardingSpec,
  TokenSpec,
} from "../model/manifest.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { Finding } from "../model/findings.ts";
import { isLoopback } from "./address.ts";
import { ENGINE_CAPABILITIES } from "./capabilities.ts";
import type { RawNode, Report } from "./raw.ts";
import { checkCapabilities, checkConsensus } from "./rules-consensus.ts";
import { checkNodes, nodeDataDir } from "./rules-nodes.ts";
import { checkSecurity } from "./rules-security.ts";
import { checkOneShardPerNode } from "./rules-one-shard.ts";
import { checkSharding } from "./rules-sharding.ts";
import { replicasOf, rulesFor, shardsOf } from "./rules.ts";
import type { Rules } from "./rules.ts";
import { MANIFEST } from "./schema.ts";
import type { ManifestDraft, SpecDraft, TokenDraft } from "./schema.ts";

/**
 * Checks a tree and returns the manifest that it is, or undefined when an error was reported.
 * @param baseDir absolute; relative paths of the manifest start here.
 */
export function checkManifest(root: RawNode, baseDir: string, report: Report): Manifest | undefined {
  let errors = 0;
  const counting: Report = (problem) => {
    if (problem.severity !== "warning") errors += 1;
    report(problem);
  };
  const read = MANIFEST.read(root, [], counting);
  if (read?.spec === undefined) return undefined;
  const draft = withDataDir(read);
  if (draft.spec === undefined) return undefined;
  const rules = rulesFor(root, draft.spec, baseDir, counting);
  checkNodes(rules);
  checkConsensus(rules);
  checkCapabilities(rules);
  checkOneShardPerNode(rules);
  checkSharding(rules);
  checkSecurity(rules);
  return errors === 0 ? complete(draft, draft.spec, rules) : undefined;
}

/** `.mem0ctl/<name>` unless given; a rule needs it before the manifest is complete. */
function withDataDir(draft: ManifestDraft): ManifestDraft {
  const { spec, metadata } = draft;
  if (spec === undefined || spec.dataDir !== undefined) return draft;
  return { ...draft, spec: { ...spec, dataDir: `.mem0ctl/${metadata?.name ?? "cluster"}` } };
}

/** A field of a draft without errors: it was given, or it has a default. */
function present<T>(value: T | undefined, what: string): T {
  if (value !== undefined) return value;
  throw new Mem0ctlError("failed", "internal", `the manifest's ${what} is undefined after validation`);
}

function complete(draft: ManifestDraft, spec: SpecDraft, { baseDir, nodes }: Rules): Manifest {
  const dataDir = resolve(baseDir, present(spec.dataDir, "dataDir"));
  const consensus = present(spec.consensus, "consensus");
  const consistency = present(consensus.consistency, "consistency");
  const protocol = present(consensus.protocol, "protocol");
  const limits = present(spec.limits, "limits");
  return {
    apiVersion: present(draft.apiVersion, "apiVersion"),
    kind: present(draft.kind, "kind"),
    name: present(draft.metadata?.name, "name"),
    engine: present(spec.engine, "engine"),
    dataDir,
    nodes: nodes.map(({ draft: node, address, listen }): NodeSpec => {
      const id = present(node.id, "node id");
      const { host, port } = present(address, "address");
      return {
        id,
        address: present(node.address, "address"),
        host,
        port,
        ...(node.listen === undefined
          ? {}
          : { listen: { address: node.listen, ...present(listen, "listen") } }),
        role: present(node.role, "role"),
        zone: node.zone ?? id,
        weight: present(node.weight, "weight"),
        ...(node.draining === true ? { draining: true } : {}),
        manage: node.manage ?? (isLoopback(host) ? "spawn" : "connect"),
        dataDir: nodeDataDir(baseDir, dataDir, node.dataDir, id),
      };
    }),
    replication: {
      strategy: present(spec.replication?.strategy, "replication strategy"),
      replicas: present(replicasOf(spec), "replicas"),
    },
    sharding: completeSharding(spec),
    consensus: {
      protocol,
      heartbeatIntervalMs: present(consensus.heartbeatInterval, "heartbeatInterval"),
      electionTimeoutMs: present(consensus.electionTimeout, "electionTimeout"),
      consistency: {
        read: consistency.read ?? readByDefault(present(spec.engine, "engine"), protocol),
        write: consistency.write ?? writeByDefault(present(spec.engine, "engine")),
        ...(consistency.maxStaleness === undefined ? {} : { maxStalenessMs: consistency.maxStaleness }),
      },
    },
    embedding: completeEmbedding(spec, baseDir),
    limits: {
      maxLagMs: present(limits.maxLag, "maxLag"),
      bodyBytesMax: present(limits.body, "body"),
      batchMax: present(limits.batch, "batch"),
      connectionsMax: present(limits.connections, "connections"),
    },
    security: completeSecurity(spec, baseDir),
  };
}

function readByDefault(engine: EngineName, protocol: Protocol): ReadConsistency {
  if (ENGINE_CAPABILITIES[engine].protocols.length === 0) return "one";
  return protocol === "quorum" ? "quorum" : "linearizable";
}

/** Where copies follow asynchronously, to wait for a majority of two is to stop with either of them. */
function writeByDefault(engine: EngineName): WriteConsistency {
  return ENGINE_CAPABILITIES[engine].protocols.length === 0 ? "one" : "quorum";
}

function completeSharding(spec: SpecDraft): ShardingSpec {
  const sharding = present(spec.sharding, "sharding");
  const pins = [...(sharding.directory ?? [])].map(([key, shard]): [string, ShardId] => [key, String(shard)]);
  return {
    strategy: present(sharding.strategy, "sharding strategy"),
    shards: present(shardsOf(spec), "shards"),
    key: present(sharding.key, "shard key"),
    ranges: (sharding.ranges ?? []).map((point) => present(point, "split point")),
    directory: Object.fromEntries(pins),
  };
}

function completeEmbedding(spec: SpecDraft, baseDir: string): EmbeddingSpec {
  const embedding = present(spec.embedding, "embedding");
  const { apiKey } = embedding;
  return {
    provider: present(embedding.provider, "embedding provider"),
    dimensions: present(embedding.dimensions, "dimensions"),
    url: embedding.url,
    model: embedding.model,
    apiKey: apiKey === undefined ? undefined : reference(apiKey, baseDir),
  };
}

function reference(
  from: { readonly file: string | undefined; readonly env: string | undefined },
  baseDir: string,
): SecretReference {
  return from.file === undefined
    ? { env: present(from.env, "secret reference") }
    : { file: resolve(baseDir, from.file) };
}

function completeSecurity(spec: SpecDraft, baseDir: string): SecuritySpec {
  const security = present(spec.security, "security");
  const { tls, password } = security;
  return {
    tokens: present(security.tokens, "tokens").map((token) =>
      completeToken(present(token, "token"), baseDir),
    ),
    tls:
      tls === undefined
        ? undefined
        : {
            cert: resolve(baseDir, present(tls.cert, "certificate")),
            key: resolve(baseDir, present(tls.key, "private key")),
            ca: resolve(baseDir, present(tls.ca, "authority")),
          },
    ...(security.user === undefined ? {} : { user: security.user }),
    ...(password === undefined ? {} : { password: reference(password, baseDir) }),
  };
}

function completeToken(token: TokenDraft, baseDir: string): TokenSpec {
  return {
    name: present(token.name, "token name"),
    role: present(token.role, "token role"),
    source: token.sha256 === undefined ? reference(token, baseDir) : { sha256: token.sha256 },
  };
}

/** The error for a manifest that has to be usable and is not. `what`: `the manifest of "demo"`. */
export function invalidManifest(what: string, findings: readonly Finding[]): Mem0ctlError {
  const errors = findings.filter((finding) => finding.severity === "error");
  const [first] = errors;
  const message = `${what} has ${errors.length === 1 ? "an error" : `${errors.length} errors`}`;
  return new Mem0ctlError("invalid", "manifest-invalid", message, {
    ...(first === undefined ? {} : { why: `${first.path}: ${first.message}` }),
    ...(first?.hint === undefined ? {} : { hint: first.hint }),
    data: { findings },
  });
}
