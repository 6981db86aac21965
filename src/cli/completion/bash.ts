// Completions for bash 3.2 and later (macOS still has it): no associative arrays, no bash-completion
// package. The tree is in `case` tables; one small walker finds where on the line the cursor is.

import { kindOf, namesOf } from "./tree.ts";
import type { Branch, Flag, Tree } from "./tree.ts";

export function bashScript({ common, branches }: Tree): string {
  return `# bash completion for mem0ctl. Generated from the command tree; do not edit.
# Load it with: source <(mem0ctl completion bash)

# The commands below a path of commands.
__mem0ctl_commands() {
  case "$1" in
${table(branches, (branch) => branch.commands.map(({ name }) => name).join(" "))}
  esac
}

# The flags of a command.
__mem0ctl_flags() {
  case "$1" in
${table(branches, ({ flags }) => flags.flatMap(namesOf).join(" "))}
  esac
  echo "${common.flatMap(namesOf).join(" ")}"
}

# What a flag's value is completed with: nothing is printed for a flag that takes none.
__mem0ctl_value() {
  case "$1:$2" in
${branches.flatMap(({ path, flags }) => flags.flatMap((flag) => valueCase(`"${path}:`, flag))).join("\n")}
${common.flatMap((flag) => valueCase('*":', flag)).join("\n")}
  esac
}

# What the argument at a position (from 0) is completed with.
__mem0ctl_argument() {
  case "$1:$2" in
${argumentTable(branches)}
  esac
}

_mem0ctl() {
  local current path="" word kind flag="" index position=0 ended=""
  # bash cuts words at = and :, so --flag=value is three words.
  local -a line=()
  for ((index = 1; index <= COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    if [[ $word == "=" ]]; then continue; fi
    line+=("$word")
  done
  current=\${COMP_WORDS[COMP_CWORD]}
  [[ $current == "=" ]] && { current=""; line+=(""); }
  local last=$((\${#line[@]} - 1))

  for ((index = 0; index < last; index++)); do
    word=\${line[index]}
    if [[ -n $flag ]]; then
      flag=""
    elif [[ -n $ended ]]; then
      position=$((position + 1))
    elif [[ $word == "--" ]]; then
      ended=1
    elif [[ $word == -* ]]; then
      [[ -n $(__mem0ctl_value "$path" "$word") ]] && flag=$word
    elif [[ " $(__mem0ctl_commands "$path") " == *" $word "* ]]; then
      path="\${path:+$path }$word"
    else
      position=$((position + 1))
    fi
  done

  COMPREPLY=()
  if [[ -n $flag ]]; then
    kind=$(__mem0ctl_value "$path" "$flag")
  elif [[ $current == -* && -z $ended ]]; then
    COMPREPLY=($(compgen -W "$(__mem0ctl_flags "$path")" -- "$current"))
    return
  else
    kind=$(__mem0ctl_commands "$path")
    if [[ -n $kind ]]; then kind="words $kind"; else kind=$(__mem0ctl_argument "$path" "$position"); fi
  fi
  case "$kind" in
    "words "*) COMPREPLY=($(compgen -W "\${kind#words }" -- "$current")) ;;
    files)
      compopt -o filenames 2>/dev/null
      local IFS=$'\\n'
      COMPREPLY=($(compgen -f -- "$current"))
      ;;
    nodes | shards | groups)
      COMPREPLY=($(compgen -W "$("\${COMP_WORDS[0]}" __complete "$kind" "\${line[@]}" 2>/dev/null)" -- "$current"))
      ;;
  esac
}

complete -F _mem0ctl mem0ctl
`;
}

function table(branches: readonly Branch[], words: (branch: Branch) => string): string {
  return branches
    .filter((branch) => words(branch) !== "")
    .map((branch) => `    "${branch.path}") echo "${words(branch)}" ;;`)
    .join("\n");
}

function valueCase(before: string, flag: Flag): string[] {
  if (flag.values === undefined) return [];
  const patterns = namesOf(flag).map((name) => `${before}${name}"`);
  return [`    ${patterns.join(" | ")}) echo "${kindOf(flag.values)}" ;;`];
}

function argumentTable(branches: readonly Branch[]): string {
  return branches
    .flatMap((branch) =>
      branch.arguments.map((values, position) => {
        const repeats = branch.variadic && position === branch.arguments.length - 1;
        const pattern = repeats ? `"${branch.path}":*` : `"${branch.path}:${position}"`;
        return `    ${pattern}) echo "${kindOf(values)}" ;;`;
      }),
    )
    .join("\n");
}
