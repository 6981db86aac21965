// Slots that servers move by themselves: which server has which command, what its answers mean, and what is done when
// it refuses. A socket answers here as real Valkey 9.1.2 and Redis 8.6.2 were seen to, failures included; the
// end-to-end tests run on such servers where MEM0CTL_REDIS_SERVER names one.

import { createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import {
  awaitServerMoves,
  moveAtomically,
  movesAtomically,
  Turns,
} from "../../../../src/engines/redis/atomic-moves.ts";
import { RedisConnection } from "../../../../src/engines/redis/connection.ts";
import type { End, MoveOptions } from "../../../../src/engines/redis/slot-moves.ts";
import type { Member } from "../../../../src/engines/redis/topology.ts";

const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** Answers what begins with the words of a key by the next of its answers, the last again and again. */
async function end(
  node: string,
  script: Readonly<Record<string, readonly string[]>>,
): Promise<End & { readonly asked: string[] }> {
  const asked: string[] = [];
  const left = new Map(Object.entries(script).map(([words, answers]) => [words, [...answers]]));
  const answerTo = (command: string): string => {
    for (const [words, answers] of left) {
      if (!command.startsWith(words)) continue;
      asked.push(command);
      return (answers.length > 1 ? answers.shift() : answers[0]) ?? "";
    }
    return "-ERR unknown command\r\n";
  };
  const sockets = new Set<Socket>();
  const listening = createServer((socket) => {
    sockets.add(socket);
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString();
      for (;;) {
        const count = Number(/^\*(\d+)\r\n/.exec(text)?.[1] ?? Number.NaN);
        const whole = new RegExp(`^\\*\\d+\\r\\n((?:\\$\\d+\\r\\n[^\\r]*\\r\\n){${count}})`).exec(text);
        if (whole === null) return;
        text = text.slice(whole[0].length);
        socket.write(
          answerTo(
            [...(whole[1] ?? "").matchAll(/\$\d+\r\n([^\r]*)\r\n/g)].map(([, word]) => word).join(" "),
          ),
        );
      }
    });
  });
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  const address = listening.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const credentials = { user: undefined, password: undefined, tls: undefined };
  const connection = new RedisConnection({ id: node, host: "127.0.0.1", port }, credentials);
  ends.push(() => {
    connection.close();
    for (const socket of sockets) socket.destroy();
    listening.close();
  });
  return { node, redisId: `id-of-${node}`, host: "127.0.0.1", port, connection, asked };
}

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
const jobs = (...each: readonly Readonly<Record<string, string>>[]): string =>
  `*${each.length}\r\n${each
    .map((job) => {
      const words = Object.entries(job).flat();
      return `*${words.length}\r\n${words.map(bulk).join("")}`;
    })
    .join("")}`;

/** What is asked of it is the version of its server. */
function member(info: Readonly<Record<string, string>>): Member {
  return { report: { info: new Map(Object.entries(info)) } } as unknown as Member;
}

const REDIS_8 = member({ redis_version: "8.6.2" });
const VALKEY_9 = member({ redis_version: "7.2.4", valkey_version: "9.1.2" });
const RANGES = [
  { from: 0, to: 100 },
  { from: 200, to: 200 },
];

function options(signal?: AbortSignal): MoveOptions {
  return {
    deadlineMs: performance.now() + 10_000,
    login: { user: undefined, password: undefined },
    onMoved: () => undefined,
    share: 1,
    ...(signal === undefined ? {} : { signal }),
  };
}

describe("which servers move slots by themselves", () => {
  it.each<[string, Readonly<Record<string, string>>, boolean]>([
    ["Redis 7.0.15", { redis_version: "7.0.15" }, false],
    ["Redis 8.2", { redis_version: "8.2.3" }, false],
    ["Redis 8.4", { redis_version: "8.4.0" }, true],
    ["Redis 9", { redis_version: "9.0.0" }, true],
    [
      "Valkey 8.1, which calls itself Redis 7.2.4",
      { redis_version: "7.2.4", valkey_version: "8.1.1" },
      false,
    ],
    ["Valkey 9", { redis_version: "7.2.4", valkey_version: "9.0.0" }, true],
    ["a server that does not say", {}, false],
  ])("%s", (_, info, expected) => {
    expect(movesAtomically(member(info), member(info))).toBe(expected);
  });

  it("no two that do it differently", () => {
    expect(movesAtomically(REDIS_8, VALKEY_9)).toBe(false);
    expect(movesAtomically(REDIS_8, member({ redis_version: "7.0.15" }))).toBe(false);
  });
});

const ID = "428f0b0eefd5f153fce56a75fe14903e7af96289";
const job = (state: string, more: Readonly<Record<string, string>> = {}): string =>
  jobs({ id: ID, slots: "0-100 200-200", operation: "import", state, last_error: "", retries: "0", ...more });

describe("Redis 8.4: the target imports", () => {
  it("and is watched until it has", async () => {
    const [from, to] = [
      await end("node-1", {}),
      await end("node-2", {
        "CLUSTER MIGRATION IMPORT": [bulk(ID)],
        "CLUSTER MIGRATION STATUS": [job("accumulate-buffer"), job("takeover"), job("completed")],
      }),
    ];
    expect(await moveAtomically(REDIS_8, from, to, RANGES, options())).toBe(true);
    expect(to.asked[0]).toBe("CLUSTER MIGRATION IMPORT 0 100 200 200");
    expect({ asked: to.asked.length, source: from.asked }).toEqual({ asked: 4, source: [] });
  });

  it("where it refuses, the slots are left to another way", async () => {
    const to = await end("node-2", {
      "CLUSTER MIGRATION IMPORT": ["-ERR slots belong to different source nodes\r\n"],
      "CLUSTER MIGRATION STATUS": [job("completed")],
    });
    expect(await moveAtomically(REDIS_8, await end("node-1", {}), to, RANGES, options())).toBe(false);
  });

  it("also where the command is not known", async () => {
    const to = await end("node-2", {
      "CLUSTER MIGRATION IMPORT": ["-ERR unknown subcommand 'MIGRATION'\r\n"],
      "CLUSTER MIGRATION STATUS": ["-ERR unknown subcommand 'MIGRATION'\r\n"],
    });
    expect(await moveAtomically(REDIS_8, await end("node-1", {}), to, RANGES, options())).toBe(false);
  });

  it("waits for one that another run has left to it", async () => {
    const other = (state: string): string => jobs({ id: "another", slots: "5-6", state });
    const to = await end("node-2", {
      "CLUSTER MIGRATION IMPORT": ["-ERR another ASM task is already in progress\r\n", bulk(ID)],
      "CLUSTER MIGRATION STATUS": [other("streaming-buffer"), job("completed")],
    });
    expect(await moveAtomically(REDIS_8, await end("node-1", {}), to, RANGES, options())).toBe(true);
  });

  it("goes on while the server tries again, and ends it when that does not help", async () => {
    const failed = (retries: number): string =>
      job("failed", { last_error: "connection to the source refused", retries: String(retries) });
    const to = await end("node-2", {
      "CLUSTER MIGRATION IMPORT": [bulk(ID)],
      "CLUSTER MIGRATION STATUS": [failed(1), job("connecting", { retries: "1" }), failed(20)],
      "CLUSTER MIGRATION CANCEL": [":1\r\n"],
    });
    await expect(
      moveAtomically(REDIS_8, await end("node-1", {}), to, RANGES, options()),
    ).rejects.toMatchObject({ code: "slot-not-moved", why: "connection to the source refused" });
    expect(to.asked.at(-1)).toBe(`CLUSTER MIGRATION CANCEL ID ${ID}`);
  });

  it("is cancelled by its id when the run is interrupted", async () => {
    const stop = new AbortController();
    const to = await end("node-2", {
      "CLUSTER MIGRATION IMPORT": [bulk(ID)],
      "CLUSTER MIGRATION STATUS": [job("streaming-buffer")],
      "CLUSTER MIGRATION CANCEL": [":1\r\n"],
    });
    const moving = moveAtomically(REDIS_8, await end("node-1", {}), to, RANGES, options(stop.signal));
    stop.abort();
    await expect(moving).rejects.toMatchObject({ code: "interrupted" });
    expect(to.asked.at(-1)).toBe(`CLUSTER MIGRATION CANCEL ID ${ID}`);
  });
});

describe("Valkey 9: the source exports", () => {
  const exported = (state: string, more: Readonly<Record<string, string>> = {}): string =>
    jobs(
      {
        operation: "EXPORT",
        slot_ranges: "0-99 100-100 200",
        target_node: "id-of-node-2",
        state,
        message: "",
        ...more,
      },
      { operation: "EXPORT", slot_ranges: "7", target_node: "id-of-node-2", state: "success", message: "" },
    );

  it("and is watched until it has, however it cuts the ranges", async () => {
    const from = await end("node-1", {
      "CLUSTER MIGRATESLOTS": ["+OK\r\n"],
      "CLUSTER GETSLOTMIGRATIONS": [exported("snapshotting"), exported("success")],
    });
    const to = await end("node-2", {});
    expect(await moveAtomically(VALKEY_9, from, to, RANGES, options())).toBe(true);
    expect(from.asked[0]).toBe("CLUSTER MIGRATESLOTS SLOTSRANGE 0 100 200 200 NODE id-of-node-2");
  });

  it("says why it gave a move up", async () => {
    const from = await end("node-1", {
      "CLUSTER MIGRATESLOTS": ["+OK\r\n"],
      "CLUSTER GETSLOTMIGRATIONS": [exported("failed", { message: "the target is full" })],
    });
    await expect(
      moveAtomically(VALKEY_9, from, await end("node-2", {}), RANGES, options()),
    ).rejects.toMatchObject({ code: "slot-not-moved", why: "the target is full" });
  });
});

describe("moves that a run before left to the servers", () => {
  it("are waited for, and said", async () => {
    const at = await end("node-2", {
      "CLUSTER MIGRATION STATUS": [job("streaming-buffer"), job("completed")],
    });
    const moves = await awaitServerMoves(
      [REDIS_8, member({ redis_version: "7.0.15" })],
      async () => at.connection,
      options(),
    );
    expect(moves).toEqual(["slots 0-100 200-200"]);
  });
});

it("a node takes part in one move at a time, whatever becomes of it", async () => {
  const turns = new Turns();
  const events: string[] = [];
  const work =
    (name: string, fails = false) =>
    async (): Promise<void> => {
      events.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      events.push(`${name} ends`);
      if (fails) throw new Error(name);
    };
  const results = await Promise.allSettled([
    turns.take(["a", "b"], work("1", true)),
    turns.take(["c", "b"], work("2")),
    turns.take(["d", "e"], work("3")),
  ]);
  expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  expect(events.indexOf("2 begins")).toBeGreaterThan(events.indexOf("1 ends"));
  expect(events.indexOf("3 begins")).toBeLessThan(events.indexOf("1 ends"));
});
