// Completions for PowerShell 5.1 and later, Windows and elsewhere: a native argument completer over
// tables of the tree.

import { kindOf, namesOf } from "./tree.ts";
import type { Flag, Tree } from "./tree.ts";

export function powershellScript({ common, branches }: Tree): string {
  return `# PowerShell completion for mem0ctl. Generated from the command tree; do not edit.
# Load it with: mem0ctl completion powershell | Out-String | Invoke-Expression

Register-ArgumentCompleter -Native -CommandName mem0ctl -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    # Below a path of commands: name, summary.
    $commands = @{
${branches
  .filter(({ commands }) => commands.length > 0)
  .map(({ path, commands }) =>
    row(
      path,
      commands.map(({ name, summary }) => [name, summary]),
    ),
  )
  .join("\n")}
    }
    # Of a command: flag, summary, what its value is completed with (empty: it takes none).
    # Case matters (-v and -V), so flags are rows and not keys.
    $flags = @{
${branches
  .filter(({ flags }) => flags.length > 0)
  .map(({ path, flags }) => row(path, flags.flatMap(flagCells)))
  .join("\n")}
    }
    # The flags that every command has.
    $common = @(
${common.flatMap(flagCells).map(cellLine).join("\n")}
    )
    # By position: what the argument is completed with; the last repeats where the path is in $repeats.
    $arguments = @{
${branches
  .filter((branch) => branch.arguments.length > 0)
  .map(
    (branch) =>
      `        ${quoted(branch.path)} = @(${branch.arguments.map((values) => quoted(kindOf(values))).join(", ")})`,
  )
  .join("\n")}
    }
    $repeats = @(${branches
      .filter(({ variadic }) => variadic)
      .map(({ path }) => quoted(path))
      .join(", ")})

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
`;
}

function flagCells(flag: Flag): string[][] {
  const kind = flag.values === undefined ? "" : kindOf(flag.values);
  return namesOf(flag).map((name) => [name, flag.summary, kind]);
}

function row(path: string, cells: readonly (readonly string[])[]): string {
  return `        ${quoted(path)} = @(\n${cells.map(cellLine).join("\n")}\n        )`;
}

/** The comma keeps a row together: without it PowerShell would make one flat list of all cells. */
function cellLine(cells: readonly string[]): string {
  return `            , @(${cells.map(quoted).join(", ")})`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
