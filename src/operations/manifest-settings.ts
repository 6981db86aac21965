// What the nodes go by of what their manifest alone decides (limits, timings, levels, security, embedding), against the
// manifest as it is now: a line for each difference, and who has to be restarted for it.

import type { EngineView } from "../engines/engine.ts";
import type { NodeId } from "../model/ids.ts";
import type { Manifest } from "../model/manifest.ts";
import type { ManifestChange } from "../model/plan.ts";
import { settingsOf } from "../model/settings.ts";

/** What becomes of it when nodes are restarted one after another; `hint`: they cannot be, and what to do instead. */
type Rule = { readonly risk: string } | { readonly hint: string };

const ALL_AT_ONCE =
  "nodes that go by one cannot talk to those that go by the other: `mem0ctl down`, then `mem0ctl up`; no request is answered in between";
const OTHER_VECTORS =
  "vectors of another model cannot be compared with those that are stored: make a cluster with the new manifest under another name, then `mem0ctl migrate --from OLD --to NEW`";
const REFUSED = "requests beyond it are refused from then on, where it was lowered";
const TIMINGS = "until all are restarted they go by different timings: there may be an election more";

const RULES: Readonly<Record<string, Rule>> = {
  "limits.maxLag": { risk: "none: `status` and operations judge lag by it" },
  "limits.body": { risk: REFUSED },
  "limits.batch": { risk: REFUSED },
  "limits.connections": { risk: REFUSED },
  "consensus.heartbeatInterval": { risk: TIMINGS },
  "consensus.electionTimeout": { risk: TIMINGS },
  "consensus.consistency": {
    risk: "until all are restarted, a request that names no level gets that of the node which takes it",
  },
  embedding: { hint: OTHER_VECTORS },
  "embedding.url": { risk: "none, where it is the same model: texts are embedded there from then on" },
  "security.tls": { hint: ALL_AT_ONCE },
  "security.tokens": {
    risk: "clients with a token that is gone are refused, and a new one is known everywhere when all are restarted",
  },
};

export interface SettingChanges {
  readonly changes: readonly ManifestChange[];
  /** Nodes that have to be restarted, and can be from here. */
  readonly restarts: readonly NodeId[];
}

/** Nodes that do not answer, or are of an earlier version, are not judged. */
export function settingChanges(manifest: Manifest, { nodes }: Pick<EngineView, "nodes">): SettingChanges {
  const wanted = settingsOf(manifest);
  const spawned = new Set(manifest.nodes.filter(({ manage }) => manage === "spawn").map(({ id }) => id));
  const known = nodes.filter(({ id }) => manifest.nodes.some((spec) => spec.id === id));
  const restarts = new Set<NodeId>();
  const changes = Object.entries(wanted).flatMap(([field, should]): ManifestChange[] => {
    const others = known.flatMap(({ id, settings }) => {
      const is = settings?.[field];
      return is === undefined || is === should ? [] : [{ id, is }];
    });
    const [first] = others;
    if (first === undefined) return [];
    const is = [...new Set(others.map((other) => other.is))].join(" or ");
    const where = others.length === known.length ? "" : ` on ${others.map(({ id }) => id).join(", ")}`;
    const change = {
      action: "change",
      subject: field,
      message: `${field} is ${is}${where} and should be ${should}`,
    } as const;
    const rule = ruleOf(field, is, should);
    const elsewhere = others.filter(({ id }) => !spawned.has(id));
    if ("hint" in rule) return [{ ...change, cost: "", risk: "", live: false, hint: rule.hint }];
    if (elsewhere.length > 0) {
      const hint = `restart ${elsewhere.map(({ id }) => id).join(", ")} with this manifest where they run, one after another`;
      return [{ ...change, cost: "", risk: "", live: false, hint }];
    }
    for (const { id } of others) restarts.add(id);
    const cost = `${others.length === 1 ? "1 node is" : `${others.length} nodes are`} restarted, one after another; leaders change`;
    return [{ ...change, cost, risk: rule.risk, live: true }];
  });
  return { changes, restarts: [...restarts] };
}

function ruleOf(field: string, is: string, should: string): Rule {
  // A node that asks for tokens talks to none that has none.
  if (field === "security.tokens" && (is === "none") !== (should === "none")) return { hint: ALL_AT_ONCE };
  return RULES[field] ?? { risk: "" };
}
