// `mem0ctl serve`: mem0's HTTP API in front of an engine whose servers do not speak it, in the foreground, for
// systemd and containers. Imported by path: nothing of the server is bundled into the CLI.

import { pathToFileURL } from "node:url";
import type { Command } from "commander";
import { examples, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { errorFromBody, type ErrorBody } from "../../model/errors.ts";
import { gatewayEntry } from "../package-root.ts";

interface ServeOptions {
  readonly listen: string;
  readonly name: string;
}

export function serveCommand(action: Action): Command {
  return newCommand("serve", "Serve mem0's HTTP API for a redis cluster until SIGTERM or Ctrl-C")
    .option("--listen <host:port>", "where it takes requests", "127.0.0.1:8765")
    .option("--name <name>", "stands for {node} in the manifest's TLS paths", "gateway")
    .addHelpText(
      "after",
      examples(
        ["mem0ctl serve -f redis.yaml", "for programs of this machine"],
        ["mem0ctl serve -f redis.yaml --listen 0.0.0.0:8765", "needs TLS and tokens in the manifest"],
      ) +
        notes(
          "It keeps no state: run as many as you like. Its log goes to standard output. The nodes of the embedded engine serve the same API themselves.",
        ),
    )
    .action(action<ServeOptions>(serve));
}

async function serve(context: Context, { listen, name }: ServeOptions): Promise<ExitCode> {
  const { openManifest } = await import("../../operations/manifest-file.ts");
  // Everything that is wrong with it, said before anything is started.
  await openManifest(context.file);
  const runGateway = runGatewayOf(await context.io.importModule(pathToFileURL(gatewayEntry()).href));
  context.io.handOver();
  const failure = await runGateway(["--manifest", context.file, "--listen", listen, "--name", name]);
  if (isErrorBody(failure)) throw errorFromBody(failure);
  return EXIT.done;
}

function isErrorBody(value: unknown): value is ErrorBody {
  return typeof value === "object" && value !== null && "error" in value;
}

/** What was imported by path is of no known type until it is looked at. */
function runGatewayOf(module: unknown): (argv: readonly string[]) => Promise<unknown> {
  if (typeof module === "object" && module !== null && "runGateway" in module) {
    const { runGateway } = module;
    if (typeof runGateway === "function") return async (argv) => Reflect.apply(runGateway, undefined, [argv]);
  }
  throw new TypeError("the gateway's entry exports no runGateway");
}
