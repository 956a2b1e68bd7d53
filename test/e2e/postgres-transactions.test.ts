/** Transactional operations of whole engines on PostgreSQL: what user SQL did and what the program saw are one, whatever dies. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdirSync, symlinkSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Shop } from "../support/cli.ts";
import { rowsByHand, skip } from "../support/postgres-place.ts";
import { commonPostgres } from "../support/postgres.ts";
import type { Row } from "../../src/store/columns.ts";
import { seeded } from "./support/seeded.ts";
import { eventually } from "./support/wait.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const files = {
  "app.ts": `
import { sleep } from "perdure";
import { balance, misbehave, openBank, transfer } from "./bank.ts";

type Move = readonly [from: number, to: number, cents: number];

/** Moves money, one transfer after the other; those that the bank declines are skipped. Answers what was moved. */
export async function clerk(name: number, moves: readonly Move[]) {
  let moved = 0;
  for (const [index, [from, to, cents]] of moves.entries()) {
    try {
      moved += await transfer(name + " " + index, from, to, cents);
    } catch (error) {
      if ((error as Error).name !== "Declined") throw error;
    }
    if (index % 4 === 3) await sleep(20);
  }
  return moved;
}

export async function payday(accounts: number, cents: number, plans: readonly (readonly Move[])[]) {
  await openBank(accounts, cents);
  const clerks = plans.map((moves, name) => Promise.all([name, moves]).then(() => clerk(name, moves)));
  return await Promise.all(clerks);
}

export async function crimes() {
  await openBank(1, 100);
  const outcomes: Record<string, unknown> = {};
  for (const misdeed of ["journal", "commit", "unique", "slow", "function", "throw"] as const) {
    outcomes[misdeed] = await misbehave(misdeed).catch((error: Error & { code?: string }) => [error.name, error.code ?? null]);
  }
  return { outcomes, balance: await balance(0) };
}
`,
  "bank.ts": `"use host";
import { setTimeout as sleep } from "node:timers/promises";
import { idempotencyKey, operation } from "perdure/host";
import type { PostgresTransaction } from "perdure/host";

class Declined extends Error {
  override name = "Declined";
}

export const openBank = operation({ mode: "transactional" }, async (tx: PostgresTransaction, accounts: number, cents: number) => {
  await tx.exec(\`
    CREATE SCHEMA BANK;
    CREATE TABLE BANK.account (id int PRIMARY KEY, cents int NOT NULL);
    CREATE TABLE BANK.booking (transfer text PRIMARY KEY, source int, target int, cents int, key text UNIQUE)\`);
  await tx.run("INSERT INTO BANK.account SELECT id, $2 FROM generate_series(0, $1 - 1) AS t (id)", accounts, cents);
});

export const transfer = operation(
  { mode: "transactional" },
  async (tx: PostgresTransaction, id: string, source: number, target: number, cents: number) => {
    const row = await tx.get<{ cents: number }>("SELECT cents FROM BANK.account WHERE id = $1", source);
    await tx.run("INSERT INTO BANK.booking VALUES ($1, $2, $3, $4, $5)", id, source, target, cents, idempotencyKey());
    await tx.run("UPDATE BANK.account SET cents = cents + $1 WHERE id = $2", cents, target);
    // Late, so that there is something to roll back.
    if (row === undefined || row.cents < cents) throw new Declined(id + ": " + row?.cents + " is less than " + cents);
    await tx.run("UPDATE BANK.account SET cents = cents - $1 WHERE id = $2", cents, source);
    return cents;
  },
);

export const balance = operation({ mode: "transactional" }, async (tx: PostgresTransaction, account: number) =>
  (await tx.get<{ cents: number }>("SELECT cents FROM BANK.account WHERE id = $1", account))?.cents,
);

const misdeeds = {
  journal: (tx: PostgresTransaction) => tx.run("DELETE FROM STORE.journal"),
  commit: (tx: PostgresTransaction) => tx.exec("UPDATE BANK.account SET cents = 0; COMMIT"),
  unique: (tx: PostgresTransaction) => tx.run("INSERT INTO BANK.account VALUES (0, 0)"),
  slow: async (tx: PostgresTransaction) => {
    await tx.run("UPDATE BANK.account SET cents = 0");
    await sleep(60_000, undefined, { ref: false });
  },
  function: async (tx: PostgresTransaction) => {
    await tx.run("UPDATE BANK.account SET cents = 0");
    return () => "a function";
  },
  throw: async (tx: PostgresTransaction) => {
    await tx.run("UPDATE BANK.account SET cents = 0");
    throw new Declined("no");
  },
} as const;

export const misbehave = operation(
  { mode: "transactional", timeout: "500ms" },
  async (tx: PostgresTransaction, misdeed: keyof typeof misdeeds): Promise<unknown> => await misdeeds[misdeed](tx),
);
`,
};

interface World {
  readonly shop: Shop;
  rows(sql: string): Promise<readonly Row[]>;
}

async function world(t: TestContext): Promise<World> {
  const server = await commonPostgres();
  const schema = `test_${randomUUID().replaceAll("-", "")}`;
  const bank = `${schema}_bank`;
  const rows = (sql: string): Promise<readonly Row[]> =>
    rowsByHand(server.url, sql.replaceAll("BANK", bank).replaceAll("STORE", schema));
  t.after(async () => {
    await rows("DROP SCHEMA IF EXISTS STORE CASCADE");
    await rows("DROP SCHEMA IF EXISTS BANK CASCADE");
  });
  const named = files["bank.ts"].replaceAll("BANK", bank).replaceAll("STORE", schema);
  const shop = await Shop.open(
    t,
    { ...files, "bank.ts": named },
    { PERDURE_STORE: `${server.url}?schema=${schema}&lease=2s` },
  );
  mkdirSync(path.join(shop.folder, "node_modules"));
  symlinkSync(root, path.join(shop.folder, "node_modules", "perdure"), "dir");
  return { shop, rows };
}

test(
  "on PostgreSQL what is thrown or takes too long is rolled back, and everything else goes on",
  { skip },
  async (t) => {
    const { shop } = await world(t);
    const { code, stdout, stderr } = await shop.run("run", "app.ts", "crimes", "--json");
    assert.equal(code, 0, stderr);
    const { value } = JSON.parse(stdout) as { value: { outcomes: Record<string, unknown>; balance: number } };
    assert.deepEqual(value, {
      outcomes: {
        journal: ["PerdureError", "TRANSACTION_FORBIDDEN"],
        commit: ["PerdureError", "TRANSACTION_FORBIDDEN"],
        unique: ["PostgresError", "23505"],
        slow: ["OperationTimeoutError", "OPERATION_TIMEOUT"],
        function: ["PerdureError", "VALUE_NOT_CLONEABLE"],
        throw: ["Declined", null],
      },
      balance: 100,
    });
  },
);

const accounts = 5;
const cents = 300;
const clerks = 16;
const movesEach = 12;
const deaths = 5;

type Plan = readonly (readonly [from: number, to: number, cents: number])[];

/** `results`: what the program was told that each clerk has moved. */
async function checkBooks(rows: World["rows"], plans: readonly Plan[], results: readonly number[]): Promise<void> {
  const bookings = await rows("SELECT transfer, source, target, cents FROM BANK.booking");
  const expected = Array.from({ length: accounts }, () => cents);
  const moved = Array.from({ length: clerks }, () => 0);
  for (const row of bookings) {
    const [clerk = 0, index = 0] = String(row["transfer"]).split(" ").map(Number);
    const [source, target, sum] = [Number(row["source"]), Number(row["target"]), Number(row["cents"])];
    assert.deepEqual([source, target, sum], plans[clerk]?.[index]);
    expected[source] = (expected[source] ?? 0) - sum;
    expected[target] = (expected[target] ?? 0) + sum;
    moved[clerk] = (moved[clerk] ?? 0) + sum;
  }
  const balances = (await rows("SELECT cents FROM BANK.account ORDER BY id")).map((row) => Number(row["cents"]));
  assert.deepEqual(balances, expected, "the books do not balance");
  assert.ok(
    balances.every((balance) => balance >= 0),
    "an account is overdrawn",
  );
  // What the program was told is what the books say.
  assert.deepEqual(results, moved);
  const [left] = await rows("SELECT (SELECT count(*) FROM STORE.operation) + (SELECT count(*) FROM STORE.inbox) AS n");
  assert.equal(Number(left?.["n"]), 0);
}

test(
  "a bank on PostgreSQL whose nodes are killed again and again: the books balance, and every transfer was made once",
  { skip },
  async (t) => {
    const random = seeded();
    t.diagnostic(`PERDURE_SEED=${random.seed}`);
    const { shop, rows } = await world(t);
    const plans = Array.from({ length: clerks }, () =>
      Array.from({ length: movesEach }, () => {
        const from = random.between(0, accounts - 1);
        return [from, (from + random.between(1, accounts - 1)) % accounts, random.between(1, 250)] as const;
      }),
    );
    const count = async (): Promise<number> =>
      Number((await rows("SELECT count(*) AS n FROM BANK.booking").catch(() => []))[0]?.["n"] ?? 0);
    const begin = () =>
      shop.start(
        "run",
        "app.ts",
        "payday",
        String(accounts),
        String(cents),
        JSON.stringify(plans),
        "--id",
        "payday",
        "--json",
      );
    // Two at a time: what one leaves the other takes over.
    const nodes = [begin()];
    let between = 0;
    let ended: string | undefined;
    const watch = (node: ReturnType<typeof begin>): void => {
      void node.ended.then(({ code, stdout }) => {
        if (code === 0) ended ??= stdout;
      });
    };
    for (const node of nodes) watch(node);
    for (let death = 0; death < deaths && ended === undefined; death++) {
      const before = await count();
      const next = begin();
      watch(next);
      nodes.push(next);
      await eventually(
        "transfers",
        async () => ended !== undefined || (await count()) > before + random.between(1, 12),
        60_000,
      );
      await sleep(random.between(0, 30));
      if (ended === undefined) between++;
      nodes.shift()?.kill("SIGKILL");
    }
    assert.ok(between > 0, "no node died in the middle");
    const outcome = await eventually("the end", () => ended, 120_000);
    await checkBooks(rows, plans, (JSON.parse(outcome) as { value: number[] }).value);
  },
);
