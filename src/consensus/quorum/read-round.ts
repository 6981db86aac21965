// One read of some keys, at the copy that coordinates it. Enough copies are asked for digests of what they
// hold; where one differs from the coordinator's own the copy is read in full (15), the answers are merged,
// and the merged items are written back to those who did not have them before anybody is answered (2): a
// later read at the same level meets one of them, so it is never older (Attiya, Bar-Noy, Dolev 1995). That
// holds for levels of a majority and above; below, two reads need not meet.

import type { NodeId } from "../../model/ids.ts";
import { everyone, firstEnough, isEnough, type CopySets, type Level } from "./levels.ts";
import { mergeHeld, sameItem, type Held } from "./versions.ts";

export type ReadInput<Value> =
  /** One digest per key, in the order of the keys. */
  | { readonly kind: "digests"; readonly node: NodeId; readonly digests: readonly string[] }
  | { readonly kind: "items"; readonly node: NodeId; readonly held: readonly Held<Value>[] }
  /** The copy has flushed what it was repaired with. */
  | { readonly kind: "repaired"; readonly node: NodeId }
  | { readonly kind: "failed"; readonly node: NodeId }
  /** Some of those asked take long: others are asked, too. */
  | { readonly kind: "slow" };

export interface ReadOutput<Value> {
  readonly askDigests: readonly NodeId[];
  readonly askItems: readonly NodeId[];
  readonly repair: readonly NodeId[];
  /** One per key, once they may be told. */
  readonly answer?: readonly Held<Value>[];
  /** Too few copies are left to ask. */
  readonly failed?: true;
}

/** What a copy is known to hold of the keys. */
type Knowledge<Value> = { readonly same: boolean; readonly held: readonly Held<Value>[] | undefined };

export class ReadRound<Value> {
  private readonly sets: CopySets;
  private readonly level: Level;
  private readonly own: readonly Held<Value>[];
  private readonly ownDigests: readonly string[];
  /** Not asked yet, in the order of preference. */
  private spare: NodeId[];
  private readonly asked = new Set<NodeId>();
  private readonly known = new Map<NodeId, Knowledge<Value>>();
  private readonly repaired = new Set<NodeId>();
  private merged: readonly Held<Value>[] | undefined;
  private isOver = false;

  /** `own` is what the coordinator's copy holds; it counts when `usable` names it. */
  constructor(parts: {
    readonly self: NodeId;
    readonly sets: CopySets;
    readonly level: Level;
    /** Copies that may be asked, the preferred first: connected, and not being rebuilt. */
    readonly usable: readonly NodeId[];
    readonly own: readonly Held<Value>[];
    readonly ownDigests: readonly string[];
  }) {
    this.sets = parts.sets;
    this.level = parts.level;
    this.own = parts.own;
    this.ownDigests = parts.ownDigests;
    const members = everyone(parts.sets);
    this.spare = parts.usable.filter((node) => members.includes(node) && node !== parts.self);
    if (parts.usable.includes(parts.self)) this.known.set(parts.self, { same: true, held: parts.own });
  }

  /** What is written back. Throws before there is anything. */
  get result(): readonly Held<Value>[] {
    if (this.merged === undefined) throw new RangeError("a read has no result before enough copies answered");
    return this.merged;
  }

  begin(): ReadOutput<Value> {
    return this.goOn({});
  }

  step(input: ReadInput<Value>): ReadOutput<Value> {
    if (this.isOver) return nothing();
    switch (input.kind) {
      case "digests": {
        if (!this.asked.has(input.node)) return nothing();
        const same = input.digests.every((digest, at) => digest === this.ownDigests[at]);
        if (!same) return { ...nothing(), askItems: [input.node] };
        this.asked.delete(input.node);
        this.known.set(input.node, { same, held: this.own });
        return this.goOn({});
      }
      case "items":
        if (!this.asked.delete(input.node)) return nothing();
        this.known.set(input.node, { same: false, held: input.held });
        return this.goOn({});
      case "repaired":
        if (this.asked.delete(input.node)) this.repaired.add(input.node);
        return this.goOn({});
      case "failed":
        if (!this.asked.delete(input.node)) return nothing();
        this.known.delete(input.node);
        return this.goOn({});
      case "slow":
        return this.goOn({ extra: true });
    }
  }

  private goOn({ extra = false }: { extra?: boolean }): ReadOutput<Value> {
    if (this.merged !== undefined) return this.repairOn(this.merged, extra);
    if (isEnough(this.sets, this.level, (node) => this.known.has(node))) {
      const answers = [...this.known.values()];
      this.merged = this.own.map((own, at) =>
        mergeHeld([own, ...answers.flatMap(({ held }) => held?.[at] ?? [])]),
      );
      return this.repairOn(this.merged, false);
    }
    return this.ask((node) => this.known.has(node), extra, "askDigests");
  }

  /** Those who answered and hold the merged items need no repair; the others are waited for. */
  private repairOn(merged: readonly Held<Value>[], extra: boolean): ReadOutput<Value> {
    const repair: NodeId[] = [];
    for (const [node, { held }] of this.known) {
      if (this.repaired.has(node) || this.asked.has(node)) continue;
      if (held?.every((one, at) => sameItem(one.item, merged[at]?.item ?? one.item)) === true) {
        this.repaired.add(node);
      } else {
        this.asked.add(node);
        repair.push(node);
      }
    }
    if (isEnough(this.sets, this.level, (node) => this.repaired.has(node))) {
      this.isOver = true;
      return { ...nothing(), repair, answer: merged };
    }
    const more = this.ask((node) => this.repaired.has(node), extra, "repair");
    return { ...more, repair: [...repair, ...more.repair] };
  }

  /** Asks as many more as are missing, and one besides when those asked take long. */
  private ask(
    has: (node: NodeId) => boolean,
    extra: boolean,
    what: "askDigests" | "repair",
  ): ReadOutput<Value> {
    const reckoned = (node: NodeId): boolean => has(node) || this.asked.has(node);
    const promised = [...everyone(this.sets).filter(reckoned), ...this.spare];
    const chosen = firstEnough(this.sets, this.level, promised);
    if (chosen === undefined) {
      this.isOver = true;
      return { ...nothing(), failed: true };
    }
    const more = this.spare.filter((node) => chosen.includes(node));
    if (extra && more.length === 0 && this.spare[0] !== undefined) more.push(this.spare[0]);
    this.spare = this.spare.filter((node) => !more.includes(node));
    for (const node of more) this.asked.add(node);
    return { ...nothing(), [what]: more };
  }
}

function nothing<Value>(): ReadOutput<Value> {
  return { askDigests: [], askItems: [], repair: [] };
}
