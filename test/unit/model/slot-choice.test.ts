import { describe, expect, it } from "vitest";
import { parseSlots } from "../../../src/model/slot-choice.ts";
import { lastSlots, slotsOutside } from "../../../src/topology/slot-ranges.ts";

describe("which slots are meant", () => {
  it("reads a number as how many, and ranges in any order", () => {
    expect(parseSlots("100")).toEqual({ count: 100 });
    expect(parseSlots("7-9,5-5")).toEqual({
      ranges: [
        { from: 5, to: 5 },
        { from: 7, to: 9 },
      ],
    });
    expect(parseSlots("0-16383")).toEqual({ ranges: [{ from: 0, to: 16_383 }] });
  });

  it.each([
    ["0", "slot 0 alone is 0-0"],
    ["16385", "from 1 to 16384"],
    ["", "ranges"],
    ["-1", "ranges"],
    ["1.5", "ranges"],
    ["1-", "ranges"],
    ["1-2,", "ranges"],
    ["9-1", "ends before it begins"],
    ["0-16384", "0 to 16383"],
    ["1-5,5-9", "named twice"],
    ["999999999999999999", "ranges"],
  ])("says what is wrong with %j", (text, said) => {
    expect(parseSlots(text)).toEqual(expect.stringContaining(said));
  });

  it("takes the last ones, over as many ranges as that needs", () => {
    const owned = [
      { from: 0, to: 9 },
      { from: 20, to: 24 },
    ];
    expect(lastSlots(owned, 5)).toEqual([{ from: 20, to: 24 }]);
    expect(lastSlots(owned, 7)).toEqual([
      { from: 8, to: 9 },
      { from: 20, to: 24 },
    ]);
    expect(slotsOutside([{ from: 5, to: 30 }], owned)).toEqual([
      { from: 10, to: 19 },
      { from: 25, to: 30 },
    ]);
  });
});
