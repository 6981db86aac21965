// The gateway's program: `--manifest FILE --listen HOST:PORT --name NAME`. Its log goes to standard output as
// JSON lines. The CLI imports it by path, so what keeps it from starting is given back as plain data: classes
// of two bundles are not the same.

import { once } from "node:events";
import { pino } from "pino";
import { parseArgs } from "node:util";
import { loadManifest } from "../manifest/file.ts";
import { errorBody, Mem0ctlError, type ErrorBody } from "../model/errors.ts";
import { startGateway, type RunningGateway } from "./gateway.ts";

/** Serves until a signal ends it; resolves to what kept it from starting, if anything did. */
export async function runGateway(argv: readonly string[]): Promise<ErrorBody | undefined> {
  let running: RunningGateway;
  try {
    running = await start(argv);
  } catch (error) {
    return errorBody(error);
  }
  await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
  await running.stop();
  return undefined;
}

async function start(argv: readonly string[]): Promise<RunningGateway> {
  const { values } = parseArgs({
    args: [...argv],
    options: { manifest: { type: "string" }, listen: { type: "string" }, name: { type: "string" } },
  });
  const { manifest: manifestFile, listen, name } = values;
  if (manifestFile === undefined || listen === undefined || name === undefined) {
    throw new Mem0ctlError("invalid", "usage", "a gateway needs --manifest, --listen and --name");
  }
  const { manifest, findings } = await loadManifest(manifestFile, { files: "warnings" });
  if (manifest === undefined) {
    throw new Mem0ctlError("invalid", "manifest-invalid", `${manifestFile} is not a valid manifest`, {
      why: findings.find(({ severity }) => severity === "error")?.message ?? "it has errors",
      hint: `run \`mem0ctl validate -f ${manifestFile}\``,
      data: { findings },
    });
  }
  const logger = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime });
  return startGateway({ manifest, manifestFile, listen, name, logger });
}
