// Of two runs that move slots, and see each other, exactly one goes on.
import { expect, it } from "vitest";
import { otherMover } from "../../../../src/engines/redis/mover-presence.ts";

const line = (id: number, name: string): string =>
  `id=${id} addr=127.0.0.1:5${id} laddr=127.0.0.1:7001 fd=8 name=${name} age=1 db=0`;
const FIRST = "mem0ctl-moves|alpha|100|1764000000000|aa";
const SECOND = "mem0ctl-moves|beta|200|1764000001000|bb";

it("the one with the older connection goes on, the other one is told who that is", () => {
  const clients = [line(3, ""), line(4, FIRST), line(5, "app"), line(9, SECOND)].join("\n");
  expect(otherMover(clients, FIRST)).toBeUndefined();
  expect(otherMover(clients, SECOND)).toMatchObject({
    host: "alpha",
    pid: "100",
    sinceMs: 1_764_000_000_000,
  });
});

it("a run is not in its own way, however many connections it has", () => {
  expect(otherMover([line(4, FIRST), line(7, FIRST)].join("\n"), FIRST)).toBeUndefined();
});
