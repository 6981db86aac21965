// Whose data a directory holds, and what it cannot become: refused before anything is touched.

import { describe, expect, test } from "vitest";
import { clusterManifest, hash, multiple } from "../../../src/manifest/builder.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { Manifest } from "../../../src/model/manifest.ts";
import { checkIdentity, newIdentity, type Identity } from "../../../src/node/identity.ts";
import { systemClock } from "../../../src/node/system-clock.ts";

const manifest = clusterManifest("demo")
  .withNodes([1, 2, 3].map((number) => ({ id: `node-${number}`, address: `127.0.0.1:700${number}` })))
  .withReplication(multiple(2))
  .withSharding(hash(8))
  .build();
const own = newIdentity(manifest, "node-1", "id", systemClock);

function withProtocol(protocol: Manifest["consensus"]["protocol"]): Manifest {
  return { ...manifest, consensus: { ...manifest.consensus, protocol } };
}

function withSharding(change: Partial<Manifest["sharding"]>): Manifest {
  return { ...manifest, sharding: { ...manifest.sharding, ...change } };
}

function errorOf(call: () => unknown): Mem0ctlError {
  try {
    call();
  } catch (error) {
    if (error instanceof Mem0ctlError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("data that was written before", () => {
  const codeFor = (changed: Manifest, identity: Identity = own): string =>
    errorOf(() => checkIdentity(identity, changed, "node-1", "/data")).code;

  test("is taken up again under the same settings, and where only what may change has changed", () => {
    const smaller = { ...manifest, nodes: manifest.nodes.slice(0, 2) };
    for (const now of [manifest, smaller]) {
      expect(() => checkIdentity(own, now, "node-1", "/data")).not.toThrow();
    }
  });

  test.each(["paxos", "quorum"] as const)("does not become that of %s, and the way there is named", (to) => {
    const error = errorOf(() => checkIdentity(own, withProtocol(to), "node-1", "/data"));
    expect(error).toMatchObject({ kind: "conflict", code: "protocol-changed" });
    expect(error.message).toContain("protocol raft");
    for (const word of ["memories export", "memories import", "undo"]) expect(error.hint).toContain(word);
  });

  test("is not cut in another way", () => {
    expect(codeFor(withSharding({ shards: 16 }))).toBe("sharding-changed");
    expect(codeFor(withSharding({ key: "agent" }))).toBe("sharding-changed");
    expect(codeFor(withSharding({ strategy: "directory" }))).toBe("sharding-changed");
  });

  test("of another node, another cluster or another version is refused", () => {
    expect(errorOf(() => checkIdentity(own, manifest, "node-2", "/data")).code).toBe("data-of-other-node");
    expect(codeFor({ ...manifest, name: "other" })).toBe("data-of-other-cluster");
    expect(codeFor(manifest, { ...own, format: own.format + 1 })).toBe("data-newer-format");
    const older = errorOf(() =>
      checkIdentity({ ...own, format: own.format - 1 }, manifest, "node-1", "/data"),
    );
    expect(older).toMatchObject({ kind: "conflict", code: "data-older-format" });
    for (const word of ["memories export", "memories import"]) expect(older.hint).toContain(word);
  });
});
