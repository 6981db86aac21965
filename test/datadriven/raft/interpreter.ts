// How the transcripts of raft print it; the language is that of ../replicas.ts.

import { isRaftMessage } from "../../../src/consensus/raft/messages.ts";
import { createRaftReplica } from "../../../src/consensus/raft/replica.ts";
import type { Message } from "../../../src/consensus/seam.ts";
import { describeEntry, logInterpreter } from "../replicas.ts";
import type { Interpreter } from "../runner.ts";

/** A fresh interpreter; each transcript has its own. */
export function raftInterpreter(): Interpreter {
  return logInterpreter({
    create: createRaftReplica,
    describeMessage,
    term: "term",
    truncates: "truncates",
    window: 1,
  });
}

function describeMessage(message: Message): string {
  const head = `${message.from}->${message.to} ${message.kind} term ${message.term}`;
  if (!isRaftMessage(message)) return head;
  switch (message.kind) {
    case "pre-vote":
      return `${head} last ${message.lastIndex}/${message.lastTerm}`;
    case "vote":
      return `${head} last ${message.lastIndex}/${message.lastTerm}${message.transfer ? " transfer" : ""}`;
    case "pre-vote-response":
    case "vote-response":
      return `${head} ${message.granted ? "granted" : "refused"}`;
    case "append":
      return `${head} after ${message.prevIndex}/${message.prevTerm} [${message.entries.map(describeEntry).join(", ")}] commit ${message.commit}`;
    case "append-accepted":
      return `${head} up to ${message.index}`;
    case "append-rejected":
      return `${head} at ${message.index}, hint ${message.hintIndex}/${message.hintTerm}`;
    case "heartbeat":
      return `${head} commit ${message.commit}${message.round > 0 ? ` round ${message.round}` : ""}${message.heldByAll > 0 ? ` held by all ${message.heldByAll}` : ""}`;
    case "heartbeat-response":
      return `${head}${message.round > 0 ? ` round ${message.round}` : ""}`;
    case "timeout-now":
      return head;
  }
}
