/** `AbortController` and `AbortSignal` (DOM Standard). */
import { startTimer } from "../runtime.ts";
import { DOMException } from "./dom-exception.ts";
import { Event, EventTarget, hasListener, onListenersChanged } from "./events.ts";
import { now, reflectApply, setForEach } from "./intrinsics.ts";

/** Beyond the reach of programs, which cannot make or abort a signal by themselves. */
let signalAbort: (signal: AbortSignal, reason: unknown) => void;
let createSignal: () => AbortSignal;
let dependOn: (signal: AbortSignal, sources: Iterable<AbortSignal>) => void;
const constructorKey = Symbol("AbortSignal");

let aborts = 0;
let signals = 0;

type AbortHandler = (this: AbortSignal, event: Event) => unknown;

export class AbortSignal extends EventTarget {
  #aborted = false;
  #reason: unknown = undefined;
  /** Undefined until it is first set: from then on it has its place among the listeners. */
  #onabort: AbortHandler | null | undefined = undefined;
  /** Signals abort in the order in which they were made. */
  readonly #born = ++signals;
  /** Which abort of the process's it was; 0 before it. */
  #order = 0;
  /**
   * Signals made of this one by `any` that somebody listens to; they hear of its abort after its own listeners. The others look
   * for themselves when they are asked, so that a signal that lives long does not keep all that were ever made of it.
   */
  #dependents: Set<AbortSignal> | undefined = undefined;
  /** The signals this one follows; none of them was made by `any`. */
  #sources: Set<AbortSignal> | undefined = undefined;

  static {
    createSignal = () => new AbortSignal(constructorKey);
    signalAbort = (signal, reason) => signal.#abort(reason);
    dependOn = (signal, sources) => signal.#dependOn(sources);
    onListenersChanged((target) => {
      if (#sources in target && target.#sources !== undefined) target.#follow(target.#sources);
    });
  }

  constructor(key?: unknown) {
    if (key !== constructorKey)
      throw new TypeError("Illegal constructor: use new AbortController() or AbortSignal.any.");
    super();
  }

  /** A signal that is already aborted. */
  static abort(reason?: unknown): AbortSignal {
    const signal = createSignal();
    signal.#settle(reason === undefined ? abortError() : reason, ++aborts);
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
    const abort = (): void =>
      signal.#abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
    // As in Node, it keeps no program alive.
    startTimer("service", now() + delay, abort, false);
    return signal;
  }

  /** Aborts as soon as one of `signals` does, with its reason. */
  static any(signals: Iterable<AbortSignal>): AbortSignal {
    const signal = createSignal();
    signal.#dependOn(signals);
    return signal;
  }

  get aborted(): boolean {
    if (!this.#aborted && this.#sources !== undefined) this.#look(this.#sources);
    return this.#aborted;
  }

  get reason(): unknown {
    return this.aborted ? this.#reason : undefined;
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.#reason;
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
    const aborted = all.find((source) => source.aborted);
    if (aborted !== undefined) return this.#settle(aborted.#reason, aborted.#order);
    this.#sources = new Set(all.flatMap((source) => (source.#sources === undefined ? [source] : [...source.#sources])));
  }

  #settle(reason: unknown, order: number): void {
    this.#aborted = true;
    this.#reason = reason;
    this.#order = order;
  }

  /** It aborted with the first of its sources that did. */
  #look(sources: ReadonlySet<AbortSignal>): void {
    let first: AbortSignal | undefined;
    setForEach(sources as Set<AbortSignal>, (source) => {
      if (source.#aborted && (first === undefined || source.#order < first.#order)) first = source;
    });
    if (first !== undefined) this.#settle(first.#reason, first.#order);
  }

  #follow(sources: ReadonlySet<AbortSignal>): void {
    const isHeard = !this.aborted && hasListener(this, "abort");
    setForEach(sources as Set<AbortSignal>, (source) => {
      if (isHeard) (source.#dependents ??= new Set()).add(this);
      else source.#dependents?.delete(this);
    });
  }

  #abort(reason: unknown): void {
    if (this.#aborted) return;
    const order = ++aborts;
    const all: AbortSignal[] = [];
    // All of them are aborted before anybody is told, so that a listener sees one consistent state.
    const mark = (signal: AbortSignal): void => {
      if (signal.#aborted) return;
      signal.#settle(reason, order);
      let place = all.length;
      for (; place > 1 && all[place - 1]!.#born > signal.#born; place--) all[place] = all[place - 1]!;
      all[place] = signal;
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
