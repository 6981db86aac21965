// Every kind of bad manifest text, what is found, and exactly where. A row's `learns` are the words that
// the message and hint must hold.

import { describe, expect, it } from "vitest";
import { ENGINE_CAPABILITIES } from "../../../src/manifest/capabilities.ts";
import { parseManifest } from "../../../src/manifest/parse.ts";
import type { Protocol } from "../../../src/model/ids.ts";

const HEAD = "apiVersion: mem0ctl/v1\nkind: Cluster\nmetadata: { name: demo }\n";
const NODES = `  nodes:
    - { id: node-1, address: "127.0.0.1:7001", zone: a }
    - { id: node-2, address: "127.0.0.1:7002", zone: b }
    - { id: node-3, address: "127.0.0.1:7003", zone: c }
`;
const THREE_COPIES = "  replication: { strategy: multiple, replicas: 2 }\n";

/** Three nodes (lines 5 to 8), three copies (line 9), and `more` from line 10. */
function withSpec(more: string): string {
  return `${HEAD}spec:\n${NODES}${THREE_COPIES}${more}`;
}

/** Three nodes (lines 5 to 8), and `more` from line 9. */
function withReplication(more: string): string {
  return `${HEAD}spec:\n${NODES}${more}`;
}

/** `nodes` from line 6; no copies, so that one node is enough. */
function withNodes(nodes: string, more = ""): string {
  return `${HEAD}spec:\n  nodes:\n${nodes}  replication: { strategy: none }\n${more}`;
}

function parse(text: string): ReturnType<typeof parseManifest> {
  return parseManifest(text, { file: "cluster.yaml", baseDir: "/srv/demo" });
}

interface Row {
  readonly title: string;
  readonly text: string;
  /** Every finding: `line:column code path`, warnings with a `~` before the code. */
  readonly found: readonly string[];
  readonly learns?: readonly string[];
}

function nested(levels: number): string {
  return `${HEAD}spec: ${"[".repeat(levels)}${"]".repeat(levels)}\n`;
}

const ALIAS_BOMB = `a: &a [x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]
`;

const text: readonly Row[] = [
  {
    title: "an empty text",
    text: "",
    found: ["1:1 manifest-empty"],
    learns: ["empty", "mem0ctl init cluster"],
  },
  { title: "only comments", text: "# a\n# b\n", found: ["1:1 manifest-empty"] },
  { title: "only a document marker", text: "---\n", found: ["1:1 manifest-empty"] },
  {
    title: "a tab as indent",
    text: "spec:\n\tnodes: []\n",
    found: ["2:1 yaml-syntax"],
    learns: ["nodes: []", "spaces"],
  },
  {
    title: "an unclosed quote",
    text: 'apiVersion: mem0ctl/v1\nkind: "Cluster\n',
    found: ["3:1 yaml-syntax"],
    learns: ["quote"],
  },
  {
    title: "a syntax error on a line that may hold a secret, which is not shown",
    text: "spec:\n\tpassword: hunter2\n",
    found: ["2:1 yaml-syntax"],
  },
  {
    title: "a duplicate key, with both lines",
    text: withSpec("  engine: embedded\n  engine: embedded\n"),
    found: ["11:3 duplicate-key spec.engine"],
    learns: ["line 10", "line 11"],
  },
  {
    title: "several documents",
    text: "a: 1\n---\nb: 2\n---\nc: 3\n",
    found: ["2:1 several-documents"],
    learns: ["one", "3"],
  },
  { title: "an alias bomb", text: ALIAS_BOMB, found: ["4:8 alias-limit d[0][0]"], learns: ["100", "limit"] },
  { title: "an alias that holds itself", text: "a: &a [*a]\n", found: ["1:8 nesting-too-deep a[0][0]"] },
  {
    title: "an alias without an anchor",
    text: withSpec("  engine: *x\n"),
    found: ["10:11 unknown-alias spec.engine"],
  },
  {
    title: "a merge key",
    text: withSpec("  limits:\n    <<: { maxLag: 1s }\n"),
    found: ["11:5 merge-key spec.limits"],
    learns: ["not supported"],
  },
  {
    title: "a list, a mapping and an alias as keys, each once, and what else is wrong",
    text: withSpec("  ? [a, b] : c\n  { x: 1 }: d\n  engine: &e embeded\n  *e : f\n"),
    found: [
      "10:5 complex-key spec",
      "11:3 complex-key spec",
      "12:14 unknown-value spec.engine",
      "13:3 complex-key spec",
    ],
    learns: ["a list, a mapping or an alias", "name: value", "quote"],
  },
  {
    title: "a template that nobody filled in, which is a mapping as a key",
    text: withSpec("  dataDir: {{ directory }}\n"),
    found: ["10:3 wrong-type spec.dataDir", "10:13 complex-key spec.dataDir"],
    learns: ["quote"],
  },
  {
    title: "a list as a key beside what is no YAML at all",
    text: "? [a]\n: b\nspec:\n\tnodes: []\n",
    found: ["1:3 complex-key", "4:1 yaml-syntax"],
  },
  {
    title: "a custom tag",
    text: withSpec("  dataDir: !path data\n"),
    found: ["10:18 tag-not-allowed spec.dataDir"],
    learns: ["!path", "not allowed"],
  },
  {
    title: "a binary tag",
    text: withSpec("  dataDir: !!binary aGk=\n"),
    found: ["10:21 tag-not-allowed spec.dataDir"],
  },
  {
    title: "__proto__ and constructor as keys",
    text: withSpec(
      "  sharding:\n    strategy: directory\n    directory:\n      __proto__: 1\n      constructor: 2\n",
    ),
    found: ["13:7 forbidden-key spec.sharding.directory", "14:7 forbidden-key spec.sharding.directory"],
    learns: ["__proto__", "not allowed"],
  },
  { title: "nesting of 65", text: nested(65), found: ["4:72 nesting-too-deep"], learns: ["64"] },
  { title: "nesting of 10,000", text: nested(10_000), found: ["4:72 nesting-too-deep"], learns: ["64"] },
  { title: "10,000 dashes", text: "- ".repeat(10_000), found: ["1:132 nesting-too-deep"] },
  { title: "10,000 open mappings", text: "{a: ".repeat(10_000), found: ["1:262 nesting-too-deep"] },
  { title: "another YAML version", text: "%YAML 1.1\n---\na: yes\n", found: ["1:1 yaml-version"] },
  { title: "a list at the root", text: "- a\n", found: ["1:1 wrong-type"], learns: ["mapping", "list"] },
  { title: "a word at the root", text: "cluster\n", found: ["1:1 wrong-type"] },
  {
    title: "an unknown apiVersion and kind",
    text: withSpec("").replace("mem0ctl/v1", "mem0ctl/v9").replace("kind: Cluster", "kind: Clutser"),
    found: ["1:13 unknown-value apiVersion", "2:7 unknown-value kind"],
    learns: ["mem0ctl/v1", "mem0ctl/v9", "did you mean Cluster?"],
  },
  {
    title: "what is required and missing",
    text: "kind: Cluster\nspec: {}\n",
    found: ["1:1 missing-field apiVersion", "1:1 missing-field metadata", "2:1 missing-field spec.nodes"],
    learns: ["has no apiVersion"],
  },
];

const fields: readonly Row[] = [
  {
    title: "a misspelt field",
    text: withReplication("  replication: { strategy: multiple, replcias: 2, replicas: 2 }\n"),
    found: ["9:38 unknown-field spec.replication.replcias"],
    learns: ["replcias", "did you mean replicas?"],
  },
  {
    title: "an unknown field with nothing near",
    text: withSpec("  colour: red\n"),
    found: ["10:3 unknown-field spec.colour"],
    learns: ["known fields: engine"],
  },
  {
    title: "a number in quotes",
    text: withReplication('  replication: { strategy: multiple, replicas: "3" }\n'),
    found: ["9:48 wrong-type spec.replication.replicas"],
    learns: ["whole number", "0..31", "remove the quotes"],
  },
  {
    title: "replicas 0 with multiple",
    text: withReplication("  replication: { strategy: multiple, replicas: 0 }\n"),
    found: ["9:48 out-of-range spec.replication.replicas"],
    learns: ["1 or more"],
  },
  {
    title: "replicas -1",
    text: withReplication("  replication: { strategy: multiple, replicas: -1 }\n"),
    found: ["9:48 out-of-range spec.replication.replicas"],
    learns: ["-1", "0..31"],
  },
  {
    title: "replicas 2.5",
    text: withReplication("  replication: { strategy: multiple, replicas: 2.5 }\n"),
    found: ["9:48 wrong-type spec.replication.replicas"],
    learns: ["whole number", "2.5"],
  },
  {
    title: "replicas .nan",
    text: withReplication("  replication: { strategy: multiple, replicas: .nan }\n"),
    found: ["9:48 wrong-type spec.replication.replicas"],
    learns: [".nan"],
  },
  {
    title: "replicas 1e400",
    text: withReplication("  replication: { strategy: multiple, replicas: 1e400 }\n"),
    found: ["9:48 out-of-range spec.replication.replicas"],
    learns: ["1e400", "0..31"],
  },
  {
    title: "multiple without a number of replicas",
    text: withReplication("  replication: { strategy: multiple }\n"),
    found: ["9:3 missing-field spec.replication.replicas"],
    learns: ["replicas: 2"],
  },
  {
    title: "unknown protocol, strategies, engine and role",
    text: `${HEAD}spec:
  engine: embeded
  nodes:
    - { id: a, address: "127.0.0.1:7001", role: primry }
    - { id: b, address: "127.0.0.1:7002" }
  replication: { strategy: singel }
  sharding: { strategy: hashing }
  consensus: { protocol: zab }
`,
    found: [
      "5:11 unknown-value spec.engine",
      "7:49 unknown-value spec.nodes[0].role",
      "9:28 unknown-value spec.replication.strategy",
      "10:25 unknown-value spec.sharding.strategy",
      "11:26 unknown-value spec.consensus.protocol",
    ],
    learns: [
      "did you mean embedded?",
      "did you mean primary?",
      "did you mean single?",
      "hash, range, directory",
      "raft, paxos, quorum",
    ],
  },
  {
    title: "durations without a unit and with a strange one",
    text: withSpec("  consensus: { heartbeatInterval: 10 }\n  limits:\n    maxLag: 5 lightyears\n  # c\n"),
    found: [
      "10:35 invalid-duration spec.consensus.heartbeatInterval",
      "12:13 invalid-duration spec.limits.maxLag",
    ],
    learns: ["ms, s, m, h", "5 lightyears"],
  },
  {
    title: "a duration below zero",
    text: withSpec('  limits: { maxLag: "-1s" }\n'),
    found: ["10:21 invalid-duration spec.limits.maxLag"],
  },
  {
    title: "a duration out of range",
    text: withSpec("  limits: { maxLag: 25h }\n  consensus: { heartbeatInterval: 5ms }\n"),
    found: [
      "10:21 invalid-duration spec.limits.maxLag",
      "11:35 out-of-range spec.consensus.heartbeatInterval",
    ],
    learns: ["24h", "10ms to 1m"],
  },
  {
    title: "a size without a unit",
    text: withSpec("  limits: { body: 4000 }\n"),
    found: ["10:19 invalid-size spec.limits.body"],
    learns: ["MiB"],
  },
  {
    title: "shards 0",
    text: withSpec("  sharding: { shards: 0 }\n"),
    found: ["10:23 out-of-range spec.sharding.shards"],
    learns: ["1..16384"],
  },
  {
    title: "shards 16385",
    text: withSpec("  sharding: { shards: 16385 }\n"),
    found: ["10:23 out-of-range spec.sharding.shards"],
    learns: ["16385", "1..16384"],
  },
  {
    title: "shards 1.5",
    text: withSpec("  sharding: { shards: 1.5 }\n"),
    found: ["10:23 wrong-type spec.sharding.shards"],
    learns: ["1.5", "1..16384"],
  },
  ...["0", "-1", ".nan", ".inf"].map((weight): Row => ({
    title: `weight ${weight}`,
    text: withNodes(`    - { id: a, address: "127.0.0.1:7001", weight: ${weight} }\n`),
    found: [`6:51 ${weight === ".nan" ? "wrong-type" : "out-of-range"} spec.nodes[0].weight`],
    learns: ["above 0"],
  })),
  {
    title: "names with ESC, a slash, bidirectional controls, and of 300 characters",
    text: `apiVersion: mem0ctl/v1
kind: Cluster
metadata: { name: "a\\eb" }
spec:
  nodes:
    - { id: a/b, address: "127.0.0.1:7001" }
    - { id: "a\\u202eb", address: "127.0.0.1:7002", zone: "z\\u2066" }
    - { id: ${"x".repeat(300)}, address: "127.0.0.1:7003" }
  replication: { strategy: none }
`,
    found: [
      "3:19 invalid-name metadata.name",
      "6:13 invalid-name spec.nodes[0].id",
      "7:13 invalid-name spec.nodes[1].id",
      "7:58 invalid-name spec.nodes[1].zone",
      "8:13 invalid-name spec.nodes[2].id",
    ],
    learns: ["a\\u{1b}b", "lower-case letters", "a\\u{202e}b", "(300 characters)"],
  },
  {
    title: "an empty section",
    text: withSpec("  limits:\n"),
    found: ["10:3 wrong-type spec.limits"],
    learns: ["mapping", "nothing"],
  },
  {
    title: "a number where text is needed",
    text: withNodes('    - { id: a, address: "127.0.0.1:7001", zone: 1 }\n'),
    found: ["6:49 wrong-type spec.nodes[0].zone"],
    learns: ['in quotes: "1"'],
  },
];

const replication: readonly Row[] = [
  {
    title: "strategy single with replicas 3",
    text: withReplication("  replication: { strategy: single, replicas: 3 }\n"),
    found: ["9:46 replicas-contradict-strategy spec.replication.replicas"],
    learns: ["single", "3", "multiple"],
  },
  {
    title: "strategy none with replicas 1",
    text: withReplication("  replication: { strategy: none, replicas: 1 }\n"),
    found: ["9:44 replicas-contradict-strategy spec.replication.replicas"],
  },
  {
    title: "more copies than data nodes",
    text: withReplication("  replication: { strategy: multiple, replicas: 4 }\n"),
    found: ["9:48 too-few-data-nodes spec.replication.replicas"],
    learns: ["5 data nodes", "has 3"],
  },
  {
    title: "the default of two copies on one node",
    text: `${HEAD}spec:\n  nodes:\n    - { id: a, address: "127.0.0.1:7001" }\n`,
    found: ["5:3 too-few-data-nodes spec.nodes"],
    learns: ["2 data nodes", "has 1", "none"],
  },
  {
    title: "an arbiter does not count as a data node",
    text: withReplication("  replication: { strategy: multiple, replicas: 2 }\n").replace(
      "zone: c",
      "role: arbiter",
    ),
    found: ["9:48 too-few-data-nodes spec.replication.replicas"],
  },
  {
    title: "more copies than zones",
    text: withSpec("").replace("zone: c", "zone: b"),
    found: ["9:48 ~copies-share-zone spec.replication.replicas"],
    learns: ["3 copies", "2 zones", "share a zone"],
  },
  {
    title: "an even number of voters",
    text: withReplication("  replication: { strategy: single }\n"),
    found: ["9:28 ~even-voters spec.replication.strategy"],
    learns: ["2 votes", "no node", "arbiter"],
  },
  {
    title: "only arbiters",
    text: withNodes('    - { id: a, address: "127.0.0.1:7001", role: arbiter }\n'),
    found: ["5:3 no-data-node spec.nodes"],
    learns: ["at least one data node", "primary or secondary"],
  },
  { title: "no nodes at all", text: `${HEAD}spec: { nodes: [] }\n`, found: ["4:9 no-data-node spec.nodes"] },
  {
    title: "more than one arbiter",
    text: withNodes(
      '    - { id: a, address: "127.0.0.1:7001" }\n    - { id: b, address: "127.0.0.1:7002", role: arbiter }\n    - { id: c, address: "127.0.0.1:7003", role: arbiter }\n',
    ),
    found: ["8:49 too-many-arbiters spec.nodes[2].role"],
    learns: ["majority that holds no memories"],
  },
  {
    title: "more nodes than copies to hold",
    text: withSpec("  sharding: { shards: 1 }\n").replace(
      THREE_COPIES,
      "  replication: { strategy: none }\n",
    ),
    found: ["10:23 ~idle-nodes spec.sharding.shards"],
  },
];

/** What is said besides where the embedded engine of this version does not run the protocol. */
function unlessRun(protocol: Protocol): readonly string[] {
  return ENGINE_CAPABILITIES.embedded.protocols.includes(protocol)
    ? []
    : ["10:26 engine-cannot spec.consensus.protocol"];
}

function withProtocol(
  protocol: Protocol,
  consistency: string,
  ...found: readonly string[]
): { text: string; found: readonly string[] } {
  return {
    text: withSpec(`  consensus: { protocol: ${protocol}, consistency: ${consistency} }\n`),
    found: [...unlessRun(protocol), ...found],
  };
}

function quorum(
  consistency: string,
  ...found: readonly string[]
): { text: string; found: readonly string[] } {
  return withProtocol("quorum", consistency, ...found);
}

const consensus: readonly Row[] = [
  {
    title: "a protocol that nobody knows",
    text: withSpec("  consensus: { protocol: paxus }\n"),
    found: ["10:26 unknown-value spec.consensus.protocol"],
    learns: ["paxos", "raft", "quorum"],
  },
  {
    title: "an arbiter in quorum",
    text: withSpec("  consensus: { protocol: quorum }\n")
      .replace("replicas: 2", "replicas: 1")
      .replace("zone: c", "role: arbiter"),
    found: ["8:54 arbiter-in-quorum spec.nodes[2].role", ...unlessRun("quorum")],
    learns: ["no elections"],
  },
  {
    title: "R and W above N, and 0",
    ...quorum(
      "{ read: 4, write: 0 }",
      "10:55 consistency-out-of-range spec.consensus.consistency.read",
      "10:65 consistency-out-of-range spec.consensus.consistency.write",
    ),
    learns: ["1..3", "is 4", "is 0"],
  },
  {
    title: "a number of copies in quotes",
    ...quorum('{ read: "2" }', "10:55 wrong-type spec.consensus.consistency.read"),
    learns: ["whole number", "remove the quotes"],
  },
  {
    title: "a level that is none",
    ...quorum("{ read: two }", "10:55 unknown-value spec.consensus.consistency.read"),
    learns: ["quorum, all or a whole number"],
  },
  {
    title: "R + W <= N",
    ...quorum("{ read: one, write: 2 }", "10:34 ~stale-reads-possible spec.consensus.consistency"),
    learns: ["stale", "at least 4"],
  },
  { title: "R + W > N, which is fine", ...quorum("{ read: 2, write: quorum }") },
  {
    title: "quorum with linearizable reads",
    ...quorum("{ read: linearizable }", "10:55 quorum-not-linearizable spec.consensus.consistency.read"),
    learns: ["raft or paxos"],
  },
  {
    title: "quorum with stale reads",
    ...quorum("{ read: stale }", "10:55 consistency-not-in-protocol spec.consensus.consistency.read"),
    learns: ["raft and paxos", "read: one"],
  },
  {
    title: "a bound on staleness without stale reads",
    text: withSpec("  consensus: { consistency: { read: linearizable, maxStaleness: 2s } }\n"),
    found: ["10:65 staleness-without-stale spec.consensus.consistency.maxStaleness"],
    learns: ["read: stale"],
  },
  {
    title: "a bound on staleness with the quorum protocol",
    ...quorum(
      "{ read: one, write: all, maxStaleness: 2s }",
      "10:86 staleness-without-stale spec.consensus.consistency.maxStaleness",
    ),
  },
  {
    title: "a bound on staleness without a unit",
    text: withSpec("  consensus: { consistency: { read: stale, maxStaleness: 2 } }\n"),
    found: ["10:58 invalid-duration spec.consensus.consistency.maxStaleness"],
    learns: ["ms, s, m, h"],
  },
  {
    title: "consistency one, all and 2 with paxos",
    ...withProtocol(
      "paxos",
      "{ read: 2, write: all }",
      "10:54 consistency-not-in-protocol spec.consensus.consistency.read",
      "10:64 consistency-not-in-protocol spec.consensus.consistency.write",
    ),
    learns: ["paxos", "quorum protocol"],
  },
  {
    title: "an election timeout below five heartbeats with paxos",
    text: withSpec("  consensus: { protocol: paxos, heartbeatInterval: 100ms, electionTimeout: 499ms }\n"),
    found: [...unlessRun("paxos"), "10:76 election-timeout-too-short spec.consensus.electionTimeout"],
    learns: ["500ms"],
  },
  {
    title: "two copies with paxos: an even number of votes",
    text: withReplication("  replication: { strategy: single }\n  consensus: { protocol: paxos }\n"),
    found: ["9:28 ~even-voters spec.replication.strategy", ...unlessRun("paxos")],
    learns: ["2 votes", "arbiter"],
  },
  {
    title: "consistency one and all with raft",
    text: withSpec("  consensus: { consistency: { read: one, write: all } }\n"),
    found: [
      "10:37 consistency-not-in-protocol spec.consensus.consistency.read",
      "10:49 consistency-not-in-protocol spec.consensus.consistency.write",
    ],
    learns: ["quorum protocol"],
  },
  {
    title: "an election timeout below five heartbeats",
    text: withSpec("  consensus: { heartbeatInterval: 100ms, electionTimeout: 499ms }\n"),
    found: ["10:59 election-timeout-too-short spec.consensus.electionTimeout"],
    learns: ["500ms"],
  },
  {
    title: "range sharding, raft and an arbiter on redis",
    text: withSpec(
      "  engine: redis\n  sharding: { strategy: range, ranges: [m] }\n  consensus: { protocol: raft }\n",
    )
      .replace("zone: c", "role: arbiter, zone: c")
      .replace("replicas: 2", "replicas: 1"),
    found: [
      "5:3 ~no-failover spec.nodes",
      "8:54 engine-cannot spec.nodes[2].role",
      "11:25 engine-cannot spec.sharding.strategy",
      "12:26 engine-cannot spec.consensus.protocol",
    ],
    learns: ["sharding it can do: hash", "primary, secondary", "a majority of the primaries"],
  },
  {
    title: "more shards on redis than its nodes can hold",
    text: withSpec("  engine: redis\n  sharding: { shards: 16 }\n"),
    found: ["11:23 too-few-data-nodes spec.sharding.shards"],
    learns: ["48 nodes", "a node holds one shard", "these nodes make 1"],
  },
  {
    title: "linearizable reads on redis, and a write to more copies than there are",
    text: withSpec("  engine: redis\n  consensus: { consistency: { read: linearizable, write: 4 } }\n"),
    found: [
      "5:3 ~no-failover spec.nodes",
      "11:37 consistency-not-in-protocol spec.consensus.consistency.read",
      "11:58 consistency-out-of-range spec.consensus.consistency.write",
    ],
    learns: ["replicates asynchronously", "1..3"],
  },
  {
    title: "a user without a password on redis",
    text: withSpec("  engine: redis\n  security: { user: app }\n"),
    found: ["5:3 ~no-failover spec.nodes", "11:3 missing-field spec.security.password"],
    learns: ["{ env: NAME }"],
  },
  {
    title: "a password of the embedded engine",
    text: withSpec("  security: { password: { env: SECRET_OF_REDIS } }\n"),
    found: ["10:15 setting-of-another-engine spec.security.password"],
    learns: ["bring tokens"],
  },
  {
    title: "a port that is another node's cluster bus",
    text: withSpec("  engine: redis\n").replace("7003", "17001"),
    found: ["5:3 ~no-failover spec.nodes", "8:30 duplicate-listen spec.nodes[2].address"],
    learns: ["cluster bus of nodes[0]"],
  },
];

const nodes: readonly Row[] = [
  {
    title: "a duplicate node id and a duplicate address, with both lines",
    text: withNodes(
      '    - { id: a, address: "127.0.0.1:7001" }\n    - { id: a, address: "127.0.0.1:7002" }\n    - { id: c, address: "localhost:7001" }\n',
    ),
    found: ["7:13 duplicate-node-id spec.nodes[1].id", "8:25 duplicate-address spec.nodes[2].address"],
    learns: ["(line 7)", "(line 6)", "(line 8)"],
  },
  ...(
    [
      ["127.0.0.1:0", "1..65535"],
      ["127.0.0.1:70000", "70000"],
      ["127.0.0.1", "no port"],
      ["[::1", "not closed"],
      ["::1", "brackets"],
      ["[::1]", "no port"],
      ["[::1]x", "bracket"],
      ["[127.0.0.1]:1", "IPv6"],
      [":7001", "no host"],
      ["127.0.0.1:http", "not a number"],
      ["256.0.0.1:7001", "neither"],
      ["a b:7001", "neither"],
      ["2130706433:7001", "neither"],
    ] as const
  ).map(([address, learned]): Row => ({
    title: `the address ${address}`,
    text: withNodes(`    - { id: a, address: "${address}" }\n`),
    found: ["6:25 invalid-address spec.nodes[0].address"],
    learns: [learned],
  })),
  ...["0.0.0.0:7001", "192.0.2.7:7001", "db.example.com:7001", "[2001:db8::1]:7001"].map((address): Row => ({
    title: `the address ${address} without TLS and a token`,
    text: withNodes(`    - { id: a, address: "${address}" }\n`),
    found: [
      ...(address.startsWith("0.") ? ["6:25 ~unspecified-address spec.nodes[0].address"] : []),
      "6:25 exposed-without-security spec.nodes[0].address",
    ],
    learns: ["TLS and a token", "spec.security.tls", "spec.security.tokens"],
  })),
  {
    title: "an address that others can reach, with a token but without TLS",
    text: withNodes(
      '    - { id: a, address: "192.0.2.7:7001" }\n',
      "  security: { tokens: [{ name: a, role: admin, env: T }] }\n",
    ),
    found: ["6:25 exposed-without-security spec.nodes[0].address"],
    learns: ["TLS is not set"],
  },
  {
    title: "a place to listen that is no address",
    text: withNodes('    - { id: a, address: "127.0.0.1:7001", listen: "127.0.0.1" }\n'),
    found: ["6:51 invalid-address spec.nodes[0].listen"],
    learns: ["no port"],
  },
  {
    title: "a node that listens where another listens, or is looked for",
    text: withNodes(
      '    - { id: a, address: "127.0.0.1:7001" }\n    - { id: b, address: "127.0.0.1:7002", listen: "localhost:7001" }\n    - { id: c, address: "127.0.0.1:7003", listen: "127.0.0.1:7002" }\n    - { id: d, address: "127.0.0.1:7004", listen: "127.0.0.1:7103" }\n    - { id: e, address: "127.0.0.1:7005", listen: "127.0.0.1:7103" }\n',
    ),
    found: [
      "7:51 duplicate-listen spec.nodes[1].listen",
      "8:51 duplicate-listen spec.nodes[2].listen",
      "10:51 duplicate-listen spec.nodes[4].listen",
    ],
    learns: ["(line 8)", "address of nodes[1]", "(line 7)", "listen of nodes[3]"],
  },
  {
    title: "a node that listens on every interface, without TLS and a token",
    text: withNodes('    - { id: a, address: "127.0.0.1:7001", listen: "0.0.0.0:7101" }\n'),
    found: ["6:51 exposed-without-security spec.nodes[0].listen"],
    learns: ["0.0.0.0:7101", "TLS and a token"],
  },
  {
    title: "a node that drains, of an engine that keeps it in the cluster; and a word for it",
    text: withNodes(
      '    - { id: a, address: "127.0.0.1:7001", draining: true }\n    - { id: b, address: "127.0.0.1:7002", draining: maybe }\n',
    ),
    found: [
      "6:53 setting-of-another-engine spec.nodes[0].draining",
      "7:53 wrong-type spec.nodes[1].draining",
      "7:53 setting-of-another-engine spec.nodes[1].draining",
    ],
    learns: ["nodes drain", "true or false"],
  },
  {
    title: "nodes that share a data directory",
    text: withNodes(
      '    - { id: a, address: "127.0.0.1:7001", dataDir: data }\n    - { id: b, address: "127.0.0.1:7002", dataDir: ./data/ }\n    - { id: c, address: "127.0.0.1:7003", dataDir: data/c }\n',
    ),
    found: ["7:52 shared-data-dir spec.nodes[1].dataDir", "8:52 shared-data-dir spec.nodes[2].dataDir"],
    learns: ["line 6", "line 7"],
  },
  {
    title: "data directories that lead elsewhere",
    text: withNodes(
      '    - { id: a, address: "127.0.0.1:7001", dataDir: a/../../b }\n',
      "  dataDir: ../elsewhere\n",
    ),
    found: ["6:52 unsafe-path spec.nodes[0].dataDir", "8:12 unsafe-path spec.dataDir"],
    learns: [".."],
  },
  {
    title: "the root and ~ as data directories",
    text: withNodes('    - { id: a, address: "127.0.0.1:7001", dataDir: ~/data }\n', "  dataDir: /\n"),
    found: ["6:52 unsafe-path spec.nodes[0].dataDir", "8:12 unsafe-path spec.dataDir"],
    learns: ["root", "not expanded"],
  },
];

const sharding: readonly Row[] = [
  {
    title: "split points unsorted, duplicated and empty",
    text: withSpec('  sharding: { strategy: range, ranges: [b, a, b, ""] }\n'),
    found: [
      "10:44 ranges-unsorted spec.sharding.ranges[1]",
      "10:47 ranges-duplicate spec.sharding.ranges[2]",
      "10:50 invalid-text spec.sharding.ranges[3]",
    ],
    learns: ['"a"', '"b"', "ranges[0]", "empty"],
  },
  {
    title: "no split points",
    text: withSpec("  sharding: { strategy: range, ranges: [] }\n"),
    found: ["10:32 ranges-empty spec.sharding.ranges"],
  },
  {
    title: "range without split points",
    text: withSpec("  sharding: { strategy: range }\n"),
    found: ["10:3 ranges-missing spec.sharding.ranges"],
  },
  {
    title: "split points that do not make the shards",
    text: withSpec("  sharding: { strategy: range, shards: 5, ranges: [g, n] }\n"),
    found: ["10:40 ranges-count spec.sharding.shards"],
    learns: ["3 shards", "5"],
  },
  {
    title: "split points sorted by UTF-16 but not by UTF-8",
    text: withSpec('  sharding: { strategy: range, ranges: ["\\U0001F600", "\\uFF5E"] }\n'),
    found: ["10:55 ranges-unsorted spec.sharding.ranges[1]"],
  },
  {
    title: "ranges with hash",
    text: withSpec("  sharding: { strategy: hash, ranges: [a] }\n"),
    found: ["10:31 setting-of-another-strategy spec.sharding.ranges"],
    learns: ["belongs to sharding strategy range", "hash"],
  },
  {
    title: "a directory with range",
    text: withSpec("  sharding: { strategy: range, ranges: [a], directory: { x: 0 } }\n"),
    found: ["10:45 setting-of-another-strategy spec.sharding.directory"],
    learns: ["belongs to sharding strategy directory", "range"],
  },
  {
    title: "a directory that names a shard that is not there",
    text: withSpec("  sharding: { strategy: directory, shards: 4, directory: { acme: 4, 'b.c': 3 } }\n"),
    found: ["10:66 directory-unknown-shard spec.sharding.directory.acme"],
    learns: ["0..3"],
  },
];

const SECRET = "s3cr3t-value";
const security: readonly Row[] = [
  {
    title: "a password",
    text: withSpec(`  password: ${SECRET}\n`),
    found: ["10:13 inline-secret spec.password"],
    learns: ["file", "env"],
  },
  {
    title: "a token as text",
    text: withSpec(`  security:\n    tokens: [ ${SECRET} ]\n`),
    found: ["11:15 inline-secret spec.security.tokens[0]"],
  },
  {
    title: "a token's value in its entry",
    text: withSpec(`  security:\n    tokens:\n      - { name: a, role: admin, token: ${SECRET} }\n`),
    found: ["12:40 inline-secret spec.security.tokens[0].token"],
  },
  {
    title: "an API key as text",
    text: withSpec(
      `  embedding: { provider: openai, url: "https://example.com/v1", model: m, apiKey: ${SECRET} }\n`,
    ),
    found: ["10:83 inline-secret spec.embedding.apiKey"],
  },
  {
    title: "a password in a URL",
    text: withSpec(
      `  embedding: { provider: openai, model: m, url: "https://me:${SECRET}@example.com/v1" }\n`,
    ),
    found: ["10:49 inline-secret spec.embedding.url"],
  },
  {
    title: "secrets where a name, a role, a hash or a variable belongs: refused and never shown",
    text: withSpec(
      `  security:\n    tokens:\n      - { name: ${SECRET}!, role: ${SECRET}, sha256: ${SECRET} }\n      - { name: b, role: admin, env: ${SECRET} }\n`,
    ),
    found: [
      "12:17 invalid-name spec.security.tokens[0].name",
      "12:38 unknown-value spec.security.tokens[0].role",
      "12:60 invalid-text spec.security.tokens[0].sha256",
      "13:38 invalid-text spec.security.tokens[1].env",
    ],
  },
  {
    title: "a token with two sources",
    text: withSpec("  security:\n    tokens:\n      - { name: a, role: admin, env: A, file: b }\n"),
    found: ["12:9 one-of spec.security.tokens[0]"],
    learns: ["exactly one of file, env, sha256"],
  },
  {
    title: "tokens without a usable admin token, and of one name",
    text: withSpec(
      `  security:\n    tokens:\n      - { name: a, role: admin, sha256: ${"a".repeat(64)} }\n      - { name: a, role: read, env: R }\n`,
    ),
    found: [
      "11:5 no-admin-token spec.security.tokens",
      "13:17 duplicate-token-name spec.security.tokens[1].name",
    ],
    learns: ["admin"],
  },
  {
    title: "an embedding endpoint without URL and model",
    text: withSpec("  embedding: { provider: openai }\n"),
    found: ["10:3 missing-field spec.embedding.url", "10:3 missing-field spec.embedding.model"],
  },
  {
    title: "a URL for the built-in provider",
    text: withSpec('  embedding: { url: "https://example.com/v1" }\n'),
    found: ["10:21 setting-of-another-provider spec.embedding.url"],
  },
  {
    title: "an API key over plain HTTP",
    text: withSpec(
      '  embedding: { provider: openai, model: m, url: "http://example.com/v1", apiKey: { env: K } }\n',
    ),
    found: ["10:49 ~api-key-unencrypted spec.embedding.url"],
  },
];

describe.each([
  ["text", text],
  ["fields", fields],
  ["replication", replication],
  ["consensus", consensus],
  ["nodes", nodes],
  ["sharding", sharding],
  ["security", security],
] as const)("bad %s", (_, rows) => {
  it.each(rows.map((row) => [row.title, row] as const))("catches %s", (_title, row) => {
    const { findings, manifest, meaning } = parse(row.text);
    const found = findings.map(({ line, column, code, path, severity }) =>
      `${line}:${column} ${severity === "warning" ? "~" : ""}${code} ${path}`.trimEnd(),
    );
    expect(found).toEqual(row.found);
    const said = findings.map(({ message, hint }) => `${message}\n${hint ?? ""}`).join("\n");
    for (const words of row.learns ?? []) expect(said).toContain(words);
    expect(said).not.toContain(SECRET);
    expect(said).not.toContain("hunter2");
    const usable = findings.every(({ severity }) => severity === "warning");
    expect(manifest !== undefined).toBe(usable);
    expect(meaning !== undefined).toBe(usable);
  });
});

it("lists the first thousand findings and counts the rest", () => {
  const { findings } = parse(
    withSpec(Array.from({ length: 1500 }, (_, index) => `  x${index}: 1\n`).join("")),
  );
  expect(findings).toHaveLength(1001);
  expect(findings[0]).toMatchObject({ code: "unknown-field", line: 10 });
  expect(findings.at(-1)).toMatchObject({
    code: "more-findings",
    message: "and 500 more",
    severity: "error",
  });
});

it("reports everything that is wrong in one go, in the order of the text", () => {
  const { findings } = parse(
    `apiVersion: v0\nkind: Cluster\nmetadata: { name: Demo }\nspec:\n  nodes:\n    - { id: a, adress: x }\n  replication: { strategy: multiple, replicas: 2 }\n  consensus: { electionTimeout: 100ms }\n`,
  );
  expect(findings.map(({ code }) => code)).toEqual([
    "unknown-value",
    "invalid-name",
    "missing-field",
    "unknown-field",
    "too-few-data-nodes",
    "election-timeout-too-short",
  ]);
});
