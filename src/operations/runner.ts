/**
 * Runs host code: decodes the arguments, finds the function, calls it when there is room, and reports what came of it.
 *
 * An attempt's life: *resolving* (its module may have to be imported) → *queued* → *beginning* (at-most-once only: its start
 * is being put on record) → *entering* (transactional only: it waits for the store) → *running* → *ended*. It holds a slot of the
 * queue while it begins, enters and runs. What has `reconcile` and a start on record whose effect is in doubt runs that first, and
 * then, if it has not happened, begins and runs itself.
 *
 * An attempt that is aborted or times out gives its slot back at once, for its function may never settle. Such a function
 * goes on without being counted, so limits hold for the attempts somebody waits for.
 */
import { PerdureError } from "../base/errors.ts";
import type { Clock, Random } from "../base/ports.ts";
import { decodeValue } from "../base/value.ts";
import type { Loan, OperationReport, OperationRequest, OperationRunner } from "../kernel/ports.ts";
import type { AnyTransaction, Transactions } from "../store/transactions.ts";
import { builtIns } from "./builtins.ts";
import type { BuiltIns, Target } from "./builtins.ts";
import { AttemptScope, runInScope } from "./context.ts";
import { transactionBody } from "./definition.ts";
import type { HostFunction, OperationSettings } from "./definition.ts";
import { describeError, OperationAbortedError, OperationTimeoutError } from "./errors.ts";
import type { FetchPolicy } from "./fetch-policy.ts";
import { invalidOption } from "./options.ts";
import { FairQueue } from "./queue.ts";
import type { Lane, Ticket } from "./queue.ts";
import { Targets } from "./targets.ts";
import type { Answer, Resolve } from "./targets.ts";
import { isThenable, Transacting } from "./transacting.ts";
import { LoopTurns } from "./turns.ts";
import { failed, leftInDoubt, readReconciled, returned, senseless, threw, unavailable, uncertain } from "./verdict.ts";

export interface RunnerOptions {
  readonly resolve: Resolve;
  readonly clock: Clock;
  readonly random: Random;
  /** Attempts that may run at once on this node. Default 100. */
  readonly concurrency?: number;
  /** Hears everything the runner says, in batches: one when the microtasks at hand are done, else one a turn of the event loop. */
  readonly report: (reports: OperationReport[]) => void;
  /** Where `fetch` may go. Default: anywhere. */
  readonly fetchPolicy?: FetchPolicy | undefined;
  /** Opens the store for transactional operations, when the first one runs. Without it they fail. */
  readonly transactions?: () => Transactions<AnyTransaction> | Promise<Transactions<AnyTransaction>>;
}

export interface RunnerCounts {
  /** Attempts that hold a slot. */
  readonly active: number;
  /** Attempts that wait for one, or for their module to be imported. */
  readonly waiting: number;
}

export interface Runner extends OperationRunner {
  counts(): RunnerCounts;
  /**
   * Winds up: attempts that have not begun are dropped without a report (the store still has them), those that have may end
   * within `timeoutMs`; the rest are aborted, without a report too. Requests that come later are dropped. Resolves when all
   * reports are out. A second call gets the first one's promise.
   */
  drain(timeoutMs: number): Promise<void>;
  /** Frees what transactions held of the store. To be called after `drain`. */
  close(): Promise<void>;
}

interface Job {
  readonly token: string;
  /** Undefined once ended: a function that never settles must not keep its arguments alive. */
  request: OperationRequest | undefined;
  state: "resolving" | "queued" | "beginning" | "entering" | "running" | "ended";
  target: Target | undefined;
  /** What runs is, or will be, `reconcile`. */
  asks: boolean;
  /** When it asked for its start to be put on record. */
  begunAtMs: number;
  ticket: Ticket<Job> | undefined;
  scope: AttemptScope | undefined;
  cancelTimeout: (() => void) | undefined;
}

/** Throws ARGUMENT_INVALID for a malformed `concurrency` or `fetchPolicy`. */
export function createRunner(options: RunnerOptions): Runner {
  return new HostRunner(options);
}

class HostRunner implements Runner {
  readonly #options: RunnerOptions;
  readonly #builtIns: BuiltIns;
  readonly #targets: Targets;
  readonly #turns: LoopTurns;
  readonly #queue: FairQueue<Job>;
  readonly #transacting: Transacting;
  readonly #jobs = new Map<string, Job>();
  /** By function, so that all names of an operation share its limit. */
  readonly #lanes = new WeakMap<HostFunction, Lane<Job>>();
  #pumping = false;
  #draining: { readonly done: Promise<void>; readonly finish: () => void } | undefined;

  constructor(options: RunnerOptions) {
    const { concurrency = 100, report, fetchPolicy } = options;
    if (concurrency !== Infinity && !(Number.isInteger(concurrency) && concurrency >= 1)) {
      throw invalidOption("concurrency", concurrency, "a whole number from 1");
    }
    this.#options = options;
    this.#builtIns = builtIns(fetchPolicy);
    this.#targets = new Targets(options.resolve, this.#builtIns);
    this.#turns = new LoopTurns(report, () => this.#pump());
    this.#queue = new FairQueue(concurrency, options.clock, () => this.#pump());
    const { transactions: open = noTransactions, clock } = options;
    this.#transacting = new Transacting({ open, clock, report: (said) => this.#turns.add(said) });
  }

  start(requests: readonly OperationRequest[]): void {
    for (const request of requests) {
      if (this.#draining !== undefined || this.#jobs.has(request.token)) continue;
      const job: Job = {
        token: request.token,
        request,
        state: "resolving",
        target: undefined,
        asks: false,
        begunAtMs: 0,
        ticket: undefined,
        scope: undefined,
        cancelTimeout: undefined,
      };
      this.#jobs.set(request.token, job);
      this.#targets.find(request, (answer) => this.#found(job, answer));
    }
  }

  proceed(token: string): void {
    const job = this.#jobs.get(token);
    if (job?.state !== "beginning") return;
    const { reconcile, timeoutMs = Infinity } = job.target?.settings ?? {};
    // Its time may have passed while its start was put on record, or while somebody else's code held this thread.
    const isLate = reconcile !== undefined && this.#options.clock.nowMs() - job.begunAtMs >= timeoutMs;
    if (isLate) this.#timeOut(job, timeoutMs);
    else this.#run(job);
  }

  transact(loan: Loan): void {
    void this.#transacting.transact(loan).then(() => this.#checkDrained());
  }

  close(): Promise<void> {
    return this.#transacting.close();
  }

  abort(token: string): void {
    const job = this.#jobs.get(token);
    if (job === undefined) return;
    this.#abort(job, "nobody waits for its result any more");
    this.#pump();
  }

  counts(): RunnerCounts {
    return { active: this.#queue.active, waiting: this.#jobs.size - this.#queue.active };
  }

  drain(timeoutMs: number): Promise<void> {
    if (this.#draining !== undefined) return this.#draining.done;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancelTimeout = this.#options.clock.after(timeoutMs, () => {
      for (const job of this.#jobs.values()) this.#abort(job, "the node is shutting down");
    });
    let isFinished = false;
    const finish = (): void => {
      if (isFinished) return;
      isFinished = true;
      cancelTimeout();
      this.#builtIns.close();
      this.#queue.close();
      this.#turns.flush();
      resolve();
    };
    this.#draining = { done: promise, finish };
    this.#checkDrained();
    for (const job of this.#jobs.values()) {
      if (job.state === "resolving" || job.state === "queued" || job.state === "entering") this.#end(job);
    }
    return promise;
  }

  #found(job: Job, answer: Answer): void {
    const { request } = job;
    // Aborted while its module was imported.
    if (request === undefined) return;
    if (answer.kind === "found") this.#enqueue(job, request, answer.target);
    else if (answer.kind === "missing") this.#finish(job, unavailable(job.token, answer.error));
    else this.#finish(job, failed(request, answer.error));
  }

  #enqueue(job: Job, request: OperationRequest, target: Target): void {
    const { mode, reconcile, timeoutMs = 0 } = target.settings;
    if (request.doubt !== "none" && mode === "at-most-once") {
      if (reconcile === undefined) return this.#finish(job, uncertain(request));
      // Calls of the earlier start may be under way.
      if (request.doubt === "fresh") return this.#finish(job, { token: job.token, kind: "rest", doubtMs: timeoutMs });
      job.asks = true;
    }
    let row: string;
    try {
      row = rowOf(request, target.settings);
    } catch (error) {
      // It is not even known whom to ask for.
      const report = job.asks ? uncertain(request, error) : failed(request, error);
      return this.#finish(job, report);
    }
    job.target = target;
    job.state = "queued";
    job.ticket = this.#queue.push(this.#laneOf(target), row, job);
    this.#pump();
  }

  #laneOf({ fn, settings }: Target): Lane<Job> {
    let lane = this.#lanes.get(fn);
    if (lane === undefined) {
      const { concurrency, rate, key, concurrencyPerKey, ratePerKey } = settings;
      const perRow = key === undefined ? undefined : { concurrency: concurrencyPerKey, rate: ratePerKey };
      lane = this.#queue.lane({ concurrency, rate, perRow });
      this.#lanes.set(fn, lane);
    }
    return lane;
  }

  /** Hands out slots. What ends while it runs must not recurse into it: a thousand synchronous functions would be as many frames. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#queue.ready && this.#turns.mayStart()) {
        const job = this.#queue.take();
        if (job !== undefined) this.#admit(job);
      }
    } finally {
      this.#pumping = false;
    }
  }

  #admit(job: Job): void {
    const isOnce = job.target?.settings.mode === "at-most-once" && !job.asks;
    if (isOnce || job.request?.watched === true) this.#begin(job);
    else this.#run(job);
  }

  #begin(job: Job): void {
    job.state = "beginning";
    job.begunAtMs = this.#options.clock.nowMs();
    // The wait before the outside world is asked counts from the start on record, and so no sooner than from now.
    if (job.target?.settings.reconcile !== undefined) this.#arm(job, job.target.settings);
    this.#turns.add({ token: job.token, kind: "begin" });
  }

  #arm(job: Job, { timeoutMs }: OperationSettings): void {
    if (timeoutMs === undefined || job.cancelTimeout !== undefined) return;
    job.cancelTimeout = this.#options.clock.after(timeoutMs, () => this.#timeOut(job, timeoutMs));
  }

  #run(job: Job): void {
    const { request, target } = job;
    if (request === undefined || target === undefined) return;
    job.state = "running";
    let args: unknown[];
    try {
      args = decodeArgs(request);
    } catch (error) {
      this.#finish(job, failed(request, error));
      return;
    }
    const { pid, program, number, name, attempt } = request;
    const scope = new AttemptScope({ pid, program, number, name, attempt }, request.idempotencyKey);
    job.scope = scope;
    if (target.settings.mode === "transactional") {
      return this.#enter(job, request, scope, (tx) => runInScope(scope, transactionBody(target.fn), [tx, ...args]));
    }
    this.#arm(job, target.settings);
    const { reconcile } = target.settings;
    const asks = job.asks && reconcile !== undefined;
    let result: unknown;
    let isPending: boolean;
    try {
      result = asks
        ? runInScope(scope, reconcile, [request.idempotencyKey, ...args])
        : runInScope(scope, target.fn, args);
      isPending = isThenable(result);
    } catch (error) {
      this.#threw(job, scope, error);
      return;
    }
    if (!isPending) this.#returned(job, scope, result);
    else {
      Promise.resolve(result).then(
        (value) => this.#returned(job, scope, value),
        (error: unknown) => this.#threw(job, scope, error),
      );
    }
  }

  #enter(job: Job, request: OperationRequest, scope: AttemptScope, call: (tx: AnyTransaction) => unknown): void {
    // The store is not lent any more.
    if (this.#draining !== undefined) return this.#end(job);
    job.state = "entering";
    this.#transacting.enter({
      request,
      timeoutMs: job.target?.settings.timeoutMs,
      call,
      expire: (error) => scope.abort(error),
      get isWanted() {
        return job.state !== "ended";
      },
      begun: () => (job.state = "running"),
      ended: () => this.#leave(job),
    });
  }

  #leave(job: Job): void {
    if (job.state === "ended") return;
    this.#end(job);
    this.#pump();
  }

  #returned(job: Job, scope: AttemptScope, value: unknown): void {
    const { request } = job;
    // By then it may have been given up.
    if (request === undefined || job.scope !== scope) return;
    if (job.asks) this.#answered(job, request, value);
    else this.#finish(job, returned(request, value));
  }

  /** `reconcile` has said what became of the earlier start. */
  #answered(job: Job, request: OperationRequest, value: unknown): void {
    const answer = readReconciled(value);
    if (answer === undefined) {
      return this.#finish(job, uncertain(request, senseless(request.name, value)));
    }
    if (answer.done) return this.#finish(job, returned(request, answer.value));
    // The store still has it as it was; whoever opens it next asks again.
    if (this.#draining !== undefined) return this.#end(job);
    job.asks = false;
    job.scope = undefined;
    job.cancelTimeout?.();
    job.cancelTimeout = undefined;
    this.#begin(job);
  }

  #threw(job: Job, scope: AttemptScope, error: unknown): void {
    if (job.scope === scope) this.#failed(job, error, !job.asks);
  }

  /** `hasFailed`: it is the function that says so. */
  #failed(job: Job, error: unknown, hasFailed: boolean): void {
    const { request, target } = job;
    if (request === undefined || target === undefined) return;
    const { settings } = target;
    const { random } = this.#options;
    // What has not run yet has had no effect.
    if (settings.mode === "at-least-once" || (job.state === "beginning" && !job.asks)) {
      this.#finish(job, threw(request, settings, error, random));
    } else if (settings.reconcile !== undefined) {
      this.#finish(job, leftInDoubt(request, settings, { error, hasFailed }, random));
    } else if (hasFailed) this.#finish(job, failed(request, error));
    else this.#finish(job, uncertain(request, error));
  }

  #timeOut(job: Job, timeoutMs: number): void {
    const { request, scope } = job;
    if (request === undefined) return;
    const error = new OperationTimeoutError(request.name, timeoutMs);
    // The function has not said that it failed, so nobody may conclude that it did.
    this.#failed(job, error, false);
    scope?.abort(error);
  }

  #abort(job: Job, why: string): void {
    const { request, scope } = job;
    this.#end(job);
    if (request !== undefined) scope?.abort(new OperationAbortedError(request.name, why));
  }

  #finish(job: Job, report: OperationReport): void {
    this.#turns.add(report);
    this.#end(job);
    this.#pump();
  }

  #end(job: Job): void {
    if (job.state === "entering") this.#transacting.leave(job.token);
    job.state = "ended";
    job.request = undefined;
    job.cancelTimeout?.();
    if (job.ticket !== undefined) this.#queue.remove(job.ticket);
    this.#jobs.delete(job.token);
    this.#checkDrained();
  }

  #checkDrained(): void {
    if (this.#jobs.size === 0 && !this.#transacting.isUnderway) this.#draining?.finish();
  }
}

function noTransactions(): never {
  throw new PerdureError(
    "STORE_FAILED",
    "This runner was made without a store, so transactional operations cannot run.",
  );
}

function decodeArgs(request: OperationRequest): unknown[] {
  const args = decodeValue(request.args);
  if (Array.isArray(args)) return args;
  throw new PerdureError(
    "VALUE_CORRUPT",
    `The arguments of operation ${JSON.stringify(request.name)} are ${typeof args}, not a list.`,
  );
}

/** In which row of its lane an attempt waits: that of its key, or of its process. Throws OPERATION_FAILED. */
function rowOf(request: OperationRequest, { key }: OperationSettings): string {
  if (key === undefined) return request.pid;
  const args = decodeArgs(request);
  let row: unknown;
  try {
    row = key(...args);
  } catch (error) {
    throw brokenKey(request, `threw ${describeError(error)}`, error);
  }
  if (typeof row === "string") return row;
  throw brokenKey(request, `returned ${row instanceof Promise ? "a promise" : `a value of type ${typeof row}`}`);
}

function brokenKey({ name }: OperationRequest, what: string, cause?: unknown): PerdureError {
  const message = `key of operation ${JSON.stringify(name)} must return a string for every call, and ${what}. Mend that function.`;
  return new PerdureError("OPERATION_FAILED", message, { cause, details: { operation: name } });
}
