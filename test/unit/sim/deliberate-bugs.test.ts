// The deliberate bugs as data: each fits the source of today, and none can be in what is built for people.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";
import { describe, expect, it } from "vitest";
import { applyPatch, patchesOf, type Checklist } from "../../sim/bugs/bug.ts";
import { BUGS } from "../../sim/bugs/table.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Lines of the reliability checklists that the simulator has to guard. */
const GUARDED: Readonly<Partial<Record<Checklist, readonly number[]>>> = {
  raft: lines(1, 51),
  quorum: lines(1, 15),
  storage: [1, 2, 3, 4, 5, 9],
  moves: [1, 2],
};

function lines(first: number, last: number): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, offset) => first + offset);
}

describe("the deliberate bugs", () => {
  it("have names of their own", () => {
    const names = BUGS.map(({ name }) => name);
    expect(names.filter((name) => !/^[a-z][a-z0-9-]+$/.test(name))).toEqual([]);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(BUGS)("$name fits the source and still compiles", async (bug) => {
    const texts = new Map<string, string>();
    for (const patch of patchesOf(bug)) {
      const before = texts.get(patch.file) ?? readFileSync(join(root, patch.file), "utf8");
      const after = applyPatch(before, patch);
      expect(after).not.toBe(before);
      texts.set(patch.file, after);
    }
    for (const text of texts.values()) await transform(text, { loader: "ts" });
  });

  it.each(Object.entries(GUARDED))("break every line of the checklist %s", (checklist, guarded) => {
    const broken = BUGS.filter((bug) => bug.checklist === checklist).flatMap((bug) => bug.lines);
    expect(guarded.filter((line) => !broken.includes(line))).toEqual([]);
  });

  it("leave no trace in what is built", () => {
    const dist = join(root, "dist");
    expect(existsSync(join(dist, ".built"))).toBe(true);
    const built = readdirSync(dist, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"));
    const traces = [...BUGS.map(({ name }) => name), "test/sim", "deliberate"];
    expect(traces.filter((trace) => built.some((text) => text.includes(trace)))).toEqual([]);
  });
});
