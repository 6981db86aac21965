# fish completion for mem0ctl. Generated from the command tree; do not edit.
# Load it with: mem0ctl completion fish | source

# The command that the line has got to (empty: none yet), then how many arguments it has been given.
function __mem0ctl_line
    set -l commands 'init' 'init cluster' 'validate' 'up' 'down' 'restart' 'status' 'wait' 'plan' 'apply' 'nodes' 'nodes list' 'nodes add' 'nodes drain' 'nodes undrain' 'nodes remove' 'nodes logs' 'shards' 'shards map' 'shards list' 'shards locate' 'shards rebalance' 'shards move' 'shards split' 'shards merge' 'shards pin' 'replicas' 'replicas lag' 'replicas add' 'replicas remove' 'replicas verify' 'replicas repair' 'leader' 'leader show' 'leader transfer' 'leader balance' 'memories' 'memories add' 'memories update' 'memories delete' 'memories search' 'memories get' 'memories list' 'memories history' 'memories stats' 'memories import' 'memories export' 'migrate' 'serve' 'schema' 'schema manifest' 'completion' 'demo' 'node' 'node run'
    set -l path
    set -l position 0
    set -l skip 0
    set -l tokens (commandline -opc)
    for word in $tokens[2..-1]
        if test $skip = 1
            set skip 0
        else if test "$word" = -f
            # Everywhere the manifest, but in `nodes logs` it follows.
            test "$path" = 'nodes logs'; or set skip 1
        else if contains -- $word --timeout --file --output -o --name --engine --nodes --zones --arbiters --replication --replicas --sharding --shards --key --ranges --consensus --read --write --port --data-dir --from --password-env --ca --cert --key-file --out --fail-on --max-lag --for --throttle --concurrency --address --role --zone --weight --force --lines -n --explain --by --threshold --max-moves --max-bytes --to --slots --at --node --user -u --agent --run --app --consistency --metadata --text --if-hash --max-staleness --top-k -k --filter --page --page-size --from-line --rate --listen
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
complete -c mem0ctl -l timeout -d 'give up after this long, as in 500ms, 30s, 2m' -x
complete -c mem0ctl -l yes -d 'answer yes to every question'
complete -c mem0ctl -l no-input -d 'never ask; fail where an answer is needed'
complete -c mem0ctl -l no-color -d 'plain text (so does NO_COLOR)'
complete -c mem0ctl -s v -l verbose -d 'more detail; stack traces of errors'
complete -c mem0ctl -s h -l help -d 'show this help'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a init -d 'Begin: write the manifest of a new cluster'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a validate -d 'Check the manifest offline; show what it means'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a up -d 'Start the cluster and wait until it is healthy'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a down -d 'Stop the nodes that `up` started; their data stays'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a restart -d 'Restart nodes one at a time, each while the others are healthy'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a status -d 'Show nodes, leaders and replication, and why if not healthy'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a wait -d 'Wait until the cluster is healthy, available or down'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a plan -d 'Compare the manifest with the live cluster: what would change, at what cost'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a apply -d 'Make the cluster as the manifest says, or carry out a saved plan'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a nodes -d 'List nodes, read their logs; let them join and leave'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a shards -d 'Show the shard map; find a key; move, split and merge shards'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a replicas -d 'Show, add, remove, compare and repair replicas'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a leader -d 'Show, transfer and balance leadership'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a memories -d 'Add, find, change, import and export memories'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a migrate -d 'Copy every memory to another cluster, and prove that it is there'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a serve -d 'Serve mem0\'s HTTP API for a redis cluster until SIGTERM or Ctrl-C'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a schema -d 'Print the schemas of what mem0ctl reads'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a completion -d 'Print the completion script of a shell'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a demo -d 'Show a cluster lose its leader and no memory, in under a minute'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -a node -d 'Run a node in the foreground'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'\'' -s V -l version -d 'show the version'
complete -c mem0ctl -n '__mem0ctl_at \'init\'' -a cluster -d 'Write a manifest; asks on a terminal, never otherwise'
complete -c mem0ctl -n '__mem0ctl_at \'init\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'init\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l name -d 'the cluster\'s name (default: the directory\'s)' -x
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l engine -d 'what keeps the data' -x -a 'embedded redis'
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l nodes -d 'nodes that hold data (default: 3; redis: 6)' -x
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l zones -d 'failure domains to spread them over (default: one each)' -x
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l arbiters -d 'nodes that vote and hold no data (default: 0)' -x
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l replication -d 'copies of each shard besides the leader\'s: none, one, or more' -x -a 'none single multiple'
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l replicas -d 'how many copies besides the leader\'s (default: 2; redis: 1)' -x
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l sharding -d 'how keys find their shard (default: hash)' -x -a 'hash range directory'
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l shards -d 'how many shards (default: 16; redis: as many as the nodes make)' -x
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l key -d 'whose id is the shard key (default: user)' -x -a 'user agent run app'
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l ranges -d 'range sharding: split points, as in g,n,t' -x
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l consensus -d 'how replicas agree (embedded; default: raft)' -x -a 'raft paxos quorum'
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l read -d 'consistency of reads (default: linearizable; quorum: quorum)' -x -a 'linearizable stale one quorum all'
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l write -d 'quorum: copies that have a write before it is done' -x -a 'one quorum all'
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l port -d 'first port; each node takes the next (default: 7001)' -x
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l data-dir -d 'where nodes keep data (default: .mem0ctl/NAME)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l from -d 'write it for a cluster that runs: redis://HOST:PORT, or rediss:// with TLS' -x
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l password-env -d 'with --from: the environment variable that holds the password' -x
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l ca -d 'with --from rediss://: the authority\'s certificate' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l cert -d 'with --from rediss://: this client\'s certificate' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l key-file -d 'with --from rediss://: the key of that certificate' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l out -d 'write here (the same as -f)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'init cluster\'' -l force -d 'replace the file if it exists'
complete -c mem0ctl -n '__mem0ctl_at \'validate\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'validate\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml github'
complete -c mem0ctl -n '__mem0ctl_at \'up\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'up\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'down\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'down\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_argument \'down\' 0 1000000' -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_at \'restart\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'restart\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_argument \'restart\' 0 1000000' -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_at \'status\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'status\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'status\'' -s w -l watch -d 'look again every second until Ctrl-C'
complete -c mem0ctl -n '__mem0ctl_at \'status\'' -l fail-on -d 'exit 3 when degraded, or only 4 when unavailable' -x -a 'degraded unavailable'
complete -c mem0ctl -n '__mem0ctl_at \'status\'' -l max-lag -d 'lag above which it is degraded (default: limits.maxLag)' -x
complete -c mem0ctl -n '__mem0ctl_at \'wait\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'wait\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'wait\'' -l for -d 'what to wait for' -x -a 'healthy available down'
complete -c mem0ctl -n '__mem0ctl_at \'wait\'' -l max-lag -d 'lag above which it is not healthy (default: limits.maxLag)' -x
complete -c mem0ctl -n '__mem0ctl_at \'plan\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'plan\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'plan\'' -l out -d 'save the plan, too, for `mem0ctl apply`' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'plan\'' -l detailed-exitcode -d 'end with 10 when something is different'
complete -c mem0ctl -n '__mem0ctl_at \'apply\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'apply\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'apply\'' -l throttle -d 'most that each node sends in a second, as in 20MiB or 20MiB/s' -x
complete -c mem0ctl -n '__mem0ctl_at \'apply\'' -l concurrency -d 'steps at a time' -x
complete -c mem0ctl -n '__mem0ctl_at \'apply\'' -l no-wait -d 'do not wait for the end; the cluster goes on by itself'
complete -c mem0ctl -n '__mem0ctl_argument \'apply\' 0 0' -F
complete -c mem0ctl -n '__mem0ctl_at \'nodes\'' -a list -d 'List every node, answering or not'
complete -c mem0ctl -n '__mem0ctl_at \'nodes\'' -a add -d 'Let a node join: manifest, process, cluster'
complete -c mem0ctl -n '__mem0ctl_at \'nodes\'' -a drain -d 'Move everything off a node; it stays a member'
complete -c mem0ctl -n '__mem0ctl_at \'nodes\'' -a undrain -d 'Let a drained node have replicas again'
complete -c mem0ctl -n '__mem0ctl_at \'nodes\'' -a remove -d 'Move everything off a node and take it out of the cluster'
complete -c mem0ctl -n '__mem0ctl_at \'nodes\'' -a logs -d 'Show the log of a node that this machine spawned'
complete -c mem0ctl -n '__mem0ctl_at \'nodes\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'nodes\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'nodes list\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'nodes list\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'nodes add\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'nodes add\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'nodes add\'' -l address -d 'host:port, or [v6]:port' -x
complete -c mem0ctl -n '__mem0ctl_at \'nodes add\'' -l role -d 'what it may do' -x -a 'primary secondary arbiter'
complete -c mem0ctl -n '__mem0ctl_at \'nodes add\'' -l zone -d 'its failure domain (default: the node\'s id)' -x
complete -c mem0ctl -n '__mem0ctl_at \'nodes add\'' -l weight -d 'its share, relative to the others' -x
complete -c mem0ctl -n '__mem0ctl_argument \'nodes add\' 0 0' -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_at \'nodes drain\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'nodes drain\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'nodes drain\'' -l throttle -d 'most that each node sends in a second, as in 20MiB or 20MiB/s' -x
complete -c mem0ctl -n '__mem0ctl_at \'nodes drain\'' -l concurrency -d 'steps at a time' -x
complete -c mem0ctl -n '__mem0ctl_at \'nodes drain\'' -l no-wait -d 'do not wait for the end; the cluster goes on by itself'
complete -c mem0ctl -n '__mem0ctl_argument \'nodes drain\' 0 0' -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_at \'nodes undrain\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'nodes undrain\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_argument \'nodes undrain\' 0 0' -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_at \'nodes remove\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'nodes remove\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'nodes remove\'' -l force -d 'its name once more: give up copies that no other node can take' -x -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_at \'nodes remove\'' -l throttle -d 'most that each node sends in a second, as in 20MiB or 20MiB/s' -x
complete -c mem0ctl -n '__mem0ctl_at \'nodes remove\'' -l concurrency -d 'steps at a time' -x
complete -c mem0ctl -n '__mem0ctl_at \'nodes remove\'' -l no-wait -d 'do not wait for the end; the cluster goes on by itself'
complete -c mem0ctl -n '__mem0ctl_argument \'nodes remove\' 0 0' -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_at \'nodes logs\'' -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'nodes logs\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'nodes logs\'' -s f -l follow -d 'go on as lines are written, until Ctrl-C'
complete -c mem0ctl -n '__mem0ctl_at \'nodes logs\'' -s n -l lines -d 'how many of the last lines' -x
complete -c mem0ctl -n '__mem0ctl_argument \'nodes logs\' 0 0' -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_at \'shards\'' -a map -d 'Draw nodes by shards: who leads, who follows'
complete -c mem0ctl -n '__mem0ctl_at \'shards\'' -a list -d 'List every shard with its range, leader and replicas'
complete -c mem0ctl -n '__mem0ctl_at \'shards\'' -a locate -d 'Say which shard a key belongs to, and who holds it'
complete -c mem0ctl -n '__mem0ctl_at \'shards\'' -a rebalance -d 'Make what nodes hold even, with as few moves as that takes'
complete -c mem0ctl -n '__mem0ctl_at \'shards\'' -a move -d 'Move one replica of a shard, or some of its slots, while clients write'
complete -c mem0ctl -n '__mem0ctl_at \'shards\'' -a split -d 'Cut a shard in two, while clients write'
complete -c mem0ctl -n '__mem0ctl_at \'shards\'' -a merge -d 'Make one shard part of another, while clients write'
complete -c mem0ctl -n '__mem0ctl_at \'shards\'' -a pin -d 'Bring a key and its memories to a shard, while clients write'
complete -c mem0ctl -n '__mem0ctl_at \'shards\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'shards\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'shards map\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'shards map\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'shards list\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'shards list\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'shards locate\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'shards locate\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l dry-run -d 'only show the plan'
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l out -d 'only save the plan, for `mem0ctl apply`' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l explain -d 'only say why a shard moves or stays' -x -k -a '(__mem0ctl_ids shards)'
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l by -d 'what is made even' -x -a 'shards bytes memories load'
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l threshold -d 'how far a node may be from its share (default: 0% by shards, 10% by load, else 2%)' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l max-moves -d 'take only so many moves' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l max-bytes -d 'move only so much, as in 500MiB' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l throttle -d 'most that each node sends in a second, as in 20MiB or 20MiB/s' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l concurrency -d 'steps at a time' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l no-wait -d 'do not wait for the end; the cluster goes on by itself'
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l status -d 'show the operation that runs, or ran last'
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l watch -d 'follow the operation that runs to its end'
complete -c mem0ctl -n '__mem0ctl_at \'shards rebalance\'' -l cancel -d 'end it: what has not begun never does'
complete -c mem0ctl -n '__mem0ctl_at \'shards move\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'shards move\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'shards move\'' -l from -d 'the node that gives its replica away' -x -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_at \'shards move\'' -l to -d 'the node that gets it, or the slots' -x -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_at \'shards move\'' -l slots -d 'slots only: how many, or which, as in 0-99 or 5-5,7-9' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards move\'' -l throttle -d 'most that each node sends in a second, as in 20MiB or 20MiB/s' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards move\'' -l concurrency -d 'steps at a time' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards move\'' -l no-wait -d 'do not wait for the end; the cluster goes on by itself'
complete -c mem0ctl -n '__mem0ctl_argument \'shards move\' 0 0' -k -a '(__mem0ctl_ids shards)'
complete -c mem0ctl -n '__mem0ctl_at \'shards split\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'shards split\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'shards split\'' -l at -d 'first key of the new shard, or its first slot (default: the median of its keys; half of its slots)' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards split\'' -l dry-run -d 'only show what it would do'
complete -c mem0ctl -n '__mem0ctl_at \'shards split\'' -l explain -d 'only say why there, and what clients see of it'
complete -c mem0ctl -n '__mem0ctl_at \'shards split\'' -l throttle -d 'most that each node sends in a second, as in 20MiB or 20MiB/s' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards split\'' -l concurrency -d 'steps at a time' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards split\'' -l no-wait -d 'do not wait for the end; the cluster goes on by itself'
complete -c mem0ctl -n '__mem0ctl_argument \'shards split\' 0 0' -k -a '(__mem0ctl_ids shards)'
complete -c mem0ctl -n '__mem0ctl_at \'shards merge\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'shards merge\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'shards merge\'' -l dry-run -d 'only show what it would do'
complete -c mem0ctl -n '__mem0ctl_at \'shards merge\'' -l explain -d 'only say why there, and what clients see of it'
complete -c mem0ctl -n '__mem0ctl_at \'shards merge\'' -l throttle -d 'most that each node sends in a second, as in 20MiB or 20MiB/s' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards merge\'' -l concurrency -d 'steps at a time' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards merge\'' -l no-wait -d 'do not wait for the end; the cluster goes on by itself'
complete -c mem0ctl -n '__mem0ctl_argument \'shards merge\' 0 0' -k -a '(__mem0ctl_ids shards)'
complete -c mem0ctl -n '__mem0ctl_argument \'shards merge\' 1 1' -k -a '(__mem0ctl_ids shards)'
complete -c mem0ctl -n '__mem0ctl_at \'shards pin\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'shards pin\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'shards pin\'' -l unpin -d 'let it go by its hash again'
complete -c mem0ctl -n '__mem0ctl_at \'shards pin\'' -l dry-run -d 'only show what it would do'
complete -c mem0ctl -n '__mem0ctl_at \'shards pin\'' -l explain -d 'only say why there, and what clients see of it'
complete -c mem0ctl -n '__mem0ctl_at \'shards pin\'' -l throttle -d 'most that each node sends in a second, as in 20MiB or 20MiB/s' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards pin\'' -l concurrency -d 'steps at a time' -x
complete -c mem0ctl -n '__mem0ctl_at \'shards pin\'' -l no-wait -d 'do not wait for the end; the cluster goes on by itself'
complete -c mem0ctl -n '__mem0ctl_argument \'shards pin\' 1 1' -k -a '(__mem0ctl_ids shards)'
complete -c mem0ctl -n '__mem0ctl_at \'replicas\'' -a lag -d 'Show how far every replica is behind its leader'
complete -c mem0ctl -n '__mem0ctl_at \'replicas\'' -a add -d 'Give a shard one more replica, on a node that has none'
complete -c mem0ctl -n '__mem0ctl_at \'replicas\'' -a remove -d 'Take one replica of a shard away; the others stay'
complete -c mem0ctl -n '__mem0ctl_at \'replicas\'' -a verify -d 'Compare what the replicas hold: texts, vectors, metadata'
complete -c mem0ctl -n '__mem0ctl_at \'replicas\'' -a repair -d 'Make a replica anew from another one'
complete -c mem0ctl -n '__mem0ctl_at \'replicas\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'replicas\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'replicas lag\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'replicas lag\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'replicas add\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'replicas add\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'replicas add\'' -l to -d 'the node that gets it' -x -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_at \'replicas add\'' -l throttle -d 'most that each node sends in a second, as in 20MiB or 20MiB/s' -x
complete -c mem0ctl -n '__mem0ctl_at \'replicas add\'' -l concurrency -d 'steps at a time' -x
complete -c mem0ctl -n '__mem0ctl_at \'replicas add\'' -l no-wait -d 'do not wait for the end; the cluster goes on by itself'
complete -c mem0ctl -n '__mem0ctl_argument \'replicas add\' 0 0' -k -a '(__mem0ctl_ids shards)'
complete -c mem0ctl -n '__mem0ctl_at \'replicas remove\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'replicas remove\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'replicas remove\'' -l from -d 'the node that holds it' -x -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_at \'replicas remove\'' -l throttle -d 'most that each node sends in a second, as in 20MiB or 20MiB/s' -x
complete -c mem0ctl -n '__mem0ctl_at \'replicas remove\'' -l concurrency -d 'steps at a time' -x
complete -c mem0ctl -n '__mem0ctl_at \'replicas remove\'' -l no-wait -d 'do not wait for the end; the cluster goes on by itself'
complete -c mem0ctl -n '__mem0ctl_argument \'replicas remove\' 0 0' -k -a '(__mem0ctl_ids shards)'
complete -c mem0ctl -n '__mem0ctl_at \'replicas verify\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'replicas verify\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_argument \'replicas verify\' 0 0' -k -a '(__mem0ctl_ids shards)'
complete -c mem0ctl -n '__mem0ctl_at \'replicas repair\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'replicas repair\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'replicas repair\'' -l node -d 'whose replica' -x -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_argument \'replicas repair\' 0 0' -k -a '(__mem0ctl_ids shards)'
complete -c mem0ctl -n '__mem0ctl_at \'leader\'' -a show -d 'Show the cluster leader and every shard\'s leader'
complete -c mem0ctl -n '__mem0ctl_at \'leader\'' -a transfer -d 'Hand leadership of a shard, or of the cluster, to another node'
complete -c mem0ctl -n '__mem0ctl_at \'leader\'' -a balance -d 'Share leadership out by weight; no copy moves'
complete -c mem0ctl -n '__mem0ctl_at \'leader\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'leader\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'leader show\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'leader show\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'leader transfer\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'leader transfer\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'leader transfer\'' -l to -d 'the new leader (default: the best caught-up replica)' -x -k -a '(__mem0ctl_ids nodes)'
complete -c mem0ctl -n '__mem0ctl_argument \'leader transfer\' 0 0' -k -a '(__mem0ctl_ids groups)'
complete -c mem0ctl -n '__mem0ctl_at \'leader balance\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'leader balance\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'leader balance\'' -l dry-run -d 'only show what would change'
complete -c mem0ctl -n '__mem0ctl_at \'leader balance\'' -l concurrency -d 'steps at a time' -x
complete -c mem0ctl -n '__mem0ctl_at \'leader balance\'' -l no-wait -d 'do not wait for the end; the cluster goes on by itself'
complete -c mem0ctl -n '__mem0ctl_at \'memories\'' -a add -d 'Store a text as a memory, as it is given'
complete -c mem0ctl -n '__mem0ctl_at \'memories\'' -a update -d 'Change the text or the metadata of a memory'
complete -c mem0ctl -n '__mem0ctl_at \'memories\'' -a delete -d 'Delete a memory, or all of a user, agent, run or app'
complete -c mem0ctl -n '__mem0ctl_at \'memories\'' -a search -d 'Find the memories that are closest to a text'
complete -c mem0ctl -n '__mem0ctl_at \'memories\'' -a get -d 'Show one memory'
complete -c mem0ctl -n '__mem0ctl_at \'memories\'' -a list -d 'List memories, newest first, page by page'
complete -c mem0ctl -n '__mem0ctl_at \'memories\'' -a history -d 'Show how a memory came to be what it is'
complete -c mem0ctl -n '__mem0ctl_at \'memories\'' -a stats -d 'Count memories, bytes, users, agents, runs and apps'
complete -c mem0ctl -n '__mem0ctl_at \'memories\'' -a import -d 'Import memories from JSON Lines'
complete -c mem0ctl -n '__mem0ctl_at \'memories\'' -a export -d 'Export every memory as JSON Lines'
complete -c mem0ctl -n '__mem0ctl_at \'memories\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'memories\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'memories add\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'memories add\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'memories add\'' -s u -l user -d 'memories of this user' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories add\'' -l agent -d 'memories of this agent' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories add\'' -l run -d 'memories of this run' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories add\'' -l app -d 'memories of this app' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories add\'' -l consistency -d 'quorum protocol, redis: one, quorum, all or a number of copies that have it before it is done' -x -a 'one quorum all'
complete -c mem0ctl -n '__mem0ctl_at \'memories add\'' -l metadata -d 'a JSON object kept with it: {"topic":"food"}' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories update\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'memories update\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'memories update\'' -l consistency -d 'quorum protocol, redis: one, quorum, all or a number of copies that have it before it is done' -x -a 'one quorum all'
complete -c mem0ctl -n '__mem0ctl_at \'memories update\'' -l text -d 'its new text; the old one stays in its history' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories update\'' -l metadata -d 'its new metadata, a JSON object' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories update\'' -l if-hash -d 'only while its text has this hash (see get); else exit 6' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories delete\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'memories delete\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'memories delete\'' -s u -l user -d 'memories of this user' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories delete\'' -l agent -d 'memories of this agent' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories delete\'' -l run -d 'memories of this run' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories delete\'' -l app -d 'memories of this app' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories delete\'' -l consistency -d 'quorum protocol, redis: one, quorum, all or a number of copies that have it before it is done' -x -a 'one quorum all'
complete -c mem0ctl -n '__mem0ctl_at \'memories delete\'' -l all -d 'all memories of the scope that --user, --agent, --run and --app give'
complete -c mem0ctl -n '__mem0ctl_at \'memories search\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'memories search\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'memories search\'' -s u -l user -d 'memories of this user' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories search\'' -l agent -d 'memories of this agent' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories search\'' -l run -d 'memories of this run' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories search\'' -l app -d 'memories of this app' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories search\'' -l consistency -d 'raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies; redis: one or stale' -x -a 'linearizable stale one quorum all'
complete -c mem0ctl -n '__mem0ctl_at \'memories search\'' -l max-staleness -d 'how old a stale read may be, as in 500ms, 2s' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories search\'' -s k -l top-k -d 'how many at most' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories search\'' -l threshold -d 'only those at least this similar, -1 to 1' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories search\'' -l filter -d 'mem0\'s filter language as JSON: {"metadata":{"topic":"food"}}' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories get\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'memories get\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'memories get\'' -l consistency -d 'raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies; redis: one or stale' -x -a 'linearizable stale one quorum all'
complete -c mem0ctl -n '__mem0ctl_at \'memories get\'' -l max-staleness -d 'how old a stale read may be, as in 500ms, 2s' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories list\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'memories list\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'memories list\'' -s u -l user -d 'memories of this user' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories list\'' -l agent -d 'memories of this agent' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories list\'' -l run -d 'memories of this run' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories list\'' -l app -d 'memories of this app' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories list\'' -l consistency -d 'raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies; redis: one or stale' -x -a 'linearizable stale one quorum all'
complete -c mem0ctl -n '__mem0ctl_at \'memories list\'' -l max-staleness -d 'how old a stale read may be, as in 500ms, 2s' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories list\'' -l filter -d 'mem0\'s filter language as JSON: {"metadata":{"topic":"food"}}' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories list\'' -l page -d 'which page' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories list\'' -l page-size -d 'how many on a page' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories history\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'memories history\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'memories history\'' -l consistency -d 'raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies; redis: one or stale' -x -a 'linearizable stale one quorum all'
complete -c mem0ctl -n '__mem0ctl_at \'memories history\'' -l max-staleness -d 'how old a stale read may be, as in 500ms, 2s' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories stats\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'memories stats\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'memories stats\'' -l consistency -d 'raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies; redis: one or stale' -x -a 'linearizable stale one quorum all'
complete -c mem0ctl -n '__mem0ctl_at \'memories stats\'' -l max-staleness -d 'how old a stale read may be, as in 500ms, 2s' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories import\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'memories import\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'memories import\'' -l consistency -d 'quorum protocol, redis: one, quorum, all or a number of copies that have it before it is done' -x -a 'one quorum all'
complete -c mem0ctl -n '__mem0ctl_at \'memories import\'' -l from-line -d 'begin at this line, to go on after a stop' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories import\'' -l skip-invalid -d 'leave out lines that cannot be imported, and say which'
complete -c mem0ctl -n '__mem0ctl_argument \'memories import\' 0 0' -F
complete -c mem0ctl -n '__mem0ctl_at \'memories export\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'memories export\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'memories export\'' -l consistency -d 'raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies; redis: one or stale' -x -a 'linearizable stale one quorum all'
complete -c mem0ctl -n '__mem0ctl_at \'memories export\'' -l max-staleness -d 'how old a stale read may be, as in 500ms, 2s' -x
complete -c mem0ctl -n '__mem0ctl_at \'memories export\'' -l out -d 'write to this file, readable by you alone (default, and -: standard output)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'memories export\'' -l force -d 'replace the file if it exists'
complete -c mem0ctl -n '__mem0ctl_at \'migrate\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'migrate\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'migrate\'' -l from -d 'manifest of the cluster that has the memories' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'migrate\'' -l to -d 'manifest of the cluster that is to have them' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'migrate\'' -l rate -d 'copy at most this many memories per second' -x
complete -c mem0ctl -n '__mem0ctl_at \'serve\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'serve\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'serve\'' -l listen -d 'where it takes requests' -x
complete -c mem0ctl -n '__mem0ctl_at \'serve\'' -l name -d 'stands for {node} in the manifest\'s TLS paths' -x
complete -c mem0ctl -n '__mem0ctl_at \'schema\'' -a manifest -d 'Print the JSON Schema of the manifest'
complete -c mem0ctl -n '__mem0ctl_at \'schema\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'schema\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'schema manifest\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'schema manifest\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'completion\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'completion\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_argument \'completion\' 0 0' -a 'bash zsh fish powershell'
complete -c mem0ctl -n '__mem0ctl_at \'demo\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'demo\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'demo\'' -l keep -d 'leave the cluster running at the end, and say where'
complete -c mem0ctl -n '__mem0ctl_at \'node\'' -a run -d 'Run one node here until SIGTERM or Ctrl-C'
complete -c mem0ctl -n '__mem0ctl_at \'node\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'node\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'node run\'' -s f -l file -d 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)' -r -F
complete -c mem0ctl -n '__mem0ctl_at \'node run\'' -s o -l output -d 'how results are printed' -x -a 'table wide json yaml'
complete -c mem0ctl -n '__mem0ctl_at \'node run\'' -l node -d 'which node of the manifest' -x -k -a '(__mem0ctl_ids nodes)'
