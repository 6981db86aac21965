// What a node says that it was started with: everything that its manifest alone decides, and no secret.

import { expect, it } from "vitest";
import { levelsIn, settingsOf } from "../../../src/model/settings.ts";

it("names fields as the manifest does, and of secrets only whose they are", () => {
  const settings = settingsOf({
    consensus: {
      protocol: "raft",
      heartbeatIntervalMs: 100,
      electionTimeoutMs: 1000,
      consistency: { read: "stale", write: "quorum", maxStalenessMs: 2000 },
    },
    embedding: { provider: "lexical", dimensions: 384, url: undefined, model: undefined, apiKey: undefined },
    limits: { maxLagMs: 5000, bodyBytesMax: 4 << 20, batchMax: 1000, connectionsMax: 1000 },
    security: {
      tls: { cert: "/c.pem", key: "/k.pem", ca: "/ca.pem" },
      tokens: [
        { name: "app", role: "write", source: { env: "APP" } },
        { name: "admin", role: "admin", source: { sha256: "ab".repeat(32) } },
      ],
    },
  });
  expect(settings).toEqual({
    "limits.maxLag": "5s",
    "limits.body": "4MiB",
    "limits.batch": "1000",
    "limits.connections": "1000",
    "consensus.heartbeatInterval": "100ms",
    "consensus.electionTimeout": "1s",
    "consensus.consistency": "read stale, at most 2s old, write quorum",
    embedding: "lexical, 384 dimensions",
    "embedding.url": "none",
    "security.tls": "on",
    "security.tokens": "admin (admin), app (write)",
  });
});

it("tells the levels again, whatever else is said with them", () => {
  expect(levelsIn({ "consensus.consistency": "read stale, at most 2s old, write quorum" })).toEqual({
    read: "stale",
    write: "quorum",
  });
  expect(levelsIn({ "consensus.consistency": "read 1, write all" })).toEqual({ read: 1, write: "all" });
  expect(levelsIn({})).toBeUndefined();
});
