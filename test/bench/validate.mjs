// How long `validate` takes, as a whole process, for a manifest of 2,000 nodes in 20 zones.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { atMost, median } from "./figures.mjs";
import { mem0ctl, processTimeMs, withFolder } from "./support.mjs";

const NODES = 2_000;

export function measure({ quick }) {
  return withFolder((folder) => {
    const file = join(folder, "cluster.yaml");
    writeFileSync(file, manifest());
    const runs = quick ? 3 : 7;
    const timesMs = Array.from({ length: runs }, () =>
      processTimeMs(process.execPath, [mem0ctl, "validate", "-f", file, "-o", "json"]),
    );
    return [
      {
        what: `validate, ${NODES} nodes, whole process, median of ${runs}`,
        value: median(timesMs),
        unit: "ms",
        goal: atMost(1_000, median(timesMs), "ms"),
      },
    ];
  });
}

function manifest() {
  const nodes = Array.from({ length: NODES }, (_, index) => {
    const role = index % 2 === 0 ? "primary" : "secondary";
    return `    - { id: node-${index + 1}, address: "127.0.0.1:${7_001 + index}", role: ${role}, zone: zone-${index % 20} }`;
  });
  return [
    "apiVersion: mem0ctl/v1",
    "kind: Cluster",
    "metadata:",
    "  name: large",
    "spec:",
    "  engine: embedded",
    "  nodes:",
    ...nodes,
    "  replication: { strategy: multiple, replicas: 2 }",
    "  sharding: { strategy: hash, shards: 4096, key: user }",
    "  consensus: { protocol: raft }",
    "",
  ].join("\n");
}
