// `mem0ctl init cluster`: a manifest to start from. On a terminal it asks; with flags, --yes, --no-input
// or no terminal it never does. It writes one file, whole, and replaces none without --force.

import { Option } from "commander";
import type { Command } from "commander";
import { Mem0ctlError } from "../../model/errors.ts";
import { writeFileAtomically, checkTarget } from "../atomic-file.ts";
import { examples, integerOption, newCommand, newGroup, usageError } from "../command.ts";
import type { Action } from "../command.ts";
import { inDirectory } from "../context.ts";
import { readLevelOption, writeLevelOption } from "../consistency.ts";
import type { Context } from "../context.ts";
import { LOOK_TIMEOUT_MS } from "../cluster.ts";
import { nameFrom, scaffoldOf } from "../init/choices.ts";
import type { Choices } from "../init/choices.ts";
import { newManifest } from "../init/manifest.ts";
import type { ScaffoldOptions } from "../init/manifest.ts";
import { canAsk } from "../io.ts";

interface InitOptions extends Choices {
  readonly out?: string;
  readonly force?: true;
  readonly from?: string;
  readonly passwordEnv?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly keyFile?: string;
}

/** What a cluster that runs has decided already. */
const DECIDED = [
  "engine",
  "nodes",
  "zones",
  "arbiters",
  "replication",
  "replicas",
  "sharding",
  "shards",
  "ranges",
  "consensus",
  "port",
] as const;

/** The flags that are answers: one of them on the line, and nothing is asked. */
const ANSWERS = [
  "name",
  "engine",
  "nodes",
  "zones",
  "arbiters",
  "replication",
  "replicas",
  "sharding",
  "shards",
  "key",
  "ranges",
  "consensus",
  "read",
  "write",
  "port",
  "dataDir",
] as const;

export function initCommand(action: Action): Command {
  const cluster = newCommand("cluster", "Write a manifest; asks on a terminal, never otherwise")
    .option("--name <name>", "the cluster's name (default: the directory's)")
    .addOption(new Option("--engine <engine>", "what keeps the data").choices(["embedded", "redis"]))
    .option("--nodes <count>", "nodes that hold data (default: 3; redis: 6)", integerOption(1, 1000))
    .option(
      "--zones <count>",
      "failure domains to spread them over (default: one each)",
      integerOption(1, 1000),
    )
    .option("--arbiters <count>", "nodes that vote and hold no data (default: 0)", integerOption(0, 1))
    .addOption(
      new Option(
        "--replication <strategy>",
        "copies of each shard besides the leader's: none, one, or more",
      ).choices(["none", "single", "multiple"]),
    )
    .option(
      "--replicas <count>",
      "how many copies besides the leader's (default: 2; redis: 1)",
      integerOption(0, 1000),
    )
    .addOption(
      new Option("--sharding <strategy>", "how keys find their shard (default: hash)").choices([
        "hash",
        "range",
        "directory",
      ]),
    )
    .option(
      "--shards <count>",
      "how many shards (default: 16; redis: as many as the nodes make)",
      integerOption(1, 16_384),
    )
    .addOption(
      new Option("--key <field>", "whose id is the shard key (default: user)").choices([
        "user",
        "agent",
        "run",
        "app",
      ]),
    )
    .addOption(
      new Option("--ranges <keys>", "range sharding: split points, as in g,n,t").argParser((text: string) =>
        text.split(",").map((key) => key.trim()),
      ),
    )
    .addOption(
      new Option("--consensus <protocol>", "how replicas agree (embedded; default: raft)").choices([
        "raft",
        "paxos",
        "quorum",
      ]),
    )
    .addOption(
      new Option("--read <level>", "consistency of reads (default: linearizable; quorum: quorum)").argParser(
        readLevelOption,
      ),
    )
    .addOption(
      new Option("--write <copies>", "quorum: copies that have a write before it is done").argParser(
        writeLevelOption,
      ),
    )
    .option("--port <port>", "first port; each node takes the next (default: 7001)", integerOption(1, 65_535))
    .option("--data-dir <directory>", "where nodes keep data (default: .mem0ctl/NAME)")
    .option("--from <url>", "write it for a cluster that runs: redis://HOST:PORT, or rediss:// with TLS")
    .option("--password-env <name>", "with --from: the environment variable that holds the password")
    .option("--ca <file>", "with --from rediss://: the authority's certificate")
    .option("--cert <file>", "with --from rediss://: this client's certificate")
    .option("--key-file <file>", "with --from rediss://: the key of that certificate")
    .option("--out <file>", "write here (the same as -f)")
    .option("--force", "replace the file if it exists")
    .addHelpText(
      "after",
      examples(
        ["mem0ctl init cluster", "asks, shows, writes ./cluster.yaml"],
        ["mem0ctl init cluster --yes", "three nodes, three copies, 16 shards"],
        ["mem0ctl init cluster --nodes 5 --zones 3 --replicas 2 -f prod.yaml", ""],
        ["mem0ctl init cluster --sharding range --ranges g,n,t", "four shards by name"],
        ["mem0ctl init cluster --engine redis --nodes 6 --yes", "Redis Cluster: three shards, two copies"],
        ["mem0ctl init cluster --from redis://10.0.0.1:6379", "for a Redis Cluster that runs"],
        ["mem0ctl init cluster --consensus quorum --read one --write all", "leaderless; fast reads"],
      ),
    )
    .action(action<InitOptions>(initCluster));
  return newGroup("init", "Begin: write the manifest of a new cluster", [cluster]);
}

async function initCluster(context: Context, options: InitOptions): Promise<undefined> {
  const { io, globals } = context;
  if (options.out !== undefined && globals.file !== undefined && options.out !== globals.file) {
    throw usageError(
      context.command,
      "conflicting-option",
      "--out and --file name different files",
      "give one of them",
      "both say where the manifest is written",
    );
  }
  refuseOfRunning(context, options);
  const path = options.out === undefined ? context.file : inDirectory(io.cwd, options.out);
  const plan = { path, overwrite: options.force === true, mode: 0o644 };
  checkTarget(plan);

  const asks =
    options.from === undefined &&
    globals.yes !== true &&
    globals.input !== false &&
    canAsk(io) &&
    ANSWERS.every((answer) => options[answer] === undefined);
  const choices = asks ? await (await import("../init/questions.ts")).askChoices(io) : options;
  const { text, meaning } = await newManifest(
    options.from === undefined
      ? scaffoldOf(choices, io.cwd)
      : await fromRunning(context, options, options.from),
  );
  if (asks) {
    const { askYesNo } = await import("../prompt.ts");
    await context.say(`\n${text}\n# It has ${meaning.sentence}.\n`);
    if (!(await askYesNo(io, `Write ${path}?`, true))) {
      throw new Mem0ctlError("failed", "declined", "nothing was written", { why: "the answer was no" });
    }
  }
  writeFileAtomically(plan, text);

  const document = { apiVersion: "mem0ctl/v1", kind: "ManifestWritten", file: path, meaning };
  const { safeText } = await import("../../render/safe.ts");
  const { hang } = await import("../../render/text.ts");
  const shown = safeText(path);
  await context.print(document, (_document, theme) =>
    [
      `${theme.good(theme.symbols.good)} wrote ${shown}`,
      hang("  it has ", meaning.sentence, theme.proseWidth),
      `  next: ${theme.accent(path === "cluster.yaml" ? "mem0ctl up" : `mem0ctl up -f ${shown}`)}`,
    ].join("\n"),
  );
  return undefined;
}

/** What says how a cluster that runs is reached, where there is none, or only a part of it. */
function refuseOfRunning(context: Context, { from, ca, cert, keyFile, passwordEnv }: InitOptions): void {
  const files = Object.entries({ "--ca": ca, "--cert": cert, "--key-file": keyFile });
  const given = files.flatMap(([option, file]) => (file === undefined ? [] : [option]));
  const refuse = (options: readonly string[], why: string, hint: string): never => {
    throw usageError(
      context.command,
      "conflicting-option",
      `${options.join(", ")} would have no effect here`,
      hint,
      why,
    );
  };
  const all = [...given, ...(passwordEnv === undefined ? [] : ["--password-env"])];
  if (from === undefined && all.length > 0) {
    refuse(
      all,
      "it says how a cluster that runs is reached, and no --from names one",
      "name its address with --from",
    );
  }
  if (from !== undefined && given.length > 0 && !from.startsWith("rediss:")) {
    refuse(given, "the connection to --from is not TLS", "write rediss:// for TLS, or leave it out");
  }
  if (given.length > 0 && given.length < files.length) {
    const missing = files.flatMap(([option, file]) => (file === undefined ? [option] : []));
    refuse(given, `TLS needs ${missing.join(" and ")} as well`, "give all three");
  }
}

/** The running cluster says what it is; only its name is chosen. */
async function fromRunning(context: Context, options: InitOptions, url: string): Promise<ScaffoldOptions> {
  const decided = DECIDED.find((choice) => options[choice] !== undefined);
  if (decided !== undefined) {
    throw usageError(
      context.command,
      "conflicting-option",
      `--from and --${decided} exclude each other`,
      "leave one of them out",
      "a cluster that runs has decided that already",
    );
  }
  const { discoveredManifest } = await import("../../operations/discover.ts");
  const { name, ca, cert, keyFile, passwordEnv } = options;
  return discoveredManifest(url, {
    name: name ?? nameFrom(context.io.cwd),
    timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS),
    signal: context.io.signal,
    ...(passwordEnv === undefined ? {} : { passwordEnv }),
    ...(ca === undefined || cert === undefined || keyFile === undefined
      ? {}
      : { tls: { ca, cert, key: keyFile } }),
  });
}
