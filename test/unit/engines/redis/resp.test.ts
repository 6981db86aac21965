// The wire format: replies are the same however the network cuts them, and garbage is refused, not awaited.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  encodeCommands,
  ProtocolError,
  ReplyError,
  ReplyParser,
} from "../../../../src/engines/redis/resp.ts";
import type { Reply } from "../../../../src/engines/redis/resp.ts";

function parse(bytes: Buffer, pieces: readonly number[] = []): Reply[] {
  const parser = new ReplyParser();
  const replies: Reply[] = [];
  let at = 0;
  for (const length of pieces) {
    replies.push(...parser.push(bytes.subarray(at, at + length)));
    at += length;
  }
  replies.push(...parser.push(bytes.subarray(at)));
  return replies;
}

const WIRE = Buffer.from(
  "+OK\r\n-MOVED 3999 127.0.0.1:6381\r\n:-7\r\n$5\r\na\r\nb!\r\n$-1\r\n*3\r\n:1\r\n*2\r\n$1\r\nx\r\n-ERR y\r\n*0\r\n*-1\r\n$0\r\n\r\n",
  "latin1",
);
const MEANT: readonly Reply[] = [
  "OK",
  new ReplyError("MOVED 3999 127.0.0.1:6381"),
  -7,
  Buffer.from("a\r\nb!"),
  null,
  [1, [Buffer.from("x"), new ReplyError("ERR y")], []],
  null,
  Buffer.alloc(0),
];

describe("replies", () => {
  it("are read whole, nested, and with errors as values", () => {
    expect(parse(WIRE)).toEqual(MEANT);
  });

  it("are the same wherever the stream is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 30 }), (pieces) => {
        expect(parse(WIRE, pieces)).toEqual(MEANT);
      }),
    );
  });

  it.each(["HTTP/1.1 400\r\n", "$x\r\n", "$-2\r\n", "*99999999999\r\n", "$9999999999\r\n", ":1.5\r\n"])(
    "%j is refused",
    (text) => {
      expect(() => parse(Buffer.from(text))).toThrow(ProtocolError);
    },
  );

  it("a line without end, and arrays without bottom, are refused", () => {
    expect(() => parse(Buffer.from(`+${"x".repeat(70_000)}`))).toThrow(ProtocolError);
    expect(() => parse(Buffer.from("*1\r\n".repeat(40)))).toThrow(ProtocolError);
  });
});

it("commands carry text, numbers and bytes that are no text", () => {
  const bytes = encodeCommands([
    ["SET", Buffer.from([0xff, 0x0d, 0x0a]), "é"],
    ["TTL", 7],
  ]);
  expect(bytes.toString("latin1")).toBe(
    "*3\r\n$3\r\nSET\r\n$3\r\n\xff\r\n\r\n$2\r\n\xc3\xa9\r\n*2\r\n$3\r\nTTL\r\n$1\r\n7\r\n",
  );
});
