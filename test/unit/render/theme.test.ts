import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { type Surroundings, makeTheme } from "../../../src/render/theme.ts";
import { pictures } from "../../datadriven/render/pictures.ts";
import { clusterView } from "./views.ts";

const terminal: Surroundings = {
  isTty: true,
  env: { LANG: "en_US.UTF-8", TERM: "xterm-256color" },
  columns: 80,
  noColor: false,
};
const colourOf = (change: Partial<Surroundings>): boolean => makeTheme({ ...terminal, ...change }).colour;

describe("colour", () => {
  test("on a terminal, and not on a pipe", () => {
    expect(colourOf({})).toBe(true);
    expect(colourOf({ isTty: false })).toBe(false);
  });

  test("--no-color, NO_COLOR and a dumb terminal turn it off", () => {
    expect(colourOf({ noColor: true })).toBe(false);
    expect(colourOf({ env: { NO_COLOR: "1" } })).toBe(false);
    expect(colourOf({ env: { NO_COLOR: "" } })).toBe(true);
    expect(colourOf({ env: { TERM: "dumb" } })).toBe(false);
  });

  test("FORCE_COLOR asks for it on a pipe, but --no-color wins", () => {
    expect(colourOf({ isTty: false, env: { FORCE_COLOR: "1" } })).toBe(true);
    expect(colourOf({ isTty: true, env: { FORCE_COLOR: "0" } })).toBe(false);
    expect(colourOf({ env: { FORCE_COLOR: "1" }, noColor: true })).toBe(false);
  });

  test.each(Object.keys(pictures))("takes nothing away when it is off: %s", (kind) => {
    const draw = (noColor: boolean, isTty = true): string =>
      pictures[kind]?.({
        view: clusterView({ nodes: 4, shards: 24, copies: 2, down: [3], arbiter: true }),
        theme: makeTheme({ ...terminal, noColor, isTty }),
        wide: false,
      }) ?? "";
    expect(stripVTControlCharacters(draw(false))).toBe(draw(true));
    // oxlint-disable-next-line no-control-regex -- escape sequences are what is looked for
    expect(draw(true) + draw(false, false)).not.toMatch(/\u001b/);
  });
});

describe("glyphs", () => {
  test("beyond ASCII only where the locale is UTF-8", () => {
    const unicodeOf = (env: Surroundings["env"]): boolean => makeTheme({ ...terminal, env }).unicode;
    expect(unicodeOf({ LANG: "de_DE.utf8" })).toBe(true);
    expect(unicodeOf({ LANG: "en_US.UTF-8", LC_ALL: "C" })).toBe(false);
    expect(unicodeOf({})).toBe(false);
    expect(unicodeOf({ LANG: "en_US.UTF-8", TERM: "linux" })).toBe(false);
    expect(unicodeOf({ WT_SESSION: "1" })).toBe(true);
  });

  test.each(Object.keys(pictures))("elsewhere every one of ours is ASCII: %s", (kind) => {
    const view = clusterView({ nodes: 4, shards: 24, copies: 2, down: [3], arbiter: true });
    const theme = makeTheme({ ...terminal, env: { LANG: "C" }, noColor: true });
    const drawn = pictures[kind]?.({ view, theme, wide: false }) ?? "";
    // Memories are shown in the script that they are written in.
    const ours = ["memories", "memory"].includes(kind) ? "" : drawn;
    expect(ours).toMatch(/^[\x20-\x7e\n]*$/);
  });
});
