// What a cluster of 3 nodes and 64 shards costs when nobody asks it anything: processor time of each
// node's process, read from the kernel, as a share of one core.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { atMost } from "./figures.mjs";
import { sleep, startCluster, withFolder } from "./support.mjs";

export async function measure({ quick, skip }) {
  if (!existsSync("/proc/self/stat")) {
    skip("processor time is read from /proc, which this system lacks");
    return [];
  }
  const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  const seconds = quick ? 5 : 10;
  return withFolder(async (folder) => {
    const cluster = await startCluster(folder, { shards: 64 });
    const { nodes } = await cluster.status();
    await sleep(5_000); // Start-up work (compilation, leaders finding their place) is not idling.
    const before = nodes.map(({ pid }) => processorTicks(pid));
    const began = performance.now();
    await sleep(seconds * 1_000);
    const elapsedSeconds = (performance.now() - began) / 1_000;
    const figures = nodes.map(({ id, pid }, index) => {
      const percent = ((processorTicks(pid) - before[index]) / ticksPerSecond / elapsedSeconds) * 100;
      return {
        what: `idle, ${id} of 3, 64 shards, over ${seconds} s`,
        value: percent,
        unit: "% of a core",
        goal: atMost(5, percent, "%"),
      };
    });
    await cluster.down();
    return figures;
  });
}

/** User and system time of a process in clock ticks: fields 14 and 15 of proc(5) stat. */
function processorTicks(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name in parentheses may hold spaces; fields are counted from behind it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}
