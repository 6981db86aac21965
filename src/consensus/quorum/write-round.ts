// One write, after its coordinator has it on its own disk: sent to every other copy at once, acknowledged
// when enough copies have flushed it. Only the copies of the shard count: a hint kept for one that is away
// is a promise to try, not a copy (6). When too few answer in time the outcome is unknown, because what was
// sent may still arrive, or be brought by a hint, and then appears (3).

import type { NodeId } from "../../model/ids.ts";
import { everyone, isEnough, type CopySets, type Level } from "./levels.ts";

export type WriteInput =
  /** The copy has flushed the write. */
  | { readonly kind: "flushed"; readonly node: NodeId }
  /** The copy refused, cannot be reached, or the call to it ended without an answer. */
  | { readonly kind: "failed"; readonly node: NodeId }
  | { readonly kind: "deadline" };

export interface WriteOutput {
  /** To whom the write goes. */
  readonly send: readonly NodeId[];
  /** For whom a hint is to be kept: the write did not surely reach them. */
  readonly hint: readonly NodeId[];
  /** What the client is told; given once. */
  readonly answer?: "acknowledged" | "unknown";
}

const SILENT: WriteOutput = { send: [], hint: [] };

export class WriteRound {
  private readonly sets: CopySets;
  private readonly level: Level;
  private readonly flushed = new Set<NodeId>();
  private readonly waiting: Set<NodeId>;
  private answered = false;

  constructor(parts: { readonly self: NodeId; readonly sets: CopySets; readonly level: Level }) {
    this.sets = parts.sets;
    this.level = parts.level;
    this.waiting = new Set(everyone(parts.sets).filter((node) => node !== parts.self));
    this.flushed.add(parts.self);
  }

  /** The coordinator's own copy is on disk: from here on the write's dot may leave this node. */
  begin(): WriteOutput {
    return this.output({ send: [...this.waiting] });
  }

  step(input: WriteInput): WriteOutput {
    if (input.kind === "deadline") {
      const hint = [...this.waiting];
      this.waiting.clear();
      return this.output({ hint });
    }
    if (!this.waiting.delete(input.node)) return SILENT;
    if (input.kind === "failed") return this.output({ hint: [input.node] });
    this.flushed.add(input.node);
    return this.output({});
  }

  /** Nothing more can happen. */
  get isOver(): boolean {
    return this.answered && this.waiting.size === 0;
  }

  private output(rest: { send?: readonly NodeId[]; hint?: readonly NodeId[] }): WriteOutput {
    const output = { ...SILENT, ...rest };
    if (this.answered) return output;
    const enough = isEnough(this.sets, this.level, (node) => this.flushed.has(node));
    // Without those that are still waited for it cannot become enough: no need to let the client wait.
    const hopeless =
      !enough && !isEnough(this.sets, this.level, (node) => this.flushed.has(node) || this.waiting.has(node));
    if (!enough && !hopeless) return output;
    this.answered = true;
    return { ...output, answer: enough ? "acknowledged" : "unknown" };
  }
}
