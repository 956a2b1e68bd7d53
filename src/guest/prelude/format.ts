/** The text of a `console` call: `%` directives in the first argument, then the others (Console Standard, "formatter"). */
import { inspect } from "./inspect.ts";

/** Longer ones are cut, with a note: a log is written to the store with the turn. */
const maxTextLength = 1_000_000;

export function formatLog(args: readonly unknown[]): string {
  const first = args[0];
  const parts = typeof first === "string" && args.length > 1 ? substitute(first, args.slice(1)) : args;
  let text = "";
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index];
    text += (index === 0 ? "" : " ") + (typeof part === "string" ? part : inspect(part));
  }
  const excess = text.length - maxTextLength;
  return excess > 0 ? `${text.slice(0, maxTextLength)}... ${excess} more characters` : text;
}

/** The template with its directives replaced, and the arguments it did not use. */
function substitute(template: string, args: readonly unknown[]): unknown[] {
  let used = 0;
  const text = template.replace(/%([sdifjoOc%])/g, (directive, kind: string) => {
    if (kind === "%") return "%";
    if (used === args.length) return directive;
    return convert(kind, args[used++]);
  });
  return [text, ...args.slice(used)];
}

function convert(kind: string, value: unknown): string {
  switch (kind) {
    case "s":
      return typeof value === "string" ? value : hasOwnText(value) ? String(value) : inspect(value, 0);
    case "d":
      return typeof value === "bigint"
        ? `${value}n`
        : inspect(typeof value === "object" ? Number.NaN : toNumber(value));
    case "i":
      return typeof value === "bigint" ? `${value}n` : inspect(parse(Number.parseInt, value));
    case "f":
      return inspect(parse(Number.parseFloat, value));
    case "j":
      return toJson(value);
    case "c":
      // Style for a browser's console.
      return "";
    default:
      return inspect(value);
  }
}

function toNumber(value: unknown): number {
  return typeof value === "symbol" ? Number.NaN : Number(value);
}

function parse(parser: (text: string) => number, value: unknown): number {
  return typeof value === "string" || typeof value === "number" ? parser(String(value)) : Number.NaN;
}

/** Whether somebody gave the object a text of its own; errors have one, too. */
function hasOwnText(value: unknown): boolean {
  if (typeof value === "function") return true;
  if (typeof value !== "object" || value === null) return false;
  if (value instanceof Error || value instanceof Date) return true;
  const { toString } = value as { toString?: unknown };
  return typeof toString === "function" && toString !== Object.prototype.toString && !Array.isArray(value);
}

function toJson(value: unknown): string {
  try {
    return String(JSON.stringify(value));
  } catch {
    return "[Circular]";
  }
}
