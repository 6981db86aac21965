// Whatever the text is, parsing ends with a manifest or with findings, and never throws.

import { expect, it } from "vitest";
import fc from "fast-check";
import { didYouMean, editDistance } from "../../../src/manifest/did-you-mean.ts";
import { parseManifest } from "../../../src/manifest/parse.ts";
import { hasUnsafeCharacters } from "../../../src/manifest/raw.ts";
import { scaffoldManifest } from "../../../src/manifest/scaffold.ts";

const GOOD = scaffoldManifest({ name: "demo" });

/** What is wrong with how a text was parsed; empty when all promises were kept. */
function brokenPromises(text: string): string[] {
  const { manifest, findings, meaning } = parseManifest(text, { file: "x", baseDir: "/srv" });
  const broken: string[] = [];
  const promise = (kept: boolean, what: string): void => {
    if (!kept) broken.push(what);
  };
  const hasErrors = findings.some(({ severity }) => severity === "error");
  promise((manifest === undefined) === hasErrors, "a manifest exactly when there is no error");
  promise((meaning === undefined) === hasErrors, "a meaning exactly when there is a manifest");
  const lines = text.split("\n").length;
  for (const finding of findings) {
    const { code, line, column, message, hint, path } = finding;
    promise(/^[a-z0-9]+(-[a-z0-9]+)*$/.test(code), `kebab-case: ${code}`);
    promise(line >= 1 && line <= lines && column >= 1, `a place in the text: ${JSON.stringify(finding)}`);
    promise(message !== "", `a message: ${code}`);
    // Whatever was in the text, a terminal can be shown this.
    promise(
      !hasUnsafeCharacters(`${message}${hint ?? ""}${path}`),
      `safe to show: ${JSON.stringify(finding)}`,
    );
  }
  return broken;
}

it("survives text of any characters", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
      expect(brokenPromises(text)).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

it("survives text made of YAML's own characters", () => {
  const unit = fc.constantFrom(
    ..."{}[]:,-?&*!|>'\"%@`#~ \n\t<".split(""),
    "a",
    "&a",
    "*a",
    "<<: ",
    "!!map ",
    "---\n",
    "...\n",
    "\n  ",
    ": ",
    "- ",
    "spec:\n",
    "__proto__: ",
  );
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 60 }), (text) => {
      expect(brokenPromises(text)).toEqual([]);
    }),
    { numRuns: 1000 },
  );
});

it("survives any value in any place of a manifest", () => {
  const paths = [
    "engine",
    "dataDir",
    "nodes",
    "replication",
    "sharding",
    "consensus",
    "embedding",
    "limits",
    "security",
  ];
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...paths), fc.jsonValue({ maxDepth: 4 })), (spec) => {
      const text = JSON.stringify({
        apiVersion: "mem0ctl/v1",
        kind: "Cluster",
        metadata: { name: "a" },
        spec,
      });
      expect(brokenPromises(text)).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

it("survives a good manifest with a piece cut out, doubled or put elsewhere", () => {
  const position = fc.integer({ min: 0, max: GOOD.length });
  fc.assert(
    fc.property(position, position, position, (from, to, at) => {
      const piece = GOOD.slice(Math.min(from, to), Math.max(from, to));
      expect(brokenPromises(GOOD.replace(piece, ""))).toEqual([]);
      expect(brokenPromises(GOOD.slice(0, at) + piece + GOOD.slice(at))).toEqual([]);
    }),
    { numRuns: 150 },
  );
});

it("measures the distance between words as a plain recursion does", () => {
  const plain = (a: string, b: string): number => {
    if (a === "" || b === "") return a.length + b.length;
    const same = a.at(-1) === b.at(-1) ? 0 : 1;
    const [aShort, bShort] = [a.slice(0, -1), b.slice(0, -1)];
    let best = Math.min(plain(aShort, b) + 1, plain(a, bShort) + 1, plain(aShort, bShort) + same);
    if (a.length > 1 && b.length > 1 && a.at(-1) === b.at(-2) && a.at(-2) === b.at(-1)) {
      best = Math.min(best, plain(a.slice(0, -2), b.slice(0, -2)) + 1);
    }
    return best;
  };
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 5 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      expect(editDistance(a, b)).toBe(plain(a, b));
    }),
  );
});

it("guesses near words only", () => {
  const words = ["replicas", "strategy", "key"];
  expect(didYouMean("replcias", words)).toBe("replicas");
  expect(didYouMean("STRATEGY", words)).toBe("strategy");
  expect(didYouMean("kye", words)).toBe("key");
  expect(didYouMean("colour", words)).toBeUndefined();
  expect(didYouMean("", words)).toBeUndefined();
});
