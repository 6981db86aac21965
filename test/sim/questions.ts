// Asks whoever was just elected who the members of its group are, as a node does that may have to give up its replica:
// at no time does a leader know less of what is committed. What it says is judged where it arrives (replica-watch.ts).

import { META_GROUP, type GroupId, type NodeId } from "../../src/model/ids.ts";
import type { Chance } from "./chance.ts";
import type { Machine } from "./machine.ts";
import type { SimulatedNetwork } from "./network.ts";
import type { World } from "./world.ts";

/** At once, most of the time: what a leader lacks it soon has. */
const LATER_MS_MAX = [1, 1, 20];
const ANSWER_MS = 500;

export class Questions {
  readonly #world: World;
  readonly #machines: ReadonlyMap<NodeId, Machine>;
  readonly #network: SimulatedNetwork;
  readonly #chance: Chance;
  readonly #isOn: boolean;

  constructor(
    world: World,
    machines: ReadonlyMap<NodeId, Machine>,
    network: SimulatedNetwork,
    asksAlways: boolean,
  ) {
    this.#world = world;
    this.#machines = machines;
    this.#network = network;
    this.#chance = world.chanceApart("questions");
    this.#isOn = asksAlways || this.#chance.hits(0.2);
  }

  /** A replica of the node leads from this step on. */
  onLeader(leader: NodeId, group: GroupId): void {
    const chance = this.#chance;
    if (!this.#isOn || group === META_GROUP) return;
    const others = [...this.#machines.values()].filter(({ id, core }) => id !== leader && core !== undefined);
    if (others.length === 0) return;
    const { process } = chance.pick(others);
    if (process === undefined) return;
    this.#world.timeline.plan(
      chance.between(0, chance.pick(LATER_MS_MAX)),
      () => {
        const deadlineMs = process.clock.nowMs() + ANSWER_MS;
        // Nobody may be asked, or answer: then nothing is said.
        this.#network
          .port(process.name)
          ?.call(leader, "members", { group }, deadlineMs)
          .catch(() => undefined);
      },
      process,
    );
  }
}
