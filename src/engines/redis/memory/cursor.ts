// Where a page of an export ended: the slot, and the member of its index.

import { Mem0ctlError } from "../../../model/errors.ts";
import { SLOTS } from "../../../topology/slots.ts";
import { indexMember } from "./layout.ts";
import type { Indexed } from "./store.ts";

const CURSOR = /^(\d{1,5})\.([A-Za-z0-9_-]+)$/;

export function encodeCursor({ slot, shardKey, id }: Indexed): string {
  return `${slot}.${Buffer.from(indexMember(shardKey, id)).toString("base64url")}`;
}

/** @throws Mem0ctlError `cursor-invalid`. */
export function decodeCursor(cursor: string): { readonly slot: number; readonly member: Buffer } {
  const [, slot = "", member = ""] = CURSOR.exec(cursor) ?? [];
  if (member !== "" && Number(slot) < SLOTS) {
    return { slot: Number(slot), member: Buffer.from(member, "base64url") };
  }
  throw new Mem0ctlError("invalid", "cursor-invalid", "cursor: is none that an export gave", {
    hint: "leave it out to begin anew",
    data: { field: "cursor" },
  });
}
