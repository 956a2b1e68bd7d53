/**
 * The host of a simulated node: the real runner of operations on virtual time, over functions that fail in every way that
 * host code can. On its way to the kernel what it says may be late, may come twice, or may be nobody's any more.
 */
import { decodeValue, encodeValue } from "../../src/base/value.ts";
import type { Loan, OperationReport, OperationRequest, OperationRunner } from "../../src/kernel/ports.ts";
import { idempotencyKey, NonRetryableError, operation, operationContext, signal } from "../../src/operations/host.ts";
import type { MemoryTransaction, MemoryTransactions } from "../../src/store/memory/index.ts";
import type { Transactions } from "../../src/store/transactions.ts";
import { createRunner } from "../../src/operations/runner.ts";
import type { Runner } from "../../src/operations/runner.ts";
import type { Dice } from "./dice.ts";
import type { Faults } from "./faults.ts";
import type { Deed, Outside } from "./outside.ts";
import { factOf } from "./outside.ts";
import { keyOf, outcomeValue } from "./program.ts";
import type { HostFunctionName } from "./program.ts";
import type { Scope, Timeline } from "./timeline.ts";

export interface SimulatedHostPorts {
  readonly timeline: Timeline;
  readonly scope: Scope;
  readonly dice: Dice;
  readonly faults: Faults;
  readonly outside: Outside;
  /** Number of this node, from 1: what is missing from one deployment is there in the next. */
  readonly node: number;
  /** Attempts that may run at once. */
  readonly concurrency: number;
  readonly transactions: MemoryTransactions;
  /** What this machine's clock shows. */
  wallMs(): number;
  /** Tells the kernel. False if it did not take it, since it is closing or has failed. */
  report(reports: readonly OperationReport[]): boolean;
  /** Whether the start of the operation is on the disk. */
  startedOnRecord(request: OperationRequest): boolean;
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
  /** An attempt is taken back. */
  aborted(request: OperationRequest): void;
  /** An operation takes its node down. */
  kill(): void;
}

/** An attempt that has no report yet. */
export interface Job {
  readonly request: OperationRequest;
  readonly deed: Deed;
  /** Since when its function runs; undefined before, and after its end. */
  runsSinceMs: number | undefined;
}

const retry = { maxAttempts: Infinity, initialDelay: 30, maxDelay: 400 };
const timeoutMs = 3_000;
/** What hangs does not come to its end before its timeout. */
const hangMs = 60_000;

type HostFunction = (site: number, occurrence: number) => Promise<string>;

export class SimulatedHost implements OperationRunner {
  readonly #ports: SimulatedHostPorts;
  readonly #runner: Runner;
  readonly #jobs = new Map<string, Job>();
  readonly #tokens = new Set<string>();
  #reports: { readonly report: OperationReport; readonly job: Job | undefined }[] = [];

  constructor(ports: SimulatedHostPorts) {
    const { timeline, scope, dice, node, concurrency } = ports;
    this.#ports = ports;
    const functions = this.#functions();
    this.#runner = createRunner({
      resolve: (name) => {
        const word = name.slice(name.indexOf("#") + 1);
        if (word !== "rare" || node % 2 === 0) return functions[word];
        ports.faults.count("operation not deployed");
        return undefined;
      },
      clock: { nowMs: () => ports.wallMs(), after: (delayMs, fn) => timeline.after(delayMs, fn, scope) },
      random: { bytes: (length) => dice.bytes(length) },
      concurrency,
      // What a job is given is not SQL.
      transactions: () => ports.transactions as unknown as Transactions,
      report: (reports) => {
        if (!scope.ended) for (const report of reports) this.#say(report);
      },
    });
  }

  /** Attempts that somebody waits for, or should have taken back. */
  get pending(): readonly Job[] {
    return [...this.#jobs.values()];
  }

  start(requests: readonly OperationRequest[]): void {
    const { outside, complain, note } = this.#ports;
    for (const request of requests) {
      const { pid, number, token } = request;
      note("dispatch", pid, number, token, request.attempt);
      if (this.#tokens.has(token)) complain(`two attempts have the token ${token}`);
      this.#tokens.add(token);
      const deed = outside.dispatched(request);
      if (deed !== undefined) this.#jobs.set(token, { request, deed, runsSinceMs: undefined });
    }
    const { timeline, scope, dice } = this.#ports;
    // Kernel and host are in different threads.
    timeline.after(
      dice.delay(0, 20),
      () => this.#runner.start(requests.filter(({ token }) => this.#jobs.has(token))),
      scope,
    );
  }

  proceed(token: string): void {
    this.#ports.note("proceed", token);
    this.#runner.proceed(token);
  }

  transact(loan: Loan): void {
    this.#ports.note("transact", loan.attempts);
    this.#runner.transact(loan);
  }

  abort(token: string): void {
    this.#ports.note("abort", token);
    const job = this.#jobs.get(token);
    if (job === undefined) return;
    this.#jobs.delete(token);
    job.deed.running.delete(token);
    this.#ports.aborted(job.request);
    this.#runner.abort(token);
  }

  /** As an engine does that closes. */
  drain(graceMs: number): Promise<void> {
    return this.#runner.drain(graceMs);
  }

  // -- host functions -------------------------------------------------------------------------------------------

  #functions(): Readonly<Record<string, (...args: unknown[]) => unknown>> {
    const perform: HostFunction = (site, occurrence) => this.#perform(site, occurrence);
    const reconcile = (key: string, site: number, occurrence: number): ReturnType<SimulatedHost["ask"]> =>
      this.ask(key, site, occurrence);
    const transact = (tx: unknown, site: number, occurrence: number): string =>
      this.#transact(tx as MemoryTransaction, site, occurrence);
    const all: Record<HostFunctionName, unknown> = {
      atLeastOnce: operation({ retry, timeout: timeoutMs }, perform),
      rare: operation({ retry, timeout: timeoutMs }, perform),
      atMostOnce: operation({ mode: "at-most-once", timeout: timeoutMs }, perform),
      reconciled: operation({ retry, timeout: timeoutMs, reconcile }, perform),
      keyed: operation({ retry, timeout: timeoutMs, key: keyOf }, perform),
      transactional: operation({ mode: "transactional" }, transact),
    };
    return all as unknown as Readonly<Record<string, (...args: unknown[]) => unknown>>;
  }

  /** The job that calls: of overlapping attempts the last. */
  #caller(): Job | undefined {
    const { pid, number } = operationContext();
    return [...this.#jobs.values()].findLast(({ request }) => request.pid === pid && request.number === number);
  }

  #wait(delayMs: number, scope: Scope | undefined): Promise<void> {
    return new Promise((resolve) => void this.#ports.timeline.after(delayMs, resolve, scope));
  }

  async #perform(site: number, occurrence: number): Promise<string> {
    const job = this.#caller();
    if (job === undefined) throw new Error("a host function runs, and nobody asked for it");
    job.runsSinceMs = this.#ports.timeline.nowMs;
    try {
      return await this.#work(job, site, occurrence);
    } finally {
      job.runsSinceMs = undefined;
    }
  }

  async #work(job: Job, site: number, occurrence: number): Promise<string> {
    const { faults, outside, scope, dice } = this.#ports;
    const { attempt } = operationContext();
    const { deed, request } = job;
    const { step } = deed;
    this.#checkMayRun(job);
    outside.begins(deed, request.token);
    if (step.keyed) this.#checkAlone(keyOf(site));
    if (step.killer && !deed.mended && faults.mayKill()) {
      await this.#wait(dice.delay(0, 30), scope);
      if (this.#jobs.has(request.token)) this.#ports.kill();
      return await this.#wait(hangMs, scope).then(() => "");
    }
    const fate = this.#fate(deed, attempt);
    const [beforeMs, afterMs] = [dice.delay(0, dice.chance(0.1) ? 1_000 : 60), dice.delay(0, 60)];
    if (fate.when === "before") {
      await this.#wait(beforeMs, scope);
      return await this.#fail(fate.how);
    }
    await this.#takeEffect(deed, beforeMs, signal());
    await this.#wait(afterMs, scope);
    if (fate.when === "after") return await this.#fail(fate.how);
    const text = outcomeValue(site, occurrence);
    outside.gives(deed, step.ok, text);
    if (step.ok) return text;
    throw new NonRetryableError(text);
  }

  #checkMayRun({ request, deed }: Job): void {
    const { pid, number, watched } = request;
    const needsRecord = watched || deed.step.mode !== "at-least-once";
    if (needsRecord && !this.#ports.startedOnRecord(request))
      this.#ports.complain(`operation ${number} of ${pid} was to proceed before its start was on record`);
    if (idempotencyKey() !== deed.idempotencyKey)
      this.#ports.complain(`operation ${number} of ${pid} was called with another key than it was dispatched with`);
  }

  /** What has been given up does not count. */
  #checkAlone(key: string): void {
    const sinceMs = this.#ports.timeline.nowMs - timeoutMs;
    const running = [...this.#jobs.values()].filter(
      ({ deed: { step }, runsSinceMs = -Infinity }) => step.keyed && keyOf(step.site) === key && runsSinceMs > sinceMs,
    );
    if (running.length > 1) this.#ports.complain(`${running.length} operations with the key ${key} run at once`);
  }

  /** It may be called again before it is kept, and must find nothing of the time before. */
  #transact(tx: MemoryTransaction, site: number, occurrence: number): string {
    const { pid, number } = operationContext();
    const { outside, complain } = this.#ports;
    const deed = outside.find(pid, number);
    const key = factOf(pid, number);
    if (deed === undefined || deed.step.mode !== "transactional")
      throw new Error(`operation ${number} of ${pid} is in a transaction, and nobody asked for it`);
    if (tx.get(key) !== undefined) complain(`the transaction of operation ${number} of ${pid} has been kept before`);
    tx.put(key, deed.idempotencyKey);
    const text = outcomeValue(site, occurrence);
    outside.gives(deed, deed.step.ok, text);
    if (!deed.step.ok) throw new Error(text);
    return text;
  }

  #fate(
    { step }: Deed,
    attempt: number,
  ): { readonly when: "never" | "before" | "after"; readonly how: "throw" | "hang" } {
    const { dice, faults } = this.#ports;
    const when = dice.chance(0.5) ? "before" : "after";
    if (attempt <= step.failures) {
      faults.count(`operation failed ${when} its effect`);
      return { when, how: "throw" };
    }
    if (!faults.hangs()) return { when: "never", how: "throw" };
    faults.count(`operation hung ${when} its effect`);
    return { when, how: "hang" };
  }

  async #fail(how: "throw" | "hang"): Promise<string> {
    if (how === "hang") await this.#wait(hangMs, this.#ports.scope);
    throw new Error("It failed, as it was told to.");
  }

  /** Where the call is under way outside, its node's death changes nothing. Host code may not listen to its AbortSignal either. */
  async #takeEffect(deed: Deed, delayMs: number, aborted: AbortSignal): Promise<void> {
    const { scope, dice, faults, outside } = this.#ports;
    const isAway = dice.chance(0.3);
    const isDeaf = dice.chance(0.3) && deed.step.mode !== "reconciled";
    await this.#wait(delayMs, isAway ? undefined : scope);
    if (aborted.aborted) {
      if (!isDeaf) throw aborted.reason;
      faults.count("operation heard no abort");
    }
    if (scope.ended) faults.count("operation took effect after the death of its node");
    // One that says that it did not work has had no effect.
    if (deed.step.ok) outside.takesEffect(deed);
  }

  /** What became of a key? */
  async ask(
    key: string,
    site: number,
    occurrence: number,
  ): Promise<{ readonly done: true; readonly value: string } | { readonly done: false }> {
    const { faults, outside, scope, dice } = this.#ports;
    const job = this.#caller();
    const { pid, number } = operationContext();
    faults.count("outside asked what became of a key");
    if (job?.deed.idempotencyKey !== key) this.#ports.complain(`operation ${number} of ${pid} asks about another key`);
    await this.#wait(dice.delay(0, 60), scope);
    if (!faults.over && dice.chance(0.1)) throw new Error("It cannot be asked now.");
    if (job === undefined || job.deed.effects === 0) return { done: false };
    const value = outcomeValue(site, occurrence);
    outside.gives(job.deed, true, value);
    return { done: true, value };
  }

  // -- reports --------------------------------------------------------------------------------------------------

  #say(report: OperationReport): void {
    const { dice, timeline, scope, faults, note } = this.#ports;
    const job = this.#jobs.get(report.token);
    note("report", report);
    // Nobody listens to what was taken back.
    const isOver = report.kind !== "begin" && report.kind !== "enter" && report.kind !== "returned";
    if (job !== undefined && isOver) {
      this.#jobs.delete(report.token);
      job.deed.running.delete(report.token);
      this.#checkUncertain(job, report);
    }
    this.#send(report, job);
    if (!isOver || !dice.chance(faults.profile.lateReports)) return;
    faults.count("operation reported twice or late");
    // What must not be believed any more.
    const value = encodeValue("a stale report");
    const { token } = report;
    const stale: OperationReport = dice.chance(0.7)
      ? { token, kind: "done", ok: true, value }
      : { token, kind: "retry", delayMs: 0, error: "a stale report" };
    timeline.after(1 + dice.delay(0, 300), () => this.#send(stale, undefined), scope);
  }

  #checkUncertain({ deed, request }: Job, report: OperationReport): void {
    if (report.kind !== "done" || report.ok) return;
    const error = decodeValue(report.value);
    if (error instanceof Error && error.name === "UncertainOperationError")
      this.#ports.outside.isUncertain(deed, request);
  }

  #send(report: OperationReport, job: Job | undefined): void {
    const { timeline, scope, dice, node } = this.#ports;
    this.#reports.push({ report, job });
    if (this.#reports.length > 1) return;
    const flush = (): void => {
      const said = this.#reports;
      this.#reports = [];
      if (!this.#ports.report(said.map(({ report }) => report))) return;
      for (const { report, job } of said) if (report.kind === "done" && job !== undefined) job.deed.toldNode = node;
    };
    if (dice.chance(0.05)) flush();
    else timeline.after(dice.chance(0.8) ? 0 : dice.delay(0, 50), flush, scope);
  }
}
