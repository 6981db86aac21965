// The canary of the house rules: plants each forbidden thing in a copy of the tree's shape, under a copy
// of the real lint configuration, and sees lint refuse it; then plants what is allowed and sees it pass.
// It never writes into the real src.
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Who may import whom. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  model: [],
  manifest: ["model", "topology"],
  topology: ["model"],
  consensus: ["model"],
  memory: ["model"],
  http: ["memory", "model"],
  render: ["model"],
  node: ["consensus", "memory", "http", "topology", "manifest", "model"],
  engines: ["topology", "manifest", "memory", "http", "model"],
  gateway: ["engines", "http", "memory", "manifest", "model"],
  operations: ["engines", "topology", "manifest", "memory", "model"],
  cli: ["operations", "render", "model"],
};
const ROOMS = Object.keys(MAY_IMPORT);
const PURE_ROOMS = ["consensus", "topology"];

/** Things that no room may hold, with the rule that refuses each. */
const FORBIDDEN_EVERYWHERE: readonly (readonly [what: string, rule: string, text: string])[] = [
  ["console", "eslint(no-console)", 'console.log("hello");\n'],
  ["default-export", "import(no-default-export)", "export default 1;\n"],
  ["any", "typescript(no-explicit-any)", "export const loose = (value: any) => value;\n"],
  [
    "non-null",
    "typescript(no-non-null-assertion)",
    "export const first = (list: string[]) => list[0]!.length;\n",
  ],
  ["barrel", "oxc(no-barrel-file)", 'export * from "./part.ts";\n'],
];

/** What would make a pure room depend on the world outside its arguments. */
const IMPURE: readonly (readonly [what: string, rule: string, text: string])[] = [
  ["clock", "eslint(no-restricted-globals)", "export const now = () => Date.now();\n"],
  ["stopwatch", "eslint(no-restricted-globals)", "export const now = () => performance.now();\n"],
  ["timer", "eslint(no-restricted-globals)", "export const later = () => setTimeout(() => 1, 5);\n"],
  ["randomness", "eslint(no-restricted-properties)", "export const dice = () => Math.random();\n"],
  ["process", "eslint(no-restricted-globals)", "export const home = () => process.cwd();\n"],
  [
    "files",
    "eslint(no-restricted-imports)",
    'import { readFileSync } from "node:fs";\nexport const read = readFileSync;\n',
  ],
  [
    "hashes",
    "eslint(no-restricted-imports)",
    'import { randomBytes } from "node:crypto";\nexport const bytes = randomBytes;\n',
  ],
];

const IMPORT_FORMS: Readonly<Record<string, (path: string) => string>> = {
  value: (path) => `import { part } from "${path}";\nexport const use = part;\n`,
  type: (path) => `import type { Part } from "${path}";\nexport type Use = Part;\n`,
  dynamic: (path) => `export const load = () => import("${path}");\n`,
  reexport: (path) => `export { part } from "${path}";\n`,
};

let tree = "";
/** `src/…` path -> the rules that refused it. */
let refusals = new Map<string, Set<string>>();

const rulesAgainst = (path: string): readonly string[] => [...(refusals.get(path) ?? [])];

beforeAll(async () => {
  tree = mkdtempSync(join(tmpdir(), "mem0ctl-canary-"));
  mkdirSync(join(tree, ".config"));
  cpSync(join(root, ".config/oxlintrc.json"), join(tree, ".config/oxlintrc.json"));
  for (const room of ROOMS) {
    plant(
      `src/${room}/part.ts`,
      "export const part = 1;\nexport interface Part {\n  readonly size: number;\n}\n",
    );
    for (const [what, , text] of FORBIDDEN_EVERYWHERE) plant(`src/${room}/${what}.ts`, text);
    for (const [what, , text] of IMPURE) plant(`src/${room}/impure-${what}.ts`, text);
    plant(`src/${room}/ring-a.ts`, 'import { b } from "./ring-b.ts";\nexport const a = () => b();\n');
    plant(`src/${room}/ring-b.ts`, 'import { a } from "./ring-a.ts";\nexport const b = (): number => a();\n');
    for (const other of ROOMS.filter((name) => name !== room)) {
      for (const [form, text] of Object.entries(IMPORT_FORMS)) {
        plant(`src/${room}/${form}-${other}.ts`, text(`../${other}/part.ts`));
      }
      plant(`src/${room}/deep/down/${other}.ts`, IMPORT_FORMS["value"]?.(`../../../${other}/part.ts`) ?? "");
    }
  }
  plant("src/index.ts", 'export * from "./operations/part.ts";\n');
  refusals = await lint(tree);
});

afterAll(() => rmSync(tree, { recursive: true, force: true }));

function plant(path: string, text: string): void {
  mkdirSync(dirname(join(tree, path)), { recursive: true });
  writeFileSync(join(tree, path), text);
}

interface Diagnostics {
  readonly diagnostics: readonly { readonly code: string; readonly filename: string }[];
}

function isDiagnostics(value: unknown): value is Diagnostics {
  return (
    typeof value === "object" && value !== null && "diagnostics" in value && Array.isArray(value.diagnostics)
  );
}

async function lint(folder: string): Promise<Map<string, Set<string>>> {
  const stdout = await new Promise<string>((resolve) => {
    // Its exit code is 1 when it refuses something, which is what is wanted here.
    execFile(
      process.execPath,
      [join(root, "node_modules/oxlint/bin/oxlint"), "-c", ".config/oxlintrc.json", "--format=json", "src"],
      { cwd: folder, maxBuffer: 64 * 1024 * 1024 },
      (_error, output) => resolve(output),
    );
  });
  const answer: unknown = JSON.parse(stdout);
  if (!isDiagnostics(answer)) throw new Error(`lint answered ${stdout.slice(0, 200)}`);
  const found = new Map<string, Set<string>>();
  for (const { code, filename } of answer.diagnostics) {
    const rules = found.get(filename) ?? new Set();
    found.set(filename, rules.add(code));
  }
  return found;
}

describe("lint keeps the rooms apart", () => {
  const pairs = ROOMS.flatMap((room) =>
    ROOMS.filter((other) => other !== room).map((other) => [room, other] as const),
  );
  const isAllowed = ([room, other]: readonly [string, string]) => MAY_IMPORT[room]?.includes(other) === true;

  it.each(pairs.filter((pair) => !isAllowed(pair)))("%s may not import %s", (room, other) => {
    for (const form of Object.keys(IMPORT_FORMS)) {
      const rules = rulesAgainst(`src/${room}/${form}-${other}.ts`);
      expect(rules, `a ${form} import`).toContain("eslint(no-restricted-imports)");
    }
    const below = rulesAgainst(`src/${room}/deep/down/${other}.ts`);
    expect(below, "from a folder below").toContain("eslint(no-restricted-imports)");
  });

  it.each(pairs.filter(isAllowed))("%s may import %s", (room, other) => {
    expect(rulesAgainst(`src/${room}/value-${other}.ts`)).toEqual([]);
    expect(rulesAgainst(`src/${room}/deep/down/${other}.ts`)).toEqual([]);
  });
});

describe("lint keeps the pure rooms pure", () => {
  for (const room of PURE_ROOMS) {
    it.each(IMPURE)(`${room} may not use a %s`, (what, rule) => {
      expect(rulesAgainst(`src/${room}/impure-${what}.ts`)).toContain(rule);
    });
  }

  it.each(IMPURE)("the node may use a %s", (what) => {
    expect(rulesAgainst(`src/node/impure-${what}.ts`)).toEqual([]);
  });
});

describe("lint refuses in every room", () => {
  it.each(FORBIDDEN_EVERYWHERE)("a planted %s", (what, rule) => {
    for (const room of ROOMS) {
      expect(rulesAgainst(`src/${room}/${what}.ts`), `in ${room}`).toContain(rule);
    }
  });

  it("a planted cycle", () => {
    for (const room of ROOMS) {
      expect(rulesAgainst(`src/${room}/ring-a.ts`), `in ${room}`).toContain("import(no-cycle)");
    }
  });
});

it("lint lets the library's one entry gather what the rooms offer", () => {
  expect(rulesAgainst("src/index.ts")).toEqual([]);
});
