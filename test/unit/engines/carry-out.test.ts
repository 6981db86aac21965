// One step that the cluster carries out by itself, and that is waited for.

import { expect, it, vi } from "vitest";
import { carryOut } from "../../../src/engines/embedded/operations.ts";
import type { ClusterNodes } from "../../../src/engines/embedded/nodes.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";

// Between two looks nothing is waited for.
vi.mock("node:timers/promises", () => ({ setTimeout: () => Promise.resolve() }));

const operation = (id: string, state: string): object => ({
  plan: { id, name: `operation ${id}` },
  progress: { state, why: null },
});

/** Nodes that tell of these, look by look; of the last for ever. */
function telling(...looks: (object | null)[]): ClusterNodes {
  const request = ({ write }: { write: boolean }): Promise<object> => {
    if (write) return Promise.resolve({ operation: operation("2", "running") });
    return Promise.resolve({ operation: (looks.length > 1 ? looks.shift() : looks[0]) ?? null });
  };
  return { request } as unknown as ClusterNodes;
}

const remove = { kind: "remove-node", node: "node-3" } as const;
const call = { timeoutMs: 60_000 };

it("a step that ends undone has failed", async () => {
  const nodes = telling(operation("2", "running"), operation("2", "failed"));
  await expect(carryOut(nodes, remove, call)).rejects.toMatchObject({ code: "step-failed" });
});

it("a step of which nobody can tell until the deadline is under way, and not certainly undone", async () => {
  const away = new Mem0ctlError("unavailable", "no-leader", "nobody leads");
  const nodes = {
    request: ({ write }: { write: boolean }) =>
      write ? Promise.resolve({ operation: operation("2", "running") }) : Promise.reject(away),
  } as unknown as ClusterNodes;
  const late = carryOut(nodes, remove, { timeoutMs: 50 });
  await expect(late).rejects.toMatchObject({ kind: "unknown-outcome", code: "still-running" });
});

it("a step of which only another operation is told later is not called done", async () => {
  const carried = carryOut(telling(operation("3", "running")), remove, call);
  await expect(carried).rejects.toBeInstanceOf(Mem0ctlError);
  await expect(carried).rejects.toMatchObject({ kind: "unknown-outcome", code: "end-not-seen" });
});
