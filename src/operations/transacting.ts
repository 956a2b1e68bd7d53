/**
 * Transactional attempts: they ask to enter; when the kernel lends the store, all that have asked run in one transaction, and each
 * one's outcome becomes a report. A result that was committed is always reported, also when its attempt was taken back meanwhile:
 * the kernel has to deal with the row that holds it.
 *
 * Where transactions run beside each other (`Transactions.isConcurrent`), each attempt goes its own way: none waits for another's result.
 */
import type { Clock } from "../base/ports.ts";
import { backoffMs } from "../base/retry.ts";
import { encodeValue } from "../base/value.ts";
import type { Payload } from "../base/value.ts";
import type { Loan, OperationReport, OperationRequest } from "../kernel/ports.ts";
import type { AnyTransaction, TransactionJob, TransactionOutcome, Transactions } from "../store/transactions.ts";
import { describeError, OperationTimeoutError } from "./errors.ts";
import { retryPolicy } from "./retry.ts";
import { failed, uncrossable } from "./verdict.ts";

export interface TransactingPorts {
  /** Opens the store for transactions. Called at the first one; if it throws, again at the next. */
  readonly open: () => Transactions<AnyTransaction> | Promise<Transactions<AnyTransaction>>;
  readonly clock: Clock;
  readonly report: (report: OperationReport) => void;
}

/** An attempt on its way into a transaction. */
export interface Entrant {
  readonly request: OperationRequest;
  readonly timeoutMs: number | undefined;
  /** The user's function with its arguments, in the attempt's scope. */
  call(tx: AnyTransaction): unknown;
  /** Its time has passed: whatever still runs of the function is told. */
  expire(error: Error): void;
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
  readonly #underway = new Set<Promise<void>>();
  #opening: Promise<Transactions<AnyTransaction>> | undefined;

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

  /** Whether a transaction is under way. */
  get isUnderway(): boolean {
    return this.#underway.size > 0;
  }

  /** Resolves when all that came of it is reported. */
  async transact(loan: Loan): Promise<void> {
    const entrants = loan.attempts.flatMap((token) => this.#entrants.get(token) ?? []);
    for (const { request } of entrants) this.#entrants.delete(request.token);
    const work = this.#transact(loan.incarnation, entrants);
    this.#underway.add(work);
    await work;
    this.#underway.delete(work);
    this.#ports.report({ token: loan.token, kind: "returned" });
  }

  /** Frees the connection; waits for the transactions under way. */
  async close(): Promise<void> {
    const transactions = await this.#opening?.catch(() => undefined);
    await transactions?.close();
    await Promise.all(this.#underway);
  }

  async #transact(incarnation: number, entrants: readonly Entrant[]): Promise<void> {
    if (entrants.length === 0) return;
    let transactions: Transactions<AnyTransaction>;
    try {
      transactions = await this.#open();
    } catch (error) {
      for (const entrant of entrants) this.#end(entrant, failure(error));
      return;
    }
    const batches = transactions.isConcurrent === true ? entrants.map((entrant) => [entrant]) : [entrants];
    await Promise.all(batches.map((batch) => this.#run(transactions, incarnation, batch)));
  }

  async #open(): Promise<Transactions<AnyTransaction>> {
    this.#opening ??= (async () => await this.#ports.open())();
    try {
      return await this.#opening;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }

  async #run(
    transactions: Transactions<AnyTransaction>,
    incarnation: number,
    entrants: readonly Entrant[],
  ): Promise<void> {
    for (const entrant of entrants) entrant.begun();
    let outcomes: readonly TransactionOutcome[];
    try {
      const atMs = this.#ports.clock.nowMs();
      outcomes = await transactions.run({ incarnation, atMs, jobs: entrants.map(jobOf) });
    } catch (error) {
      outcomes = entrants.map(() => failure(error));
    }
    for (const [index, outcome] of outcomes.entries()) {
      const entrant = entrants[index];
      if (entrant !== undefined) this.#end(entrant, outcome);
    }
  }

  #end(entrant: Entrant, outcome: TransactionOutcome): void {
    if (entrant.isWanted || outcome.kind === "committed") this.#ports.report(reportOf(entrant.request, outcome));
    entrant.ended();
  }
}

function failure(error: unknown): TransactionOutcome {
  return { kind: "failed", error: error instanceof Error ? error : new Error(String(error)) };
}

function jobOf(entrant: Entrant): TransactionJob<AnyTransaction> {
  const { process, number, name } = entrant.request;
  const cross = (value: unknown): Payload => {
    try {
      return encodeValue(value);
    } catch (error) {
      throw uncrossable(name, error);
    }
  };
  const call = (tx: AnyTransaction): Payload | Promise<Payload> => {
    const result = entrant.call(tx);
    return isThenable(result) ? Promise.resolve(result).then(cross) : cross(result);
  };
  const expire = (timeoutMs: number): Error => {
    const error = new OperationTimeoutError(name, timeoutMs);
    entrant.expire(error);
    return error;
  };
  return { process, number, name, call, timeoutMs: entrant.timeoutMs, expire };
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
