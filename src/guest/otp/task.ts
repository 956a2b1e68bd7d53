import { PerdureError } from "../../base/errors.ts";
import { entryOf } from "../entries.ts";
import type { Pid } from "../pid.ts";
import { now } from "../prelude/intrinsics.ts";
import { self } from "../process.ts";
import { describeReason } from "../reason.ts";
import { demonitor, exit, follow, isAsked, spawnEntry, unfollow, watch } from "../relations.ts";
import { startTimer, stopTimer } from "../runtime.ts";
import type { Monitor } from "../signals.ts";
import type { Spawnable } from "../spawn.ts";
import { createWait } from "../wait.ts";
import type { CallTimeout } from "./call.ts";
import { expectReply, forgetReply, timeoutMsOf } from "./call.ts";
import { failure } from "./errors.ts";
import { SupervisorRef } from "./supervisor/supervisor.ts";
import { SupervisorSpecification } from "./supervisor/types.ts";
import type { SupervisorFlags } from "./supervisor/types.ts";
import { stream } from "./task-stream.ts";
import type { StreamOptions } from "./task-stream.ts";

/** The entry behind tasks; its arguments are the starter, the starter's reference for the result, the function and its arguments. */
export const taskEntry = "perdure:task";

/** A function's result. */
export type ResultOf<F extends Spawnable> = Awaited<ReturnType<F>>;

/**
 * A function that runs in a process of its own, and whose result is awaited:
 *
 *     const task = Task.async(resize, image, 400);
 *     …
 *     const small = await task.result();
 *
 * A failure does not touch the process that started the task: `result` rejects with it. When that process ends, its tasks are
 * stopped; when it is cancelled, so are they.
 */
export class Task<T> {
  readonly pid: Pid;
  readonly #outcome: Promise<T>;

  /** @internal Tasks are made by `Task.async`. */
  constructor(pid: Pid, outcome: Promise<T>) {
    this.pid = pid;
    this.#outcome = outcome;
    // Whoever never asks for the result does not care how the task ended.
    outcome.catch(() => undefined);
  }

  /** Starts a task. Throws as `spawn` does. */
  static async<F extends Spawnable>(fn: F, ...args: Parameters<F>): Task<ResultOf<F>> {
    const result = expectResult<ResultOf<F>>();
    const entry = entryOf(fn);
    const { pid } = spawnEntry({
      entry: taskEntry,
      args: [self(), result.ref, entry, args],
      monitor: ({ reason }) => result.ended(pid, reason),
      options: { label: entry, role: "task" },
    });
    result.follow(pid);
    return new Task(pid, result.promise);
  }

  /**
   * Tasks under a supervisor, `taskSupervisor()` in its specification: they show in its tree and are stopped with it.
   *
   *     const task = await Task.under("thumbnails").async(resize, image, 400);
   */
  static under(supervisor: Pid | SupervisorRef): SupervisedTasks {
    return new SupervisedTasks(typeof supervisor === "string" ? new SupervisorRef(supervisor) : supervisor);
  }

  /**
   * Runs a task for each item, at most `concurrency` (8) at a time, and yields their results in the order of the items. The first
   * failure is thrown, and stops the others; so does leaving the loop.
   *
   *     for await (const page of Task.asyncStream(urls, fetchPage, { concurrency: 4 })) …
   */
  static asyncStream<Item, F extends (this: any, item: Item) => unknown>(
    items: Iterable<Item> | AsyncIterable<Item>,
    fn: F,
    options: StreamOptions = {},
  ): AsyncGenerator<ResultOf<F>, void, undefined> {
    return stream(items, (item) => Task.async(fn as Spawnable, item) as Task<ResultOf<F>>, options);
  }

  /**
   * What the function returned. Rejects with what it threw, with TASK_FAILED if it ended in another way, or with CALL_TIMEOUT after
   * `timeout` of service time (default: waits for ever; the task goes on).
   */
  async result(options: { readonly timeout?: CallTimeout } = {}): Promise<T> {
    const timeoutMs = timeoutMsOf(options.timeout ?? "infinity");
    let timer: number | undefined;
    const stop = (): void => {
      if (timer !== undefined) stopTimer(timer);
    };
    const wait = createWait<T>(stop);
    this.#outcome.then(wait.resolve, wait.reject);
    if (timeoutMs < Infinity) {
      timer = startTimer("service", now() + timeoutMs, () => wait.reject(late(this.pid, timeoutMs)));
    }
    return await wait.promise.finally(stop);
  }

  /** Tells the task to end. Its result rejects, unless it is there already. */
  stop(reason: unknown = "shutdown"): void {
    exit(this.pid, reason);
  }

  /** @internal Nobody wants its result: it ends, unless a cancel has reached it, and it is winding up. */
  leave(): void {
    if (!isAsked(this.pid)) this.stop();
  }
}

/** Starts tasks under a supervisor. */
export class SupervisedTasks {
  readonly #supervisor: SupervisorRef;

  constructor(supervisor: SupervisorRef) {
    this.#supervisor = supervisor;
  }

  /** As `Task.async`. Rejects with SERVER_GONE if there is no such supervisor, and with START_FAILED if it is none for tasks. */
  async async<F extends Spawnable>(fn: F, ...args: Parameters<F>): Promise<Task<ResultOf<F>>> {
    const result = expectResult<ResultOf<F>>();
    const started = await this.#supervisor.startChild(self(), result.ref, entryOf(fn), args);
    if (started.ok === undefined) {
      result.forget();
      throw failure("START_FAILED", `${this.#supervisor.pid} did not start the task.`, { reason: started.error });
    }
    const pid = started.ok;
    result.follow(pid);
    result.monitor = watch(pid, ({ reason }) => result.ended(pid, reason));
    return new Task(pid, result.promise);
  }

  /** As `Task.asyncStream`. */
  asyncStream<Item, F extends (this: any, item: Item) => unknown>(
    items: Iterable<Item> | AsyncIterable<Item>,
    fn: F,
    options: StreamOptions = {},
  ): AsyncGenerator<ResultOf<F>, void, undefined> {
    return stream(items, (item) => this.async(fn as Spawnable, item) as Promise<Task<ResultOf<F>>>, options);
  }
}

/** A supervisor for `Task.under`: a pool of temporary children. */
export function taskSupervisor(flags: Pick<SupervisorFlags, "intensity" | "period"> = {}): SupervisorSpecification {
  const template = { start: { entry: taskEntry }, restart: "temporary" } as const;
  return new SupervisorSpecification({ ...flags, strategy: "simple_one_for_one", template });
}

interface Expected<T> {
  readonly ref: number;
  readonly promise: Promise<T>;
  monitor: Monitor | undefined;
  follow(pid: Pid): void;
  ended(pid: Pid, reason: unknown): void;
  forget(): void;
}

function expectResult<T>(): Expected<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let follower: Pid | undefined;
  const ref = expectReply((_ok, value) => {
    if (follower !== undefined) unfollow(follower);
    if (expected.monitor !== undefined) demonitor(expected.monitor);
    resolve(value as T);
  });
  const expected: Expected<T> = {
    ref,
    promise,
    monitor: undefined,
    follow(pid) {
      follower = pid;
      follow(pid);
    },
    // The result comes before the end: when that is heard of without one, there is none.
    ended(pid, reason) {
      unfollow(pid);
      forgetReply(ref);
      reject(reason instanceof Error ? reason : taskFailed(pid, reason));
    },
    forget: () => forgetReply(ref),
  };
  return expected;
}

function taskFailed(pid: Pid, reason: unknown): PerdureError {
  return failure("TASK_FAILED", `The task ${pid} ended without a result: ${describeReason(reason)}.`, { pid, reason });
}

function late(pid: Pid, timeoutMs: number): PerdureError {
  return new PerdureError("CALL_TIMEOUT", `The task ${pid} has no result after ${timeoutMs} ms.`, {
    details: { pid, timeoutMs },
  });
}
