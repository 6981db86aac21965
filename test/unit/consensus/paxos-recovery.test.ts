// Whole groups of multi-paxos replicas, some of which come back with a damaged log: real replicas, whose messages
// travel at once and whose disks flush at once.

import { describe, expect, test } from "vitest";
import { membershipOf } from "../../../src/consensus/membership.ts";
import type { Effects, Membership, Message } from "../../../src/consensus/seam.ts";
import { bytes, ELECTION_TICKS } from "./driver.ts";
import { PaxosDriver } from "./paxos-driver.ts";

const ALL = ["a", "b", "c", "d", "e"];

/** A group whose members `damaged` have lost their logs; a is to lead. */
class Group {
  readonly nodes: ReadonlyMap<string, PaxosDriver>;
  /** What does not arrive. */
  lost: (message: Message) => boolean = () => false;

  constructor(damaged: readonly string[], voters: readonly string[] = ALL) {
    const membership = membershipOf({ voters });
    const snapshot = { index: 1, term: 1, membership };
    this.nodes = new Map(
      voters.map((id) => {
        const recovery = damaged.includes(id) ? { recovery: { term: 8, trusted: [] } } : {};
        // Everybody knows the round in which they came back, so that a needs one ballot.
        const durable = { hardState: { term: 8, vote: "", commit: 1 }, snapshot, applied: 1 };
        const options = { id, priority: voters.indexOf(id), ...recovery };
        return [id, new PaxosDriver({ options, durable })];
      }),
    );
  }

  get leader(): PaxosDriver {
    return this.node("a");
  }

  node(id: string): PaxosDriver {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  elect(): this {
    this.deliver(this.leader.step({ kind: "campaign" }));
    return this;
  }

  /** Time passes, no longer than that heartbeats keep everybody from campaigning. */
  tick(count: number): void {
    for (let tick = 0; tick < count; tick += 1) {
      for (const node of this.nodes.values()) this.deliver(node.step({ kind: "tick" }));
    }
  }

  change(target: Partial<Membership>): void {
    this.deliver(this.leader.step({ kind: "reconfigure", target: membershipOf(target) }));
  }

  /** Whether the leader can have a command chosen. */
  write(): boolean {
    const before = this.leader.status.commit;
    this.deliver(this.leader.step({ kind: "propose", proposals: [{ data: bytes("x"), context: 0 }] }));
    this.tick(2 * ELECTION_TICKS);
    return this.leader.status.role === "leader" && this.leader.status.commit > before;
  }

  deliver(first: Effects): void {
    const queue = [...first.send, ...first.sendAfterPersist];
    this.#flush(queue);
    for (let message = queue.shift(); message !== undefined; message = queue.shift()) {
      if (this.lost(message)) continue;
      const effects = this.nodes.get(message.to)?.step({ kind: "message", message });
      if (effects !== undefined) queue.push(...effects.send, ...effects.sendAfterPersist);
      this.#flush(queue);
    }
  }

  #flush(queue: Message[]): void {
    for (const node of this.nodes.values()) {
      const effects = node.flush();
      queue.push(...effects.send, ...effects.sendAfterPersist);
    }
  }
}

describe("a group with members whose logs were damaged", () => {
  test("takes writes after a change to those that have recovered under the same leader", () => {
    const group = new Group(["d", "e"]).elect();
    expect(group.leader.status.role).toBe("leader");
    group.tick(2 * ELECTION_TICKS);
    expect(group.node("d").status.recovering).toBe(false);
    expect(group.node("e").status.recovering).toBe(false);
    group.change({ voters: ["a", "d", "e"] });
    group.tick(4 * ELECTION_TICKS);
    expect(group.leader.status.membership).toEqual(membershipOf({ voters: ["a", "d", "e"] }));
    expect(group.write()).toBe(true);
  });

  test("does not change to members that could tell too little to elect anybody", () => {
    const group = new Group(["d", "e"]);
    // They are not told yet what they have to know.
    group.lost = ({ kind, to }) => kind === "heartbeat" && ["d", "e"].includes(to);
    group.elect();
    group.tick(ELECTION_TICKS);
    expect(group.node("d").status.recovering).toBe(true);
    group.change({ voters: ["a", "d", "e"] });
    group.tick(ELECTION_TICKS);
    expect(group.leader.status.membership).toEqual(membershipOf({ voters: ALL }));
    group.lost = () => false;
    group.tick(6 * ELECTION_TICKS);
    expect(group.node("d").status.recovering).toBe(false);
    expect(group.leader.status.membership).toEqual(membershipOf({ voters: ["a", "d", "e"] }));
    expect(group.write()).toBe(true);
  });
});
