// The program as a process of its own: pipes that close, and signals.

import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { beforeAll, describe, expect, it } from "vitest";
import { bundledProgram } from "./support/bundle.ts";
import { visibleCluster } from "./support/cluster.ts";
import type { VisibleCluster } from "./support/cluster.ts";

let program = "";
let cluster: VisibleCluster;
beforeAll(async () => {
  program = await bundledProgram();
  cluster = await visibleCluster();
});

interface Ended {
  /** As a shell has it: 128 and its number for a signal. */
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * `then` is called once stdout or stderr holds `text`, with the process still running; at once for "". After `stdin`
 * nothing more comes, and no end either.
 */
function run(
  argv: readonly string[],
  text: string,
  then: (child: { kill(signal: NodeJS.Signals): boolean; readonly stdout: Readable }) => void,
  stdin = "",
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...argv], {
      cwd: cluster.cwd,
      stdio: ["pipe", "pipe", "pipe"],
      env: { PATH: process.env["PATH"], LANG: "C.UTF-8" },
    });
    child.stdin.write(stdin);
    const seen = { stdout: "", stderr: "" };
    let done = false;
    for (const name of ["stdout", "stderr"] as const) {
      child[name].on("data", (chunk: Buffer) => {
        seen[name] += chunk.toString("utf8");
        if (done || !seen[name].includes(text)) return;
        done = true;
        then(child);
      });
    }
    if (text === "") {
      done = true;
      then(child);
    }
    child.on("error", reject);
    child.on("close", (exit, signal) => {
      resolve({ exit: signal === null ? exit : 128 + constants.signals[signal], ...seen });
    });
  });
}

/** Nobody reads its stdout, from the beginning. */
function runUnread(argv: readonly string[]): Promise<Ended> {
  return run(argv, "", ({ stdout }) => stdout.destroy());
}

describe("a reader that has had enough", () => {
  it("ends quietly, with exit 0, what would write for ever", async () => {
    const { exit, stderr } = await run(["status", "--watch"], "LEADS", ({ stdout }) => stdout.destroy());
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: "" });
  });

  it("ends an export, which does not claim that it is whole", async () => {
    await run(["memories", "add", "Likes tea", "--user", "ada"], "", () => undefined);
    const { exit, stderr } = await runUnread(["memories", "export"]);
    expect(exit).toBe(0);
    expect(stderr).not.toContain("exported 1 memories");
  });

  it("sees no stack, not even of --version", async () => {
    expect(await runUnread(["--version"])).toEqual({ exit: 0, stdout: "", stderr: "" });
  });

  it("does not turn a failure into success", async () => {
    writeFileSync(join(cluster.cwd, "bad.yaml"), "kind: Bunch\n");
    const { exit } = await runUnread(["validate", "-f", "bad.yaml"]);
    expect(exit).toBe(2);
  });
});

describe("a signal", () => {
  it("Ctrl-C ends a wait with exit 130 and a word, not a stack", async () => {
    const { exit, stdout, stderr } = await run(["wait", "--for", "down"], "still there", (child) =>
      child.kill("SIGINT"),
    );
    expect({ exit, stdout }).toEqual({ exit: 130, stdout: "" });
    expect(stderr).toMatch(/interrupted\n$/);
  });

  it("SIGTERM ends it with exit 143", async () => {
    const { exit } = await run(["wait", "--for", "down"], "still there", (child) => child.kill("SIGTERM"));
    expect(exit).toBe(143);
  });

  it("a terminal that is closed ends it with exit 129, and lets it clean up", async () => {
    const { exit, stderr } = await run(["wait", "--for", "down"], "still there", (child) =>
      child.kill("SIGHUP"),
    );
    expect(exit).toBe(129);
    // Killed outright it would have said nothing.
    expect(stderr).toMatch(/interrupted\n$/);
  });

  it("Ctrl-C ends status --watch with exit 0", async () => {
    const { exit } = await run(["status", "--watch"], "LEADS", (child) => child.kill("SIGINT"));
    expect(exit).toBe(0);
  });

  it("Ctrl-C ends at once an import to which nobody writes any more, and says how to go on", async () => {
    const manifest = readFileSync(join(cluster.cwd, "cluster.yaml"), "utf8");
    // As many as the nodes of this cluster take at once.
    writeFileSync(join(cluster.cwd, "batch.yaml"), `${manifest}  limits: { batch: 100 }\n`);
    const lines = Array.from({ length: 105 }, (_, index) => `{"memory":"note ${index}","user_id":"ada"}\n`);
    let interruptedMs = 0;
    const { exit, stderr } = await run(
      ["memories", "import", "-", "-f", "batch.yaml"],
      "100 memories imported",
      (child) => {
        interruptedMs = performance.now();
        child.kill("SIGINT");
      },
      lines.join(""),
    );
    expect(performance.now() - interruptedMs).toBeLessThan(3000);
    expect(exit).toBe(130);
    expect(stderr).toContain("every line before 101 was imported");
    expect(stderr).toContain("go on with --from-line 101");
  });

  it("Ctrl-C ends at once a command that waits for its text", async () => {
    let interruptedMs = 0;
    const { exit, stderr } = await run(["memories", "add", "-", "--user", "ada"], "", (child) => {
      setTimeout(() => {
        interruptedMs = performance.now();
        child.kill("SIGINT");
      }, 1500);
    });
    expect(performance.now() - interruptedMs).toBeLessThan(3000);
    expect({ exit, stderr }).toEqual({ exit: 130, stderr: "interrupted\n" });
  });
});

describe("a question on a terminal", () => {
  it("to which the terminal closes its input is no success", async () => {
    const exit = await new Promise((resolve) => {
      // script(1) gives the program a terminal, and what comes on its own stdin is typed there: ^D.
      const line = `${process.execPath} ${program} init cluster -f asked.yaml`;
      const child = spawn("script", ["-qec", line, "/dev/null"], {
        cwd: cluster.cwd,
        stdio: ["pipe", "pipe", "ignore"],
      });
      child.stdout.on("data", (chunk: Buffer) => {
        if (chunk.toString("utf8").includes("called?")) child.stdin.write("\u0004");
      });
      child.on("close", resolve);
    });
    expect(exit).toBe(130);
    expect(existsSync(join(cluster.cwd, "asked.yaml"))).toBe(false);
  });
});
