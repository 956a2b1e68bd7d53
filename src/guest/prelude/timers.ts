/**
 * `setTimeout` and `setInterval`, durable: each is a timer of the process on wall time, kept by the store while the
 * process sleeps. A delay may be years; one shorter than a turn is not stretched.
 */
import { mapDelete, mapGet, mapSet, now, reflectApply } from "./intrinsics.ts";
import { startTimer, stopTimer } from "../runtime.ts";

type Callback = (...args: unknown[]) => unknown;

/** The last instant a Date can name. */
const maxTimeMs = 8.64e15;

let lastId = 0;
/** The number of the process's timer behind each id given out: an interval has a new one for each tick. */
const armed = new Map<number, number>();

/** Calls `callback` once, `delayMs` from now (default 0; what is negative or no finite number counts as 0). */
export function setTimeout(callback: Callback, delayMs?: number, ...args: unknown[]): number {
  requireFunction("setTimeout", callback);
  const id = ++lastId;
  arm(id, now() + toDelayMs(delayMs), () => {
    mapDelete(armed, id);
    reflectApply(callback, globalThis, args);
  });
  return id;
}

/**
 * Calls `callback` every `delayMs`, at least 1. Ticks are multiples of it after the first call; those that passed while
 * nothing ran the process come as one.
 */
export function setInterval(callback: Callback, delayMs?: number, ...args: unknown[]): number {
  requireFunction("setInterval", callback);
  const id = ++lastId;
  // With 0 the process would be called for ever within one instant.
  const periodMs = Math.max(1, toDelayMs(delayMs));
  let dueMs = now() + periodMs;
  const tick = (): void => {
    try {
      reflectApply(callback, globalThis, args);
    } finally {
      if (mapGet(armed, id) !== undefined) {
        const missed = Math.max(0, Math.floor((now() - dueMs) / periodMs));
        dueMs += (missed + 1) * periodMs;
        arm(id, dueMs, tick);
      }
    }
  };
  arm(id, dueMs, tick);
  return id;
}

/** Takes back a timeout or an interval. Ids that are unknown or no longer armed are ignored. */
export function clearTimeout(id?: unknown): void {
  const key = Number(id);
  const timer = mapGet(armed, key);
  if (timer === undefined) return;
  mapDelete(armed, key);
  stopTimer(timer);
}

function arm(id: number, dueMs: number, fire: () => void): void {
  mapSet(armed, id, startTimer("wall", Math.min(dueMs, maxTimeMs), fire));
}

function toDelayMs(delay: unknown): number {
  const delayMs = Math.trunc(Number(delay));
  return Number.isFinite(delayMs) && delayMs > 0 ? delayMs : 0;
}

function requireFunction(name: string, callback: unknown): void {
  if (typeof callback === "function") return;
  throw new TypeError(`${name} takes a function, not ${callback === null ? "null" : `a ${typeof callback}`}.`);
}
