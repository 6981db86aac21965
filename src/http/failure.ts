// How a failure is answered: always an ErrorBody, its status taken from the error's kind, and nothing of
// an unexpected error's insides.

import { errorBody, HTTP_STATUS, Mem0ctlError, type ErrorBody } from "../model/errors.ts";

/** Codes whose HTTP status is finer than that of their kind. */
const STATUS_OF_CODE: ReadonlyMap<string, number> = new Map([
  ["unauthenticated", 401],
  ["request-timeout", 408],
  ["uri-too-long", 414],
  ["media-type-unsupported", 415],
  ["upgrade-required", 426],
  ["header-too-large", 431],
]);

/** Seconds that `Retry-After` names for the kinds that pass by themselves. */
const RETRY_AFTER_SECONDS = "1";

export interface Failure {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ErrorBody;
  /** Set where the error is not one of ours: a bug, to be logged. */
  readonly unexpected: unknown;
}

export function failureOf(error: unknown, requestId: string): Failure {
  const known = error instanceof Mem0ctlError ? error : ofFramework(error);
  const answered =
    known ??
    new Mem0ctlError("failed", "internal", "the node failed to answer this request", {
      hint: `see the node's log for request ${requestId}`,
    });
  const status = STATUS_OF_CODE.get(answered.code) ?? HTTP_STATUS[answered.kind];
  return {
    status,
    headers: {
      ...(status === 401 ? { "www-authenticate": 'Bearer realm="mem0ctl"' } : {}),
      ...(answered.kind === "busy" || answered.kind === "unavailable"
        ? { "retry-after": RETRY_AFTER_SECONDS }
        : {}),
    },
    body: errorBody(answered, requestId),
    unexpected: known === undefined ? error : undefined,
  };
}

/** Errors of fastify that a client caused, in our words; undefined for any other error. */
function ofFramework(error: unknown): Mem0ctlError | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  switch (error.code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return new Mem0ctlError("too-large", "body-too-large", "the body is larger than this node reads", {
        hint: "send smaller batches, or raise limits.body in the manifest",
      });
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return new Mem0ctlError("invalid", "media-type-unsupported", "the body must be JSON", {
        hint: "send the header Content-Type: application/json",
      });
    case "FST_ERR_CTP_INVALID_CONTENT_LENGTH":
      return new Mem0ctlError("invalid", "body-cut-short", "the body is not as long as Content-Length says");
    case "FST_ERR_BAD_URL":
      return new Mem0ctlError("invalid", "url-invalid", "the path is not validly percent-encoded");
    case "FST_ERR_MAX_PARAM_LENGTH":
      return new Mem0ctlError("invalid", "uri-too-long", "a part of the path is too long");
    default:
      return undefined;
  }
}

/** A whole response in HTTP/1.1, for sockets on which no request could be parsed or was let through. */
export function rawResponse(
  failure: Failure,
  reason: string,
  extraHeaders: Readonly<Record<string, string>> = {},
): string {
  const body = JSON.stringify(failure.body);
  const headers = {
    ...failure.headers,
    "content-type": "application/json; charset=utf-8",
    "content-length": String(Buffer.byteLength(body)),
    connection: "close",
    ...extraHeaders,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${failure.status} ${reason}\r\n${lines.join("")}\r\n${body}`;
}
