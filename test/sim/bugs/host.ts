// Bugs that the node once had, beyond those in the other tables: each was found by reading, and each must now
// be found by the simulator.

import type { Bug } from "./bug.ts";

const HOST = "src/node/host/host.ts";

export const HOST_BUGS: readonly Bug[] = [
  {
    name: "clock-set-back-stops-ticks",
    checklist: "raft",
    protocols: ["raft"],
    lines: [6],
    what: "ticks follow the wall clock, so a clock that is set back stops elections and heartbeats",
    file: HOST,
    find: "this.lastTickMs = options.clock.nowMs();",
    replace: "this.lastTickMs = options.clock.wallMs();",
    and: [
      {
        file: HOST,
        find: "this.lastTickMs = this.options.clock.nowMs();",
        replace: "this.lastTickMs = this.options.clock.wallMs();",
      },
      {
        file: HOST,
        find: "this.lastTickMs + this.tickMs - clock.nowMs()",
        replace: "this.lastTickMs + this.tickMs - clock.wallMs()",
      },
      {
        file: HOST,
        find: "const now = this.options.clock.nowMs();",
        replace: "const now = this.options.clock.wallMs();",
      },
    ],
  },
];
