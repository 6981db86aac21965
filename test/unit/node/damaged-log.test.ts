// Which damaged logs a node goes on with.

import { expect, test } from "vitest";
import { clusterManifest, hash, multiple } from "../../../src/manifest/builder.ts";
import { isEnough } from "../../../src/node/damaged-log.ts";
import { newIdentity } from "../../../src/node/identity.ts";
import { systemClock } from "../../../src/node/system-clock.ts";

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
