// Rules about sharding: split points and pins belong to their strategy and fit the number of shards.

import { keyCompare } from "../topology/shard-map.ts";
import { shown } from "./raw.ts";
import type { Path } from "./raw.ts";
import { counted, isGiven } from "./rules.ts";
import type { Rules } from "./rules.ts";

const SHARDING: Path = ["spec", "sharding"];

export function checkSharding(rules: Rules): void {
  const strategy = rules.spec.sharding?.strategy;
  if (strategy === undefined) return;
  for (const [field, owner] of [
    ["ranges", "range"],
    ["directory", "directory"],
  ] as const) {
    if (strategy === owner || !isGiven(rules, [...SHARDING, field])) continue;
    rules.report({
      code: "setting-of-another-strategy",
      path: [...SHARDING, field],
      message: `${field} belongs to sharding strategy ${owner}, but the strategy is ${strategy}`,
      hint: `set strategy: ${owner}, or remove ${field}`,
    });
  }
  if (strategy === "range") checkRanges(rules);
  if (strategy === "directory") checkDirectory(rules);
}

function checkRanges(rules: Rules): void {
  const { report, spec } = rules;
  const { ranges, shards } = spec.sharding ?? {};
  const path = [...SHARDING, "ranges"];
  if (ranges === undefined) {
    if (isGiven(rules, path) || shards === 1) return;
    report({
      code: "ranges-missing",
      path,
      message: "range sharding needs split points: ranges",
      hint: "for example ranges: [g, n, t] for four shards",
    });
    return;
  }
  if (ranges.length === 0 && shards !== 1) {
    report({
      code: "ranges-empty",
      path,
      message: "ranges is empty: without a split point there is one shard",
      hint: "add split points, or set shards: 1",
    });
    return;
  }
  const firstIndex = new Map<string, number>();
  let previous: string | undefined;
  for (const [index, point] of ranges.entries()) {
    if (point === undefined) continue;
    const earlier = firstIndex.get(point);
    if (earlier !== undefined) {
      report({
        code: "ranges-duplicate",
        path: [...path, index],
        message: `the split point ${shown(point)} is there twice: ranges[${earlier}] and ranges[${index}]`,
        hint: "keep one of them",
      });
    } else if (previous !== undefined && keyCompare(previous, point) > 0) {
      report({
        code: "ranges-unsorted",
        path: [...path, index],
        message: `the split point ${shown(point)} comes after ${shown(previous)}, but sorts before it by UTF-8 bytes`,
        hint: "sort the split points ascending; upper case sorts before lower case",
      });
    }
    if (earlier === undefined) firstIndex.set(point, index);
    previous = point;
  }
  if (shards !== undefined && shards !== ranges.length + 1) {
    report({
      code: "ranges-count",
      path: [...SHARDING, "shards"],
      message: `${counted(ranges.length, "split point")} make ${ranges.length + 1} shards, but shards is ${shards}`,
      hint: `set shards: ${ranges.length + 1}, or leave it out`,
    });
  }
}

function checkDirectory({ spec, report, shards }: Rules): void {
  const directory = spec.sharding?.directory;
  if (directory === undefined || shards === undefined) return;
  for (const [key, shard] of directory) {
    if (shard < shards) continue;
    report({
      code: "directory-unknown-shard",
      path: [...SHARDING, "directory", key],
      message: `the key ${shown(key)} is pinned to shard ${shard}, which is not there: shards are 0..${shards - 1}`,
    });
  }
}
