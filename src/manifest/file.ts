// Manifests on disk: reading one safely, and checking the files that it refers to. Reads only; never
// follows what it reads beyond the references of the manifest itself.

import { constants } from "node:fs";
import { lstat, open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { isUtf8 } from "node:buffer";
import { Mem0ctlError } from "../model/errors.ts";
import type { Finding, Severity } from "../model/findings.ts";
import type { Manifest } from "../model/manifest.ts";
import { meaningOf } from "./meaning.ts";
import { analyse } from "./parse.ts";
import type { ParsedManifest } from "./parse.ts";
import { shown } from "./raw.ts";
import type { Path, Report } from "./raw.ts";
import {
  describeReference,
  fileProblem,
  isOpenToOthers,
  resolveSecret,
  tlsOfNode,
  tlsProblems,
} from "./secrets.ts";

const MANIFEST_BYTES_MAX = 1024 * 1024;

export interface LoadedManifest extends ParsedManifest {
  /** The path as it was given. */
  readonly file: string;
  /** Empty when the file could not be read. */
  readonly text: string;
}

export interface LoadOptions {
  /**
   * What a secret or TLS file that does not work is. `errors` (the default) for whoever is about to start
   * nodes with them; `warnings` for whoever looks at a running cluster or stops it, maybe because of them.
   */
  readonly files?: "errors" | "warnings";
}

/**
 * A manifest's text.
 * @throws Mem0ctlError (invalid) `manifest-not-found`, `manifest-unreadable`, `not-a-regular-file`,
 * `manifest-empty`, `manifest-too-large`, `not-utf8`, `nul-character`.
 */
async function readManifestText(path: string): Promise<string> {
  let handle: FileHandle;
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw cannotOpen(path, error);
  }
  try {
    const status = await handle.stat();
    if (!status.isFile()) {
      throw notRegular(path);
    }
    if (status.size > MANIFEST_BYTES_MAX) throw tooLarge(path, status.size);
    // The size can have changed since, and is 0 for files that are made as they are read.
    const buffer = Buffer.alloc(MANIFEST_BYTES_MAX + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > MANIFEST_BYTES_MAX) throw tooLarge(path, length);
    return textOf(path, buffer.subarray(0, length));
  } finally {
    await handle.close();
  }
}

function cannotOpen(path: string, error: unknown): Mem0ctlError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") {
    return new Mem0ctlError("invalid", "manifest-not-found", `cannot read ${shown(path)}: not found`, {
      hint: "make a manifest with `mem0ctl init cluster`, or name another with --file",
    });
  }
  if (code === "ENXIO") return notRegular(path); // a socket cannot even be opened
  return new Mem0ctlError(
    "invalid",
    "manifest-unreadable",
    `cannot read ${shown(path)}: ${fileProblem(error)}`,
    {
      hint: "check the path and its permissions",
    },
  );
}

function notRegular(path: string): Mem0ctlError {
  return new Mem0ctlError("invalid", "not-a-regular-file", `${shown(path)} is not a regular file`, {
    hint: "name the manifest itself, for example cluster.yaml",
  });
}

function tooLarge(path: string, bytes: number): Mem0ctlError {
  return new Mem0ctlError("invalid", "manifest-too-large", `${shown(path)} is too large for a manifest`, {
    why: `it has ${bytes > MANIFEST_BYTES_MAX ? "more than " : ""}${MANIFEST_BYTES_MAX} bytes, which is the limit (1 MiB)`,
    hint: "name the manifest itself, for example cluster.yaml",
  });
}

function textOf(path: string, bytes: Buffer): string {
  if (bytes.length === 0) {
    throw new Mem0ctlError("invalid", "manifest-empty", `the manifest ${shown(path)} is empty`, {
      hint: "make one with `mem0ctl init cluster`",
    });
  }
  if (!isUtf8(bytes)) {
    const offset = firstInvalidByte(bytes);
    throw new Mem0ctlError("invalid", "not-utf8", `${shown(path)} is not UTF-8 at byte ${offset}`, {
      hint: "save the file as UTF-8",
      data: { offset },
    });
  }
  const nul = bytes.indexOf(0);
  if (nul !== -1) {
    throw new Mem0ctlError("invalid", "nul-character", `${shown(path)} is not text: byte ${nul} is NUL`, {
      hint: "name the manifest itself, for example cluster.yaml",
      data: { offset: nul },
    });
  }
  return bytes.toString("utf8");
}

/** Offset of the first byte that begins no well-formed UTF-8 sequence (the shortest bad prefix, halved). */
function firstInvalidByte(bytes: Buffer): number {
  let good = 0;
  let bad = bytes.length;
  // A prefix is judged with up to 3 bytes less, since it may end inside a sequence.
  const startsWell = (length: number): boolean =>
    [0, 1, 2, 3].some((less) => length >= less && isUtf8(bytes.subarray(0, length - less)));
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (startsWell(middle)) good = middle;
    else bad = middle;
  }
  while (good > 0 && !isUtf8(bytes.subarray(0, good))) good -= 1;
  return good;
}

/**
 * Reads and checks a manifest, and the files that it refers to. Problems of reading are findings too, so
 * this never throws for what a person can put there.
 */
export async function loadManifest(path: string, options: LoadOptions = {}): Promise<LoadedManifest> {
  const file = path;
  let text: string;
  try {
    text = await readManifestText(path);
  } catch (error) {
    if (!(error instanceof Mem0ctlError)) throw error;
    return { file, text: "", manifest: undefined, meaning: undefined, findings: [findingOf(error)] };
  }
  const { manifest, list, root } = analyse(text, dirname(resolve(path)));
  if (manifest !== undefined) {
    await checkFiles(manifest, options.files === "warnings" ? "warning" : "error", list.report);
  }
  const usable = list.hasErrors() ? undefined : manifest;
  return {
    file,
    text,
    manifest: usable,
    meaning: usable === undefined ? undefined : meaningOf(usable),
    findings: list.findings(root),
  };
}

function findingOf(error: Mem0ctlError): Finding {
  const { code, message, why, hint } = error;
  return {
    code,
    severity: "error",
    path: "",
    line: 0,
    column: 0,
    message: why === undefined ? message : `${message}: ${why}`,
    ...(hint === undefined ? {} : { hint }),
  };
}

async function checkFiles(manifest: Manifest, severity: Severity, report: Report): Promise<void> {
  await checkDataDirLinks(manifest, report);
  await checkSecretFiles(manifest, severity, report);
  await checkTlsFiles(manifest, severity, report);
}

/** A link could lead a node's files anywhere, or be changed under it. */
async function checkDataDirLinks(manifest: Manifest, report: Report): Promise<void> {
  const spawned = manifest.nodes.flatMap((node, index) => (node.manage === "spawn" ? [{ node, index }] : []));
  if (spawned.length === 0) return;
  const isLink = async (dir: string): Promise<boolean> => {
    try {
      return (await lstat(dir)).isSymbolicLink();
    } catch {
      return false; // not there yet, or not to be seen: starting the node will tell
    }
  };
  const refuse = (path: Path, dir: string): void =>
    report({
      code: "unsafe-path",
      path,
      message: `the data directory ${shown(dir)} is a symbolic link`,
      hint: "name the directory that it points to",
    });
  if (await isLink(manifest.dataDir)) refuse(["spec", "dataDir"], manifest.dataDir);
  const links = await Promise.all(spawned.map(({ node }) => isLink(node.dataDir)));
  for (const [position, { node, index }] of spawned.entries()) {
    if (links[position] === true) refuse(["spec", "nodes", index, "dataDir"], node.dataDir);
  }
}

async function checkSecretFiles(
  { security, embedding }: Manifest,
  severity: Severity,
  report: Report,
): Promise<void> {
  const references = security.tokens.flatMap(({ name, source }, index) =>
    "sha256" in source
      ? []
      : [{ source, what: `the token ${name}`, path: ["spec", "security", "tokens", index] satisfies Path }],
  );
  const apiKey =
    embedding.apiKey === undefined
      ? []
      : [
          {
            source: embedding.apiKey,
            what: "the API key of the embedding endpoint",
            path: ["spec", "embedding", "apiKey"],
          },
        ];
  const password =
    security.password === undefined
      ? []
      : [{ source: security.password, what: "the password", path: ["spec", "security", "password"] }];
  for (const { source, what, path } of [...references, ...apiKey, ...password]) {
    const at = [...path, "env" in source ? "env" : "file"];
    try {
      await resolveSecret(source, what);
    } catch (error) {
      if (!(error instanceof Mem0ctlError)) throw error;
      reportError(error, severity, at, report);
      continue;
    }
    if ("file" in source && (await isOpenToOthers(source.file)) === true) {
      report({
        code: "secret-file-open",
        severity: "warning",
        path: at,
        message: `${describeReference(source)} can be read by other users of this machine`,
        hint: `chmod 600 ${source.file}`,
      });
    }
  }
}

/** Only for nodes that are started here: the files of the others are on their machines. */
async function checkTlsFiles(manifest: Manifest, severity: Severity, report: Report): Promise<void> {
  const spawned = manifest.nodes.filter((node) => node.manage === "spawn");
  const seen = new Set<string>();
  for (const { id } of spawned) {
    const tls = tlsOfNode(manifest, id);
    if (tls === undefined) return;
    const files = `${tls.cert}\n${tls.key}\n${tls.ca}`;
    if (seen.has(files)) continue; // without {node} in the paths all nodes have the same files
    seen.add(files);
    for (const problem of await tlsProblems(tls)) {
      reportError(problem, severity, ["spec", "security", "tls"], report);
    }
    if ((await isOpenToOthers(tls.key)) === true) {
      report({
        code: "secret-file-open",
        severity: "warning",
        path: ["spec", "security", "tls", "key"],
        message: `the private key ${tls.key} can be read by other users of this machine`,
        hint: `chmod 600 ${tls.key}`,
      });
    }
  }
}

function reportError(error: Mem0ctlError, severity: Severity, path: Path, report: Report): void {
  report({
    code: error.code,
    severity,
    path,
    message: error.why === undefined ? error.message : `${error.message}: ${error.why}`,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
