// Makes text from outside safe to print: nothing in it can move the cursor, change colours, hide itself,
// turn the direction of what follows, or begin a new line. Every such string passes here, or through
// renderJson or renderYaml, before it reaches a terminal.

/**
 * Controls (C0, DEL, C1 and with them every escape sequence), format characters (bidi, zero-width, tags,
 * soft hyphen), line and paragraph separators, lone surrogates, and what else has no glyph.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** What the writing needs: the selector and joiners of an emoji, joiners between letters of a script that has joined forms. */
const NEEDED =
  /(?<=\p{Emoji})\ufe0f|(?<=\p{Extended_Pictographic}|\p{Emoji_Modifier}|\ufe0f)\u200d(?=\p{Extended_Pictographic})|(?<=[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Sinhala}])[\u200c\u200d](?=[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Sinhala}])/uy;

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** The text with each unsafe character replaced by what `escape` makes of it. */
export function replaceUnsafe(untrusted: string, escape: (character: string) => string): string {
  return untrusted.replaceAll(UNSAFE, (character, offset: number) => {
    NEEDED.lastIndex = offset;
    return NEEDED.test(untrusted) ? character : escape(character);
  });
}

/** The text on one line, each unsafe character replaced by a visible escape: `\n`, `\x1b`, `\u{202e}`. */
export function safeText(untrusted: string): string {
  return replaceUnsafe(untrusted, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    return SHORT[character] ?? (code < 0x100 ? `\\x${hex.padStart(2, "0")}` : `\\u{${hex}}`);
  });
}
