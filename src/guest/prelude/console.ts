/** `console` (Console Standard): text is made in the sandbox and printed by the host once its turn is committed. */
import type { LogLevel } from "../../journal/types.ts";
import { log } from "../runtime.ts";
import { formatLog } from "./format.ts";
import { inspect } from "./inspect.ts";
import { now } from "./intrinsics.ts";
import { formatTable } from "./table.ts";

type Print = (...args: unknown[]) => void;

const counts = new Map<string, number>();
const startsMs = new Map<string, number>();
let indentation = "";

function print(level: LogLevel, text: string): void {
  log(level, indentation === "" ? text : indentation + text.replaceAll("\n", `\n${indentation}`));
}

function printer(level: LogLevel): Print {
  return (...args) => print(level, formatLog(args));
}

function elapsed(label: string, rest: readonly unknown[]): void {
  const startMs = startsMs.get(label);
  if (startMs === undefined) print("warn", `No such label '${label}' for console.time()`);
  else print("log", formatLog([`${label}: ${now() - startMs}ms`.replaceAll("%", "%%"), ...rest]));
}

function openGroup(...label: unknown[]): void {
  if (label.length > 0) print("log", formatLog(label));
  indentation += "  ";
}

export const console: Readonly<Record<string, (...args: never[]) => void>> = {
  debug: printer("debug"),
  info: printer("info"),
  log: printer("log"),
  warn: printer("warn"),
  error: printer("error"),

  trace(...args: unknown[]) {
    const stack = (new Error().stack ?? "").split("\n").slice(1).join("\n").trimEnd();
    print("log", `Trace${args.length === 0 ? "" : `: ${formatLog(args)}`}\n${stack}`);
  },

  assert(condition: unknown, ...args: unknown[]) {
    if (condition) return;
    const [first, ...rest] = args;
    if (typeof first === "string") print("error", formatLog([`Assertion failed: ${first}`, ...rest]));
    else print("error", formatLog(args.length === 0 ? ["Assertion failed"] : ["Assertion failed:", ...args]));
  },

  dir(value: unknown, options?: { readonly depth?: number | null }) {
    print("log", inspect(value, options?.depth === null ? Number.POSITIVE_INFINITY : options?.depth));
  },
  dirxml: printer("log"),

  table(data: unknown, columns?: readonly string[]) {
    print("log", formatTable(data, columns) ?? formatLog([data]));
  },

  count(label: unknown = "default") {
    const key = String(label);
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    print("log", `${key}: ${count}`);
  },
  countReset(label: unknown = "default") {
    if (!counts.delete(String(label))) print("warn", `Count for '${String(label)}' does not exist`);
  },

  group: openGroup,
  groupCollapsed: openGroup,
  groupEnd() {
    indentation = indentation.slice(2);
  },

  time(label: unknown = "default") {
    const key = String(label);
    if (startsMs.has(key)) print("warn", `Label '${key}' already exists for console.time()`);
    else startsMs.set(key, now());
  },
  timeLog(label: unknown = "default", ...rest: unknown[]) {
    elapsed(String(label), rest);
  },
  timeEnd(label: unknown = "default") {
    elapsed(String(label), []);
    startsMs.delete(String(label));
  },
};
