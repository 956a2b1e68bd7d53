/**
 * A simulated process as a real program: it goes through the same plan as the model, in the sandbox, with nothing but what
 * `perdure` gives to everyone. It issues the same commands in the same order, so that the ledger can run the model along with
 * it: nothing may take a detour through the microtask queue while another fiber could go on.
 */
import { CancelledError, receive, send, sleep, TimeoutError } from "perdure";
import { atLeastOnce, atMostOnce, keyed, rare, reconciled, transactional } from "./host.ts";
import { hostFunctionOf, seen, textOf } from "../program.ts";
import type { OperationStep, Seen, Step } from "../program.ts";
import type { ExitValue, Message } from "../process.ts";

export interface Plan {
  readonly pid: string;
  readonly blocks: readonly (readonly Step[])[];
  readonly main: number;
  readonly cleanup: number;
}

const functions = { atLeastOnce, atMostOnce, reconciled, transactional, keyed, rare };

/** Suspended at what it waits for; gives what it has seen in the end. */
type Fiber = Generator<Promise<unknown>, Seen[], unknown>;

/** A step that ends the process. */
class End extends Error {
  readonly step: Extract<Step, { kind: "exit" }>;

  constructor(step: Extract<Step, { kind: "exit" }>) {
    super(`step ${step.site}`);
    this.step = step;
  }
}

export async function main(plan: Plan): Promise<ExitValue> {
  const walk = new Walk(plan);
  try {
    const what = await walk.run();
    return { site: 0, seen: what };
  } catch (error) {
    if (error instanceof CancelledError) await walk.cleanUp();
    if (!(error instanceof End)) throw error;
    const value: ExitValue = { site: error.step.site, seen: [] };
    if (error.step.reason === "normal") return value;
    throw new Error(JSON.stringify(value), { cause: error });
  }
}

class Walk {
  readonly #plan: Plan;
  readonly #occurrences = new Map<number, number>();
  readonly #sent = new Map<string, number>();
  readonly #received = new Map<string, number>();
  readonly #mailbox: Message[] = [];
  /** Who waits for a message, by fiber. */
  readonly #waiting = new Map<number, { readonly stream: string; take(): void; fail(error: unknown): void }>();
  /** The process ends with the first of these that is rejected. */
  readonly #ending = Promise.withResolvers<never>();
  #fibers = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  run(): Promise<Seen[]> {
    this.#end(this.#takeMessages());
    const fiber = this.#fibers++;
    return Promise.race([this.#ending.promise, go(this.#block(fiber, this.#plan.main))]);
  }

  async cleanUp(): Promise<void> {
    await go(this.#block(this.#fibers++, this.#plan.cleanup));
  }

  #end(promise: Promise<unknown>): void {
    promise.catch((error: unknown) => this.#ending.reject(error));
  }

  *#block(fiber: number, block: number): Fiber {
    const all: Seen[] = [];
    for (const step of this.#plan.blocks[block] ?? []) all.push(...(yield* this.#step(fiber, step)));
    return all;
  }

  *#step(fiber: number, step: Step): Fiber {
    switch (step.kind) {
      case "log":
        console.info(step.text);
        return [];
      case "operation":
        return [yield* this.#operation(step)];
      case "sleep":
        yield pause(step.clock, step.delayMs);
        return [seen.sleep];
      case "race":
        yield this.#race(step);
        return [seen.race(step.operation.site)];
      case "send":
        this.#send(step.to);
        return [];
      case "receive":
        yield* this.#receive(fiber, step.stream);
        return [seen.message(step.stream)];
      case "loop": {
        const all: Seen[] = [];
        for (let i = 0; i < step.times; i++) all.push(...(yield* this.#block(fiber, step.block)));
        return all;
      }
      case "parallel":
        return yield* this.#parallel(step.blocks);
      case "detach": {
        const beside = go(this.#block(this.#fibers++, step.block));
        if (!Array.isArray(beside)) this.#end(beside);
        return [];
      }
      case "exit":
        throw new End(step);
    }
  }

  // -- operations -----------------------------------------------------------------------------------------------

  #call(step: OperationStep): { readonly occurrence: number; readonly result: Promise<string> } {
    const { site } = step;
    const occurrence = (this.#occurrences.get(site) ?? 0) + 1;
    this.#occurrences.set(site, occurrence);
    const call = functions[hostFunctionOf(step)];
    return { occurrence, result: call(site, occurrence) };
  }

  *#operation(step: OperationStep): Generator<Promise<unknown>, Seen, unknown> {
    const { occurrence, result } = this.#call(step);
    try {
      return seen.operation(step.site, occurrence, true, String(yield result));
    } catch (error) {
      if (error instanceof CancelledError) throw error;
      return seen.operation(step.site, occurrence, false, textOf(error));
    }
  }

  /** What has lost is taken back, if it can be. */
  async #race({ operation, clock, delayMs }: Extract<Step, { kind: "race" }>): Promise<void> {
    const { result } = this.#call(operation);
    const controller = new AbortController();
    const ended = result.then(
      () => undefined,
      (error: unknown) => {
        if (error instanceof CancelledError) throw error;
      },
    );
    await Promise.race([ended, pause(clock, delayMs, controller.signal)]);
    controller.abort();
  }

  // -- messages -------------------------------------------------------------------------------------------------

  #send(to: string): void {
    const number = (this.#sent.get(to) ?? 0) + 1;
    this.#sent.set(to, number);
    send<Message>(to, { stream: `from ${this.#plan.pid}`, number });
  }

  async #takeMessages(): Promise<void> {
    try {
      for (;;) this.#take(await receive<Message>());
    } catch (error) {
      for (const { fail } of this.#waiting.values()) fail(error);
      throw error;
    }
  }

  #take(message: Message): void {
    const { stream, number } = message;
    const last = this.#received.get(stream) ?? 0;
    if (number <= last) throw new Error(`message ${number} of "${stream}" came after message ${last}`);
    this.#received.set(stream, number);
    const fibers = [...this.#waiting].filter(([, wait]) => wait.stream === stream).map(([fiber]) => fiber);
    if (fibers.length === 0) return void this.#mailbox.push(message);
    const first = Math.min(...fibers);
    const wait = this.#waiting.get(first);
    this.#waiting.delete(first);
    wait?.take();
  }

  *#receive(fiber: number, stream: string): Generator<Promise<unknown>, void, unknown> {
    const found = this.#mailbox.findIndex((message) => message.stream === stream);
    if (found !== -1) return void this.#mailbox.splice(found, 1);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.set(fiber, { stream, take: resolve, fail: reject });
    yield promise;
  }

  // -- fibers ---------------------------------------------------------------------------------------------------

  *#parallel(blocks: readonly number[]): Fiber {
    const first = this.#fibers;
    this.#fibers += blocks.length;
    const branches = blocks.map((block, index) => go(this.#block(first + index, block)));
    const done = branches.filter((branch) => Array.isArray(branch));
    if (done.length === branches.length) return done.flat();
    const all = Promise.all(branches.map(async (branch) => branch));
    return ((yield all) as Seen[][]).flat();
  }
}

/** Lets a fiber run up to where it has to wait for the first time. What it has seen, if it never has to. */
function go(fiber: Fiber): Seen[] | Promise<Seen[]> {
  const { done, value } = fiber.next();
  return done === true ? value : goOn(fiber, value);
}

async function goOn(fiber: Fiber, first: Promise<unknown>): Promise<Seen[]> {
  for (let awaited = first; ;) {
    let step;
    try {
      const given = await awaited;
      step = (): IteratorResult<Promise<unknown>, Seen[]> => fiber.next(given);
    } catch (error) {
      step = (): IteratorResult<Promise<unknown>, Seen[]> => fiber.throw(error);
    }
    const { done, value } = step();
    if (done === true) return value;
    awaited = value;
  }
}

/** No message is one. */
class Nothing {}

/** The public API has no `sleep` by service time but a receive that nothing is for. */
async function pause(clock: "wall" | "service", delayMs: number, signal?: AbortSignal): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  if (clock === "wall") return sleep(delayMs, options);
  try {
    await receive({ match: Nothing, timeout: delayMs, ...options });
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
  }
}
