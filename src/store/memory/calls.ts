/** The calls of one handle: each takes effect in its turn, unless something goes wrong. */
import { PerdureError } from "../../base/errors.ts";
import { failure, full } from "./faults.ts";
import type { MemoryFaults, QueuedFault, StoreCall, WaitingCall } from "./faults.ts";

export interface CallsPorts {
  readonly faults: MemoryFaults | undefined;
  /** Of the store. */
  readonly id: string;
  isClosed(): boolean;
  /** The handle is no more. */
  died(): void;
}

/** One for each: what waits for a promise is held by it. */
const never = (): Promise<never> => new Promise(() => {});

export class Calls {
  readonly #ports: CallsPorts;
  #dead = false;
  /** Settles when the last of the calls that wait for a stalled one has. */
  #tail: Promise<unknown> | undefined;
  /** Those calls, in order. */
  readonly #waiting: WaitingCall[] = [];

  constructor(ports: CallsPorts) {
    this.#ports = ports;
  }

  /** Without faults it takes effect at once. */
  make<T>(call: StoreCall, effect: () => T): Promise<T> {
    const fault = this.#ports.faults?.decide(call);
    if (typeof fault !== "object" || !("late" in fault)) return this.#answer(this.#queue(call, fault, effect));
    const result = this.#queue(call, undefined, effect).then(async (value) => {
      await fault.late;
      return this.#dead ? never() : value;
    });
    return this.#answer(result);
  }

  #answer<T>(result: Promise<T>): Promise<T> {
    const { faults } = this.#ports;
    if (faults?.answered === undefined) return result;
    const answered = async (): Promise<boolean> => {
      await faults.answered?.();
      return this.#dead;
    };
    return result.then(
      async (value) => ((await answered()) ? never() : value),
      async (error: unknown) => ((await answered()) ? never() : Promise.reject(error)),
    );
  }

  /** None settles any more. */
  die(): void {
    if (this.#dead) return;
    this.#land();
    this.#dead = true;
    this.#ports.died();
    this.#ports.faults?.crashed?.();
  }

  /** What was on its way to the disk may have arrived, in order. Nobody will ever hear of it. */
  #land(): void {
    const waiting = this.#waiting.splice(0);
    if (waiting.length === 0) return;
    const count = this.#ports.faults?.landed?.(waiting.map(({ call }) => call)) ?? 0;
    for (const { effect } of waiting.slice(0, count)) {
      try {
        effect();
      } catch {
        // It was refused.
      }
    }
  }

  /** Behind a stalled one it waits its turn. */
  #queue<T>(call: StoreCall, fault: QueuedFault | undefined, effect: () => T): Promise<T> {
    if (this.#tail === undefined && !(fault instanceof Promise)) return this.#perform(fault, effect);
    const waiting: WaitingCall = { call, effect };
    this.#waiting.push(waiting);
    const result = Promise.all([this.#tail, fault]).then(() => {
      const index = this.#waiting.indexOf(waiting);
      if (index !== -1) this.#waiting.splice(index, 1);
      return this.#perform(fault, effect);
    });
    const ended: Promise<void> = result.then(noop, noop).then(() => {
      if (this.#tail === ended) this.#tail = undefined;
    });
    this.#tail = ended;
    return result;
  }

  #perform<T>(fault: QueuedFault | undefined, effect: () => T): Promise<T> {
    const { id } = this.#ports;
    if (fault === "crash-before") this.die();
    if (this.#dead) return never();
    if (this.#ports.isClosed()) {
      return Promise.reject(new PerdureError("STORE_FAILED", `The store ${id} was closed. Open it again.`));
    }
    if (fault === "reject-before") return Promise.reject(failure(id, "was not kept"));
    if (fault === "full") return Promise.reject(full(id));
    let result: T;
    try {
      result = effect();
    } catch (error) {
      return Promise.reject(error);
    }
    if (fault === "crash-after") {
      this.die();
      return never();
    }
    return fault === "reject-after" ? Promise.reject(failure(id, "may have been kept")) : Promise.resolve(result);
  }
}

function noop(): void {}
