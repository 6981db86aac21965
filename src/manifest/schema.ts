// The manifest's fields: types, ranges, choices, defaults, descriptions, in one table. Validation reads
// manifests by it and the JSON Schema is printed from it. Rules between fields are in rules-*.ts.

import { NAME_PATTERN } from "../model/ids.ts";
import {
  choice,
  choiceOrCount,
  dictionary,
  duration,
  integer,
  list,
  mapping,
  positive,
  size,
  text,
  truth,
} from "./fields.ts";
import type { ReadBy } from "./fields.ts";

const REPLICAS_MAX = 31;
const SHARDS_MAX = 16_384;
export const SHARDS_DEFAULT = 16;

const name = text({
  pattern: NAME_PATTERN,
  patternMeans: "lower-case letters, digits and hyphens, 1 to 63 characters, no hyphen at either end",
  code: "invalid-name",
  lengthMax: 63,
});

const zoneName = text({
  pattern: /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/,
  patternMeans: "letters, digits, dots, hyphens and underscores, 1 to 63 characters",
  code: "invalid-name",
  lengthMax: 63,
});

const path = text({ lengthMax: 4096 });

const environmentName = text({
  pattern: /^[A-Za-z_][A-Za-z0-9_]{0,127}$/,
  patternMeans: "the name of an environment variable: letters, digits and underscores",
  lengthMax: 128,
});

const secretFields = {
  file: {
    kind: path,
    description: "A file that holds the secret and nothing else; relative to the manifest.",
  },
  env: { kind: environmentName, description: "The environment variable that holds the secret." },
} as const;

const node = mapping({
  id: { kind: name, required: true, description: "The node's name, unique in the cluster." },
  address: {
    kind: text({ lengthMax: 300 }),
    required: true,
    description:
      "Where the node is reached and, unless `listen` says otherwise, listens: host:port, or [v6]:port. All traffic uses this one port.",
  },
  listen: {
    kind: text({ lengthMax: 300 }),
    description:
      "Where the process listens when others reach it elsewhere (NAT, containers, port forwarding): host:port, or [v6]:port; 0.0.0.0 and [::] mean every interface. Default: the address.",
  },
  role: {
    kind: choice(["primary", "secondary", "arbiter"]),
    fallback: "primary",
    description:
      "primary: holds data and is preferred as leader; secondary: holds data, leads when no primary can; arbiter: votes and keeps the log, holds no memories.",
  },
  zone: {
    kind: zoneName,
    description:
      "The failure domain: a rack, a data centre. Copies of a shard spread over zones. Default: the node is its own zone.",
  },
  weight: {
    kind: positive(1000),
    fallback: 1,
    description: "The node's share of data and leaders relative to the others.",
  },
  manage: {
    kind: choice(["spawn", "connect"]),
    description:
      "spawn: `up` starts the node on this machine and `down` stops it; connect: somebody else runs it. Default: spawn on a loopback address, connect elsewhere.",
  },
  draining: {
    kind: truth(),
    description:
      "redis only: the node shall hold nothing; written by `mem0ctl nodes drain` and `undrain`. The embedded engine keeps it in the cluster.",
  },
  dataDir: {
    kind: path,
    description:
      "The node's own data, log and pid file. Default: a folder of the node's id below the cluster's dataDir.",
  },
});

const replication = mapping({
  strategy: {
    kind: choice(["none", "single", "multiple"]),
    fallback: "single",
    description:
      "Copies besides the leader's: none has 0, single has 1, multiple has as many as `replicas` says.",
  },
  replicas: {
    kind: integer(0, REPLICAS_MAX),
    description:
      "Copies of each shard besides the leader's. Needed with multiple; 3 copies (replicas: 2) survive the loss of a node.",
  },
});

const sharding = mapping({
  strategy: {
    kind: choice(["hash", "range", "directory"]),
    fallback: "hash",
    description:
      "hash: by CRC16 of the shard key, even without thought; range: neighbouring keys stay together; directory: listed keys are pinned to shards, others fall to their hash.",
  },
  shards: {
    kind: integer(1, SHARDS_MAX),
    description: `How many slices the key space has. Default: ${SHARDS_DEFAULT}; with range, one more than there are split points; redis: one for each primary, as many as nodes and copies make.`,
  },
  key: {
    kind: choice(["user", "agent", "run", "app"]),
    fallback: "user",
    description: "The scope field that decides which shard a memory belongs to.",
  },
  ranges: {
    kind: list(text({ lengthMax: 512 }), SHARDS_MAX - 1),
    description: "range only: the split points between shards, ascending by their UTF-8 bytes.",
  },
  directory: {
    kind: dictionary(integer(0, SHARDS_MAX - 1)),
    description: "directory only: key -> number of the shard that it is pinned to.",
  },
});

const consensus = mapping({
  protocol: {
    kind: choice(["raft", "paxos", "quorum"]),
    fallback: "raft",
    description:
      "How copies agree. raft and paxos: one leader per shard orders the writes; quorum: leaderless, tunable.",
  },
  heartbeatInterval: {
    kind: duration({ min: "10ms", max: "1m" }),
    fallback: "100ms",
    description: "How often a leader says that it is alive.",
  },
  electionTimeout: {
    kind: duration({ min: "50ms", max: "10m" }),
    fallback: "1s",
    description: "Silence of the leader after which the others elect a new one; at least 5 heartbeats.",
  },
  consistency: {
    kind: mapping({
      read: {
        kind: choiceOrCount(["linearizable", "stale", "one", "quorum", "all"]),
        description:
          "raft and paxos: linearizable (the default) or stale; quorum: one, quorum (the default), all, or a number of copies; redis: one (the default) or stale.",
      },
      write: {
        kind: choiceOrCount(["one", "quorum", "all"]),
        description:
          "raft and paxos: quorum; quorum protocol: one, quorum (the default), all, or a number of copies; redis: the same, one by default.",
      },
      maxStaleness: {
        kind: duration({ min: "1ms", max: "24h" }),
        description:
          "Only with read: stale. What answers lacks nothing that was acknowledged longer ago than this.",
      },
    }),
    fallback: {},
    description:
      "How many copies must have answered before a read or a write has; a request may ask for another level.",
  },
});

const embedding = mapping({
  provider: {
    kind: choice(["lexical", "openai", "none"]),
    fallback: "lexical",
    description:
      "lexical: built in, by word and character n-grams, not semantic; openai: any endpoint compatible with OpenAI's; none: callers bring their vectors.",
  },
  dimensions: {
    kind: integer(1, 4096),
    fallback: 384,
    description: "The length of every vector of the cluster.",
  },
  url: { kind: text({ lengthMax: 2048 }), description: "openai only: the base URL, up to and with /v1." },
  model: { kind: text({ lengthMax: 256 }), description: "openai only: the model's name." },
  apiKey: {
    kind: mapping(secretFields, { exactlyOne: ["file", "env"], holdsSecret: true }),
    description: "openai only: where the API key is read from.",
  },
});

const limits = mapping({
  maxLag: {
    kind: duration({ min: "1ms", max: "24h" }),
    fallback: "5s",
    description: "Replica lag above which `status` says degraded.",
  },
  body: {
    kind: size({ min: "1KiB", max: "64MiB" }),
    fallback: "4MiB",
    description: "The largest HTTP body a node reads.",
  },
  batch: { kind: integer(1, 10_000), fallback: 1000, description: "The most memories in one request." },
  connections: {
    kind: integer(1, 65_535),
    fallback: 1000,
    description: "The most client connections to one node.",
  },
});

const token = mapping(
  {
    name: { kind: name, required: true, description: "What logs call whoever uses the token." },
    role: {
      kind: choice(["read", "write", "admin"]),
      required: true,
      description:
        "read: read memories and status; write: also change memories; admin: everything, and the nodes among themselves.",
    },
    ...secretFields,
    sha256: {
      kind: text({
        pattern: /^[0-9a-f]{64}$/,
        patternMeans: "the SHA-256 of the token: 64 lower-case hexadecimal digits",
        lengthMax: 64,
      }),
      description: "The token's SHA-256 in hex: enough to check the token, not to use it.",
    },
  },
  { exactlyOne: ["file", "env", "sha256"], holdsSecret: true },
);

const security = mapping({
  tokens: {
    kind: list(token, 1000),
    fallback: [],
    description:
      "Who may do what. At least one admin token by file or env, when there are any: nodes use it between themselves.",
  },
  tls: {
    kind: mapping({
      cert: {
        kind: path,
        required: true,
        description: "PEM file of the node's certificate. {node} stands for the node's id.",
      },
      key: {
        kind: path,
        required: true,
        description: "PEM file of its private key. {node} stands for the node's id.",
      },
      ca: {
        kind: path,
        required: true,
        description: "PEM file of the authority that all nodes' certificates are checked against.",
      },
    }),
    description:
      "TLS for all traffic of the nodes. Needed, with a token or a password, on any address but loopback.",
  },
  user: {
    kind: text({
      pattern: /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/,
      patternMeans: "letters, digits, dots, hyphens and underscores, 1 to 63 characters",
      code: "invalid-name",
      lengthMax: 63,
    }),
    description: "redis: the ACL user that nodes and clients log in as. Default: the default user.",
  },
  password: {
    kind: mapping(secretFields, { exactlyOne: ["file", "env"], holdsSecret: true }),
    description: "redis: where the password of all nodes is read from.",
  },
});

/** The whole manifest. */
export const MANIFEST = mapping({
  apiVersion: {
    kind: choice(["mem0ctl/v1"]),
    required: true,
    description: "The manifest's version: mem0ctl/v1",
  },
  kind: { kind: choice(["Cluster"]), required: true, description: "What the manifest describes: Cluster" },
  metadata: {
    kind: mapping({ name: { kind: name, required: true, description: "The cluster's name." } }),
    required: true,
    description: "The cluster's name: `metadata: { name: demo }`",
  },
  spec: {
    required: true,
    description: "What the cluster is made of.",
    kind: mapping({
      engine: {
        kind: choice(["embedded", "redis"]),
        fallback: "embedded",
        description:
          "What keeps the data. embedded: nodes of mem0ctl's own, for laptops, CI and small clusters; redis: Redis or Valkey Cluster.",
      },
      dataDir: {
        kind: path,
        description:
          "Spawned nodes keep data, logs and pid files below it. Default: .mem0ctl/ and the cluster's name, beside the manifest.",
      },
      nodes: {
        kind: list(node, 10_000),
        required: true,
        description: "The nodes: a list of { id, address, role, zone }",
      },
      replication: { kind: replication, fallback: {}, description: "How many copies each shard has." },
      sharding: { kind: sharding, fallback: {}, description: "How memories are divided into shards." },
      consensus: { kind: consensus, fallback: {}, description: "How the copies of a shard agree." },
      embedding: { kind: embedding, fallback: {}, description: "How texts become vectors." },
      limits: {
        kind: limits,
        fallback: {},
        description: "Bounds that protect the nodes, and what status calls degraded.",
      },
      security: {
        kind: security,
        fallback: {},
        description: "Tokens and TLS; secrets by file or environment reference only.",
      },
    }),
  },
});

export type ManifestDraft = ReadBy<typeof MANIFEST>;
export type SpecDraft = NonNullable<ManifestDraft["spec"]>;
export type NodeDraft = ReadBy<typeof node>;
export type TokenDraft = ReadBy<typeof token>;
