// Which damaged logs a node goes on with.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { clusterManifest, hash, multiple } from "../../../src/manifest/builder.ts";
import { isEnough } from "../../../src/node/damaged-log.ts";
import { newIdentity, writeIdentity } from "../../../src/node/identity.ts";
import { startNode } from "../../../src/node/node.ts";
import { openLogFolder } from "../../../src/node/storage/log-folder.ts";
import { LogStore } from "../../../src/node/storage/log-store.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { limitFiles } from "../file-limit.ts";

const manifest = clusterManifest("demo")
  .withNodes([1, 2, 3].map((number) => ({ id: `node-${number}`, address: `127.0.0.1:700${number}` })))
  .withReplication(multiple(2))
  .withSharding(hash(8))
  .build();

const salvage = (facts: Record<string, unknown>): Parameters<typeof isEnough>[1] => ({
  groups: new Map(),
  facts: new Map(Object.entries(facts)),
  damagedAt: 233,
  frames: 1,
  bytesLost: 100,
});

test("an identity from before the node began does not say which cluster let it in", () => {
  // A node that joins writes it down before it has heard of the cluster's id.
  const joining = newIdentity(manifest, "node-3", "guessed from the manifest", systemClock);
  expect(isEnough(manifest, salvage({ identity: joining }))).toBe(false);
  expect(isEnough(manifest, salvage({ identity: { ...joining, clusterId: "told", founded: true } }))).toBe(
    true,
  );
  expect(isEnough(manifest, salvage({}))).toBe(false);
});

test("without room for what can be read of it, the node says what it takes and where", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "mem0ctl-damaged-"));
  onTestFinished(() => {
    limitFiles("unlimited");
    rmSync(dataDir, { recursive: true, force: true });
  });
  const folder = join(dataDir, "store");
  const onDiskFailure = (reason: string): never => {
    throw new Error(reason);
  };
  const log = new LogStore({ folder: openLogFolder(folder), clock: systemClock, onDiskFailure });
  const identity = newIdentity(manifest, "node-3", "c", systemClock);
  await writeIdentity(log, { ...identity, founded: true });
  await log.append([{ kind: "fact", name: "filler", value: "x".repeat(1000) }]);
  const end = log.sizeBytes();
  await log.append([{ kind: "fact", name: "damaged", value: "x" }]);
  await log.append([{ kind: "fact", name: "behind", value: "x" }]);
  await log.close();
  const bytes = readFileSync(join(folder, "log"));
  bytes[end + 30] = (bytes[end + 30] ?? 0) ^ 0x08;
  writeFileSync(join(folder, "log"), bytes);

  const spec = manifest.nodes.find(({ id }) => id === "node-3");
  if (spec === undefined) throw new Error("the manifest has three nodes");
  limitFiles(1000);
  const logger = pino({ level: "silent" });
  await expect(
    startNode({ manifest, spec: { ...spec, dataDir }, logger, onDiskFailure }),
  ).rejects.toMatchObject({
    code: "disk-full",
    message: `nothing more fits into ${folder}`,
    why: expect.stringMatching(/what can be read of the damaged log takes \d+ bytes/u),
  });
});
