// The JSON Schema that editors use says the same as validation does.

import Fastify from "fastify";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { clusterManifest, directory, multiple } from "../../../src/manifest/builder.ts";
import { manifestJsonSchema } from "../../../src/manifest/json-schema.ts";
import { parseManifest } from "../../../src/manifest/parse.ts";
import { scaffoldManifest } from "../../../src/manifest/scaffold.ts";

type Json = null | string | number | boolean | readonly Json[] | { readonly [key: string]: Json };

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Every property of a schema, with its path. */
function* properties(schema: unknown, path = ""): Generator<[string, Readonly<Record<string, unknown>>]> {
  if (!isObject(schema)) return;
  if (isObject(schema["properties"])) {
    for (const [name, property] of Object.entries(schema["properties"])) {
      if (!isObject(property)) continue;
      yield [`${path}.${name}`, property];
      yield* properties(property, `${path}.${name}`);
    }
  }
  yield* properties(schema["items"], `${path}[]`);
}

/** What the schema's own defaults make of nothing. */
function defaultsOf(schema: unknown): Json | undefined {
  if (!isObject(schema) || !isObject(schema["properties"])) return undefined;
  const entries = Object.entries(schema["properties"]).flatMap(([name, property]): [string, Json][] => {
    if (!isObject(property) || property["default"] === undefined) return [];
    return [[name, defaultsOf(property) ?? (JSON.parse(JSON.stringify(property["default"])) as Json)]];
  });
  return Object.fromEntries(entries);
}

describe("the JSON Schema", () => {
  it("is 2020-12 and plain data", () => {
    const schema = manifestJsonSchema();
    expect(schema).toMatchObject({ $schema: "https://json-schema.org/draft/2020-12/schema", type: "object" });
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema);
  });

  it("describes every field", () => {
    const all = [...properties(manifestJsonSchema())];
    expect(all.map(([path]) => path)).toEqual(
      expect.arrayContaining([".spec.nodes[].address", ".spec.limits.maxLag"]),
    );
    const undescribed = all.filter(([, { description }]) => !/^[A-Za-z{].{8,}/.test(String(description)));
    expect(undescribed).toEqual([]);
  });

  it("states the defaults that validation uses", () => {
    const minimal = clusterManifest("demo").withNodes([
      { id: "a", address: "127.0.0.1:7001" },
      { id: "b", address: "127.0.0.1:7002" },
    ]);
    const spec = [...properties(manifestJsonSchema())].find(([path]) => path === ".spec")?.[1];
    const defaults = defaultsOf(spec);
    expect(defaults).toMatchObject({ engine: "embedded", consensus: { electionTimeout: "1s" } });
    const plain: unknown = parse(minimal.toYaml());
    if (!isObject(plain) || !isObject(plain["spec"]) || !isObject(defaults)) throw new Error("not a mapping");
    const written = JSON.stringify({ ...plain, spec: { ...defaults, ...plain["spec"] } });
    const { manifest, findings } = parseManifest(written, { file: "", baseDir: "/srv" });
    expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
    expect(manifest).toEqual(minimal.build({ baseDir: "/srv" }));
  });
});

describe("as a validator of its own", () => {
  async function accepts(manifest: string): Promise<boolean> {
    const { $schema: _, ...schema } = { $schema: "", ...manifestJsonSchema() };
    const server = Fastify({
      bodyLimit: 4 * 1024 * 1024,
      ajv: {
        customOptions: {
          coerceTypes: false,
          removeAdditional: false,
          useDefaults: false,
          strict: true,
          strictRequired: false,
        },
      },
    });
    server.post("/", { schema: { body: schema } }, async () => "ok");
    const body: unknown = parse(manifest);
    const response = await server.inject({
      method: "POST",
      url: "/",
      headers: { "content-type": "application/json" },
      payload: JSON.stringify(body),
    });
    await server.close();
    return response.statusCode === 200;
  }

  it.each([
    ["a scaffold", scaffoldManifest({ name: "demo" })],
    ["a range scaffold", scaffoldManifest({ name: "demo", sharding: { strategy: "range", shards: 40 } })],
    [
      "a manifest with tokens and TLS",
      clusterManifest("demo")
        .withNode({ id: "a", address: "192.0.2.1:7001" })
        .withReplication(multiple(1))
        .withSharding(directory(4, { acme: 3 }))
        .withConsensus("quorum", { read: 2, write: "one" })
        .withLimits({ body: "4MiB", maxLag: "1.5s" })
        .withToken({ name: "ops", role: "admin", env: "TOKEN" })
        .withTls({ cert: "a", key: "b", ca: "c" })
        .toYaml(),
    ],
  ])("accepts %s", async (_, text) => {
    expect(await accepts(text)).toBe(true);
  });

  it.each([
    ["a misspelt field", "strategy: multiple", "strategie: multiple"],
    ["an unknown choice", "engine: embedded", "engine: embeded"],
    ["a number in quotes", "shards: 16", 'shards: "16"'],
    ["a range passed", "shards: 16", "shards: 16385"],
    ["a duration without unit", "maxLag: 5s", "maxLag: 5"],
    ["a bad name", "name: demo", "name: Demo"],
    ["a missing field", 'address: "127.0.0.1:7001", ', ""],
    ["another version", "mem0ctl/v1", "mem0ctl/v2"],
    ["a token without a source", "  limits:", "  security: { tokens: [{ name: a, role: read }] }\n  limits:"],
  ])("refuses %s, as validation does", async (_, good, bad) => {
    const text = scaffoldManifest({ name: "demo" });
    const broken = text.replace(good, bad);
    expect(broken).not.toBe(text);
    expect(await accepts(broken)).toBe(false);
    expect(parseManifest(broken, { file: "", baseDir: "/srv" }).manifest).toBeUndefined();
  });
});
