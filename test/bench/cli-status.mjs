// What `status -o json` of a running 3-node cluster costs as a whole process, beside an empty Node process.
import { atMost, median } from "./figures.mjs";
import { mem0ctl, pairedProcessTimes, processTimeMs, startCluster, withFolder } from "./support.mjs";

export function measure({ quick }) {
  return withFolder(async (folder) => {
    const cluster = await startCluster(folder);
    const pairs = quick ? 7 : 31;
    const { ours, peer } = pairedProcessTimes(
      pairs,
      () => processTimeMs(process.execPath, [mem0ctl, "status", "-o", "json", "-f", cluster.file]),
      () => processTimeMs(process.execPath, ["-e", "0"]),
    );
    const ratio = median(ours.map((time, index) => time / peer[index]));
    await cluster.down();
    return [
      {
        what: `status -o json, 3 nodes, whole process, median of ${pairs} pairs`,
        value: median(ours),
        unit: "ms",
        peer: { name: "node -e 0", value: median(peer) },
        ratio,
        goal: atMost(2.2, ratio, "x"),
      },
    ];
  });
}
