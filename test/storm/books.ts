/** Whether the books balance, here and outside, and every transfer happened as often as its way promises. */
import { DatabaseSync } from "node:sqlite";
import type { Payment, Peer } from "./peer.ts";
import type { Outcome, Transfer } from "./program/transfer.ts";
import { outside, tellerCents, transit } from "./program/transfer.ts";

export interface Ended {
  readonly transfer: Transfer;
  readonly outcome: Outcome;
}

interface Entry {
  readonly transfer: string;
  readonly what: string;
  readonly cents: number;
}

/** What transfers have written in the store's own database. */
export interface Books {
  readonly entries: readonly Entry[];
  readonly accounts: readonly { readonly id: number; readonly cents: number }[];
}

export function readFileBooks(store: string): Books {
  const db = new DatabaseSync(store, { readOnly: true });
  const entries = db.prepare("SELECT transfer, what, cents FROM entry").all() as unknown as Books["entries"];
  const accounts = db.prepare("SELECT id, cents FROM account").all() as unknown as Books["accounts"];
  db.close();
  return { entries, accounts };
}

export interface Evidence {
  readonly ended: readonly Ended[];
  readonly peer: Peer;
  readonly books: Books;
  readonly deposited: number;
  /** What each teller has in the end. */
  readonly tellers: readonly number[];
  /** Whether a call to the bank outside lasted longer than the time it is given, because the machine stood still. */
  readonly isOverdue: (request: Payment) => boolean;
}

/** `excused`: payments made twice by calls that were overdue, which nothing can prevent. */
export function checkBooks(evidence: Evidence): { readonly problems: string[]; readonly excused: number } {
  const { ended, peer, books, isOverdue } = evidence;
  const problems: string[] = [];
  const entries = byId(books.entries, ({ transfer }) => transfer);
  const payments = byId(peer.payments, ({ id }) => id);
  const requests = byId(peer.requests, ({ id }) => id);
  let excused = 0;
  for (const each of ended) {
    const { id, way } = each.transfer;
    const made = payments.get(id) ?? [];
    const isExcused = way === "reconciled" && made.length > 1 && made.some(isOverdue);
    if (isExcused) excused++;
    const found = {
      entries: entries.get(id) ?? [],
      payments: isExcused ? made.slice(0, 1) : made,
      requests: requests.get(id) ?? [],
    };
    for (const problem of problemsOf(each, found)) problems.push(`${id} (${way}, ${each.outcome}): ${problem}`);
  }
  const known = new Set(ended.map(({ transfer }) => transfer.id));
  for (const id of [...entries.keys(), ...payments.keys()]) if (!known.has(id)) problems.push(`nobody asked for ${id}`);
  checkSums(problems, books, evidence);
  checkTellers(problems, evidence);
  checkKeys(problems, peer.requests);
  return { problems, excused };
}

interface Made {
  readonly entries: readonly Entry[];
  readonly payments: readonly Payment[];
  readonly requests: readonly Payment[];
}

const isLocal = ({ way }: Transfer): boolean => way === "inside" || way === "told";

function problemsOf({ transfer, outcome }: Ended, { entries, payments, requests }: Made): string[] {
  const { way, cents } = transfer;
  const problems: string[] = [];
  const found = entries.map(({ what }) => what).toSorted();
  const isPoor = outcome === "refused" && found.length === 0;
  const expected = way === "told" ? [] : entriesOf(way === "inside", outcome);
  if (!isPoor && found.join() !== expected.join()) problems.push(`its entries are ${found.join() || "none"}`);
  if (entries.some((entry) => entry.cents !== cents)) problems.push("an entry has another amount");
  const count = payments.length;
  const most = outcome === "refused" || isLocal(transfer) ? 0 : 1;
  const least = outcome === "done" && !isLocal(transfer) ? 1 : 0;
  if (count < least || count > most) problems.push(`it was paid ${count} times outside`);
  if (way === "once" && requests.length > 1) problems.push(`it was begun ${requests.length} times`);
  if (outcome === "unknown" && way !== "once") problems.push("nobody should be uncertain of that");
  return problems;
}

function entriesOf(isInside: boolean, outcome: Outcome): readonly string[] {
  const expected: Readonly<Record<Outcome, readonly string[]>> = isInside
    ? { done: ["moved"], refused: [], unknown: ["impossible"] }
    : { done: ["settled", "withdrawn"], refused: ["given back", "withdrawn"], unknown: ["withdrawn"] };
  return expected[outcome];
}

function checkSums(problems: string[], { accounts }: Books, { ended, deposited }: Evidence): void {
  const sum = (list: readonly Ended[]): number => list.reduce((total, { transfer }) => total + transfer.cents, 0);
  const balance = new Map(accounts.map(({ id, cents }) => [id, cents]));
  const expect = (what: string, actual: number | undefined, expected: number): void => {
    if (actual !== expected) problems.push(`${what} is ${actual} cents, and should be ${expected}`);
  };
  expect(
    "the sum of all accounts",
    accounts.reduce((total, { cents }) => total + cents, 0),
    deposited,
  );
  expect("what is on its way", balance.get(transit), sum(ended.filter(({ outcome }) => outcome === "unknown")));
  const paid = ended.filter(({ transfer, outcome }) => !isLocal(transfer) && outcome === "done");
  expect("what went out", balance.get(outside), sum(paid));
  if (accounts.some(({ id, cents }) => id >= 0 && cents < 0)) problems.push("an account is overdrawn");
}

/** Every teller has what he was given at first, and what was moved since. */
function checkTellers(problems: string[], { ended, tellers }: Evidence): void {
  const expected = tellers.map(() => tellerCents);
  const add = (teller: number, cents: number): void => void (expected[teller] = (expected[teller] ?? 0) + cents);
  for (const { transfer, outcome } of ended) {
    if (transfer.way !== "told" || outcome !== "done") continue;
    add(transfer.from, -transfer.cents);
    add(transfer.to, transfer.cents);
  }
  for (const [teller, cents] of tellers.entries())
    if (cents !== expected[teller])
      problems.push(`teller ${teller} has ${cents} cents, and should have ${expected[teller]}`);
}

/** All requests of one transfer bear one key, and no other transfer's do. */
function checkKeys(problems: string[], requests: readonly Payment[]): void {
  const owner = new Map<string, string>();
  const keys = new Map<string, string>();
  for (const { id, key } of requests) {
    if ((owner.get(key) ?? id) !== id) problems.push(`${id} and ${owner.get(key)} share the key ${key}`);
    if ((keys.get(id) ?? key) !== key) problems.push(`${id} has the keys ${key} and ${keys.get(id)}`);
    owner.set(key, id);
    keys.set(id, key);
  }
}

function byId<T>(items: readonly T[], idOf: (item: T) => string): Map<string, T[]> {
  return Map.groupBy(items, idOf);
}
