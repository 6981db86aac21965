// Compares what the replicas of a shard hold, by digests of text, vector and everything else. Clients write
// meanwhile, so what differs is looked at again, when each replica has all that any of them had at the look before,
// until it is the same or stays different without being written.

import { createHash, type Hash } from "node:crypto";
import { Mem0ctlError } from "../../model/errors.ts";
import type { NodeId, ShardId } from "../../model/ids.ts";
import type { DifferingMemory, ReplicaContent, ShardVerification } from "../../model/node-api.ts";
import type { ShardMap } from "../../model/shard-map.ts";
import { shardById } from "../../topology/shard-map.ts";
import { pause, type Clock } from "../clock.ts";
import { queries } from "../cluster/shard-queries.ts";
import type { Query } from "../cluster/router.ts";
import type { MemoryDigest } from "../memories/digests.ts";

const PAGE = 1000;
const DIFFERENCES_MAX = 1000;
/** How old a replica's answer may be. */
export const VERIFIED_STALENESS_MS = 500;
/**
 * How often a replica is asked that does not know how old its state is, and the rest between: a busy leader is slow
 * to say so. Only for a while; who asked for the comparison may ask again.
 *
 * @internal The tests count.
 */
export const ASKED_MAX = 4;
const ASK_AGAIN_MS = 250;
/** Looks at what differs, and the rest between them: longer than any answer is old. */
const LOOKS_MAX = 6;
const REST_MS = VERIFIED_STALENESS_MS + 200;
const PARTS = ["text", "vector", "metadata"] as const;

export interface VerifierOptions {
  readonly clock: Clock;
  readonly map: () => ShardMap;
  /** Asks one replica, which answers from its own state, at most VERIFIED_STALENESS_MS old. */
  readonly ask: (node: NodeId, shard: ShardId, query: Query, deadlineMs: number) => Promise<unknown>;
}

type Page = readonly MemoryDigest[];

/** How each replica has a memory; undefined where it has none. */
type Sight = readonly (MemoryDigest | undefined)[];

export class Verifier {
  private readonly options: VerifierOptions;

  constructor(options: VerifierOptions) {
    this.options = options;
  }

  /** @throws Mem0ctlError `unknown-shard`; a replica that does not answer is in the result, with why. */
  async verify(shard: ShardId, deadlineMs: number): Promise<ShardVerification> {
    const slice = shardById(this.options.map(), shard);
    if (slice === undefined) {
      throw new Mem0ctlError("not-found", "unknown-shard", `there is no shard ${shard}`, {
        hint: "see them with `mem0ctl shards list`",
      });
    }
    const contents = new Map(slice.replicas.map((node) => [node, new Content(node)]));
    const differing: string[] = [];
    for (let after: string | null = null; ;) {
      const seen = await this.nextPages([...contents.values()], shard, after, deadlineMs);
      if (seen === undefined) break;
      const { pages, until } = seen;
      for (const [content, page] of pages) content.add(page);
      differing.push(...idsThatDiffer([...pages.values()]));
      if (until === null) break;
      after = until;
    }
    const differences = await this.settle(shard, [...contents.values()], differing, deadlineMs);
    return {
      shard,
      replicas: [...contents.values()].map((content) => content.result()),
      differences: differences.slice(0, DIFFERENCES_MAX),
      differing: differences.length,
    };
  }

  /**
   * What the replicas that can be read have of the next ids, up to the same one, or all there is (null). None of them is
   * asked for more than a page, whatever the others lack: it answers its clients meanwhile. undefined where none can be read.
   */
  private async nextPages(
    contents: readonly Content[],
    shard: ShardId,
    after: string | null,
    deadlineMs: number,
  ): Promise<{ readonly pages: ReadonlyMap<Content, Page>; readonly until: string | null } | undefined> {
    const readable = (): readonly Content[] => contents.filter(({ error }) => error === undefined);
    const pages = new Map<Content, Page>();
    let until: string | null = null;
    const read = async (content: Content): Promise<void> => {
      const page = await this.page(content, shard, { after, until, limit: PAGE }, deadlineMs);
      if (page === undefined) pages.delete(content);
      else pages.set(content, page);
    };
    // A page that is full may not be all that the replica has up to there.
    const endOf = (page: Page): string | null => (page.length < PAGE ? until : (page.at(-1)?.[0] ?? null));
    while (pages.size === 0) {
      const [first] = readable();
      // It was the first that could be read: the next one takes its place.
      if (first === undefined) return undefined;
      await read(first);
    }
    for (const page of pages.values()) until = endOf(page);
    await Promise.all(
      readable()
        .filter((content) => !pages.has(content))
        .map(read),
    );
    for (;;) {
      // In the order of the store, which the replicas' answers are in: an end that is another one is a nearer one.
      const nearer = [...pages.values()].map(endOf).find((end) => end !== until);
      if (nearer === undefined) return { pages, until };
      until = nearer;
      await Promise.all([...pages.keys()].map(read));
    }
  }

  private async page(
    content: Content,
    shard: ShardId,
    range: Parameters<typeof queries.digests>[0],
    deadlineMs: number,
  ): Promise<readonly MemoryDigest[] | undefined> {
    return this.digests(content, shard, queries.digests(range), deadlineMs);
  }

  /** undefined where the replica cannot be read; it is out of the comparison then, and its content has the error. */
  private async digests(
    content: Content,
    shard: ShardId,
    query: Query,
    deadlineMs: number,
  ): Promise<readonly MemoryDigest[] | undefined> {
    const { ask, clock } = this.options;
    for (let asked = 1; ; asked += 1) {
      try {
        return (await ask(content.node, shard, query, deadlineMs)) as readonly MemoryDigest[];
      } catch (error) {
        const isLast = asked === ASKED_MAX || clock.nowMs() + ASK_AGAIN_MS >= deadlineMs;
        if (isLast || !(error instanceof Mem0ctlError && error.code === "too-stale")) {
          content.fail(error);
          return undefined;
        }
      }
      await pause(clock, ASK_AGAIN_MS);
    }
  }

  /** What was only on its way is the same at a later look; what is written all the time is not judged. */
  private async settle(
    shard: ShardId,
    contents: readonly Content[],
    ids: readonly string[],
    deadlineMs: number,
  ): Promise<readonly DifferingMemory[]> {
    let left = new Map<string, Sight | undefined>(ids.map((id) => [id, undefined]));
    const found: DifferingMemory[] = [];
    for (let look = 0; look < LOOKS_MAX && left.size > 0; look += 1) {
      await pause(this.options.clock, REST_MS);
      const asked = [...left.keys()];
      const answers = new Map<NodeId, ReadonlyMap<string, MemoryDigest>>();
      await Promise.all(
        contents.map(async (content) => {
          if (content.error !== undefined) return;
          const known = new Map<string, MemoryDigest>();
          for (let at = 0; at < asked.length; at += PAGE) {
            const query = queries.digestsOf(asked.slice(at, at + PAGE));
            const digests = await this.digests(content, shard, query, deadlineMs);
            if (digests === undefined) return;
            for (const digest of digests) known.set(digest[0], digest);
          }
          answers.set(content.node, known);
        }),
      );
      const nodes = contents.flatMap(({ node }) => (answers.has(node) ? [node] : []));
      const next = new Map<string, Sight | undefined>();
      for (const id of asked) {
        const sight = nodes.map((node) => answers.get(node)?.get(id));
        if (isOne(sight)) continue;
        const before = left.get(id);
        if (before !== undefined && sameSight(before, sight)) found.push(describe(id, nodes, sight));
        else next.set(id, sight);
      }
      left = next;
    }
    return found;
  }
}

/** What one replica was seen to hold. */
class Content {
  readonly node: NodeId;
  /** Why it cannot be read. */
  error: string | undefined;
  private code: string | undefined;
  private memories = 0;
  private readonly hash: Hash = createHash("sha256");

  constructor(node: NodeId) {
    this.node = node;
  }

  add(digests: readonly MemoryDigest[]): void {
    this.memories += digests.length;
    for (const digest of digests) this.hash.update(`${digest.join(" ")}\n`);
  }

  fail(error: unknown): void {
    this.error = error instanceof Error ? error.message : String(error);
    this.code = error instanceof Mem0ctlError ? error.code : undefined;
  }

  result(): ReplicaContent {
    const { node, error, code, memories } = this;
    if (error !== undefined) {
      return { node, memories: null, digest: null, error, ...(code === undefined ? {} : { code }) };
    }
    return { node, memories, digest: this.hash.digest("hex") };
  }
}

function idsThatDiffer(pages: readonly (readonly MemoryDigest[])[]): string[] {
  const seen = new Map<string, string[]>();
  for (const page of pages) {
    for (const digest of page) {
      const known = seen.get(digest[0]);
      if (known === undefined) seen.set(digest[0], [digest.join(" ")]);
      else known.push(digest.join(" "));
    }
  }
  return [...seen].flatMap(([id, [one, ...others]]) =>
    others.length + 1 === pages.length && others.every((other) => other === one) ? [] : [id],
  );
}

function isOne(sight: Sight): boolean {
  const [first] = sight;
  return sight.every((digest) => digest?.join(" ") === first?.join(" "));
}

function sameSight(a: Sight, b: Sight): boolean {
  // A replica that could not be read any more is missing in the later one.
  return a.length === b.length && a.every((digest, at) => digest?.join(" ") === b[at]?.join(" "));
}

function describe(id: string, nodes: readonly NodeId[], sight: Sight): DifferingMemory {
  const parts = PARTS.filter((_, at) => {
    const values = new Set(sight.flatMap((digest) => digest?.[at + 1] ?? []));
    return values.size > 1;
  });
  const counts = new Map<string, number>();
  for (const digest of sight) {
    const words = digest?.join(" ") ?? "";
    counts.set(words, (counts.get(words) ?? 0) + 1);
  }
  const most = Math.max(...counts.values());
  const usual = [...counts].filter(([, count]) => count === most);
  return {
    id,
    parts: sight.includes(undefined) ? ["presence", ...parts] : parts,
    copies: nodes.map((node, at) => ({
      node,
      present: sight[at] !== undefined,
      // Where two halves disagree nobody can tell which is right.
      isOdd: usual.length === 1 && (sight[at]?.join(" ") ?? "") !== usual[0]?.[0],
    })),
  };
}
