// Completions for zsh: commands and flags with their summaries, through the completion system's own
// `_describe` and `_files`, so that menus, grouping and matchers of the user apply.

import { kindOf, namesOf } from "./tree.ts";
import type { Branch, Flag, Tree } from "./tree.ts";

export function zshScript({ common, branches }: Tree): string {
  return `#compdef mem0ctl
# zsh completion for mem0ctl. Generated from the command tree; do not edit.
# Load it with: source <(mem0ctl completion zsh), or put it into a directory of $fpath as _mem0ctl.

# The commands below a path of commands, as name:summary.
__mem0ctl_commands() {
  reply=()
  case "$1" in
${table(branches, (branch) => branch.commands.map(({ name, summary }) => entry(name, summary)))}
  esac
}

# The flags of a command, as flag:summary.
__mem0ctl_flags() {
  reply=()
  case "$1" in
${table(branches, ({ flags }) => flags.flatMap(flagEntries))}
  esac
  reply+=(
${common
  .flatMap(flagEntries)
  .map((line) => `    ${line}`)
  .join("\n")}
  )
}

# What a flag's value is completed with: REPLY stays empty for a flag that takes none.
__mem0ctl_value() {
  REPLY=""
  case "$1:$2" in
${branches.flatMap(({ path, flags }) => flags.flatMap((flag) => valueCase(`"${path}:`, flag))).join("\n")}
${common.flatMap((flag) => valueCase('*":', flag)).join("\n")}
  esac
}

# What the argument at a position (from 0) is completed with.
__mem0ctl_argument() {
  REPLY=""
  case "$1:$2" in
${argumentTable(branches)}
  esac
}

__mem0ctl_complete_kind() {
  local -a ids
  case "$1" in
    "words "*) ids=(\${=1#words }); compadd -- $ids ;;
    files) _files ;;
    nodes|shards|groups)
      ids=(\${(f)"$(_call_program mem0ctl-ids \${(q)words[1]} __complete $1 \${(q)words[2,-1]} 2>/dev/null)"})
      compadd -- $ids
      ;;
  esac
}

_mem0ctl() {
  local path_of_commands="" word flag="" ended=""
  local -i index position=0
  local -a reply names
  local REPLY
  for ((index = 2; index < CURRENT; index++)); do
    word=\${words[index]}
    if [[ -n $flag ]]; then
      flag=""
    elif [[ -n $ended ]]; then
      position+=1
    elif [[ $word == "--" ]]; then
      ended=1
    elif [[ $word == -* ]]; then
      __mem0ctl_value "$path_of_commands" "$word"
      [[ -n $REPLY ]] && flag=$word
    else
      __mem0ctl_commands "$path_of_commands"
      names=(\${reply%%:*})
      if (( \${names[(Ie)$word]} )); then
        path_of_commands="\${path_of_commands:+$path_of_commands }$word"
      else
        position+=1
      fi
    fi
  done

  word=\${words[CURRENT]}
  if [[ -n $flag ]]; then
    __mem0ctl_value "$path_of_commands" "$flag"
    __mem0ctl_complete_kind "$REPLY"
  elif [[ -z $ended && $word == --*=* ]]; then
    __mem0ctl_value "$path_of_commands" "\${word%%=*}"
    compset -P 1 '*='
    __mem0ctl_complete_kind "$REPLY"
  elif [[ -z $ended && $word == -* ]]; then
    __mem0ctl_flags "$path_of_commands"
    _describe -o 'flag' reply
  else
    __mem0ctl_commands "$path_of_commands"
    if (( \${#reply} )); then
      _describe 'command' reply
    else
      __mem0ctl_argument "$path_of_commands" "$position"
      __mem0ctl_complete_kind "$REPLY"
    fi
  fi
}

if [[ "\${funcstack[1]}" == "_mem0ctl" ]]; then
  _mem0ctl "$@"
else
  compdef _mem0ctl mem0ctl
fi
`;
}

/** \`name:summary\` in single quotes; a colon in the name would end it, one in the summary does not. */
function entry(name: string, summary: string): string {
  return `'${name.replaceAll(":", "\\:")}:${summary.replaceAll("'", `'\\''`)}'`;
}

function table(branches: readonly Branch[], entries: (branch: Branch) => readonly string[]): string {
  return branches
    .filter((branch) => entries(branch).length > 0)
    .map((branch) => {
      const lines = entries(branch).map((line) => `        ${line}`);
      return `    "${branch.path}")\n      reply=(\n${lines.join("\n")}\n      )\n      ;;`;
    })
    .join("\n");
}

function flagEntries(flag: Flag): string[] {
  return namesOf(flag).map((name) => entry(name, flag.summary));
}

function valueCase(before: string, flag: Flag): string[] {
  if (flag.values === undefined) return [];
  const patterns = namesOf(flag).map((name) => `${before}${name}"`);
  return [`    ${patterns.join("|")}) REPLY="${kindOf(flag.values)}" ;;`];
}

function argumentTable(branches: readonly Branch[]): string {
  return branches
    .flatMap((branch) =>
      branch.arguments.map((values, position) => {
        const repeats = branch.variadic && position === branch.arguments.length - 1;
        const pattern = repeats ? `"${branch.path}":*` : `"${branch.path}:${position}"`;
        return `    ${pattern}) REPLY="${kindOf(values)}" ;;`;
      }),
    )
    .join("\n");
}
