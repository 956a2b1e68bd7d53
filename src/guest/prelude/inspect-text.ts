/** The typography of `console`: quoting, escaping, breaking lines. As `util.inspect` of Node has it. */
import { regExpTest } from "./intrinsics.ts";

/** Beyond this width, an object takes one line per entry. */
const lineWidth = 80;
const packWidth = 76;

const needsEscape = /[\0-\x1f'\\\x7f-\x9f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const escaped = new RegExp(needsEscape.source, "g");
const shortEscapes: Readonly<Record<string, string>> = {
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\f": "\\f",
  "\r": "\\r",
  "\\": "\\\\",
};

/** In single quotes, or in others if that saves escapes. */
export function quote(text: string): string {
  if (!regExpTest(needsEscape, text)) return `'${text}'`;
  let mark = "'";
  if (text.includes("'")) {
    if (!text.includes('"')) mark = '"';
    else if (!text.includes("`") && !text.includes("${")) mark = "`";
  }
  return (
    mark + text.replace(escaped, (found) => (found === "'" ? (mark === "'" ? "\\'" : found) : escape(found))) + mark
  );
}

function escape(found: string): string {
  const code = found.charCodeAt(0);
  const hex = code.toString(16);
  return shortEscapes[found] ?? (code < 0x100 ? `\\x${hex.toUpperCase().padStart(2, "0")}` : `\\u${hex}`);
}

/** A string longer than a line has a line of its own for each of its lines. */
export function quoteLines(text: string, indentation: number): string {
  if (text.length <= 16 || text.length <= lineWidth - indentation - 4) return quote(text);
  return text
    .split(/(?<=\n)/)
    .map(quote)
    .join(` +\n${" ".repeat(indentation + 2)}`);
}

export function propertyName(name: string): string {
  if (name === "__proto__") return "['__proto__']";
  return /^[a-zA-Z_][a-zA-Z_0-9]*$/.test(name) ? name : quote(name);
}

export interface Frame {
  /** What stands before the opening brace: an error's stack, a function's name; may be "". */
  readonly base: string;
  readonly open: string;
  readonly close: string;
  readonly indentation: number;
  /** Whether what is inside is flat enough for one line. */
  readonly shallow: boolean;
  readonly isList: boolean;
}

/** Puts entries between braces: on one line if they fit, else on lines of their own; short items of lists share lines. */
export function wrap(entries: readonly string[], { base, open, close, indentation, shallow, isList }: Frame): string {
  const before = `${base === "" ? "" : `${base} `}${open}`;
  const multiline = (text: string): boolean => text.includes("\n");
  const length = entries.reduce(
    (sum, entry) => sum + entry.length + 1,
    entries.length + open.length + base.length + 10,
  );
  if (shallow && length + indentation <= lineWidth && !entries.some(multiline) && !multiline(base)) {
    return `${before} ${entries.join(", ")} ${close}`;
  }
  const margin = `\n${" ".repeat(indentation)}`;
  const packed = isList && entries.length > 6 && entries.every((entry) => entry.length <= 16 && !multiline(entry));
  const lines = packed ? pack(entries, packWidth - indentation) : entries;
  return `${before}${margin}  ${lines.join(`,${margin}  `)}${margin}${close}`;
}

function pack(entries: readonly string[], width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const entry of entries) {
    if (line !== "" && line.length + entry.length + 2 > width) {
      lines.push(line);
      line = "";
    }
    line += line === "" ? entry : `, ${entry}`;
  }
  return [...lines, line];
}
