// What goes to a server and what comes back, as values: commands of text, numbers and bytes; replies of bytes,
// because a key or a value need not be text. A reply of a known form is taken out of its wrapping here;
// anything else is no reply to what was asked.

export type Argument = string | number | Uint8Array;
export type Command = readonly [name: string, ...rest: Argument[]];

/** An error that the server replied with: `MOVED 3999 127.0.0.1:6381`. */
export class ReplyError extends Error {
  /** Its first word: `MOVED`, `NOAUTH`, `ERR`. */
  get code(): string {
    return this.message.split(" ", 1)[0] ?? "";
  }
}

/** A text, be it a value or a status such as `OK`, is bytes; an error inside an array is a value. */
export type Reply = Buffer | number | null | ReplyError | readonly Reply[];

/** What arrived is no reply: something else has the port, or the connection lost its place. */
export class ProtocolError extends Error {}

/** A value or a status. @throws ReplyError as replied, ProtocolError. */
export function textOf(reply: Reply | undefined): string {
  if (reply instanceof ReplyError) throw reply;
  if (Buffer.isBuffer(reply)) return reply.toString("utf8");
  throw new ProtocolError("a text was expected in the reply");
}

/** @throws ReplyError as replied, ProtocolError. */
export function numberOf(reply: Reply | undefined): number {
  if (reply instanceof ReplyError) throw reply;
  if (typeof reply === "number") return reply;
  throw new ProtocolError("a number was expected in the reply");
}

/** @throws ReplyError as replied, ProtocolError. */
export function listOf(reply: Reply | undefined): readonly Reply[] {
  if (reply instanceof ReplyError) throw reply;
  if (Array.isArray(reply)) return reply;
  throw new ProtocolError("a list was expected in the reply");
}

/** null for what is not there. @throws ReplyError as replied, ProtocolError. */
export function bytesIn(reply: Reply | undefined): Buffer | null {
  if (reply instanceof ReplyError) throw reply;
  if (reply === null || reply === undefined) return null;
  if (Buffer.isBuffer(reply)) return reply;
  throw new ProtocolError("bytes were expected in the reply");
}

/** @throws ReplyError as replied, ProtocolError. */
export function bytesListOf(reply: Reply | undefined): readonly Buffer[] {
  return listOf(reply).map((item) => {
    const bytes = bytesIn(item);
    if (bytes === null) throw new ProtocolError("bytes were expected in the reply");
    return bytes;
  });
}
