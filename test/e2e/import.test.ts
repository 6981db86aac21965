// An import of lines that no cluster exported: they say what is remembered of whom, and no more.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { MemoryRecord } from "../../src/model/node-api.ts";
import { bringUpCluster, type TestCluster } from "./support/cluster.ts";

let cluster: TestCluster | undefined;
afterEach(async () => {
  await cluster?.end();
  cluster = undefined;
});

test.each(["raft", "quorum"])(
  "by %s a file is imported again, and in other pieces, without anything being there twice",
  async (protocol) => {
    const running = await bringUpCluster({ flags: ["--consensus", protocol] });
    cluster = running;
    const { mem0ctl, directory } = running;
    const lines = Array.from({ length: 500 }, (_, at) =>
      JSON.stringify({ memory: `Remembers the number ${at}`, user_id: `user-${at % 9}` }),
    );
    const imported = async (...some: readonly string[]): Promise<readonly MemoryRecord[]> => {
      const file = join(directory, "lines.jsonl");
      writeFileSync(file, `${some.join("\n")}\n`);
      expect(await mem0ctl("memories", "import", file)).toMatchObject({
        code: 0,
        stdout: `imported ${some.length} of ${some.length} memories\n`,
      });
      const { stdout } = await mem0ctl("memories", "export");
      const records = stdout
        .trimEnd()
        .split("\n")
        .map((line): MemoryRecord => JSON.parse(line));
      expect(JSON.parse((await mem0ctl("memories", "stats", "-o", "json")).stdout)).toMatchObject({
        memories: records.length,
      });
      return records;
    };

    const before = await imported(...lines);
    expect(before).toHaveLength(500);
    expect(
      before.filter(({ embedding, created_at, updated_at }) => !embedding || created_at !== updated_at),
    ).toEqual([]);
    const again = await imported(...lines);
    expect(again.map(({ id }) => id)).toEqual(before.map(({ id }) => id));
    // The same line twice in one file, too.
    const pieces = await imported(...lines.slice(250).toReversed(), lines[499] ?? "", lines[3] ?? "");
    expect(pieces.map(({ id, memory }) => [id, memory])).toEqual(
      before.map(({ id, memory }) => [id, memory]),
    );
    expect(await mem0ctl("replicas", "verify")).toMatchObject({ code: 0 });

    // What is exported has ids and times of its own, and comes back as it was.
    const { stdout: whole } = await mem0ctl("memories", "export");
    writeFileSync(join(directory, "whole.jsonl"), whole);
    expect(await mem0ctl("memories", "import", join(directory, "whole.jsonl"))).toMatchObject({ code: 0 });
    expect((await mem0ctl("memories", "export")).stdout).toBe(whole);
  },
  60_000,
);
