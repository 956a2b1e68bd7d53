import assert from "node:assert/strict";
import { test } from "node:test";
import type { CommitBatch } from "../store/port.ts";
import { Committer } from "./batch.ts";
import { Loans } from "./loans.ts";
import type { Loan } from "./ports.ts";

/** A store whose commits end when they are told to, and a runner that keeps what it is lent until it is told to give it back. */
class Bench {
  readonly happened: string[] = [];
  readonly unwanted = new Set<string>();
  readonly committer: Committer;
  readonly loans: Loans;
  #commit: (() => void) | undefined;
  #loan: Loan | undefined;

  constructor() {
    this.committer = new Committer({
      store: {
        commit: (batch: CommitBatch) => {
          assert.equal(this.#loan, undefined, "a commit while the store is lent");
          this.happened.push(`commit ${batch.inboxGone?.join() ?? ""}`);
          return new Promise((resolve) => {
            this.#commit = () => resolve({ inboxSeqs: [], superseded: [] });
          });
        },
      },
      nowMs: () => 0,
      defer: (fn: () => void) => queueMicrotask(fn),
      after: () => () => undefined,
      busy: () => false,
      stored: () => undefined,
      failed: (error: Error) => assert.fail(error),
    } as unknown as ConstructorParameters<typeof Committer>[0]);
    this.loans = new Loans({
      committer: this.committer,
      incarnation: 7,
      beside: false,
      hold: () => () => undefined,
      isWanted: (token) => !this.unwanted.has(token),
      runner: {
        transact: (loan) => {
          assert.equal(this.#commit, undefined, "a loan while a commit is under way");
          this.#loan = loan;
          this.happened.push(`lent ${loan.attempts.join()}`);
        },
      },
    });
  }

  stage(seq: number): void {
    this.committer.stage.inboxGone.push(seq);
  }

  async committed(): Promise<void> {
    this.#commit?.();
    this.#commit = undefined;
    await quiet();
  }

  async giveBack(): Promise<void> {
    const token = this.#loan?.token ?? assert.fail("nothing is lent");
    this.#loan = undefined;
    this.loans.returned(token);
    await quiet();
  }
}

async function quiet(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

test("what asks to enter while a commit is under way enters together, after it", async () => {
  const bench = new Bench();
  bench.stage(1);
  await quiet();
  bench.loans.enter("a");
  await quiet();
  bench.loans.enter("b");
  assert.deepEqual(bench.happened, ["commit 1"]);
  await bench.committed();
  assert.deepEqual(bench.happened, ["commit 1", "lent a,b"]);
});

test("nothing is committed while the store is lent; what was staged meanwhile is committed when it is back", async () => {
  const bench = new Bench();
  bench.loans.enter("a");
  await quiet();
  assert.equal(bench.committer.isLent, true);
  bench.stage(1);
  bench.stage(2);
  await quiet();
  assert.deepEqual(bench.happened, ["lent a"]);
  await bench.giveBack();
  assert.equal(bench.committer.isLent, false);
  assert.deepEqual(bench.happened, ["lent a", "commit 1,2"]);
});

test("loans and commits take turns, so that neither starves", async () => {
  const bench = new Bench();
  bench.loans.enter("a");
  await quiet();
  for (let round = 1; round <= 3; round++) {
    bench.stage(round);
    bench.loans.enter(`next ${round}`);
    await bench.giveBack();
    bench.stage(10 * round);
    await bench.committed();
  }
  assert.deepEqual(bench.happened, [
    "lent a",
    "commit 1",
    "lent next 1",
    "commit 10,2",
    "lent next 2",
    "commit 20,3",
    "lent next 3",
  ]);
});

test("without anything to commit, one loan follows the other", async () => {
  const bench = new Bench();
  bench.loans.enter("a");
  await quiet();
  bench.loans.enter("b");
  await bench.giveBack();
  assert.deepEqual(bench.happened, ["lent a", "lent b"]);
});

test("an attempt that was taken back before its loan does not enter; if none is left, nothing is lent", async () => {
  const bench = new Bench();
  bench.stage(1);
  await quiet();
  for (const token of ["a", "b"]) bench.loans.enter(token);
  bench.unwanted.add("a").add("b");
  bench.stage(2);
  await bench.committed();
  assert.deepEqual(bench.happened, ["commit 1", "commit 2"]);
});

test("a pause lends no more, and what is lent already can be waited for", async () => {
  const bench = new Bench();
  bench.loans.enter("a");
  await quiet();
  bench.loans.enter("b");
  bench.loans.pause();
  bench.loans.enter("c");
  let over = false;
  void bench.loans.over?.then(() => (over = true));
  await quiet();
  assert.equal(over, false);
  await bench.giveBack();
  assert.equal(over, true);
  assert.equal(bench.loans.over, undefined);
  assert.deepEqual(bench.happened, ["lent a"]);
});

test("whoever writes beside the commits waits until the store is back", async () => {
  const bench = new Bench();
  bench.loans.enter("a");
  await quiet();
  let isBack = false;
  void bench.committer.back().then(() => (isBack = true));
  await quiet();
  assert.equal(isBack, false);
  await bench.giveBack();
  assert.equal(isBack, true);
});
