// An operator who changes the members of a group at the worst moments: of a leader that is just elected, or that
// is about to go, to targets that cannot be; and who hands a group over whose leader streams its state to somebody. The shard map says who belongs where, so the node itself puts
// right what it lets happen; the protocol has to refuse the rest.

import { membershipOf } from "../../src/consensus/membership.ts";
import type { Membership } from "../../src/consensus/seam.ts";
import type { ReplicaGroup } from "../../src/node/host/replica-group.ts";
import type { Chance } from "./chance.ts";
import type { Owner } from "./timeline.ts";
import type { World } from "./world.ts";

const LATER_MS_MAX = 600;
const STREAM_MS_MAX = 150;

export class OddChanges {
  isOver = false;
  readonly #world: World;
  readonly #chance: Chance;
  readonly #isOn: boolean;

  readonly #mayChange: () => boolean;

  /** `mayChange`: where data is lost or rots for good, a quorum or a copy could be asked for that there is not. */
  constructor(world: World, chance: Chance, mayChange: () => boolean) {
    this.#world = world;
    this.#chance = chance;
    this.#mayChange = mayChange;
    this.#isOn = chance.hits(0.6);
  }

  /** A replica of the process leads from this step on. */
  onLeader(group: ReplicaGroup, owner: Owner): void {
    if (!this.#isOn) return;
    const chance = this.#chance;
    // At once nothing of the leader's term is committed: a change has to be refused.
    const delaysMs = [0, chance.between(0, LATER_MS_MAX)].filter(() => chance.hits(0.5));
    for (const delayMs of delaysMs) {
      this.#world.timeline.plan(
        delayMs,
        () => {
          if (!this.isOver && this.#mayChange()) this.#change(group, owner);
        },
        owner,
      );
    }
  }

  /** A replica of the process, which leads, begins to stream its state: soon it shall be another's affair. */
  onSnapshot(group: ReplicaGroup, owner: Owner): void {
    if (!this.#isOn || !this.#chance.hits(0.3)) return;
    this.#world.timeline.plan(
      this.#chance.between(0, STREAM_MS_MAX),
      () => {
        const { role, progress } = group.replica.status();
        const others = progress.filter(({ state }) => state === "replicating");
        if (this.isOver || role !== "leader" || others.length === 0) return;
        const { node } = this.#chance.pick(others);
        this.#world.say(owner.name, `is asked to hand ${group.id} over to ${node} while it sends its state`);
        group.step({ kind: "transfer", to: node });
      },
      owner,
    );
  }

  #change(group: ReplicaGroup, owner: Owner): void {
    const { membership } = group.replica.status();
    const target = this.#target(membership);
    this.#world.say(
      owner.name,
      `is asked to make ${target.voters.join(",") || "nobody"} members of ${group.id}`,
    );
    group.step({ kind: "reconfigure", target });
  }

  #target({ voters, learners, arbiters }: Membership): Membership {
    const chance = this.#chance;
    if (chance.hits(0.1)) return membershipOf({ voters: arbiters, arbiters });
    const data = voters.filter((voter) => !arbiters.includes(voter));
    const leaving = data.length < 2 ? "" : chance.pick(data);
    const kept = data.filter((voter) => voter !== leaving);
    if (chance.hits(0.3)) return membershipOf({ voters, arbiters, learners: [] });
    return membershipOf({ voters: [...kept, ...arbiters], arbiters, learners });
  }
}
