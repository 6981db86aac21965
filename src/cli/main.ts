// The edge: the one file that touches the process. It answers `--version` before anything else is
// loaded, because scripts ask it in loops; everything else is `run.ts`.

import { VERSION } from "../model/version.ts";
import type { CliIo } from "./io.ts";

const INTERRUPTED = 130;
const TERMINATED = 143;

function ioOfProcess(): CliIo {
  const controller = new AbortController();
  const end = (exitCode: number): void => {
    // The second Ctrl-C is from somebody who does not want to wait.
    if (controller.signal.aborted) process.exit(exitCode);
    controller.abort(exitCode);
  };
  const onInterrupt = (): void => {
    end(INTERRUPTED);
  };
  const onTerminate = (): void => {
    end(TERMINATED);
  };
  process.on("SIGINT", onInterrupt);
  process.on("SIGTERM", onTerminate);
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
    handOver: () => {
      process.off("SIGINT", onInterrupt);
      process.off("SIGTERM", onTerminate);
    },
    importModule: async (url) => import(url),
  };
}

const argv = process.argv.slice(2);
if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) {
  process.stdout.write(`${VERSION}\n`);
} else {
  const { runCli } = await import("./run.ts");
  const exitCode = await runCli(argv, ioOfProcess());
  // Everything that was written has been taken (`write` waits); open sockets need not hold the process.
  process.exit(exitCode);
}
