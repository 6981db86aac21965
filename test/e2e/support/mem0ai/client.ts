// The real MemoryClient of the npm package `mem0ai`, installed at an exact version in a folder of its
// own, so that the project's own install stays light. Its telemetry is switched off before it is loaded.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

export const MEM0AI_VERSION = "3.3.1";

const CACHE = fileURLToPath(new URL("../../../../node_modules/.cache/mem0ctl/", import.meta.url));
const OUT_OF_REACH = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH/;
const INSTALL_MS_MAX = 120_000;

/** A memory in the client's spelling. */
export interface ClientMemory {
  readonly id: string;
  readonly memory: string;
  readonly event?: string;
  readonly hash: string;
  readonly userId?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly score?: number;
  readonly createdAt: string;
}

interface Page<Item> {
  readonly count: number;
  readonly next: string | null;
  readonly previous: string | null;
  readonly results: readonly Item[];
}

/** What of the client the tests call. */
export interface MemoryClient {
  readonly telemetryId: string;
  ping(): Promise<void>;
  add(
    messages: string | readonly { readonly role: string; readonly content: string }[],
    options: Readonly<Record<string, unknown>>,
  ): Promise<{ readonly results: readonly ClientMemory[] }>;
  get(id: string): Promise<ClientMemory>;
  getAll(options?: Readonly<Record<string, unknown>>): Promise<Page<ClientMemory>>;
  search(
    query: string,
    options: Readonly<Record<string, unknown>>,
  ): Promise<{ readonly results: readonly ClientMemory[] }>;
  update(id: string, change: Readonly<Record<string, unknown>>): Promise<ClientMemory>;
  history(id: string): Promise<
    readonly {
      readonly memoryId: string;
      readonly event: string;
      readonly oldMemory: string | null;
      readonly newMemory: string | null;
    }[]
  >;
  users(
    options?: Readonly<Record<string, unknown>>,
  ): Promise<Page<{ readonly type: string; readonly name: string; readonly totalMemories: number }>>;
  delete(id: string): Promise<{ readonly message: string }>;
  deleteAll(scope: Readonly<Record<string, unknown>>): Promise<{ readonly message: string }>;
  deleteUsers(scope: Readonly<Record<string, unknown>>): Promise<{ readonly message: string }>;
  batchUpdate(memories: readonly { readonly memoryId: string; readonly text: string }[]): Promise<unknown>;
  batchDelete(ids: readonly string[]): Promise<unknown>;
}

export interface ClientModule {
  readonly MemoryClient: new (options: { readonly apiKey: string; readonly host: string }) => MemoryClient;
}

/** The package, or why the registry could not be reached. Any other failure throws. */
export async function loadClient(): Promise<ClientModule | string> {
  const home = join(CACHE, `mem0ai-${MEM0AI_VERSION}`);
  if (!existsSync(home)) {
    const reason = await install(home);
    if (reason !== undefined) return reason;
  }
  process.env["MEM0_TELEMETRY"] = "false";
  process.env["MEM0_DIR"] = join(home, "mem0");
  const entry = pathToFileURL(join(home, "node_modules", "mem0ai", "dist", "index.mjs")).href;
  const loaded: unknown = await import(entry);
  if (!isClientModule(loaded)) throw new Error(`mem0ai ${MEM0AI_VERSION} has no MemoryClient`);
  return loaded;
}

function isClientModule(loaded: unknown): loaded is ClientModule {
  return (
    typeof loaded === "object" &&
    loaded !== null &&
    "MemoryClient" in loaded &&
    typeof loaded.MemoryClient === "function"
  );
}

/** Installs beside its place and moves it there whole, so that a half install is never taken for one. */
async function install(home: string): Promise<string | undefined> {
  await mkdir(CACHE, { recursive: true });
  const building = await mkdtemp(join(CACHE, "installing-"));
  const options = [
    "--no-save",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--legacy-peer-deps",
    "--omit=optional",
  ];
  try {
    await promisify(execFile)(
      "npm",
      ["install", ...options, "--fetch-retries=1", "--prefix", building, `mem0ai@${MEM0AI_VERSION}`],
      { timeout: INSTALL_MS_MAX },
    );
    await rename(building, home);
    return undefined;
  } catch (error) {
    const output = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
    const found = OUT_OF_REACH.exec(output);
    // Someone else's install may have got there first.
    if (existsSync(home)) return undefined;
    if (found === null) throw error;
    return `the npm registry is out of reach (${found[0]})`;
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}
