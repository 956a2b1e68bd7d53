/** Compares what happened with what a case expects. */
import type { ExpectedEvent, Outcome, PlainEvent } from "./format.ts";

/** JSON equality: the order of keys does not matter. */
export function equal(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [Object.entries(a), new Map(Object.entries(b))];
  return left.length === right.size && left.every(([key, value]) => right.has(key) && equal(value, right.get(key)));
}

/** A place in a list of expected events, and where it holds parallel ones, a place in each of their lanes. */
class Cursor {
  readonly #expected: readonly ExpectedEvent[];
  #index = 0;
  #lanes: readonly Cursor[] | undefined;

  constructor(expected: readonly ExpectedEvent[]) {
    this.#expected = expected;
    this.#settle();
  }

  get isDone(): boolean {
    return this.#index === this.#expected.length;
  }

  /** The events that may come next. */
  get next(): PlainEvent[] {
    if (this.#lanes !== undefined) return this.#lanes.flatMap((lane) => lane.next);
    const event = this.#expected[this.#index];
    return event === undefined ? [] : [event as PlainEvent];
  }

  /** Every event comes once in a run, so at most one lane can take it. */
  take(actual: PlainEvent): boolean {
    if (this.#lanes === undefined) {
      if (!equal(this.#expected[this.#index], actual)) return false;
      this.#index++;
    } else if (!this.#lanes.some((lane) => lane.take(actual))) {
      return false;
    }
    this.#settle();
    return true;
  }

  /** Passes over what is done, and opens the lanes of what comes next. */
  #settle(): void {
    for (;;) {
      if (this.#lanes?.every((lane) => lane.isDone) === true) {
        this.#lanes = undefined;
        this.#index++;
      }
      const event = this.#expected[this.#index];
      if (this.#lanes !== undefined || event?.ev !== "parallel") return;
      this.#lanes = event.lanes.map((lane) => new Cursor(lane));
    }
  }
}

/** What differs, for people; undefined if nothing does. */
export function compareEvents(expected: readonly ExpectedEvent[], actual: readonly PlainEvent[]): string | undefined {
  const cursor = new Cursor(expected);
  for (const event of actual) {
    if (cursor.take(event)) continue;
    const wanted = cursor.next.map((candidate) => JSON.stringify(candidate));
    return wanted.length === 0
      ? `unexpected ${JSON.stringify(event)}`
      : `expected ${wanted.join(" or ")}, got ${JSON.stringify(event)}`;
  }
  return cursor.isDone ? undefined : `missing ${cursor.next.map((event) => JSON.stringify(event)).join(" and ")}`;
}

/**
 * The same where processes live on several nodes: what is heard of one process keeps its order, what is heard of two has none, since it
 * comes from different senders.
 */
export function compareAcross(expected: readonly ExpectedEvent[], actual: readonly PlainEvent[]): string | undefined {
  const wanted = byChild(expected.flatMap((event) => flat(event)));
  const got = byChild(actual);
  for (const child of new Set([...wanted.keys(), ...got.keys()])) {
    const problem = compareEvents(wanted.get(child) ?? [], got.get(child) ?? []);
    if (problem !== undefined) return `of ${child}: ${problem}`;
  }
  return undefined;
}

function flat(event: ExpectedEvent): PlainEvent[] {
  return event.ev === "parallel" ? event.lanes.flat().flatMap((each) => flat(each)) : [event];
}

function byChild(events: readonly PlainEvent[]): Map<string, PlainEvent[]> {
  const children = new Map<string, PlainEvent[]>();
  for (const event of events) {
    children.set(event.who, [...(children.get(event.who) ?? []), event]);
  }
  return children;
}

export function compareOutcome(
  expected: Outcome<ExpectedEvent>,
  actual: Outcome<PlainEvent>,
  across = false,
): string | undefined {
  const events = (across ? compareAcross : compareEvents)(expected.events, actual.events);
  if (events !== undefined) return `events: ${events}`;
  for (const field of ["result", "results", "skipped", "tree"] as const) {
    const [wanted, got] = [expected[field], actual[field]];
    if (!equal(wanted, got)) return `${field}: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`;
  }
  return undefined;
}
