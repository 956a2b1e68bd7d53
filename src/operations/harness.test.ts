/** What the runner's tests share: a clock that is moved by hand, and a runner whose reports are collected. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock, Random } from "../base/ports.ts";
import { decodeValue, encodeValue } from "../base/value.ts";
import type { OperationReport, OperationRequest } from "../kernel/ports.ts";
import type { HostFunction } from "./definition.ts";
import { createRunner } from "./runner.ts";
import type { Runner, RunnerOptions } from "./runner.ts";

export class FakeClock implements Clock {
  #nowMs = 0;
  #setByMs = 0;
  readonly #timers = new Set<{ readonly dueMs: number; readonly fn: () => void }>();

  nowMs(): number {
    return this.#nowMs + this.#setByMs;
  }

  /** Somebody sets it; no time passes. */
  set(byMs: number): void {
    this.#setByMs += byMs;
  }

  get pending(): number {
    return this.#timers.size;
  }

  after(delayMs: number, fn: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, fn };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs;
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#nowMs = due.dueMs;
      due.fn();
    }
    this.#nowMs = untilMs;
  }
}

/** Always the middle: no jitter. */
export const middle: Random = { bytes: (length) => new Uint8Array(length).fill(0x80, 0, 1) };

export interface Harness {
  readonly runner: Runner;
  readonly clock: FakeClock;
  readonly batches: OperationReport[][];
  /** Everything reported so far. */
  reports(): OperationReport[];
  /** What was reported of one attempt. */
  of(token: string): OperationReport[];
  /** Starts one attempt of the function called `name`. */
  start(name: string, args?: unknown[], changes?: Partial<OperationRequest>): string;
}

export function harness(functions: Record<string, HostFunction>, options: Partial<RunnerOptions> = {}): Harness {
  const clock = new FakeClock();
  const batches: OperationReport[][] = [];
  const runner = createRunner({
    resolve: (name) => functions[name],
    clock,
    random: middle,
    report: (reports) => batches.push(reports),
    ...options,
  });
  let count = 0;
  return {
    runner,
    clock,
    batches,
    reports: () => batches.flat(),
    of: (token) => batches.flat().filter((report) => report.token === token),
    start(name, args = [], changes = {}) {
      const made = request(`t${++count}`, name, args, changes);
      runner.start([made]);
      return made.token;
    },
  };
}

export function request(
  token: string,
  name: string,
  args: unknown[],
  changes: Partial<OperationRequest> = {},
): OperationRequest {
  return {
    token,
    process: 1,
    pid: "order-1",
    program: "p".repeat(8),
    number: 1,
    name,
    options: "",
    args: encodeValue(args),
    attempt: 1,
    idempotencyKey: `key-${token}`,
    watched: false,
    doubt: "none",
    ...changes,
  };
}

/** Lets everything that can happen without time passing happen, and the reports leave. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await nextTurn();
}

/** The result an attempt ended with. Throws the error it ended with. */
export function outcome(reports: readonly OperationReport[]): unknown {
  const last = reports.at(-1);
  if (last?.kind !== "done") throw new Error(`no result, but ${JSON.stringify(last)}`);
  const value = decodeValue(last.value);
  if (last.ok) return value;
  throw value;
}
