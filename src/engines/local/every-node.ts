// Starting and stopping many nodes: a few at a time, and all of them even when one fails.

import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId } from "../../model/ids.ts";
import type { Manifest, NodeSpec } from "../../model/manifest.ts";
import type { CallOptions, NodeAction } from "../engine.ts";

/** Nodes that start or stop at the same time: more would only wait for the same disk and processors. */
const CONCURRENT_MAX = 8;

/** @throws Mem0ctlError `unknown-node`. */
export function specOfNode(manifest: Manifest, id: NodeId): NodeSpec {
  const spec = manifest.nodes.find((node) => node.id === id);
  if (spec !== undefined) return spec;
  throw new Mem0ctlError(
    "not-found",
    "unknown-node",
    `there is no node ${JSON.stringify(id)} in the manifest`,
    {
      why: `the manifest has ${manifest.nodes.map((node) => node.id).join(", ")}`,
      hint: "see them with `mem0ctl nodes list`",
    },
  );
}

export function describeStart({ outcome, pid, error }: NodeAction): string {
  const detail = error ?? (pid === null ? undefined : `pid ${pid}`);
  return `${wordsOf(outcome)}${detail === undefined ? "" : ` (${detail})`}`;
}

export function describeStop({ outcome }: NodeAction): string {
  return wordsOf(outcome);
}

/** `was not running`: the names of outcomes are words, and people read them here. */
function wordsOf(outcome: NodeAction["outcome"]): string {
  return outcome.replaceAll("-", " ");
}

/**
 * Does the same to every node, a few at a time, and to all of them even when one fails.
 * @throws the first failure by the order of nodes, with all of them in `data.failures`.
 */
export async function forEachNode(
  specs: readonly NodeSpec[],
  options: CallOptions,
  act: (spec: NodeSpec) => Promise<NodeAction>,
  describe: (action: NodeAction) => string,
): Promise<readonly NodeAction[]> {
  const results: (NodeAction | Mem0ctlError)[] = [];
  let next = 0;
  let done = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < specs.length; index = next++) {
      const spec = specs[index];
      if (spec === undefined) break;
      let message: string;
      try {
        const action = await act(spec);
        results[index] = action;
        message = describe(action);
      } catch (error) {
        if (!(error instanceof Mem0ctlError)) throw error;
        results[index] = error;
        message = error.message;
      }
      done += 1;
      options.onProgress?.({ node: spec.id, done, total: specs.length, message });
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENT_MAX, specs.length) }, worker));
  const failures = results.filter((result) => result instanceof Mem0ctlError);
  const [first] = failures;
  if (first === undefined) {
    return results.filter((result): result is NodeAction => !(result instanceof Mem0ctlError));
  }
  if (failures.length === 1) throw first;
  throw new Mem0ctlError(first.kind, first.code, `${first.message} (and ${failures.length - 1} more)`, {
    ...(first.why === undefined ? {} : { why: first.why }),
    ...(first.hint === undefined ? {} : { hint: first.hint }),
    data: {
      ...first.data,
      failures: failures.map(({ code, message, data }) => ({ code, message, ...data })),
    },
    cause: first,
  });
}
