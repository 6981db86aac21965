// Child processes that simulate seeds, one each at a time. A child that dies or takes too long for its seed
// is a violation like any other, and another takes its place.

import { fork, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { setPriority } from "node:os";
import type { Protocol } from "../../../src/model/ids.ts";

export interface Task {
  readonly protocol: Protocol;
  readonly seed: number;
  readonly trace: boolean;
}

export interface Violation {
  readonly invariant: string;
  readonly message: string;
}

/** What a simulation says of one seed. */
export interface Answer {
  readonly events: number;
  readonly simulatedMs: number;
  readonly traceHash: string;
  readonly violation: Violation | undefined;
  /** How many steps of each kind were done, and operations of some kinds ended. */
  readonly operations: Readonly<Record<string, number>>;
  readonly trace?: readonly string[];
}

export interface Outcome extends Answer {
  readonly task: Task;
}

/** A child is replaced after so many seeds: what it leaks must not add up. */
const SEEDS_PER_CHILD = 2000;
const ENDS_CHILD: readonly string[] = ["crash", "hang"];
/** As `nice`: 0 is what a process has, 19 the least. */
const PRIORITY = 10;
/** A child that has used less than this part of the time that went by stands still. */
const STANDS_STILL = 0.002;
const ERROR_OUTPUT_KEPT = 4000;

export class Pool {
  private readonly bundle: string;
  private readonly size: number;
  private readonly seedMs: number;
  private readonly children = new Set<ChildProcess>();
  private ended = false;

  constructor(options: { readonly bundle: string; readonly size: number; readonly seedMs: number }) {
    this.bundle = options.bundle;
    this.size = options.size;
    this.seedMs = options.seedMs;
  }

  /** Runs all tasks, or until `onOutcome` returns false; outcomes come in the order in which they end. */
  async run(tasks: Iterable<Task>, onOutcome: (outcome: Outcome) => boolean): Promise<void> {
    const iterator = tasks[Symbol.iterator]();
    let going = true;
    const lane = async (): Promise<void> => {
      while (going) {
        const child = this.start();
        try {
          for (let done = 0; going && done < SEEDS_PER_CHILD; done += 1) {
            const next = iterator.next();
            if (next.done === true) {
              going = false;
              break;
            }
            const outcome = await this.simulate(child, next.value);
            if (this.ended) return;
            if (!onOutcome(outcome)) going = false;
            // What crashed or hung is done with, even when its process has not noticed yet.
            if (ENDS_CHILD.includes(outcome.violation?.invariant ?? "") || !child.connected) break;
          }
        } finally {
          this.stop(child);
        }
      }
    };
    await Promise.all(Array.from({ length: this.size }, lane));
  }

  /** Ends every child at once. */
  end(): void {
    this.ended = true;
    for (const child of this.children) this.stop(child);
  }

  private start(): ChildProcess {
    const child = fork(this.bundle, [], {
      // A simulation makes much that dies at once: a larger young generation saves a fifteenth of the time.
      execArgv: ["--enable-source-maps", "--max-semi-space-size=64"],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.children.add(child);
    // In virtual time nothing is late: who runs beside this in real time goes first.
    if (child.pid !== undefined) setPriority(child.pid, PRIORITY);
    child.once("exit", () => this.children.delete(child));
    return child;
  }

  private stop(child: ChildProcess): void {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  }

  private simulate(child: ChildProcess, task: Task): Promise<Outcome> {
    return new Promise((resolve) => {
      let errors = "";
      const onErrors = (chunk: Buffer): void => {
        errors = (errors + chunk.toString()).slice(-ERROR_OUTPUT_KEPT);
      };
      const settle = (answer: Answer): void => {
        clearInterval(timer);
        child.removeAllListeners("message");
        child.removeListener("close", onClose);
        child.stderr?.removeListener("data", onErrors);
        resolve({ ...answer, task });
      };
      const violated = (invariant: string, message: string): void =>
        settle({
          events: 0,
          simulatedMs: 0,
          traceHash: "",
          violation: { invariant, message },
          operations: {},
        });
      const onClose = (code: number | null, signal: string | null): void =>
        violated("crash", `the process ended with ${signal ?? code}: ${errors.trim()}`);
      // A busy machine is no hang: what counts is the child's own time, where the system tells of it.
      const beganMs = processorMs(child.pid) ?? 0;
      let seenMs = beganMs;
      const timer = setInterval(() => {
        const nowMs = processorMs(child.pid) ?? Infinity;
        const goesOn = nowMs - beganMs < this.seedMs && nowMs - seenMs >= this.seedMs * STANDS_STILL;
        seenMs = nowMs;
        if (goesOn) return;
        child.kill("SIGKILL");
        violated("hang", `not done after ${this.seedMs / 1000} s`);
      }, this.seedMs);
      child.stderr?.on("data", onErrors);
      child.once("message", (answer) => settle(answer as Answer));
      child.once("close", onClose);
      child.send(task, (error) => {
        if (error !== null && error !== undefined) violated("crash", error.message);
      });
    });
  }
}

/** Processor time that a process has used, in ms; undefined where there is no `/proc`, or no such process. */
function processorMs(pid: number | undefined): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // Fields 14 and 15 of proc(5), counted after the name, which may hold anything; a tick is 10 ms.
    const [user, system] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13)
      .map(Number);
    return ((user ?? 0) + (system ?? 0)) * 10;
  } catch {
    return undefined;
  }
}
