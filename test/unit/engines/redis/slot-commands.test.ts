// Many commands at once to a server that answers, and to one that stops to.
import { afterEach, expect, it } from "vitest";
import { RedisConnection } from "../../../../src/engines/redis/connection.ts";
import { SlotCommands } from "../../../../src/engines/redis/slot-commands.ts";
import { SLOTS } from "../../../../src/topology/slots.ts";
import { scriptedServer, type Answer, type ScriptedServer } from "./scripted-server.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** All slots are those of one server. */
async function slotsOf(
  answer: Answer,
): Promise<{ readonly server: ScriptedServer; readonly slots: SlotCommands }> {
  const server = await scriptedServer(answer);
  const endpointAt = (host: string, port: number) => ({ id: `port ${port}`, host, port });
  const slots = new SlotCommands({
    look: async () => ({
      owners: Array.from({ length: SLOTS }, () => endpointAt("127.0.0.1", server.port)),
      replicasOf: () => [],
    }),
    endpointAt,
    connect: (endpoint) =>
      Promise.resolve(
        new RedisConnection(endpoint, { user: undefined, password: undefined, tls: undefined }),
      ),
  });
  ends.push(
    () => server.close(),
    () => slots.close(),
  );
  return { server, slots };
}

const MANY = Array.from({ length: 1200 }, (_, slot) => ({ slot, command: ["GET", `key:${slot}`] as const }));

it("replies are in the order of the commands, however many there are", async () => {
  const { slots } = await slotsOf(([, key]) => `+${key}\r\n`);
  const replies = await slots.run(MANY, { deadlineMs: performance.now() + 20_000 });
  expect(replies.map(String)).toEqual(MANY.map(({ command }) => command[1]));
});

it("a server that does not answer the first of them is not told the last", async () => {
  const { slots, server } = await slotsOf(() => undefined);
  await expect(slots.run(MANY, { deadlineMs: performance.now() + 2_000, copies: 1 })).rejects.toMatchObject({
    kind: "unknown-outcome",
  });
  const told = server.asked.map(([, key]) => String(key));
  expect(told).toContain("key:0");
  expect(told).not.toContain("key:1199");
});
