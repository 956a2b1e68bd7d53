/** `AbortController` and `AbortSignal` (DOM Standard). */
import { startTimer } from "../runtime.ts";
import { DOMException } from "./dom-exception.ts";
import { Event, EventTarget } from "./events.ts";
import { now, reflectApply, setForEach } from "./intrinsics.ts";

/** Beyond the reach of programs, which cannot make or abort a signal by themselves. */
let signalAbort: (signal: AbortSignal, reason: unknown) => void;
let createSignal: () => AbortSignal;
let dependOn: (signal: AbortSignal, sources: Iterable<AbortSignal>) => void;
const constructorKey = Symbol("AbortSignal");

type AbortHandler = (this: AbortSignal, event: Event) => unknown;

export class AbortSignal extends EventTarget {
  #aborted = false;
  #reason: unknown = undefined;
  /** Undefined until it is first set: from then on it has its place among the listeners. */
  #onabort: AbortHandler | null | undefined = undefined;
  /** Signals made of this one by `any`; they abort with it, and their listeners hear of it after its own. */
  #dependents: Set<AbortSignal> | undefined = undefined;
  /** The signals this one follows; none of them was made by `any`. */
  #sources: Set<AbortSignal> | undefined = undefined;

  static {
    createSignal = () => new AbortSignal(constructorKey);
    signalAbort = (signal, reason) => signal.#abort(reason);
    dependOn = (signal, sources) => signal.#dependOn(sources);
  }

  constructor(key?: unknown) {
    if (key !== constructorKey)
      throw new TypeError("Illegal constructor: use new AbortController() or AbortSignal.any.");
    super();
  }

  /** A signal that is already aborted. */
  static abort(reason?: unknown): AbortSignal {
    const signal = createSignal();
    signal.#aborted = true;
    signal.#reason = reason === undefined ? abortError() : reason;
    return signal;
  }

  /**
   * Aborts with a TimeoutError after `delayMs`. It measures the diligence of whatever it is handed to, so the time during
   * which no node runs the process does not count.
   */
  static timeout(delayMs: number): AbortSignal {
    const delay = Math.trunc(Number(delayMs));
    if (!(delay >= 0 && delay <= Number.MAX_SAFE_INTEGER)) {
      throw new TypeError(`AbortSignal.timeout takes milliseconds of at least 0, not ${String(delayMs)}.`);
    }
    const signal = createSignal();
    startTimer("service", now() + delay, () =>
      signal.#abort(new DOMException("The operation was aborted due to timeout", "TimeoutError")),
    );
    return signal;
  }

  /** Aborts as soon as one of `signals` does, with its reason. */
  static any(signals: Iterable<AbortSignal>): AbortSignal {
    const signal = createSignal();
    signal.#dependOn(signals);
    return signal;
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }

  get onabort(): AbortHandler | null {
    return this.#onabort ?? null;
  }

  set onabort(handler: AbortHandler | null) {
    if (this.#onabort === undefined) {
      this.addEventListener("abort", (event) => this.#onabort && reflectApply(this.#onabort, this, [event]));
    }
    this.#onabort = typeof handler === "function" ? handler : null;
  }

  #dependOn(signals: Iterable<AbortSignal>): void {
    const all = [...signals];
    for (const source of all) {
      if (!(source instanceof AbortSignal)) throw new TypeError("AbortSignal.any takes AbortSignals.");
    }
    const aborted = all.find((source) => source.#aborted);
    if (aborted !== undefined) {
      this.#aborted = true;
      this.#reason = aborted.#reason;
      return;
    }
    this.#sources = new Set(all.flatMap((source) => (source.#sources === undefined ? [source] : [...source.#sources])));
    for (const source of this.#sources) (source.#dependents ??= new Set()).add(this);
  }

  #abort(reason: unknown): void {
    if (this.#aborted) return;
    const all: AbortSignal[] = [];
    // All of them are aborted before anybody is told, so that a listener sees one consistent state.
    const mark = (signal: AbortSignal): void => {
      if (signal.#aborted) return;
      signal.#aborted = true;
      signal.#reason = reason;
      all[all.length] = signal;
    };
    mark(this);
    if (this.#dependents !== undefined) setForEach(this.#dependents, mark);
    for (let index = 0; index < all.length; index++) {
      const signal = all[index]!;
      if (signal.#sources !== undefined) setForEach(signal.#sources, (source) => source.#dependents?.delete(signal));
      signal.dispatchEvent(new Event("abort"));
    }
  }
}

export class AbortController {
  readonly #signal = createSignal();

  get signal(): AbortSignal {
    return this.#signal;
  }

  abort(reason?: unknown): void {
    signalAbort(this.#signal, reason === undefined ? abortError() : reason);
  }
}

/** A signal that follows `source`, if there is one: what a Request has. */
export function followingSignal(source: AbortSignal | null | undefined): AbortSignal {
  const signal = createSignal();
  if (source !== null && source !== undefined) dependOn(signal, [source]);
  return signal;
}

function abortError(): Error {
  return new DOMException("This operation was aborted", "AbortError");
}
