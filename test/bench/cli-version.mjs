// What the smallest command costs as a whole process, beside an empty Node process.
import { atMost, median } from "./figures.mjs";
import { mem0ctl, pairedProcessTimes, processTimeMs } from "./support.mjs";

export function measure({ quick }) {
  const pairs = quick ? 7 : 31;
  const { ours, peer } = pairedProcessTimes(
    pairs,
    () => processTimeMs(process.execPath, [mem0ctl, "--version"]),
    () => processTimeMs(process.execPath, ["-e", "0"]),
  );
  const ratio = median(ours.map((time, index) => time / peer[index]));
  return [
    {
      what: `mem0ctl --version, whole process, median of ${pairs} pairs`,
      value: median(ours),
      unit: "ms",
      peer: { name: "node -e 0", value: median(peer) },
      ratio,
      goal: atMost(1.4, ratio, "x"),
    },
  ];
}
