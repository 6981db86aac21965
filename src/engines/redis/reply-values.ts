// Replies of a known form, taken out of their wrapping; anything else is no reply to what was asked.

import { ProtocolError, ReplyError, type Reply } from "./resp.ts";

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
