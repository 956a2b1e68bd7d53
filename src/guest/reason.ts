/**
 * Exit reasons. In a program a reason is a plain value; on the wire it is a word and a value:
 *
 * | in a program                                           | word       | value     |
 * |--------------------------------------------------------|------------|-----------|
 * | `"normal"`, `"killed"`, `"noproc"`, `"noconnection"`, … (`plainWords`)    | the same   | undefined |
 * | `"shutdown"`                                           | shutdown   | undefined |
 * | `{ shutdown: term }`                                   | shutdown   | term      |
 * | an `Error`                                             | error      | the error |
 * | anything else that can cross the border                | exit       | itself    |
 */
import { isPlainObject } from "./plain.ts";
import type { ExitReason } from "../journal/types.ts";
import { CancelledError } from "./wait.ts";

/** Words that say all. What the host adds to some of them is text for people. */
const plainWords: ReadonlySet<unknown> = new Set<ExitReason>([
  "normal",
  "shutdown",
  "killed",
  "noproc",
  "noconnection",
  "cancelled",
  "out_of_fuel",
  "out_of_memory",
  "stack_overflow",
  "trap",
]);

export interface SplitReason {
  readonly word: ExitReason;
  readonly value: unknown;
}

export function splitReason(reason: unknown): SplitReason {
  if (plainWords.has(reason)) return { word: reason as ExitReason, value: undefined };
  if (isPlainObject(reason) && "shutdown" in reason && Object.keys(reason).length === 1) {
    return { word: "shutdown", value: reason["shutdown"] };
  }
  return reason instanceof Error ? { word: errorWord(reason), value: reason } : { word: "exit", value: reason };
}

export function joinReason(word: ExitReason, value: unknown): unknown {
  if (word === "error" || word === "exit") return value;
  return word === "shutdown" && value !== undefined ? { shutdown: value } : word;
}

/** What the end of a process is called that nothing but a thrown value is known of. */
export function splitThrown(thrown: unknown): SplitReason {
  try {
    if (thrown instanceof ExitRequest) return splitReason(thrown.reason);
    return { word: errorWord(thrown), value: thrown };
  } catch {
    // Whatever was thrown does not want to be looked at.
    return { word: "error", value: thrown };
  }
}

/** The same, as a program sees it. */
export function thrownReason(thrown: unknown): unknown {
  const { word, value } = splitThrown(thrown);
  return joinReason(word, value);
}

/** The engine's own errors have names of their own among the exit reasons. */
function errorWord(error: unknown): ExitReason {
  if (error instanceof CancelledError) return "cancelled";
  if (error instanceof RangeError && error.message === "Maximum call stack size exceeded") return "stack_overflow";
  if (error instanceof Error && error.name === "InternalError" && error.message === "out of memory")
    return "out_of_memory";
  return "error";
}

/** Ended in good order: `normal`, `shutdown`, `{ shutdown: … }`. Everything else is abnormal, and a transient child's restart. */
export function isNormalExit(reason: unknown): boolean {
  const { word } = splitReason(reason);
  return word === "normal" || word === "shutdown";
}

/**
 * What `exit(reason)` throws. `finally` blocks run on its way out; code that catches it keeps the process alive, as in
 * Erlang.
 */
export class ExitRequest extends Error {
  readonly reason: unknown;

  constructor(reason: unknown) {
    super("The process exits. Whoever catches this keeps it alive: throw it on.");
    this.reason = reason;
  }

  override get name(): string {
    return "ExitRequest";
  }
}

/** A reason in few words, for people. */
export function describeReason(reason: unknown): string {
  if (reason instanceof Error) return `${reason.name}: ${reason.message}`;
  if (typeof reason === "string") return reason;
  try {
    return JSON.stringify(reason) ?? String(reason);
  } catch {
    return String(reason);
  }
}
