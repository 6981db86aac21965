// Runs transcripts: text files of commands and what they printed. A run prints the file anew and compares
// it with what is there; MEM0CTL_REWRITE=1 writes it instead. A rewritten diff is committed only when it is
// understood.
//
//   # comments and blank lines stay as they are
//   command argument argument
//   ----
//   output, up to the next blank line

import { readFileSync, writeFileSync } from "node:fs";

/** Answers one command with what it prints; "" prints `ok`. */
export type Interpreter = (command: string, args: readonly string[]) => string;

/** The transcript with the output that the interpreter gives now. */
function replay(text: string, interpret: Interpreter): string {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const printed: string[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? "";
    printed.push(line);
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [command = "", ...args] = line.trim().split(/\s+/);
    const output = interpret(command, args).trimEnd();
    printed.push("----", ...(output === "" ? ["ok"] : output.split("\n").map((one) => one || ".")));
    if (lines[at + 1] === "----") {
      at += 1;
      while (at + 1 < lines.length && (lines[at + 1] ?? "").trim() !== "") at += 1;
    } else if ((lines[at + 1] ?? "") !== "") {
      printed.push("");
    }
  }
  return printed.join("\n");
}

/** Replays a file. Returns what is there and what it should be; the same when it was rewritten. */
export function runTranscript(
  file: string,
  interpret: Interpreter,
): { readonly expected: string; readonly actual: string } {
  const expected = readFileSync(file, "utf8");
  const actual = replay(expected, interpret);
  if (process.env["MEM0CTL_REWRITE"] !== "1") return { expected, actual };
  if (actual !== expected) writeFileSync(file, actual);
  return { expected: actual, actual };
}
