// A plan file that is none is refused before anything is read of it: a pipe would be waited for, deaf to Ctrl-C.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";
import { mem0ctl, temporaryDirectory } from "./support/program.ts";

it.each([
  ["a device", "/dev/null", "a pipe, a socket or a device"],
  ["a directory", ".", "a directory"],
  ["a pipe that nobody writes to", "pipe", "a pipe, a socket or a device"],
])("apply reads no plan from %s", async (_, file, why) => {
  const cwd = temporaryDirectory();
  execFileSync("mkfifo", [join(cwd, "pipe")]);
  const { exit, stdout, stderr } = await mem0ctl(["apply", file, "--yes"], { cwd });
  expect({ exit, stdout }).toEqual({ exit: 2, stdout: "" });
  expect(stderr).toContain(`error[not-a-regular-file]: ${file} is not a regular file`);
  expect(stderr).toContain(`why: it is ${why}`);
});
