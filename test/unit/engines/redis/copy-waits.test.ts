// Waiting for copies on a server that has WAITAOF: which command is asked, what its answers mean, and how an
// older server or one without an append-only file is asked instead. Such a server is not at hand here, so a
// socket answers as its documentation says; the end-to-end tests wait with WAIT on real servers.

import { createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { RedisConnection } from "../../../../src/engines/redis/connection.ts";
import { CopyWaits } from "../../../../src/engines/redis/copy-waits.ts";
import { ReplyParser } from "../../../../src/engines/redis/resp.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** Answers each command as `answer` says, in the form of the wire; what was asked is kept. */
async function server(
  answer: (command: readonly string[]) => string,
): Promise<{ readonly port: number; readonly asked: string[] }> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const listening: Server = createServer((socket) => {
    sockets.add(socket);
    const parser = new ReplyParser();
    socket.on("data", (chunk) => {
      for (const request of parser.push(chunk)) {
        const command = Array.isArray(request) ? request.map(String) : [];
        asked.push(command.slice(0, 3).join(" "));
        socket.write(answer(command));
      }
    });
  });
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    listening.close();
  });
  const address = listening.address();
  return { port: typeof address === "object" && address !== null ? address.port : 0, asked };
}

function waitsAt(port: number): (copies: number, timeoutMs: number) => Promise<unknown> {
  const credentials = { user: undefined, password: undefined, tls: undefined };
  const waits = new CopyWaits(async (endpoint) => new RedisConnection(endpoint, credentials));
  ends.push(() => waits.close());
  return (copies, timeoutMs) =>
    waits.send({ id: "node-1", host: "127.0.0.1", port }, [["SET", "a", "1"]], {
      deadlineMs: performance.now() + timeoutMs,
      copies,
      send: { timeoutMs, write: true },
    });
}

describe("a write that waits for copies", () => {
  it("is done when WAITAOF counts the primary's disk and enough of the replicas'", async () => {
    const counts = ["*2\r\n:1\r\n:0\r\n", "*2\r\n:0\r\n:1\r\n", "*2\r\n:1\r\n:1\r\n"];
    const { port, asked } = await server(([name]) => (name === "SET" ? "+OK\r\n" : (counts.shift() ?? "")));
    await expect(waitsAt(port)(2, 10_000)).resolves.toEqual(["OK"]);
    expect(asked).toEqual(["SET a 1", "WAITAOF 1 1", "WAITAOF 1 1", "WAITAOF 1 1"]);
  });

  it.each([
    ["does not know it", "-ERR unknown command 'WAITAOF', with args beginning with: '1'\r\n"],
    [
      "keeps no append-only file",
      "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n",
    ],
  ])("asks a server that %s by WAIT, once and for all", async (_what, refusal) => {
    const { port, asked } = await server(([name]) =>
      name === "SET" ? "+OK\r\n" : name === "WAIT" ? ":1\r\n" : refusal,
    );
    const write = waitsAt(port);
    await write(2, 10_000);
    await write(2, 10_000);
    expect(asked).toEqual(["SET a 1", "WAITAOF 1 1", "WAIT 1 1000", "SET a 1", "WAIT 1 1000"]);
  });

  it("is of unknown outcome when too few have it at the deadline: it is at the primary all the same", async () => {
    const { port } = await server(([name]) => (name === "SET" ? "+OK\r\n" : "*2\r\n:1\r\n:0\r\n"));
    await expect(waitsAt(port)(3, 300)).rejects.toMatchObject({
      kind: "unknown-outcome",
      code: "too-few-copies",
      message: expect.stringContaining("1 of the 3 copies"),
    });
  });

  it("is not waited for when the server refused it", async () => {
    const { port, asked } = await server(() => "-MOVED 3999 127.0.0.1:6381\r\n");
    await waitsAt(port)(2, 10_000);
    expect(asked).toEqual(["SET a 1"]);
  });
});
