// `--consistency` and `--max-staleness` of the memories commands: the level of what the command does, a
// read or a write. Which levels a cluster has is for its engine to say.

import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { parseReadLevel, parseWriteLevel } from "../model/consistency.ts";
import type { ConsistencyRequest, ReadConsistency, WriteConsistency } from "../model/consistency.ts";
import { durationOption } from "./command.ts";

export interface ReadLevelOptions {
  readonly consistency?: ReadConsistency;
  /** In ms. */
  readonly maxStaleness?: number;
}

export interface WriteLevelOptions {
  readonly consistency?: WriteConsistency;
}

/** What the engine's memory calls are given. */
export interface MemoryCall {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly consistency?: ConsistencyRequest;
}

export function withReadLevel(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--consistency <level>",
        "raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies; redis: one or stale",
      ).argParser(readLevelOption),
    )
    .addOption(
      new Option("--max-staleness <duration>", "how old a stale read may be, as in 500ms, 2s").argParser(
        durationOption,
      ),
    );
}

export function withWriteLevel(command: Command): Command {
  return command.addOption(
    new Option(
      "--consistency <copies>",
      "quorum protocol, redis: one, quorum, all or a number of copies that have it before it is done",
    ).argParser(writeLevelOption),
  );
}

/** For the engine's call; nothing when nothing was asked for. */
export function readLevel({ consistency, maxStaleness }: ReadLevelOptions): {
  consistency?: ConsistencyRequest;
} {
  if (consistency === undefined && maxStaleness === undefined) return {};
  return {
    consistency: {
      ...(consistency === undefined ? {} : { read: consistency }),
      ...(maxStaleness === undefined ? {} : { maxStalenessMs: maxStaleness }),
    },
  };
}

export function writeLevel({ consistency }: WriteLevelOptions): { consistency?: ConsistencyRequest } {
  return consistency === undefined ? {} : { consistency: { write: consistency } };
}

export function readLevelOption(text: string): ReadConsistency {
  const level = parseReadLevel(text);
  if (level !== undefined) return level;
  throw new InvalidArgumentError("Levels are linearizable, stale, one, quorum, all or a number of copies.");
}

export function writeLevelOption(text: string): WriteConsistency {
  const level = parseWriteLevel(text);
  if (level !== undefined) return level;
  throw new InvalidArgumentError(
    text === "linearizable" || text === "stale"
      ? `${text} is a level of reads; a write asks for one, quorum, all or a number of copies.`
      : "A write asks for one, quorum, all or a number of copies.",
  );
}
