// Compiles the WebAssembly text of src/ into TypeScript constants that are checked in, so that a build
// needs no compiler for it. `--check` writes nothing and exits 1 when a constant is stale.
import { existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import wabt from "wabt";

const root = fileURLToPath(new URL("..", import.meta.url));

const MODULES = [
  {
    source: "src/memory/dot-product.wat",
    target: "src/memory/dot-product-wasm.ts",
    constant: "DOT_PRODUCT_WASM_BASE64",
  },
  {
    source: "src/memory/lexical.wat",
    target: "src/memory/lexical-wasm.ts",
    constant: "LEXICAL_WASM_BASE64",
  },
];
const LINE_CHARACTERS = 96;

/** The text of one generated file. */
async function render({ source, constant }) {
  const compiler = await wabt();
  const module = compiler.parseWat(source, readFileSync(`${root}${source}`, "utf8"), {
    simd: true,
    bulk_memory: true,
  });
  try {
    module.validate();
    const base64 = Buffer.from(module.toBinary({}).buffer).toString("base64");
    const lines = base64.match(new RegExp(`.{1,${LINE_CHARACTERS}}`, "g")) ?? [];
    return [
      `// Generated from ${source} by .config/wasm.mjs: do not edit.`,
      "",
      "/** The compiled module, in base64. */",
      `export const ${constant} = [`,
      ...lines.map((line) => `  "${line}",`),
      '].join("");',
      "",
    ].join("\n");
  } finally {
    module.destroy();
  }
}

/** Writes what is stale, or only reports it when `check` is set; resolves to the stale files' paths. */
export async function generateWasm({ check }) {
  const stale = [];
  for (const module of MODULES) {
    const path = `${root}${module.target}`;
    const text = await render(module);
    if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
    stale.push(module.target);
    if (!check) writeFileSync(path, text);
  }
  return stale;
}

if (realpathSync(process.argv[1] ?? ".") === fileURLToPath(import.meta.url)) {
  const check = process.argv.includes("--check");
  const stale = await generateWasm({ check });
  for (const path of stale)
    process.stderr.write(`${path} ${check ? "is stale: run npm run generate" : "written"}\n`);
  if (check && stale.length > 0) process.exitCode = 1;
}
