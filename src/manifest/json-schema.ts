// The manifest's fields as JSON Schema, for editors and for whoever wants to check a manifest without
// mem0ctl. It says what one field may be; the rules between fields are known to `validate` only.

import { MANIFEST } from "./schema.ts";

/** JSON Schema 2020-12 of `kind: Cluster`; plain data, the same on every call. */
export function manifestJsonSchema(): object {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "mem0ctl cluster manifest",
    description: "A cluster of agent memory: its nodes, replication, sharding and consensus (mem0ctl/v1).",
    ...MANIFEST.schema,
  };
}
