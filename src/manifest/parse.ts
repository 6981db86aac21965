// YAML text -> manifest and findings. Offline and pure: it reads no file, no environment, and never
// throws for what is in the text. Files that a manifest refers to are checked by file.ts.

import { resolve } from "node:path";
import type { Finding } from "../model/findings.ts";
import type { Manifest, Meaning } from "../model/manifest.ts";
import { checkManifest } from "./check.ts";
import { meaningOf } from "./meaning.ts";
import { FindingList } from "./raw.ts";
import type { RawNode } from "./raw.ts";
import { rawFromYaml } from "./yaml-tree.ts";

export interface ParsedManifest {
  /** undefined when there is an error among the findings. */
  readonly manifest: Manifest | undefined;
  /** Everything that is wrong, in the order of the text. */
  readonly findings: readonly Finding[];
  /** Defined with the manifest. */
  readonly meaning: Meaning | undefined;
}

/**
 * Everything that is wrong with a manifest's text, at once, and the manifest when nothing is.
 * @param place `file` is for whoever prints the findings; relative paths resolve against `baseDir`.
 */
export function parseManifest(
  text: string,
  place: { readonly file: string; readonly baseDir: string },
): ParsedManifest {
  const { manifest, list, root } = analyse(text, place.baseDir);
  return {
    manifest,
    findings: list.findings(root),
    meaning: manifest === undefined ? undefined : meaningOf(manifest),
  };
}

/** The steps of `parseManifest`, for callers in this room that have more findings to add. */
export function analyse(
  text: string,
  baseDir: string,
): { manifest: Manifest | undefined; list: FindingList; root: RawNode | undefined } {
  const list = new FindingList();
  const root = rawFromYaml(text, list.report);
  // A tree with a duplicate or forbidden key is still checked, so that all is said at once.
  const manifest = root === undefined ? undefined : checkManifest(root, resolve(baseDir), list.report);
  return { manifest: list.hasErrors() ? undefined : manifest, list, root };
}
