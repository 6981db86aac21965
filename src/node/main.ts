// The node process: `--manifest FILE --node ID`. Its log goes to standard output as JSON lines; an error
// that keeps it from starting is one more line, in the form of the HTTP API's errors.

import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { pino } from "pino";
import { loadManifest } from "../manifest/file.ts";
import { errorBody, Mem0ctlError } from "../model/errors.ts";
import { nodeLog } from "./node-log.ts";
import { startNode, type RunningNode } from "./node.ts";

/**
 * Buffers are cut from pieces of this size. A node makes many of some KiB and keeps most for seconds; with
 * Node's 8 KiB nearly each was an allocation of its own, and what they weighed outside the heap called for
 * collections all the time: 12 to 16 % of a write's processor time.
 */
const BUFFER_POOL_BYTES = 1 << 19;

const LOG = nodeLog(1);

/** Runs a node until it is stopped by a signal or an admin; resolves to the process's exit code. */
export async function runNode(argv: readonly string[]): Promise<number> {
  Buffer.poolSize = BUFFER_POOL_BYTES;
  let running: RunningNode;
  try {
    running = await start(argv);
  } catch (error) {
    sayError(error);
    return 1;
  }
  const stop = (): void => void running.stop();
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  await running.stopped;
  process.off("SIGTERM", stop);
  process.off("SIGINT", stop);
  return 0;
}

async function start(argv: readonly string[]): Promise<RunningNode> {
  const { values } = parseArgs({
    args: [...argv],
    options: { manifest: { type: "string" }, node: { type: "string" } },
  });
  if (values.manifest === undefined || values.node === undefined) {
    throw new Mem0ctlError("invalid", "usage", "a node needs --manifest FILE and --node ID");
  }
  const { manifest, findings } = await loadManifest(values.manifest);
  if (manifest === undefined) {
    throw new Mem0ctlError("invalid", "manifest-invalid", `${values.manifest} is not a valid manifest`, {
      why: findings.find((finding) => finding.severity === "error")?.message ?? "it has errors",
      hint: `run \`mem0ctl validate -f ${values.manifest}\``,
      data: { findings },
    });
  }
  const spec = manifest.nodes.find((node) => node.id === values.node);
  if (spec === undefined) {
    throw new Mem0ctlError("not-found", "unknown-node", `the manifest has no node ${values.node}`, {
      why: `it has ${manifest.nodes.map((node) => node.id).join(", ")}`,
      hint: "name one of these with --node, or add it to spec.nodes",
    });
  }
  return startNode({
    manifest,
    spec,
    logger: pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, LOG),
    onDiskFailure: (reason) => {
      // After a failed flush nobody can say what is on disk: no promise may follow.
      sayError(new Mem0ctlError("failed", "disk-failed", `the disk of ${spec.id} failed`, { why: reason }));
      // Not `process.exit`: its hooks could wait for a log that nobody reads any more.
      process.kill(process.pid, "SIGKILL");
      throw new Error(reason);
    },
  });
}

function sayError(error: unknown): void {
  LOG.write(`${JSON.stringify(errorBody(error))}\n`);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await runNode(process.argv.slice(2));
}
