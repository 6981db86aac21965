// What the rules between fields share: the draft that they judge, and how they report. Each rules-*.ts
// is one subject; a rule is silent about a field that was reported already (its draft is undefined).

import { ENGINE_CAPABILITIES } from "./capabilities.ts";
import { SHARDS_DEFAULT } from "./schema.ts";
import type { NodeDraft, SpecDraft } from "./schema.ts";
import { nodeAt, placeOf, shown } from "./raw.ts";
import type { Path, RawNode, Report } from "./raw.ts";
import { parseAddress } from "./address.ts";
import type { Address } from "./address.ts";

export interface NodeUnderCheck {
  readonly index: number;
  readonly path: Path;
  readonly draft: NodeDraft;
  /** undefined when it is missing or wrong. */
  readonly address: Address | undefined;
  /** Where it listens: its own `listen`, else the address. */
  readonly listen: Address | undefined;
}

export interface Rules {
  readonly root: RawNode;
  readonly spec: SpecDraft;
  readonly report: Report;
  /** Absolute; where relative paths start. */
  readonly baseDir: string;
  readonly nodes: readonly NodeUnderCheck[];
  /** Whether every node of the list could be read; counts are not judged otherwise. */
  readonly nodesComplete: boolean;
  readonly dataNodes: readonly NodeUnderCheck[];
  readonly arbiters: readonly NodeUnderCheck[];
  /** Data copies of each shard; undefined when the replication settings are wrong. */
  readonly copies: number | undefined;
  readonly shards: number | undefined;
}

/** Reports wrong addresses on the way, since the parsed ones are needed by several rules. */
export function rulesFor(root: RawNode, spec: SpecDraft, baseDir: string, report: Report): Rules {
  const nodes: NodeUnderCheck[] = [];
  for (const [index, draft] of (spec.nodes ?? []).entries()) {
    if (draft === undefined) continue;
    const path = ["spec", "nodes", index];
    const address = checkedAddress(draft.address, [...path, "address"], report);
    const listen =
      draft.listen === undefined ? address : checkedAddress(draft.listen, [...path, "listen"], report);
    nodes.push({ index, path, draft, address, listen });
  }
  const replicas = replicasOf(spec);
  return {
    root,
    spec,
    report,
    baseDir,
    nodes,
    nodesComplete: spec.nodes !== undefined && nodes.length === spec.nodes.length,
    dataNodes: nodes.filter(({ draft }) => draft.role !== "arbiter"),
    arbiters: nodes.filter(({ draft }) => draft.role === "arbiter"),
    copies: replicas === undefined ? undefined : replicas + 1,
    shards: shardsOf(spec),
  };
}

function checkedAddress(written: string | undefined, path: Path, report: Report): Address | undefined {
  if (written === undefined) return undefined;
  const parsed = parseAddress(written);
  if (!("problem" in parsed)) return parsed;
  report({
    code: "invalid-address",
    path,
    message: `the address ${shown(written)} is not usable: ${parsed.problem}`,
    hint: 'write host:port, for example "127.0.0.1:7001" or "[::1]:7001"',
  });
  return undefined;
}

/** Copies besides the leader's; undefined when the settings contradict each other or are wrong. */
export function replicasOf({ replication }: SpecDraft): number | undefined {
  if (replication?.strategy === undefined) return undefined;
  const { strategy, replicas } = replication;
  if (strategy === "multiple") return replicas !== undefined && replicas >= 1 ? replicas : undefined;
  const implied = strategy === "none" ? 0 : 1;
  return replicas === undefined || replicas === implied ? implied : undefined;
}

/** The number of shards: as given, or what the split points make, or what the engine's nodes can hold, or the default. */
export function shardsOf(spec: SpecDraft): number | undefined {
  const { sharding, engine } = spec;
  if (sharding?.strategy === undefined) return undefined;
  if (sharding.shards !== undefined) return sharding.shards;
  if (engine !== undefined && ENGINE_CAPABILITIES[engine].shardsPerNode === "one") {
    const replicas = replicasOf(spec);
    const nodes = spec.nodes?.length ?? 0;
    return replicas === undefined || nodes === 0
      ? undefined
      : Math.max(1, Math.floor(nodes / (replicas + 1)));
  }
  return sharding.strategy === "range" && sharding.ranges !== undefined
    ? sharding.ranges.length + 1
    : SHARDS_DEFAULT;
}

/** Whether a path is written in the manifest, as opposed to taken from a default. */
export function isGiven({ root }: Rules, path: Path): boolean {
  return nodeAt(root, path) !== undefined;
}

/** The first of the paths that is written in the manifest, else the last one. */
export function firstGiven(rules: Rules, ...paths: readonly [Path, ...Path[]]): Path {
  return paths.find((path) => isGiven(rules, path)) ?? paths.at(-1) ?? paths[0];
}

/** ` (line 7)`, or nothing for a manifest without a text. */
export function onLine({ root }: Rules, path: Path): string {
  const { line } = placeOf(root, path);
  return line === 0 ? "" : ` (line ${line})`;
}

/**
 * Voters of one shard's group: its data copies, and the arbiter when there is one and the copies are
 * even in number (an odd number gains nothing by one more vote).
 */
export function votersOf(copies: number, arbiters: number): number {
  return copies % 2 === 0 && arbiters > 0 ? copies + 1 : copies;
}

export function majorityOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

/** `1 node`, `3 nodes`, `2 copies`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
