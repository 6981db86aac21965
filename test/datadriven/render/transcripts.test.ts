// Pictures as people see them, kept as text: each `> kind words` line of a transcript is followed by what
// the renderer prints. MEM0CTL_REWRITE=1 writes them anew; a diff is committed only when understood.
//
// Words: nodes=3 shards=16 copies=3 down=2,3 arbiter, paxos, quorum, wide, width=80, pipe (no terminal), ascii.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { displayWidth } from "../../../src/render/text.ts";
import { makeTheme } from "../../../src/render/theme.ts";
import { pictures } from "./pictures.ts";
import { clusterView } from "../../unit/render/views.ts";

const HERE = new URL(".", import.meta.url);
const REWRITE = process.env["MEM0CTL_REWRITE"] === "1";
/** These kinds keep their lines whole, for editors and logs that read them. */
const UNCUT = ["findings", "annotations", "error"];

interface Case {
  readonly command: string;
  readonly expected: string;
}

/** Comments are lines that begin with `# `; they and the next command end an expected output. */
function parse(text: string): {
  readonly head: string[];
  readonly cases: (Case & { readonly notes: string[] })[];
} {
  const head: string[] = [];
  const cases: { command: string; lines: string[]; notes: string[] }[] = [];
  let notes = head;
  for (const line of text.split("\n")) {
    const current = cases.at(-1);
    if (line.startsWith("> ")) {
      cases.push({ command: line.slice(2), lines: [], notes: [] });
      notes = cases.at(-1)?.notes ?? head;
    } else if (line.startsWith("# ") || current === undefined) notes.push(line);
    else current.lines.push(line);
  }
  return {
    head,
    cases: cases.map(({ command, lines, notes: after }) => ({
      command,
      expected: `${lines.join("\n").trim()}\n`.replace(/^\n/, ""),
      notes: after,
    })),
  };
}

function draw(command: string): { readonly text: string; readonly width: number } {
  const [kind = "", ...words] = command.split(" ");
  const value = (name: string): string | undefined =>
    words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
  const count = (name: string, otherwise: number): number => Number(value(name) ?? otherwise);
  const width = count("width", 80);
  const cut = !words.includes("pipe") && !UNCUT.includes(kind);
  const theme = makeTheme({
    isTty: !words.includes("pipe"),
    env: { LANG: words.includes("ascii") ? "C" : "en_US.UTF-8", TERM: "xterm" },
    columns: width,
    noColor: true,
  });
  const view = clusterView({
    nodes: count("nodes", 3),
    shards: count("shards", 16),
    copies: count("copies", 3),
    down: (value("down")?.split(",") ?? []).map(Number),
    arbiter: words.includes("arbiter"),
    protocol: words.includes("quorum") ? "quorum" : words.includes("paxos") ? "paxos" : "raft",
  });
  const picture = pictures[kind];
  if (picture === undefined) throw new Error(`no picture is called ${kind}`);
  return { text: picture({ view, theme, wide: words.includes("wide") }), width: cut ? width : Infinity };
}

/** Draws every picture of a transcript anew, keeping its commands and comments. */
function rewritten(text: string): string {
  const { head, cases } = parse(text);
  const blocks = cases.map(
    ({ command, notes }) =>
      `> ${command}\n${draw(command).text.trim()}\n${notes.length === 0 ? "" : `\n${notes.join("\n")}\n`}`,
  );
  return `${head.join("\n").trimEnd()}\n\n${blocks.join("\n")}`;
}

for (const file of readdirSync(HERE).filter((name) => name.endsWith(".txt"))) {
  const path = new URL(file, HERE);
  if (REWRITE) writeFileSync(path, rewritten(readFileSync(path, "utf8")));
  const { cases } = parse(readFileSync(path, "utf8"));

  describe(`${file}`, () => {
    test.each(cases)("$command", ({ command, expected }) => {
      const { text, width } = draw(command);
      expect(text.split("\n").filter((line) => displayWidth(line) > width)).toEqual([]);
      expect(text.split("\n").filter((line) => line !== line.trimEnd())).toEqual([]);
      expect(text.endsWith("\n")).toBe(true);
      expect(`${text.trim()}\n`).toBe(expected);
    });
  });
}
