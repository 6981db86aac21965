// One connection to one server: what a reply is, and what is known of the outcome when there is none. The
// server is a script, because a real one does not stop in the middle of an answer when it is asked to.
import { inspect } from "node:util";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { RedisConnection } from "../../../../src/engines/redis/connection.ts";
import { NodeFailure } from "../../../../src/engines/node-failure.ts";
import { ReplyError, type Command, type Reply } from "../../../../src/engines/redis/reply-values.ts";
import { scriptedServer, type Answer, type ScriptedServer } from "./scripted-server.ts";

const READ = { timeoutMs: 10_000 };
const WRITE = { timeoutMs: 10_000, write: true };
/** For what never comes. */
const SHORT_MS = 150;
const NOBODY = { user: undefined, password: undefined, tls: undefined };
const ALICE = { user: "alice", password: "tea for two", tls: undefined };

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function connected(
  answer: Answer,
  credentials: ConstructorParameters<typeof RedisConnection>[1] = NOBODY,
): Promise<{ readonly server: ScriptedServer; readonly connection: RedisConnection }> {
  const server = await scriptedServer(answer);
  const connection = new RedisConnection({ id: "node-1", host: "127.0.0.1", port: server.port }, credentials);
  ends.push(
    () => server.close(),
    () => connection.close(),
  );
  return { server, connection };
}

function asked({ asked: commands }: ScriptedServer): string[] {
  return commands.map((command) => command.join(" "));
}

const WIRE = Buffer.from(
  "+OK\r\n-MOVED 3999 127.0.0.1:6381\r\n:-7\r\n$5\r\na\r\n\xff!\r\n$-1\r\n*3\r\n:1\r\n*2\r\n$1\r\nx\r\n-ERR y\r\n*0\r\n*-1\r\n$0\r\n\r\n",
  "latin1",
);
const MEANT: readonly Reply[] = [
  Buffer.from("OK"),
  new ReplyError("MOVED 3999 127.0.0.1:6381"),
  -7,
  Buffer.from("a\r\n\xff!", "latin1"),
  null,
  [1, [Buffer.from("x"), new ReplyError("ERR y")], []],
  null,
  Buffer.alloc(0),
];
const QUESTIONS = MEANT.map((_reply, index): Command => ["GET", index]);

describe("replies", () => {
  it("are the same wherever the stream is cut, with errors as values and bytes as they are", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 30 }), async (sizes) => {
        const pieces = [...sizes];
        const { connection } = await connected((command, socket) => {
          if (Number(command[1]) < MEANT.length - 1) return undefined;
          let at = 0;
          const next = (): void => {
            const piece = pieces.shift() ?? WIRE.length;
            socket.write(WIRE.subarray(at, at + piece));
            at += piece;
            if (at < WIRE.length) setImmediate(next);
          };
          next();
          return undefined;
        });
        expect(await connection.send(QUESTIONS, READ)).toEqual(MEANT);
      }),
      { numRuns: 20 },
    );
  });

  it("may be large, and arrive in many pieces", async () => {
    const value = Buffer.alloc(8 * 1024 * 1024, "v");
    const { connection } = await connected(() =>
      Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from("\r\n")]),
    );
    const [reply] = await connection.send([["GET", "a"]], READ);
    expect(Buffer.isBuffer(reply) && reply.equals(value)).toBe(true);
  });

  it("go to whoever asked, in the order of the calls", async () => {
    const { connection, server } = await connected(([, key]) => `+${key}\r\n`);
    const answers = await Promise.all([
      connection.send([["GET", "a"]], READ),
      connection.send(
        [
          ["GET", "b"],
          ["GET", "c"],
        ],
        READ,
      ),
      connection.send([["GET", "d"]], READ),
    ]);
    expect(answers.map(String)).toEqual(["a", "b,c", "d"]);
    expect(asked(server)).toEqual(["GET a", "GET b", "GET c", "GET d"]);
    expect(server.dialled()).toBe(1);
  });

  it("that redirect are answers like others: nothing is sent again, and nowhere else", async () => {
    const { connection, server } = await connected(() => "-ASK 3999 127.0.0.1:1\r\n");
    expect(await connection.send([["SET", "a", "1"]], WRITE)).toEqual([
      new ReplyError("ASK 3999 127.0.0.1:1"),
    ]);
    expect(asked(server)).toEqual(["SET a 1"]);
  });
});

it("commands carry text, numbers, bytes that are no text, and nothing before them", async () => {
  const { connection, server } = await connected(() => "+OK\r\n");
  await connection.send(
    [
      ["SET", Buffer.from([0xff, 0x0d, 0x0a]), "é"],
      ["SET", new Uint8Array([1, 2, 3]), 7, ""],
    ],
    WRITE,
  );
  expect(server.asked).toEqual([
    [Buffer.from("SET"), Buffer.from([0xff, 0x0d, 0x0a]), Buffer.from("é")],
    [Buffer.from("SET"), Buffer.from([1, 2, 3]), Buffer.from("7"), Buffer.alloc(0)],
  ]);
});

/** A server that does so once, and answers well on further connections. */
function once(first: Answer): Answer {
  let done = false;
  return (command, socket) => {
    if (done) return `+again ${command[1]}\r\n`;
    done = true;
    return first(command, socket);
  };
}

const closes: Answer = (_command, socket) => {
  socket.destroy();
  return undefined;
};
const half = "$1000\r\nonly the beginn";

describe.each([
  {
    what: "half an answer and then nothing",
    answer: () => half,
    code: "no-answer",
    words: "no answer within",
  },
  { what: "no answer", answer: () => undefined, code: "no-answer", words: "no answer within" },
  {
    what: "an answer that is none",
    answer: () => "HTTP/1.1 400 Bad Request\r\n\r\n",
    code: "not-a-node",
    words: "does not speak Redis",
  },
  {
    what: "an array longer than there can be",
    answer: () => "*99999999999\r\n",
    code: "not-a-node",
    words: "does not speak Redis",
  },
  {
    what: "an array without bottom",
    answer: () => "*1\r\n".repeat(50_000),
    code: "not-a-node",
    words: "does not speak Redis",
  },
  {
    what: "a connection that is closed instead",
    answer: closes,
    code: "connection-failed",
    words: "connection closed",
  },
  {
    what: "a connection that is closed in the middle of an answer",
    answer: ((_command, socket) => {
      socket.end(half);
      return undefined;
    }) satisfies Answer,
    code: "connection-failed",
    words: "connection closed",
  },
])("$what", ({ answer, code, words }) => {
  const timeoutMs = code === "no-answer" ? SHORT_MS : READ.timeoutMs;

  it("is a read that failed, and a write of which nobody knows", async () => {
    const { connection } = await connected(answer);
    await expect(connection.send([["GET", "a"]], { timeoutMs })).rejects.toMatchObject({
      kind: "unavailable",
      code,
      reason: expect.stringContaining(words),
      sent: true,
    });
    await expect(connection.send([["SET", "a", "1"]], { timeoutMs, write: true })).rejects.toMatchObject({
      kind: "unknown-outcome",
      code: "outcome-unknown",
      message: expect.stringContaining(words),
    });
  });

  it("is not repeated: the next command has a connection and an answer of its own", async () => {
    const { connection, server } = await connected(once(answer));
    const told = connection.send([["SET", "a", "1"]], { timeoutMs, write: true });
    await expect(told).rejects.toMatchObject({ kind: "unknown-outcome" });
    expect(String(await connection.send([["SET", "b", "2"]], WRITE))).toBe("again b");
    expect(asked(server)).toEqual(["SET a 1", "SET b 2"]);
    expect(server.dialled()).toBe(2);
  });
});

describe("a connection", () => {
  it("that ends after the first of two answers leaves both unknown", async () => {
    const { connection } = await connected(([, key], socket) => {
      if (key === "a") return "+OK\r\n";
      socket.destroy();
      return undefined;
    });
    const commands: Command[] = [
      ["SET", "a", "1"],
      ["SET", "b", "1"],
    ];
    await expect(connection.send(commands, WRITE)).rejects.toMatchObject({ kind: "unknown-outcome" });
  });

  it("takes with it whoever waits behind the command that was given up, in the same words", async () => {
    const { connection } = await connected(() => undefined);
    const [first, second] = [
      connection.send([["GET", "a"]], { timeoutMs: SHORT_MS }),
      connection.send([["GET", "b"]], READ),
    ];
    await expect(first).rejects.toMatchObject({ code: "no-answer" });
    await expect(second).rejects.toMatchObject({ code: "no-answer" });
  });

  it("that was refused has certainly done nothing, writes included", async () => {
    const { connection, server } = await connected(() => "+OK\r\n");
    await server.close();
    await expect(connection.send([["SET", "a", "1"]], WRITE)).rejects.toMatchObject({
      kind: "unavailable",
      code: "connection-refused",
      reason: "connection refused",
      sent: false,
    });
  });

  it("is made anew when the server closed it between two commands", async () => {
    let closed: Promise<unknown> | undefined;
    const { connection, server } = await connected(([, key], socket) => {
      closed ??= new Promise((resolve) => socket.once("close", resolve));
      if (key === "a") setImmediate(() => socket.end());
      return `+${key}\r\n`;
    });
    await connection.send([["GET", "a"]], READ);
    await closed;
    expect(String(await connection.send([["SET", "b", "1"]], WRITE))).toBe("b");
    expect(server.dialled()).toBe(2);
  });

  it("may be closed by the server at any moment: what was sent is unknown, what was not is certain", async () => {
    const { connection } = await connected((_command, socket) => {
      socket.end("+OK\r\n");
      return undefined;
    });
    const outcomes: unknown[] = [];
    for (let round = 0; round < 100; round += 1) {
      for (let turn = 0; turn < round % 7; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      const told = connection.send([["SET", "a", "1"]], WRITE);
      outcomes.push(await told.catch((error: unknown) => error));
    }
    const failures = outcomes.filter((outcome) => !Array.isArray(outcome));
    for (const failure of failures) {
      expect(failure).toMatchObject(
        failure instanceof NodeFailure && !failure.sent
          ? { kind: "unavailable" }
          : { kind: "unknown-outcome" },
      );
    }
    expect(failures.length).toBeLessThan(outcomes.length);
  });

  it("is not used any more after an answer that nobody asked for", async () => {
    const { connection, server } = await connected(([, key]) =>
      key === "a" ? "+a\r\n+b\r\n" : `+${key}\r\n`,
    );
    await connection.send([["GET", "a"]], READ);
    expect(String(await connection.send([["GET", "c"]], READ))).toBe("c");
    expect(server.dialled()).toBe(2);
  });

  it("is given up when the caller is interrupted", async () => {
    const { connection } = await connected(() => undefined);
    const interrupted = async (write: boolean): Promise<void> => {
      const controller = new AbortController();
      const told = connection.send([["SET", "a", "1"]], { ...READ, write, signal: controller.signal });
      setTimeout(() => controller.abort(), SHORT_MS);
      await told;
    };
    await expect(interrupted(false)).rejects.toMatchObject({ kind: "failed", code: "interrupted" });
    await expect(interrupted(true)).rejects.toMatchObject({ kind: "unknown-outcome" });
  });

  it("is closed, to those who wait behind, when somebody else is interrupted", async () => {
    const { connection } = await connected(() => undefined);
    const controller = new AbortController();
    const [first, second] = [
      connection.send([["GET", "a"]], { ...READ, signal: controller.signal }),
      connection.send([["GET", "b"]], READ),
    ];
    setTimeout(() => controller.abort(), SHORT_MS);
    await expect(first).rejects.toMatchObject({ code: "interrupted" });
    await expect(second).rejects.toMatchObject({ kind: "unavailable", reason: "connection closed" });
  });

  it("tells nothing more once it was closed", async () => {
    const { connection, server } = await connected(() => "+OK\r\n");
    await connection.send([["GET", "a"]], READ);
    connection.close();
    await expect(connection.send([["SET", "a", "1"]], WRITE)).rejects.toMatchObject({ kind: "unavailable" });
    expect(asked(server)).toEqual(["GET a"]);
  });
});

describe("a password", () => {
  it("goes before the first command, once for a connection", async () => {
    const { connection, server } = await connected(() => "+OK\r\n", ALICE);
    await connection.send([["GET", "a"]], READ);
    await connection.send([["GET", "b"]], READ);
    expect(asked(server)).toEqual(["AUTH alice tea for two", "GET a", "GET b"]);
  });

  it.each([
    ["WRONGPASS invalid username-password pair or user is disabled.", "unauthenticated"],
    // Whoever believes to talk to a protected server must hear that it is not one.
    ["ERR AUTH <password> called without any password configured for the default user.", "unauthenticated"],
  ])("that was answered by %j ends there, and is in no part of the error", async (refusal, code) => {
    const { connection, server } = await connected(
      ([name]) => (name === "AUTH" ? `-${refusal}\r\n` : "+OK\r\n"),
      ALICE,
    );
    const error: unknown = await connection
      .send([["SET", "a", "1"]], WRITE)
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ kind: "denied", code, why: refusal });
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(ALICE.password);
    expect(asked(server)).toEqual(["AUTH alice tea for two"]);
  });

  it("is asked for again by the next command after a refusal", async () => {
    let refusals = 1;
    const { connection } = await connected(
      ([name]) => (name === "AUTH" && refusals-- > 0 ? "-WRONGPASS no\r\n" : "+OK\r\n"),
      ALICE,
    );
    await expect(connection.send([["GET", "a"]], READ)).rejects.toMatchObject({ kind: "denied" });
    expect(String(await connection.send([["GET", "a"]], READ))).toBe("OK");
  });

  it("of a user who may not do what was asked is no reason to doubt the others' answers", async () => {
    const { connection } = await connected(() => "-NOPERM this user has no permissions\r\n");
    await expect(connection.send([["GET", "a"]], READ)).rejects.toMatchObject({
      kind: "denied",
      code: "not-allowed",
    });
  });
});
