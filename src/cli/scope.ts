// Whose memories are meant: `--user`, `--agent`, `--run`, `--app`, shared by the memories commands.

import type { Command } from "commander";

export interface ScopeOptions {
  readonly user?: string;
  readonly agent?: string;
  readonly run?: string;
  readonly app?: string;
}

export interface Scope {
  readonly user_id?: string;
  readonly agent_id?: string;
  readonly run_id?: string;
  readonly app_id?: string;
}

export function withScope(command: Command): Command {
  return command
    .option("-u, --user <id>", "memories of this user")
    .option("--agent <id>", "memories of this agent")
    .option("--run <id>", "memories of this run")
    .option("--app <id>", "memories of this app");
}

export function scopeOf({ user, agent, run, app }: ScopeOptions): Scope {
  return {
    ...(user === undefined ? {} : { user_id: user }),
    ...(agent === undefined ? {} : { agent_id: agent }),
    ...(run === undefined ? {} : { run_id: run }),
    ...(app === undefined ? {} : { app_id: app }),
  };
}

/** Every field of the scope, and `filter` in mem0's filter language, all of which have to hold. */
export function filtersOf(
  options: ScopeOptions,
  filter: Readonly<Record<string, unknown>> | undefined,
): Readonly<Record<string, unknown>> {
  const conditions: Readonly<Record<string, unknown>>[] = Object.entries(scopeOf(options)).map(
    ([field, id]) => ({ [field]: id }),
  );
  if (filter !== undefined) conditions.push(filter);
  const [only] = conditions;
  return conditions.length > 1 ? { AND: conditions } : (only ?? {});
}

/** `user alice, run r-7`: for questions and messages. */
export function scopeSentence(options: ScopeOptions): string {
  return (["user", "agent", "run", "app"] as const)
    .flatMap((field) => (options[field] === undefined ? [] : [`${field} ${JSON.stringify(options[field])}`]))
    .join(", ");
}
