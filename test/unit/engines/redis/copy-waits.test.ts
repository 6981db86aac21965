// Waiting for copies on a server that has WAITAOF: which command is asked, what its answers mean, and how an
// older server or one without an append-only file is asked instead. Such a server is not at hand here, so a
// socket answers as its documentation says; the end-to-end tests wait with WAIT on real servers.

import { afterEach, describe, expect, it } from "vitest";
import { RedisConnection } from "../../../../src/engines/redis/connection.ts";
import { CopyWaits } from "../../../../src/engines/redis/copy-waits.ts";
import { scriptedServer, type Answer, type ScriptedServer } from "./scripted-server.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** The first three words of each command. */
function shown({ asked }: ScriptedServer): string[] {
  return asked.map((command) => command.slice(0, 3).join(" "));
}

async function server(answer: Answer): Promise<ScriptedServer> {
  const scripted = await scriptedServer(answer);
  ends.push(() => scripted.close());
  return scripted;
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
    const scripted = await server(([name]) => (name === "SET" ? "+OK\r\n" : (counts.shift() ?? "")));
    await expect(waitsAt(scripted.port)(2, 10_000)).resolves.toEqual([Buffer.from("OK")]);
    expect(shown(scripted)).toEqual(["SET a 1", "WAITAOF 1 1", "WAITAOF 1 1", "WAITAOF 1 1"]);
  });

  it.each([
    ["does not know it", "-ERR unknown command 'WAITAOF', with args beginning with: '1'\r\n"],
    [
      "keeps no append-only file",
      "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n",
    ],
  ])("asks a server that %s by WAIT, once and for all", async (_what, refusal) => {
    const scripted = await server(([name]) =>
      name === "SET" ? "+OK\r\n" : name === "WAIT" ? ":1\r\n" : refusal,
    );
    const write = waitsAt(scripted.port);
    await write(2, 10_000);
    await write(2, 10_000);
    expect(shown(scripted)).toEqual(["SET a 1", "WAITAOF 1 1", "WAIT 1 1000", "SET a 1", "WAIT 1 1000"]);
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
    const scripted = await server(() => "-MOVED 3999 127.0.0.1:6381\r\n");
    await waitsAt(scripted.port)(2, 10_000);
    expect(shown(scripted)).toEqual(["SET a 1"]);
  });
});
