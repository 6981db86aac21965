// `mem0ctl schema manifest`: the JSON Schema that editors complete and check manifests with.

import type { Command } from "commander";
import { examples, newCommand, newGroup } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";

export function schemaCommand(action: Action): Command {
  const manifest = newCommand("manifest", "Print the JSON Schema of the manifest")
    .addHelpText(
      "after",
      examples(["mem0ctl schema manifest > manifest.schema.json", "for the yaml-language-server line"]),
    )
    .action(action(schemaManifest));
  return newGroup("schema", "Print the schemas of what mem0ctl reads", [manifest]);
}

async function schemaManifest(context: Context): Promise<undefined> {
  const { manifestSchema } = await import("../../operations/manifest-file.ts");
  if (context.format === "yaml") {
    await context.print(manifestSchema(), () => "");
    return undefined;
  }
  const { renderJson } = await import("../../render/json.ts");
  await context.printText(renderJson(manifestSchema()));
  return undefined;
}
