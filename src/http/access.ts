// Who may do what. Tokens are known by their SHA-256 alone and compared in constant time; a role
// includes the lesser ones; what declares no access is closed. Nothing here logs or answers a token.

import { hash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { Mem0ctlError } from "../model/errors.ts";
import type { TokenRole } from "../model/manifest.ts";
import type { Access } from "./route.ts";

/** A token as a node knows it: enough to check one, not to use it. */
export interface TokenDigest {
  readonly name: string;
  readonly role: TokenRole;
  /** SHA-256 of the token, 64 hex digits. */
  readonly sha256: string;
}

export interface Caller {
  readonly headers: IncomingHttpHeaders;
  /** As the socket has it: never from a header, which anyone can write. */
  readonly remoteAddress: string | undefined;
}

export interface Gate {
  /**
   * Throws kind `denied`: `unauthenticated` (HTTP 401) without a token or with an unknown one,
   * `role-too-small` and `cross-site` (HTTP 403).
   */
  check(caller: Caller, access: Access): void;
}

const RANK: Readonly<Record<TokenRole, number>> = { read: 1, write: 2, admin: 3 };
const CREDENTIALS = /^(?:Token|Bearer) +([\x21-\x7e]{1,1024})$/i;
const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

export function createGate(tokens: readonly TokenDigest[]): Gate {
  const known = tokens.map(({ role, sha256 }) => ({ rank: RANK[role], digest: Buffer.from(sha256, "hex") }));
  if (known.some(({ digest }) => digest.length !== 32)) {
    throw new Mem0ctlError("invalid", "token-digest-invalid", "a token's SHA-256 must be 64 hex digits");
  }
  if (known.length === 0) return { check: refuseBrowsers };
  return {
    check: ({ headers, remoteAddress }, access) => {
      const { authorization } = headers;
      if (access === "ping" && authorization === undefined && isLoopback(remoteAddress)) return;
      const token = CREDENTIALS.exec(authorization ?? "")?.[1];
      if (token === undefined)
        throw unauthenticated(authorization === undefined ? "none was sent" : "it is malformed");
      const digest = hash("sha256", token, "buffer");
      let rank = 0;
      // All are compared, so that the time taken tells nothing of which one came close.
      for (const candidate of known) {
        if (timingSafeEqual(candidate.digest, digest)) rank = Math.max(rank, candidate.rank);
      }
      if (rank === 0) throw unauthenticated("it is not one that this cluster knows");
      const needed = access === "ping" ? "read" : access;
      if (rank < RANK[needed]) {
        throw new Mem0ctlError("denied", "role-too-small", `this needs a token of role ${needed}`, {
          why: "the token that was sent has a lesser role",
          hint: "use a token whose role in the manifest allows it",
        });
      }
    },
  };
}

function unauthenticated(why: string): Mem0ctlError {
  return new Mem0ctlError("denied", "unauthenticated", "a valid token is needed", {
    why,
    hint: "send the header Authorization: Token <token>",
  });
}

/**
 * Without tokens the node listens on loopback only, where a web page in the user's browser can reach it
 * too: directly, which browsers mark with Origin, or by a name that it made resolve to this machine.
 */
function refuseBrowsers({ headers }: Caller): void {
  if (headers.origin === undefined && LOOPBACK_HOST.test(headers.host ?? "localhost")) return;
  throw new Mem0ctlError("denied", "cross-site", "requests from web pages and other hosts are refused", {
    why: "this cluster has no tokens, so that only programs on this machine may use it",
    hint: "ask 127.0.0.1 or localhost directly, or give the cluster tokens",
  });
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(?:127\.|::1$|::ffff:127\.)/.test(address);
}
