// A leaderless shard of a few copies for transcripts: the pure parts of the protocol, with calls that arrive at
// once or, where a copy is down, not at all. Every step says what is sent, stored and answered.
//
//   copies a b c                     the copies of the shard
//   down c | deaf c | up c           it cannot be reached; it seems to be there, and does not answer
//   write a key value [option ...]   a coordinates; `delete a key` likewise
//   read a key [level]               a coordinates
//   handoff a                        a brings what its hints name
//   compare a b                      a compares itself with b in full
//   forget a now ms [away c ms]      a looks for tombstones that may go; the grace period is 100 ms
//   move a b d                       the copies change to these; `moved` ends the change
//   lose a key                       a loses its record of the key, and begins a new life
//   show                             what each copy knows
//
// Options of a write: at=ms (claimed), seen=b (what the writer had read there), level=all, as=name.

import { DigestTree, digestOf, leafOf } from "../../../src/consensus/quorum/digest-tree.ts";
import { Exchange, type Listed } from "../../../src/consensus/quorum/exchange.ts";
import { HintBook } from "../../../src/consensus/quorum/hints.ts";
import {
  everyone,
  isEnough,
  sourcesNeeded,
  type CopySets,
  type Level,
} from "../../../src/consensus/quorum/levels.ts";
import { ReadRound, type ReadOutput } from "../../../src/consensus/quorum/read-round.ts";
import { cappedTime, resolve } from "../../../src/consensus/quorum/resolve.ts";
import { isCollectable, mustBeRebuilt } from "../../../src/consensus/quorum/tombstones.ts";
import { includes, join, NOTHING, type VersionVector } from "../../../src/consensus/quorum/vectors.ts";
import {
  absent,
  doneBy,
  isForgettable,
  merge,
  sameItem,
  written,
  type Held,
  type Item,
} from "../../../src/consensus/quorum/versions.ts";
import { WriteRound, type WriteOutput } from "../../../src/consensus/quorum/write-round.ts";
import type { Interpreter } from "../runner.ts";

const GRACE_MS = 100;
const PORTIONS = { ranges: 4, leaves: 4, keys: 4 };

type Text = Item<string>;

class Copy {
  readonly name: string;
  actor: string;
  counter = 0;
  seen: VersionVector = NOTHING;
  forgotten: VersionVector = NOTHING;
  isWhole = true;
  isUp = true;
  /** Connected, as far as anybody knows. */
  isDeaf = false;
  readonly items = new Map<string, Text>();
  readonly told = new Map<string, VersionVector>();
  readonly hints = new HintBook({ hintsMax: 4, bytesMax: 1000, ageMsMax: GRACE_MS / 2 });

  constructor(name: string) {
    this.name = name;
    this.actor = name;
  }

  get floor(): VersionVector {
    return this.counter === 0 ? this.seen : join(this.seen, [[this.actor, this.counter]]);
  }

  item(key: string): Text {
    return this.items.get(key) ?? absent();
  }

  held(key: string): Held<string> {
    return { item: this.item(key), floor: this.floor };
  }

  put(key: string, item: Text): void {
    if (isForgettable(item, this.floor)) this.items.delete(key);
    else this.items.set(key, item);
  }

  take(key: string, item: Text, floor: VersionVector): void {
    this.put(key, merge(this.item(key), item, { a: this.floor, b: floor }));
  }

  tree(): DigestTree {
    const tree = new DigestTree();
    for (const [key, item] of this.items) tree.change(key, "", digestOf(key, item));
    return tree;
  }

  listed(leaf: number): Listed[] {
    return [...this.items]
      .filter(([key]) => leafOf(key) === leaf)
      .map(([key, item]) => [key, digestOf(key, item)]);
  }
}

export function quorumInterpreter(): Interpreter {
  const copies = new Map<string, Copy>();
  let sets: CopySets = { replicas: [], outgoing: [] };
  let writes = 0;

  const copy = (name: string | undefined): Copy => {
    const found = copies.get(name ?? "");
    if (found === undefined) throw new Error(`there is no copy ${name ?? ""}`);
    return found;
  };

  const write = (
    coordinator: Copy,
    key: string,
    value: string | null,
    options: ReadonlyMap<string, string>,
  ): string => {
    const lines: string[] = [];
    const level = levelOf(options.get("level"));
    const reachable = (name: string): boolean => copy(name).isUp;
    if (!isEnough(sets, level, reachable))
      return "refused: too few copies can be reached; nothing is written";
    writes += 1;
    const name = options.get("as") ?? `w${writes}`;
    const from = options.get("seen");
    const seen = from === "nothing" ? absent<string>() : copy(from ?? coordinator.name).item(key);
    const base = merge(coordinator.item(key), seen);
    if (doneBy(base, name) === undefined) {
      coordinator.counter += 1;
      const atMs = cappedTime(Number(options.get("at") ?? writes), 1000);
      const dot = [coordinator.actor, coordinator.counter] as const;
      coordinator.put(key, written(base, seen, { dot, atMs, write: name, value }));
      lines.push(`${coordinator.name} stores ${words(coordinator.item(key))}`);
    } else {
      coordinator.put(key, base);
      lines.push(`${coordinator.name} has done ${name} before`);
    }
    const round = new WriteRound({ self: coordinator.name, sets, level });
    const carryOut = (output: WriteOutput): void => {
      for (const target of output.hint) {
        const kept = coordinator.hints.note({ target, key, sinceMs: writes });
        lines.push(
          kept
            ? `${coordinator.name} keeps a hint for ${target}`
            : `${coordinator.name} has no room for a hint`,
        );
      }
      if (output.answer !== undefined) lines.push(`the client is told: ${output.answer}`);
      for (const node of output.send) {
        if (copy(node).isUp && !copy(node).isDeaf) {
          copy(node).take(key, coordinator.item(key), coordinator.floor);
          lines.push(`${node} flushes ${words(copy(node).item(key))}`);
          carryOut(round.step({ kind: "flushed", node }));
        } else {
          lines.push(`${node} does not answer`);
          carryOut(round.step({ kind: "failed", node }));
        }
      }
    };
    carryOut(round.begin());
    return lines.join("\n");
  };

  const read = (coordinator: Copy, key: string, level: Level): string => {
    const lines: string[] = [];
    const usable = everyone(sets).filter((name) => copy(name).isWhole);
    const round = new ReadRound<string>({
      self: coordinator.name,
      sets,
      level,
      usable,
      own: [coordinator.held(key)],
      ownDigests: [digestOf(key, coordinator.item(key))],
    });
    const queue: (() => void)[] = [];
    const later = (node: string, answer: () => void): void =>
      void queue.push(() => {
        if (copy(node).isUp && !copy(node).isDeaf) return answer();
        lines.push(`${node} does not answer`);
        carryOut(round.step({ kind: "failed", node }));
      });
    const carryOut = (output: ReadOutput<string>): void => {
      for (const node of output.askDigests) {
        later(node, () => {
          const digest = digestOf(key, copy(node).item(key));
          const same = digest === digestOf(key, coordinator.item(key));
          lines.push(`${node}'s digest ${same ? "is the same" : "differs"}`);
          carryOut(round.step({ kind: "digests", node, digests: [digest] }));
        });
      }
      for (const node of output.askItems) {
        later(node, () => {
          lines.push(`${node} is read in full: ${words(copy(node).item(key))}`);
          carryOut(round.step({ kind: "items", node, held: [copy(node).held(key)] }));
        });
      }
      for (const node of output.repair) {
        later(node, () => {
          const [merged] = round.result;
          if (merged !== undefined) copy(node).take(key, merged.item, merged.floor);
          lines.push(`${node} is repaired: ${words(copy(node).item(key))}`);
          carryOut(round.step({ kind: "repaired", node }));
        });
      }
      if (output.failed === true) lines.push("the client is told: too few copies answer");
      const [answer] = output.answer ?? [];
      if (answer !== undefined) lines.push(`the client reads ${resolve(answer.item)?.value ?? "nothing"}`);
    };
    carryOut(round.begin());
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) next();
    return lines.join("\n");
  };

  const compare = (one: Copy, other: Copy): string => {
    if (!one.isUp || !other.isUp) return "they cannot reach each other";
    const lines: string[] = [];
    const opening = { one: one.floor, other: other.floor };
    for (const [copyOf, forgotten] of [
      [one, other.forgotten],
      [other, one.forgotten],
    ] as const) {
      if (!copyOf.isWhole || !mustBeRebuilt(copyOf.floor, forgotten)) continue;
      copyOf.isWhole = false;
      lines.push(
        `${copyOf.name} has missed deletions that are forgotten: it answers no reads until it is rebuilt`,
      );
    }
    const [own, theirs] = [one.tree(), other.tree()];
    if (own.root === theirs.root) lines.push("the roots are equal");
    const exchange = new Exchange(own.rangeDigests(), theirs.rangeDigests(), PORTIONS);
    for (let ask = exchange.next(); ask !== undefined; ask = exchange.next()) {
      if (ask.kind === "leaves") {
        lines.push(
          `${counted(ask.ranges.length, "range")} of 64 ${ask.ranges.length === 1 ? "differs" : "differ"}`,
        );
        for (const range of ask.ranges)
          exchange.leavesCompared(range, own.leafDigests(range), theirs.leafDigests(range));
      } else if (ask.kind === "keys") {
        lines.push(`${counted(ask.leaves.length, "leaf", "leaves")} in them`);
        for (const leaf of ask.leaves) exchange.keysCompared(one.listed(leaf), other.listed(leaf));
      } else {
        for (const key of ask.keys) {
          const before = { one: one.item(key), other: other.item(key), floor: other.floor };
          one.take(key, before.other, before.floor);
          if (!sameItem(one.item(key), before.other)) other.take(key, one.item(key), one.floor);
          if (!other.items.has(key)) one.take(key, absent(), other.floor);
          lines.push(
            `${key}: ${words(before.one)} and ${words(before.other)} become ${words(one.item(key))}`,
          );
        }
      }
    }
    one.seen = join(one.seen, opening.other);
    other.seen = join(other.seen, opening.one);
    one.told.set(other.name, other.floor);
    other.told.set(one.name, one.floor);
    for (const each of [one, other]) {
      for (const [key, item] of each.items) each.put(key, item);
      if (each.isWhole) continue;
      each.isWhole = true;
      lines.push(`${each.name} is whole again`);
    }
    return lines.join("\n");
  };

  const forget = (from: Copy, nowMs: number, away: ReadonlyMap<string, number>): string => {
    const witnesses = everyone(sets)
      .filter((node) => node !== from.name)
      .map((node) => ({ node, floor: from.told.get(node), awayMs: away.get(node) ?? 0 }));
    const lines: string[] = [];
    for (const hint of from.hints.expired(nowMs, () => true)) {
      from.hints.drop(hint.target, hint.key);
      lines.push(`the hint for ${hint.target} about ${hint.key} is too old`);
    }
    for (const [key, item] of from.items) {
      const value = resolve(item)?.value;
      if (value !== null) continue;
      if (!isCollectable(item, from.floor, witnesses, { nowMs, graceMs: GRACE_MS, awayMsMax: 1000 })) {
        lines.push(`${key} stays deleted, and known as deleted`);
        continue;
      }
      const toldAll = witnesses.every(({ floor }) => floor !== undefined && includes(floor, item.context));
      if (!toldAll) from.forgotten = join(from.forgotten, item.context);
      from.items.delete(key);
      lines.push(`${key} is forgotten${toldAll ? "" : ", without waiting for everybody"}`);
    }
    return lines.join("\n");
  };

  return (command, args) => {
    const [first, second, ...rest] = args;
    const options = new Map(
      rest.filter((arg) => arg.includes("=")).map((arg) => arg.split("=") as [string, string]),
    );
    switch (command) {
      case "copies":
        for (const name of args) copies.set(name, new Copy(name));
        sets = { replicas: args, outgoing: [] };
        return "";
      case "down":
      case "up":
      case "deaf":
        for (const name of args) {
          copy(name).isUp = command !== "down";
          copy(name).isDeaf = command === "deaf";
        }
        return "";
      case "write":
        return write(copy(first), second ?? "", rest[0] ?? "", options);
      case "delete":
        return write(copy(first), second ?? "", null, options);
      case "read":
        return read(copy(first), second ?? "", levelOf(rest[0]));
      case "handoff": {
        const from = copy(first);
        const lines: string[] = [];
        for (const target of from.hints.targets()) {
          if (!copy(target).isUp) lines.push(`${target} is still away`);
          else {
            for (const key of from.hints.next(target, 10)) {
              copy(target).take(key, from.item(key), from.floor);
              from.hints.drop(target, key);
              lines.push(`${target} gets ${key}: ${words(copy(target).item(key))}`);
            }
          }
        }
        return lines.join("\n");
      }
      case "compare":
        return compare(copy(first), copy(second));
      case "forget": {
        const at = rest.indexOf("away");
        const away = new Map(at === -1 ? [] : [[rest[at + 1] ?? "", Number(rest[at + 2])]]);
        return forget(copy(first), Number(second), away);
      }
      case "move":
        for (const name of args) if (!copies.has(name)) copies.set(name, new Copy(name));
        sets = { replicas: args, outgoing: sets.replicas };
        return `reads and writes need their level in ${sets.outgoing.join(" ")} and in ${args.join(" ")}; a new copy reads ${sourcesNeeded({ read: "quorum", write: "quorum" }, sets.outgoing.length, sets.outgoing.length)} of those before in full`;
      case "moved":
        sets = { replicas: sets.replicas, outgoing: [] };
        return "";
      case "lose": {
        const from = copy(first);
        from.items.delete(second ?? "");
        from.actor = `${from.name}'`;
        from.counter = 0;
        from.seen = NOTHING;
        from.isWhole = false;
        return `${from.name} goes on as ${from.actor}, has seen nothing, and answers no reads`;
      }
      case "show":
        return [...copies.values()].map(shown).join("\n");
      default:
        throw new Error(`no such command: ${command}`);
    }
  };
}

function levelOf(text: string | undefined): Level {
  if (text === undefined) return "quorum";
  return text === "one" || text === "all" || text === "quorum" ? text : Number(text);
}

/** `tea@a1 | coffee@b1`; a deletion is `-`. */
function words(item: Text): string {
  if (item.versions.length === 0) return item.context.length === 0 ? "nothing" : "nothing any more";
  const seen = resolve(item);
  return item.versions
    .map((version) => {
      const mark = item.versions.length > 1 && version === seen ? "*" : "";
      return `${version.value ?? "-"}@${version.dot.join("")}${mark}`;
    })
    .join(" | ");
}

function shown(copy: Copy): string {
  const items = [...copy.items].map(([key, item]) => `${key} ${words(item)}`).join(", ");
  const floor = copy.floor.map((dot) => dot.join("")).join(" ");
  const hints = copy.hints
    .targets()
    .map((target) => `${copy.hints.countFor(target)} for ${target}`)
    .join(", ");
  return [
    `${copy.name}${copy.isUp ? "" : " (down)"}${copy.isWhole ? "" : " (rebuilding)"}: ${items === "" ? "nothing" : items}`,
    `floor ${floor === "" ? "0" : floor}`,
    ...(hints === "" ? [] : [`hints ${hints}`]),
  ].join("; ");
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
