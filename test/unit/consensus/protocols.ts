// What a test has to know about a protocol to hold its replicas against what it promises.

import { isPaxosMessage } from "../../../src/consensus/paxos/messages.ts";
import { paxosReplicas } from "../../../src/consensus/paxos/replica.ts";
import { isRaftMessage } from "../../../src/consensus/raft/messages.ts";
import { createRaftReplica } from "../../../src/consensus/raft/replica.ts";
import type { Message, ReplicaFactory } from "../../../src/consensus/seam.ts";

export interface Protocol {
  readonly name: "raft" | "paxos";
  readonly create: ReplicaFactory;
  readonly isMessage: (message: Message) => boolean;
  /** Slots between a config entry and the first one that it decides. */
  readonly window: number;
  /** Whether the message says something about a disk, and so must not leave before the flush. */
  readonly promises: (message: Message) => boolean;
  /** Whom the message promises the round `message.term` to; undefined for every other message. */
  readonly votesFor: (message: Message) => string | undefined;
}

export const RAFT: Protocol = {
  name: "raft",
  create: createRaftReplica,
  isMessage: isRaftMessage,
  window: 1,
  promises: (message) =>
    isRaftMessage(message) &&
    (message.kind === "append-accepted" ||
      message.kind === "vote" ||
      (message.kind === "vote-response" && message.granted)),
  votesFor: (message) =>
    isRaftMessage(message) && message.kind === "vote-response" && message.granted ? message.to : undefined,
};

/** A small window, so that it is met often. */
const PAXOS_TEST_WINDOW = 8;

export const PAXOS: Protocol = {
  name: "paxos",
  create: paxosReplicas(PAXOS_TEST_WINDOW),
  isMessage: isPaxosMessage,
  window: PAXOS_TEST_WINDOW,
  promises: ({ kind }) =>
    kind === "prepare" || kind === "promise" || kind === "accepted" || kind === "learned",
  votesFor: () => undefined,
};
