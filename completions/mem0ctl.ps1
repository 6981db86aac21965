# PowerShell completion for mem0ctl. Generated from the command tree; do not edit.
# Load it with: mem0ctl completion powershell | Out-String | Invoke-Expression

Register-ArgumentCompleter -Native -CommandName mem0ctl -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    # Below a path of commands: name, summary.
    $commands = @{
        '' = @(
            , @('init', 'Begin: write the manifest of a new cluster')
            , @('validate', 'Check the manifest offline; show what it means')
            , @('up', 'Start the cluster and wait until it is healthy')
            , @('down', 'Stop the nodes that `up` started; their data stays')
            , @('restart', 'Restart nodes one at a time, keeping every shard''s quorum')
            , @('status', 'Show nodes, leaders and replication, and why if not healthy')
            , @('wait', 'Wait until the cluster is healthy, available or down')
            , @('nodes', 'List nodes, read their logs; let them join and leave')
            , @('shards', 'Show the shard map; find a key; move shards')
            , @('replicas', 'Show, add, remove, compare and repair replicas')
            , @('leader', 'Show and transfer leadership')
            , @('memories', 'Add, find, change, import and export memories')
            , @('migrate', 'Copy every memory to another cluster, and prove that it is there')
            , @('schema', 'Print the schemas of what mem0ctl reads')
            , @('completion', 'Print the completion script of a shell')
            , @('demo', 'Show a cluster lose its leader and no memory, in under a minute')
            , @('node', 'Run a node in the foreground')
        )
        'init' = @(
            , @('cluster', 'Write a manifest; asks on a terminal, never otherwise')
        )
        'nodes' = @(
            , @('list', 'List every node, answering or not')
            , @('add', 'Let a node join: manifest, process, cluster')
            , @('drain', 'Move everything off a node; it stays a member')
            , @('undrain', 'Let a drained node have replicas again')
            , @('remove', 'Move everything off a node and take it out of the cluster')
            , @('logs', 'Show the log of a node that this machine spawned')
        )
        'shards' = @(
            , @('map', 'Draw nodes by shards: who leads, who follows')
            , @('list', 'List every shard with its range, leader and replicas')
            , @('locate', 'Say which shard a key belongs to, and who holds it')
            , @('rebalance', 'Watch or end the operation that the cluster carries out')
            , @('move', 'Move one replica of a shard to another node, while clients write')
        )
        'replicas' = @(
            , @('lag', 'Show how far every replica is behind its leader')
            , @('add', 'Give a shard one more replica, on a node that has none')
            , @('remove', 'Take one replica of a shard away; the others stay')
            , @('verify', 'Compare what the replicas hold: texts, vectors, metadata')
            , @('repair', 'Make a replica anew from another one')
        )
        'leader' = @(
            , @('show', 'Show the cluster leader and every shard''s leader')
            , @('transfer', 'Hand leadership of a shard, or of the cluster, to another node')
        )
        'memories' = @(
            , @('add', 'Store a text as a memory, as it is given')
            , @('update', 'Change the text or the metadata of a memory')
            , @('delete', 'Delete a memory, or all of a user, agent, run or app')
            , @('search', 'Find the memories that are closest to a text')
            , @('get', 'Show one memory')
            , @('list', 'List memories, newest first, page by page')
            , @('history', 'Show how a memory came to be what it is')
            , @('stats', 'Count memories, bytes, users, agents, runs and apps')
            , @('import', 'Import memories from JSON Lines')
            , @('export', 'Export every memory as JSON Lines')
        )
        'schema' = @(
            , @('manifest', 'Print the JSON Schema of the manifest')
        )
        'node' = @(
            , @('run', 'Run one node here until SIGTERM or Ctrl-C')
        )
    }
    # Of a command: flag, summary, what its value is completed with (empty: it takes none).
    # Case matters (-v and -V), so flags are rows and not keys.
    $flags = @{
        '' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--version', 'show the version', '')
            , @('-V', 'show the version', '')
        )
        'init' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'init cluster' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--name', 'the cluster''s name (default: the directory''s)', 'none')
            , @('--engine', 'what keeps the data', 'words embedded redis')
            , @('--nodes', 'nodes that hold data (default: 3; redis: 6)', 'none')
            , @('--zones', 'failure domains to spread them over (default: one each)', 'none')
            , @('--arbiters', 'nodes that vote and hold no data (default: 0)', 'none')
            , @('--replication', 'copies of each shard besides the leader''s: none, one, or more', 'words none single multiple')
            , @('--replicas', 'how many copies besides the leader''s (default: 2; redis: 1)', 'none')
            , @('--sharding', 'how keys find their shard (default: hash)', 'words hash range directory')
            , @('--shards', 'how many shards (default: 16; redis: as many as the nodes make)', 'none')
            , @('--key', 'whose id is the shard key (default: user)', 'words user agent run app')
            , @('--ranges', 'range sharding: split points, as in g,n,t', 'none')
            , @('--consensus', 'how replicas agree (embedded; default: raft)', 'words raft paxos quorum')
            , @('--read', 'consistency of reads (default: linearizable; quorum: quorum)', 'words linearizable stale one quorum all')
            , @('--write', 'quorum: copies that have a write before it is done', 'words one quorum all')
            , @('--port', 'first port; each node takes the next (default: 7001)', 'none')
            , @('--data-dir', 'where nodes keep data (default: .mem0ctl/NAME)', 'files')
            , @('--from', 'write it for a cluster that runs: redis://HOST:PORT, or rediss:// with TLS', 'none')
            , @('--password-env', 'with --from: the environment variable that holds the password', 'none')
            , @('--ca', 'with --from rediss://: the authority''s certificate', 'files')
            , @('--cert', 'with --from rediss://: this client''s certificate', 'files')
            , @('--key-file', 'with --from rediss://: the key of that certificate', 'files')
            , @('--out', 'write here (the same as -f)', 'files')
            , @('--force', 'replace the file if it exists', '')
        )
        'validate' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml github')
            , @('-o', 'how results are printed', 'words table wide json yaml github')
        )
        'up' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'down' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'restart' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'status' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--watch', 'look again every second until Ctrl-C', '')
            , @('-w', 'look again every second until Ctrl-C', '')
            , @('--fail-on', 'exit 3 when degraded, or only 4 when unavailable', 'words degraded unavailable')
            , @('--max-lag', 'lag above which it is degraded (default: limits.maxLag)', 'none')
        )
        'wait' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--for', 'what to wait for', 'words healthy available down')
            , @('--max-lag', 'lag above which it is not healthy (default: limits.maxLag)', 'none')
        )
        'nodes' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'nodes list' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'nodes add' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--address', 'host:port, or [v6]:port', 'none')
            , @('--role', 'what it may do', 'words primary secondary arbiter')
            , @('--zone', 'its failure domain (default: the node''s id)', 'none')
            , @('--weight', 'its share, relative to the others', 'none')
        )
        'nodes drain' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--throttle', 'most that each node sends in a second, as in 20MiB or 20MiB/s', 'none')
            , @('--concurrency', 'steps at a time', 'none')
            , @('--no-wait', 'do not wait for the end; the cluster goes on by itself', '')
        )
        'nodes undrain' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'nodes remove' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--force', 'its name once more: give up copies that no other node can take', 'nodes')
            , @('--throttle', 'most that each node sends in a second, as in 20MiB or 20MiB/s', 'none')
            , @('--concurrency', 'steps at a time', 'none')
            , @('--no-wait', 'do not wait for the end; the cluster goes on by itself', '')
        )
        'nodes logs' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--follow', 'go on as lines are written, until Ctrl-C', '')
            , @('-f', 'go on as lines are written, until Ctrl-C', '')
            , @('--lines', 'how many of the last lines', 'none')
            , @('-n', 'how many of the last lines', 'none')
        )
        'shards' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'shards map' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'shards list' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'shards locate' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'shards rebalance' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--status', 'show the operation that runs, or ran last', '')
            , @('--watch', 'follow the operation that runs to its end', '')
            , @('--cancel', 'end it: what has not begun never does', '')
        )
        'shards move' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--from', 'the node that gives it away', 'nodes')
            , @('--to', 'the node that gets it', 'nodes')
            , @('--throttle', 'most that each node sends in a second, as in 20MiB or 20MiB/s', 'none')
            , @('--concurrency', 'steps at a time', 'none')
            , @('--no-wait', 'do not wait for the end; the cluster goes on by itself', '')
        )
        'replicas' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'replicas lag' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'replicas add' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--to', 'the node that gets it', 'nodes')
            , @('--throttle', 'most that each node sends in a second, as in 20MiB or 20MiB/s', 'none')
            , @('--concurrency', 'steps at a time', 'none')
            , @('--no-wait', 'do not wait for the end; the cluster goes on by itself', '')
        )
        'replicas remove' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--from', 'the node that holds it', 'nodes')
            , @('--throttle', 'most that each node sends in a second, as in 20MiB or 20MiB/s', 'none')
            , @('--concurrency', 'steps at a time', 'none')
            , @('--no-wait', 'do not wait for the end; the cluster goes on by itself', '')
        )
        'replicas verify' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'replicas repair' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--node', 'whose replica', 'nodes')
        )
        'leader' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'leader show' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'leader transfer' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--to', 'the new leader (default: the best caught-up replica)', 'nodes')
        )
        'memories' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'memories add' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--user', 'memories of this user', 'none')
            , @('-u', 'memories of this user', 'none')
            , @('--agent', 'memories of this agent', 'none')
            , @('--run', 'memories of this run', 'none')
            , @('--app', 'memories of this app', 'none')
            , @('--consistency', 'quorum protocol: one, quorum, all or a number of copies that have it before it is done', 'words one quorum all')
            , @('--metadata', 'a JSON object kept with it: {"topic":"food"}', 'none')
        )
        'memories update' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--consistency', 'quorum protocol: one, quorum, all or a number of copies that have it before it is done', 'words one quorum all')
            , @('--text', 'its new text; the old one stays in its history', 'none')
            , @('--metadata', 'its new metadata, a JSON object', 'none')
            , @('--if-hash', 'only while its text has this hash (see get); else exit 6', 'none')
        )
        'memories delete' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--user', 'memories of this user', 'none')
            , @('-u', 'memories of this user', 'none')
            , @('--agent', 'memories of this agent', 'none')
            , @('--run', 'memories of this run', 'none')
            , @('--app', 'memories of this app', 'none')
            , @('--consistency', 'quorum protocol: one, quorum, all or a number of copies that have it before it is done', 'words one quorum all')
            , @('--all', 'all memories of the scope that --user, --agent, --run and --app give', '')
        )
        'memories search' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--user', 'memories of this user', 'none')
            , @('-u', 'memories of this user', 'none')
            , @('--agent', 'memories of this agent', 'none')
            , @('--run', 'memories of this run', 'none')
            , @('--app', 'memories of this app', 'none')
            , @('--consistency', 'raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies', 'words linearizable stale one quorum all')
            , @('--max-staleness', 'how old a stale read may be, as in 500ms, 2s', 'none')
            , @('--top-k', 'how many at most', 'none')
            , @('-k', 'how many at most', 'none')
            , @('--threshold', 'only those at least this similar, -1 to 1', 'none')
            , @('--filter', 'mem0''s filter language as JSON: {"metadata":{"topic":"food"}}', 'none')
        )
        'memories get' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--consistency', 'raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies', 'words linearizable stale one quorum all')
            , @('--max-staleness', 'how old a stale read may be, as in 500ms, 2s', 'none')
        )
        'memories list' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--user', 'memories of this user', 'none')
            , @('-u', 'memories of this user', 'none')
            , @('--agent', 'memories of this agent', 'none')
            , @('--run', 'memories of this run', 'none')
            , @('--app', 'memories of this app', 'none')
            , @('--consistency', 'raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies', 'words linearizable stale one quorum all')
            , @('--max-staleness', 'how old a stale read may be, as in 500ms, 2s', 'none')
            , @('--filter', 'mem0''s filter language as JSON: {"metadata":{"topic":"food"}}', 'none')
            , @('--page', 'which page', 'none')
            , @('--page-size', 'how many on a page', 'none')
        )
        'memories history' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--consistency', 'raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies', 'words linearizable stale one quorum all')
            , @('--max-staleness', 'how old a stale read may be, as in 500ms, 2s', 'none')
        )
        'memories stats' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--consistency', 'raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies', 'words linearizable stale one quorum all')
            , @('--max-staleness', 'how old a stale read may be, as in 500ms, 2s', 'none')
        )
        'memories import' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--consistency', 'quorum protocol: one, quorum, all or a number of copies that have it before it is done', 'words one quorum all')
            , @('--from-line', 'begin at this line, to go on after a stop', 'none')
            , @('--skip-invalid', 'leave out lines that cannot be imported, and say which', '')
        )
        'memories export' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--consistency', 'raft, paxos: linearizable or stale; quorum: one, quorum, all or a number of copies', 'words linearizable stale one quorum all')
            , @('--max-staleness', 'how old a stale read may be, as in 500ms, 2s', 'none')
            , @('--out', 'write to this file, readable by you alone (default: standard output)', 'files')
            , @('--force', 'replace the file if it exists', '')
        )
        'migrate' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--from', 'manifest of the cluster that has the memories', 'files')
            , @('--to', 'manifest of the cluster that is to have them', 'files')
            , @('--rate', 'copy at most this many memories per second', 'none')
        )
        'schema' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'schema manifest' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'completion' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'demo' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--keep', 'leave the cluster running at the end, and say where', '')
        )
        'node' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
        )
        'node run' = @(
            , @('--file', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('-f', 'the manifest (default: MEM0CTL_MANIFEST or cluster.yaml)', 'files')
            , @('--output', 'how results are printed', 'words table wide json yaml')
            , @('-o', 'how results are printed', 'words table wide json yaml')
            , @('--node', 'which node of the manifest', 'nodes')
        )
    }
    # The flags that every command has.
    $common = @(
            , @('--timeout', 'give up after this long, as in 500ms, 30s, 2m', 'none')
            , @('--yes', 'answer yes to every question', '')
            , @('--no-input', 'never ask; fail where an answer is needed', '')
            , @('--no-color', 'plain text (so does NO_COLOR)', '')
            , @('--verbose', 'more detail; stack traces of errors', '')
            , @('-v', 'more detail; stack traces of errors', '')
            , @('--help', 'show this help', '')
            , @('-h', 'show this help', '')
    )
    # By position: what the argument is completed with; the last repeats where the path is in $repeats.
    $arguments = @{
        'down' = @('nodes')
        'restart' = @('nodes')
        'nodes add' = @('nodes')
        'nodes drain' = @('nodes')
        'nodes undrain' = @('nodes')
        'nodes remove' = @('nodes')
        'nodes logs' = @('nodes')
        'shards locate' = @('none')
        'shards move' = @('shards')
        'replicas add' = @('shards')
        'replicas remove' = @('shards')
        'replicas verify' = @('shards')
        'replicas repair' = @('shards')
        'leader transfer' = @('groups')
        'memories add' = @('none')
        'memories update' = @('none')
        'memories delete' = @('none')
        'memories search' = @('none')
        'memories get' = @('none')
        'memories history' = @('none')
        'memories import' = @('files')
        'completion' = @('words bash zsh fish powershell')
    }
    $repeats = @('down', 'restart')

    $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition -or $_.Extent.Text -ne $wordToComplete } |
        ForEach-Object { $_.Extent.Text })
    $path = ''
    $position = 0
    $kind = ''
    foreach ($word in $words) {
        if ($kind -ne '') { $kind = ''; continue }
        if ($word.StartsWith('-')) {
            foreach ($flag in @($flags[$path] | Where-Object { $_ }) + $common) { if ($flag[0] -ceq $word) { $kind = $flag[2] } }
        } elseif (@($commands[$path] | Where-Object { $_ } | ForEach-Object { $_[0] }) -ccontains $word) {
            $path = "$path $word".Trim()
        } else {
            $position++
        }
    }

    $candidates = @()
    if ($kind -eq '' -and $wordToComplete.StartsWith('-')) {
        foreach ($flag in @($flags[$path] | Where-Object { $_ }) + $common) { $candidates += , @($flag[0], $flag[1]) }
    } elseif ($kind -eq '' -and $commands.ContainsKey($path)) {
        foreach ($command in $commands[$path]) { $candidates += , @($command[0], $command[1]) }
    } else {
        if ($kind -eq '' -and $arguments.ContainsKey($path)) {
            $expected = $arguments[$path]
            if ($position -ge $expected.Count -and $repeats -ccontains $path) { $position = $expected.Count - 1 }
            if ($position -lt $expected.Count) { $kind = $expected[$position] }
        }
        if ($kind -eq 'files' -or $kind -eq 'none' -or $kind -eq '') {
            # PowerShell completes file names by itself when nothing is offered.
        } elseif ($kind.StartsWith('words ')) {
            foreach ($word in $kind.Substring(6).Split(' ')) { $candidates += , @($word, $word) }
        } else {
            foreach ($id in @(& $commandAst.CommandElements[0].Extent.Text __complete $kind @words 2>$null)) {
                $candidates += , @($id, $id)
            }
        }
    }
    foreach ($candidate in $candidates) {
        if ($candidate[0].StartsWith($wordToComplete, [StringComparison]::Ordinal)) {
            [System.Management.Automation.CompletionResult]::new($candidate[0], $candidate[0], 'ParameterValue', $candidate[1])
        }
    }
}
