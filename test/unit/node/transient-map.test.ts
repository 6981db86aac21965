import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { TransientMap } from "../../../src/node/transient-map.ts";

it("gives each value once, in the order in which they came", () => {
  const map = new TransientMap<string, { readonly number: number }>();
  for (const [at, key] of ["a", "b", "c"].entries()) map.set(key, { number: at });
  expect([map.size, map.take("a"), map.take("a"), map.size]).toEqual([3, { number: 0 }, undefined, 2]);
  map.set("a", { number: 9 });
  expect(map.takeAll()).toEqual([{ number: 1 }, { number: 2 }, { number: 9 }]);
  expect([map.size, map.takeAll()]).toEqual([0, []]);
});

it("keeps nothing of what has gone, however long it has been there itself", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options?: { readonly type: "minor" }) => void;
  const map = new TransientMap<number, object>();
  const throughMap = (bytes: number, from: number): void => {
    for (let number = from; number < from + bytes / 10_000; number += 1) {
      map.set(
        number,
        Array.from({ length: 1250 }, () => 0.5),
      );
      map.take(number - 8);
    }
  };
  throughMap(1e6, 0);
  // Old by now, as in a process that has run for a while.
  collect();
  collect();
  const before = process.memoryUsage().heapUsed;
  throughMap(30e6, 1e6);
  collect({ type: "minor" });
  collect({ type: "minor" });
  // A Map has half of them here.
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(5e6);
});
