/**
 * Transactional attempts: they ask to enter; when the kernel lends the store, all that have asked run in one transaction, and each
 * one's outcome becomes a report. A result that was committed is always reported, also when its attempt was taken back meanwhile:
 * the kernel has to deal with the row that holds it.
 */
import type { Clock } from "../base/ports.ts";
import { backoffMs } from "../base/retry.ts";
import { encodeValue } from "../base/value.ts";
import type { Payload } from "../base/value.ts";
import type { Loan, OperationReport, OperationRequest } from "../kernel/ports.ts";
import type { Transaction, TransactionJob, TransactionOutcome, Transactions } from "../store/transactions.ts";
import { describeError } from "./errors.ts";
import { retryPolicy } from "./retry.ts";
import { failed, uncrossable } from "./verdict.ts";

export interface TransactingPorts {
  /** Opens the store for transactions. Called at the first one; if it throws, again at the next. */
  readonly open: () => Transactions;
  readonly clock: Clock;
  readonly report: (report: OperationReport) => void;
}

/** An attempt on its way into a transaction. */
export interface Entrant {
  readonly request: OperationRequest;
  /** The user's function with its arguments, in the attempt's scope. */
  call(tx: Transaction): unknown;
  /** It begins now. */
  begun(): void;
  /** Its outcome is known, and reported if somebody has to hear of it. */
  ended(): void;
  /** Whether somebody waits for it. */
  readonly isWanted: boolean;
}

/** What the store does wrong is nobody's last attempt; only the waits grow. */
const storeRetries = retryPolicy({ maxAttempts: Infinity, jitter: 0 });

export class Transacting {
  readonly #ports: TransactingPorts;
  readonly #entrants = new Map<string, Entrant>();
  #transactions: Transactions | undefined;
  #underway: Promise<void> | undefined;

  constructor(ports: TransactingPorts) {
    this.#ports = ports;
  }

  enter(entrant: Entrant): void {
    const { token } = entrant.request;
    this.#entrants.set(token, entrant);
    this.#ports.report({ token, kind: "enter" });
  }

  /** It has not begun, and never will. */
  leave(token: string): void {
    this.#entrants.delete(token);
  }

  /** Resolves when no transaction is under way; undefined if none is. */
  get underway(): Promise<void> | undefined {
    return this.#underway;
  }

  transact(loan: Loan): void {
    const entrants = loan.attempts.flatMap((token) => this.#entrants.get(token) ?? []);
    for (const { request } of entrants) this.#entrants.delete(request.token);
    this.#underway = this.#transact(loan.incarnation, entrants).finally(() => {
      this.#underway = undefined;
      this.#ports.report({ token: loan.token, kind: "returned" });
    });
  }

  /** Frees the connection; waits for the transaction under way. */
  async close(): Promise<void> {
    await this.#underway;
    await this.#transactions?.close();
  }

  async #transact(incarnation: number, entrants: readonly Entrant[]): Promise<void> {
    if (entrants.length === 0) return;
    for (const entrant of entrants) entrant.begun();
    const outcomes = await this.#run(incarnation, entrants.map(jobOf));
    for (const [index, outcome] of outcomes.entries()) {
      const entrant = entrants[index];
      if (entrant === undefined) continue;
      if (entrant.isWanted || outcome.kind === "committed") this.#ports.report(reportOf(entrant.request, outcome));
      entrant.ended();
    }
  }

  async #run(incarnation: number, jobs: readonly TransactionJob[]): Promise<readonly TransactionOutcome[]> {
    try {
      this.#transactions ??= this.#ports.open();
      return await this.#transactions.run({ incarnation, atMs: this.#ports.clock.nowMs(), jobs });
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      return jobs.map(() => ({ kind: "failed", error: failure }));
    }
  }
}

function jobOf(entrant: Entrant): TransactionJob {
  const { process, number, name } = entrant.request;
  const cross = (value: unknown): Payload => {
    try {
      return encodeValue(value);
    } catch (error) {
      throw uncrossable(name, error);
    }
  };
  const call = (tx: Transaction): Payload | Promise<Payload> => {
    const result = entrant.call(tx);
    return isThenable(result) ? Promise.resolve(result).then(cross) : cross(result);
  };
  return { process, number, name, call };
}

function reportOf(request: OperationRequest, outcome: TransactionOutcome): OperationReport {
  const { token, attempt } = request;
  switch (outcome.kind) {
    case "committed": {
      const { value, seq } = outcome;
      return { token, kind: "done", ok: true, value, ...(seq === undefined ? {} : { seq }) };
    }
    case "threw":
      return failed(request, outcome.error);
    case "failed":
      return {
        token,
        kind: "retry",
        delayMs: backoffMs(storeRetries, attempt, 0.5),
        error: describeError(outcome.error),
      };
    case "unwanted":
      return { token, kind: "gone" };
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    ((typeof value === "object" && value !== null) || typeof value === "function") &&
    typeof (value as { then?: unknown }).then === "function"
  );
}
