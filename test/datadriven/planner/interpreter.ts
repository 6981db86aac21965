// A cluster in words, for the planner's transcripts: nodes and shards are named, plans are made, done, explained.
//
//   node a [zone=x] [weight=2] [role=arbiter] [draining] [capacity=500]    a new node, or an old one changed
//   shards 4 on=a,b [copies=3] [bytes=100]                                 as many new ones, all on these nodes
//   masters 39 [empty=1]                                                   slots, shared out as redis-cli does
//   plan [by=bytes] [threshold=0.1] [moves=5] [bytes=500] [per-node=1]     what the planner says
//   leaders                                                                only leaders
//   do                                                                     the last plan is done
//   explain 3                                                              why that shard moves or stays

import type {
  Measure,
  Plan,
  PlannedNode,
  PlannedShard,
  PlannedState,
  RebalanceStep,
} from "../../../src/model/plan.ts";
import { explained } from "../../../src/topology/explain.ts";
import { outcomeOf } from "../../../src/topology/outcome.ts";
import { planLeaders, planRebalance } from "../../../src/topology/rebalance.ts";
import type { RebalanceOptions } from "../../../src/topology/rebalance.ts";
import { planSlots } from "../../../src/topology/slot-plan.ts";
import type { SlotOwner } from "../../../src/topology/slot-plan.ts";
import type { Interpreter } from "../runner.ts";

export function plannerInterpreter(): Interpreter {
  const nodes = new Map<string, PlannedNode>();
  const shards: PlannedShard[] = [];
  let owners: SlotOwner[] = [];
  let last: Plan | undefined;
  const state = (): PlannedState => ({ epoch: 1, nodes: [...nodes.values()], shards });

  const commands: Readonly<Record<string, (args: readonly string[]) => string>> = {
    node([id = "", ...words]) {
      const known = nodes.get(id) ?? { id, role: "primary", zone: id, weight: 1, draining: false };
      const capacity = value(words, "capacity");
      nodes.set(id, {
        id,
        role: words.includes("role=arbiter")
          ? "arbiter"
          : words.includes("role=secondary")
            ? "secondary"
            : known.role,
        zone: value(words, "zone") ?? known.zone,
        weight: Number(value(words, "weight") ?? known.weight),
        draining: words.includes("draining") || known.draining,
        ...(capacity === undefined ? {} : { capacityBytes: Number(capacity) }),
      });
      return "";
    },
    shards([count = "1", ...words]) {
      const on = (value(words, "on") ?? "").split(",").filter((id) => id !== "");
      const bytes = Number(value(words, "bytes") ?? 100);
      for (let each = 0; each < Number(count); each += 1) {
        const copies = Number(value(words, "copies") ?? on.length);
        shards.push({
          id: String(shards.length),
          replicas: on,
          leader: on[0] ?? null,
          copies,
          bytes,
          memories: bytes,
          load: 0,
        });
      }
      return "";
    },
    masters([count = "1", ...words]) {
      const full = Number(count);
      owners = Array.from({ length: full + Number(value(words, "empty") ?? 0) }, (_, index) => ({
        id: `m${index + 1}`,
        weight: 1,
        draining: false,
        slots:
          index < full
            ? [{ from: Math.floor((index * 16384) / full), to: Math.floor(((index + 1) * 16384) / full) - 1 }]
            : [],
      }));
      return "";
    },
    plan(words) {
      const options: RebalanceOptions = {
        by: (value(words, "by") ?? "shards") as Measure,
        ...option(words, "threshold", "threshold"),
        ...option(words, "moves", "movesMax"),
        ...option(words, "bytes", "bytesMax"),
        ...option(words, "per-node", "perNode"),
      };
      last = owners.length > 0 ? planSlots({ epoch: 1, owners }, options) : planRebalance(state(), options);
      return told(last);
    },
    leaders() {
      last = planLeaders(state());
      return told(last);
    },
    do() {
      if (last === undefined) return "there is no plan";
      const after = outcomeOf(last);
      for (const [index, shard] of shards.entries()) shards[index] = { ...shard, ...after.get(shard.id) };
      for (const step of last.waves.flat())
        if (step.kind === "move-slots") owners = owners.map((owner) => moved(owner, step));
      last = undefined;
      return "";
    },
    explain([shard = ""]) {
      return last === undefined ? "there is no plan" : explained(last, shard).join("\n");
    },
  };
  return (command, args) => {
    const run = commands[command];
    if (run === undefined) throw new Error(`no command is called ${command}`);
    return run(args);
  };
}

function value(words: readonly string[], name: string): string | undefined {
  return words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
}

function option(
  words: readonly string[],
  name: string,
  field: keyof RebalanceOptions,
): Partial<RebalanceOptions> {
  const given = value(words, name);
  return given === undefined ? {} : { [field]: Number(given) };
}

function moved(owner: SlotOwner, step: Extract<RebalanceStep, { kind: "move-slots" }>): SlotOwner {
  if (owner.id === step.to) return { ...owner, slots: [...owner.slots, ...step.slots] };
  if (owner.id !== step.from) return owner;
  const gone = new Set(step.slots.flatMap(slotsOf));
  const kept = owner.slots.flatMap(slotsOf).filter((slot) => !gone.has(slot));
  return { ...owner, slots: kept.map((slot) => ({ from: slot, to: slot })) };
}

function slotsOf({ from, to }: { readonly from: number; readonly to: number }): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

const STEPS_TOLD_MAX = 12;

function told(plan: Plan): string {
  const { moves, bytes, leaderTransfers } = plan.predicted;
  const bound = plan.optimal
    ? "the least possible"
    : `at least ${plan.lowerBound.bytes} bytes in any plan, gap ${(plan.gap * 100).toFixed(1)} %`;
  const isRefused = plan.problems.some(({ severity }) => severity === "hard");
  const head = isRefused
    ? "no plan"
    : plan.waves.length === 0
      ? `nothing to do${plan.balanced ? "" : ", though not balanced"}`
      : `${moves} moves, ${bytes} bytes, ${leaderTransfers} leaders: ${bound}${plan.balanced ? "" : ", not balanced"}`;
  const steps = plan.waves.map((wave, index) => `wave ${index + 1}: ${wave.map(stepText).join(", ")}`);
  const left = steps.length - STEPS_TOLD_MAX;
  return [
    head,
    ...plan.problems.map(({ code, message, hint }) => `${code}: ${message}; ${hint}`),
    ...(plan.waves.length === 0 ? [] : plan.nodes.filter(changes).map(nodeText)),
    ...steps.slice(0, STEPS_TOLD_MAX),
    ...(left > 0 ? [`and ${left} waves more`] : []),
  ].join("\n");
}

function changes({ before, after }: Plan["nodes"][number]): boolean {
  return before.held !== after.held || before.leads !== after.leads;
}

function nodeText({ node, share, before, after }: Plan["nodes"][number]): string {
  const leads = before.leads === after.leads ? "" : `, leads ${before.leads} > ${after.leads}`;
  return `${node}: ${before.held} > ${after.held}, share ${Number(share.toFixed(2))}${leads}`;
}

function stepText(step: RebalanceStep): string {
  switch (step.kind) {
    case "move-replica":
      return `${step.shard} ${step.from}>${step.to}`;
    case "add-replica":
      return `${step.shard} +${step.to}`;
    case "remove-replica":
      return `${step.shard} -${step.from}`;
    case "transfer-leader":
      return `${step.group} led by ${step.to ?? "another"}`;
    case "move-slots":
      return `${slotCount(step)} slots ${step.from}>${step.to}`;
  }
}

function slotCount({ slots }: Extract<RebalanceStep, { kind: "move-slots" }>): number {
  return slots.flatMap(slotsOf).length;
}
