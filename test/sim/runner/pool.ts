// Child processes that simulate seeds, one each at a time. A child that dies or takes too long for its seed
// is a violation like any other, and another takes its place.

import { fork, type ChildProcess } from "node:child_process";
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
const ERROR_OUTPUT_KEPT = 4000;

export class Pool {
  private readonly bundle: string;
  private readonly size: number;
  private readonly seedWallMs: number;
  private readonly children = new Set<ChildProcess>();
  private ended = false;

  constructor(options: { readonly bundle: string; readonly size: number; readonly seedWallMs: number }) {
    this.bundle = options.bundle;
    this.size = options.size;
    this.seedWallMs = options.seedWallMs;
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
      execArgv: ["--enable-source-maps"],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.children.add(child);
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
        clearTimeout(timer);
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
      const timer = setTimeout(() => {
        child.kill("SIGKILL");
        violated("hang", `not done after ${this.seedWallMs / 1000} s`);
      }, this.seedWallMs);
      child.stderr?.on("data", onErrors);
      child.once("message", (answer) => settle(answer as Answer));
      child.once("close", onClose);
      child.send(task, (error) => {
        if (error !== null && error !== undefined) violated("crash", error.message);
      });
    });
  }
}
