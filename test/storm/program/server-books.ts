"use host";
/** The same books as in a file, in another schema of the store's own database. */
import { operation } from "perdure/host";
import type { PostgresTransaction } from "perdure/host";
import { outside, transit } from "./transfer.ts";

export const open = operation(
  { mode: "transactional" },
  async (tx: PostgresTransaction, accounts: number, cents: number) => {
    await tx.exec(`
      CREATE SCHEMA bank;
      CREATE TABLE bank.account (id int PRIMARY KEY, cents bigint NOT NULL);
      CREATE TABLE bank.entry (transfer text NOT NULL, what text NOT NULL, cents bigint NOT NULL);
      INSERT INTO bank.account VALUES (${transit}, 0), (${outside}, 0);
    `);
    await tx.run("INSERT INTO bank.account SELECT id, $2 FROM generate_series(0, $1::int - 1) AS id", accounts, cents);
  },
);

async function write(tx: PostgresTransaction, id: string, what: string, cents: number): Promise<void> {
  await tx.run("INSERT INTO bank.entry VALUES ($1, $2, $3)", id, what, cents);
}

async function add(tx: PostgresTransaction, account: number, cents: number): Promise<void> {
  await tx.run("UPDATE bank.account SET cents = cents + $2 WHERE id = $1", account, cents);
}

/** Last, so that there is something to roll back. */
async function check(tx: PostgresTransaction, account: number, cents: number): Promise<void> {
  const row = await tx.get<{ cents: number }>("SELECT cents FROM bank.account WHERE id = $1", account);
  if ((row?.cents ?? 0) < 0) throw new Error(`Account ${account} has not got ${cents} cents.`);
}

export const move = operation(
  { mode: "transactional" },
  async (tx: PostgresTransaction, id: string, from: number, to: number, cents: number) => {
    await write(tx, id, "moved", cents);
    await add(tx, to, cents);
    await add(tx, from, -cents);
    await check(tx, from, cents);
  },
);

export const withdraw = operation(
  { mode: "transactional" },
  async (tx: PostgresTransaction, id: string, from: number, cents: number) => {
    await write(tx, id, "withdrawn", cents);
    await add(tx, from, -cents);
    await add(tx, transit, cents);
    await check(tx, from, cents);
  },
);

export const giveBack = operation(
  { mode: "transactional" },
  async (tx: PostgresTransaction, id: string, from: number, cents: number) => {
    await write(tx, id, "given back", cents);
    await add(tx, transit, -cents);
    await add(tx, from, cents);
  },
);

export const settle = operation(
  { mode: "transactional" },
  async (tx: PostgresTransaction, id: string, cents: number) => {
    await write(tx, id, "settled", cents);
    await add(tx, transit, -cents);
    await add(tx, outside, cents);
  },
);
