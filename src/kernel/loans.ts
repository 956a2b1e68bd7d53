/**
 * Transactional operations from the kernel's side: attempts whose turn has come ask to enter; when no commit is under way the
 * store is lent to the runner, which runs all of them in one transaction of its own, and gives it back.
 */
import type { Committer } from "./batch.ts";
import type { OperationRunner } from "./ports.ts";

export interface LoansPorts {
  readonly runner: Pick<OperationRunner, "transact">;
  readonly committer: Pick<Committer, "lend">;
  readonly incarnation: number;
  /** Whether somebody still waits for this attempt. */
  isWanted(token: string): boolean;
}

export class Loans {
  readonly #ports: LoansPorts;
  #entering: string[] = [];
  #loan: { readonly token: string; readonly over: Promise<void>; readonly end: () => void } | undefined;
  #count = 0;
  #paused = false;

  constructor(ports: LoansPorts) {
    this.#ports = ports;
  }

  enter(token: string): void {
    if (this.#paused) return;
    this.#entering.push(token);
    if (this.#entering.length === 1) this.#ports.committer.lend(() => this.#lend());
  }

  /** No loan begins any more: what has asked to enter has not begun, and stays in the store. */
  pause(): void {
    this.#paused = true;
    this.#entering = [];
  }

  /** Nothing is waited for any more. */
  stop(): void {
    this.pause();
    this.#loan?.end();
  }

  returned(token: string): void {
    if (this.#loan?.token === token) this.#loan.end();
  }

  /** Resolves when the loan that is out is over; undefined if none is. */
  get over(): Promise<void> | undefined {
    return this.#loan?.over;
  }

  #lend(): Promise<void> {
    const attempts = this.#entering.filter((token) => this.#ports.isWanted(token));
    this.#entering = [];
    if (attempts.length === 0) return Promise.resolve();
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const token = `loan ${++this.#count}`;
    const end = (): void => {
      this.#loan = undefined;
      resolve();
    };
    this.#loan = { token, over, end };
    const { runner, incarnation } = this.#ports;
    runner.transact({ token, incarnation, attempts });
    return over;
  }
}
