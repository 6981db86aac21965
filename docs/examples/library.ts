// A program that uses mem0ctl as a library: it makes a manifest in code, brings up a cluster of three
// nodes on this machine in a temporary folder, keeps a few memories on it, looks at it, hands a shard's
// leadership over, and takes everything down again.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { clusterManifest, connect, hash, Mem0ctlError, multiple } from "mem0ctl";

const folder = await mkdtemp(join(tmpdir(), "mem0ctl-example-"));

// A manifest in code follows the same rules as one in YAML; `findings()` lists what is wrong with it.
const manifest = clusterManifest("example")
  .withDataDir(join(folder, "data"))
  .withNodes(await threeNodes())
  .withReplication(multiple(2))
  .withSharding(hash(8))
  .withConsensus("raft", { electionTimeout: "1s" });

// The nodes that `up` starts read the manifest themselves, so it has to be in a file.
const file = join(folder, "cluster.yaml");
await writeFile(file, manifest.toYaml(), { mode: 0o600 });

const cluster = await connect(file);
try {
  const { view } = await cluster.up({ timeoutMs: 60_000 });
  console.log(`${view.cluster} is ${view.health}: ${view.healthyNodes} nodes, ${view.totalShards} shards`);

  await cluster.memories.add({
    user_id: "ada",
    texts: ["Ada drinks tea, never coffee.", "Ada's train leaves at seven in the morning."],
    metadata: { source: "example" },
  });
  const [best] = await cluster.memories.search({
    query: "Does Ada drink coffee?",
    filters: { user_id: "ada" },
    topK: 1,
  });
  console.log(`best match: ${best?.memory}`);

  const { shard, leader, replicas } = await cluster.locate("ada");
  console.log(`ada is on shard ${shard}: led by ${leader}, replicas on ${replicas.join(", ")}`);
  const other = replicas.find((node) => node !== leader);
  const moved = await cluster.transferLeader(shard, other);
  console.log(`shard ${moved.group} is now led by ${moved.to} in term ${moved.term}`);

  const { totals } = await cluster.replicationStatus();
  console.log(`replicated ${totals.totalReplicated} entries, ${totals.failed} replicas failed`);

  try {
    await cluster.memories.get("no-such-memory");
  } catch (error) {
    // Every error has a stable code, and a hint for the person who reads it.
    if (!(error instanceof Mem0ctlError)) throw error;
    console.log(`as expected: ${error.code}`);
  }
} finally {
  const stopped = await cluster.down();
  await cluster.close();
  await rm(folder, { recursive: true, force: true });
  console.log(`stopped ${stopped.filter(({ outcome }) => outcome === "stopped").length} nodes`);
}

/** Three nodes on ports of 127.0.0.1 that are free now. */
async function threeNodes(): Promise<{ id: string; address: string; zone: string }[]> {
  const servers = [1, 2, 3].map(() => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once("listening", resolve))));
  const nodes = servers.map((server, index) => {
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
    return { id: `node-${index + 1}`, address: `127.0.0.1:${address.port}`, zone: `zone-${index + 1}` };
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return nodes;
}
