import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { nodeLog } from "../../../src/node/node-log.ts";
import { limitFiles } from "../file-limit.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-node-log-"));
});
afterEach(() => {
  limitFiles("unlimited");
  rmSync(folder, { recursive: true, force: true });
});

it("a line that finds no room on the disk is lost, and nothing else", () => {
  const file = join(folder, "node.log");
  const descriptor = openSync(file, "a", 0o600);
  const logger = pino({ base: null, timestamp: false }, nodeLog(descriptor));
  logger.info("before");
  limitFiles(readFileSync(file).length);
  logger.info("without room");
  limitFiles("unlimited");
  logger.info("after");
  closeSync(descriptor);
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line).msg)).toEqual(["before", "after"]);
});
