// What the node's host needs of a network: fire-and-forget messages between groups, and calls that are
// answered once or fail. Sockets stand behind it in a running node; a simulated network can.

import type { GroupId, NodeId } from "../../model/ids.ts";
import type { Message } from "../../consensus/seam.ts";

/** The `Upgrade:` token by which a peer asks for the framed stream. */
export const PEER_PROTOCOL = "mem0ctl-peer/3";

/** A node's sign of life, sent to every peer each heartbeat interval. */
export interface NodeBeat {
  /** Groups that the sender leads, with their terms. */
  readonly leads: readonly (readonly [GroupId, number])[];
  /** Of the sender's shard map; an older version does not say. */
  readonly epoch?: number;
}

export interface NetworkHandlers {
  onMessages(from: NodeId, messages: readonly (readonly [GroupId, Message])[]): void;
  onBeat(from: NodeId, beat: NodeBeat): void;
  /** Answers a call; a thrown Mem0ctlError reaches the caller as it is. */
  onCall(from: NodeId, method: string, body: unknown): Promise<unknown>;
  /** The peer's process is known to be gone (its port refuses connections). */
  onGone(peer: NodeId): void;
  /** This node is not in a peer's shard map, which is of that epoch. */
  onDismissed(epoch: number): void;
  /** Whether `flush` is about to be called: what is queued for the peers need not leave alone before. */
  willFlush(): boolean;
}

export interface Network {
  /** Queues; leaves with `flush` or `flushSoon`. May be lost. */
  send(to: NodeId, group: GroupId, message: Message): void;
  beat(to: NodeId, beat: NodeBeat): void;
  flush(): void;
  /** The same before long, with what comes for the peers until then. */
  flushSoon(): void;
  /**
   * Rejects with kind `unavailable` when the call certainly was not delivered, and kind
   * `unknown-outcome` when it may have been.
   */
  call(to: NodeId, method: string, body: unknown, deadlineMs: number): Promise<unknown>;
  connected(to: NodeId): boolean;
  /** Why the last attempt to reach the peer failed, for people. */
  lastError(to: NodeId): string | undefined;
}
