// `mem0ctl nodes add|drain|undrain|remove`: nodes that come and go while clients write.

import { Option } from "commander";
import type { Command } from "commander";
import { Mem0ctlError } from "../../model/errors.ts";
import { LOOK_TIMEOUT_MS, withCluster } from "../cluster.ts";
import { examples, newCommand, positiveOption, notes, usageError } from "../command.ts";
import type { Action } from "../command.ts";
import type { OpenCluster } from "../../operations/cluster.ts";
import type { ManifestFile } from "../../operations/manifest-file.ts";
import type { EditedManifest } from "../../operations/membership.ts";
import type { Manner } from "../../operations/operation.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { mannerFlags, mannerOf, printOperation, watched } from "../operation.ts";
import type { MannerOptions } from "../operation.ts";
import { printStarted } from "./started.ts";

const ADD_TIMEOUT_MS = 60_000;
const JOIN_TIMEOUT_MS = 10_000;
/** How following an operation ends that goes on, or whose end was missed. */
const GOES_ON: ReadonlySet<string> = new Set(["not-followed", "still-running", "end-not-seen"]);
const ROLES = ["primary", "secondary", "arbiter"] as const;

interface AddOptions {
  readonly address: string;
  readonly role: (typeof ROLES)[number];
  readonly zone?: string;
  readonly weight?: number;
}

interface RemoveOptions extends MannerOptions {
  /** The node's name once more. */
  readonly force?: string;
}

export function nodeChangeCommands(action: Action): readonly Command[] {
  const add = newCommand("add", "Let a node join: manifest, process, cluster")
    .argument("<node>", "its id")
    .addOption(new Option("--address <address>", "host:port, or [v6]:port").makeOptionMandatory())
    .addOption(new Option("--role <role>", "what it may do").choices(ROLES).default("primary"))
    .addOption(new Option("--zone <zone>", "its failure domain (default: the node's id)"))
    .addOption(
      new Option("--weight <number>", "its share, relative to the others").argParser(positiveOption(1000)),
    )
    .addHelpText(
      "after",
      examples([
        "mem0ctl nodes add node-4 --address 127.0.0.1:7004 --zone d",
        "joins, and holds nothing yet",
      ]) +
        notes(
          "The manifest keeps its comments. A node with a loopback address is started here; start any other with `mem0ctl node run` and the new manifest. Repeated, it does what is left to do.\nShards move to it by `mem0ctl shards rebalance`.",
        ),
    )
    .action(action<AddOptions>(addNode));
  const drain = newCommand("drain", "Move everything off a node; it stays a member").argument(
    "<node>",
    "which node",
  );
  for (const flag of mannerFlags()) drain.addOption(flag);
  drain
    .addHelpText(
      "after",
      examples(["mem0ctl nodes drain node-2", "before maintenance"]) +
        notes(
          "Until `mem0ctl nodes undrain` it gets no replicas. Refused when the others cannot hold them.\nThe cluster keeps that the node is drained; of a redis cluster the manifest does (`draining: true`).",
        ),
    )
    .action(action<MannerOptions>(drainNode));
  const undrain = newCommand("undrain", "Let a drained node have replicas again")
    .argument("<node>", "which node")
    .addHelpText("after", examples(["mem0ctl nodes undrain node-2", "after maintenance"]))
    .action(action(undrainNode));
  const remove = newCommand("remove", "Move everything off a node and take it out of the cluster")
    .argument("<node>", "which node")
    .addOption(
      new Option("--force <node>", "its name once more: give up copies that no other node can take"),
    );
  for (const flag of mannerFlags()) remove.addOption(flag);
  remove
    .addHelpText(
      "after",
      examples(
        ["mem0ctl nodes remove node-2", "also from the manifest; its process is stopped"],
        ["mem0ctl nodes remove node-2 --force node-2", "even if shards then have a copy less"],
      ) +
        notes(
          "Its data directory stays. The only copy of a shard is never given up. Where the manifest asks for more copies than the other nodes can hold, lower that first: `mem0ctl apply`.",
        ),
    )
    .action(action<RemoveOptions>(removeNode));
  return [add, drain, undrain, remove];
}

async function addNode(context: Context, options: AddOptions, words: readonly string[]): Promise<ExitCode> {
  const [id = ""] = words;
  const { address, role, zone, weight } = options;
  const { openManifest } = await import("../../operations/manifest-file.ts");
  const { withNode, mapNodeOf } = await import("../../operations/membership.ts");
  const node = {
    id,
    address,
    role,
    ...(zone === undefined ? {} : { zone }),
    ...(weight === undefined ? {} : { weight }),
  };
  const edited = withNode(await openManifest(context.file, { starting: true }), node);
  if (edited.changed) await requireReplaceable(context);
  const spec = edited.manifest.nodes.find((node) => node.id === id);
  if (spec === undefined) throw new TypeError("a node that was added is in the manifest");
  const join = async (engine: OpenCluster["engine"]): Promise<void> => {
    const { joinNode } = await import("../../operations/members.ts");
    const timeoutMs = context.timeoutMs(JOIN_TIMEOUT_MS);
    await joinNode(engine, mapNodeOf(spec), { timeoutMs, signal: context.io.signal });
  };
  // Where it can be, in the cluster first: a node that nobody knows would found one of its own.
  const before = await withCluster(context, async ({ engine, manifest }) => {
    const { clusterStatus } = await import("../../operations/status.ts");
    const look = { timeoutMs: context.timeoutMs(LOOK_TIMEOUT_MS), signal: context.io.signal };
    const { health } = await clusterStatus(engine, manifest.limits, look);
    if (engine.capabilities.joins === "before-start") await join(engine);
    return health;
  });
  await editManifest(context, (file) => withNode(file, node));
  return withCluster(context, async ({ engine, manifest }) => {
    const { startAdded } = await import("../../operations/up.ts");
    if (engine.capabilities.joins === "after-start") {
      await engine.up([id], { timeoutMs: context.timeoutMs(ADD_TIMEOUT_MS), signal: context.io.signal });
      await join(engine);
    }
    const result = await context.withProgress((onProgress) =>
      startAdded(engine, manifest, id, before, {
        timeoutMs: context.timeoutMs(ADD_TIMEOUT_MS),
        signal: context.io.signal,
        onProgress,
      }),
    );
    return printStarted(context, result);
  });
}

async function drainNode(
  context: Context,
  options: MannerOptions,
  words: readonly string[],
): Promise<ExitCode> {
  const [node = ""] = words;
  await noteDraining(context, node, true, mannerOf(options));
  return withCluster(context, async ({ engine }) => {
    const moves = await import("../../operations/moves.ts");
    const operation = await watched(context, (call) =>
      moves.drainNode(engine, node, mannerOf(options), call),
    );
    if (operation === null)
      await context.say(`${node} holds nothing, and gets nothing until it is undrained`);
    else await printOperation(context, operation);
    return EXIT.done;
  });
}

/** Where the cluster itself does not keep it, the manifest does, before anything moves: so it outlives this process. */
async function noteDraining(
  context: Context,
  node: string,
  draining: boolean,
  manner?: Manner,
): Promise<void> {
  const inManifest = await withCluster(context, async ({ engine }) => {
    if (engine.capabilities.drains === "in-cluster") return false;
    if (manner === undefined) return true;
    const moves = await import("../../operations/moves.ts");
    const timeoutMs = context.timeoutMs(LOOK_TIMEOUT_MS);
    await moves.requireDrainable(engine, node, manner, { timeoutMs, signal: context.io.signal });
    return true;
  });
  if (!inManifest) return;
  const { withDraining } = await import("../../operations/membership.ts");
  await editManifest(context, (file) => withDraining(file, node, draining));
}

async function undrainNode(context: Context, _: object, words: readonly string[]): Promise<ExitCode> {
  const [node = ""] = words;
  await noteDraining(context, node, false);
  return withCluster(context, async ({ engine }) => {
    const moves = await import("../../operations/moves.ts");
    const timeoutMs = context.timeoutMs(LOOK_TIMEOUT_MS);
    const drains = await moves.undrainNode(engine, node, { timeoutMs, signal: context.io.signal });
    await context.say(
      drains
        ? `${node} may hold replicas again, but its drain goes on; end it with \`mem0ctl shards rebalance --cancel\``
        : `${node} may hold replicas again; \`mem0ctl shards rebalance\` moves some to it`,
    );
    return EXIT.done;
  });
}

async function removeNode(
  context: Context,
  options: RemoveOptions,
  words: readonly string[],
): Promise<ExitCode> {
  const [node = ""] = words;
  const force = options.force !== undefined;
  if (force && options.force !== node) {
    throw usageError(context.command, "other-name", `--force names ${options.force}, and not ${node}`);
  }
  // Who has typed the name twice has answered.
  if (!force && !(await isConfirmed(context, node))) {
    throw new Mem0ctlError("failed", "declined", "nothing was changed", {
      why: "the answer was no",
      hint: "give --yes to remove it without being asked",
    });
  }
  // Copies that were given up are gone: that the manifest can do without the node is known before.
  const { openManifest } = await import("../../operations/manifest-file.ts");
  const { withoutNode } = await import("../../operations/membership.ts");
  const { changed } = withoutNode(await openManifest(context.file), node);
  if (changed && options.wait) await requireReplaceable(context);
  const sayItRuns = async (): Promise<void> => {
    if (!changed) return;
    await context.say(
      `${node} runs, and is in the manifest, until this has ended and the command is given again`,
    );
  };
  const operation = await withCluster(context, async ({ engine }) => {
    const moves = await import("../../operations/moves.ts");
    return watched(context, (call) => moves.removeNode(engine, { node, force }, mannerOf(options), call));
  }).catch(async (error: unknown) => {
    if (error instanceof Mem0ctlError && GOES_ON.has(error.code)) await sayItRuns();
    throw error;
  });
  if (!options.wait) {
    await printOperation(context, operation, withoutAlready(operation, node));
    await sayItRuns();
    return EXIT.done;
  }
  await withCluster(context, async ({ engine, manifest }) => {
    if (!manifest.nodes.some(({ id }) => id === node)) return;
    await engine.down([node], { timeoutMs: ADD_TIMEOUT_MS, signal: context.io.signal });
  });
  await editManifest(context, (file) => withoutNode(file, node));
  await printOperation(context, operation, withoutAlready(operation, node));
  if (operation === null && changed) await context.say(`${node} is stopped, and out of the manifest`);
  return EXIT.done;
}

function withoutAlready(operation: object | null, node: string): string | undefined {
  return operation === null ? `the cluster was without ${node} already` : undefined;
}

async function isConfirmed(context: Context, node: string): Promise<boolean> {
  const { confirm } = await import("../confirm.ts");
  const what = `${node} leaves the cluster and the manifest; its replicas move to other nodes first`;
  return confirm(context, what, "Remove it?");
}

/**
 * Before anything is done that the manifest has to tell of afterwards.
 * @throws Mem0ctlError `not-a-regular-file` (invalid), `cannot-write`.
 */
async function requireReplaceable(context: Context): Promise<void> {
  const { checkReplaceable } = await import("../atomic-file.ts");
  checkReplaceable(context.file);
}

/**
 * Edits the manifest as it is by now: a join or a drain takes its time, and another command, or a person, may have
 * written to it meanwhile.
 */
async function editManifest(context: Context, edit: (file: ManifestFile) => EditedManifest): Promise<void> {
  const { openManifest } = await import("../../operations/manifest-file.ts");
  const { replaceUnchanged } = await import("../atomic-file.ts");
  for (;;) {
    const file = await openManifest(context.file);
    const { changed, text } = edit(file);
    if (!changed || (await replaceUnchanged(context.file, { before: file.text, after: text }))) return;
  }
}
