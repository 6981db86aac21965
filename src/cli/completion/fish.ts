// Completions for fish: declarations, each with the condition under which it applies. One function finds
// the command that the line has got to; fish itself knows about flags and their values.

import { namesOf } from "./tree.ts";
import type { Branch, Flag, Tree, Values } from "./tree.ts";

export function fishScript({ common, branches }: Tree): string {
  const paths = branches.filter(({ path }) => path !== "").map(({ path }) => `'${path}'`);
  const flags = [...common, ...branches.flatMap((branch) => branch.flags)];
  const names = flags.filter(({ values }) => values !== undefined).flatMap(namesOf);
  const valued = [...new Set(names)].filter((name) => name !== "-f");
  return `# fish completion for mem0ctl. Generated from the command tree; do not edit.
# Load it with: mem0ctl completion fish | source

# The command that the line has got to (empty: none yet), then how many arguments it has been given.
function __mem0ctl_line
    set -l commands ${paths.join(" ")}
    set -l path
    set -l position 0
    set -l skip 0
    set -l tokens (commandline -opc)
    for word in $tokens[2..-1]
        if test $skip = 1
            set skip 0
        else if test "$word" = -f
            # Everywhere the manifest, but in \`nodes logs\` it follows.
            test "$path" = 'nodes logs'; or set skip 1
        else if contains -- $word ${valued.join(" ")}
            set skip 1
        else if string match -q -- '-*' $word
            continue
        else if contains -- (string trim -- "$path $word") $commands
            set path (string trim -- "$path $word")
        else
            set position (math $position + 1)
        end
    end
    echo "$path"
    echo $position
end

function __mem0ctl_at
    set -l line (__mem0ctl_line)
    test "$line[1]" = "$argv[1]"
end

function __mem0ctl_argument
    set -l line (__mem0ctl_line)
    test "$line[1]" = "$argv[1]"; and test $line[2] -ge $argv[2]; and test $line[2] -le $argv[3]
end

function __mem0ctl_ids
    set -l tokens (commandline -opc)
    command $tokens[1] __complete $argv[1] $tokens[2..-1] 2>/dev/null
end

complete -c mem0ctl -f
${common.map((flag) => flagLine("", flag)).join("\n")}
${branches.flatMap(linesOf).join("\n")}
`;
}

function linesOf(branch: Branch): string[] {
  const at = `-n ${quoted(`__mem0ctl_at ${quoted(branch.path)}`)}`;
  return [
    ...branch.commands.map(
      ({ name, summary }) => `complete -c mem0ctl ${at} -a ${name} -d ${quoted(summary)}`,
    ),
    ...branch.flags.map((flag) => flagLine(`${at} `, flag)),
    ...branch.arguments.flatMap((values, position) => {
      const source = sourceOf(values);
      if (source === undefined) return [];
      const last = branch.variadic && position === branch.arguments.length - 1 ? 1_000_000 : position;
      const when = `__mem0ctl_argument ${quoted(branch.path)} ${position} ${last}`;
      return [`complete -c mem0ctl -n ${quoted(when)} ${source}`];
    }),
  ];
}

function flagLine(condition: string, flag: Flag): string {
  return `complete -c mem0ctl ${condition}${flagNames(flag)} -d ${quoted(flag.summary)}${valueOf(flag.values)}`;
}

function flagNames({ short, long }: Flag): string {
  const name = `-l ${long.replace(/^--/, "")}`;
  return short === undefined ? name : `-s ${short.slice(1)} ${name}`;
}

function valueOf(values: Values | undefined): string {
  if (values === undefined) return "";
  const source = sourceOf(values);
  return source === undefined ? " -x" : values.kind === "files" ? ` -r ${source}` : ` -x ${source}`;
}

function sourceOf(values: Values): string | undefined {
  switch (values.kind) {
    case "words":
      return `-a ${quoted(values.words.join(" "))}`;
    case "files":
      return "-F";
    case "none":
      return undefined;
    case "nodes":
    case "shards":
    case "groups":
      return `-k -a ${quoted(`(__mem0ctl_ids ${values.kind})`)}`;
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
