// The manifest that `init cluster` writes: valid, and commented so that each choice explains itself to
// whoever edits it next. It writes text and touches no file.

import type { ReadConsistency, WriteConsistency } from "../model/consistency.ts";
import type {
  EngineName,
  Protocol,
  ReplicationStrategy,
  ShardingStrategy,
  ShardKeyField,
} from "../model/ids.ts";
import { ENGINE_CAPABILITIES } from "./capabilities.ts";
import type { EngineCapabilities } from "./capabilities.ts";
import { invalidManifest } from "./check.ts";
import { parseManifest } from "./parse.ts";
import { SHARDS_DEFAULT } from "./schema.ts";
import { yamlText } from "./yaml-text.ts";

export interface ScaffoldOptions {
  readonly name: string;
  /** Default: embedded. */
  readonly engine?: EngineName;
  /** Data nodes. Default: 3. */
  readonly nodes?: number;
  /** Zones that the nodes are spread over in turn. Default: each node is in a zone of its own. */
  readonly zones?: number;
  /** 0 or 1. Default: 0. */
  readonly arbiters?: number;
  /** Port of the first node on 127.0.0.1; the others follow. Default: 7001. */
  readonly basePort?: number;
  /** Default: as many copies as there are nodes, at most 3. */
  readonly replication?: { readonly strategy: ReplicationStrategy; readonly replicas?: number };
  /** Default: hash, 16 shards, by user. */
  readonly sharding?: {
    readonly strategy: ShardingStrategy;
    /** Default: 16; with `ranges`, one more than there are. */
    readonly shards?: number;
    readonly key?: ShardKeyField;
    /** Default for range: points that divide keys of letters and digits evenly. */
    readonly ranges?: readonly string[];
    readonly directory?: Readonly<Record<string, number>>;
  };
  /** Default: raft. */
  readonly protocol?: Protocol;
  /** Default: linearizable; with the quorum protocol, quorum. */
  readonly read?: ReadConsistency;
  /** The quorum protocol's. Default: quorum. */
  readonly write?: WriteConsistency;
  /** Default: .mem0ctl/ and the name. */
  readonly dataDir?: string;
  /** The nodes themselves, in place of a number of new ones on this machine. */
  readonly nodeList?: readonly ScaffoldNode[];
  /** Of an engine that asks for a password. Only the variable's name is written. */
  readonly security?: {
    readonly user?: string;
    readonly password?: { readonly env: string };
    readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string };
  };
  /** Path or URL of the JSON Schema for editors; left out unless given. */
  readonly schema?: string;
}

export interface ScaffoldNode {
  readonly id: string;
  readonly address: string;
  readonly role: "primary" | "secondary";
  readonly zone: string;
  readonly manage: "spawn" | "connect";
}

/**
 * The YAML text of a new manifest.
 * @throws Mem0ctlError `manifest-invalid` (invalid), with the findings in `data.findings`, when the options
 * contradict each other or cannot be.
 */
export function scaffoldManifest(options: ScaffoldOptions): string {
  const text = [
    ...header(options),
    "apiVersion: mem0ctl/v1",
    "kind: Cluster",
    "metadata:",
    `  name: ${yamlText(options.name)}`,
    "",
    "spec:",
    "  # What keeps the data. embedded: nodes of mem0ctl's own, for laptops, CI and small clusters.",
    "  # redis: Redis or Valkey Cluster, whose servers `mem0ctl up` starts, or that runs already.",
    `  engine: ${options.engine ?? "embedded"}`,
    "",
    "  # Spawned nodes keep data, logs and pid files below it, relative to this file.",
    `  dataDir: ${yamlText(options.dataDir ?? `.mem0ctl/${options.name}`)}`,
    "",
    ...nodeLines(options),
    "",
    ...replicationLines(options),
    "",
    ...shardingLines(options),
    "",
    ...consensusLines(options),
    "",
    "  limits:",
    "    # A replica that lags behind its leader by more makes `mem0ctl status` say degraded.",
    "    maxLag: 5s",
    "",
    ...securityLines(options),
    "",
  ].join("\n");
  const { manifest, findings } = parseManifest(text, { file: "cluster.yaml", baseDir: "." });
  if (manifest === undefined) throw invalidManifest("the new manifest", findings);
  return text;
}

function securityLines(options: ScaffoldOptions): string[] {
  const byPassword = engineOf(options).authentication === "password";
  const { password, user, tls } = options.security ?? {};
  if (password !== undefined || tls !== undefined) {
    return [
      "  # Secrets never stand in this file.",
      "  security:",
      ...(user === undefined ? [] : [`    user: ${yamlText(user)}`]),
      ...(password === undefined ? [] : [`    password: { env: ${password.env} }`]),
      ...(tls === undefined
        ? []
        : [
            `    tls: { cert: ${quotedAlways(tls.cert)}, key: ${quotedAlways(tls.key)}, ca: ${quotedAlways(tls.ca)} }`,
          ]),
    ];
  }
  return [
    `  # Any address but loopback needs TLS and ${byPassword ? "a password" : "an admin token"}. Secrets never stand in this file.`,
    "  # security:",
    '  #   tls: { cert: "tls/{node}.pem", key: "tls/{node}.key", ca: tls/ca.pem }',
    ...(byPassword
      ? [
          "  #   password: { env: MEM0CTL_REDIS_PASSWORD }",
          "  #   user: mem0ctl    # an ACL user; the default user unless given",
        ]
      : ["  #   tokens:", "  #     - { name: admin, role: admin, env: MEM0CTL_ADMIN_TOKEN }"]),
  ];
}

function engineOf({ engine = "embedded" }: ScaffoldOptions): EngineCapabilities {
  return ENGINE_CAPABILITIES[engine];
}

function header({ schema }: ScaffoldOptions): string[] {
  if (schema !== undefined) return [`# yaml-language-server: $schema=${schema.replaceAll(/\s/g, "")}`];
  return ["# Fields, types and defaults: `mem0ctl schema manifest`. Check this file: `mem0ctl validate`."];
}

/** a … z, then zone-27 and so on. */
function zoneName(index: number): string {
  return index < 26 ? String.fromCharCode("a".charCodeAt(0) + index) : `zone-${index + 1}`;
}

function nodeLines(options: ScaffoldOptions): string[] {
  const { nodes = 3, zones, arbiters = 0, basePort = 7001, nodeList } = options;
  if (nodeList !== undefined) {
    return [
      "  # One line per node of the running cluster, which somebody else starts and stops (manage: connect).",
      "  # zone: what fails together, say a rack; the copies of a shard belong into different ones. Written here",
      "  #   is the host of each; correct it where several hosts share a zone.",
      "  nodes:",
      ...nodeList.map(
        ({ id, address, role, zone, manage }) =>
          `    - { id: ${id}, address: ${quotedAlways(address)}, role: ${role}, zone: ${yamlText(zone)}, manage: ${manage} }`,
      ),
    ];
  }
  const lines = [
    "  # One line per node. A node on a loopback address is started by `mem0ctl up`; any other is connected to.",
    "  # role: a primary holds data and is preferred as leader (all are here, so that leaders spread over all);",
    "  #   a secondary holds data and leads when no primary can; an arbiter votes and holds no memories.",
    "  # zone: what fails together, say a rack. The copies of a shard are spread over the zones.",
    "  # weight: the node's share of data and leaders, 1 unless given.",
    nodes + arbiters === 0 ? "  nodes: []" : "  nodes:",
  ];
  for (let index = 0; index < nodes + arbiters; index += 1) {
    const arbiter = index >= nodes;
    const id = arbiter ? `arbiter-${index - nodes + 1}` : `node-${index + 1}`;
    const role = arbiter ? "arbiter" : "primary";
    const zone = zoneName(zones === undefined || zones < 1 ? index : index % zones);
    lines.push(
      `    - { id: ${id}, address: "127.0.0.1:${basePort + index}", role: ${role}, zone: ${yamlText(zone)} }`,
    );
  }
  return lines;
}

function replicationLines(options: ScaffoldOptions): string[] {
  const { nodes = 3, replication, arbiters = 0 } = options;
  const votes = engineOf(options).protocols.length > 0;
  const byDefault = (["none", "none", "single"] as const)[nodes] ?? "multiple";
  const strategy = replication?.strategy ?? byDefault;
  const replicas =
    replication?.replicas ?? (strategy === "multiple" ? Math.max(1, Math.min(2, nodes - 1)) : undefined);
  const lines = [
    "  # Copies of each shard besides the leader's: none has 0, single has 1, multiple has as many as replicas says.",
    votes
      ? "  # 3 copies (multiple, replicas: 2) go on after the loss of any one node."
      : "  # 2 copies (single) go on after the loss of any one node, while a majority of the primaries is there.",
  ];
  if (votes && strategy === "single" && arbiters === 0) {
    lines.push(
      "  # 2 copies keep the data when a node is lost, but write only while both are there: add an arbiter.",
    );
  }
  if (strategy === "none") lines.push("  # With none, the loss of a node's disk loses its memories.");
  lines.push("  replication:", `    strategy: ${strategy}`);
  if (replicas !== undefined) lines.push(`    replicas: ${replicas}`);
  return lines;
}

function shardingLines(options: ScaffoldOptions): string[] {
  const { sharding } = options;
  const strategy = sharding?.strategy ?? "hash";
  if (engineOf(options).shardsPerNode === "one") {
    return [
      "  # A shard is a primary with its replicas, so the nodes and the copies say how many there are.",
      "  # key: the scope field that decides which slot a memory belongs to: user, agent, run or app.",
      "  sharding:",
      `    strategy: ${strategy}`,
      ...(sharding?.shards === undefined ? [] : [`    shards: ${sharding.shards}`]),
      `    key: ${sharding?.key ?? "user"}`,
    ];
  }
  const shards =
    sharding?.shards ?? (sharding?.ranges === undefined ? SHARDS_DEFAULT : sharding.ranges.length + 1);
  const lines = [
    "  # hash: even without thought. range: neighbouring keys stay together. directory: listed keys are pinned.",
    "  # key: the scope field that decides which shard a memory belongs to: user, agent, run or app.",
    "  sharding:",
    `    strategy: ${strategy}`,
    `    shards: ${shards}`,
    `    key: ${sharding?.key ?? "user"}`,
  ];
  const ranges = sharding?.ranges ?? (strategy === "range" ? evenSplitPoints(shards) : undefined);
  if (ranges !== undefined) {
    lines.push(
      "    # Split points: a shard holds the keys from one point up to, but not including, the next.",
      `    ranges: [${wrapped(ranges.map(quotedAlways))}]`,
    );
  }
  const pins = sharding?.directory;
  if (pins !== undefined && Object.keys(pins).length > 0) {
    lines.push("    directory:");
    for (const [key, shard] of Object.entries(pins)) lines.push(`      ${quotedAlways(key)}: ${shard}`);
  } else if (strategy === "directory") {
    lines.push("    # Keys that are not listed fall to their hash.", "    # directory: { acme: 3 }");
  }
  return lines;
}

/** Keys such as `1`, `null` and `1e3` must stay text. */
function quotedAlways(text: string): string {
  return JSON.stringify(text);
}

/** Long lists go on in lines of 16. */
function wrapped(items: readonly string[]): string {
  let text = "";
  for (const [index, item] of items.entries()) {
    if (index > 0) text += index % 16 === 0 ? ",\n      " : ", ";
    text += item;
  }
  return text;
}

/**
 * Points that divide keys which begin with digits and lower-case letters into equal shares: the shortest
 * prefixes over 0-9a-z that are enough for that many shards.
 */
function evenSplitPoints(shards: number): string[] {
  let width = 1;
  while (36 ** width < shards) width += 1;
  const points: string[] = [];
  for (let index = 1; index < shards; index += 1) {
    const prefix = Math.floor((index * 36 ** width) / shards)
      .toString(36)
      .padStart(width, "0");
    points.push(prefix.replace(/0+$/, "")); // `g` begins where `g0` would, and is what people would write
  }
  return points;
}

function consensusLines(options: ScaffoldOptions): string[] {
  const { read } = options;
  if (engineOf(options).protocols.length === 0) {
    return [
      "  # The engine replicates in a way of its own: asynchronously, so that a failover can lose the newest writes.",
      "  # electionTimeout: silence after which a primary is replaced by one of its replicas.",
      "  # write: copies that have a write before it is done: one (the primary), quorum, all, or a number. To wait",
      "  #   for both of 2 copies is to stop when one of them is lost; of 3 copies quorum loses less and goes on.",
      "  # read: one: the primary answers; stale: the nearest replica, which may be behind (`--max-staleness 2s`: by 2 s at most).",
      "  consensus:",
      ...(options.protocol === undefined ? [] : [`    protocol: ${options.protocol}`]),
      "    electionTimeout: 5s",
      `    consistency: { read: ${read ?? "one"}, write: ${options.write ?? "one"} }`,
    ];
  }
  const { protocol = "raft", write = "quorum" } = options;
  const readLevel = read ?? (protocol === "quorum" ? "quorum" : "linearizable");
  return [
    "  # How the copies of a shard agree.",
    "  # raft: one leader per shard orders the writes; needs a majority of the copies.",
    "  # paxos: the same promises by Multi-Paxos; the leader is the proposer with the highest ballot.",
    "  # quorum: no leader; a read asks R and a write waits for W copies, and needs only those.",
    "  # electionTimeout: silence after which a new leader is elected; at least 5 heartbeats.",
    "  consensus:",
    `    protocol: ${protocol}`,
    "    heartbeatInterval: 100ms",
    "    electionTimeout: 1s",
    ...(protocol === "quorum" ? LEVELS_OF_QUORUM : LEVELS_OF_LOGS),
    `    consistency: { read: ${readLevel}, write: ${write} }`,
  ];
}

const LEVELS_OF_LOGS = [
  "    # read: linearizable never misses a finished write; stale asks the nearest copy, which may.",
  "    # A request may ask for another level: `--consistency stale --max-staleness 2s`.",
];

const LEVELS_OF_QUORUM = [
  "    # one, quorum, all, or a number of copies. R + W > N: a read meets every finished write; that is",
  "    # overlap, not linearizability. Fewer survive more losses and may miss writes; a request may ask",
  "    # for another level: `--consistency one`.",
];
