// What a node keeps is its owner's alone, however the owner's umask is set.

import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { clusterManifest, none } from "../../../src/manifest/builder.ts";
import { startNode } from "../../../src/node/node.ts";

let folder: string;
let umask: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mem0ctl-modes-"));
  // The temporary folder itself is open here: nothing below it may count on that it is not.
  chmodSync(folder, 0o777);
  umask = process.umask(0);
});
afterEach(() => {
  process.umask(umask);
  rmSync(folder, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
  server.close();
  await once(server, "close");
  return address.port;
}

it("a node's files are readable and writable by their owner only, its folders theirs to enter", async () => {
  const manifest = clusterManifest("modes")
    .withDataDir(join(folder, "data"))
    .withNode({ id: "a", address: `127.0.0.1:${await freePort()}` })
    .withReplication(none())
    .build();
  const [spec] = manifest.nodes;
  if (spec === undefined) throw new Error("the manifest has one node");
  const node = await startNode({
    manifest,
    spec,
    logger: pino({ level: "silent" }),
    onDiskFailure: (reason) => {
      throw new Error(reason);
    },
  });
  const modes = new Map(
    readdirSync(folder, { recursive: true, encoding: "utf8" }).map((path) => {
      const status = statSync(join(folder, path));
      return [path, `${status.isDirectory() ? "folder" : "file"} ${(status.mode & 0o777).toString(8)}`];
    }),
  );
  await node.stop();
  expect([...modes.keys()]).toEqual(
    expect.arrayContaining(["data/a/node.pid", "data/a/store/log", "data/a/store/state/data.mdb"]),
  );
  const open = [...modes].filter(([, mode]) => mode !== "folder 700" && mode !== "file 600");
  expect(open).toEqual([]);
});
