// Vectors of the scopes that were searched lately, in memory for exact search. Filled from the store on
// the first search of a scope, kept up to date by what is applied, bounded in bytes and in sets (each set
// has a WebAssembly memory of its own).

import type { VectorSet } from "./vector-set.ts";

export class VectorCache {
  private readonly sets = new Map<string, { readonly set: VectorSet; readonly owner: string }>();
  private readonly bytesMax: number;
  private readonly setsMax: number;

  constructor(limits: { readonly bytesMax: number; readonly setsMax: number }) {
    this.bytesMax = limits.bytesMax;
    this.setsMax = limits.setsMax;
  }

  /** The set of a scope, if it is in memory. Reading counts as use. */
  get(owner: string, scope: string): VectorSet | undefined {
    const name = nameOf(owner, scope);
    const found = this.sets.get(name);
    if (found === undefined) return undefined;
    this.sets.delete(name);
    this.sets.set(name, found);
    return found.set;
  }

  /** The set of a scope if it is in memory, without counting as use. */
  peek(owner: string, scope: string): VectorSet | undefined {
    return this.sets.get(nameOf(owner, scope))?.set;
  }

  add(owner: string, scope: string, set: VectorSet): void {
    this.sets.set(nameOf(owner, scope), { set, owner });
    let bytes = 0;
    for (const held of this.sets.values()) bytes += held.set.bytes;
    for (const [name, held] of this.sets) {
      if ((bytes <= this.bytesMax && this.sets.size <= this.setsMax) || held.set === set) break;
      bytes -= held.set.bytes;
      this.sets.delete(name);
    }
  }

  /** Forgets everything of one group's replica. */
  drop(owner: string): void {
    for (const [name, held] of this.sets) if (held.owner === owner) this.sets.delete(name);
  }

  forget(owner: string, scope: string): void {
    this.sets.delete(nameOf(owner, scope));
  }
}

function nameOf(owner: string, scope: string): string {
  return `${owner}\n${scope}`;
}
