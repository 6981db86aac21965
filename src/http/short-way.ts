// The short way of the requests that are most of a node's work: a POST whose path alone names its route and
// whose length is announced goes from node:http straight to the route, with the same gate, admission, parser,
// deadline and errors. What is unusual in any way is fastify's. A request costs a third less of the edge's time.

import type { IncomingMessage, ServerResponse } from "node:http";
import { createGate } from "./access.ts";
import type { AppOptions } from "./app.ts";
import { contextOf, requestIdOf } from "./context.ts";
import { failureOf } from "./failure.ts";
import { parseJsonBody } from "./json-body.ts";
import type { BoundRoute } from "./route.ts";

const JSON_TYPE = "application/json; charset=utf-8";

/** False when the request was left alone and is to be answered otherwise. */
export type ShortWay = (request: IncomingMessage, response: ServerResponse) => boolean;

export function createShortWay(options: AppOptions): ShortWay {
  const { admission, logger, limits } = options;
  const gate = createGate(options.tokens);
  const routes = routesByPath(options.routes);

  const answer = async (
    route: BoundRoute,
    request: IncomingMessage,
    response: ServerResponse,
    id: string,
    body: Buffer,
  ): Promise<void> => {
    try {
      const raw = { params: {}, query: {}, body: parseJsonBody(body) };
      const context = contextOf(request.headers, id, options.consistency);
      const result = await admission.run(() => route.run(raw, context));
      send(response, 200, id, {}, result);
    } catch (error) {
      answerFailure(error, route, response, id);
    }
  };

  const answerFailure = (error: unknown, route: BoundRoute, response: ServerResponse, id: string): void => {
    const { status, headers, body, unexpected } = failureOf(error, id);
    if (logger !== false && unexpected !== undefined) {
      logger.error({ requestId: id, route: route.path, err: unexpected }, "failed");
    } else if (logger !== false) {
      logger.debug({ requestId: id, route: route.path, code: body.error.code }, "refused");
    }
    send(response, status, id, headers, body);
  };

  return (request, response) => {
    const { headers } = request;
    const route = request.method === "POST" ? routes.get(request.url ?? "") : undefined;
    if (route === undefined || !isJson(headers["content-type"])) return false;
    const length = announcedBytes(request);
    if (length === undefined || length > limits.bodyBytesMax) return false;
    const id = requestIdOf(request);
    try {
      options.checkConnection(request);
      gate.check({ headers, remoteAddress: request.socket.remoteAddress }, route.access);
      response.once("close", admission.enter(length));
    } catch (error) {
      // Whoever is refused before the body was read must not go on sending it.
      response.setHeader("connection", "close");
      answerFailure(error, route, response, id);
      return true;
    }
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    // A request that breaks off has no end, and nobody who could be answered.
    request.on("end", () => {
      const [first] = chunks;
      const whole = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
      void answer(route, request, response, id, whole);
    });
    return true;
  };
}

function routesByPath(all: readonly BoundRoute[]): ReadonlyMap<string, BoundRoute> {
  const routes = new Map<string, BoundRoute>();
  for (const route of all) {
    if (route.method !== "POST" || route.path.includes("{")) continue;
    const path = route.path.replace(/\/$/, "");
    routes.set(path, route);
    routes.set(`${path}/`, route);
  }
  return routes;
}

function isJson(type: string | undefined): boolean {
  return type === "application/json" || type === JSON_TYPE;
}

/** undefined where the length is not plainly said, or there is nothing. */
function announcedBytes({ headers }: IncomingMessage): number | undefined {
  const length = headers["content-length"];
  if (length === undefined || !/^[1-9]\d{0,9}$/.test(length)) return undefined;
  return headers["transfer-encoding"] === undefined ? Number(length) : undefined;
}

function send(
  response: ServerResponse,
  status: number,
  id: string,
  headers: Readonly<Record<string, string>>,
  body: unknown,
): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "x-request-id": id,
    "cache-control": "no-store",
    ...headers,
    "content-type": JSON_TYPE,
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}
