// A child process of the runner: simulates the seeds it is sent, one at a time. It has no clock of its own
// for them: the parent ends it when a seed takes too long.

import { simulate } from "../simulation.ts";
import type { Answer, Task } from "./pool.ts";

process.on("disconnect", () => process.exit(0));
// A signal to the whole process group is the parent's to answer: it ends its children, and no seed looks as if
// it had crashed.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
process.on("message", (task: Task) => {
  const failed = (error: unknown): void => {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    answer({
      events: 0,
      simulatedMs: 0,
      traceHash: "",
      violation: { invariant: "crash", message },
      operations: {},
    });
  };
  // Whatever escapes leaves the process in an unknown state: the parent starts another. Rejections are the
  // simulation's to judge: a simulated process that ends leaves some behind.
  process.once("uncaughtException", failed);
  simulate(task).then((outcome) => {
    process.removeListener("uncaughtException", failed);
    answer(outcome);
  }, failed);
});

function answer(outcome: Answer): void {
  process.send?.(outcome, () => {
    if (outcome.violation?.invariant === "crash") process.exit(1);
  });
}
