// An operation that is followed while nodes come back that know only of what was before it.

import { describe, expect, it, vi } from "vitest";
import type { Engine, OperationControl } from "../../../src/engines/engine.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { OperationReport } from "../../../src/model/operation.ts";
import { followOperation } from "../../../src/operations/operation.ts";
import { errorOf, scriptedEngine } from "./support.ts";

// Between two looks nothing is waited for.
vi.mock("node:timers/promises", () => ({ setTimeout: () => Promise.resolve() }));

const call = { timeoutMs: 60_000 };

function report(id: string, state: OperationReport["progress"]["state"]): OperationReport {
  const manner = { startedBy: "us", concurrency: 1, bytesPerSecondMax: null };
  return {
    plan: { ...manner, id, name: `operation ${id}`, startedMs: 0, waves: [], epoch: null },
    progress: { revision: 1, state, why: null, steps: [], failures: {}, bytes: 0, endedMs: null },
    copying: [],
  };
}

/** An engine that tells of these, look by look; of the last for ever. */
function telling(...reports: (OperationReport | null)[]): Engine {
  const current = (): Promise<OperationReport | null> =>
    Promise.resolve((reports.length > 1 ? reports.shift() : reports[0]) ?? null);
  return { ...scriptedEngine(), operations: { current } as unknown as OperationControl };
}

const begun = report("2", "running");

describe("an operation that is followed", () => {
  it.each([
    ["an older one", report("1", "done")],
    ["none", null],
  ])("is not over because a node that was away tells of %s", async (_, stale) => {
    const engine = telling(begun, stale, stale, begun, report("2", "done"));
    expect((await followOperation(engine, call, begun)).progress.state).toBe("done");
  });

  it("is not called done when only another one is told of: nobody saw how it ended", async () => {
    const engine = telling(begun, report("3", "running"));
    const error = await errorOf(followOperation(engine, call, begun));
    expect(error).toMatchObject({ kind: "unknown-outcome", code: "end-not-seen" });
    expect(error).toMatchObject({ message: "how operation 2 ended was not seen" });
  });

  it("goes on when its watching is interrupted, and that is said", async () => {
    const current = (): Promise<never> =>
      Promise.reject(new Mem0ctlError("failed", "interrupted", "interrupted"));
    const engine = { ...scriptedEngine(), operations: { current } as unknown as OperationControl };
    const interrupted = { ...call, signal: AbortSignal.abort() };
    expect(await errorOf(followOperation(engine, interrupted, begun))).toMatchObject({
      code: "not-followed",
      message: "interrupted; operation 2 goes on by itself",
      hint: expect.stringContaining("mem0ctl shards rebalance --cancel") as string,
      cause: { code: "interrupted" },
    });
    // Of one that nothing is known of there is nothing to say.
    expect(await errorOf(followOperation(engine, interrupted))).toMatchObject({ code: "interrupted" });
  });
});
