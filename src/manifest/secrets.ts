// Secrets and TLS files that a manifest refers to: read when they are needed, checked, and never put
// into a message, a finding or a log. What is reported is the reference's name.

import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { Mem0ctlError } from "../model/errors.ts";
import type { NodeId } from "../model/ids.ts";
import type { Manifest, SecretReference, TlsSpec, TokenRole } from "../model/manifest.ts";

/** The longest secret that is read from a file. */
const SECRET_BYTES_MAX = 64 * 1024;

/** What a node needs to check a token; the token itself is not in it. */
export interface TokenRecord {
  readonly name: string;
  readonly role: TokenRole;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** `the environment variable NAME`, `the file /path`. */
export function describeReference(reference: SecretReference): string {
  return "env" in reference ? `the environment variable ${reference.env}` : `the file ${reference.file}`;
}

/**
 * The secret that a reference names; one trailing line break is not part of it.
 * @param what what it is, for the message: `the admin token`, `the API key of the embedding endpoint`.
 * @throws Mem0ctlError (invalid) `secret-unset`, `secret-unreadable`, `secret-empty`, `secret-too-large`,
 * `secret-unusable`; each names the reference, never the value.
 */
export async function resolveSecret(reference: SecretReference, what: string): Promise<string> {
  const name = describeReference(reference);
  const refuse = (code: string, why: string, hint: string): Mem0ctlError =>
    new Mem0ctlError("invalid", code, `${what} cannot be had from ${name}`, { why, hint });
  let secret: string;
  if ("env" in reference) {
    const value = process.env[reference.env];
    if (value === undefined) {
      throw refuse("secret-unset", "the variable is not set", `set ${reference.env} and try again`);
    }
    secret = value;
  } else {
    try {
      const { size } = await stat(reference.file);
      if (size > SECRET_BYTES_MAX) {
        throw refuse(
          "secret-too-large",
          `it has ${size} bytes`,
          "the file must hold the secret and nothing else",
        );
      }
      secret = await readFile(reference.file, "utf8");
    } catch (error) {
      if (error instanceof Mem0ctlError) throw error;
      throw refuse(
        "secret-unreadable",
        fileProblem(error),
        "create the file, or make it readable for this user",
      );
    }
  }
  secret = secret.replace(/\r?\n$/, "");
  if (secret === "") throw refuse("secret-empty", "there is nothing in it", "put the secret there");
  requireSendable(secret, `${what} cannot be had from ${name}`);
  return secret;
}

/**
 * @param otherwise what is then said; the value never is.
 * @throws Mem0ctlError (invalid) `secret-unusable` for what no HTTP header can carry.
 */
export function requireSendable(secret: string, otherwise: string): void {
  if (/^[\u0021-\u007e]+$/.test(secret)) return;
  throw new Mem0ctlError("invalid", "secret-unusable", otherwise, {
    why: "it has spaces, line breaks or characters other than ASCII",
    hint: "the file or variable must hold the secret and nothing else",
  });
}

/**
 * All tokens of a manifest as a node checks them, and one admin token as itself.
 * @returns `adminToken`: of the first admin token that is a reference and can be resolved; undefined when
 * there is none (no tokens at all, or only hashes).
 * @throws as `resolveSecret` for any reference that cannot be resolved.
 */
export async function resolveTokens(
  manifest: Pick<Manifest, "security">,
): Promise<{ readonly tokens: readonly TokenRecord[]; readonly adminToken: string | undefined }> {
  const tokens: TokenRecord[] = [];
  let adminToken: string | undefined;
  for (const { name, role, source } of manifest.security.tokens) {
    if ("sha256" in source) {
      tokens.push({ name, role, sha256: source.sha256 });
      continue;
    }
    const token = await resolveSecret(source, `the token ${name}`);
    tokens.push({ name, role, sha256: sha256Hex(token) });
    if (role === "admin") adminToken ??= token;
  }
  return { tokens, adminToken };
}

/** SHA-256 of a token's UTF-8 bytes, lower-case hex: the form in which nodes keep and compare tokens. */
function sha256Hex(token: string): string {
  return createHash("sha256").update(token, "utf8").digest("hex");
}

/** The TLS files of one node: `{node}` in a path stands for its id. */
export function tlsOfNode(manifest: Pick<Manifest, "security">, node: NodeId): TlsSpec | undefined {
  const { tls } = manifest.security;
  if (tls === undefined) return undefined;
  const own = (path: string): string => path.replaceAll("{node}", node);
  return { cert: own(tls.cert), key: own(tls.key), ca: own(tls.ca) };
}

/**
 * Refuses TLS files that would not work: throws the first of `tlsProblems`.
 * @throws Mem0ctlError (invalid) `tls-unreadable`, `tls-invalid`, `tls-expired`, `tls-not-yet-valid`,
 * `tls-key-mismatch`, each naming the file.
 */
export async function checkTls(tls: TlsSpec, nowMs: number = Date.now()): Promise<void> {
  const [first] = await tlsProblems(tls, nowMs);
  if (first !== undefined) throw first;
}

/** Everything that is wrong with the TLS files of one node. The three paths have no `{node}` left. */
export async function tlsProblems(
  tls: TlsSpec,
  nowMs: number = Date.now(),
): Promise<readonly Mem0ctlError[]> {
  const problems: Mem0ctlError[] = [];
  const read = async <T>(file: string, what: string, parse: (pem: Buffer) => T): Promise<T | undefined> => {
    let pem: Buffer;
    try {
      pem = await readFile(file);
    } catch (error) {
      problems.push(tlsError("tls-unreadable", `cannot read the ${what} ${file}`, fileProblem(error)));
      return undefined;
    }
    try {
      return parse(pem);
    } catch {
      // The library's message may quote the file; what it is not is enough to know.
      problems.push(
        tlsError("tls-invalid", `${file} holds no usable ${what}`, "it is not PEM, or not of that kind"),
      );
      return undefined;
    }
  };
  const certificate = await read(tls.cert, "certificate", (pem) => new X509Certificate(pem));
  const key = await read(tls.key, "private key", (pem): KeyObject => createPrivateKey(pem));
  const authority = await read(tls.ca, "authority's certificate", (pem) => new X509Certificate(pem));
  if (certificate !== undefined) problems.push(...dateProblems(tls.cert, certificate, nowMs));
  if (authority !== undefined && tls.ca !== tls.cert)
    problems.push(...dateProblems(tls.ca, authority, nowMs));
  if (certificate !== undefined && key !== undefined && !certificate.checkPrivateKey(key)) {
    problems.push(
      tlsError(
        "tls-key-mismatch",
        `the certificate ${tls.cert} and the private key ${tls.key} do not belong together`,
        "the certificate was made for another key",
      ),
    );
  }
  return problems;
}

function dateProblems(file: string, certificate: X509Certificate, nowMs: number): Mem0ctlError[] {
  const problems: Mem0ctlError[] = [];
  const to = Date.parse(certificate.validTo);
  const from = Date.parse(certificate.validFrom);
  if (nowMs > to) {
    const date = new Date(to).toISOString();
    problems.push(tlsError("tls-expired", `the certificate ${file} expired on ${date}`, "renew it"));
  }
  if (nowMs < from) {
    const date = new Date(from).toISOString();
    problems.push(
      tlsError(
        "tls-not-yet-valid",
        `the certificate ${file} is valid only from ${date}`,
        "check this machine's clock",
      ),
    );
  }
  return problems;
}

function tlsError(code: string, message: string, why: string): Mem0ctlError {
  return new Mem0ctlError("invalid", code, message, {
    why,
    hint: "correct the file, or the path in spec.security.tls",
  });
}

/** Whether others than the owner can read or change a file; undefined when it cannot be looked at. */
export async function isOpenToOthers(file: string): Promise<boolean | undefined> {
  if (process.platform === "win32") return undefined; // its mode bits say nothing there
  try {
    return ((await stat(file)).mode & 0o077) !== 0;
  } catch {
    return undefined;
  }
}

/** The system's error in words, without paths that the caller names already. */
export function fileProblem(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT" || code === "ENOTDIR") return "there is no such file";
  if (code === "EACCES" || code === "EPERM") return "permission denied";
  if (code === "EISDIR") return "it is a directory";
  return typeof code === "string" ? code : "it cannot be read";
}
