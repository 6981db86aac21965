// A cluster that somebody else made, found by one of its servers: what a manifest for it says.

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import { Mem0ctlError } from "../../model/errors.ts";
import type { DiscoverOptions, DiscoveredCluster, DiscoveredNode } from "../discovered-cluster.ts";
import { RedisConnection } from "./connection.ts";
import type { RedisCredentials } from "./connection.ts";
import { parseClusterNodes } from "./gossip.ts";
import type { GossipNode } from "./gossip.ts";
import { ProtocolError, ReplyError, textOf } from "./reply-values.ts";

const PORT = 6379;

/**
 * Asks the server at `redis://[user@]host[:port]`, or `rediss://…` with TLS.
 * @throws Mem0ctlError `invalid-url`, `inline-secret` (invalid), `not-a-cluster` (failed), NodeFailure.
 */
export async function discoverRedis(url: URL, options: DiscoverOptions): Promise<DiscoveredCluster> {
  if (url.password !== "") {
    throw new Mem0ctlError("invalid", "inline-secret", "the URL holds a password", {
      why: "other users of this machine can read command lines",
      hint: "put it into an environment variable, and name that: --password-env NAME",
    });
  }
  const secure = url.protocol === "rediss:";
  if (secure && options.tls === undefined) {
    throw new Mem0ctlError("invalid", "missing-option", "rediss:// needs certificates", {
      why: "servers ask clients for one, and are checked against their authority's",
      hint: "give --ca FILE, --cert FILE and --key-file FILE",
    });
  }
  const user = url.username === "" ? undefined : decodeURIComponent(url.username);
  const credentials: RedisCredentials = {
    user,
    password: options.password,
    tls: secure && options.tls !== undefined ? await filesOf(options.tls) : undefined,
  };
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? PORT : Number(url.port);
  const connection = new RedisConnection({ id: url.host, host, port }, credentials);
  try {
    const lines = parseClusterNodes(textOf(await connection.call(["CLUSTER", "NODES"], options)));
    return { engine: "redis", ...clusterOf(lines, host), ...(user === undefined ? {} : { user }) };
  } catch (error) {
    if (!(error instanceof ReplyError || error instanceof ProtocolError)) throw error;
    throw new Mem0ctlError("failed", "not-a-cluster", `${url.host} is not a server of a cluster`, {
      why: error.message,
      hint: "name a server that runs with `cluster-enabled yes`",
    });
  } finally {
    connection.close();
  }
}

/** @internal Tested without servers. */
export function clusterOf(
  lines: readonly GossipNode[],
  asked: string,
): Pick<DiscoveredCluster, "nodes" | "shards" | "replicas"> {
  const members = lines.filter(
    ({ flags }) => !["noaddr", "handshake", "fail"].some((flag) => flags.has(flag)),
  );
  // A shard's primary, then its replicas: so the order of the nodes shows the shards.
  const primaries = members
    .filter(({ primary }) => primary === null)
    .toSorted((one, other) => (one.slots[0]?.from ?? Infinity) - (other.slots[0]?.from ?? Infinity));
  const groups = primaries.map((primary) => [
    primary,
    ...members.filter((member) => member.primary === primary.redisId),
  ]);
  // A server that was never told its own address shows none; it is the one that was asked.
  const hostOf = ({ host }: GossipNode): string => (host === "" ? asked : host);
  const nodes = groups.flat().map((node, index): DiscoveredNode => {
    const host = hostOf(node);
    return {
      id: `node-${index + 1}`,
      address: `${host.includes(":") ? `[${host}]` : host}:${node.port}`,
      role: "primary",
      zone: zoneOf(host),
      manage: "connect",
    };
  });
  const copies = Math.min(
    ...groups.filter(([primary]) => (primary?.slots.length ?? 0) > 0).map((group) => group.length),
  );
  return { nodes, shards: groups.length, replicas: Number.isFinite(copies) ? copies - 1 : 0 };
}

/** Servers of one host fail together. */
function zoneOf(host: string): string {
  return host.replaceAll(/[^A-Za-z0-9._-]/g, "-").replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, "") || "host";
}

async function filesOf(
  tls: NonNullable<DiscoverOptions["tls"]>,
): Promise<NonNullable<RedisCredentials["tls"]>> {
  const read = async (path: string): Promise<Buffer> => {
    try {
      return await readFile(resolve(path));
    } catch (cause) {
      throw new Mem0ctlError("invalid", "file-unreadable", `${path} cannot be read`, {
        why: cause instanceof Error ? cause.message : String(cause),
        cause,
      });
    }
  };
  return {
    ca: await read(tls.ca),
    cert: await read(tls.cert),
    key: await read(tls.key),
  };
}
