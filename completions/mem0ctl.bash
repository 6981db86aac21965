# bash completion for mem0ctl. Generated from the command tree; do not edit.
# Load it with: source <(mem0ctl completion bash)

# The commands below a path of commands.
__mem0ctl_commands() {
  case "$1" in
    "") echo "init validate up down restart status wait plan apply nodes shards replicas leader memories migrate serve schema completion demo node" ;;
    "init") echo "cluster" ;;
    "nodes") echo "list add drain undrain remove logs" ;;
    "shards") echo "map list locate rebalance move split merge pin" ;;
    "replicas") echo "lag add remove verify repair" ;;
    "leader") echo "show transfer balance" ;;
    "memories") echo "add update delete search get list history stats import export" ;;
    "schema") echo "manifest" ;;
    "node") echo "run" ;;
  esac
}

# The flags of a command.
__mem0ctl_flags() {
  case "$1" in
    "") echo "--file -f --output -o --version -V" ;;
    "init") echo "--file -f --output -o" ;;
    "init cluster") echo "--file -f --output -o --name --engine --nodes --zones --arbiters --replication --replicas --sharding --shards --key --ranges --consensus --read --write --port --data-dir --from --password-env --ca --cert --key-file --out --force" ;;
    "validate") echo "--file -f --output -o" ;;
    "up") echo "--file -f --output -o" ;;
    "down") echo "--file -f --output -o" ;;
    "restart") echo "--file -f --output -o" ;;
    "status") echo "--file -f --output -o --watch -w --fail-on --max-lag" ;;
    "wait") echo "--file -f --output -o --for --max-lag" ;;
    "plan") echo "--file -f --output -o --out --detailed-exitcode" ;;
    "apply") echo "--file -f --output -o --throttle --concurrency --no-wait" ;;
    "nodes") echo "--file -f --output -o" ;;
    "nodes list") echo "--file -f --output -o" ;;
    "nodes add") echo "--file -f --output -o --address --role --zone --weight" ;;
    "nodes drain") echo "--file -f --output -o --throttle --concurrency --no-wait" ;;
    "nodes undrain") echo "--file -f --output -o" ;;
    "nodes remove") echo "--file -f --output -o --force --throttle --concurrency --no-wait" ;;
    "nodes logs") echo "--file --output -o --follow -f --lines -n" ;;
    "shards") echo "--file -f --output -o" ;;
    "shards map") echo "--file -f --output -o" ;;
    "shards list") echo "--file -f --output -o" ;;
    "shards locate") echo "--file -f --output -o" ;;
    "shards rebalance") echo "--file -f --output -o --dry-run --out --explain --by --threshold --max-moves --max-bytes --throttle --concurrency --no-wait --status --watch --cancel" ;;
    "shards move") echo "--file -f --output -o --from --to --slots --throttle --concurrency --no-wait" ;;
    "shards split") echo "--file -f --output -o --at --dry-run --explain --throttle --concurrency --no-wait" ;;
    "shards merge") echo "--file -f --output -o --dry-run --explain --throttle --concurrency --no-wait" ;;
    "shards pin") echo "--file -f --output -o --unpin --dry-run --explain --throttle --concurrency --no-wait" ;;
    "replicas") echo "--file -f --output -o" ;;
    "replicas lag") echo "--file -f --output -o" ;;
    "replicas add") echo "--file -f --output -o --to --throttle --concurrency --no-wait" ;;
    "replicas remove") echo "--file -f --output -o --from --throttle --concurrency --no-wait" ;;
    "replicas verify") echo "--file -f --output -o" ;;
    "replicas repair") echo "--file -f --output -o --node" ;;
    "leader") echo "--file -f --output -o" ;;
    "leader show") echo "--file -f --output -o" ;;
    "leader transfer") echo "--file -f --output -o --to" ;;
    "leader balance") echo "--file -f --output -o --dry-run --concurrency --no-wait" ;;
    "memories") echo "--file -f --output -o" ;;
    "memories add") echo "--file -f --output -o --user -u --agent --run --app --consistency --metadata" ;;
    "memories update") echo "--file -f --output -o --consistency --text --metadata --if-hash" ;;
    "memories delete") echo "--file -f --output -o --user -u --agent --run --app --consistency --all" ;;
    "memories search") echo "--file -f --output -o --user -u --agent --run --app --consistency --max-staleness --top-k -k --threshold --filter" ;;
    "memories get") echo "--file -f --output -o --consistency --max-staleness" ;;
    "memories list") echo "--file -f --output -o --user -u --agent --run --app --consistency --max-staleness --filter --page --page-size" ;;
    "memories history") echo "--file -f --output -o --consistency --max-staleness" ;;
    "memories stats") echo "--file -f --output -o --consistency --max-staleness" ;;
    "memories import") echo "--file -f --output -o --consistency --from-line --skip-invalid" ;;
    "memories export") echo "--file -f --output -o --consistency --max-staleness --out --force" ;;
    "migrate") echo "--file -f --output -o --from --to --rate" ;;
    "serve") echo "--file -f --output -o --listen --name" ;;
    "schema") echo "--file -f --output -o" ;;
    "schema manifest") echo "--file -f --output -o" ;;
    "completion") echo "--file -f --output -o" ;;
    "demo") echo "--file -f --output -o --keep" ;;
    "node") echo "--file -f --output -o" ;;
    "node run") echo "--file -f --output -o --node" ;;
  esac
  echo "--timeout --yes --no-input --no-color --verbose -v --help -h"
}

# What a flag's value is completed with: nothing is printed for a flag that takes none.
__mem0ctl_value() {
  case "$1:$2" in
    ":--file" | ":-f") echo "files" ;;
    ":--output" | ":-o") echo "words table wide json yaml" ;;
    "init:--file" | "init:-f") echo "files" ;;
    "init:--output" | "init:-o") echo "words table wide json yaml" ;;
    "init cluster:--file" | "init cluster:-f") echo "files" ;;
    "init cluster:--output" | "init cluster:-o") echo "words table wide json yaml" ;;
    "init cluster:--name") echo "none" ;;
    "init cluster:--engine") echo "words embedded redis" ;;
    "init cluster:--nodes") echo "none" ;;
    "init cluster:--zones") echo "none" ;;
    "init cluster:--arbiters") echo "none" ;;
    "init cluster:--replication") echo "words none single multiple" ;;
    "init cluster:--replicas") echo "none" ;;
    "init cluster:--sharding") echo "words hash range directory" ;;
    "init cluster:--shards") echo "none" ;;
    "init cluster:--key") echo "words user agent run app" ;;
    "init cluster:--ranges") echo "none" ;;
    "init cluster:--consensus") echo "words raft paxos quorum" ;;
    "init cluster:--read") echo "words linearizable stale one quorum all" ;;
    "init cluster:--write") echo "words one quorum all" ;;
    "init cluster:--port") echo "none" ;;
    "init cluster:--data-dir") echo "files" ;;
    "init cluster:--from") echo "none" ;;
    "init cluster:--password-env") echo "none" ;;
    "init cluster:--ca") echo "files" ;;
    "init cluster:--cert") echo "files" ;;
    "init cluster:--key-file") echo "files" ;;
    "init cluster:--out") echo "files" ;;
    "validate:--file" | "validate:-f") echo "files" ;;
    "validate:--output" | "validate:-o") echo "words table wide json yaml github" ;;
    "up:--file" | "up:-f") echo "files" ;;
    "up:--output" | "up:-o") echo "words table wide json yaml" ;;
    "down:--file" | "down:-f") echo "files" ;;
    "down:--output" | "down:-o") echo "words table wide json yaml" ;;
    "restart:--file" | "restart:-f") echo "files" ;;
    "restart:--output" | "restart:-o") echo "words table wide json yaml" ;;
    "status:--file" | "status:-f") echo "files" ;;
    "status:--output" | "status:-o") echo "words table wide json yaml" ;;
    "status:--fail-on") echo "words degraded unavailable" ;;
    "status:--max-lag") echo "none" ;;
    "wait:--file" | "wait:-f") echo "files" ;;
    "wait:--output" | "wait:-o") echo "words table wide json yaml" ;;
    "wait:--for") echo "words healthy available down" ;;
    "wait:--max-lag") echo "none" ;;
    "plan:--file" | "plan:-f") echo "files" ;;
    "plan:--output" | "plan:-o") echo "words table wide json yaml" ;;
    "plan:--out") echo "files" ;;
    "apply:--file" | "apply:-f") echo "files" ;;
    "apply:--output" | "apply:-o") echo "words table wide json yaml" ;;
    "apply:--throttle") echo "none" ;;
    "apply:--concurrency") echo "none" ;;
    "nodes:--file" | "nodes:-f") echo "files" ;;
    "nodes:--output" | "nodes:-o") echo "words table wide json yaml" ;;
    "nodes list:--file" | "nodes list:-f") echo "files" ;;
    "nodes list:--output" | "nodes list:-o") echo "words table wide json yaml" ;;
    "nodes add:--file" | "nodes add:-f") echo "files" ;;
    "nodes add:--output" | "nodes add:-o") echo "words table wide json yaml" ;;
    "nodes add:--address") echo "none" ;;
    "nodes add:--role") echo "words primary secondary arbiter" ;;
    "nodes add:--zone") echo "none" ;;
    "nodes add:--weight") echo "none" ;;
    "nodes drain:--file" | "nodes drain:-f") echo "files" ;;
    "nodes drain:--output" | "nodes drain:-o") echo "words table wide json yaml" ;;
    "nodes drain:--throttle") echo "none" ;;
    "nodes drain:--concurrency") echo "none" ;;
    "nodes undrain:--file" | "nodes undrain:-f") echo "files" ;;
    "nodes undrain:--output" | "nodes undrain:-o") echo "words table wide json yaml" ;;
    "nodes remove:--file" | "nodes remove:-f") echo "files" ;;
    "nodes remove:--output" | "nodes remove:-o") echo "words table wide json yaml" ;;
    "nodes remove:--force") echo "nodes" ;;
    "nodes remove:--throttle") echo "none" ;;
    "nodes remove:--concurrency") echo "none" ;;
    "nodes logs:--file") echo "files" ;;
    "nodes logs:--output" | "nodes logs:-o") echo "words table wide json yaml" ;;
    "nodes logs:--lines" | "nodes logs:-n") echo "none" ;;
    "shards:--file" | "shards:-f") echo "files" ;;
    "shards:--output" | "shards:-o") echo "words table wide json yaml" ;;
    "shards map:--file" | "shards map:-f") echo "files" ;;
    "shards map:--output" | "shards map:-o") echo "words table wide json yaml" ;;
    "shards list:--file" | "shards list:-f") echo "files" ;;
    "shards list:--output" | "shards list:-o") echo "words table wide json yaml" ;;
    "shards locate:--file" | "shards locate:-f") echo "files" ;;
    "shards locate:--output" | "shards locate:-o") echo "words table wide json yaml" ;;
    "shards rebalance:--file" | "shards rebalance:-f") echo "files" ;;
    "shards rebalance:--output" | "shards rebalance:-o") echo "words table wide json yaml" ;;
    "shards rebalance:--out") echo "files" ;;
    "shards rebalance:--explain") echo "shards" ;;
    "shards rebalance:--by") echo "words shards bytes memories load" ;;
    "shards rebalance:--threshold") echo "none" ;;
    "shards rebalance:--max-moves") echo "none" ;;
    "shards rebalance:--max-bytes") echo "none" ;;
    "shards rebalance:--throttle") echo "none" ;;
    "shards rebalance:--concurrency") echo "none" ;;
    "shards move:--file" | "shards move:-f") echo "files" ;;
    "shards move:--output" | "shards move:-o") echo "words table wide json yaml" ;;
    "shards move:--from") echo "nodes" ;;
    "shards move:--to") echo "nodes" ;;
    "shards move:--slots") echo "none" ;;
    "shards move:--throttle") echo "none" ;;
    "shards move:--concurrency") echo "none" ;;
    "shards split:--file" | "shards split:-f") echo "files" ;;
    "shards split:--output" | "shards split:-o") echo "words table wide json yaml" ;;
    "shards split:--at") echo "none" ;;
    "shards split:--throttle") echo "none" ;;
    "shards split:--concurrency") echo "none" ;;
    "shards merge:--file" | "shards merge:-f") echo "files" ;;
    "shards merge:--output" | "shards merge:-o") echo "words table wide json yaml" ;;
    "shards merge:--throttle") echo "none" ;;
    "shards merge:--concurrency") echo "none" ;;
    "shards pin:--file" | "shards pin:-f") echo "files" ;;
    "shards pin:--output" | "shards pin:-o") echo "words table wide json yaml" ;;
    "shards pin:--throttle") echo "none" ;;
    "shards pin:--concurrency") echo "none" ;;
    "replicas:--file" | "replicas:-f") echo "files" ;;
    "replicas:--output" | "replicas:-o") echo "words table wide json yaml" ;;
    "replicas lag:--file" | "replicas lag:-f") echo "files" ;;
    "replicas lag:--output" | "replicas lag:-o") echo "words table wide json yaml" ;;
    "replicas add:--file" | "replicas add:-f") echo "files" ;;
    "replicas add:--output" | "replicas add:-o") echo "words table wide json yaml" ;;
    "replicas add:--to") echo "nodes" ;;
    "replicas add:--throttle") echo "none" ;;
    "replicas add:--concurrency") echo "none" ;;
    "replicas remove:--file" | "replicas remove:-f") echo "files" ;;
    "replicas remove:--output" | "replicas remove:-o") echo "words table wide json yaml" ;;
    "replicas remove:--from") echo "nodes" ;;
    "replicas remove:--throttle") echo "none" ;;
    "replicas remove:--concurrency") echo "none" ;;
    "replicas verify:--file" | "replicas verify:-f") echo "files" ;;
    "replicas verify:--output" | "replicas verify:-o") echo "words table wide json yaml" ;;
    "replicas repair:--file" | "replicas repair:-f") echo "files" ;;
    "replicas repair:--output" | "replicas repair:-o") echo "words table wide json yaml" ;;
    "replicas repair:--node") echo "nodes" ;;
    "leader:--file" | "leader:-f") echo "files" ;;
    "leader:--output" | "leader:-o") echo "words table wide json yaml" ;;
    "leader show:--file" | "leader show:-f") echo "files" ;;
    "leader show:--output" | "leader show:-o") echo "words table wide json yaml" ;;
    "leader transfer:--file" | "leader transfer:-f") echo "files" ;;
    "leader transfer:--output" | "leader transfer:-o") echo "words table wide json yaml" ;;
    "leader transfer:--to") echo "nodes" ;;
    "leader balance:--file" | "leader balance:-f") echo "files" ;;
    "leader balance:--output" | "leader balance:-o") echo "words table wide json yaml" ;;
    "leader balance:--concurrency") echo "none" ;;
    "memories:--file" | "memories:-f") echo "files" ;;
    "memories:--output" | "memories:-o") echo "words table wide json yaml" ;;
    "memories add:--file" | "memories add:-f") echo "files" ;;
    "memories add:--output" | "memories add:-o") echo "words table wide json yaml" ;;
    "memories add:--user" | "memories add:-u") echo "none" ;;
    "memories add:--agent") echo "none" ;;
    "memories add:--run") echo "none" ;;
    "memories add:--app") echo "none" ;;
    "memories add:--consistency") echo "words one quorum all" ;;
    "memories add:--metadata") echo "none" ;;
    "memories update:--file" | "memories update:-f") echo "files" ;;
    "memories update:--output" | "memories update:-o") echo "words table wide json yaml" ;;
    "memories update:--consistency") echo "words one quorum all" ;;
    "memories update:--text") echo "none" ;;
    "memories update:--metadata") echo "none" ;;
    "memories update:--if-hash") echo "none" ;;
    "memories delete:--file" | "memories delete:-f") echo "files" ;;
    "memories delete:--output" | "memories delete:-o") echo "words table wide json yaml" ;;
    "memories delete:--user" | "memories delete:-u") echo "none" ;;
    "memories delete:--agent") echo "none" ;;
    "memories delete:--run") echo "none" ;;
    "memories delete:--app") echo "none" ;;
    "memories delete:--consistency") echo "words one quorum all" ;;
    "memories search:--file" | "memories search:-f") echo "files" ;;
    "memories search:--output" | "memories search:-o") echo "words table wide json yaml" ;;
    "memories search:--user" | "memories search:-u") echo "none" ;;
    "memories search:--agent") echo "none" ;;
    "memories search:--run") echo "none" ;;
    "memories search:--app") echo "none" ;;
    "memories search:--consistency") echo "words linearizable stale one quorum all" ;;
    "memories search:--max-staleness") echo "none" ;;
    "memories search:--top-k" | "memories search:-k") echo "none" ;;
    "memories search:--threshold") echo "none" ;;
    "memories search:--filter") echo "none" ;;
    "memories get:--file" | "memories get:-f") echo "files" ;;
    "memories get:--output" | "memories get:-o") echo "words table wide json yaml" ;;
    "memories get:--consistency") echo "words linearizable stale one quorum all" ;;
    "memories get:--max-staleness") echo "none" ;;
    "memories list:--file" | "memories list:-f") echo "files" ;;
    "memories list:--output" | "memories list:-o") echo "words table wide json yaml" ;;
    "memories list:--user" | "memories list:-u") echo "none" ;;
    "memories list:--agent") echo "none" ;;
    "memories list:--run") echo "none" ;;
    "memories list:--app") echo "none" ;;
    "memories list:--consistency") echo "words linearizable stale one quorum all" ;;
    "memories list:--max-staleness") echo "none" ;;
    "memories list:--filter") echo "none" ;;
    "memories list:--page") echo "none" ;;
    "memories list:--page-size") echo "none" ;;
    "memories history:--file" | "memories history:-f") echo "files" ;;
    "memories history:--output" | "memories history:-o") echo "words table wide json yaml" ;;
    "memories history:--consistency") echo "words linearizable stale one quorum all" ;;
    "memories history:--max-staleness") echo "none" ;;
    "memories stats:--file" | "memories stats:-f") echo "files" ;;
    "memories stats:--output" | "memories stats:-o") echo "words table wide json yaml" ;;
    "memories stats:--consistency") echo "words linearizable stale one quorum all" ;;
    "memories stats:--max-staleness") echo "none" ;;
    "memories import:--file" | "memories import:-f") echo "files" ;;
    "memories import:--output" | "memories import:-o") echo "words table wide json yaml" ;;
    "memories import:--consistency") echo "words one quorum all" ;;
    "memories import:--from-line") echo "none" ;;
    "memories export:--file" | "memories export:-f") echo "files" ;;
    "memories export:--output" | "memories export:-o") echo "words table wide json yaml" ;;
    "memories export:--consistency") echo "words linearizable stale one quorum all" ;;
    "memories export:--max-staleness") echo "none" ;;
    "memories export:--out") echo "files" ;;
    "migrate:--file" | "migrate:-f") echo "files" ;;
    "migrate:--output" | "migrate:-o") echo "words table wide json yaml" ;;
    "migrate:--from") echo "files" ;;
    "migrate:--to") echo "files" ;;
    "migrate:--rate") echo "none" ;;
    "serve:--file" | "serve:-f") echo "files" ;;
    "serve:--output" | "serve:-o") echo "words table wide json yaml" ;;
    "serve:--listen") echo "none" ;;
    "serve:--name") echo "none" ;;
    "schema:--file" | "schema:-f") echo "files" ;;
    "schema:--output" | "schema:-o") echo "words table wide json yaml" ;;
    "schema manifest:--file" | "schema manifest:-f") echo "files" ;;
    "schema manifest:--output" | "schema manifest:-o") echo "words table wide json yaml" ;;
    "completion:--file" | "completion:-f") echo "files" ;;
    "completion:--output" | "completion:-o") echo "words table wide json yaml" ;;
    "demo:--file" | "demo:-f") echo "files" ;;
    "demo:--output" | "demo:-o") echo "words table wide json yaml" ;;
    "node:--file" | "node:-f") echo "files" ;;
    "node:--output" | "node:-o") echo "words table wide json yaml" ;;
    "node run:--file" | "node run:-f") echo "files" ;;
    "node run:--output" | "node run:-o") echo "words table wide json yaml" ;;
    "node run:--node") echo "nodes" ;;
    *":--timeout") echo "none" ;;
  esac
}

# What the argument at a position (from 0) is completed with.
__mem0ctl_argument() {
  case "$1:$2" in
    "down":*) echo "nodes" ;;
    "restart":*) echo "nodes" ;;
    "apply:0") echo "files" ;;
    "nodes add:0") echo "nodes" ;;
    "nodes drain:0") echo "nodes" ;;
    "nodes undrain:0") echo "nodes" ;;
    "nodes remove:0") echo "nodes" ;;
    "nodes logs:0") echo "nodes" ;;
    "shards locate:0") echo "none" ;;
    "shards move:0") echo "shards" ;;
    "shards split:0") echo "shards" ;;
    "shards merge:0") echo "shards" ;;
    "shards merge:1") echo "shards" ;;
    "shards pin:0") echo "none" ;;
    "shards pin:1") echo "shards" ;;
    "replicas add:0") echo "shards" ;;
    "replicas remove:0") echo "shards" ;;
    "replicas verify:0") echo "shards" ;;
    "replicas repair:0") echo "shards" ;;
    "leader transfer:0") echo "groups" ;;
    "memories add:0") echo "none" ;;
    "memories update:0") echo "none" ;;
    "memories delete:0") echo "none" ;;
    "memories search:0") echo "none" ;;
    "memories get:0") echo "none" ;;
    "memories history:0") echo "none" ;;
    "memories import:0") echo "files" ;;
    "completion:0") echo "words bash zsh fish powershell" ;;
  esac
}

_mem0ctl() {
  local current path="" word kind flag="" index position=0 ended=""
  # bash cuts words at = and :, so --flag=value is three words.
  local -a line=()
  for ((index = 1; index <= COMP_CWORD; index++)); do
    word=${COMP_WORDS[index]}
    if [[ $word == "=" ]]; then continue; fi
    line+=("$word")
  done
  current=${COMP_WORDS[COMP_CWORD]}
  [[ $current == "=" ]] && { current=""; line+=(""); }
  local last=$((${#line[@]} - 1))

  for ((index = 0; index < last; index++)); do
    word=${line[index]}
    if [[ -n $flag ]]; then
      flag=""
    elif [[ -n $ended ]]; then
      position=$((position + 1))
    elif [[ $word == "--" ]]; then
      ended=1
    elif [[ $word == -* ]]; then
      [[ -n $(__mem0ctl_value "$path" "$word") ]] && flag=$word
    elif [[ " $(__mem0ctl_commands "$path") " == *" $word "* ]]; then
      path="${path:+$path }$word"
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
    "words "*) COMPREPLY=($(compgen -W "${kind#words }" -- "$current")) ;;
    files)
      compopt -o filenames 2>/dev/null
      local IFS=$'\n'
      COMPREPLY=($(compgen -f -- "$current"))
      ;;
    nodes | shards | groups)
      COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" __complete "$kind" "${line[@]}" 2>/dev/null)" -- "$current"))
      ;;
  esac
}

complete -F _mem0ctl mem0ctl
