import { BaseSequencer, type TestSpecification } from "vitest/node";
import { defineConfig } from "vitest/config";

/** Rooms whose tests touch nothing but values, and files of their own: they may share a process. */
const PURE = "test/unit/{consensus,histories,memory,model,render,topology}/**/*.test.ts";

/** What takes longest begins first, so that nothing long is left over when all else is done. */
const ORDER = [/test\/e2e\/chaos/, /test\/e2e\//, /test\/sim\//];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = ORDER.findIndex((pattern) => pattern.test(moduleId));
      return at < 0 ? ORDER.length : at;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    testTimeout: 20_000,
    hookTimeout: 60_000,
    pool: "forks",
    // One more than the two processors of the smallest machine: tests of whole clusters wait about a third of their time.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    coverage: { provider: "v8", include: ["src/**"] },
    projects: [
      { extends: true, test: { name: "pure", include: [PURE], isolate: false } },
      {
        extends: true,
        test: { name: "whole", include: ["test/{unit,datadriven,sim}/**/*.test.ts"], exclude: [PURE] },
      },
      {
        extends: true,
        // What a machine with much to do takes three times as long for is not wrong.
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
