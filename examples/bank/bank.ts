// A bank without a database. Accounts are servers with a key: the first use of `Account.at("ann")` starts hers, and from then on
// it is there, for everybody, with its fields as its books.
//
//   perdure run examples/bank/bank.ts
//
// Kill the node with `kill -9` while money is on its way, as often as you like, and run the same command again: in the
// end not a cent is missing, and none was made.

import { Refusal, Server, sleep, Task } from "perdure";

export class Account extends Server {
  static readOnly = ["balance"] as const;
  cents = 0;

  balance() {
    return this.cents;
  }

  deposit(cents: number) {
    this.cents += amount(cents);
  }

  /** A refusal is an answer: the caller gets it as an error, the account lives on. Any other error would end the account. */
  withdraw(cents: number) {
    if (amount(cents) > this.cents) throw new Refusal("not enough money", { balance: this.cents });
    this.cents -= cents;
  }
}

function amount(cents: number) {
  if (Number.isSafeInteger(cents) && cents > 0) return cents;
  throw new Refusal(`${cents} is no amount of money`);
}

/** Calls are given up after five seconds, and may be carried out later all the same. With money, one waits for the answer. */
const account = (owner: string) => Account.at(owner).within("infinity");

/** A slip as customers fill it in. One that nobody can read makes the process that reads it crash, and nothing else. */
export async function transfer(slip: string) {
  const { from, to, cents } = JSON.parse(slip) as { from: string; to: string; cents: number };
  try {
    await account(from).withdraw(cents);
  } catch (error) {
    if (error instanceof Refusal) return error.message;
    throw error;
  }
  // Now the money is in no account, but in a local variable. There it is as safe.
  await sleep("1s");
  await account(to).deposit(cents);
  return "done";
}

const owners = ["ann", "bob", "cleo", "dan"];

/** A day at the bank. */
export default async function day(slips = 100) {
  for (const owner of owners) await account(owner).deposit(1_000_00);
  console.log(`in the morning: ${await total()} cents`);

  const transfers = Array.from({ length: slips }, (_, number) => Task.async(transfer, slip(number)));
  await sleep("500ms");
  console.log(`${slips} transfers under way, ${await total()} cents in the accounts`);

  const outcomes = await Promise.all(transfers.map((task) => task.result().catch(() => "crashed")));
  const count = (wanted: string) => outcomes.filter((outcome) => outcome === wanted).length;
  console.log(`${count("done")} done, ${count("not enough money")} refused, ${count("crashed")} crashed`);
  console.log(`in the evening: ${await total()} cents`);
}

/** What there is in all accounts. */
export async function total() {
  const balances = await Promise.all(owners.map((owner) => account(owner).balance()));
  return balances.reduce((sum, cents) => sum + cents, 0);
}

function slip(number: number) {
  if (number % 30 === 29) return "Dear bank, please send my money to";
  const [from, to] = [Math.floor(Math.random() * 4), 1 + Math.floor(Math.random() * 3)];
  const cents = Math.ceil(Math.random() * 250_00);
  return JSON.stringify({ from: owners[from], to: owners[(from + to) % 4], cents });
}
