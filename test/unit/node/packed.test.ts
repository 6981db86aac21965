import { expect, it } from "vitest";
import { isRaftMessage } from "../../../src/consensus/raft/messages.ts";
import type { Message } from "../../../src/consensus/seam.ts";
import { pack, unpack } from "../../../src/node/transport/frames.ts";
import { packMessage, unpackMessage } from "../../../src/node/transport/packed.ts";

const envelope = { from: "node-1", to: "node-2", term: 3 };

function travelled(message: Message): unknown {
  return unpackMessage(unpack(pack(packMessage("s7", message))), "node-1", "node-2");
}

it("every message arrives as it was sent, whatever form it travels in", () => {
  const data = Buffer.from("a command");
  const config = Buffer.from('{"voters":["node-1"],"learners":[],"arbiters":[]}');
  const messages: Message[] = [
    { kind: "append", ...envelope, prevIndex: 7, prevTerm: 2, commit: 6, entries: [] } as Message,
    {
      kind: "append",
      ...envelope,
      prevIndex: 7,
      prevTerm: 2,
      commit: 7,
      entries: [
        { index: 8, term: 2, kind: "command", data },
        { index: 9, term: 3, kind: "noop", data: Buffer.alloc(0) },
        { index: 10, term: 3, kind: "config", data: config },
      ],
    } as Message,
    { kind: "append-accepted", ...envelope, index: 2 ** 52 } as Message,
    { kind: "append-rejected", ...envelope, index: 9, hintIndex: 4, hintTerm: 1 } as Message,
    { kind: "heartbeat", ...envelope, commit: 6, round: 2, heldByAll: 0 } as Message,
    // Paxos: an entry with a round of its own.
    {
      kind: "accept",
      ...envelope,
      first: 8,
      entries: [{ index: 8, term: 1, kind: "command", data, ballot: 3 }],
    } as Message,
  ];
  for (const message of messages) expect(travelled(message)).toEqual(["s7", message]);
});

it("what is no message is left out or refused by the protocol, and throws nothing", () => {
  for (const packed of [null, 7, "append", {}, [], ["s7"], ["s7", 4], ["s7", null], ["s7", 1, 2, 3]]) {
    expect(unpackMessage(packed, "node-1", "node-2")).toBeUndefined();
  }
  expect(unpackMessage(["s7", 3, 7, 2, 6, "entries"], "node-1", "node-2")).toBeUndefined();
  const damaged = [
    ["s7", "3", 7],
    ["s7", 3, -1],
    ["s7", 3, 7, 2, 6, [7]],
    ["s7", 3, 7, 2, 6, [[3, "command", "no bytes"]]],
    ["s7", 3, 7, 2, 6, [[4, "command", Buffer.alloc(1)]]],
    ["s7", 3, "7", 2, 6, [[3, "command", Buffer.alloc(1)]]],
  ];
  for (const packed of damaged) {
    const found = unpackMessage(packed, "node-1", "node-2");
    if (found === undefined) throw new Error("a form that is known was left out");
    expect(isRaftMessage(found[1])).toBe(false);
  }
});
