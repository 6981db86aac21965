// What the transcripts draw, by kind: each from the cluster view of its shape, or from a fixed example.

import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { Finding } from "../../../src/model/findings.ts";
import type { Manifest } from "../../../src/model/manifest.ts";
import type { Measure } from "../../../src/model/plan.ts";
import type { ClusterView } from "../../../src/model/view.ts";
import { viewAfter } from "../../../src/operations/rebalance.ts";
import { renderError } from "../../../src/render/error.ts";
import { renderFindings, renderGithubAnnotations } from "../../../src/render/findings.ts";
import { renderLeaders } from "../../../src/render/leaders.ts";
import { renderLocation } from "../../../src/render/locate.ts";
import { renderMeaning } from "../../../src/render/meaning.ts";
import {
  type ShownMemory,
  renderHistory,
  renderImport,
  renderMemories,
  renderMemory,
  renderMemoryStats,
} from "../../../src/render/memories.ts";
import { renderActions, renderNodes } from "../../../src/render/nodes.ts";
import { renderHandoverPlan } from "../../../src/render/handover.ts";
import { type PlanShown, renderExplanation, renderPlan } from "../../../src/render/plan.ts";
import { renderProgress } from "../../../src/render/progress.ts";
import { renderReplicaLag } from "../../../src/render/replica-lag.ts";
import { renderShardMap } from "../../../src/render/shard-map.ts";
import { renderShardsList } from "../../../src/render/shards-list.ts";
import { renderStatus } from "../../../src/render/status.ts";
import type { Theme } from "../../../src/render/theme.ts";
import { explained } from "../../../src/topology/explain.ts";
import { planRebalance } from "../../../src/topology/rebalance.ts";

interface Request {
  readonly view: ClusterView;
  readonly theme: Theme;
  readonly wide: boolean;
}

const MANIFEST_TEXT = `apiVersion: mem0ctl/v1
kind: Cluster
spec:
  nodes:
    - { id: node-1, address: "127.0.0.1:70000", role: primary, zone: a }
    - { id: node-2, address: "127.0.0.1:7002", role: secondary, zone: a, weight: 1, dataDir: ./data, manage: spwan }
  replcias: 2
`;

const FINDINGS: readonly Finding[] = [
  {
    code: "port-out-of-range",
    severity: "error",
    path: "spec.nodes[0].address",
    line: 5,
    column: 30,
    message: "port 70000 is not between 1 and 65535",
    hint: "use a free port, 7001 for example",
  },
  {
    code: "unknown-choice",
    severity: "error",
    path: "spec.nodes[1].manage",
    line: 6,
    column: (MANIFEST_TEXT.split("\n")[5] ?? "").indexOf("spwan") + 1,
    message: '"spwan" is none of spawn, connect',
    hint: "did you mean spawn?",
  },
  {
    code: "unknown-field",
    severity: "error",
    path: "spec.replcias",
    line: 7,
    column: 3,
    message: "unknown field replcias",
    hint: "did you mean replicas?",
  },
  {
    code: "zones-shared",
    severity: "warning",
    path: "spec.nodes",
    line: 0,
    column: 0,
    message: "two copies share zone a: its loss takes both",
  },
];

const memory = (number: number, text: string, user: string, score: number): ShownMemory => ({
  id: `0b3e5c9a-4d21-4a2b-9c3d-00000000000${number}`,
  memory: text,
  user_id: user,
  metadata: { source: "chat" },
  categories: ["travel"],
  created_at: "2025-01-02T03:04:05.000Z",
  updated_at: "2025-01-02T03:04:05.000Z",
  score,
});

const MEMORIES: readonly ShownMemory[] = [
  memory(1, "Prefers window seats on long flights and asks for the vegetarian meal", "alice", 0.912),
  memory(2, "日本の鉄道が好き。旅行のたびに駅弁を食べて写真を撮る。とても詳しい。", "bob", 0.745),
  memory(3, "\u001b[31mred\u001b[0m\nnext line \u202eflipped, 👨‍👩‍👧 kept", "mallory", 0.1),
];

const MANIFEST: Manifest = {
  apiVersion: "mem0ctl/v1",
  kind: "Cluster",
  name: "demo",
  engine: "embedded",
  dataDir: "/data",
  nodes: ["primary", "secondary", "secondary"].map((role, index) => ({
    id: `node-${index + 1}`,
    address: `127.0.0.1:${7001 + index}`,
    host: "127.0.0.1",
    port: 7001 + index,
    role: role === "primary" ? "primary" : "secondary",
    zone: "abc"[index] ?? "a",
    weight: 1,
    manage: "spawn",
    dataDir: `/data/node-${index + 1}`,
  })),
  replication: { strategy: "multiple", replicas: 2 },
  sharding: { strategy: "hash", shards: 16, key: "user", ranges: [], directory: {} },
  consensus: {
    protocol: "raft",
    heartbeatIntervalMs: 100,
    electionTimeoutMs: 1000,
    consistency: { read: "linearizable", write: "quorum" },
  },
  embedding: { provider: "lexical", dimensions: 384, url: undefined, model: undefined, apiKey: undefined },
  limits: { maxLagMs: 5000, bodyBytesMax: 1, batchMax: 1, connectionsMax: 1 },
  security: { tokens: [], tls: undefined },
};

/** What the planner makes of the view when one more node, empty, has joined. */
function planShown(view: ClusterView, by: Measure): PlanShown {
  const last = view.nodes.at(-1);
  const id = `node-${view.nodes.length + 1}`;
  const joined =
    last === undefined ? [] : [{ ...last, id, zone: id, state: "up" as const, leads: 0, replicas: 0 }];
  const before = { ...view, nodes: [...view.nodes, ...joined] };
  const plan = {
    cluster: view.cluster,
    ...planRebalance(
      {
        epoch: view.epoch,
        nodes: before.nodes.map(({ id: node, role, zone }) => ({
          id: node,
          role,
          zone,
          weight: 1,
          draining: false,
        })),
        shards: view.shards.map((shard) => ({
          id: shard.id,
          replicas: shard.replicas.filter(({ role }) => role !== "arbiter").map(({ node }) => node),
          leader: shard.leader,
          copies: view.copies,
          bytes: shard.bytes ?? 0,
          memories: shard.memories ?? 0,
          load: 0,
        })),
      },
      { by, bytesPerSecond: 20 << 20 },
    ),
  };
  return { plan, maps: { before, after: viewAfter(before, plan) } };
}

export const pictures: Readonly<Record<string, (request: Request) => string>> = {
  "shard-map": ({ view, theme }) => renderShardMap(view, theme),
  status: ({ view, theme, wide }) => renderStatus(view, theme, { wide }),
  "status-disputed": ({ view, theme, wide }) =>
    renderStatus(
      {
        ...view,
        disagreements: [
          {
            group: "meta",
            claims: [
              { node: "node-1", leader: "node-1", term: 3 },
              { node: "node-2", leader: null, term: 4 },
            ],
          },
        ],
      },
      theme,
      { wide },
    ),
  plan: ({ view, theme, wide }) => renderPlan(planShown(view, "shards"), theme, wide),
  "plan-by-bytes": ({ view, theme, wide }) => renderPlan(planShown(view, "bytes"), theme, wide),
  "plan-explained": ({ view, theme }) => {
    const { plan } = planShown(view, "shards");
    return renderExplanation({ subject: "shard 0", reasons: explained(plan, "0") }, theme);
  },
  "handover-plan": ({ theme }) =>
    renderHandoverPlan(
      {
        apiVersion: "mem0ctl/v1",
        kind: "HandoverPlan",
        cluster: "demo",
        epoch: 7,
        step: { kind: "split", shard: "2", at: "t-user", into: "3" },
        moved: { memories: 161, bytes: 330_000 },
        shards: [
          {
            shard: "2",
            keysBefore: "keys from n",
            keysAfter: "keys [n, t-user)",
            before: { memories: 299, bytes: 610_000 },
            after: { memories: 138, bytes: 280_000 },
          },
          {
            shard: "3",
            keysBefore: null,
            keysAfter: "keys from t-user",
            before: null,
            after: { memories: 161, bytes: 330_000 },
          },
        ],
      },
      theme,
    ),
  "no-plan": ({ view, theme, wide }) => {
    const { plan } = planShown(view, "shards");
    const nodes = plan.state.nodes.map((node) => ({ ...node, draining: true }));
    const refused = planRebalance({ ...plan.state, nodes }, { by: "shards" });
    return renderPlan({ plan: { cluster: plan.cluster, ...refused }, maps: undefined }, theme, wide);
  },
  shards: ({ view, theme, wide }) => renderShardsList(view, theme, { wide }),
  nodes: ({ view, theme, wide }) => renderNodes(view, theme, { wide }),
  "nodes-troubled": ({ view, theme, wide }) =>
    renderNodes(
      {
        ...view,
        nodes: view.nodes.map((node, index) =>
          index === 1
            ? {
                ...node,
                damaged: [
                  { group: "3", why: "a record of the store does not match its checksum (key 7374)" },
                ],
                refusal: { by: ["node-3"], why: "node-2 came back without its data" },
              }
            : node,
        ),
      },
      theme,
      { wide },
    ),
  lag: ({ view, theme, wide }) => renderReplicaLag(view, theme, { wide }),
  leaders: ({ view, theme }) =>
    renderLeaders(
      {
        cluster: view.cluster,
        groups: [
          { group: "meta", leader: view.leader, term: view.term },
          ...view.shards.map(({ id, leader, term, ballot, leaderless }) => ({
            group: id,
            leader,
            term,
            ...(ballot === undefined ? {} : { ballot }),
            ...(leaderless === undefined ? {} : { leaderless }),
          })),
        ],
        nodes: view.nodes.map(({ id, leads }) => ({ node: id, leads })),
      },
      theme,
    ),
  actions: ({ theme }) =>
    renderActions(
      [
        { node: "node-1", outcome: "spawned", pid: 4711 },
        { node: "node-2", outcome: "already-running", pid: 4712 },
        { node: "node-10", outcome: "connected", pid: null },
        { node: "node-11", outcome: "not-managed", pid: null },
      ],
      theme,
    ),
  locate: ({ view, theme }) => {
    const [shard] = view.shards;
    return renderLocation(
      {
        key: "alice",
        slot: 749,
        shard: "0",
        range: "slots 0-1023",
        pinned: false,
        leader: shard?.leader ?? null,
        term: shard?.term ?? null,
        ...(shard?.ballot === undefined ? {} : { ballot: shard.ballot }),
        ...(shard?.leaderless === undefined ? {} : { leaderless: shard.leaderless }),
        replicas: ["node-1", "node-2", "node-3"],
        arbiters: [],
        epoch: 7,
        live: true,
      },
      theme,
    );
  },
  "locate-offline": ({ theme }) =>
    renderLocation(
      {
        key: "acme",
        slot: 3155,
        shard: "3",
        range: "slots 3072-4095",
        pinned: true,
        leader: null,
        term: null,
        replicas: ["node-1", "node-2"],
        arbiters: ["arbiter-1"],
        epoch: 1,
        live: false,
      },
      theme,
    ),
  memories: ({ theme, wide }) => renderMemories(MEMORIES, theme, { wide, count: 40 }),
  "no-memories": ({ theme }) => renderMemories([], theme),
  memory: ({ theme }) => renderMemory(MEMORIES[2] ?? memory(0, "", "", 0), theme),
  history: ({ theme }) =>
    renderHistory(
      [
        {
          id: "1",
          event: "ADD",
          old_memory: null,
          new_memory: "Likes tea",
          created_at: "2025-01-02T03:04:05.000Z",
        },
        {
          id: "2",
          event: "DELETE",
          old_memory: "Likes tea",
          new_memory: null,
          created_at: "2025-01-03T03:04:05.000Z",
        },
      ],
      theme,
    ),
  stats: ({ theme, wide }) =>
    renderMemoryStats(
      {
        memories: 4000,
        bytes: 123_456_789,
        shards: [900, 966, 1032, 1102].map((memories, index) => ({
          id: String(index),
          memories,
          bytes: memories * 30_864,
        })),
        entities: { users: 12, agents: 1, runs: 0, apps: 0 },
      },
      theme,
      { wide },
    ),
  import: ({ theme }) =>
    renderImport(
      {
        lines: 10_000,
        imported: 9998,
        skipped: 2,
        refused: [
          { line: 7431, field: "embedding", message: "has 3 numbers; the cluster's vectors have 384" },
        ],
      },
      theme,
    ),
  findings: ({ theme }) => renderFindings(FINDINGS, { file: "cluster.yaml", text: MANIFEST_TEXT }, theme),
  annotations: () => renderGithubAnnotations(FINDINGS, "deploy/cluster,1:a.yaml"),
  meaning: ({ theme }) =>
    renderMeaning(
      MANIFEST,
      {
        copies: 3,
        quorum: 2,
        survivesNodes: 1,
        survivesZones: 1,
        sentence: "3 copies, quorum 2, survives the loss of 1 node or 1 zone",
      },
      theme,
    ),
  error: ({ theme }) =>
    renderError(
      new Mem0ctlError("failed", "port-taken", "node-1 cannot listen on 127.0.0.1:7001: the port is taken", {
        why: "pid 4711 listens on it",
        hint: "stop that process, or give node-1 another port",
      }),
      theme,
    ),
  progress: ({ theme }) =>
    [
      renderProgress({ done: 0, total: 4000, message: "0 memories imported" }, theme),
      renderProgress({ done: 1234, total: 4000, message: "1234 memories imported" }, theme),
      renderProgress({ done: 4000, total: 4000, message: "4000 memories imported" }, theme),
      renderProgress({ node: "node-1", done: 0, total: 0, message: "waiting for its answer" }, theme),
      "",
    ].join("\n"),
};
