// What the simulator's command line means, and what it refuses.
import { availableParallelism } from "node:os";
import { expect, it } from "vitest";
import { parseCommand, protocolOfSeed, UsageError } from "../../sim/runner/options.ts";

it("runs a range of seeds of one protocol", () => {
  expect(parseCommand(["--protocol", "raft", "--seeds", "200", "--from", "5000"])).toEqual({
    kind: "seeds",
    protocol: "raft",
    from: 5000,
    seeds: 200,
    trace: false,
    jobs: availableParallelism(),
  });
});

it("runs seeds over all protocols when none is named", () => {
  expect(parseCommand([])).toMatchObject({ kind: "seeds", protocol: undefined, from: 1, seeds: 200 });
  expect(protocolOfSeed(7)).toBe(protocolOfSeed(7));
});

it("replays one seed with its trace", () => {
  expect(parseCommand(["--protocol", "raft", "--seed", "5017", "--trace"])).toMatchObject({
    from: 5017,
    seeds: 1,
    trace: true,
  });
});

it("looks for one bug, for several, for all", () => {
  const found = parseCommand(["--bug", "two-votes-per-term", "--jobs", "1"]);
  expect(found).toMatchObject({ kind: "find-bugs", bugs: [{ name: "two-votes-per-term" }], seedsMax: 5000 });
  const several = parseCommand(["--bug", "two-votes-per-term", "--bug", "no-check-quorum", "--seeds", "9"]);
  expect(several).toMatchObject({ bugs: [{}, {}], seedsMax: 9 });
  expect(parseCommand(["--all-bugs"])).toMatchObject({ kind: "find-bugs" });
  expect(parseCommand(["--all-bugs", "--remember"])).toMatchObject({ isRemembered: true });
  expect(parseCommand(["--bugs"])).toEqual({ kind: "list-bugs" });
});

it.each([
  ["an unknown option", ["--sedes", "3"]],
  ["a word", ["raft"]],
  ["an unknown protocol", ["--protocol", "zab"]],
  ["no seeds at all", ["--seeds", "0"]],
  ["a number that is none", ["--from", "1e3"]],
  ["a number out of range", ["--seed", "99999999999999999999"]],
  ["a trace of many", ["--trace"]],
  ["one seed and a range", ["--seed", "1", "--seeds", "2"]],
  ["an unknown bug", ["--bug", "moon-phase"]],
  ["a list and a search", ["--bugs", "--all-bugs"]],
  ["to remember what is not searched", ["--remember"]],
  ["a search in one protocol's seeds", ["--all-bugs", "--protocol", "raft"]],
])("refuses %s", (_what, args) => {
  expect(() => parseCommand(args)).toThrow(UsageError);
});
