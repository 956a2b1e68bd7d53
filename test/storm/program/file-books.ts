"use host";
/** The books in the store's own file. */
import { operation } from "perdure/host";
import { outside, transit } from "./transfer.ts";

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
