// Completions are what the command tree says, and work in the shells themselves.

import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { COMPLETION_FILES, completionScript } from "../../../src/cli/completion/scripts.ts";
import { commandTree } from "../../../src/cli/program.ts";
import { bundledProgram } from "./support/bundle.ts";
import { mem0ctl, temporaryDirectory } from "./support/program.ts";

const folder = join(import.meta.dirname, "../../../completions");

describe("the checked-in completions", () => {
  for (const [shell, name] of Object.entries(COMPLETION_FILES)) {
    it(`of ${shell} are those of the command tree (else: npm run generate)`, async () => {
      const script = completionScript(shell, await commandTree());
      expect(readFileSync(join(folder, name), "utf8") === script, `completions/${name} is stale`).toBe(true);
    });

    it(`of ${shell} are what \`mem0ctl completion ${shell}\` prints`, async () => {
      const { exit, stdout } = await mem0ctl(["completion", shell]);
      expect(exit).toBe(0);
      expect(stdout === readFileSync(join(folder, name), "utf8")).toBe(true);
    });
  }

  it("offer every command and flag that is not hidden, in every shell", async () => {
    const program = await commandTree();
    const words: string[] = [];
    const walk = (command: typeof program): void => {
      for (const child of command.commands) {
        words.push(
          child.name(),
          ...child.options.flatMap(({ long }) => (long === undefined ? [] : [long.slice(2)])),
        );
        walk(child);
      }
    };
    walk(program);
    for (const shell of Object.keys(COMPLETION_FILES)) {
      const script = completionScript(shell, program);
      expect({ shell, missing: words.filter((word) => !script.includes(word)) }).toEqual({
        shell,
        missing: [],
      });
    }
  });
});

describe("ids for completions", () => {
  const cwd = temporaryDirectory();
  beforeAll(async () => {
    await mem0ctl(["init", "cluster", "--nodes", "2", "--shards", "3"], { cwd });
    await mem0ctl(["init", "cluster", "--nodes", "1", "--shards", "1", "-f", "other.yaml"], { cwd });
  });

  const asked: readonly (readonly [argv: string[], ids: string])[] = [
    [["nodes"], "node-1\nnode-2\n"],
    [["shards"], "0\n1\n2\n"],
    [["groups"], "meta\n0\n1\n2\n"],
    [["nodes", "down", "-f", "other.yaml", ""], "node-1\n"],
    [["nodes", "down", "--file=other.yaml", ""], "node-1\n"],
    [["nodes", "nodes", "logs", "-f", "other.yaml"], "node-1\nnode-2\n"],
    [["nodes", "-f", "missing.yaml", "down", ""], ""],
    [["nonsense"], ""],
  ];
  for (const [argv, ids] of asked) {
    it(`${argv.join(" ")} gives ${ids === "" ? "nothing" : ids.trim().replaceAll("\n", ", ")}`, async () => {
      expect(await mem0ctl(["__complete", ...argv], { cwd })).toEqual({ exit: 0, stdout: ids, stderr: "" });
    });
  }
});

/** What is typed up to the cursor, what has to be offered, and what must not be. */
const CASES: readonly (readonly [typed: string, offered: readonly string[], not: readonly string[]])[] = [
  ["mem0ctl ", ["init", "status", "memories", "completion"], ["list", "node-1"]],
  ["mem0ctl sta", ["status"], ["init"]],
  ["mem0ctl memories ", ["add", "search", "import"], ["status"]],
  ["mem0ctl status --", ["--watch", "--fail-on", "--output", "--file"], ["--lines"]],
  ["mem0ctl status --fail-on ", ["degraded", "unavailable"], ["--watch"]],
  ["mem0ctl -o json status --fail-on ", ["degraded"], ["status"]],
  ["mem0ctl validate -o ", ["json", "github"], []],
  ["mem0ctl status -o ", ["json", "wide"], ["github"]],
  ["mem0ctl completion ", ["bash", "powershell"], []],
  ["mem0ctl nodes logs ", ["node-1", "node-2"], ["list"]],
  ["mem0ctl nodes logs -f ", ["node-1"], ["cluster.yaml"]],
  ["mem0ctl nodes logs -n 5 ", ["node-1"], []],
  ["mem0ctl restart node-1 ", ["node-2"], []],
  ["mem0ctl leader transfer ", ["meta", "0", "2"], ["node-1"]],
  ["mem0ctl leader transfer 1 --to ", ["node-1", "node-2"], ["meta"]],
  ["mem0ctl shards merge 0 ", ["0", "1", "2"], ["meta", "node-1"]],
  ["mem0ctl -f other.yaml restart ", ["node-1"], ["node-2"]],
  ["mem0ctl memories import ", ["lines.jsonl"], []],
  ["mem0ctl status -f oth", ["other.yaml"], ["cluster.yaml"]],
];

interface Shell {
  readonly name: string;
  /** Reads half-typed lines from stdin; prints `<CASE>` and then what is offered, one a line, for each. */
  readonly script: string;
}

const SHELLS: readonly Shell[] = [
  {
    name: "bash",
    script: `
      source "$COMPLETIONS/mem0ctl.bash"
      complete -p mem0ctl > /dev/null || exit 1
      while IFS= read -r line; do
        echo "<CASE>"
        read -r -a COMP_WORDS <<< "$line"
        [[ $line == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
        _mem0ctl
        printf '%s\\n' "\${COMPREPLY[@]}"
      done
    `,
  },
  {
    name: "fish",
    script: `
      source "$COMPLETIONS/mem0ctl.fish"
      while read -l line
        echo "<CASE>"
        complete -C "$line" | string replace -r '\\t.*' ''
      end
    `,
  },
  {
    // Completion in zsh needs its line editor, so a second zsh on a pseudo terminal is typed to. Tab
    // lists; Ctrl-X says that the list is complete; Ctrl-U empties the line.
    name: "zsh",
    script: `
      zmodload zsh/zpty
      zpty inner zsh -f -i
      zpty -w inner "PS1= PS2= RPS1=; unsetopt zle_bracketed_paste prompt_cr prompt_sp; stty cols 60 rows 2000"
      zpty -w inner 'fpath=($COMPLETIONS $fpath); autoload -Uz compinit; compinit -u -D; setopt no_beep list_rows_first'
      zpty -w inner "zstyle ':completion:*' menu no; zstyle ':completion:*' list-packed no; LISTMAX=100000"
      zpty -w inner 'said() { print -r "<""END>"; }; zle -N said; bindkey "^X" said; bindkey "^I" list-choices'
      zpty -w inner 'print -r "<""READY>"'
      zpty -r inner seen '*<READY>*'
      while IFS= read -r line; do
        echo "<CASE>"
        zpty -w -n inner $'\\x15'"$line"$'\\t\\x18'
        zpty -r inner seen '*<END>*'
        print -r -- "$seen"
      done
      zpty -d inner
    `,
  },
];

for (const { name, script } of SHELLS) {
  const found = spawnSync(name, ["-c", "exit 0"]).status === 0;
  if (!found) process.stderr.write(`skipped: completions in ${name}, which is not installed here\n`);

  describe.runIf(found || process.env["CI"] === "true")(`in ${name}`, () => {
    const cwd = temporaryDirectory();
    let shown: readonly string[] = [];
    beforeAll(async () => {
      const bin = dirname(await bundledProgram());
      await mem0ctl(["init", "cluster", "--nodes", "2", "--shards", "3"], { cwd });
      await mem0ctl(["init", "cluster", "--nodes", "1", "--shards", "1", "-f", "other.yaml"], { cwd });
      writeFileSync(join(cwd, "lines.jsonl"), "");
      // One shell for all cases: each start of one costs more than all of them.
      const { stdout } = spawnSync(name, [...(name === "zsh" ? ["-f"] : []), "-c", script], {
        cwd,
        input: CASES.map(([typed]) => `${typed}\n`).join(""),
        encoding: "utf8",
        timeout: 45_000,
        env: {
          PATH: `${bin}:${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`,
          HOME: cwd,
          TERM: "dumb",
          LANG: "C.UTF-8",
          COMPLETIONS: folder,
        },
      });
      shown = stdout.split("<CASE>").slice(1);
    });

    for (const [index, [typed, offered, not]] of CASES.entries()) {
      it(`${JSON.stringify(typed)} offers ${offered.join(", ")}`, () => {
        const text = shown[index] ?? "";
        const words = wordsOf(text, typed);
        const missing = offered.filter((word) => !words.has(word));
        const tooMany = not.filter((word) => words.has(word));
        // The text is compared only to be shown when something is wrong.
        expect({ missing, tooMany, text }).toEqual({ missing: [], tooMany: [], text });
      });
    }
  });
}

/** The first words of the lines, and all words of lines that are columns of a list. */
function wordsOf(text: string, typed: string): Set<string> {
  const words = new Set<string>();
  for (const line of text.split(/[\r\n]+/)) {
    if (line.includes(typed.trim())) continue;
    const [first = ""] = line.trim().split(/\s+/);
    words.add(first);
    // zsh: `-w  --watch  -- look again`, or ids beside each other.
    const [before = ""] = line.split(" -- ");
    for (const word of before.trim().split(/\s+/)) words.add(word);
  }
  return words;
}
