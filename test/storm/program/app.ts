/** Transfers: within the store's own books, and from them to a bank outside, in every way a payment can be made. */
import { sleep, UncertainOperationError } from "perdure";
import { payKeyed, payOnce, payReconciled, peer } from "./bank.ts";
import * as file from "./file-books.ts";
import * as server from "./server-books.ts";
import { Teller } from "./tellers.ts";
import type { Outcome, Place, Transfer } from "./transfer.ts";

export { listener, talker } from "./talk.ts";
export { balances, Teller } from "./tellers.ts";

const booksAt = { file, server } as const;

export async function prepare(place: Place, accounts: number, cents: number): Promise<void> {
  await booksAt[place].open(accounts, cents);
}

export async function transfer(wanted: Transfer): Promise<Outcome> {
  const { id, way, from, to, cents, place } = wanted;
  const { giveBack, move, settle, withdraw } = booksAt[place];
  if (way === "told") return await tell(wanted);
  try {
    if (way === "inside") await move(id, from, to, cents);
    else await withdraw(id, from, cents);
  } catch {
    // It was rolled back: the account has not got as much.
    return "refused";
  }
  if (way === "inside") return "done";
  try {
    await pay(wanted);
  } catch (error) {
    if (error instanceof UncertainOperationError) return "unknown";
    await giveBack(id, from, cents);
    return "refused";
  }
  await settle(id, cents);
  return "done";
}

/** Each teller hears of it exactly once. */
async function tell({ from, to, cents }: Transfer): Promise<Outcome> {
  if (!(await Teller.at(String(from)).within("infinity").take(cents))) return "refused";
  await Teller.at(String(to)).within("infinity").put(cents);
  return "done";
}

async function pay(wanted: Transfer): Promise<void> {
  if (wanted.way === "keyed") await payKeyed(wanted);
  else if (wanted.way === "once") await payOnce(wanted);
  else if (wanted.way === "reconciled") await payReconciled(wanted);
  else await payByFetch(wanted);
}

/** A network error says nothing: the same request, with the same key, is made until it is answered. */
async function payByFetch(wanted: Transfer): Promise<void> {
  const url = `${await peer()}/pay/fetched`;
  for (let waitMs = 20; ; waitMs = Math.min(2 * waitMs, 500)) {
    try {
      const headers = { "Idempotency-Key": wanted.id, "Content-Type": "application/json" };
      const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(wanted) });
      if (response.ok) return;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    await sleep(waitMs);
  }
}
