// Copies of a leaderless shard while the shard map changes under what they are doing, or one of them does not answer.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { absent } from "../../../src/consensus/quorum/versions.ts";
import { scopeFilter } from "../../../src/memory/filter.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import type { NodeId } from "../../../src/model/ids.ts";
import type { ShardMap } from "../../../src/model/shard-map.ts";
import { queries } from "../../../src/node/cluster/shard-queries.ts";
import { putItem } from "../../../src/node/memories/commands.ts";
import { standingOf } from "../../../src/node/quorum/calls.ts";
import { type CopyHere } from "../../../src/node/quorum/copy-here.ts";
import { encodeKey } from "../../../src/node/storage/key.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { slotOf } from "../../../src/topology/slots.ts";
import { eventually } from "./eventually.ts";
import {
  AT,
  nodes,
  away,
  gates,
  limits,
  first,
  folderOf,
  mapWith,
  nodeOf,
  here,
  hold,
  put,
  update,
  request,
  soon,
  list,
  compareWith,
  readFromOutside,
  textAt,
  learn,
  cleared,
  storeOf,
  shardsOn,
  startAgain,
  setLevels,
  withThreeNodes,
  damage,
  start,
} from "./quorum-nodes.ts";

withThreeNodes();

it("a copy that was given up during a comparison does not tell the other that its memories are deleted", async () => {
  away.add("node-3");
  await put("node-1", "k", "tea");
  await compareWith(here("node-2").copy, "node-2", "node-1");
  away.delete("node-3");
  const { copy } = here("node-3");
  const keys = hold("node-3 is answered quorum-keys");
  // Two at a time: the leaf of k differs when this one begins, and k has come from node-2 when it goes on.
  const comparison = compareWith(copy, "node-3", "node-1");
  await keys.reached;
  await compareWith(copy, "node-3", "node-2");
  expect(textAt("node-3", "k")).toBe("tea");
  learn(mapWith(1, ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  await cleared("node-3");
  keys.release();
  await expect(comparison).rejects.toMatchObject({ code: "not-here" });
  expect(textAt("node-1", "k")).toBe("tea");
  expect(textAt("node-2", "k")).toBe("tea");
});

it("a copy that was given up takes no write, and leaves no record of itself", async () => {
  await put("node-1", "k", "tea");
  const { copy } = here("node-3");
  learn(mapWith(1, ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  await cleared("node-3");
  expect(() => copy.held("k")).toThrow(expect.objectContaining({ code: "not-here" }));
  expect(() => copy.raiseFloor({ floor: [["another", 7]], forgotten: [] })).toThrow(
    expect.objectContaining({ code: "not-here" }),
  );
  await cleared("node-3");
});

it("a list is not answered from a copy that was given up meanwhile", async () => {
  await put("node-1", "k", "tea");
  const answer = hold("node-3 is answered quorum-open");
  const listed = list("node-3");
  await answer.reached;
  learn(mapWith(1, ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  await cleared("node-3");
  answer.release();
  await expect(listed).rejects.toMatchObject({ kind: "unavailable", code: "copy-not-serving" });
});

it("a list that began by the sets before a change is not answered by copies that know of the change", async () => {
  await put("node-1", "k", "tea");
  const asked = hold("node-3 asks quorum-open");
  const listed = list("node-3");
  await asked.reached;
  const changed = mapWith(1, ["node-1", "node-3", "node-4"], ["node-1", "node-2", "node-3"]);
  learn(changed, "node-1", "node-2", "node-3");
  asked.release();
  // It had asked one copy, which is enough of the set before and not of both.
  await expect(listed).rejects.toMatchObject({ kind: "unavailable", code: "too-few-copies" });
});

/** A list at node-1 that finds all copies equal; before it reads, a write is stored there that reaches no other one. */
async function listBesideLostWrite(): Promise<{
  readonly listed: Promise<unknown>;
  readonly goOn: () => void;
}> {
  const opened = hold("node-1 is answered quorum-open");
  const listed = list("node-1");
  await opened.reached;
  gates.set("node-1 asks quorum-store", () =>
    Promise.reject(new Mem0ctlError("unavailable", "peer-unreachable", "node-1")),
  );
  await expect(put("node-1", "k", "tea")).rejects.toMatchObject({ kind: "unknown-outcome" });
  gates.delete("node-1 asks quorum-store");
  return { listed, goOn: opened.release };
}

it("what came to this copy after the others were compared is listed once enough copies have it", async () => {
  const { listed, goOn } = await listBesideLostWrite();
  goOn();
  const seen = await listed;
  expect(seen).toMatchObject({ newest: [{ id: "k" }] });
  away.add("node-1");
  expect(await list("node-2")).toEqual(seen);
});

it("what came to this copy after the others were compared is not listed while it alone has it", async () => {
  const { listed, goOn } = await listBesideLostWrite();
  for (const id of ["node-2", "node-3"]) away.add(id);
  goOn();
  await expect(listed).rejects.toMatchObject({ kind: "unavailable", code: "too-few-copies" });
});

it("every question of a comparison goes by the sets that it began with", async () => {
  away.add("node-3");
  await put("node-1", "k", "tea");
  away.delete("node-3");
  const opened = hold("node-3 is answered quorum-open");
  const comparison = compareWith(here("node-3").copy, "node-3", "node-1");
  await opened.reached;
  learn(
    mapWith(1, ["node-1", "node-3", "node-4"], ["node-1", "node-2", "node-3"]),
    "node-1",
    "node-2",
    "node-3",
  );
  opened.release();
  await expect(comparison).rejects.toMatchObject({ code: "stale-map" });
});

it("a coordinator that hears of other copies while it reads does not write by the sets before", async () => {
  await put("node-1", "k", "tea");
  const answered = hold("node-3 is answered quorum-digests");
  const updated = update("node-3", "k", "green tea");
  await answered.reached;
  // A new member read this copy before the write, and would be asked in place of one that takes it.
  learn(mapWith(1, ["node-2", "node-3", "node-4"], ["node-1", "node-2", "node-3"]), "node-3");
  answered.release();
  await expect(updated).rejects.toMatchObject({ kind: "unavailable", code: "stale-map" });
  for (const id of ["node-1", "node-2", "node-3"]) expect(textAt(id, "k")).toBe("tea");
});

it("a deletion by filter that has to stop between two rounds does not say that nothing was done", async () => {
  const record = { memory: "tea", user_id: "ada", created_at: AT, updated_at: AT, hash: "tea" };
  const vector = Float32Array.of(1, 0);
  const items = Array.from({ length: 600 }, (_, at) => putItem({ id: `k${at}`, key: "ada", record, vector }));
  await here("node-1").coordinator.write({ command: { t: "put", items, fresh: true }, ...request("put") });
  const firstRound = hold("node-3 asks quorum-store");
  const filter = scopeFilter({ user_id: "ada" });
  const deleted = here("node-3").coordinator.write({
    command: { t: "delete-matching", filter },
    ...request("delete"),
  });
  await firstRound.reached;
  const secondRound = hold("node-3 is answered quorum-digests");
  firstRound.release();
  await secondRound.reached;
  learn(mapWith(1, ["node-2", "node-3", "node-4"], ["node-1", "node-2", "node-3"]), "node-3");
  secondRound.release();
  await expect(deleted).rejects.toMatchObject({ kind: "unknown-outcome" });
  expect(here("node-3").copy.size().memories).toBe(100);
});

it("what the next copy says of a read that one has not answered is the answer, also that there is nothing", async () => {
  await expect(readFromOutside(["node-1"], soon())).rejects.toMatchObject({ code: "memory-not-found" });
});

it("a read that no copy answers is late, and nothing is unknown of it", async () => {
  const deadlineMs = systemClock.nowMs() + 100;
  await expect(readFromOutside(["node-1", "node-2"], deadlineMs)).rejects.toMatchObject({
    kind: "unavailable",
    code: "read-timed-out",
  });
});

it("a comparison during whose end the copy loses something has not filled it", async () => {
  startAgain("node-3", first, () => undefined);
  learn(first, "node-3");
  const done = hold("node-3 is answered quorum-done");
  const comparison = compareWith(here("node-3").copy, "node-3", "node-1");
  await done.reached;
  damage();
  done.release();
  await expect(comparison).rejects.toMatchObject({ code: "copy-changed" });
});

it("a comparison of another copy during whose end this one loses something has not filled it", async () => {
  startAgain("node-3", first, () => undefined);
  learn(first, "node-3");
  const { generation } = here("node-3").copy;
  const ask = { floor: [["another", 7]] as const, forgotten: [], generation, lacks: false };
  const body = { shard: "0", standing: standingOf(first, "0"), ask };
  const told = nodeOf("node-3").shards.answers.answer("node-1", "quorum-done", body);
  const { sources } = damage();
  await told;
  expect(sources).toEqual(new Map());
});

it("a copy that lost what reads of a majority have told is filled from enough others to meet it, whatever writes ask", async () => {
  // A write that one copy did not acknowledge is on two, and a read has told so: one of the two is node-3.
  setLevels({ read: "quorum", write: "all" });
  startAgain("node-3", first, () => undefined);
  learn(first, "node-3");
  const { copy } = damage();
  await eventually(() => expect(copy.isReadable).toBe(true));
  const { shards } = nodeOf("node-3");
  const filledBy = (node: NodeId): Promise<unknown> => {
    const { floor } = here(node).copy;
    const ask = { floor, forgotten: [], generation: copy.generation, lacks: false };
    return shards.answers.answer(node, "quorum-done", { shard: "0", standing: standingOf(first, "0"), ask });
  };
  await filledBy("node-1");
  expect(copy.state).toBe("rebuilding");
  await filledBy("node-2");
  await eventually(() => expect(copy.state).toBe("serving"));
});

it("a copy that lost something and a new one do not take each other for whole while nobody has told them", async () => {
  learn(mapWith(1, ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  await cleared("node-3");
  await put("node-1", "k", "acknowledged");
  startAgain("node-1", mapWith(1, ["node-1", "node-2"]), () => undefined);
  learn(mapWith(2, ["node-1", "node-3"], ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  const lost = damage("node-1");
  // What it held before is deleted first, to the end.
  const added = await eventually(() => {
    nodeOf("node-3").shards.follow();
    return here("node-3");
  });
  away.add("node-2");
  for (const id of ["node-1", "node-3"]) nodeOf(id).shards.start();
  await eventually(() => {
    expect(lost.peers.get("node-3")?.comparedMs).toBeDefined();
    expect(added.peers.get("node-1")?.comparedMs).toBeDefined();
  });
  await Promise.all([lost.copy.settled(), added.copy.settled()]);
  expect([lost.copy.state, added.copy.state]).toEqual(["rebuilding", "filling"]);
  away.clear();
  await eventually(() => expect([lost.copy.state, added.copy.state]).toEqual(["serving", "serving"]));
  expect([textAt("node-1", "k"), textAt("node-3", "k")]).toEqual(["acknowledged", "acknowledged"]);
});

/**
 * node-3 has left and has not heard of it, nor has node-2; k, which node-3 still holds, is deleted, and forgotten by
 * those two who are left.
 */
async function forgetWithoutTheOneThatLeft(): Promise<void> {
  await put("node-1", "k", "tea");
  await eventually(() => expect(textAt("node-3", "k")).toBe("tea"));
  away.add("node-3");
  await here("node-1").coordinator.write({ command: { t: "delete", id: "k" }, ...request("delete") });
  learn(mapWith(1, ["node-1", "node-2"]), "node-1");
  limits.graceMs = -1;
  start("node-1");
  const areForgotten = (): void => {
    for (const id of ["node-1", "node-2"]) {
      expect(here(id).copy.items.outline("k")).toEqual(absent());
      expect(here(id).copy.items.remains.size).toBe(0);
    }
  };
  await eventually(areForgotten);
  nodeOf("node-1").shards.stop();
  startAgain("node-1", mapWith(1, ["node-1", "node-2"]));
  learn(mapWith(1, ["node-1", "node-2"]), "node-1");
  away.clear();
  expect(textAt("node-3", "k")).toBe("tea");
}

it("a copy that has left without hearing of it brings back nothing that the others have forgotten (10)", async () => {
  await forgetWithoutTheOneThatLeft();
  const outdated = { code: "stale-map" };
  await expect(compareWith(here("node-3").copy, "node-3", "node-1")).rejects.toMatchObject(outdated);
  expect(here("node-1").copy.items.outline("k")).toEqual(absent());
  // One that lags as well takes nothing of it: it knows that something was forgotten without it.
  const get = (): Promise<unknown> => here("node-3").coordinator.read(queries.get("k"), "quorum", soon());
  away.add("node-1");
  await expect(get()).rejects.toMatchObject({ code: "too-few-copies" });
  expect(here("node-2").copy.items.outline("k")).toEqual(absent());
  // Compared with it, it hears that something was forgotten without it, and loses what it held before it serves again.
  start("node-3");
  await eventually(() => expect(here("node-3").copy.state).toBe("rebuilding"));
  await eventually(() => expect(here("node-3").copy.state).toBe("serving"));
  for (const id of ["node-2", "node-3"]) expect(here(id).copy.items.outline("k")).toEqual(absent());
});

it("a copy that has left without hearing of it is filled anew when it is called back, and has nothing left of it then (10)", async () => {
  await forgetWithoutTheOneThatLeft();
  const back = mapWith(2, ["node-1", "node-2", "node-3"], ["node-1", "node-2"]);
  learn(back, "node-1", "node-2", "node-3");
  expect(here("node-3").copy.state).toBe("filling");
  start("node-1", "node-2", "node-3");
  await eventually(() => expect(here("node-3").copy.state).toBe("serving"));
  for (const id of ["node-1", "node-2", "node-3"]) {
    expect(here(id).copy.items.outline("k").versions).toEqual([]);
    expect(textAt(id, "k")).toBeUndefined();
  }
});

it("a copy that lost something is no remains for a map from before it came, once it is whole again", async () => {
  const store = storeOf("node-4");
  nodes.set("node-4", { store, shards: shardsOn("node-4", store, () => undefined), map: first });
  await put("node-1", "k", "acknowledged");
  const after = ["node-1", "node-2", "node-4"];
  learn(mapWith(1, after, ["node-1", "node-2", "node-3"]), "node-1", "node-2", "node-3", "node-4");
  start("node-1", "node-2", "node-4");
  await eventually(() => expect(here("node-4").copy.state).toBe("serving"));
  learn(mapWith(2, after), "node-1", "node-2", "node-3", "node-4");
  const { copy } = damage("node-4");
  await eventually(() => expect(copy.state).toBe("serving"));
  await copy.settled();
  // Its map was lost, and the first that it is given again is an older one.
  startAgain("node-4", first, () => undefined);
  learn(first, "node-4");
  learn(mapWith(2, after), "node-4");
  expect(here("node-4").copy.state).toBe("serving");
  expect(textAt("node-4", "k")).toBe("acknowledged");
});

it("a copy that knows of an earlier change to the same sets alone does not count when one is filled (12)", async () => {
  const [before, after] = [
    ["node-1", "node-2", "node-3"],
    ["node-1", "node-2", "node-4"],
  ] as const;
  const store = storeOf("node-4");
  nodes.set("node-4", { store, shards: shardsOn("node-4", store), map: first });
  // The change was cancelled, and begun again; node-3 has heard of the one, and node-2 of neither.
  learn(mapWith(1, after, before), "node-1", "node-2", "node-3");
  learn(mapWith(2, before), "node-1", "node-3");
  const again = mapWith(3, after, before);
  learn(again, "node-1", "node-4");
  away.add("node-3");
  start("node-4");
  const { copy, peers } = here("node-4");
  await eventually(() => {
    for (const id of ["node-1", "node-2"]) expect(peers.get(id)?.comparedMs).toBeDefined();
  });
  await copy.settled();
  expect(copy.state).toBe("filling");
  // What is acknowledged by the set before is met by whoever asks the one after.
  away.delete("node-3");
  away.add("node-1");
  await put("node-3", "k", "acknowledged");
  away.delete("node-1");
  away.add("node-3");
  learn(again, "node-2");
  await eventually(() => expect(copy.state).toBe("serving"));
  expect(textAt("node-4", "k")).toBe("acknowledged");
});

/** Of a write to the store of node-2: whether it is on disk. */
function written(): { isFlushed: boolean } {
  const seen = { isFlushed: false };
  const write = nodeOf("node-2").store.transact((writer) => writer.put(encodeKey("map"), Buffer.from("new")));
  void write.then(() => (seen.isFlushed = true));
  return seen;
}

it("a copy says only of a change that is on its disk that it goes by it", async () => {
  const changing = mapWith(1, ["node-1", "node-2"], ["node-1", "node-2", "node-3"]);
  nodeOf("node-2").shards.stop();
  await nodeOf("node-2").store.close();
  const store = storeOf("node-2", 2000);
  nodes.set("node-2", { store, shards: shardsOn("node-2", store), map: first });
  learn(changing, "node-1", "node-2", "node-3");
  const asked = written();
  const ask = { opening: here("node-3").copy.opening(), reading: false, lacks: false, wallMs: 0 };
  const body = { shard: "0", standing: standingOf(changing, "0"), ask };
  await nodeOf("node-2").shards.answers.answer("node-3", "quorum-open", body);
  expect(asked.isFlushed).toBe(true);

  const asking = written();
  const wasFlushed = new Promise<boolean>((resolve) => {
    gates.set("node-2 asks quorum-open", () => Promise.resolve(resolve(asking.isFlushed)));
  });
  nodeOf("node-2").shards.start();
  expect(await wasFlushed).toBe(true);
});

it("a new copy is counted as filled only once it is so on its disk, also by its own node", async () => {
  const [shard] = mapWith(1, ["node-1", "node-2", "node-4"], ["node-1", "node-2", "node-3"]).shards;
  if (shard?.outgoing === undefined) throw new Error("no change");
  const { since } = shard.outgoing;
  for (const asker of ["node-1", "node-4"]) {
    nodes.get("node-4")?.shards.stop();
    await nodes.get("node-4")?.store.close();
    const store = storeOf("node-4");
    nodes.set("node-4", { store, shards: shardsOn("node-4", store), map: first });
    learn({ ...first, epoch: first.epoch + 1, shards: [shard] }, "node-1", "node-2", "node-3", "node-4");
    const { copy } = here("node-4");
    await copy.become("filling", 0);
    let isFlushed = false;
    void copy.become("serving", since).then(() => (isFlushed = true));
    expect(await nodeOf(asker).shards.areFilled(shard, soon())).toBe(true);
    expect(isFlushed).toBe(true);
  }
});

/** The half of the slots that a split gives to shard 1, by whether it is copied still or has gone. */
function split(phase: "copying" | "dropping", which: "lower" | "upper" = "upper"): ShardMap {
  const [shard] = first.shards;
  if (shard === undefined) throw new Error("a map without shards");
  const halves = { lower: [{ from: 0, to: 8191 }], upper: [{ from: 8192, to: 16_383 }] };
  const half = halves[which];
  const handover = {
    id: first.epoch + 1,
    name: "split shard 0 at 8192 into 0 and 1",
    from: "0",
    to: "1",
    slice: { kind: "slots", slots: half, except: [], also: [] },
    isWhole: false,
    phase,
    versions: { from: 0, to: null },
  } as const;
  const made = { ...shard, id: "1" };
  return phase === "copying"
    ? {
        ...first,
        epoch: handover.id,
        shards: [shard, { ...made, slots: [], founding: true }],
        handover,
      }
    : {
        ...first,
        epoch: handover.id + 1,
        shards: [
          { ...shard, slots: halves[which === "upper" ? "lower" : "upper"], version: 1 },
          { ...made, slots: half, version: 1 },
        ],
        handover,
      };
}

/** Until the handover is that far on all nodes. */
function handoverIs(state: "ready" | "over"): Promise<void> {
  return eventually(() => {
    const states = [...nodes.values()].map(({ shards, map }) => {
      shards.follow();
      return shards.succession(map.handover?.id ?? 0).state;
    });
    expect(states).toEqual([state, state, state]);
  });
}

/** Of the shard that has ada's memories after the split. */
function copyAfterSplit(id: NodeId): CopyHere["copy"] {
  const copy = nodeOf(id).shards.here(slotOf("ada") < 8192 ? "0" : "1")?.copy;
  if (copy === undefined) throw new Error(`${id} holds no copy`);
  return copy;
}

it("a node that starts again while keys are copied serves them, and is told of writes to the copies it makes", async () => {
  await put("node-1", "k", "tea");
  startAgain("node-2", split("copying"));
  learn(split("copying"), "node-1", "node-2", "node-3");
  expect(here("node-2").copy).toMatchObject({ version: 0, state: "serving" });
  await update("node-2", "k", "green tea");
  expect(textAt("node-2", "k")).toBe("green tea");

  await handoverIs("ready");
  await update("node-1", "k", "white tea");
  learn(split("dropping"), "node-1", "node-2", "node-3");
  await handoverIs("over");
  const texts = [...nodes.keys()].map((id) => copyAfterSplit(id).machine.record("ada", "k")?.memory);
  expect(texts).toEqual(["white tea", "white tea", "white tea"]);
});

it("a node that starts again while keys go brings the others every memory that it holds", async () => {
  away.add("node-3");
  await put("node-1", "k", "tea");
  learn(split("copying"), "node-1", "node-2", "node-3");
  await handoverIs("ready");
  // What it has made is on its disk, and not that it took over.
  startAgain("node-2", split("dropping"));
  learn(split("dropping"), "node-1", "node-2", "node-3");
  await handoverIs("over");
  away.clear();
  away.add("node-1");
  const copy = copyAfterSplit("node-3");
  await compareWith(copy, "node-3", "node-2");
  expect(copy.machine.record("ada", "k")?.memory).toBe("tea");
  expect(copy.items.tree.root).toBe(copyAfterSplit("node-2").items.tree.root);
});

it("a node that leaves the shard that was split while it still makes its part keeps what it makes, and what of", async () => {
  // More than are made in one go.
  const ids = Array.from({ length: 250 }, (_, at) => `k${at}`);
  for (const id of ids) await put("node-1", id, id);
  const { handover, ...rest } = split("dropping", slotOf("ada") < 8192 ? "lower" : "upper");
  if (handover === undefined) throw new Error("a split without a handover");
  const [left, made] = rest.shards;
  if (left === undefined || made === undefined) throw new Error("a split into one");
  const others = { ...left, replicas: ["node-2", "node-3"] };
  const leaving = { ...others, outgoing: { replicas: left.replicas, since: rest.epoch } };
  learn({ ...rest, handover, shards: [leaving, made] }, "node-1");
  learn({ ...rest, handover, shards: [others, made], epoch: rest.epoch + 1 }, "node-1");
  await eventually(() => {
    nodeOf("node-1").shards.follow();
    expect(nodeOf("node-1").shards.succession(handover.id).state).toBe("over");
  });
  learn({ ...rest, shards: [others, made], epoch: rest.epoch + 2 }, "node-1");
  const copy = nodeOf("node-1").shards.here("1")?.copy;
  expect(copy?.state).toBe("serving");
  // What is removed is removed at leisure.
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(ids.map((id) => copy?.machine.record("ada", id)?.memory)).toEqual(ids);
  expect(nodeOf("node-1").shards.here("0")).toBeUndefined();
});

/** Shard 0 is all shard 1's, and is in the map no more. */
function merged(): ShardMap {
  const [shard] = first.shards;
  if (shard === undefined) throw new Error("a map without shards");
  const handover = {
    id: first.epoch + 1,
    name: "merge shard 0 into 1",
    from: "0",
    to: "1",
    slice: { kind: "slots", slots: shard.slots, except: [], also: [] },
    isWhole: true,
    phase: "dropping",
    versions: { from: 0, to: null },
  } as const;
  return { ...first, epoch: handover.id + 1, shards: [{ ...shard, id: "1", version: 1 }], handover };
}

/** One letter of a text is another one everywhere on the disk of a node, which starts again with that. */
async function startWithRot(id: NodeId, text: string, map: ShardMap): Promise<void> {
  const { shards, store } = nodeOf(id);
  shards.stop();
  await store.close();
  const file = join(folderOf(id), "data.mdb");
  const bytes = readFileSync(file);
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) bytes.write("?", at);
  writeFileSync(file, bytes);
  const opened = storeOf(id);
  nodes.set(id, { store: opened, shards: shardsOn(id, opened, () => undefined), map });
}

it("a node that cannot read a memory of a shard that has gone makes the copy without it, and is told of it", async () => {
  await put("node-1", "k", "tea with rot");
  await put("node-1", "l", "coffee");
  await startWithRot("node-2", "tea with rot", merged());
  learn(merged(), "node-1", "node-2", "node-3");
  await handoverIs("over");
  const copyAt = (id: NodeId): CopyHere["copy"] => {
    const copy = nodeOf(id).shards.here("1")?.copy;
    if (copy === undefined) throw new Error(`${id} holds no copy`);
    return copy;
  };
  const copy = copyAt("node-2");
  expect(copy).toMatchObject({ version: 1, state: "rebuilding" });
  const texts = (): unknown => ["k", "l"].map((id) => copy.machine.record("ada", id)?.memory);
  expect(texts()).toEqual([undefined, "coffee"]);
  await compareWith(copy, "node-2", "node-1");
  expect(texts()).toEqual(["tea with rot", "coffee"]);
  expect(copyAt("node-1").machine.record("ada", "k")?.memory).toBe("tea with rot");
});

it("what is made of a copy refuses new memories alone, and whoever sent one is told to come again", async () => {
  await put("node-1", "k", "tea");
  const heirs = { wrote: () => undefined, finish: () => undefined, refuse: () => true };
  here("node-1").copy.heirs = heirs;
  await expect(put("node-1", "l", "milk")).rejects.toMatchObject({
    kind: "unavailable",
    code: "stale-epoch",
  });
  await put("node-1", "k", "coffee");
  await update("node-1", "k", "cocoa");
  here("node-1").copy.heirs = undefined;
  await put("node-1", "l", "milk");
  expect([textAt("node-1", "k"), textAt("node-1", "l")]).toEqual(["cocoa", "milk"]);
});

it("a copy that lost something at the end of a comparison was not filled by it", async () => {
  startAgain("node-3", first, () => undefined);
  learn(first, "node-3");
  away.add("node-2");
  const { copy, sources } = here("node-3");
  await copy.joinedBy(["node-4"]);
  const done = hold("node-3 is answered quorum-done");
  nodeOf("node-3").shards.start();
  await done.reached;
  done.release();
  // What it keeps of the comparison is on its way to the disk.
  for (let turn = 0; turn < 1000 && copy.members.includes("node-4"); turn += 1) await Promise.resolve();
  away.add("node-1");
  damage();
  await eventually(() => expect(copy.isReadable).toBe(true));
  expect([...sources.keys()]).toEqual([]);
});

it("a request that outlives a copy which was cut off for too long, and then given up, ends nothing but itself", async () => {
  await put("node-1", "k", "tea");
  const { coordinator } = here("node-3");
  limits.awayMsMax = -1;
  learn(mapWith(1, ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  const get = coordinator.read(queries.get("k"), "quorum", soon());
  await expect(get).rejects.toMatchObject({ kind: "unavailable", code: "copy-not-serving" });
  await cleared("node-3");
});
