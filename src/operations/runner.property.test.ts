import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { operation } from "./definition.ts";
import type { HostFunction } from "./definition.ts";
import { NonRetryableError } from "./errors.ts";
import { harness, quiet } from "./harness.test.ts";
import type { Harness } from "./harness.test.ts";

/** What random runs are made of: operations with different modes and limits, settled by hand. */
const kinds = [
  { name: "free", limit: Infinity, atMostOnce: false },
  { name: "narrow", limit: 1, atMostOnce: false },
  { name: "pair", limit: 2, atMostOnce: true },
  { name: "slow", limit: 3, atMostOnce: false },
] as const;
const slowTimeoutMs = 100;

interface Step {
  readonly kind: "start" | "return" | "throw" | "abort" | "proceed" | "time";
  readonly operation: number;
  readonly pick: number;
}

interface Running {
  readonly token: string;
  readonly name: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Runs the steps, checking limits after each; then lets everything end, and checks the reports. */
class Trial {
  readonly nodeLimit: number;
  readonly h: Harness;
  /** Functions that were called and neither settled nor were given up. */
  readonly running = new Map<string, Running>();
  readonly calledInOrder = new Map<string, number[]>();
  readonly started: string[] = [];
  readonly aborted = new Set<string>();

  constructor(nodeLimit: number) {
    this.nodeLimit = nodeLimit;
    const functions: Record<string, HostFunction> = {};
    for (const { name, limit, atMostOnce } of kinds) {
      const options = {
        ...(atMostOnce ? { mode: "at-most-once" as const } : {}),
        ...(limit === Infinity ? {} : { concurrency: limit }),
        ...(name === "slow" ? { timeout: slowTimeoutMs } : {}),
      };
      functions[name] = operation(options, (token: string) => this.#call(token, name)) as HostFunction;
    }
    this.h = harness(functions, { concurrency: nodeLimit });
  }

  #call(token: string, name: string): Promise<unknown> {
    const order = this.calledInOrder.get(name) ?? [];
    order.push(Number(token.slice(1)));
    this.calledInOrder.set(name, order);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.running.set(token, { token, name, resolve, reject });
    return promise;
  }

  async step({ kind, operation: index, pick }: Step): Promise<void> {
    const running = [...this.running.values()];
    const one = running[pick % Math.max(running.length, 1)];
    if (kind === "start") {
      const token = `t${this.started.length + 1}`;
      this.started.push(token);
      this.h.start(kinds[index]?.name ?? "free", [token]);
    } else if (kind === "return" && one !== undefined) this.#settle(one, () => one.resolve(one.token));
    else if (kind === "throw" && one !== undefined)
      this.#settle(one, () => one.reject(pick % 2 === 0 ? new Error("again") : new NonRetryableError("no")));
    else if (kind === "abort") {
      const token = this.started[pick % Math.max(this.started.length, 1)];
      if (token !== undefined && !this.#hasEnded(token)) {
        this.aborted.add(token);
        this.running.delete(token);
        this.h.runner.abort(token);
      }
    } else if (kind === "proceed") this.#proceed(pick);
    else if (kind === "time") {
      this.h.clock.advance(slowTimeoutMs);
      for (const each of running) if (each.name === "slow") this.running.delete(each.token);
    }
    await quiet();
    this.checkLimits();
  }

  #settle(one: Running, settle: () => void): void {
    this.running.delete(one.token);
    settle();
  }

  #proceed(pick: number): void {
    const beginning = this.h
      .reports()
      .filter((report) => report.kind === "begin" && !this.#hasEnded(report.token) && !this.running.has(report.token));
    const report = beginning[pick % Math.max(beginning.length, 1)];
    if (report !== undefined) this.h.runner.proceed(report.token);
  }

  #hasEnded(token: string): boolean {
    return this.aborted.has(token) || this.h.of(token).some((report) => report.kind !== "begin");
  }

  checkLimits(): void {
    const { active } = this.h.runner.counts();
    assert.ok(active <= this.nodeLimit, `${active} active, limit ${this.nodeLimit}`);
    assert.ok(this.running.size <= active, "what runs holds a slot");
    for (const { name, limit } of kinds) {
      const count = [...this.running.values()].filter((each) => each.name === name).length;
      assert.ok(count <= limit, `${count} of ${name} run, limit ${limit}`);
    }
  }

  async finish(): Promise<void> {
    for (let round = 0; this.h.runner.counts().active > 0; round++) {
      assert.ok(round < 1000, "the queue gets empty");
      for (const each of this.running.values()) this.#settle(each, () => each.resolve(0));
      this.#proceed(0);
      await quiet();
      this.checkLimits();
    }
    assert.deepEqual(this.h.runner.counts(), { active: 0, waiting: 0 });
    for (const token of this.started) {
      const finals = this.h.of(token).filter((report) => report.kind !== "begin");
      assert.equal(finals.length, this.aborted.has(token) ? 0 : 1, `final reports of ${token}`);
    }
    // At-most-once functions are called in the order of their `proceed`; what the queue orders is their `begin`.
    this.calledInOrder.set("pair", this.#beginOrder());
    for (const [name, order] of this.calledInOrder) {
      assert.deepEqual(
        order,
        order.toSorted((a, b) => a - b),
        `${name} keeps the order of arrival`,
      );
    }
  }

  #beginOrder(): number[] {
    return this.h.reports().flatMap((report) => (report.kind === "begin" ? [Number(report.token.slice(1))] : []));
  }
}

test("under any order of arrivals, ends, aborts and timeouts: limits hold, operations keep their order, and each attempt has one final report unless aborted", async () => {
  const steps = fc.array(
    fc.record<Step>({
      kind: fc.constantFrom(
        "start",
        "start",
        "start",
        "return",
        "return",
        "throw",
        "abort",
        "proceed",
        "proceed",
        "time",
      ),
      operation: fc.nat(kinds.length - 1),
      pick: fc.nat(1000),
    }),
    { maxLength: 60, size: "max" },
  );
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), steps, async (nodeLimit, list) => {
      const trial = new Trial(nodeLimit);
      for (const step of list) await trial.step(step);
      await trial.finish();
    }),
    { numRuns: 150 },
  );
});
