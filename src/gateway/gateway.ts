// A gateway: mem0's HTTP API in front of an engine whose own servers do not speak it. It keeps no state, so
// any number may run side by side, and one that is lost takes nothing with it.

import { readFileSync } from "node:fs";
import type { Logger } from "pino";
import { openEngine } from "../engines/registry.ts";
import { createHttpServer } from "../http/server.ts";
import { isLoopback, parseAddress, type Address } from "../manifest/address.ts";
import { checkTls, resolveTokens, tlsOfNode } from "../manifest/secrets.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { Manifest } from "../model/manifest.ts";
import { VERSION } from "../model/version.ts";
import { gatewayRoutes } from "./routes.ts";

const REQUEST_TIMEOUT_MS = 65_000;

export interface GatewayOptions {
  readonly manifest: Manifest;
  readonly manifestFile: string;
  /** `host:port`. */
  readonly listen: string;
  /** Stands for `{node}` in the manifest's TLS paths. */
  readonly name: string;
  readonly logger: Logger;
}

export interface RunningGateway {
  readonly port: number;
  /** Takes no more requests, lets those that run finish, and closes the connections to the servers. */
  stop(): Promise<void>;
}

/**
 * @throws Mem0ctlError `gateway-not-needed`, `invalid-address`, `exposed-without-security` (kind invalid),
 *   `port-taken`, and what is wrong with tokens and TLS files; nothing is left running then.
 */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const { manifest, manifestFile, logger, name } = options;
  const place = placeOf(options.listen);
  const { tokens } = await resolveTokens(manifest);
  const files = tlsOfNode(manifest, name);
  if (files !== undefined) await checkTls(files);
  checkExposure(place, { tls: files !== undefined, tokens: tokens.length > 0 });
  const engine = await openEngine(manifest, { manifestFile });
  try {
    if (engine.gateway === undefined) throw notNeeded(manifest);
    const { memories, consistency } = await engine.gateway();
    const http = createHttpServer({
      routes: gatewayRoutes({
        memories,
        bounds: { dimensions: manifest.embedding.dimensions, batchMax: manifest.limits.batchMax },
      }),
      tokens,
      ...(files === undefined
        ? {}
        : {
            tls: {
              cert: readFileSync(files.cert),
              key: readFileSync(files.key),
              ca: readFileSync(files.ca),
            },
          }),
      limits: manifest.limits,
      consistency,
      logger,
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
    });
    const { port } = await http.listen(place.host, place.port);
    logger.info({ host: place.host, port, cluster: manifest.name, version: VERSION }, "gateway started");
    let stopping: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      logger.info({ port }, "gateway stopping");
      await http.close();
      await engine.close();
      logger.info({ port }, "gateway stopped");
    };
    return { port, stop: () => (stopping ??= stop()) };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

function placeOf(listen: string): Address {
  const place = parseAddress(listen);
  if (!("problem" in place)) return place;
  throw new Mem0ctlError("invalid", "invalid-address", `--listen: ${place.problem}`, {
    hint: "give host:port, such as 127.0.0.1:8765 or [::1]:8765",
  });
}

/** The same rule as for nodes: whoever can be reached from elsewhere has TLS and asks for a token. */
function checkExposure({ host }: Address, has: { readonly tls: boolean; readonly tokens: boolean }): void {
  if (isLoopback(host) || (has.tls && has.tokens)) return;
  const missing = [has.tls ? [] : ["TLS"], has.tokens ? [] : ["a token"]].flat().join(" and ");
  throw new Mem0ctlError(
    "invalid",
    "exposed-without-security",
    `a gateway on ${host} can be reached from other machines, and the manifest has not set ${missing}`,
    { hint: "set spec.security.tls { cert, key, ca } and spec.security.tokens, or listen on 127.0.0.1" },
  );
}

function notNeeded({ engine, nodes }: Manifest): Mem0ctlError {
  return new Mem0ctlError("invalid", "gateway-not-needed", `a cluster of engine ${engine} needs no gateway`, {
    why: "each of its nodes serves mem0's HTTP API at its own address",
    hint: `send requests to ${nodes[0]?.address ?? "any of its nodes"}`,
  });
}
