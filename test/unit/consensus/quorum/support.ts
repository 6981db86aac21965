// Arbitrary histories of one key over a few copies, made only of what the protocol does: a copy writes with
// what it has seen, or merges what another holds. So every item that comes out is one that can exist.

import fc from "fast-check";
import type { Dot } from "../../../../src/consensus/quorum/vectors.ts";
import { absent, merge, written, type Item } from "../../../../src/consensus/quorum/versions.ts";

export type Text = Item<string>;

export type Action =
  | { readonly kind: "write"; readonly at: number; readonly seen: number; readonly atMs: number }
  | { readonly kind: "delete"; readonly at: number; readonly seen: number; readonly atMs: number }
  | { readonly kind: "merge"; readonly at: number; readonly from: number };

const COPIES = 3;

const copy = fc.integer({ min: 0, max: COPIES - 1 });
const time = fc.integer({ min: 0, max: 5 });

export const history = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("write" as const), at: copy, seen: copy, atMs: time }),
    fc.record({ kind: fc.constant("delete" as const), at: copy, seen: copy, atMs: time }),
    fc.record({ kind: fc.constant("merge" as const), at: copy, from: copy }),
  ),
  { maxLength: 14 },
);

export interface Played {
  readonly copies: readonly Text[];
  /** Every write: its dot, and the dots that its writer had seen. */
  readonly writes: readonly { readonly dot: Dot; readonly seen: readonly Dot[] }[];
}

export function play(actions: readonly Action[]): Played {
  const copies: Text[] = Array.from({ length: COPIES }, () => absent<string>());
  const writes: { dot: Dot; seen: readonly Dot[] }[] = [];
  const counters = copies.map(() => 0);
  actions.forEach((action, number) => {
    const local = copies[action.at] ?? absent();
    if (action.kind === "merge") {
      copies[action.at] = merge(local, copies[action.from] ?? absent());
      return;
    }
    const seen = copies[action.seen] ?? absent<string>();
    const counter = (counters[action.at] ?? 0) + 1;
    counters[action.at] = counter;
    const dot: Dot = [`copy-${action.at}`, counter];
    const value = action.kind === "write" ? `value-${number}` : null;
    const base = merge(local, seen);
    copies[action.at] = written(base, seen, { dot, atMs: action.atMs, write: `w${number}`, value });
    const all = writes.filter((write) =>
      seen.context.some(([actor, upTo]) => actor === write.dot[0] && write.dot[1] <= upTo),
    );
    writes.push({ dot, seen: all.map((write) => write.dot) });
  });
  return { copies, writes };
}
