// Certificates for a test that talks TLS on this machine.

import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** An authority and one certificate of it for 127.0.0.1, by openssl: `tls/ca.pem`, `tls/node.pem`, `tls/node.key`. */
export function makeCertificates(directory: string): void {
  const folder = join(directory, "tls");
  mkdirSync(folder, { mode: 0o700 });
  const openssl = (...args: readonly string[]): void => {
    const { status, stderr } = spawnSync("openssl", args, { cwd: folder, encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...key,
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-days",
    "2",
    "-subj",
    "/CN=test ca",
  );
  openssl("req", ...key, "-keyout", "node.key", "-out", "node.csr", "-subj", "/CN=node");
  writeFileSync(join(folder, "names"), "subjectAltName=IP:127.0.0.1\n");
  const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"];
  openssl("x509", "-req", "-in", "node.csr", ...signed, "-out", "node.pem", "-days", "2");
  chmodSync(join(folder, "node.key"), 0o600);
}
