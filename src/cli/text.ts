/** Text on a terminal: how wide it is, and how to cut it. */

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;
// oxlint-disable-next-line no-control-regex -- control characters are what it is about
const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;
const simple = /^[\x20-\x7e]*$/;

/** Columns a text without control characters takes. */
export function widthOf(text: string): number {
  if (simple.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += wide.test(segment) ? 2 : 1;
  return width;
}

/** At most `width` columns; what is left out shows as "…". */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let result = "";
  let used = 1;
  for (const { segment } of graphemes.segment(text)) {
    used += wide.test(segment) ? 2 : 1;
    if (used > width) break;
    result += segment;
  }
  return `${result.trimEnd()}…`;
}

/** What a program chose to be called must not move the cursor of who looks at it: control characters show as escapes. */
export function oneLine(text: string): string {
  return text.replace(control, (character) => {
    const short = { "\n": "\\n", "\t": "\\t", "\r": "\\r" }[character];
    return short ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

export function pad(text: string, width: number, right = false): string {
  const space = " ".repeat(Math.max(0, width - widthOf(text)));
  return right ? `${space}${text}` : `${text}${space}`;
}

/** "1 process", "3 processes". */
export function count(number: number, one: string, many: string = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

export function indent(text: string, by: string): string {
  return text.replace(/^(?=.)/gm, by);
}
