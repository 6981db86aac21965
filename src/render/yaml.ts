// The same document as `-o json`, as YAML. The package is loaded when the first document is rendered.

import { replaceUnsafe } from "./safe.ts";

/** The value as one YAML document; strings that a terminal would act upon are quoted and escaped. */
export async function renderYaml(value: unknown): Promise<string> {
  const { Document, Scalar, visit } = await import("yaml");
  // Through JSON, so that both formats hold the same: no undefined, no prototypes.
  const document = new Document(JSON.parse(JSON.stringify(value)), { aliasDuplicateObjects: false });
  visit(document, {
    Scalar(_key, node) {
      // Only double quotes know escapes; a block keeps its line ends.
      if (typeof node.value === "string" && escaped(node.value) !== node.value)
        node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return escaped(document.toString({ lineWidth: 0 }));
}

/** YAML 1.2, 5.7: `\uXXXX`, or `\UXXXXXXXX` beyond the basic plane. */
function escaped(text: string): string {
  return replaceUnsafe(text, (character) => {
    if (character === "\n") return character;
    const code = character.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    return code > 0xffff ? `\\U${hex.padStart(8, "0")}` : `\\u${hex.padStart(4, "0")}`;
  });
}
