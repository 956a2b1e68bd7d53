/** What is asked for, and what comes of it. */

/**
 * - `inside`: from one account to another, in one transactional operation.
 * - the others pay to the bank outside what was withdrawn here first: `keyed` at least once, with the idempotency key; `once`
 *   at most once; `reconciled` at most once, and the bank is asked; `fetched` by the program's own `fetch`.
 */
export type Way = "inside" | "keyed" | "once" | "reconciled" | "fetched";

export interface Transfer {
  readonly id: string;
  readonly way: Way;
  readonly from: number;
  readonly to: number;
  readonly cents: number;
}

/** `unknown`: nobody can tell whether the bank outside has got the money. */
export type Outcome = "done" | "refused" | "unknown";
