/** Finds what an operation's name stands for: a built-in operation, or a host function that may have to be imported first. */
import { PerdureError } from "../base/errors.ts";
import type { OperationRequest } from "../kernel/ports.ts";
import type { BuiltIns, Target } from "./builtins.ts";
import { settingsOf } from "./definition.ts";
import type { HostFunction } from "./definition.ts";

/**
 * Finds the host function an operation names. To say that there is none, return undefined, or fail with an error that says
 * where it was looked for. An answer that is no promise saves a turn of the microtask queue.
 */
export type Resolve = (name: string, program: string) => HostFunction | undefined | Promise<HostFunction | undefined>;

export type Answer =
  | { readonly kind: "found"; readonly target: Target }
  /** There is no such function, or it cannot be loaded. */
  | { readonly kind: "missing"; readonly error: unknown }
  /** The request itself makes no sense. */
  | { readonly kind: "refused"; readonly error: unknown };

type Asker = (answer: Answer) => void;

export class Targets {
  readonly #resolve: Resolve;
  readonly #builtIns: BuiltIns;
  /** Who waits for an answer on the way, by name and program. */
  readonly #waiting = new Map<string, Asker[]>();

  constructor(resolve: Resolve, builtIns: BuiltIns) {
    this.#resolve = resolve;
    this.#builtIns = builtIns;
  }

  /** Calls `ask` once, maybe before it returns. Those that ask for one name get their answers in the order they asked. */
  find(request: OperationRequest, ask: Asker): void {
    const { name, program } = request;
    if (name.startsWith("perdure:")) {
      ask(this.#builtIn(name, request.options));
      return;
    }
    // Nobody waits once a function is loaded: the key is built only when somebody does.
    const waiting = this.#waiting.size === 0 ? undefined : this.#waiting.get(keyOf(name, program));
    if (waiting !== undefined) {
      waiting.push(ask);
      return;
    }
    let answer: ReturnType<Resolve>;
    try {
      answer = this.#resolve(name, program);
    } catch (error) {
      ask({ kind: "missing", error });
      return;
    }
    if (answer instanceof Promise) this.#await(keyOf(name, program), name, answer, ask);
    else ask(found(name, answer));
  }

  #await(key: string, name: string, answer: Promise<HostFunction | undefined>, first: Asker): void {
    const askers = [first];
    this.#waiting.set(key, askers);
    const settle = (settled: Answer): void => {
      this.#waiting.delete(key);
      for (const ask of askers) ask(settled);
    };
    answer.then(
      (fn) => settle(found(name, fn)),
      (error: unknown) => settle({ kind: "missing", error }),
    );
  }

  #builtIn(name: string, options: string): Answer {
    try {
      const target = this.#builtIns.find(name, options);
      if (target !== undefined) return { kind: "found", target };
      return { kind: "missing", error: missing(name, "This release has no such built-in operation") };
    } catch (error) {
      return { kind: "refused", error };
    }
  }
}

function keyOf(name: string, program: string): string {
  // Names have no line breaks.
  return `${name}\n${program}`;
}

function found(name: string, fn: HostFunction | undefined): Answer {
  if (fn !== undefined) return { kind: "found", target: { fn, settings: settingsOf(fn) } };
  return { kind: "missing", error: missing(name, "This deployment has no such host function") };
}

function missing(name: string, what: string): PerdureError {
  return new PerdureError("OPERATION_UNAVAILABLE", `${what}: ${JSON.stringify(name)}.`, {
    details: { operation: name },
  });
}
