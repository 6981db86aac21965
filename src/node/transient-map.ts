// A map for what comes and goes all the time, as whatever waits for an answer does. V8's Map makes itself a new table
// every few entries that came and went, and leaves the one before linked to it (`OrderedHashTable::Rehash`, for the
// sake of iterators). A table that has grown old is freed by a full collection alone, and what is linked to it, table
// after table with all that lay in them, is taken for alive until then: every request that was ever waited for was
// copied twice and kept for seconds. Here the tables hold cells, and what has gone leaves its cell empty.

interface Cell<Value> {
  value: Value | undefined;
}

/** In the order in which they came. */
export class TransientMap<Key, Value extends object> {
  readonly #cells = new Map<Key, Cell<Value>>();

  get size(): number {
    return this.#cells.size;
  }

  /** Nothing may be there under the key yet. */
  set(key: Key, value: Value): void {
    this.#cells.set(key, { value });
  }

  /** Removes what is there under the key, and returns it. */
  take(key: Key): Value | undefined {
    const cell = this.#cells.get(key);
    if (cell === undefined) return undefined;
    const { value } = cell;
    cell.value = undefined;
    this.#cells.delete(key);
    return value;
  }

  /** Removes everything, and returns it. */
  takeAll(): Value[] {
    return [...this.#cells.keys()].flatMap((key) => this.take(key) ?? []);
  }
}
