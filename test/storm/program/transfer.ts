/** What is asked for, and what comes of it. */

/**
 * - `inside`: from one account to another, in one transactional operation.
 * - `told`: from one account to another, each of which is kept by a teller: a process, who is called.
 * - the others pay to the bank outside what was withdrawn here first: `keyed` at least once, with the idempotency key; `once`
 *   at most once; `reconciled` at most once, and the bank is asked; `fetched` by the program's own `fetch`.
 */
export type Way = "inside" | "told" | "keyed" | "once" | "reconciled" | "fetched";

/** Where the books lie that transactional operations write: beside the store, in its file or in its database. */
export type Place = "file" | "server";

export interface Transfer {
  readonly id: string;
  readonly way: Way;
  readonly from: number;
  readonly to: number;
  readonly cents: number;
  readonly place: Place;
}

/** `unknown`: nobody can tell whether the bank outside has got the money. */
export type Outcome = "done" | "refused" | "unknown";

/** Money that has left an account and has not arrived lies here. */
export const transit = -1;
export const outside = -2;

/** What each teller begins with. */
export const tellerCents = 50_000;
/** A call of a payment that is reconciled may take so long. */
export const reconciledTimeoutMs = 4_000;
