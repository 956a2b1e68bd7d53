/** Values on a command line, and command lines as people may type them again. */

/**
 * JSON where the text is JSON, else the text itself: `42` is a number, `order-7` a string, and `'"42"'` a string of digits. A
 * whole number that JavaScript would round (a card or an order number of more than 15 digits) stays a string.
 */
export function parseArgument(text: string, asString = false): unknown {
  if (asString) return text;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "number" && /^-?\d+$/.test(text) && !Number.isSafeInteger(value)) return text;
    return value;
  } catch {
    return text;
  }
}

/** A word as a POSIX shell takes it. */
export function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command line out of words; `undefined` ones are left out. */
export function commandLine(words: readonly (string | undefined)[]): string {
  return words
    .filter((word) => word !== undefined)
    .map(quoteForShell)
    .join(" ");
}
