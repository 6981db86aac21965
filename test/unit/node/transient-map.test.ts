import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { TransientMap } from "../../../src/node/transient-map.ts";

it("gives each value once, in the order in which they came", () => {
  const map = new TransientMap<string, { readonly number: number }>();
  for (const [at, key] of ["a", "b", "c"].entries()) map.set(key, { number: at });
  map.set("b", { number: 7 });
  expect([map.size, map.get("b"), map.get("d")]).toEqual([3, { number: 7 }, undefined]);
  expect([map.take("a"), map.take("a"), map.get("a")]).toEqual([{ number: 0 }, undefined, undefined]);
  map.set("a", { number: 9 });
  expect(map.takeAll()).toEqual([{ number: 7 }, { number: 2 }, { number: 9 }]);
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
