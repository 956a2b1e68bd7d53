/** Whether the books balance, here and outside, and every transfer happened as often as its way promises. */
import { DatabaseSync } from "node:sqlite";
import type { Peer, Payment } from "./peer.ts";
import type { Outcome, Transfer } from "./program/transfer.ts";

export interface Ended {
  readonly transfer: Transfer;
  readonly outcome: Outcome;
}

interface Entry {
  readonly what: string;
  readonly cents: number;
}

const transit = -1;
const outside = -2;

export function checkBooks(store: string, ended: readonly Ended[], peer: Peer, deposited: number): string[] {
  const problems: string[] = [];
  const db = new DatabaseSync(store, { readOnly: true });
  const entries = new Map<string, Entry[]>();
  for (const row of db.prepare("SELECT transfer, what, cents FROM entry").all()) {
    const { transfer, what, cents } = row as unknown as Entry & { transfer: string };
    group(entries, transfer).push({ what, cents });
  }
  const balance = new Map(
    db
      .prepare("SELECT id, cents FROM account")
      .all()
      .map((row) => [Number(row["id"]), Number(row["cents"])]),
  );
  db.close();
  const payments = byId(peer.payments);
  const requests = byId(peer.requests);
  for (const each of ended) {
    const { id } = each.transfer;
    const made = { entries: entries.get(id) ?? [], payments: payments.get(id) ?? [], requests: requests.get(id) ?? [] };
    for (const problem of problemsOf(each, made))
      problems.push(`${id} (${each.transfer.way}, ${each.outcome}): ${problem}`);
  }
  const known = new Set(ended.map(({ transfer }) => transfer.id));
  for (const id of [...entries.keys(), ...payments.keys()]) if (!known.has(id)) problems.push(`nobody asked for ${id}`);
  checkSums(problems, balance, ended, deposited);
  checkKeys(problems, peer.requests);
  return problems;
}

interface Made {
  readonly entries: readonly Entry[];
  readonly payments: readonly Payment[];
  readonly requests: readonly Payment[];
}

function problemsOf({ transfer, outcome }: Ended, { entries, payments, requests }: Made): string[] {
  const { way, cents } = transfer;
  const problems: string[] = [];
  const expectedEntries: Readonly<Record<Outcome, readonly string[]>> =
    way === "inside"
      ? { done: ["moved"], refused: [], unknown: ["impossible"] }
      : { done: ["settled", "withdrawn"], refused: ["given back", "withdrawn"], unknown: ["withdrawn"] };
  const found = entries.map(({ what }) => what).toSorted();
  const isPoor = outcome === "refused" && found.length === 0;
  if (!isPoor && found.join() !== expectedEntries[outcome].join())
    problems.push(`its entries are ${found.join() || "none"}`);
  if (entries.some((entry) => entry.cents !== cents)) problems.push("an entry has another amount");
  const count = payments.length;
  const most = outcome === "refused" || way === "inside" ? 0 : 1;
  const least = outcome === "done" && way !== "inside" ? 1 : 0;
  if (count < least || count > most) problems.push(`it was paid ${count} times outside`);
  if (way === "once" && requests.length > 1) problems.push(`it was begun ${requests.length} times`);
  if (outcome === "unknown" && way !== "once") problems.push("nobody should be uncertain of that");
  return problems;
}

function checkSums(
  problems: string[],
  balance: ReadonlyMap<number, number>,
  ended: readonly Ended[],
  deposited: number,
): void {
  const sum = (list: readonly Ended[]): number => list.reduce((total, { transfer }) => total + transfer.cents, 0);
  const expect = (what: string, actual: number | undefined, expected: number): void => {
    if (actual !== expected) problems.push(`${what} is ${actual} cents, and should be ${expected}`);
  };
  expect(
    "the sum of all accounts",
    [...balance.values()].reduce((total, cents) => total + cents, 0),
    deposited,
  );
  expect("what is on its way", balance.get(transit), sum(ended.filter(({ outcome }) => outcome === "unknown")));
  const paid = ended.filter(({ transfer, outcome }) => transfer.way !== "inside" && outcome === "done");
  expect("what went out", balance.get(outside), sum(paid));
  if ([...balance].some(([id, cents]) => id >= 0 && cents < 0)) problems.push("an account is overdrawn");
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

function byId(payments: readonly Payment[]): Map<string, Payment[]> {
  const found = new Map<string, Payment[]>();
  for (const payment of payments) group(found, payment.id).push(payment);
  return found;
}

function group<T>(map: Map<string, T[]>, key: string): T[] {
  const list = map.get(key) ?? [];
  map.set(key, list);
  return list;
}
