// Becomes dist/cli/quick.js. It stands for src/cli/quick.ts in the built program: runs the one script that
// the quick commands are built into, with the code that V8 made of it at build time, so that starting
// compiles next to nothing. The code is only ever an aid: without it, or with code that does not fit, the
// script is compiled as usual.
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const scriptUrl = new URL("quick.cjs", import.meta.url);
const require = createRequire(scriptUrl);
// Required, because to import them would load all that they can give.
const { createHash } = require("node:crypto");
const { readFileSync, writeFileSync } = require("node:fs");
const { Script } = require("node:vm");

const filename = fileURLToPath(scriptUrl);
/** Named after the V8 that made it, so that another one does not even read it. */
const codeFile = `${filename}.${process.versions.v8}-${process.arch}.cache`;
const DIGEST_BYTES = 32;

/**
 * V8 refuses code of another version or of other flags by itself, but damaged code ends the process, and of
 * the script it compares the length alone: so the file begins with a digest of the script and the code.
 */
function digestOf(source, code) {
  return createHash("sha256").update(source, "latin1").update(code).digest();
}

function codeFor(source) {
  let stored;
  try {
    stored = readFileSync(codeFile);
  } catch {
    return undefined; // Built with another Node, or just being built.
  }
  const code = stored.subarray(DIGEST_BYTES);
  return digestOf(source, code).equals(stored.subarray(0, DIGEST_BYTES)) ? code : undefined;
}

// latin1, because the bundler escapes what is not ASCII.
const source = readFileSync(filename, "latin1");
const script = new Script(source, { filename, cachedData: codeFor(source) });
const module = { exports: {} };
script.runInThisContext()(require, module, scriptUrl.href);

export const { runCli } = module.exports;

/** For the build: keeps what V8 has compiled of the script by now. */
export function keepCode() {
  const code = script.createCachedData();
  writeFileSync(codeFile, Buffer.concat([digestOf(source, code), code]));
}
