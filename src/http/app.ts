// Requests to answers: fastify over the routes, with authentication, admission, request ids, deadlines
// and errors around them. Knows no sockets; server.ts owns those. Logs no request, only what went wrong.
// Most writes and searches do not come here: short-way.ts takes them.

import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Logger } from "pino";
import type { ConsistencyTerms } from "../model/consistency.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { LimitsSpec } from "../model/manifest.ts";
import { createGate, type TokenDigest } from "./access.ts";
import type { Admission } from "./admission.ts";
import { bodyBytesOf, contextOf, requestIdOf } from "./context.ts";
import { failureOf } from "./failure.ts";
import { parseJsonBody } from "./json-body.ts";
import type { Access, BoundRoute } from "./route.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Who may call the route; a route without it cannot be registered. */
    access?: Access;
  }
}

export interface AppOptions {
  readonly routes: readonly BoundRoute[];
  readonly tokens: readonly TokenDigest[];
  readonly limits: LimitsSpec;
  readonly consistency: ConsistencyTerms;
  readonly logger: Logger | false;
  readonly admission: Admission;
  /** Throws where the request's connection is one too many. */
  readonly checkConnection: (request: IncomingMessage) => void;
}

/** Longest part of a path: a name of 256 characters, each up to four percent-encoded bytes. */
const PATH_PART_MAX = 256 * 12;

/** Not ready before `await app.ready()`. Throws where a route declares no access. */
export function createApp(options: AppOptions): FastifyInstance {
  const { admission, logger } = options;
  const gate = createGate(options.tokens);

  const answerFailure = (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const failure = failureOf(error, request.id);
    if (logger !== false) {
      const { code } = failure.body.error;
      // Only unexpected errors carry a stack, and none carries headers: tokens travel in those.
      if (failure.unexpected !== undefined) {
        logger.error(
          { requestId: request.id, route: request.routeOptions.url, err: failure.unexpected },
          "failed",
        );
      } else {
        logger.debug({ requestId: request.id, route: request.routeOptions.url, code }, "refused");
      }
    }
    void reply
      .status(failure.status)
      .headers({ "x-request-id": request.id, "cache-control": "no-store", ...failure.headers })
      .send(failure.body);
  };

  const app = fastify({
    logger: false,
    bodyLimit: options.limits.bodyBytesMax,
    exposeHeadRoutes: false,
    requestIdHeader: false,
    genReqId: requestIdOf,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: PATH_PART_MAX },
    frameworkErrors: (error, request, reply) => {
      // It comes here before any hook: whoever may not call a route may not probe the router either.
      answerFailure(attempt(() => gate.check(callerOf(request), "read")) ?? error, request, reply);
    },
  });

  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => {
    // parseAs "buffer" gives a Buffer; the type covers both ways.
    const error = attempt(() =>
      done(null, parseJsonBody(typeof body === "string" ? Buffer.from(body) : body)),
    );
    if (error instanceof Error) done(error);
  });

  app.addHook("onRoute", (route) => {
    if (route.config?.access === undefined)
      throw new Error(`${String(route.method)} ${route.url} declares no access`);
  });
  app.addHook("onRequest", (request, reply, done) => {
    try {
      options.checkConnection(request.raw);
      const access = request.is404 ? "read" : request.routeOptions.config.access;
      if (access === undefined) throw new Mem0ctlError("denied", "role-too-small", "this route is closed");
      gate.check(callerOf(request), access);
      reply.raw.once("close", admission.enter(bodyBytesOf(request.headers, options.limits.bodyBytesMax)));
    } catch (error) {
      // Whoever is refused before the body was read must not go on sending it.
      void reply.header("connection", "close");
      done(error instanceof Error ? error : new Error("refused"));
      return;
    }
    done();
  });
  app.setErrorHandler(answerFailure);
  app.setNotFoundHandler((request, reply) => {
    answerFailure(
      new Mem0ctlError("not-found", "route-unknown", "there is no such route", {
        hint: "GET /openapi.json lists the routes",
      }),
      request,
      reply,
    );
  });

  for (const route of options.routes) {
    app.route({
      method: route.method,
      url: route.path.replaceAll(/\{(\w+)\}/g, ":$1"),
      config: { access: route.access },
      handler: async (request, reply) => {
        const raw = { params: plain(request.params), query: plain(request.query), body: request.body };
        const context = contextOf(request.headers, request.id, options.consistency);
        const answer = await admission.run(() => route.run(raw, context));
        return reply.headers({ "x-request-id": request.id, "cache-control": "no-store" }).send(answer);
      },
    });
  }
  return app;
}

function callerOf(request: FastifyRequest): {
  headers: IncomingHttpHeaders;
  remoteAddress: string | undefined;
} {
  return { headers: request.headers, remoteAddress: request.raw.socket.remoteAddress };
}

/** The router's own objects have prototypes of their own. */
function plain(value: unknown): object {
  return typeof value === "object" ? { ...value } : {};
}

/** What the call threw, if anything. */
function attempt(call: () => void): unknown {
  try {
    call();
    return undefined;
  } catch (error) {
    return error;
  }
}
