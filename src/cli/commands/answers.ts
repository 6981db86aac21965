// Commands that only look print what they know of a cluster even when it is silent; the exit code says so.

import type { ClusterView } from "../../model/view.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";

/** 4 when no node answered, else 0: how well the cluster is, is for `status` to judge. */
export function exitCodeOfAnswers(view: Pick<ClusterView, "nodes">): ExitCode {
  const answered = view.nodes.some(({ state }) => state === "up" || state === "draining");
  return answered ? EXIT.done : EXIT.unavailable;
}
