// What a replica group keeps: a deterministic state machine over the store. The same entries in the same
// order give the same state on every node; time and ids come in with the commands.

import type { Key } from "../storage/key.ts";
import type { StoreWriter } from "../storage/store.ts";

export interface MachineSize {
  readonly memories: number;
  readonly bytes: number;
  /** Commands of clients that were carried out since the group was founded; the same on every node. */
  readonly writes: number;
}

export interface StateMachine {
  /**
   * Applies one command inside the host's transaction and returns what the proposer is answered
   * (plain data). A refusal is a returned value, never a throw: a throw is a broken disk or a bug.
   */
  apply(command: Uint8Array, index: number, writer: StoreWriter): unknown;
  /** Writes what belongs with the applied index; called once per transaction that applied anything. */
  finish(writer: StoreWriter): void;
  /** The state under `prefix` was replaced or first loaded; forget what was cached of it. */
  reload(prefix: Key): void;
  /** For reports. */
  size(): MachineSize;
  close(): void;
}

/** A group whose replica here keeps the log only (an arbiter). */
export const LOG_ONLY: StateMachine = {
  apply: () => undefined,
  finish: () => undefined,
  reload: () => undefined,
  size: () => ({ memories: 0, bytes: 0, writes: 0 }),
  close: () => undefined,
};
