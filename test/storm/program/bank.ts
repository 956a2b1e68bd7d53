"use host";
/** The books in the store's own database, and the ways to a bank outside that loses requests and answers. */
import { idempotencyKey, NonRetryableError, operation, signal } from "perdure/host";
import type { Reconciled } from "perdure/host";
import { outside, reconciledTimeoutMs, transit } from "./transfer.ts";
import type { Transfer } from "./transfer.ts";

const address = process.env["PERDURE_STORM_PEER"] ?? "";
const node = process.env["PERDURE_STORM_NODE"] ?? "";

export async function peer(): Promise<string> {
  return address;
}

/** Something for a node to do that leaves no trace. */
export async function noted(number: number): Promise<number> {
  return number;
}

// -- inside ------------------------------------------------------------------------------------------------------

/** Entries have no key that would refuse a second one: whether there are two is what is to be found out. */
export const open = operation({ mode: "transactional" }, (tx, accounts: number, cents: number) => {
  tx.exec(`
    CREATE TABLE account (id INTEGER PRIMARY KEY, cents INTEGER NOT NULL) STRICT;
    CREATE TABLE entry (transfer TEXT NOT NULL, what TEXT NOT NULL, cents INTEGER NOT NULL) STRICT;
    INSERT INTO account VALUES (${transit}, 0), (${outside}, 0);
  `);
  for (let id = 0; id < accounts; id++) tx.run("INSERT INTO account VALUES (?, ?)", id, cents);
});

export const move = operation({ mode: "transactional" }, (tx, id: string, from: number, to: number, cents: number) => {
  tx.run("INSERT INTO entry VALUES (?, 'moved', ?)", id, cents);
  tx.run("UPDATE account SET cents = cents + ? WHERE id = ?", cents, to);
  tx.run("UPDATE account SET cents = cents - ? WHERE id = ?", cents, from);
  // Last, so that there is something to roll back.
  if ((tx.get<{ cents: number }>("SELECT cents FROM account WHERE id = ?", from)?.cents ?? 0) < 0)
    throw new Error(`Account ${from} has not got ${cents} cents.`);
});

export const withdraw = operation({ mode: "transactional" }, (tx, id: string, from: number, cents: number) => {
  tx.run("INSERT INTO entry VALUES (?, 'withdrawn', ?)", id, cents);
  tx.run("UPDATE account SET cents = cents - ? WHERE id = ?", cents, from);
  tx.run("UPDATE account SET cents = cents + ? WHERE id = ?", cents, transit);
  const row = tx.get<{ cents: number }>("SELECT cents FROM account WHERE id = ?", from);
  if ((row?.cents ?? 0) < 0) throw new Error(`Account ${from} has not got ${cents} cents.`);
});

export const giveBack = operation({ mode: "transactional" }, (tx, id: string, from: number, cents: number) => {
  tx.run("INSERT INTO entry VALUES (?, 'given back', ?)", id, cents);
  tx.run("UPDATE account SET cents = cents - ? WHERE id = ?", cents, transit);
  tx.run("UPDATE account SET cents = cents + ? WHERE id = ?", cents, from);
});

export const settle = operation({ mode: "transactional" }, (tx, id: string, cents: number) => {
  tx.run("INSERT INTO entry VALUES (?, 'settled', ?)", id, cents);
  tx.run("UPDATE account SET cents = cents - ? WHERE id = ?", cents, transit);
  tx.run("UPDATE account SET cents = cents + ? WHERE id = ?", cents, outside);
});

// -- outside -----------------------------------------------------------------------------------------------------

/** The bank has said that it did not take the payment. Any other failure says nothing. */
class Refused extends NonRetryableError {}

async function post(way: string, transfer: Transfer): Promise<void> {
  const response = await fetch(`${address}/pay/${way}`, {
    method: "POST",
    headers: {
      "Idempotency-Key": idempotencyKey(),
      "Content-Type": "application/json",
      // Who calls, and since when: nobody can help it if the machine stands still in the middle.
      "X-Node": node,
      "X-Began": String(Date.now()),
    },
    body: JSON.stringify(transfer),
    signal: signal(),
  });
  if (response.status === 503) throw new Refused("The bank is closed.");
  await response.json();
}

const patient = { maxAttempts: Infinity, initialDelay: 20, maxDelay: 400 } as const;

/** The bank knows the key. */
export const payKeyed = operation({ retry: patient, timeout: "2s" }, async (transfer: Transfer) => {
  await post("keyed", transfer).catch((error: unknown) => {
    throw error instanceof Refused ? new Error(error.message) : error;
  });
});

/** The bank does not look at the key. What the network swallowed is as unknown as what the node's death did. */
export const payOnce = operation({ mode: "at-most-once", timeout: "2s" }, async (transfer: Transfer) => {
  try {
    await post("once", transfer);
  } catch (error) {
    if (error instanceof Refused) throw error;
    // The timeout makes it uncertain, and nothing else can.
    await new Promise((resolve) => signal().addEventListener("abort", resolve));
  }
});

/** The bank does not refuse a second payment, but it can be asked for the first one. */
export const payReconciled = operation(
  {
    timeout: reconciledTimeoutMs,
    retry: patient,
    reconcile: async (key: string): Promise<Reconciled<void>> => {
      const response = await fetch(`${address}/payments/${encodeURIComponent(key)}`, { signal: signal() });
      if (response.status === 404) return { done: false };
      if (!response.ok) throw new Error(`The bank answers ${response.status}.`);
      await response.json();
      return { done: true, value: undefined };
    },
  },
  async (transfer: Transfer): Promise<void> => {
    await post("reconciled", transfer);
  },
);
