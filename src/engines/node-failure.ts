// A node as it is dialled, and every way in which reaching it can fail, in a few words that fit a table
// cell. The same words for every engine, because people and scripts read them.

import { Mem0ctlError } from "../model/errors.ts";
import type { ErrorKind } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import { formatDuration } from "../model/units.ts";

export interface Endpoint {
  readonly id: NodeId;
  readonly host: string;
  readonly port: number;
  /** The host that the certificate names, where another one is dialled. */
  readonly certifiedHost?: string;
}

/** A node did not do what it was asked. `reason` is short, for a table cell: `connection refused`. */
export class NodeFailure extends Mem0ctlError {
  readonly node: NodeId;
  readonly reason: string;
  /** false: the node certainly never saw the request, so another one may be asked. */
  readonly sent: boolean;

  constructor(
    node: NodeId,
    reason: string,
    sent: boolean,
    error: { kind: ErrorKind; code: string; message: string; why?: string; hint: string; cause?: unknown },
    data: Readonly<Record<string, unknown>> = {},
  ) {
    const { kind, code, message, why, hint, cause } = error;
    super(kind, code, message, {
      ...(why === undefined ? {} : { why }),
      hint,
      data: { node, ...data },
      cause,
    });
    this.node = node;
    this.reason = reason;
    this.sent = sent;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  EPIPE: "connection closed",
  ETIMEDOUT: "no connection: timed out",
  EHOSTUNREACH: "host unreachable",
  ENETUNREACH: "network unreachable",
  ENOTFOUND: "host not found",
  EAI_AGAIN: "host name could not be looked up",
  DEPTH_ZERO_SELF_SIGNED_CERT: "certificate not signed by the CA",
  SELF_SIGNED_CERT_IN_CHAIN: "certificate not signed by the CA",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "certificate not signed by the CA",
  ERR_TLS_CERT_ALTNAME_INVALID: "certificate is for another host",
  CERT_HAS_EXPIRED: "certificate has expired",
  CERT_NOT_YET_VALID: "certificate is not valid yet",
  ERR_SSL_WRONG_VERSION_NUMBER: "does not speak TLS",
  EPROTO: "does not speak TLS",
};

/** Why there is no connection, or none any more. */
export function connectionReason(error: Error): string {
  const code = systemCode(error);
  return REASONS[code] ?? (code === "" ? error.message : code);
}

/** `ECONNREFUSED`; "" for what is no error of the system. */
export function systemCode(error: Error): string {
  // A host name with several addresses fails with one error for each of them.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  return first instanceof Error && "code" in first && typeof first.code === "string" ? first.code : "";
}

/** `2 s` rather than `2.0 s`. */
export function shortDuration(ms: number): string {
  const rounded = ms >= 1000 ? Math.round(ms / 100) * 100 : Math.round(ms);
  return rounded >= 1000 && rounded < 60_000 ? `${rounded / 1000} s` : formatDuration(rounded);
}
