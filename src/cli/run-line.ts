// Runs one command line, from words to exit code, over the streams and the program that are passed in. It
// never ends the process and never throws: whatever goes wrong becomes a message on stderr and an exit code.

import { setImmediate as nextTurn } from "node:timers/promises";
import { errorBody, Mem0ctlError } from "../model/errors.ts";
import { VERSION } from "../model/version.ts";
import { EXIT, exitCodeOfKind, exitCodeOfSignal } from "./exit.ts";
import type { ExitCode } from "./exit.ts";
import { write } from "./io.ts";
import type { CliIo } from "./io.ts";

/** How long a command may take to put things right after Ctrl-C before the program ends all the same. */
const GRACE_MS = 5000;

/** Parses a line and runs its command; throws what the command throws, and what commander throws. */
type Program = (argv: readonly string[], io: CliIo) => Promise<ExitCode>;

export async function runLine(argv: readonly string[], io: CliIo, program: Program): Promise<ExitCode> {
  let broken = false;
  // A reader that had enough (`| head`) is no error. The command goes on: cut off here it would leave work half done,
  // and say that it succeeded; what writes without end sees that nothing is taken (`write`). Other trouble is an error.
  io.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE" || broken) return;
    broken = true;
    io.stderr.write(`error[cannot-write]: cannot write to stdout\n  why: ${error.message}\n`);
  });
  io.stderr.on("error", () => undefined);
  let graceTimer: NodeJS.Timeout | undefined;
  const interrupted = new Promise<ExitCode>((resolve) => {
    const end = (): void => {
      graceTimer = setTimeout(() => {
        void Promise.allSettled(io.held).then(() => {
          resolve(exitCodeOfSignal(io.signal));
        });
      }, GRACE_MS);
    };
    if (io.signal.aborted) end();
    else io.signal.addEventListener("abort", end, { once: true });
  });
  try {
    const exitCode = await Promise.race([execute(argv, io, program), interrupted]);
    // A stream tells of its trouble a tick after it has told whoever wrote.
    await nextTurn();
    return broken && exitCode === EXIT.done ? EXIT.failed : exitCode;
  } finally {
    clearTimeout(graceTimer);
  }
}

async function execute(argv: readonly string[], io: CliIo, program: Program): Promise<ExitCode> {
  if (argv[0] === "--version" || argv[0] === "-V") {
    await write(io.stdout, `${VERSION}\n`);
    return EXIT.done;
  }
  if (argv[0] === "__complete") {
    const { completeIds } = await import("./completion/ids.ts");
    await write(io.stdout, await completeIds(argv.slice(1), io));
    return EXIT.done;
  }
  try {
    return await program(argv, io);
  } catch (error) {
    return report(error, argv, io);
  }
}

/** Says what went wrong: three lines for people, one document with `-o json`; the stack only with `-v`. */
async function report(error: unknown, argv: readonly string[], io: CliIo): Promise<ExitCode> {
  const ended = endOfCommander(error);
  if (ended !== undefined) return ended;
  const known = error instanceof Mem0ctlError ? error : internalError(error);
  if (known.code === "interrupted") {
    await write(io.stderr, "interrupted\n");
    return io.signal.aborted ? exitCodeOfSignal(io.signal) : EXIT.interrupted;
  }
  if (wantsJson(argv)) {
    const { renderJson } = await import("../render/json.ts");
    await write(io.stderr, renderJson({ error: errorBody(known).error }));
  } else {
    const { renderError } = await import("../render/error.ts");
    const { makeTheme } = await import("../render/theme.ts");
    const theme = makeTheme({
      isTty: io.stderr.isTTY === true,
      env: io.env,
      columns: io.stderr.columns ?? 80,
      noColor: argv.includes("--no-color"),
    });
    await write(io.stderr, withLineEnd(renderError(known, theme)));
    if ("usage" in known && typeof known.usage === "string") await write(io.stderr, `${known.usage}\n`);
    if (argv.includes("-v") || argv.includes("--verbose")) {
      await write(io.stderr, `${stackOf(error)}\n`);
    }
  }
  // Some say more than that they were interrupted: how far they got, and how to go on.
  const { cause } = known;
  if (cause instanceof Mem0ctlError && cause.code === "interrupted") return exitCodeOfSignal(io.signal);
  return exitCodeOfKind(known.kind);
}

/** commander ends a help page by throwing; that is not an error, unless a command was missing. */
function endOfCommander(error: unknown): ExitCode | undefined {
  if (!(error instanceof Error) || !("exitCode" in error) || !("code" in error)) return undefined;
  return error.exitCode === 0 ? EXIT.done : EXIT.usage;
}

/** What the operating system refused is no fault in mem0ctl; its message names what was asked for. */
function internalError(error: unknown): Mem0ctlError {
  if (error instanceof Error && "syscall" in error) {
    return new Mem0ctlError("failed", "system-refused", error.message, {
      why: "the operating system refused it",
      hint: "look at what is named there: whether it is what it should be, who may use it, and whether there is room",
      cause: error,
    });
  }
  return new Mem0ctlError("failed", "internal", error instanceof Error ? error.message : String(error), {
    why: "this is a fault in mem0ctl itself",
    hint: "run it again with -v for the details",
    cause: error,
  });
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `\ncaused by ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}

/** Looked for in the words themselves, because a line that could not be parsed has no options. */
function wantsJson(argv: readonly string[]): boolean {
  return argv.some(
    (word, index) =>
      word === "-ojson" ||
      word === "--output=json" ||
      (word === "json" && (argv[index - 1] === "-o" || argv[index - 1] === "--output")),
  );
}

function withLineEnd(text: string): string {
  return text.endsWith("\n") ? text : `${text}\n`;
}
