// The storage's checklist, as far as a simulated disk shows it: checksums, torn tails, failed flushes, full
// disks, the folder's flush, and that an acknowledgement means flushed.

import type { Bug } from "./bug.ts";

const STORAGE = { checklist: "storage", protocols: ["raft"] } as const;
const FRAMES = "src/node/storage/log-frames.ts";
const LOG = "src/node/storage/log-store.ts";

export const STORAGE_BUGS: readonly Bug[] = [
  {
    ...STORAGE,
    name: "log-checksum-not-compared",
    lines: [1],
    what: "a frame of the log whose payload was damaged is read as if it were whole",
    file: FRAMES,
    find: "  if (crc32(payload) !== bytes.readUInt32BE(offset + 16)) return undefined;\n",
    replace: "",
  },
  {
    ...STORAGE,
    name: "damage-taken-for-a-torn-tail",
    lines: [2],
    what: "everything behind a damaged frame is cut off, acknowledged or not",
    file: LOG,
    find: "if (!isTorn(bytes, offset, next))",
    replace: "if (bytes.length < offset)",
  },
  {
    ...STORAGE,
    name: "torn-tail-taken-for-damage",
    lines: [2],
    what: "a node whose last write was cut off by a crash does not start again",
    file: LOG,
    find: "if (!isTorn(bytes, offset, next))",
    replace:
      "if (isTorn(bytes, offset, next) !== undefined && bytes.subarray(offset).some((byte) => byte !== 0))",
  },
  {
    ...STORAGE,
    name: "failed-flush-ignored",
    lines: [3],
    what: "a write that the disk failed counts as done",
    file: LOG,
    find: "        if (!isNoRoom(error)) {\n",
    replace: "        if (!isNoRoom(error)) {\n          if (!this.closing) return true;\n",
  },
  {
    ...STORAGE,
    name: "full-disk-promises",
    lines: [4],
    what: "a write that found no room on the disk counts as done",
    file: LOG,
    find: "        if (this.closing) return false;\n",
    replace: "        if (!this.closing) return true;\n",
  },
  {
    ...STORAGE,
    name: "new-log-not-flushed-in-its-folder",
    lines: [5],
    what: "the folder is not flushed after a new log file was made in it",
    file: LOG,
    find: "    if (bytes === undefined) folder.sync();\n",
    replace: "",
  },
  {
    ...STORAGE,
    name: "renamed-log-not-flushed-in-its-folder",
    lines: [5],
    what: "the folder is not flushed after a rewritten log took the old one's place",
    file: LOG,
    find: "    try {\n      this.options.folder.sync();\n",
    replace: "    try {\n",
  },
  {
    ...STORAGE,
    name: "promises-before-flush",
    lines: [9],
    what: "the host sends votes and acknowledgements when they are written, not when they are flushed",
    file: "src/node/host/host.ts",
    find: "to it before.\n    this.lastDurable.then(\n",
    replace:
      "to it before.\n    this.lastDurable.catch((error: unknown) => this.failed(error));\n    Promise.resolve().then(\n",
  },
  {
    ...STORAGE,
    protocols: ["raft", "paxos", "quorum"],
    name: "cut-log-passes",
    lines: [2],
    what: "a log whose end is gone passes for whole, though the state has applied more",
    file: "src/node/host/durable-group.ts",
    find: "    if (applied !== undefined && applied > record.snapshot.index + entries.length) return true;\n",
    replace: "",
  },
  {
    ...STORAGE,
    protocols: ["raft", "paxos"],
    name: "switch-cut-off-passes",
    lines: [2],
    what: "a log that lost the record of a newer state passes for whole",
    file: "src/node/host/durable-group.ts",
    find: "    if (logged !== undefined && logged > record.generation) return true;\n",
    replace: "",
  },
];
