// Operations of the embedded engine as seen from outside its nodes: begun, watched and cancelled over HTTP, at
// whichever node answers. The cluster carries them out; nothing is kept here.

import { setTimeout as pause } from "node:timers/promises";

import { Mem0ctlError } from "../../model/errors.ts";
import type { OperationAnswer, ShardCut, ShardVerification } from "../../model/node-api.ts";
import {
  hasEnded,
  stepWords,
  type ClusterStep,
  type Operation,
  type OperationReport,
  type StepCopying,
} from "../../model/operation.ts";
import type { CallOptions, OperationControl } from "../engine.ts";
import { list, mapping, nullable, number, object, oneOf, text, truth } from "../../model/decode.ts";
import type { Decoder } from "../../model/decode.ts";
import { shardMap } from "./answers.ts";
import type { ClusterNodes } from "./nodes.ts";

const PATH = "/v1/cluster/operation";
const LOOK_MS = 200;
const ASK_MS = 3000;
/** Nobody could tell just now. */
const AWAY: ReadonlySet<string> = new Set(["unavailable", "unknown-outcome", "busy"]);
const POST = { method: "POST", write: true } as const;

const STEPS: {
  readonly [Kind in ClusterStep["kind"]]: Decoder<Extract<ClusterStep, { readonly kind: Kind }>>;
} = {
  "add-replica": object({ kind: oneOf(["add-replica"]), shard: text, to: text, bytes: number }),
  "remove-replica": object({ kind: oneOf(["remove-replica"]), shard: text, from: text }),
  "move-replica": object({ kind: oneOf(["move-replica"]), shard: text, from: text, to: text, bytes: number }),
  "transfer-leader": object({ kind: oneOf(["transfer-leader"]), group: text }, { to: text, holder: text }),
  "remove-node": object({ kind: oneOf(["remove-node"]), node: text }),
  split: object({ kind: oneOf(["split"]), shard: text, at: text, into: text }),
  merge: object({ kind: oneOf(["merge"]), shard: text, into: text }),
  pin: object({ kind: oneOf(["pin"]), key: text, shard: text }),
  unpin: object({ kind: oneOf(["unpin"]), key: text }),
};
const kinds = Object.keys(STEPS) as ClusterStep["kind"][];

const step: Decoder<ClusterStep> = (value, path) => {
  const { kind } = object<{ kind: ClusterStep["kind"] }>({ kind: oneOf(kinds) })(value, path);
  return STEPS[kind](value, path);
};

const operation = object<OperationReport>({
  plan: object<Operation["plan"]>({
    id: text,
    name: text,
    startedBy: text,
    startedMs: number,
    waves: list(list(step)),
    concurrency: number,
    bytesPerSecondMax: nullable(number),
    epoch: nullable(number),
  }),
  progress: object<Operation["progress"]>({
    revision: number,
    state: oneOf(["running", "paused", "cancelling", "done", "cancelled", "failed"]),
    why: nullable(text),
    steps: list(oneOf(["waiting", "running", "undoing", "done", "failed", "dropped"])),
    failures: mapping(text),
    bytes: number,
    endedMs: nullable(number),
  }),
  copying: list(
    object<StepCopying>({ step: number, from: text, to: text, bytes: number, bytesTotal: nullable(number) }),
  ),
});

const answer = object<OperationAnswer>({ operation: nullable(operation) });
const begun = object<{ readonly operation: OperationReport }>({ operation });

const possible = object<{ readonly possible: boolean }>({ possible: truth });

const repairing = object<{ readonly repairing: boolean }>({ repairing: truth });

const verification = object<ShardVerification>({
  shard: text,
  replicas: list(
    object<ShardVerification["replicas"][number]>(
      { node: text, memories: nullable(number), digest: nullable(text) },
      { error: text, code: text },
    ),
  ),
  differences: list(
    object<ShardVerification["differences"][number]>({
      id: text,
      parts: list(oneOf(["presence", "text", "vector", "metadata"])),
      copies: list(
        object<ShardVerification["differences"][number]["copies"][number]>({
          node: text,
          present: truth,
          isOdd: truth,
        }),
      ),
    }),
  ),
  differing: number,
});

const sizes = object<ShardCut["goes"]>({ memories: number, bytes: number });
const cut = object<ShardCut>({ shard: text, at: nullable(text), goes: sizes, stays: sizes });

export function operationControl(nodes: ClusterNodes): OperationControl {
  return {
    async begin(request, options) {
      return (await nodes.request({ ...POST, path: PATH, body: request }, begun, options)).operation;
    },
    async check(handover, options) {
      const query = new URLSearchParams({ ...handover });
      const path = `/v1/cluster/handover?${query.toString()}`;
      await nodes.request({ method: "GET", path, write: false }, possible, options);
    },
    async current(options) {
      return (await nodes.request({ method: "GET", path: PATH, write: false }, answer, options)).operation;
    },
    async cancel(options) {
      return (await nodes.request({ ...POST, path: `${PATH}/cancel`, body: {} }, begun, options)).operation;
    },
    async verify(shard, options) {
      const path = `/v1/cluster/verify?shard=${encodeURIComponent(shard)}`;
      return nodes.request({ method: "GET", path, write: false }, verification, options);
    },
    async cut({ shard, at, key }, options) {
      const query = new URLSearchParams({
        shard,
        ...(at === undefined ? {} : { at }),
        ...(key === undefined ? {} : { key }),
      });
      const path = `/v1/cluster/cut?${query.toString()}`;
      return nodes.request({ method: "GET", path, write: false }, cut, options);
    },
    async repair(shard, node, options) {
      const request = { ...POST, path: "/v1/cluster/repair", body: { shard, node } };
      await nodes.request(request, repairing, options);
    },
    async drain(node, draining, options) {
      await nodes.request(
        { ...POST, path: "/v1/cluster/drain", body: { node, draining } },
        shardMap,
        options,
      );
    },
  };
}

/** One step as an operation of its own, waited for. */
export async function carryOut(
  nodes: ClusterNodes,
  single: ClusterStep,
  options: CallOptions,
): Promise<string> {
  const control = operationControl(nodes);
  const deadlineMs = performance.now() + options.timeoutMs;
  const left = (): CallOptions => ({ ...options, timeoutMs: Math.max(1, deadlineMs - performance.now()) });
  const words = stepWords(single);
  const { plan } = await control.begin(
    {
      name: words,
      startedBy: "execute",
      waves: [[single]],
      concurrency: 1,
      bytesPerSecondMax: null,
      epoch: null,
    },
    left(),
  );
  let last: OperationReport | undefined;
  for (;;) {
    const { timeoutMs } = left();
    const now = await control
      .current({ ...options, timeoutMs: Math.min(ASK_MS, timeoutMs) })
      .catch((error: unknown) => {
        if (error instanceof Mem0ctlError && AWAY.has(error.kind)) return undefined;
        throw error;
      });
    last = now ?? last;
    if (now !== undefined && now?.plan.id !== plan.id) {
      throw new Mem0ctlError("unknown-outcome", "end-not-seen", `whether it could ${words} was not seen`, {
        why: `the cluster tells of ${now === null ? "no operation" : `another operation by now: ${now.plan.name}`}`,
        hint: "look at the cluster with `mem0ctl status`",
      });
    }
    if (now !== undefined && hasEnded(now)) {
      if (now.progress.state === "done") return words;
      throw new Mem0ctlError("failed", "step-failed", `could not ${words}`, {
        ...(now.progress.why === null ? {} : { why: now.progress.why }),
        hint: "look at the cluster with `mem0ctl status`",
      });
    }
    if (performance.now() + LOOK_MS >= deadlineMs) {
      throw new Mem0ctlError("unknown-outcome", "still-running", `did not ${words} in time`, {
        why: last?.progress.why ?? "it is under way",
        hint: "it goes on; watch it with `mem0ctl shards rebalance --status`",
      });
    }
    await pause(LOOK_MS);
  }
}
