// The HTTP clients of the benches, the same for us and for the peer: closed-loop clients that measure
// throughput, and open-loop probes that measure how long nothing is acknowledged.
import { Client, Pool } from "undici";
import { sleep } from "./support.mjs";

/** Resolves to `{ status, body }`; rejects when no answer came. */
export function send(dispatcher, { method, path, body }, timeoutMs = 30_000) {
  return new Promise((resolve, reject) => {
    let status = 0;
    const chunks = [];
    dispatcher.dispatch(
      {
        method,
        path,
        body,
        headers: { "content-type": "application/json" },
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
      },
      {
        onRequestStart() {},
        onResponseStart(_controller, statusCode) {
          status = statusCode;
        },
        onResponseData(_controller, chunk) {
          chunks.push(chunk);
        },
        onResponseEnd() {
          resolve({ status, body: Buffer.concat(chunks) });
        },
        onResponseError(_controller, error) {
          reject(error);
        },
      },
    );
  });
}

/** One request on a connection of its own; resolves to the parsed JSON, throws unless the status is 2xx. */
export async function requestJson(endpoint, request) {
  const client = new Client(endpoint);
  try {
    const { status, body } = await send(client, request);
    if (status < 200 || status > 299) throw new Error(`${request.path}: HTTP ${status} ${body}`);
    return JSON.parse(body.toString());
  } finally {
    await client.close();
  }
}

/**
 * `clients` clients, each with one connection and one request in flight, spread evenly over the
 * endpoints, for `leadSeconds` and then `seconds`. `nextRequest()` makes the next request. Only answers with
 * a 2xx status that arrive within the latter count. Resolves to `{ perSecond, acknowledged, failed,
 * firstFailure, latenciesMs }`; `acknowledged` counts also those that arrived before and after.
 */
export async function closedLoop({ endpoints, clients, seconds, nextRequest, leadSeconds = 0 }) {
  const connections = Array.from(
    { length: clients },
    (_, index) => new Client(endpoints[index % endpoints.length], { pipelining: 1 }),
  );
  const latenciesMs = [];
  let acknowledged = 0;
  let failed = 0;
  let firstFailure;
  const countsFrom = performance.now() + leadSeconds * 1_000;
  const endAt = countsFrom + seconds * 1_000;

  async function loop(connection) {
    let now = performance.now();
    while (now < endAt) {
      const sentAt = now;
      try {
        const { status, body } = await send(connection, nextRequest());
        now = performance.now();
        if (status >= 200 && status <= 299) {
          acknowledged++;
          if (now >= countsFrom && now <= endAt) latenciesMs.push(now - sentAt);
        } else {
          failed++;
          firstFailure ??= `HTTP ${status} ${body.toString().slice(0, 200)}`;
        }
      } catch (error) {
        failed++;
        firstFailure ??= error.message;
        // A dead endpoint must not turn the loop into a spin.
        await sleep(50);
        now = performance.now();
      }
    }
  }

  await Promise.all(connections.map(loop));
  await Promise.all(connections.map((connection) => connection.destroy()));
  return { perSecond: latenciesMs.length / seconds, acknowledged, failed, firstFailure, latenciesMs };
}

/**
 * From now on sends a new write for every target each `intervalMs`, whatever became of the earlier
 * ones, round robin over the endpoints. Resolves to the ms from now until the first acknowledgement per
 * target, or throws after `timeoutMs` naming the targets that never got one.
 */
export async function timeToFirstAcknowledgement({
  endpoints,
  targets,
  nextRequest,
  intervalMs = 20,
  timeoutMs = 20_000,
}) {
  const pools = endpoints.map((endpoint) => new Pool(endpoint, { connections: 512, pipelining: 1 }));
  const began = performance.now();
  const firstMs = new Map();
  let lastFailure = "no answer";
  let turn = 0;

  function probe(target) {
    const pool = pools[turn++ % pools.length];
    void send(pool, nextRequest(target), timeoutMs).then(
      ({ status, body }) => {
        if (status >= 200 && status <= 299) {
          if (!firstMs.has(target)) firstMs.set(target, performance.now() - began);
        } else lastFailure = `HTTP ${status} ${body.toString().slice(0, 200)}`;
      },
      (error) => {
        lastFailure = error.message;
      },
    );
  }

  try {
    while (firstMs.size < targets.length) {
      if (performance.now() - began > timeoutMs) {
        const silent = targets.filter((target) => !firstMs.has(target));
        throw new Error(
          `no write acknowledged within ${timeoutMs} ms for ${silent.join(", ")}: ${lastFailure}`,
        );
      }
      for (const target of targets) if (!firstMs.has(target)) probe(target);
      await sleep(intervalMs);
    }
  } finally {
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
  return targets.map((target) => firstMs.get(target));
}
