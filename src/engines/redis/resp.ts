// The wire format of Redis and Valkey (RESP 2): commands to bytes, bytes to replies. It keeps keys and
// values as bytes: a key need not be text. Sizes are checked before anything is allocated for them.

export type Argument = string | number | Uint8Array;
export type Command = readonly [name: string, ...rest: Argument[]];

/** An error that the server replied with: `MOVED 3999 127.0.0.1:6381`. */
export class ReplyError extends Error {
  /** Its first word: `MOVED`, `NOAUTH`, `ERR`. */
  get code(): string {
    return this.message.split(" ", 1)[0] ?? "";
  }
}

/** A bulk string is bytes; a status such as `OK` is text; an error inside an array is a value. */
export type Reply = Buffer | string | number | null | ReplyError | readonly Reply[];

const CRLF = "\r\n";
/** Redis' own limit (`proto-max-bulk-len`). */
const BULK_BYTES_MAX = 512 * 1024 * 1024;
const ITEMS_MAX = 8 * 1024 * 1024;
const LINE_BYTES_MAX = 64 * 1024;
const DEPTH_MAX = 16;

export function encodeCommands(commands: readonly Command[]): Buffer {
  const parts: Uint8Array[] = [];
  let text = "";
  const flush = (): void => {
    if (text !== "") parts.push(Buffer.from(text, "utf8"));
    text = "";
  };
  for (const command of commands) {
    text += `*${command.length}${CRLF}`;
    for (const argument of command) {
      if (typeof argument === "object") {
        text += `$${argument.length}${CRLF}`;
        flush();
        parts.push(argument);
        text = CRLF;
      } else {
        const word = String(argument);
        text += `$${Buffer.byteLength(word)}${CRLF}${word}${CRLF}`;
      }
    }
  }
  flush();
  return Buffer.concat(parts);
}

/** What arrived is no RESP: something else has the port, or the connection lost its place. */
export class ProtocolError extends Error {}

interface OpenArray {
  readonly items: Reply[];
  readonly length: number;
}

/** Takes bytes as they arrive; gives each reply as soon as it is whole. */
export class ReplyParser {
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;
  /** Arrays that are not whole yet, the outermost first. */
  readonly #open: OpenArray[] = [];
  /** Bytes that have to be there before it is worth looking again: a long value arrives in many pieces. */
  #needed = 0;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;

  /** @throws ProtocolError. */
  push(chunk: Buffer): Reply[] {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#buffer.length - this.#at + this.#waitingBytes < this.#needed) return [];
    this.#buffer = Buffer.concat([this.#buffer.subarray(this.#at), ...this.#waiting]);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#at = 0;
    this.#needed = 0;
    const replies: Reply[] = [];
    for (;;) {
      const value = this.#next();
      if (value === undefined) return replies;
      const whole = this.#fitIn(value);
      if (whole !== undefined) replies.push(whole);
    }
  }

  /** Puts a value into the array that it belongs to; what comes back is whole. */
  #fitIn(value: Reply | OpenArray): Reply | undefined {
    let current = value;
    for (;;) {
      if (isOpenArray(current)) {
        if (current.items.length < current.length) {
          if (this.#open.length >= DEPTH_MAX) throw new ProtocolError("arrays are nested too deep");
          this.#open.push(current);
          return undefined;
        }
        current = current.items;
      }
      const parent = this.#open.at(-1);
      if (parent === undefined) return current;
      parent.items.push(current);
      if (parent.items.length < parent.length) return undefined;
      this.#open.pop();
      current = parent;
    }
  }

  #next(): Reply | OpenArray | undefined {
    const end = this.#buffer.indexOf(CRLF, this.#at);
    if (end < 0) {
      if (this.#buffer.length - this.#at > LINE_BYTES_MAX) throw new ProtocolError("a line without end");
      return undefined;
    }
    const kind = this.#buffer[this.#at];
    const line = this.#buffer.toString("utf8", this.#at + 1, end);
    const after = end + CRLF.length;
    switch (kind) {
      case 0x2b: // +
        this.#at = after;
        return line;
      case 0x2d: // -
        this.#at = after;
        return new ReplyError(line);
      case 0x3a: // :
        this.#at = after;
        return count(line, -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
      case 0x24: {
        // $
        const length = count(line, -1, BULK_BYTES_MAX);
        if (length < 0) {
          this.#at = after;
          return null;
        }
        const needed = after + length + CRLF.length;
        if (this.#buffer.length < needed) {
          this.#needed = needed - this.#at;
          return undefined;
        }
        this.#at = needed;
        return this.#buffer.subarray(after, after + length);
      }
      case 0x2a: {
        // *
        const length = count(line, -1, ITEMS_MAX);
        this.#at = after;
        return length < 0 ? null : { items: [], length };
      }
      default:
        throw new ProtocolError("this is not the Redis protocol");
    }
  }
}

function isOpenArray(value: Reply | OpenArray): value is OpenArray {
  return typeof value === "object" && value !== null && "items" in value;
}

function count(line: string, min: number, max: number): number {
  const value = /^-?\d{1,16}$/.test(line) ? Number(line) : NaN;
  if (!(value >= min && value <= max)) throw new ProtocolError("a length that cannot be");
  return value;
}

/** A reply that must be text: a bulk string or a status. @throws ReplyError as replied, ProtocolError. */
export function textOf(reply: Reply | undefined): string {
  if (reply instanceof ReplyError) throw reply;
  if (typeof reply === "string") return reply;
  if (Buffer.isBuffer(reply)) return reply.toString("utf8");
  throw new ProtocolError("a text was expected in the reply");
}
/** @throws ReplyError as replied, ProtocolError. */
export function numberOf(reply: Reply | undefined): number {
  if (reply instanceof ReplyError) throw reply;
  if (typeof reply === "number") return reply;
  throw new ProtocolError("a number was expected in the reply");
}

/** The bulk strings of an array. @throws ReplyError as replied, ProtocolError. */
export function bytesListOf(reply: Reply | undefined): Buffer[] {
  if (reply instanceof ReplyError) throw reply;
  if (Array.isArray(reply)) {
    const items: readonly Reply[] = reply;
    return items.map((item) => {
      if (Buffer.isBuffer(item)) return item;
      throw new ProtocolError("bytes were expected in the reply");
    });
  }
  throw new ProtocolError("a list was expected in the reply");
}
