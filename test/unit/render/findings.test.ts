import { describe, expect, test } from "vitest";
import type { Finding } from "../../../src/model/findings.ts";
import { renderError } from "../../../src/render/error.ts";
import { renderFindings, renderGithubAnnotations } from "../../../src/render/findings.ts";
import { makeTheme } from "../../../src/render/theme.ts";

const theme = makeTheme({ isTty: true, env: { LANG: "en_US.UTF-8" }, columns: 60, noColor: true });
const finding = (change: Partial<Finding>): Finding => ({
  code: "some-code",
  severity: "error",
  path: "spec",
  line: 1,
  column: 1,
  message: "is wrong",
  ...change,
});

describe("findings for people", () => {
  test("the caret stands below the place, wide characters and all", () => {
    const text = 'name: "日本" bad';
    const shown = renderFindings([finding({ column: text.indexOf("bad") + 1 })], { file: "f", text }, theme);
    const [, source = "", caret = ""] = shown.split("\n");
    // Each of the two wide characters takes two columns and one UTF-16 unit.
    expect(caret.indexOf("^")).toBe(source.indexOf("bad") + 2);
  });

  test("in a long line the part around the place is shown", () => {
    const text = `${"a".repeat(500)}HERE${"b".repeat(500)}`;
    const shown = renderFindings([finding({ column: 501 })], { file: "f", text }, theme);
    const [, source = "", caret = ""] = shown.split("\n");
    expect(source.length).toBeLessThanOrEqual(60);
    expect(source.slice(caret.indexOf("^"))).toMatch(/^HERE/);
  });

  test("a line or message with escapes cannot act on the terminal, and the caret still fits", () => {
    const text = "a: \u001b[2J bad";
    const shown = renderFindings(
      [finding({ column: text.indexOf("bad") + 1, message: "\u001b[31mred\nfake: line" })],
      { file: "f\u202e", text },
      theme,
    );
    expect(shown).toContain("f\\u{202e}:1:9 spec: \\x1b[31mred\\nfake: line (error some-code)");
    const [, source = "", caret = ""] = shown.split("\n");
    expect(source.slice(caret.indexOf("^"))).toBe("bad");
  });

  test("a place beyond the text shows no line", () => {
    expect(renderFindings([finding({ line: 9 })], { file: "f", text: "a" }, theme).split("\n")[1]).toBe("");
  });

  test("nothing found, nothing said", () => {
    expect(renderFindings([], { file: "f", text: "" }, theme)).toBe("");
    expect(renderGithubAnnotations([], "f")).toBe("");
  });
});

describe("GitHub annotations", () => {
  test("one line for each finding; no text can end the command or begin another", () => {
    const text = renderGithubAnnotations(
      [
        finding({ message: "100 %\n::error::forged\r\n", path: "spec.a", hint: "do: this, that" }),
        finding({ severity: "warning", line: 0, column: 0, path: "" }),
      ],
      "a:b,c%.yaml",
    );
    expect(text.split("\n")).toEqual([
      "::error file=a%3Ab%2Cc%25.yaml,line=1,col=1,title=some-code::spec.a: 100 %25%0A::error::forged\\r%0A%0Ado: this, that",
      "::warning file=a%3Ab%2Cc%25.yaml,title=some-code::is wrong",
      "",
    ]);
  });
});

describe("an error", () => {
  test("is what, why, what to do", () => {
    const error = { code: "port-taken", message: "the port is taken", why: "pid 7 has it", hint: "stop it" };
    expect(renderError(error, theme)).toBe(
      "error[port-taken]: the port is taken\n  why: pid 7 has it\n  try: stop it\n",
    );
  });

  test("without why and hint is one line", () => {
    expect(renderError({ code: "internal", message: "oops", why: undefined, hint: undefined }, theme)).toBe(
      "error[internal]: oops\n",
    );
  });

  test("a message of several lines cannot pass for a line of the program", () => {
    const shown = renderError(
      { code: "c", message: "one\nerror[fake]: two\u001b[2J", why: undefined, hint: undefined },
      theme,
    );
    expect(shown).toBe("error[c]: one\n       error[fake]: two\\x1b[2J\n");
  });
});
