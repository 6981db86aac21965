// `mem0ctl validate`: everything that is wrong with a manifest, at once, and what it means. Offline.

import type { Command } from "commander";
import { examples, FORMATS, newCommand, notes } from "../command.ts";
import type { Action } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";

export function validateCommand(action: Action): Command {
  return newCommand("validate", "Check the manifest offline; show what it means", {
    formats: [...FORMATS, "github"],
  })
    .addHelpText(
      "after",
      examples(
        ["mem0ctl validate", "every problem of ./cluster.yaml, with its line"],
        ["mem0ctl validate -f prod.yaml -o json", "findings for a script"],
        ["mem0ctl validate -o github", "annotations in a pull request"],
      ) + notes("Exit codes: 0 it can be used (warnings allowed), 2 it cannot."),
    )
    .action(action(validate));
}

async function validate(context: Context): Promise<ExitCode> {
  const { validateManifestFile } = await import("../../operations/manifest-file.ts");
  const { file, text, findings, manifest, meaning } = await validateManifestFile(context.file);
  const valid = manifest !== undefined;
  if (context.format === "github") {
    const { renderGithubAnnotations } = await import("../../render/findings.ts");
    await context.printText(renderGithubAnnotations(findings, file));
  } else {
    const report = {
      apiVersion: "mem0ctl/v1",
      kind: "ManifestReport",
      file,
      valid,
      findings,
      meaning: meaning ?? null,
    };
    await context.print(report, async (_report, theme) => {
      const { renderFindings } = await import("../../render/findings.ts");
      const { renderMeaning } = await import("../../render/meaning.ts");
      const parts = [
        ...(findings.length === 0 ? [] : [renderFindings(findings, { file, text }, theme)]),
        ...(manifest === undefined || meaning === undefined ? [] : [renderMeaning(manifest, meaning, theme)]),
      ];
      return parts.join("\n");
    });
  }
  return valid ? EXIT.done : EXIT.usage;
}
