// The edge: the one file that touches the process. It answers `--version` before anything else is
// loaded, because scripts ask it in loops; everything else is `quick.ts` or `run.ts`.

import { setMaxListeners } from "node:events";
import { VERSION } from "../model/version.ts";
import { EXIT } from "./exit.ts";
import type { ExitCode } from "./exit.ts";
import type { CliIo } from "./io.ts";
import type { QuickCommand } from "./quick.ts";

const QUICK: Readonly<Record<QuickCommand, true>> = { validate: true, status: true, wait: true };

let handedOver = false;

function ioOfProcess(): CliIo {
  const controller = new AbortController();
  // Every request that is under way listens, and a cluster has more nodes than the ten that Node warns at.
  setMaxListeners(0, controller.signal);
  const end = (exitCode: ExitCode): void => {
    // The second Ctrl-C is from somebody who does not want to wait.
    if (controller.signal.aborted) process.exit(exitCode);
    controller.abort(exitCode);
  };
  const onInterrupt = (): void => {
    end(EXIT.interrupted);
  };
  const onTerminate = (): void => {
    end(EXIT.terminated);
  };
  // To be killed by it at once would leave behind what a command takes away in its end: half a file, a demo's nodes.
  // It comes twice, from the kernel and from the shell, so that the second is nobody's impatience.
  const onHangUp = (): void => {
    if (!controller.signal.aborted) end(EXIT.hungUp);
  };
  process.on("SIGINT", onInterrupt);
  process.on("SIGTERM", onTerminate);
  process.on("SIGHUP", onHangUp);
  return {
    // Opening stdin takes a millisecond or two, and most commands never read it.
    get stdin() {
      return process.stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd: process.cwd(),
    signal: controller.signal,
    held: new Set(),
    handOver: () => {
      handedOver = true;
      process.off("SIGINT", onInterrupt);
      process.off("SIGTERM", onTerminate);
      process.off("SIGHUP", onHangUp);
    },
    importModule: async (url) => import(url),
  };
}

const argv = process.argv.slice(2);
if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) {
  process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => {
    process.exitCode = code === "EPIPE" ? EXIT.done : EXIT.failed;
  });
  process.stdout.write(`${VERSION}\n`);
} else {
  // The process also ends when nothing is left that it could wait for, as at a question to which the terminal closes its
  // input (Ctrl-D). A command that has not said how it ended has done nothing that could be called success.
  process.exitCode = EXIT.interrupted;
  const isQuick = argv[0] !== undefined && Object.hasOwn(QUICK, argv[0]);
  const { runCli } = isQuick ? await import("./quick.ts") : await import("./run.ts");
  const io = ioOfProcess();
  const exitCode = await runCli(argv, io);
  // A node that ran here lets the process end by itself: its log may still be on its way, and cutting that
  // off blocks for ever when nobody reads it any more. Else everything that was written has been taken
  // (`write` waits), and open sockets need not hold the process.
  if (io.signal.reason === EXIT.hungUp) {
    // Node would put the terminal back as it was, and aborts when there is none any more.
    process.removeAllListeners("SIGHUP");
    process.kill(process.pid, "SIGHUP");
  }
  if (handedOver) process.exitCode = exitCode;
  else process.exit(exitCode);
}
