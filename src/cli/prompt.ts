// Questions to a person, with inquirer, which is loaded only when one is asked. Questions and answers
// are on stderr, because stdout is for data. Ctrl-C at a question is Ctrl-C: the error `interrupted`.

import inquirer from "inquirer";
import type { DistinctQuestion } from "inquirer";
import { Mem0ctlError } from "../model/errors.ts";
import type { CliIo } from "./io.ts";

export interface Choice<Value extends string> {
  readonly value: Value;
  /** What it means, shown beside it. */
  readonly meaning: string;
  /** Shown, but cannot be chosen; the text says why. */
  readonly disabled?: string;
}

export async function askYesNo(io: CliIo, question: string, byDefault = false): Promise<boolean> {
  return (await ask(io, { type: "confirm", name: "answer", message: question, default: byDefault })) === true;
}

/** `problem` says what is wrong with an answer, or undefined when nothing is. */
export async function askText(
  io: CliIo,
  question: string,
  byDefault: string,
  problem: (text: string) => string | undefined,
): Promise<string> {
  const validate = (text: string): string | true => problem(text) ?? true;
  return String(
    await ask(io, { type: "input", name: "answer", message: question, default: byDefault, validate }),
  );
}

export async function askInteger(
  io: CliIo,
  question: string,
  byDefault: number,
  [min, max]: readonly [number, number],
): Promise<number> {
  return Number(
    await ask(io, {
      type: "number",
      name: "answer",
      message: question,
      default: byDefault,
      min,
      max,
      required: true,
    }),
  );
}

export async function askChoice<Value extends string>(
  io: CliIo,
  question: string,
  choices: readonly Choice<Value>[],
  byDefault?: Value,
): Promise<Value> {
  const width = Math.max(...choices.map(({ value }) => value.length));
  const answer = await ask(io, {
    type: "select",
    name: "answer",
    message: question,
    choices: choices.map(({ value, meaning, disabled }) => ({
      value,
      name: `${value.padEnd(width)}  ${meaning}`,
      short: value,
      ...(disabled === undefined ? {} : { disabled }),
    })),
    ...(byDefault === undefined ? {} : { default: byDefault }),
  });
  const chosen = choices.find(({ value }) => value === answer);
  if (chosen === undefined) throw new TypeError("an answer that was not offered");
  return chosen.value;
}

/** What inquirer throws on Ctrl-C, on a closed input or on an abort becomes one error. */
async function ask(io: CliIo, question: DistinctQuestion): Promise<unknown> {
  const prompt = inquirer.createPromptModule({
    input: io.stdin,
    output: io.stderr,
    signal: io.signal,
  });
  try {
    const answers: Readonly<Record<string, unknown>> = await prompt(question);
    return answers["answer"];
  } catch (error) {
    const name = error instanceof Error ? error.name : "";
    if (name !== "ExitPromptError" && name !== "AbortPromptError") throw error;
    throw new Mem0ctlError("failed", "interrupted", "interrupted", { why: "a question was not answered" });
  }
}
