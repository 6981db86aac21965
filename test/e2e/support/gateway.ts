// Gateways as processes of their own, started by the CLI in front of a cluster.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { until } from "./cluster.ts";

const BIN = fileURLToPath(new URL("../../../bin/mem0ctl.js", import.meta.url));

export interface TestGateway {
  readonly host: string;
  readonly child: ChildProcess;
  /** What it has written so far: its log, and an error that kept it from starting. */
  readonly output: () => string;
  /** SIGTERM; the exit code. */
  readonly stop: () => Promise<number | null>;
}

/** Answers when it resolves. */
export async function startGateway(
  file: string,
  port: number,
  flags: readonly string[] = [],
): Promise<TestGateway> {
  const listen = `127.0.0.1:${port}`;
  const child = spawn(process.execPath, [BIN, "serve", "-f", file, "--listen", listen, ...flags], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const written: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => written.push(text));
  }
  const exited = once(child, "exit");
  const output = (): string => written.join("");
  await until("the gateway answers or ends", async () => {
    if (child.exitCode !== null) throw new Error(`the gateway ended: ${output()}`);
    return output().includes("gateway started");
  });
  return {
    host: `http://${listen}`,
    child,
    output,
    stop: async () => {
      child.kill("SIGTERM");
      await exited;
      return child.exitCode;
    },
  };
}
