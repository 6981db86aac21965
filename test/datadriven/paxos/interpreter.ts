// How the transcripts of multi-paxos print it; the language is that of ../replicas.ts. A ballot is printed as
// `round.proposer`, an entry as slot/term value: the term is the round in which the value was first proposed,
// and `@` the one in which it was accepted since. The window is small, so that it can be seen.

import { isPaxosMessage } from "../../../src/consensus/paxos/messages.ts";
import { paxosReplicas } from "../../../src/consensus/paxos/replica.ts";
import type { Message } from "../../../src/consensus/seam.ts";
import { describeEntry, logInterpreter } from "../replicas.ts";
import type { Interpreter } from "../runner.ts";

const WINDOW = 6;

/** A fresh interpreter; each transcript has its own. */
export function paxosInterpreter(): Interpreter {
  return logInterpreter({
    create: paxosReplicas(WINDOW),
    describeMessage,
    term: "round",
    truncates: "writes its slots anew",
    window: WINDOW,
  });
}

function describeMessage(message: Message): string {
  const { from, to, kind, term } = message;
  const head = `${from}->${to} ${kind}`;
  if (!isPaxosMessage(message)) return head;
  switch (message.kind) {
    case "canvass":
      return `${head} (promised round ${term}, chosen up to ${message.commit})`;
    case "canvass-answer":
      return `${head} ${message.willing ? "willing" : "unwilling"} (promised round ${term})`;
    case "prepare":
      return `${head} ${term}.${from} from slot ${message.first}${message.mandate === "none" ? "" : `, mandate ${message.mandate}`}`;
    case "promise":
      return `${head} ${term}.${to} accepted from ${message.first}: [${message.entries.map(describeEntry).join(", ")}] of ${message.last}, chosen up to ${message.commit}`;
    case "refused":
      return `${head} ${term}.${to}: promised ${message.round}.${message.proposer || "-"}`;
    case "trimmed":
      return `${head} ${term}.${to}: log begins after ${message.index}`;
    case "accept":
      return `${head} ${term}.${from} [${message.entries.map(describeEntry).join(", ")}] chosen up to ${message.commit}`;
    case "accepted":
      return `${head} ${term}.${to} ${message.first}..${message.last}`;
    case "learn":
      return `${head} [${message.entries.map(describeEntry).join(", ")}]`;
    case "learned":
      return `${head} up to ${message.index}`;
    case "heartbeat":
      return `${head} ${term}.${from} chosen up to ${message.commit}, sent ${message.sent}${message.round > 0 ? `, read round ${message.round}` : ""}${message.settledByAll > 0 ? `, settled by all ${message.settledByAll}` : ""}`;
    case "heartbeat-response":
      return `${head} holds ${message.held}, lacks ${message.lacks}${message.round > 0 ? `, read round ${message.round}` : ""}`;
    case "hand-over":
      return `${head} ${term}.${from} chosen up to ${message.commit}`;
  }
}
