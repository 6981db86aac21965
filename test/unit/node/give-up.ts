// An operation that is begun while nodes are dead, waits for them, and is given up: in virtual time.

import { hasEnded, type ClusterStep, type OperationProgress } from "../../../src/model/operation.ts";
import type { NodeId, Protocol } from "../../../src/model/ids.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { calmCluster } from "../../sim/calm.ts";
import type { Machine } from "../../sim/machine.ts";
import { World } from "../../sim/world.ts";

const CRASH_MS = 5000;
const BEGIN_MS = 9000;
const CANCEL_MS = 14_000;

export interface GivenUp {
  /** What went wrong with the requests, or with the simulation. */
  readonly problems: readonly string[];
  /** Of its steps, when it was given up. */
  readonly states: readonly string[];
  /** At its end. */
  readonly progress: OperationProgress | undefined;
  readonly map: ShardMap | undefined;
}

/** One shard on `nodes` nodes. `crash` ends some of them, and says which one is asked for the step, which is made later. */
export async function giveUp(parts: {
  readonly protocol: Protocol;
  readonly nodes: number;
  readonly crash: (machines: ReadonlyMap<NodeId, Machine>) => NodeId;
  readonly step: () => ClusterStep;
  readonly endMs: number;
}): Promise<GivenUp> {
  const world = new World(1, false);
  const { timeline } = world;
  const problems: string[] = [];
  const { manifest, machines } = calmCluster(world, parts.protocol, parts.nodes, 1);
  for (const machine of machines.values()) timeline.plan(0, () => machine.start());
  const { consistency } = manifest.consensus;
  const context = (requestId: string) => ({ deadlineMs: 1e12, requestId, consistency });
  const fail = (error: unknown): void => void problems.push(String(error));
  let asked = "";
  let states: readonly string[] = [];
  const core = () => machines.get(asked)?.core;
  timeline.plan(CRASH_MS, () => {
    asked = parts.crash(machines);
  });
  timeline.plan(BEGIN_MS, () => {
    const plan = { name: "one step", startedBy: "test", waves: [[parts.step()]], concurrency: 1 };
    core()
      ?.admin.beginOperation({ ...plan, bytesPerSecondMax: null, epoch: null }, context("begin"))
      .catch(fail);
  });
  timeline.plan(CANCEL_MS, () => {
    states = core()?.operation()?.progress.steps ?? [];
    core()?.admin.cancelOperation(context("cancel")).catch(fail);
  });
  const isEnded = (): boolean => {
    const operation = core()?.operation() ?? null;
    return operation !== null && hasEnded(operation);
  };
  await timeline.run({
    onSettled: () => undefined,
    isOver: () => isEnded() || world.nowMs > parts.endMs,
    onThrow: fail,
    onLeak: (source) => problems.push(`real time: ${source}`),
  });
  const [progress, map] = [core()?.operation()?.progress, core()?.map()];
  for (const machine of machines.values()) machine.crash("over");
  return { problems, states, progress, map };
}
