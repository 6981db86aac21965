// Reads from replicas, and how old what they answer may be. Replicas follow asynchronously, and what servers
// say of their lag is in whole seconds. So a bound rests on places in the stream of replication: a primary is asked
// how far it is, and whatever it had acknowledged before the question is not behind that place. A replica says
// with every answer how far it is itself; where it has passed the place, it lacks nothing that was
// acknowledged before the question. Only this process' clock is read, and only when a question was sent.

import type { Endpoint } from "../node-failure.ts";
import type { RedisConnection, SendOptions } from "./connection.ts";
import { infoNumber, parseInfo } from "./gossip.ts";
import { textOf, type Command, type Reply } from "./reply-values.ts";

/** What is asked before anything is read, on the same connection: nothing is remembered of a replica. */
const PREFACE: readonly Command[] = [["READONLY"], ["INFO", "replication"]];
/** A replica that failed is asked after the others for this long. */
const AVOIDED_MS = 1000;
/** Weight of the newest answer in the time that a replica takes. */
const NEWEST = 0.2;

/** A place in a stream of replication. Offsets of different streams say nothing of each other. */
interface Place {
  readonly stream: string;
  readonly offset: number;
}

/** Whatever was acknowledged before the time is not behind the place. */
export interface Mark extends Place {
  /** On the monotonic clock. */
  readonly atMs: number;
  readonly primary: string;
}

export class ReplicaReads {
  readonly #connection: (endpoint: Endpoint) => Promise<RedisConnection>;
  /** By primary, oldest first. */
  readonly #marks = new Map<string, readonly Mark[]>();
  readonly #asking = new Map<string, Promise<void>>();
  readonly #tookMs = new Map<string, number>();
  readonly #avoidedUntilMs = new Map<string, number>();

  constructor(connection: (endpoint: Endpoint) => Promise<RedisConnection>) {
    this.#connection = connection;
  }

  /** Those that answered fastest first; one that was never asked before them, one that just failed last. */
  nearestFirst(replicas: readonly Endpoint[]): Endpoint[] {
    const nowMs = performance.now();
    const cost = (endpoint: Endpoint): number => {
      const name = nameOf(endpoint);
      return (this.#avoidedUntilMs.get(name) ?? 0) > nowMs ? Infinity : (this.#tookMs.get(name) ?? 0);
    };
    const costs = new Map(replicas.map((one) => [one, cost(one)]));
    return replicas.toSorted((one, other) =>
      costs.get(one) === costs.get(other) ? 0 : (costs.get(one) ?? 0) - (costs.get(other) ?? 0),
    );
  }

  /**
   * The easiest mark that a replica must have passed for a read that began at `beganMs`; the primary is asked for
   * a new one when the last is older than half the bound, so that replicas have the other half to pass it.
   * undefined: none is known, because the primary does not answer, or is none any more.
   */
  async mark(
    primary: Endpoint,
    { boundMs, beganMs }: { readonly boundMs: number; readonly beganMs: number },
    send: SendOptions,
  ): Promise<Mark | undefined> {
    const name = nameOf(primary);
    const oldestMs = beganMs - boundMs;
    const valid = (): Mark | undefined => this.#marks.get(name)?.find(({ atMs }) => atMs >= oldestMs);
    const newest = this.#marks.get(name)?.at(-1);
    if (newest === undefined || newest.atMs < beganMs - boundMs / 2) {
      let asking = this.#asking.get(name);
      if (asking === undefined) {
        asking = this.#askPrimary(primary, boundMs, send).finally(() => this.#asking.delete(name));
        this.#asking.set(name, asking);
      }
      // An older mark will do meanwhile.
      if (valid() === undefined) await asking;
    }
    return valid();
  }

  async #askPrimary(primary: Endpoint, boundMs: number, send: SendOptions): Promise<void> {
    const atMs = performance.now();
    const commands: Command[] = [
      ["INFO", "replication"],
      ["CLUSTER", "INFO"],
    ];
    try {
      const [info, cluster] = await (await this.#connection(primary)).send(commands, send);
      const place = placeIn(info, "master");
      // One that is cut off from the others may have been deposed.
      const serves = parseInfo(textOf(cluster)).get("cluster_state") === "ok";
      if (place === undefined || !serves) return;
      const name = nameOf(primary);
      const kept = (this.#marks.get(name) ?? []).filter((mark) => mark.atMs >= atMs - boundMs);
      this.#marks.set(name, [...kept, { ...place, atMs, primary: name }]);
    } catch {
      // Whoever needs the mark finds that there is none.
    }
  }

  /**
   * Reads at a replica; undefined when it is none of this stream, or has not passed the mark.
   * @throws NodeFailure.
   */
  async read(
    replica: Endpoint,
    commands: readonly Command[],
    mark: Mark | undefined,
    send: SendOptions,
  ): Promise<readonly Reply[] | undefined> {
    const name = nameOf(replica);
    const beganMs = performance.now();
    try {
      const connection = await this.#connection(replica);
      const [, info, ...replies] = await connection.send([...PREFACE, ...commands], send);
      const tookMs = performance.now() - beganMs;
      this.#tookMs.set(name, (this.#tookMs.get(name) ?? tookMs) * (1 - NEWEST) + tookMs * NEWEST);
      const place = placeIn(info, "slave");
      if (place === undefined) return undefined;
      if (mark === undefined) return replies;
      if (place.stream === mark.stream) return place.offset >= mark.offset ? replies : undefined;
      // The primary may have begun another stream since: the next read asks it.
      this.#marks.delete(mark.primary);
      return undefined;
    } catch (error) {
      this.#avoidedUntilMs.set(name, performance.now() + AVOIDED_MS);
      throw error;
    }
  }
}

/** What a server has executed of its stream; undefined where it has another role, or none of a stream. */
function placeIn(reply: Reply | undefined, role: "master" | "slave"): Place | undefined {
  if (!Buffer.isBuffer(reply)) return undefined;
  const info = parseInfo(reply.toString("utf8"));
  const offset = infoNumber(info, role === "master" ? "master_repl_offset" : "slave_repl_offset");
  const stream = info.get("master_replid");
  return info.get("role") !== role || offset === null || stream === undefined
    ? undefined
    : { stream, offset };
}

function nameOf({ host, port }: Endpoint): string {
  return `${host} ${port}`;
}
