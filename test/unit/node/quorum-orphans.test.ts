// What a copy alone holds that was away for longer than deletions are remembered for it.

import { expect, it } from "vitest";
import { absent } from "../../../src/consensus/quorum/versions.ts";
import { Mem0ctlError } from "../../../src/model/errors.ts";
import { queries } from "../../../src/node/cluster/shard-queries.ts";
import { pause } from "../../../src/node/clock.ts";
import { putItem } from "../../../src/node/memories/commands.ts";
import { type CopyHere } from "../../../src/node/quorum/copy-here.ts";
import { systemClock } from "../../../src/node/system-clock.ts";
import { eventually } from "./eventually.ts";
import {
  AT,
  LIMITS,
  limits,
  nodes,
  away,
  gates,
  first,
  mapWith,
  nodeOf,
  here,
  hold,
  put,
  update,
  request,
  soon,
  compareWith,
  textAt,
  learn,
  storeOf,
  shardsOn,
  startAgain,
  withThreeNodes,
  damage,
  start,
} from "./quorum-nodes.ts";

withThreeNodes();

/** node-1 takes a write that no other copy hears of, and comes back after it was away for too long. */
async function comeBackWith(write: () => Promise<unknown>): Promise<CopyHere["copy"]> {
  gates.set("node-1 asks quorum-store", () =>
    Promise.reject(new Mem0ctlError("unavailable", "peer-unreachable", "node-1")),
  );
  await write().catch(() => undefined);
  gates.delete("node-1 asks quorum-store");
  expect(textAt("node-1", "k")).toBe("green tea");
  const { copy } = here("node-1");
  await copy.become("rebuilding");
  return copy;
}

/** A write of node-1 is under way to the others, until it fails without having reached them. */
function loseWrite(): { readonly reached: Promise<void>; readonly fail: () => void } {
  let fail: (error: Error) => void = () => undefined;
  const unsent = new Promise<void>((_, reject) => (fail = reject));
  const reached = new Promise<void>((resolve) => {
    gates.set("node-1 asks quorum-store", () => {
      resolve();
      return unsent;
    });
  });
  return { reached, fail: () => fail(new Mem0ctlError("unavailable", "peer-unreachable", "node-1")) };
}

it("what a copy that was away for too long alone has heard of, and nobody acknowledged, goes (10)", async () => {
  const copy = await comeBackWith(() => put("node-1", "k", "green tea"));
  start("node-1", "node-2", "node-3");
  await eventually(() => expect(copy.state).toBe("serving"));
  for (const id of ["node-1", "node-2", "node-3"]) {
    await compareWith(here(id).copy, id, id === "node-1" ? "node-2" : "node-1");
    expect(textAt(id, "k")).toBeUndefined();
  }
});

it("what nobody has heard of goes, too, when its write is still under way as the copy comes back", async () => {
  const { reached, fail } = loseWrite();
  const outcome = put("node-1", "k", "green tea").catch((error: unknown) => error);
  await reached;
  const { copy } = here("node-1");
  await copy.become("rebuilding");
  const asked = hold("node-1 is answered quorum-outlines");
  start("node-1", "node-2", "node-3");
  await asked.reached;
  asked.release();
  await eventually(() => expect(here("node-1").orphans.awaits("node-2")).toBe(false));
  expect(copy.state).toBe("rebuilding");
  fail();
  expect(await outcome).toBeInstanceOf(Mem0ctlError);
  await eventually(() => expect(copy.state).toBe("serving"));
  expect(textAt("node-1", "k")).toBeUndefined();
});

it("what nobody has heard of is not judged before its write has ended, however long that takes", async () => {
  const { reached, fail } = loseWrite();
  const outcome = put("node-1", "k", "green tea").catch((error: unknown) => error);
  await reached;
  const { copy } = here("node-1");
  await copy.become("rebuilding");
  start("node-1", "node-2", "node-3");
  // Longer than those are waited for who give no answer.
  await pause(systemClock, 20 * limits.compareEveryMs);
  fail();
  expect(await outcome).toBeInstanceOf(Mem0ctlError);
  await eventually(() => expect(copy.state).toBe("serving"));
  expect(textAt("node-1", "k")).toBeUndefined();
});

it("what is still on its way to another copy is not judged, though its write was answered", async () => {
  const sent = hold("node-1 asks quorum-store");
  gates.set("node-1 is answered quorum-digests", () => {
    // Two are enough to read, and three to write.
    away.add("node-3");
    return Promise.resolve();
  });
  const record = { memory: "green tea", user_id: "ada", created_at: AT, updated_at: AT, hash: "green tea" };
  const item = putItem({ id: "k", key: "ada", record, vector: Float32Array.of(1, 0) });
  const outcome = here("node-1").coordinator.write({
    command: { t: "put", items: [item] },
    ...request("put"),
    consistency: { read: "quorum", write: "all" },
  });
  await expect(outcome).rejects.toMatchObject({ kind: "unknown-outcome" });
  await sent.reached;
  gates.clear();
  away.clear();
  const { copy } = here("node-1");
  await copy.become("rebuilding");
  const compared = hold("node-1 asks quorum-open");
  start("node-1");
  await pause(systemClock, 5 * limits.compareEveryMs);
  sent.release();
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
  compared.release();
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-3", "k")).toBe("green tea"));
  expect(textAt("node-1", "k")).toBe("green tea");
});

it("a copy that was away for too long gives nothing before all others have said what they know", async () => {
  // It waits for three rounds of these.
  limits.compareEveryMs = 2000;
  startAgain("node-1", first);
  learn(first, "node-1");
  const copy = await comeBackWith(() => put("node-1", "k", "green tea"));
  away.add("node-3");
  start("node-1");
  await eventually(() => expect(here("node-1").orphans.awaits("node-2")).toBe(false));
  expect(copy.state).toBe("rebuilding");
  const { copy: other } = here("node-2");
  const refused = { code: "copy-not-serving" };
  await expect(compareWith(other, "node-2", "node-1")).rejects.toMatchObject(refused);
  await expect(compareWith(copy, "node-1", "node-2")).rejects.toMatchObject(refused);
  expect(textAt("node-2", "k")).toBeUndefined();
  expect(textAt("node-1", "k")).toBe("green tea");
  away.clear();
  await eventually(() => expect(copy.state).toBe("serving"));
  expect(textAt("node-1", "k")).toBeUndefined();
});

it("what nobody has heard of stays where another copy is not reached for a while", async () => {
  const copy = await comeBackWith(() => put("node-1", "k", "green tea"));
  away.add("node-3");
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("what one more copy had flushed stays, whoever is asked first", async () => {
  away.add("node-2");
  await put("node-1", "k", "green tea");
  away.clear();
  const { copy } = here("node-1");
  await copy.become("rebuilding");
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("what was acknowledged by the copy that was away alone stays", async () => {
  const { coordinator } = here("node-1");
  const one = { ...request("put k"), consistency: { read: "one", write: "one" } as const };
  const record = { memory: "green tea", user_id: "ada", created_at: AT, updated_at: AT, hash: "tea" };
  const item = putItem({ id: "k", key: "ada", record, vector: Float32Array.of(1, 0) });
  const copy = await comeBackWith(() => coordinator.write({ command: { t: "put", items: [item] }, ...one }));
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("what nobody acknowledged stays where the others still have what it superseded", async () => {
  await put("node-1", "k", "tea");
  const copy = await comeBackWith(() => update("node-1", "k", "green tea"));
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("what nobody has heard of stays where another copy lacks something itself", async () => {
  startAgain("node-3", first, () => undefined);
  learn(first, "node-3");
  const copy = await comeBackWith(() => put("node-1", "k", "green tea"));
  damage();
  start("node-1", "node-3");
  await eventually(() => expect([copy.state, here("node-3").copy.state]).toEqual(["serving", "serving"]));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("a copy that was cut off for too long answers nothing from the moment it meets another (9)", async () => {
  const get = (): Promise<unknown> => here("node-1").coordinator.read(queries.get("k"), "one", soon());
  limits.awayMsMax = -1;
  for (const id of ["node-2", "node-3"]) away.add(id);
  await expect(get()).rejects.toMatchObject({ code: "memory-not-found" });
  away.clear();
  await expect(get()).rejects.toMatchObject({ code: "copy-not-serving" });
});

it("what one copy has forgotten without another, whoever took over its floor has forgotten as well (9)", async () => {
  const forgotten = [["another", 7]] as const;
  await here("node-2").copy.raiseFloor({ floor: forgotten, forgotten });
  for (const id of ["node-1", "node-3"]) await here(id).copy.raiseFloor({ floor: forgotten, forgotten: [] });
  await compareWith(here("node-3").copy, "node-3", "node-2");
  await compareWith(here("node-2").copy, "node-2", "node-1");
  for (const id of ["node-1", "node-3"]) expect(here(id).copy.forgotten).toEqual(forgotten);
});

it("what another copy acknowledged stays though it is no member any more when the one that was away is back", async () => {
  away.add("node-2");
  await put("node-1", "k", "green tea");
  away.clear();
  const { copy } = here("node-1");
  learn(mapWith(1, ["node-1", "node-2"]), "node-1", "node-2", "node-3");
  await copy.become("rebuilding");
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
  // What it takes from now on can be known to no other.
  await eventually(() => expect(copy.members).toEqual(["node-2"]));
  startAgain("node-1", mapWith(1, ["node-1", "node-2"]));
  learn(mapWith(1, ["node-1", "node-2"]), "node-1");
  expect(here("node-1").copy.members).toEqual(["node-2"]);
});

it("a copy that lets a deletion go because another has forgotten it knows itself without whom (9)", async () => {
  away.add("node-3");
  await put("node-1", "k", "tea");
  await here("node-1").coordinator.write({ command: { t: "delete", id: "k" }, ...request("delete") });
  const { copy } = here("node-2");
  await compareWith(copy, "node-2", "node-1");
  const { context } = copy.items.outline("k");
  expect(copy.items.outline("k").versions).toMatchObject([{ value: null }]);
  await copy.take([{ id: "k", item: absent() }], context);
  expect(copy.items.outline("k").versions).toEqual([]);
  // node-3, which was away, is rebuilt, whichever of the two it meets.
  expect(copy.forgotten).toEqual(context);
});

it("two copies that were both away for too long do not both drop what superseded the same", async () => {
  const two = mapWith(1, ["node-1", "node-2"]);
  learn(two, "node-1", "node-2", "node-3");
  await put("node-1", "k", "tea");
  await here("node-1").copy.exchanged(["node-2"]);
  await here("node-2").copy.exchanged(["node-1"]);
  // Each writes over it without having heard of the other.
  for (const [at, text] of [
    ["node-1", "green tea"],
    ["node-2", "black tea"],
  ] as const) {
    gates.set(`${at} asks quorum-store`, () =>
      Promise.reject(new Mem0ctlError("unavailable", "peer-unreachable", at)),
    );
    const command = { t: "update", id: "k", text, hash: text, at: AT } as const;
    const consistency = { read: "one", write: "quorum" } as const;
    await here(at)
      .coordinator.write({ command, ...request(text), consistency })
      .catch(() => undefined);
    gates.delete(`${at} asks quorum-store`);
    expect(textAt(at, "k")).toBe(text);
  }
  const copies = [here("node-1").copy, here("node-2").copy];
  for (const copy of copies) await copy.become("rebuilding");
  start("node-1", "node-2");
  await eventually(() => expect(copies.map(({ state }) => state)).toEqual(["serving", "serving"]));
  await eventually(() => expect(textAt("node-1", "k")).toBe(textAt("node-2", "k")));
  expect(textAt("node-1", "k")).toBe("black tea");
});

it("what nobody has heard of stays where another copy loses something while it is asked", async () => {
  const two = mapWith(1, ["node-1", "node-2"]);
  learn(two, "node-1", "node-2", "node-3");
  startAgain("node-2", two, () => undefined);
  learn(two, "node-2");
  await here("node-1").copy.exchanged(["node-2"]);
  const copy = await comeBackWith(() => put("node-1", "k", "green tea"));
  const answered = hold("node-1 is answered quorum-outlines");
  start("node-1");
  await answered.reached;
  damage("node-2");
  await eventually(() => expect(here("node-2").copy.isReadable).toBe(true));
  answered.release();
  start("node-2");
  await eventually(() => expect([copy.state, here("node-2").copy.state]).toEqual(["serving", "serving"]));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("a copy that was replaced and called back while it was away is filled by as many as any new one (12)", async () => {
  const replaced = ["node-1", "node-2", "node-4"];
  const store = storeOf("node-4");
  nodes.set("node-4", { store, shards: shardsOn("node-4", store), map: first });
  nodeOf("node-3").shards.stop();
  away.add("node-3");
  learn(mapWith(1, replaced, ["node-1", "node-2", "node-3"]), ...replaced);
  start(...replaced);
  await eventually(() => expect(here("node-4").copy.state).toBe("serving"));
  learn(mapWith(2, replaced), ...replaced);
  for (const id of replaced) startAgain(id, mapWith(2, replaced));
  learn(mapWith(2, replaced), ...replaced);
  away.add("node-2");
  await put("node-1", "k", "acknowledged");
  away.delete("node-2");
  expect(textAt("node-4", "k")).toBe("acknowledged");
  expect(textAt("node-2", "k")).toBeUndefined();
  // Of the map between it has not heard.
  const back = mapWith(3, ["node-1", "node-2", "node-3"], replaced);
  learn(back, ...replaced);
  limits.awayMsMax = -1;
  startAgain("node-3", back);
  learn(back, "node-3");
  limits.awayMsMax = LIMITS.awayMsMax;
  const { copy } = here("node-3");
  expect(copy.state).toBe("rebuilding");
  // One alone is met, which missed the write.
  away.clear();
  away.add("node-1");
  away.add("node-4");
  limits.compareEveryMs = 50;
  start("node-3");
  await eventually(() => expect([...here("node-3").sources.keys()]).toEqual(["node-2"]));
  await copy.settled();
  expect(copy.state).toBe("rebuilding");
  away.clear();
  await eventually(() => expect(copy.state).toBe("serving"));
  expect(textAt("node-3", "k")).toBe("acknowledged");
});

it("what another copy has in the place of what goes is taken first: both may have superseded the same", async () => {
  away.add("node-3");
  await put("node-1", "k", "tea");
  away.clear();
  for (const [at, text] of [
    ["node-1", "green tea"],
    ["node-2", "black tea"],
  ] as const) {
    gates.set(`${at} asks quorum-store`, () =>
      Promise.reject(new Mem0ctlError("unavailable", "peer-unreachable", at)),
    );
    const command = { t: "update", id: "k", text, hash: text, at: AT } as const;
    const consistency = { read: "one", write: "quorum" } as const;
    await here(at)
      .coordinator.write({ command, ...request(text), consistency })
      .catch(() => undefined);
    gates.delete(`${at} asks quorum-store`);
  }
  const { copy } = here("node-1");
  await copy.become("rebuilding");
  // Once it has answered, node-2 is gone.
  gates.set("node-1 asks quorum-open", () => {
    gates.delete("node-1 asks quorum-open");
    away.add("node-2");
    return Promise.reject(new Mem0ctlError("unavailable", "peer-unreachable", "node-2"));
  });
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  expect(textAt("node-1", "k")).toBe("black tea");
  const { copy: other } = here("node-2");
  await other.become("rebuilding");
  away.clear();
  start("node-2", "node-3");
  await eventually(() => expect(other.state).toBe("serving"));
  await eventually(() =>
    expect(["node-1", "node-2", "node-3"].map((id) => textAt(id, "k"))).toEqual(Array(3).fill("black tea")),
  );
});

it("what nobody has heard of stays where another copy is there and does not answer", async () => {
  const copy = await comeBackWith(() => put("node-1", "k", "green tea"));
  nodeOf("node-3").shards.stop();
  start("node-1");
  await eventually(() => expect(copy.state).toBe("serving"));
  await eventually(() => expect(textAt("node-2", "k")).toBe("green tea"));
});

it("a copy that has to ask what others know sends nothing more of what it was writing", async () => {
  const items = ["k1", "k2"].map((id) => {
    const record = {
      memory: "x".repeat(3 << 20) + id,
      user_id: "ada",
      created_at: AT,
      updated_at: AT,
      hash: id,
    };
    return putItem({ id, key: "ada", record, vector: Float32Array.of(1, 0) });
  });
  const gate = hold("node-1 asks quorum-store");
  away.add("node-3");
  const outcome = here("node-1")
    .coordinator.write({ command: { t: "put", items }, ...request("both") })
    .catch((error: unknown) => error);
  await gate.reached;
  await here("node-1").copy.become("rebuilding");
  gate.release();
  expect(await outcome).toMatchObject({ kind: "unknown-outcome" });
  expect(["k1", "k2"].map((id) => textAt("node-2", id)?.length)).toEqual([(3 << 20) + 2, undefined]);
});

/**
 * node-1 alone has a write that was done elsewhere as well and deleted there; the others have forgotten that without it,
 * and it takes itself for one that was not away for long.
 */
async function forgetWithout(): Promise<void> {
  gates.set("node-1 asks quorum-store", () =>
    Promise.reject(new Mem0ctlError("unavailable", "peer-unreachable", "node-1")),
  );
  await put("node-1", "k", "green tea").catch(() => undefined);
  gates.delete("node-1 asks quorum-store");
  away.add("node-1");
  await put("node-2", "k", "green tea");
  await here("node-2").coordinator.write({ command: { t: "delete", id: "k" }, ...request("delete") });
  await compareWith(here("node-3").copy, "node-3", "node-2");
  for (const [id, other] of [
    ["node-2", "node-3"],
    ["node-3", "node-2"],
  ] as const) {
    const { floor } = here(other).copy;
    const witnesses = [
      { node: other, floor, awayMs: 0 },
      { node: "node-1", floor: undefined, awayMs: 2 },
    ];
    await here(id).copy.collect(witnesses, { nowMs: Date.now() + 1000, graceMs: 0, awayMsMax: 1 });
    expect([...here(id).copy.items.tombstones()]).toEqual([]);
  }
  away.clear();
  expect(textAt("node-1", "k")).toBe("green tea");
  expect(here("node-1").copy.state).toBe("serving");
}

/** What was deleted is nowhere once all copies have met. */
async function expectGone(): Promise<void> {
  start("node-1", "node-2", "node-3");
  await eventually(() => expect(textAt("node-1", "k")).toBeUndefined());
  for (const id of ["node-2", "node-3"]) expect(textAt(id, "k")).toBeUndefined();
}

it("a read at a copy without which deletions were forgotten brings none of them back (10)", async () => {
  await forgetWithout();
  const read = here("node-1").coordinator.read(queries.get("k"), "quorum", soon());
  await expect(read).rejects.toMatchObject({ kind: "unavailable" });
  await expectGone();
});

it("a read that asks a copy without which deletions were forgotten brings none of them back (10)", async () => {
  await forgetWithout();
  away.add("node-3");
  const read = here("node-2").coordinator.read(queries.get("k"), "quorum", soon());
  await expect(read).rejects.toMatchObject({ kind: "unavailable" });
  away.clear();
  await expectGone();
});

it("a hint of a copy without which deletions were forgotten brings none of them back (10)", async () => {
  await forgetWithout();
  const { handoff } = here("node-1");
  expect(handoff.book.countFor("node-2")).toBe(1);
  await handoff.bring("node-2").catch(() => undefined);
  expect(textAt("node-2", "k")).toBeUndefined();
  await expectGone();
});

it("what is forgotten without a copy while it is compared is not brought back by that comparison (10)", async () => {
  const opened = hold("node-1 is answered quorum-open");
  away.add("node-1");
  await put("node-2", "other", "tea");
  away.clear();
  const comparison = compareWith(here("node-1").copy, "node-1", "node-2").catch(() => undefined);
  await opened.reached;
  await forgetWithout();
  opened.release();
  await comparison;
  expect(textAt("node-2", "k")).toBeUndefined();
  await expectGone();
});

it("a copy that has asked because of what was forgotten without it is not rebuilt for that again and again", async () => {
  const two = mapWith(1, ["node-1", "node-2"]);
  learn(two, "node-1", "node-2", "node-3");
  startAgain("node-2", two, () => undefined);
  learn(two, "node-2");
  const forgotten = [["another", 7]] as const;
  await here("node-2").copy.raiseFloor({ floor: forgotten, forgotten });
  // From here on nobody can say any more what was seen up to there.
  damage("node-2");
  start("node-1", "node-2");
  const copies = ["node-1", "node-2"].map((id) => here(id).copy);
  await eventually(() => {
    for (const copy of copies) {
      expect(copy.forgotten).toEqual(forgotten);
      expect(copy.state).toBe("serving");
    }
  });
  const generations = copies.map(({ generation }) => generation);
  await pause(systemClock, 5 * limits.compareEveryMs);
  expect(copies.map(({ generation }) => generation)).toEqual(generations);
  await put("node-1", "k", "tea");
  await put("node-2", "k", "green tea");
});

it("a read that waits for the disk tells nothing that its copy has to withhold by then (10)", async () => {
  await forgetWithout();
  const { copy, coordinator } = here("node-1");
  // Something has to be flushed before anything is told.
  const flushed = copy.joinedBy(["node-4"]);
  const read = coordinator.read(queries.get("k"), "quorum", soon()).catch((error: unknown) => error);
  await copy.become("rebuilding");
  await flushed;
  expect(await read).toBeInstanceOf(Mem0ctlError);
  for (const id of ["node-2", "node-3"]) expect(textAt(id, "k")).toBeUndefined();
});
