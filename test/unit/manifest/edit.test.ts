// Edits of the text change what they are about and keep everything else, comments above all.

import { describe, expect, it } from "vitest";
import fc from "fast-check";
import {
  addNodeToManifest,
  removeNodeFromManifest,
  setDrainingInManifest,
} from "../../../src/manifest/edit.ts";
import { parseManifest } from "../../../src/manifest/parse.ts";
import { scaffoldManifest } from "../../../src/manifest/scaffold.ts";

const node4 = { id: "node-4", address: "127.0.0.1:7004", role: "secondary", zone: "d", weight: 2 } as const;
const LINE = '    - { id: node-4, address: "127.0.0.1:7004", role: secondary, zone: d, weight: 2 }\n';

const BLOCK = `# top
spec:
  nodes:   # the nodes
    # first
    - id: node-1     # keep me
      address:   "127.0.0.1:7001"
    # second
    - id: node-2
      address: "127.0.0.1:7002" # last

    # after the list
  engine:    embedded
`;

function ids(text: string): string[] | undefined {
  return parseManifest(text, { file: "", baseDir: "/srv" }).manifest?.nodes.map(({ id }) => id);
}

describe("adding a node", () => {
  it("adds one line and changes no other", () => {
    const text = scaffoldManifest({ name: "demo" });
    const edited = addNodeToManifest(text, node4);
    const lines = edited.split("\n");
    const at = lines.findIndex((line) => line.includes("node-4"));
    expect(`${lines[at]}\n`).toBe(LINE);
    expect([...lines.slice(0, at), ...lines.slice(at + 1)].join("\n")).toBe(text);
    expect(ids(edited)).toEqual(["node-1", "node-2", "node-3", "node-4"]);
  });

  it("goes after the last entry of a block list, before what follows", () => {
    expect(addNodeToManifest(BLOCK, node4)).toBe(BLOCK.replace("# last\n", `# last\n${LINE}`));
  });

  it("keeps Windows line ends", () => {
    const text = BLOCK.replaceAll("\n", "\r\n");
    expect(addNodeToManifest(text, node4)).toBe(
      BLOCK.replace("# last\n", `# last\n${LINE}`).replaceAll("\n", "\r\n"),
    );
  });

  it("works without a line break at the end", () => {
    const text = "spec:\n  nodes:\n  - id: a";
    expect(addNodeToManifest(text, { id: "b", address: "h:1" })).toBe(
      `${text}\n  - { id: b, address: "h:1" }`,
    );
  });

  it.each(["[]", "[{ id: a, address: 'h:1' }]", "[\n    { id: a }, # one\n  ]"])(
    "works on the flow list %s",
    (list) => {
      const edited = addNodeToManifest(`# top\nspec:\n  nodes: ${list}\n  engine: embedded # why\n`, node4);
      expect(edited).toContain("# top");
      expect(edited).toContain("# why");
      expect(edited).toMatch(/id: node-4/);
      expect(
        removeNodeFromManifest(addNodeToManifest(edited, { id: "x", address: "h:9" }), "node-4"),
      ).not.toMatch(/node-4/);
    },
  );

  it("quotes what YAML would read as something else", () => {
    const edited = addNodeToManifest(BLOCK, { id: "true", address: "h:1", zone: "1e3" });
    expect(edited).toContain('- { id: "true", address: "h:1", zone: "1e3" }');
  });

  it("refuses an id that is there", () => {
    expect(() => addNodeToManifest(BLOCK, { ...node4, id: "node-2" })).toThrow(
      expect.objectContaining({ code: "duplicate-node-id", kind: "conflict" }),
    );
  });
});

describe("removing a node", () => {
  it("cuts its lines and nothing else", () => {
    expect(removeNodeFromManifest(BLOCK, "node-1")).toBe(
      BLOCK.replace('    - id: node-1     # keep me\n      address:   "127.0.0.1:7001"\n', ""),
    );
    expect(removeNodeFromManifest(BLOCK, "node-2")).toBe(
      BLOCK.replace('    - id: node-2\n      address: "127.0.0.1:7002" # last\n', ""),
    );
  });

  it("refuses one that is not there, and the only one", () => {
    expect(() => removeNodeFromManifest(BLOCK, "node-9")).toThrow(
      expect.objectContaining({ code: "unknown-node", kind: "not-found" }),
    );
    expect(() => removeNodeFromManifest("spec: { nodes: [{ id: a }] }\n", "a")).toThrow(
      expect.objectContaining({ code: "last-node" }),
    );
  });

  it.each(["", "spec: {}", "spec:\n\tnodes: []", "spec: { nodes: 3 }"])(
    "refuses a text without nodes: %j",
    (text) => {
      expect(() => removeNodeFromManifest(text, "a")).toThrow(
        expect.objectContaining({ code: "manifest-not-editable", kind: "invalid" }),
      );
    },
  );
});

it("undoes itself: adding and then removing gives the same text back", () => {
  const comments = fc.constantFrom("", "  # a comment", "   ");
  const entry = (index: number): fc.Arbitrary<string> =>
    fc
      .tuple(fc.boolean(), comments, fc.constantFrom("", "\n", "    # between\n"))
      .map(([flow, comment, after]) =>
        flow
          ? `    - { id: n${index}, address: "h:${index}" }${comment}\n${after}`
          : `    -   id: n${index}${comment}\n        address: "h:${index}"${comment}\n${after}`,
      );
  fc.assert(
    fc.property(fc.tuple(entry(1), entry(2), entry(3)), ([one, two, three]) => {
      const text = `# top\nspec:\n  nodes:\n${one}${two}${three}  engine: embedded\n`;
      const added = addNodeToManifest(text, { id: "n4", address: "h:4" });
      expect(added).not.toBe(text);
      expect(removeNodeFromManifest(added, "n4")).toBe(text);
      const removed = removeNodeFromManifest(text, "n2");
      expect(removed).not.toContain("n2");
      expect(text.split("\n")).toEqual(expect.arrayContaining(removed.split("\n")));
    }),
    { numRuns: 100 },
  );
});

describe("draining a node", () => {
  it("adds one field to a node's line, and takes it away again", () => {
    const text = scaffoldManifest({ name: "demo", engine: "redis" });
    const drained = setDrainingInManifest(text, "node-2", true);
    const changed = drained.split("\n").filter((line, at) => line !== text.split("\n")[at]);
    expect(changed).toEqual([expect.stringMatching(/id: node-2, .*, draining: true }/)]);
    expect(setDrainingInManifest(drained, "node-2", true)).toBe(drained);
    expect(setDrainingInManifest(drained, "node-2", false)).toBe(text);
    expect(setDrainingInManifest(text, "node-2", false)).toBe(text);
  });

  it("adds a line to a node's block, before the comments that follow, whatever the line ends", () => {
    for (const text of [BLOCK, BLOCK.replaceAll("\n", "\r\n")]) {
      const newLine = text.includes("\r\n") ? "\r\n" : "\n";
      const drained = setDrainingInManifest(text, "node-2", true);
      expect(drained).toBe(
        text.replace(`# last${newLine}`, `# last${newLine}      draining: true${newLine}`),
      );
      expect(setDrainingInManifest(drained, "node-2", false)).toBe(text);
    }
  });

  it("makes `false` true, and cuts a field between others", () => {
    const text = "spec:\n  nodes:\n    - { id: a, draining: false, address: 'h:1' } # why\n";
    const drained = setDrainingInManifest(text, "a", true);
    expect(drained).toBe("spec:\n  nodes:\n    - { id: a, address: 'h:1', draining: true } # why\n");
    expect(setDrainingInManifest(text.replace("false", "true"), "a", false)).toBe(
      "spec:\n  nodes:\n    - { id: a, address: 'h:1' } # why\n",
    );
  });

  it("leaves the layout to the library where it is the first field", () => {
    const text = "# top\nspec:\n  nodes:\n    - draining: true\n      id: a\n      address: h:1\n";
    const edited = setDrainingInManifest(text, "a", false);
    expect(edited).toContain("# top");
    expect(edited).not.toContain("draining");
  });

  it("refuses a node that is not there", () => {
    expect(() => setDrainingInManifest(BLOCK, "node-9", true)).toThrow(
      expect.objectContaining({ code: "unknown-node", kind: "not-found" }),
    );
  });
});
