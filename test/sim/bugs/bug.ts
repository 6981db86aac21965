// The format of a deliberate bug: one line of a reliability checklist, broken by a patch of the source. The
// patch is applied while the simulator is bundled (runner/bundle.ts) and nowhere else: the product has no
// switches, so no build of it can contain one. `npm run sim -- --bug NAME` bundles with the patch and looks
// for a seed that a violation shows.
//
// How to write one:
//   - `find` occurs exactly once in `file`, or the run (and a unit test) fails. Keep it short, a line or
//     less, so that changes nearby do not break it; `replace` stands in its place. Where one spot is not
//     enough, `and` holds more patches, applied in order.
//   - It does what the checklist's line forbids and nothing else; the program still compiles and mostly
//     works. A patch that throws a ReferenceError is refused as broken, not counted as found.
//   - It must be observable. Where no seed finds it, the simulator lacks a fault, an invariant, a tighter
//     limit or a client operation: add that, do not make the bug coarser.
//   - Where the design does not have what a line is about (leases), the bug introduces the fault that the
//     line guards against.

import type { Protocol } from "../../../src/model/ids.ts";

export interface Patch {
  /** From the repository's root, with `/`. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

/** Seeds in which bugs were found before, by name: a search looks there first. `--remember` writes it. */
export const FOUND_AT = "test/sim/bugs/found-at.json";

/** Whose lines the numbers are: those of the protocols, of the storage, of moves and splits of shards. */
export type Checklist = "raft" | "paxos" | "quorum" | "storage" | "moves";

export interface Bug extends Patch {
  /** Unique, lower case with hyphens; what `--bug` takes. */
  readonly name: string;
  readonly checklist: Checklist;
  /** The checklist's lines that it breaks. */
  readonly lines: readonly number[];
  /** Clusters of which protocols are simulated to find it. */
  readonly protocols: readonly Protocol[];
  /** One sentence: what is wrong with the switch on. */
  readonly what: string;
  readonly and?: readonly Patch[];
}

export function patchesOf(bug: Bug): readonly Patch[] {
  return [{ file: bug.file, find: bug.find, replace: bug.replace }, ...(bug.and ?? [])];
}

/** The text with the patch applied. @throws Error when `find` does not occur exactly once */
export function applyPatch(text: string, patch: Patch): string {
  const first = text.indexOf(patch.find);
  if (first === -1) throw new Error(`${patch.file} does not contain ${JSON.stringify(patch.find)}`);
  if (text.indexOf(patch.find, first + 1) !== -1) {
    throw new Error(`${patch.file} contains ${JSON.stringify(patch.find)} more than once`);
  }
  return text.slice(0, first) + patch.replace + text.slice(first + patch.find.length);
}
