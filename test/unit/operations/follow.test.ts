// An operation that is followed to its end, while nodes come and go.

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
  it("is not over while nobody can tell of it", async () => {
    const looks = [begun, undefined, undefined, report("2", "done")];
    const current = async (): Promise<OperationReport> => {
      const look = looks.shift();
      if (look === undefined) throw new Mem0ctlError("unavailable", "no-leader", "nobody leads");
      return look;
    };
    const engine = { ...scriptedEngine(), operations: { current } as unknown as OperationControl };
    expect((await followOperation(engine, call, begun)).progress.state).toBe("done");
  });

  it.each([
    ["another one", report("3", "running")],
    ["none", null],
  ])("is not called done when %s is told of: nobody saw how it ended", async (_, now) => {
    const engine = telling(begun, now);
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
