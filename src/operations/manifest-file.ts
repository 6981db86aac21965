// The manifest on disk, for every command: reading it, what is wrong with it, what it means, and the
// text and schema of a new one. Thin over `manifest/`; it opens no engine.

import { ENGINE_CAPABILITIES } from "../manifest/capabilities.ts";
import { loadManifest } from "../manifest/file.ts";
import { manifestJsonSchema } from "../manifest/json-schema.ts";
import { scaffoldManifest } from "../manifest/scaffold.ts";
import type { ScaffoldOptions } from "../manifest/scaffold.ts";
import { Mem0ctlError } from "../model/errors.ts";
import type { Finding } from "../model/findings.ts";
import type { EngineName, Protocol, ShardingStrategy } from "../model/ids.ts";
import type { Manifest, Meaning } from "../model/manifest.ts";

export interface ManifestFile {
  /** The path as it was given. */
  readonly file: string;
  /** Empty when the file could not be read. */
  readonly text: string;
  readonly findings: readonly Finding[];
  /** undefined when there is an error among the findings. */
  readonly manifest: Manifest | undefined;
  readonly meaning: Meaning | undefined;
}

/** A manifest that may be used: its findings are warnings at most. */
export interface OpenedManifest extends ManifestFile {
  readonly manifest: Manifest;
  readonly meaning: Meaning;
}

/** Everything that is wrong with the file, problems of reading it included. Never throws for what is in it. */
export async function validateManifestFile(path: string): Promise<ManifestFile> {
  return loadManifest(path);
}

export interface OpenOptions {
  /**
   * Nodes will be started with it: a secret or TLS file that does not work is an error then. Otherwise it
   * is a warning, so that a running cluster can be looked at and stopped in spite of it. Default false.
   */
  readonly starting?: boolean;
}

/**
 * Reads a manifest that has to be usable.
 * @throws Mem0ctlError `manifest-invalid` (kind invalid) with every finding in `data.findings`.
 */
export async function openManifest(path: string, options: OpenOptions = {}): Promise<OpenedManifest> {
  const loaded = await loadManifest(path, { files: options.starting === true ? "errors" : "warnings" });
  const { manifest, meaning } = loaded;
  if (manifest !== undefined && meaning !== undefined) return { ...loaded, manifest, meaning };
  throw invalidManifest(path, loaded.findings);
}

function invalidManifest(path: string, findings: readonly Finding[]): Mem0ctlError {
  const errors = findings.filter((finding) => finding.severity === "error");
  const first = errors[0];
  const place = first === undefined || first.line === 0 ? "" : `line ${first.line}: `;
  return new Mem0ctlError(
    "invalid",
    "manifest-invalid",
    `${path} has ${errors.length === 1 ? "an error" : `${errors.length} errors`}`,
    {
      why: first === undefined ? "it holds no manifest" : `${place}${first.message}`,
      hint:
        errors.length === 1 && first?.hint !== undefined
          ? first.hint
          : "see all of them with `mem0ctl validate`",
      data: { file: path, findings },
    },
  );
}

/** What an engine leaves to choose, for whoever asks the questions. */
export function choicesOf(engine: EngineName): {
  readonly protocols: readonly Protocol[];
  readonly sharding: readonly ShardingStrategy[];
  /** `one`: nodes and copies say how many shards there are. */
  readonly shardsPerNode: "many" | "one";
} {
  return ENGINE_CAPABILITIES[engine];
}

/** The commented YAML text that `init cluster` writes. */
export function scaffoldClusterManifest(options: ScaffoldOptions): string {
  return scaffoldManifest(options);
}

/** JSON Schema 2020-12 of the manifest, for editors. */
export function manifestSchema(): object {
  return manifestJsonSchema();
}
