// Turns JSON from a node or a file into typed values, or says where it is not what it should be. Fields that are
// not known are left out, so that a node of a newer version can be asked.

/** Throws `DecodeError`. `path` is where in the answer the value is. */
export type Decoder<T> = (value: unknown, path: string) => T;

export class DecodeError extends Error {
  constructor(path: string, expected: string) {
    super(`${path === "" ? "the answer" : path} is not ${expected}`);
    this.name = "DecodeError";
  }
}

export const text: Decoder<string> = (value, path) => {
  if (typeof value !== "string") throw new DecodeError(path, "a text");
  return value;
};

/** Any finite number. */
export const number: Decoder<number> = (value, path) => {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new DecodeError(path, "a number");
  return value;
};

export const truth: Decoder<boolean> = (value, path) => {
  if (typeof value !== "boolean") throw new DecodeError(path, "true or false");
  return value;
};

export function oneOf<const T extends string>(choices: readonly T[]): Decoder<T> {
  return (value, path) => {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw new DecodeError(path, `one of ${choices.join(", ")}`);
    return found;
  };
}

export function nullable<T>(decoder: Decoder<T>): Decoder<T | null> {
  return (value, path) => (value === null ? null : decoder(value, path));
}

export function list<T>(decoder: Decoder<T>): Decoder<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw new DecodeError(path, "a list");
    return value.map((item: unknown, index) => decoder(item, `${path}[${index}]`));
  };
}

/** A mapping with keys of any name, as a null-prototype object: no name means anything else than its entry. */
export function mapping<T>(decoder: Decoder<T>): Decoder<Readonly<Record<string, T>>> {
  return (value, path) => {
    const result: Record<string, T> = Object.create(null) as Record<string, T>;
    for (const [key, item] of entriesOf(value, path)) result[key] = decoder(item, `${path}.${key}`);
    return result;
  };
}

export const anything: Decoder<unknown> = (value) => value;

type Optional<T> = {
  readonly [K in keyof T as undefined extends T[K] ? K : never]-?: Decoder<NonNullable<T[K]>>;
};
type Required<T> = { readonly [K in keyof T as undefined extends T[K] ? never : K]: Decoder<T[K]> };

/** An object with these fields; an optional one may be missing or null, and is then left out. */
export function object<T extends object>(required: Required<T>, optional?: Optional<T>): Decoder<T> {
  const needed = Object.entries<Decoder<unknown>>(required);
  const allowed = optional === undefined ? [] : Object.entries<Decoder<unknown>>(optional);
  return (value, path) => {
    const given = new Map(entriesOf(value, path));
    const at = (name: string): string => (path === "" ? name : `${path}.${name}`);
    const result: Record<string, unknown> = {};
    for (const [name, decoder] of needed) result[name] = decoder(given.get(name), at(name));
    for (const [name, decoder] of allowed) {
      const item = given.get(name);
      if (item !== undefined && item !== null) result[name] = decoder(item, at(name));
    }
    // Every required field was decoded to its type and every optional one that is there: this is a T.
    return result as T;
  };
}

function entriesOf(value: unknown, path: string): [string, unknown][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DecodeError(path, "an object");
  }
  return Object.entries(value);
}
