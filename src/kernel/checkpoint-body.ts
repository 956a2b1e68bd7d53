/** What a checkpoint remembers beside the heap, as the store keeps it: JSON. */
import { PerdureError } from "../base/errors.ts";
import type { Pid, ProcessKey } from "../journal/types.ts";
import type { TimerRow } from "../store/port.ts";

export interface CheckpointBody {
  /** Numbers of operations without an outcome. */
  readonly operations: readonly number[];
  readonly timers: readonly Omit<TimerRow, "process">[];
  readonly links: readonly ProcessKey[];
  readonly monitors: readonly (readonly [number: number, target: ProcessKey])[];
  readonly watchers: readonly (readonly [watcher: ProcessKey, number: number])[];
  readonly trapsExits: boolean;
  /** Ends of others that it had been sent word of, and had not taken. */
  readonly ends: readonly CheckpointEnd[];
}

/** Links with one process may break more than once: `said` is a digest of reason and value, "" where the monitor's number is enough. */
export type CheckpointEnd = readonly [kind: "exit" | "down", from: Pid, monitor: number, said: string];

export function encodeCheckpoint(body: CheckpointBody): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(body));
}

/** Throws JOURNAL_CORRUPT for anything that `encodeCheckpoint` never wrote. */
export function decodeCheckpoint(bytes: Uint8Array): CheckpointBody {
  let found: unknown;
  try {
    found = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw corrupt("it is not JSON", cause);
  }
  const { operations, timers, links, monitors, watchers, trapsExits, ends } = fieldsOf(found);
  return {
    operations: list("operations", operations, isNatural),
    timers: list("timers", timers, isTimer),
    links: list("links", links, isNatural),
    monitors: list("monitors", monitors, isPair),
    watchers: list("watchers", watchers, isPair),
    trapsExits: typeof trapsExits === "boolean" ? trapsExits : refuse("trapsExits"),
    ends: list("ends", ends, isEnd),
  };
}

type Fields = Readonly<Partial<Record<keyof CheckpointBody, unknown>>>;

function fieldsOf(found: unknown): Fields {
  if (typeof found !== "object" || found === null) throw corrupt("it is no object");
  return found;
}

function list<T>(name: string, found: unknown, fits: (item: unknown) => item is T): readonly T[] {
  return Array.isArray(found) && found.every(fits) ? found : refuse(name);
}

function isNatural(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isPair(value: unknown): value is readonly [number, number] {
  return Array.isArray(value) && value.length === 2 && value.every(isNatural);
}

function isTimer(value: unknown): value is Omit<TimerRow, "process"> {
  const { number, clock, dueMs } = (value ?? {}) as Partial<TimerRow>;
  return isNatural(number) && (clock === "wall" || clock === "service") && Number.isFinite(dueMs);
}

function isEnd(value: unknown): value is CheckpointEnd {
  if (!Array.isArray(value) || value.length !== 4) return false;
  const [kind, from, monitor, said] = value as readonly unknown[];
  const isOfTexts = typeof from === "string" && typeof said === "string";
  return (kind === "exit" || kind === "down") && isOfTexts && isNatural(monitor);
}

function refuse(name: string): never {
  throw corrupt(`its ${name} are not such`);
}

function corrupt(what: string, cause?: unknown): PerdureError {
  return new PerdureError(
    "JOURNAL_CORRUPT",
    `A checkpoint does not read: ${what}. It was damaged, or was not written by Perdure. Restore the store from a backup.`,
    { cause },
  );
}
