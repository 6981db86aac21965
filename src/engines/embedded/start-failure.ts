// Why a spawned node ended before it answered: taken from what it wrote to its log, from its exit code,
// and from who has its port. The log is untrusted text and is made safe before it goes into a message.

import { errorFromBody, Mem0ctlError } from "../../model/errors.ts";
import type { NodeSpec } from "../../model/manifest.ts";
import { errorAnswer } from "./answers.ts";
import type { NodeExit, SpawnedNode } from "../local/processes.ts";
import { diskFull, logLines, nodeDied, portTaken, startData } from "../local/start-failure.ts";

/**
 * A node that cannot start writes, as a line of its log, the error as the HTTP API would (`ErrorBody`);
 * such an error is given on as it is, with its code (`port-taken`, `data-of-other-cluster`,
 * `data-newer-format`, `data-locked`, `disk-full`…). A node that could not even do that is `node-died`.
 */
export async function startFailure(
  node: NodeSpec,
  spawned: SpawnedNode,
  exit: NodeExit,
): Promise<Mem0ctlError> {
  const lines = await logLines(spawned);
  const data = startData(node, spawned, exit, lines);
  const said = lastError(lines);
  if (said?.code === "port-taken" || (said === undefined && /\bEADDRINUSE\b/.test(lines.join("\n")))) {
    return portTaken(node, data);
  }
  if (said !== undefined) {
    return new Mem0ctlError(said.kind, said.code, `${node.id} did not start: ${said.message}`, {
      ...(said.why === undefined ? {} : { why: said.why }),
      hint: said.hint ?? `its log: \`mem0ctl nodes logs ${node.id}\``,
      data: { ...said.data, ...data },
    });
  }
  return /\bENOSPC\b/.test(lines.join("\n")) ? diskFull(node, data) : nodeDied(node, exit, data);
}

function lastError(lines: readonly string[]): Mem0ctlError | undefined {
  for (const line of lines.toReversed()) {
    if (!line.startsWith("{")) continue;
    try {
      return errorFromBody(errorAnswer(JSON.parse(line), ""));
    } catch {
      // Any other line of the log.
    }
  }
  return undefined;
}
