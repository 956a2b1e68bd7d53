/** Transactional operations, with real nodes: what user SQL did and what the program saw are one. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";
import { EngineProcess, NodeGone } from "./support/engine-process.ts";
import { seeded } from "./support/seeded.ts";
import type { Seeded } from "./support/seeded.ts";
import { eventually } from "./support/wait.ts";

// oxlint-disable-next-line typescript/consistent-type-imports
type Bank = typeof import("../fixtures/bank/app.ts");

const program = fileURLToPath(new URL("../fixtures/bank/app.ts", import.meta.url));

function storeFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "perdure-bank-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "store.db");
}

interface Booking {
  readonly transfer: string;
  readonly source: number;
  readonly target: number;
  readonly cents: number;
}

interface Books {
  readonly balances: readonly number[];
  readonly bookings: readonly Booking[];
  /** Rows of the engine's that a finished piece of work leaves none of. */
  readonly leftOver: number;
}

function readBooks(store: string): Books {
  const db = new DatabaseSync(store, { readOnly: true, timeout: 10_000 });
  try {
    const left = db.prepare("SELECT (SELECT count(*) FROM operation) + (SELECT count(*) FROM inbox) AS n").get();
    return {
      balances: db
        .prepare("SELECT cents FROM account ORDER BY id")
        .all()
        .map(({ cents }) => Number(cents)),
      bookings: db.prepare("SELECT transfer, source, target, cents FROM booking").all() as unknown as Booking[],
      leftOver: Number(left?.["n"]),
    };
  } finally {
    db.close();
  }
}

for (const kind of ["a file", "memory"]) {
  test(`in ${kind}: what is thrown or awaited is rolled back, and everything else goes on`, async (t) => {
    await using engine = await Engine.open<Bank>({ store: kind === "memory" ? "memory:" : storeFor(t), program });
    const run = async (entry: keyof Bank, args: unknown[]): Promise<unknown> =>
      await (await engine.start(entry, args as never)).result();
    await run("found", [3, 100]);
    assert.equal(await run("rush", [50]), 50);
    assert.deepEqual([await run("balance", [0]), await run("balance", [1])], [50, 150]);
    const crimes: Record<string, unknown> = {};
    for (const misdeed of ["journal", "commit", "await", "function", "fetch", "nested", "attempt"]) {
      const { code, value } = (await run("crime", [misdeed])) as { code?: string; value?: unknown };
      crimes[misdeed] = code ?? value;
    }
    assert.deepEqual(crimes, {
      journal: "TRANSACTION_FORBIDDEN",
      commit: "TRANSACTION_FORBIDDEN",
      await: "TRANSACTION_AWAITED",
      function: "VALUE_NOT_CLONEABLE",
      fetch: "TRANSACTION_AWAITED",
      nested: "OPERATION_OUTSIDE",
      attempt: 1,
    });
    assert.equal(
      await run("clerk", [
        [
          [0, 2, 51],
          [0, 2, 50],
          [0, 2, 1],
        ],
      ]),
      50,
    );
    assert.deepEqual([await run("balance", [0]), await run("balance", [1]), await run("balance", [2])], [0, 150, 150]);
  });
}

const accounts = 5;
const cents = 300;
const clerks = 24;
const movesEach = 12;

/** What each clerk is to move. */
function planMoves(random: Seeded): (readonly [number, number, number])[][] {
  return Array.from({ length: clerks }, () =>
    Array.from({ length: movesEach }, () => {
      const from = random.between(0, accounts - 1);
      return [from, (from + random.between(1, accounts - 1)) % accounts, random.between(1, 250)] as const;
    }),
  );
}

function checkBooks({ balances, bookings }: Books, complete: boolean): void {
  const expected = Array.from({ length: accounts }, () => cents);
  for (const booking of bookings) {
    expected[booking.source] = (expected[booking.source] ?? 0) - booking.cents;
    expected[booking.target] = (expected[booking.target] ?? 0) + booking.cents;
  }
  assert.deepEqual(balances, expected, complete ? "the books do not balance" : "half a transfer is durable");
}

test("a bank whose node is killed again and again: the books balance, and every transfer was made once", async (t) => {
  const random = seeded();
  t.diagnostic(`PERDURE_SEED=${random.seed}`);
  const store = storeFor(t);
  const moves = planMoves(random);
  await using founder = new EngineProcess({ store, program });
  await founder.start("founder", "found", [accounts, cents]);
  await founder.result("founder");
  await founder.kill();
  let results: unknown[] | undefined;
  let deaths = 0;
  let between = 0;
  for (; results === undefined; deaths++) {
    await using node = new EngineProcess({ store, program });
    const work = (async () => {
      await Promise.all(moves.map((list, index) => node.start(`clerk-${index}`, "clerk", [list])));
      return await Promise.all(moves.map((_, index) => node.result(`clerk-${index}`)));
    })();
    const before = readBooks(store).bookings.length;
    const enough = before + random.between(1, 30);
    const doom =
      deaths < 8
        ? dieAt(store, enough, random.between(0, 20), () => results !== undefined)
        : new Promise<never>(() => {});
    results = (await Promise.race([work, doom.then(() => undefined)]).catch(onlyGone)) ?? undefined;
    await node.kill();
    await work.catch(onlyGone);
    const books = readBooks(store);
    checkBooks(books, false);
    if (books.bookings.length > before && results === undefined) between++;
  }
  t.diagnostic(`${deaths} nodes, ${between} of them died in the middle`);
  assert.ok(between > 0, "no node died in the middle");
  const books = readBooks(store);
  checkBooks(books, true);
  assert.equal(books.leftOver, 0);
  for (const [index, list] of moves.entries()) {
    const own = books.bookings.filter(({ transfer }) => transfer.startsWith(`clerk-${index} `));
    for (const { transfer, source, target, cents } of own) {
      const number = Number(transfer.split(" ")[1]);
      assert.deepEqual([source, target, cents], list[number], transfer);
    }
    // What the program was told is what the books say.
    assert.equal(
      results[index],
      own.reduce((sum, { cents }) => sum + cents, 0),
    );
  }
});

/** Resolves a little after so many transfers have been made, whatever is left of the work then. */
async function dieAt(store: string, bookings: number, delayMs: number, isOver: () => boolean): Promise<void> {
  await eventually("transfers", () => isOver() || readBooks(store).bookings.length >= bookings, 60_000);
  await sleep(delayMs);
}

function onlyGone(error: unknown): undefined {
  if (!(error instanceof NodeGone)) throw error;
}
