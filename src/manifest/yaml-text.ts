// How single values are written in the YAML that this room writes.

/** The bare word where every YAML reader takes it for text, else a double-quoted scalar (JSON's is one). */
export function yamlText(value: string): string {
  const isWord = /^\.?[a-z][a-z0-9./_-]*$/i.test(value);
  // YAML 1.1 readers, which editors still have, take more words for booleans than YAML 1.2 does.
  const isTaken = /^(true|false|null|yes|no|on|off|y|n|\.nan|\.inf)$/i.test(value);
  return isWord && !isTaken ? value : JSON.stringify(value);
}
