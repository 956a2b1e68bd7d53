/**
 * Attempts of operations: from the commit that issued an operation to the input that settles it. An attempt has a token;
 * what is said of another token is not believed. Waits between attempts are rows before they are waits.
 */
import type { Payload } from "../base/value.ts";
import type { Clock } from "../base/ports.ts";
import { commandDigest } from "../journal/digest.ts";
import type { Lease, OperationRow } from "../store/port.ts";
import type { Committer } from "./batch.ts";
import { isBegun } from "./live.ts";
import type { Live, PendingOperation } from "./live.ts";
import { Loans } from "./loans.ts";
import type { KernelEvents, OperationReport, OperationRequest, OperationRunner } from "./ports.ts";
import { operationGone } from "./errors.ts";
import { gone } from "./registry.ts";

/** An operation that was running at so many node deaths waits for a person. */
export const quarantineDeaths = 5;

/** How long a wait goes by without a look at the clock. */
const longestRestMs = 60_000;

export interface AttemptsPorts {
  readonly runner: OperationRunner;
  readonly clock: Clock;
  readonly committer: Committer;
  readonly events: KernelEvents;
  readonly lease: Pick<Lease, "incarnation" | "shared">;
  /** Whether attempts of the process's operations may run on this node. */
  mayRun(live: Live): boolean;
  /** The operation's result has arrived; with `seq` it has an inbox row already. */
  settled(live: Live, operation: PendingOperation, ok: boolean, value: Payload, seq?: number): void;
  /** An inbox row holds a result that nobody wants. */
  unwanted(seq: number): void;
  /** The store is not what this node takes it for. */
  failed(error: Error): void;
}

type Ending = Exclude<OperationReport, { kind: "begin" | "enter" | "returned" }>;

export class Attempts {
  readonly #ports: AttemptsPorts;
  readonly #byToken = new Map<string, { live: Live; operation: PendingOperation }>();
  readonly #waits = new Set<() => void>();
  /** Processes with attempts in transactions, and in how many. */
  readonly #transacting = new Map<Live, number>();
  readonly #loans: Loans;
  #outbox: OperationRequest[] = [];
  #tokens = 0;
  #paused = false;
  #stopped = false;

  constructor(ports: AttemptsPorts) {
    this.#ports = ports;
    const { runner, committer, lease } = ports;
    this.#loans = new Loans({
      runner,
      committer,
      incarnation: lease.incarnation,
      beside: lease.shared === true,
      isWanted: (token) => this.#isWanted(token),
      hold: (tokens) => this.#hold(tokens),
    });
  }

  #isWanted(token: string): boolean {
    const found = this.#byToken.get(token);
    return found !== undefined && isWanted(found.live, found.operation);
  }

  /** A result that a transaction leaves is the process's: nobody else may take it over before that is known. */
  #hold(tokens: readonly string[]): () => void {
    const lives = tokens.flatMap((token) => this.#byToken.get(token)?.live ?? []);
    const count = (by: 1 | -1): void => {
      for (const live of lives) {
        live.pins += by;
        const now = (this.#transacting.get(live) ?? 0) + by;
        if (now === 0) this.#transacting.delete(live);
        else this.#transacting.set(live, now);
      }
    };
    count(1);
    return () => count(-1);
  }

  /** Whether an attempt of the process is in a transaction, also one that nobody wants any more. */
  isTransacting(live: Live): boolean {
    return this.#transacting.has(live);
  }

  /** How many attempts are under way. */
  get underway(): number {
    return this.#byToken.size;
  }

  /** To be called after the commit that holds the operation's row: starts its attempt, or waits until it may. */
  begin(live: Live, operation: PendingOperation): void {
    const { notBeforeMs, startedAtMs } = operation.row;
    const leftMs = notBeforeMs - this.#ports.clock.nowMs();
    // If the clock was set back, a wait that follows on a start is no longer than it was meant to be after that start.
    if (!this.#paused)
      this.#wait(live, operation, startedAtMs > 0 ? Math.min(leftMs, notBeforeMs - startedAtMs) : leftMs);
  }

  /**
   * A wait ends when it has lasted as long as it should, or when the clock says so: that may be set while it lasts. Not if it follows on
   * a start: calls that are under way do not end sooner because a clock was set forward.
   */
  #wait(live: Live, operation: PendingOperation, leftMs: number): void {
    const { clock } = this.#ports;
    const { notBeforeMs, startedAtMs } = operation.row;
    if (leftMs <= 0 || (startedAtMs === 0 && clock.nowMs() >= notBeforeMs)) return this.#dispatch(live, operation);
    const restMs = Math.min(leftMs, longestRestMs);
    const cancel = clock.after(restMs, () => {
      this.#waits.delete(cancel);
      this.#wait(live, operation, leftMs - restMs);
    });
    this.#waits.add(cancel);
  }

  /**
   * What becomes of an operation found in the store. After a crash it may have been running: then its deaths count, and
   * from the first one on its start is put on record, so that those that only queued are told from the killer.
   */
  recover(live: Live, operation: PendingOperation, afterCrash: boolean): void {
    if (operation.row.state === "unavailable") operation.row = { ...operation.row, state: "pending" };
    const { row } = operation;
    const waits = row.notBeforeMs > this.#ports.clock.nowMs();
    const mayHaveRun = afterCrash && !waits && (row.deaths === 0 || isBegun(row));
    // The node that said so may have died before anybody heard.
    if (row.state === "quarantined") return this.#notice("operation-quarantined", live, operation);
    // Not at once: those whose deaths are put on record first would lose their places to it.
    if (!mayHaveRun) return this.#beginSoon(live, operation);
    const deaths = row.deaths + 1;
    if (deaths >= quarantineDeaths) return this.#quarantine(live, operation, deaths);
    operation.row = { ...row, deaths };
    this.#save(live, operation, () => this.begin(live, operation));
  }

  /** A person lets a quarantined operation go on. That its start is on record stays so: it may have happened. */
  release(live: Live, operation: PendingOperation): void {
    operation.row = { ...operation.row, state: "pending", deaths: 0 };
    this.#save(live, operation, () => this.begin(live, operation));
  }

  /** The process is held: attempts of its operations that are under way come to nothing, and are not counted. */
  abandon(live: Live): void {
    for (const operation of live.operations.values()) this.abort(operation);
  }

  /** The process goes on, here or where it has come: what is pending is taken up again. */
  resume(live: Live): void {
    for (const operation of live.operations.values()) {
      if (operation.row.state === "unavailable") operation.row = { ...operation.row, state: "pending" };
      if (operation.row.state === "pending" && operation.token === undefined && !operation.settled)
        this.#beginSoon(live, operation);
    }
  }

  /** After the next commit. It may turn out meanwhile that a node has died with it: then it begins when that is on record. */
  #beginSoon(live: Live, operation: PendingOperation): void {
    const { row } = operation;
    this.#ports.committer.stage.effects.push(() => {
      if (operation.row === row) this.begin(live, operation);
    });
  }

  /** Nobody waits for the operation any more. */
  abort(operation: PendingOperation): void {
    const { token } = operation;
    if (token === undefined) return;
    operation.token = undefined;
    this.#byToken.delete(token);
    // The runner may not have heard of it yet; then it never does.
    const unsent = this.#outbox.findIndex((request) => request.token === token);
    if (unsent === -1) this.#ports.runner.abort(token);
    else this.#outbox.splice(unsent, 1);
  }

  report(reports: readonly OperationReport[]): void {
    for (const report of reports) {
      if (this.#stopped) return;
      const { kind, token } = report;
      const found = this.#byToken.get(token);
      if (kind === "returned") this.#loans.returned(token);
      else if (found === undefined) this.#leave(report);
      else if (kind === "begin") this.#begin(found.live, found.operation, token);
      else if (kind === "enter") this.#loans.enter(token);
      else this.#end(found.live, found.operation, report);
    }
  }

  /** Of an attempt that was taken back nothing is believed; but what a transaction has left must not stay. */
  #leave(report: OperationReport): void {
    // One of an earlier tenure has its result in the store, where this one has found it.
    const isOwn = report.token.startsWith(`${this.#ports.lease.incarnation}.`);
    if (isOwn && report.kind === "done" && report.seq !== undefined) this.#ports.unwanted(report.seq);
  }

  /** No attempt begins any more. */
  pause(): void {
    this.#paused = true;
    for (const cancel of this.#waits) cancel();
    this.#loans.pause();
  }

  /** Resolves when no transaction is under way; undefined if none is. */
  get transacted(): Promise<unknown> | undefined {
    return this.#loans.over;
  }

  /** No attempt begins any more, and nothing is said of those under way. */
  stop(): void {
    this.pause();
    this.#stopped = true;
    this.#outbox = [];
    for (const token of this.#byToken.keys()) this.#ports.runner.abort(token);
    this.#byToken.clear();
    this.#loans.stop();
  }

  #begin(live: Live, operation: PendingOperation, token: string): void {
    // What it waited for is over: only a wait that comes after this start will be on record with it.
    operation.row = { ...operation.row, startedAtMs: this.#ports.clock.nowMs(), notBeforeMs: 0 };
    this.#save(live, operation, () => {
      if (operation.token === token && isWanted(live, operation)) this.#ports.runner.proceed(token);
    });
  }

  #end(live: Live, operation: PendingOperation, report: Ending): void {
    this.#byToken.delete(report.token);
    operation.token = undefined;
    // It comes too late: the turn that gave the operation up is on its way to the store.
    if (!isWanted(live, operation)) return this.#leave(report);
    switch (report.kind) {
      case "done": {
        const { ok, value, seq } = report;
        operation.settled = true;
        return this.#ports.settled(live, operation, ok, value, seq);
      }
      case "retry":
        operation.row = {
          ...operation.row,
          ...this.#nextTime(operation.row, report.delayMs, report.doubtMs),
          attempt: operation.row.attempt + 1,
          lastError: report.error,
        };
        return this.#save(live, operation, () => this.begin(live, operation));
      case "rest":
        operation.row = { ...operation.row, ...this.#nextTime(operation.row, 0, report.doubtMs) };
        return this.#save(live, operation, () => this.begin(live, operation));
      case "gone":
        return this.#ports.failed(operationGone(live.row.pid, operation.row));
      case "unavailable":
        operation.row = { ...operation.row, state: "unavailable", lastError: report.error };
        return this.#save(live, operation, () => this.#notice("operation-unavailable", live, operation));
    }
  }

  /** When an operation is dispatched again, and what is then on record of its start. */
  #nextTime(
    row: OperationRow,
    delayMs: number,
    doubtMs: number | undefined,
  ): Pick<OperationRow, "notBeforeMs" | "startedAtMs"> {
    const nowMs = this.#ports.clock.nowMs();
    if (doubtMs === undefined || row.startedAtMs === 0) return { notBeforeMs: nowMs + delayMs, startedAtMs: 0 };
    // A clock that was set back says that the start is still to come. It is over, but nobody knows for how long. By one that was set
    // forward it was long ago; when it was set back the wait would be as long.
    const startedAtMs = Math.min(Math.max(row.startedAtMs, nowMs - doubtMs), nowMs);
    return { notBeforeMs: Math.max(nowMs + delayMs, startedAtMs + doubtMs), startedAtMs };
  }

  #quarantine(live: Live, operation: PendingOperation, deaths: number): void {
    operation.row = {
      ...operation.row,
      deaths,
      state: "quarantined",
      lastError: `It was running when the node died, ${deaths} times.`,
    };
    this.#save(live, operation, () => this.#notice("operation-quarantined", live, operation));
  }

  #notice(kind: "operation-unavailable" | "operation-quarantined", live: Live, { row }: PendingOperation): void {
    this.#ports.events.notice({
      kind,
      pid: live.row.pid,
      message: `Operation ${row.number} (${row.name}): ${row.lastError}`,
    });
  }

  #save(live: Live, operation: PendingOperation, afterCommit: () => void): void {
    // What is taken back has no row any more, and must not get one again.
    if (!isWanted(live, operation)) return;
    const { stage } = this.#ports.committer;
    stage.operations.push(operation.row);
    stage.effects.push(afterCommit);
  }

  #dispatch(live: Live, operation: PendingOperation): void {
    if (
      this.#paused ||
      live.leaving ||
      !this.#ports.mayRun(live) ||
      operation.settled ||
      operation.token !== undefined ||
      !isWanted(live, operation)
    )
      return;
    const { row } = operation;
    if (row.state === "quarantined" || live.row.state === "broken" || live.row.state === "moving") return;
    const token = `${this.#ports.lease.incarnation}.${++this.#tokens}`;
    operation.token = token;
    this.#byToken.set(token, { live, operation });
    if (this.#outbox.length === 0) queueMicrotask(() => this.#send());
    this.#outbox.push({
      token,
      process: row.process,
      pid: live.row.pid,
      program: live.row.program,
      number: row.number,
      name: row.name,
      options: row.options,
      args: row.args,
      attempt: row.attempt,
      idempotencyKey: idempotencyKey(live, row),
      watched: row.deaths > 0,
      doubt: row.startedAtMs === 0 ? "none" : isBegun(row) ? "fresh" : "rested",
    });
  }

  #send(): void {
    const requests = this.#outbox;
    this.#outbox = [];
    if (requests.length > 0) this.#ports.runner.start(requests);
  }
}

/** Not if a turn was staged that takes the operation back, or ends the process. */
function isWanted(live: Live, operation: PendingOperation): boolean {
  return live.operations.get(operation.row.number) === operation && !gone(live);
}

/** The same for every attempt, on every node, for ever: process, number, and what is asked for. */
export function idempotencyKey(live: Live, row: OperationRow): string {
  const { digest } = commandDigest({
    kind: "operation",
    number: row.number,
    name: row.name,
    options: row.options,
    args: row.args,
  });
  return `${live.row.pid}/${row.number}/${digest}`;
}
