// A call of a route without a socket, for a program that has the service behind it at hand: the same shapes
// read it, the same refusals come back.

import { Mem0ctlError } from "../model/errors.ts";
import type { CallContext } from "../memory/service.ts";
import type { BoundRoute } from "./route.ts";

export interface InProcessRequest {
  readonly method: string;
  /** With its query, percent-encoded as in a URL. */
  readonly path: string;
  readonly body?: unknown;
}

/** @throws Mem0ctlError `route-unknown`, or as the route does. */
export async function callRoute(
  routes: readonly BoundRoute[],
  { method, path, body }: InProcessRequest,
  context: CallContext,
): Promise<unknown> {
  const url = new URL(path, "http://in-process");
  for (const route of routes) {
    const params = route.method === method ? paramsOf(route.path, url.pathname) : undefined;
    if (params === undefined) continue;
    return route.run({ params, query: Object.fromEntries(url.searchParams), body }, context);
  }
  throw new Mem0ctlError("not-found", "route-unknown", `there is no route ${method} ${url.pathname}`);
}

function paramsOf(pattern: string, path: string): Readonly<Record<string, string>> | undefined {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [at, part] of wanted.entries()) {
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    if (name !== undefined) params[name] = decodeURIComponent(given[at] ?? "");
    else if (part !== given[at]) return undefined;
  }
  return params;
}
