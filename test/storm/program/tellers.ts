/** Accounts that are kept by processes, in their memory. */
import { Server } from "perdure";
import { tellerCents } from "./transfer.ts";

export class Teller extends Server {
  #cents = tellerCents;

  take(cents: number): boolean {
    if (cents > this.#cents) return false;
    this.#cents -= cents;
    return true;
  }

  put(cents: number): void {
    this.#cents += cents;
  }

  balance(): number {
    return this.#cents;
  }
}

export async function balances(tellers: number): Promise<number[]> {
  const all: number[] = [];
  for (let teller = 0; teller < tellers; teller++)
    all.push(await Teller.at(String(teller)).within("infinity").balance());
  return all;
}
