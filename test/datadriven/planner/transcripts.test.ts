// Replays every transcript of this folder; MEM0CTL_REWRITE=1 rewrites them.

import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { runTranscript } from "../runner.ts";
import { plannerInterpreter } from "./interpreter.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));

describe("planner transcripts", () => {
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".txt"))) {
    test(`${name} prints what it printed`, () => {
      const { expected, actual } = runTranscript(`${folder}${name}`, plannerInterpreter());
      expect(actual).toBe(expected);
    });
  }
});
