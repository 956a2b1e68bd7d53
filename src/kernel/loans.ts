/**
 * Transactional operations from the kernel's side: attempts whose turn has come ask to enter; when no commit is under way the
 * store is lent to the runner, which runs all of them in one transaction of its own, and gives it back. Where several nodes own the
 * store, nobody has it for himself: then they enter at once, as many loans as there are, and commits go on beside them.
 */
import type { Committer } from "./batch.ts";
import type { OperationRunner } from "./ports.ts";

export interface LoansPorts {
  readonly runner: Pick<OperationRunner, "transact">;
  readonly committer: Pick<Committer, "lend">;
  readonly incarnation: number;
  /** Commits go on meanwhile. */
  readonly beside: boolean;
  /** Whether somebody still waits for this attempt. */
  isWanted(token: string): boolean;
  /** These attempts are in a transaction until what it returns is called: their processes stay where they are. */
  hold(tokens: readonly string[]): () => void;
}

interface OpenLoan {
  readonly over: Promise<void>;
  readonly end: () => void;
}

export class Loans {
  readonly #ports: LoansPorts;
  readonly #out = new Map<string, OpenLoan>();
  #entering: string[] = [];
  #count = 0;
  #paused = false;

  constructor(ports: LoansPorts) {
    this.#ports = ports;
  }

  enter(token: string): void {
    if (this.#paused) return;
    this.#entering.push(token);
    if (this.#entering.length > 1) return;
    // Whoever asks may have more to say first.
    if (this.#ports.beside) queueMicrotask(() => void this.#lend());
    else this.#ports.committer.lend(() => this.#lend());
  }

  /** No loan begins any more: what has asked to enter has not begun, and stays in the store. */
  pause(): void {
    this.#paused = true;
    this.#entering = [];
  }

  /** Nothing is waited for any more. */
  stop(): void {
    this.pause();
    for (const { end } of this.#out.values()) end();
  }

  returned(token: string): void {
    this.#out.get(token)?.end();
  }

  /** Resolves when the loans that are out are over; undefined if none is. */
  get over(): Promise<unknown> | undefined {
    return this.#out.size === 0 ? undefined : Promise.all([...this.#out.values()].map(({ over }) => over));
  }

  #lend(): Promise<void> {
    const attempts = this.#entering.filter((token) => this.#ports.isWanted(token));
    this.#entering = [];
    if (attempts.length === 0) return Promise.resolve();
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const token = `loan ${++this.#count}`;
    const letGo = this.#ports.hold(attempts);
    const end = (): void => {
      if (!this.#out.delete(token)) return;
      letGo();
      resolve();
    };
    this.#out.set(token, { over, end });
    const { runner, incarnation } = this.#ports;
    runner.transact({ token, incarnation, attempts });
    return over;
  }
}
