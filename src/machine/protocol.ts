/**
 * The border between host and sandbox. Numbers, because strings would be created in the guest's heap for every call.
 *
 * Into the guest, `dispatch(kind, number, a, b, ...chunks)`:
 *
 * | kind      | number    | a                          | b         | chunks                     |
 * |-----------|-----------|----------------------------|-----------|----------------------------|
 * | evaluated |           |                            |           | the module's namespace promise |
 * | probe     |           |                            |           | answers "pure" or "impure" |
 * | start     |           | JSON {pid, entry, env}     | arguments | seed, then the arguments'  |
 * | message   | its number| sender's pid or ""         | body      | the body's                 |
 * | resolved  | operation |                            | value     | the value's                |
 * | rejected  | operation |                            | error     | the error's                |
 * | timer     | timer     |                            |           |                            |
 * | cancel    |           | reason                     |           |                            |
 * | idle      |           |                            |           |                            |
 * | uncaught  |           |                            |           | the error itself           |
 * | exit      | linked: 1 | JSON [from, reason, held]  | value     | the value's                |
 * | down      | monitor   | JSON [from, reason]        | value     | the value's                |
 * | restore   | life      |                            |           | the seed                   |
 * | discard   | a message's |                          |           |                            |
 * | query     |           |                            | a call    | the call's; answers "runs", "busy" or "not-read-only" |
 *
 * Out of the guest, `emit(kind, number, a, b, ...chunks)`: see `decodeCommand` and `decodeRelation`. `spawn` has four lines in
 * `a`: pid, entry, "link" or "", options; `signal` two: reason, receiver. `cancel` has the receiver in `a`, the reason in `b`.
 *
 * The numbers, and the meaning of everything here, are part of the turn protocol: processes are pinned to it, so a
 * change that a running process could notice needs a new version beside the old.
 */
import { PerdureError } from "../base/errors.ts";
import { exitReasons, logLevels, timerClocks } from "../journal/types.ts";
import type { Command } from "../journal/types.ts";
import type { Payload } from "../base/value.ts";

export const turnProtocolVersion = 1;

/** The last line of every prelude: it says what the prelude speaks, and processes are pinned to that. */
export function turnProtocolMark(version: number): string {
  return `// perdure turn protocol ${version}`;
}

/** What a prelude speaks. Undefined if it does not say so. */
export function turnProtocolOf(prelude: string): number | undefined {
  const [, version] = /\n\/\/ perdure turn protocol (\d+)\s*$/.exec(prelude) ?? [];
  return version === undefined ? undefined : Number(version);
}

export const dispatchKind = {
  evaluated: 1,
  probe: 2,
  start: 3,
  message: 4,
  resolved: 5,
  rejected: 6,
  timer: 7,
  cancel: 8,
  idle: 9,
  uncaught: 10,
  exit: 11,
  down: 12,
  restore: 13,
  discard: 14,
  query: 15,
} as const;

/** The last instant a Date can name. */
const maxTimeMs = 8.64e15;

/**
 * A command as `emit` passed it. Throws for what the prelude never sends: a program that patched a global beneath it must
 * not get that any further than its own turn.
 */
export function decodeCommand(
  kind: number,
  number: number,
  a: string,
  b: string,
  chunks: readonly Uint8Array[],
): Command {
  const payload = (): Payload => (chunks.length === 0 ? { text: b } : { text: b, chunks });
  switch (kind) {
    case 1: {
      const lineBreak = a.indexOf("\n");
      const name = lineBreak === -1 ? a : a.slice(0, lineBreak);
      return {
        kind: "operation",
        number: ordinal(number),
        name,
        options: lineBreak === -1 ? "" : a.slice(lineBreak + 1),
        args: payload(),
      };
    }
    case 2:
      return { kind: "abort", operation: ordinal(number) };
    case 3:
      return { kind: "timer", number: ordinal(number), clock: oneOf(timerClocks, a), dueMs: instant(b) };
    case 4:
      return { kind: "clear-timer", timer: ordinal(number) };
    case 5:
      return { kind: "send", to: a, body: payload() };
    case 6:
      return { kind: "log", level: oneOf(logLevels, a), text: b };
    case 7:
      return { kind: "exit", reason: oneOf(exitReasons, a), value: payload(), taken: number };
    default:
      return decodeRelation(kind, number, a, b, payload);
  }
}

/** What concerns other processes, see `guest/runtime.ts`. `b` and the chunks are the payload, where there is one. */
function decodeRelation(kind: number, number: number, a: string, b: string, payload: () => Payload): Command {
  switch (kind) {
    case 8: {
      const [pid = "", entry = "", link = "", options = ""] = a.split("\n");
      if (number !== 0) ordinal(number);
      return { kind: "spawn", pid, entry, args: payload(), link: link === "link", monitor: number, options };
    }
    case 9:
      return { kind: "link", to: a };
    case 10:
      return { kind: "unlink", to: a };
    case 11:
      return { kind: "monitor", number: ordinal(number), to: a };
    case 12:
      return { kind: "demonitor", monitor: ordinal(number) };
    case 13: {
      const lineBreak = a.indexOf("\n");
      const reason = oneOf([...exitReasons, "kill"] as const, a.slice(0, lineBreak));
      return { kind: "signal", to: a.slice(lineBreak + 1), reason, value: payload() };
    }
    case 14:
      return { kind: "trap-exit", on: number === 1 };
    case 15:
      return { kind: "checkpoint" };
    case 16:
      return { kind: "cancel", to: a, reason: b };
    default:
      throw unknown("command", kind);
  }
}

function ordinal(number: number): number {
  if (!Number.isSafeInteger(number) || number < 1) throw unknown("number", number);
  return number;
}

function instant(text: string): number {
  const timeMs = text === "" ? NaN : Number(text);
  if (!(Math.abs(timeMs) <= maxTimeMs)) throw unknown("time", text);
  return timeMs;
}

function oneOf<T extends string>(values: readonly T[], value: string): T {
  if (!(values as readonly string[]).includes(value)) throw unknown("word", value);
  return value as T;
}

function unknown(what: string, value: unknown): PerdureError {
  const shown = typeof value === "string" ? JSON.stringify(value.slice(0, 60)) : String(value);
  return new PerdureError(
    "ENGINE_FAILED",
    `The sandbox sent an unknown ${what}, ${shown}: the program reached beneath the sandbox's globals, or this is a bug in Perdure.`,
  );
}
