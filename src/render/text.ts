// How wide text is on a terminal, and cutting, padding and wrapping it to a width. Knows nothing of
// colour: style is put on afterwards.

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
const REGIONAL = /\p{Regional_Indicator}/u;
const NO_WIDTH = /\p{M}|\p{Emoji_Modifier}|\p{Default_Ignorable_Code_Point}/u;
const JOINER = "\u200d";
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;

/** Terminal columns that safe text takes: East Asian wide characters and emoji take two. */
export function displayWidth(text: string): number {
  if (PRINTABLE_ASCII.test(text)) return text.length;
  let width = 0;
  let joined = false;
  for (const character of text) {
    width += joined ? 0 : characterWidth(character);
    joined = character === JOINER;
  }
  return width;
}

function characterWidth(character: string): number {
  if (NO_WIDTH.test(character)) return 0;
  // Two regional indicators make one flag of two columns.
  return WIDE.test(character) && !REGIONAL.test(character) ? 2 : 1;
}

/** At most `width` columns, ending in `…` (or `...`) where something was cut off. */
export function truncate(text: string, width: number, ellipsis = "…"): string {
  if (displayWidth(text) <= width) return text;
  const room = Math.max(0, width - ellipsis.length);
  let taken = "";
  for (const character of text) {
    if (displayWidth(taken + character) > room) break;
    taken += character;
  }
  return taken.trimEnd() + ellipsis.slice(0, width);
}

export function padEnd(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - displayWidth(text)));
}

export function padStart(text: string, width: number): string {
  return " ".repeat(Math.max(0, width - displayWidth(text))) + text;
}

/** Lines of at most `width` columns, broken at spaces; a word that is longer is broken anywhere. */
export function wrap(text: string, width: number, separator = " "): string[] {
  const lines: string[] = [];
  let line = "";
  for (let word of text.split(separator)) {
    const joined = line === "" ? word : line + separator + word;
    if (displayWidth(joined) <= width) {
      line = joined;
      continue;
    }
    if (line !== "") lines.push(line);
    while (displayWidth(word) > width && width > 1) {
      const head = truncate(word, width, "");
      lines.push(head);
      word = word.slice(head.length);
    }
    line = word;
  }
  return [...lines, line];
}

/** `text` wrapped behind `first`, its further lines indented as far. */
export function hang(first: string, text: string, width: number): string {
  const indent = displayWidth(first);
  return wrap(text, Math.max(20, width - indent))
    .map((line, index) => (index === 0 ? first : " ".repeat(indent)) + line)
    .join("\n");
}

/** `3 shards`, `1 shard`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Numbers in order as runs: `0-3, 5, 9-12`; ids that are no numbers stay as they are. */
export function runs(ids: readonly string[]): string {
  const parts: { from: string; to: string }[] = [];
  for (const id of ids) {
    const last = parts.at(-1);
    if (last !== undefined && /^\d+$/.test(id) && Number(last.to) + 1 === Number(id)) last.to = id;
    else parts.push({ from: id, to: id });
  }
  return parts
    .map(({ from, to }) =>
      from === to ? from : Number(to) - Number(from) === 1 ? `${from}, ${to}` : `${from}-${to}`,
    )
    .join(", ");
}
