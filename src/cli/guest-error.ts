/** What a program threw, as Node would print it. The sandbox's stacks lack the line with name and message. */
import { inspectSafely, wordsOf } from "../engine/inspection.ts";
import { indent } from "./text.ts";

const maxDepth = 5;
/** Causes and members of one error altogether: errors can hold each other many times over. */
const maxErrors = 50;
const maxValues = 20_000;

export interface GuestErrorOptions {
  /** Without the first line, where that has been said already. */
  readonly withoutHead?: boolean;
  readonly dim?: (text: string) => string;
}

/** Name, message, stack, own fields and causes of an error; `inspect` of anything else that was thrown. */
export function formatGuestError(error: unknown, options: GuestErrorOptions = {}): string {
  return format(error, options, 0, { left: maxErrors });
}

function format(error: unknown, options: GuestErrorOptions, depth: number, budget: { left: number }): string {
  if (!(error instanceof Error)) return options.withoutHead === true ? "" : inspectSafely(error, maxValues, {});
  budget.left--;
  const dim = options.dim ?? ((text: string) => text);
  const head = headOf(error);
  const frames = framesOf(error, head);
  const parts = [options.withoutHead === true ? "" : head, frames === "" ? "" : dim(frames), fieldsOf(error)];
  if (depth < maxDepth) {
    const more = (each: unknown): string => format(each, { ...options, withoutHead: false }, depth + 1, budget);
    if (error.cause !== undefined) parts.push(indent(`caused by ${more(error.cause)}`, "  "));
    // Holes, of which a list may have billions, are passed over.
    const members: readonly unknown[] =
      error instanceof AggregateError && Array.isArray(error.errors) ? Object.values(error.errors as unknown[]) : [];
    for (const [index, each] of members.entries()) {
      if (budget.left <= 0) {
        parts.push(`  … and ${members.length - index} more`);
        break;
      }
      parts.push(indent(`one of them: ${more(each)}`, "  "));
    }
  }
  return parts.filter((part) => part !== "").join("\n");
}

/** The stack with the line that the sandbox leaves out. */
export function fullStack(error: Error): string {
  const head = headOf(error);
  const stack = wordsOf(error.stack ?? "");
  return stack.startsWith(head) ? stack : `${head}\n${stack}`.trimEnd();
}

/** An error on one line, without its stack. */
export function headOf({ name, message }: Error): string {
  return message === "" ? wordsOf(name) : `${wordsOf(name)}: ${wordsOf(message)}`;
}

/** The frames only: errors of host functions come with Node's kind of stack, which begins with name and message. */
function framesOf(error: Error, head: string): string {
  const stack = wordsOf(error.stack ?? "");
  const rest = stack.startsWith(head) ? stack.slice(head.length) : stack;
  return rest
    .split("\n")
    .filter((line) => /^\s*at /.test(line) && !isInternal(line))
    .map((line) => `    ${line.trim()}`)
    .join("\n");
}

/** Frames of Node and of Perdure itself tell a user nothing. */
function isInternal(line: string): boolean {
  return /\(?node:|[/\\]node_modules[/\\]perdure[/\\]/.test(line) || line.includes(ownFolder);
}

/** `dist/` or `src/` of this installation. */
const ownFolder = new URL("..", import.meta.url).href;

function fieldsOf(error: Error): string {
  const fields = Object.entries(error).filter(
    ([name]) => !["name", "message", "stack", "cause", "errors"].includes(name),
  );
  return fields.length === 0 ? "" : indent(inspectSafely(Object.fromEntries(fields), maxValues, { depth: 4 }), "  ");
}
