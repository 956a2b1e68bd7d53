/** `Event`, `CustomEvent` and `EventTarget` (DOM Standard), without a tree: an event has one target and no path. */
import { appended, reflectApply, rejectPromise, without } from "./intrinsics.ts";
import { sinceStartMs } from "./performance.ts";

export interface EventInit {
  readonly bubbles?: boolean;
  readonly cancelable?: boolean;
  readonly composed?: boolean;
}

const phaseNone = 0;
const phaseAtTarget = 2;

/** Set by `dispatchEvent`, beyond the reach of programs. */
let setDispatch: (event: Event, target: EventTarget | null, phase: number) => void;
let beginDispatch: (event: Event, target: EventTarget) => boolean;
let isStopped: (event: Event) => boolean;
let setPassive: (event: Event, passive: boolean) => void;

export class Event {
  readonly #type: string;
  readonly #init: Readonly<Required<EventInit>>;
  readonly #timeStampMs: number;
  #target: EventTarget | null = null;
  #currentTarget: EventTarget | null = null;
  #phase = phaseNone;
  #canceled = false;
  #passive = false;
  #stopped = false;
  #dispatching = false;

  static {
    beginDispatch = (event, target) => {
      if (event.#dispatching) return false;
      event.#dispatching = true;
      event.#stopped = false;
      event.#target = target;
      return true;
    };
    setDispatch = (event, target, phase) => {
      event.#currentTarget = target;
      event.#phase = phase;
      if (phase === phaseNone) event.#dispatching = false;
    };
    isStopped = (event) => event.#stopped;
    setPassive = (event, passive) => {
      event.#passive = passive;
    };
  }

  constructor(type: string, init: EventInit = {}) {
    if (arguments.length === 0) throw new TypeError("An Event needs a type.");
    this.#type = String(type);
    this.#init = {
      bubbles: Boolean(init.bubbles),
      cancelable: Boolean(init.cancelable),
      composed: Boolean(init.composed),
    };
    this.#timeStampMs = sinceStartMs();
  }

  get type(): string {
    return this.#type;
  }
  get target(): EventTarget | null {
    return this.#target;
  }
  get srcElement(): EventTarget | null {
    return this.#target;
  }
  get currentTarget(): EventTarget | null {
    return this.#currentTarget;
  }
  get eventPhase(): number {
    return this.#phase;
  }
  get bubbles(): boolean {
    return this.#init.bubbles;
  }
  get cancelable(): boolean {
    return this.#init.cancelable;
  }
  get composed(): boolean {
    return this.#init.composed;
  }
  get defaultPrevented(): boolean {
    return this.#canceled;
  }
  /** False: nothing in the sandbox fires events but the program and its AbortSignals. */
  get isTrusted(): boolean {
    return false;
  }
  get timeStamp(): number {
    return this.#timeStampMs;
  }

  preventDefault(): void {
    if (this.#init.cancelable && !this.#passive) this.#canceled = true;
  }
  /** Without a tree there is nowhere to propagate to. */
  stopPropagation(): void {}
  stopImmediatePropagation(): void {
    this.#stopped = true;
  }
  composedPath(): EventTarget[] {
    return this.#currentTarget === null ? [] : [this.#currentTarget];
  }
}

export class CustomEvent<T = unknown> extends Event {
  readonly #detail: T | null;

  constructor(type: string, init: EventInit & { readonly detail?: T } = {}) {
    super(type, init);
    this.#detail = init.detail ?? null;
  }

  get detail(): T | null {
    return this.#detail;
  }
}

type Listener = ((this: EventTarget, event: Event) => unknown) | { handleEvent(event: Event): unknown };

export interface ListenerOptions {
  readonly capture?: boolean;
  readonly once?: boolean;
  readonly passive?: boolean;
  readonly signal?: EventTarget & { readonly aborted: boolean };
}

interface Registration {
  readonly type: string;
  readonly listener: Listener;
  readonly capture: boolean;
  readonly once: boolean;
  readonly passive: boolean;
  removed: boolean;
}

/** What a listener throws must not keep the event from the others: it fails the process as an unhandled rejection does. */
export function reportError(error: unknown): void {
  void rejectPromise(error);
}

/** For signals that follow others: whether anybody listens to a target, and word of every change of its listeners. */
export let hasListener: (target: EventTarget, type: string) => boolean;
let listenersChanged: (target: EventTarget) => void = () => undefined;

export function onListenersChanged(told: (target: EventTarget) => void): void {
  listenersChanged = told;
}

export class EventTarget {
  /** Never changed in place, so that a dispatch under way sees the listeners it began with. */
  #registrations: readonly Registration[] = [];

  static {
    hasListener = (target, type) => {
      for (let index = 0; index < target.#registrations.length; index++) {
        if (target.#registrations[index]!.type === type) return true;
      }
      return false;
    };
  }

  addEventListener(type: string, listener: Listener | null, options: ListenerOptions | boolean = {}): void {
    const { capture, once, passive, signal } = typeof options === "boolean" ? { capture: options } : (options ?? {});
    if (listener === null || listener === undefined || signal?.aborted === true) return;
    if (typeof listener !== "function" && typeof listener !== "object") {
      throw new TypeError(`addEventListener takes a function or an object, not a ${typeof listener}.`);
    }
    const wanted = { type: String(type), listener, capture: Boolean(capture) };
    if (this.#find(wanted) !== undefined) return;
    const registration = { ...wanted, once: Boolean(once), passive: Boolean(passive), removed: false };
    this.#registrations = appended(this.#registrations, registration);
    listenersChanged(this);
    signal?.addEventListener("abort", () => this.#remove(registration), { once: true });
  }

  removeEventListener(type: string, listener: Listener | null, options: ListenerOptions | boolean = {}): void {
    if (listener === null || listener === undefined) return;
    const capture = typeof options === "boolean" ? options : Boolean(options?.capture);
    const found = this.#find({ type: String(type), listener, capture });
    if (found !== undefined) this.#remove(found);
  }

  /** Calls the listeners in order. False if one of them prevented the default. */
  dispatchEvent(event: Event): boolean {
    if (!(event instanceof Event)) throw new TypeError("dispatchEvent takes an Event.");
    if (!beginDispatch(event, this)) throw new Error("The event is already being dispatched.");
    setDispatch(event, this, phaseAtTarget);
    const registrations = this.#registrations;
    for (let index = 0; index < registrations.length && !isStopped(event); index++) {
      const registration = registrations[index]!;
      if (!registration.removed && registration.type === event.type) this.#call(registration, event);
    }
    setDispatch(event, null, phaseNone);
    return !event.defaultPrevented;
  }

  #call(registration: Registration, event: Event): void {
    if (registration.once) this.#remove(registration);
    setPassive(event, registration.passive);
    try {
      const { listener } = registration;
      if (typeof listener === "function") reflectApply(listener, this, [event]);
      else listener.handleEvent(event);
    } catch (error) {
      reportError(error);
    }
    setPassive(event, false);
  }

  #find(wanted: Pick<Registration, "type" | "listener" | "capture">): Registration | undefined {
    for (let index = 0; index < this.#registrations.length; index++) {
      const { type, listener, capture } = this.#registrations[index]!;
      if (type === wanted.type && listener === wanted.listener && capture === wanted.capture) {
        return this.#registrations[index];
      }
    }
    return undefined;
  }

  #remove(registration: Registration): void {
    registration.removed = true;
    this.#registrations = without(this.#registrations, registration);
    listenersChanged(this);
  }
}
