/**
 * Virtual time. Everything that happens is an event; events are ordered by time, then by when they were asked for. Between
 * two events all microtasks run.
 */

/** What an event belongs to: with the end of its scope it is off. */
export interface Scope {
  ended: boolean;
  /** What would have happened meanwhile, while it is stopped. */
  stopped?: TimelineEvent[] | undefined;
}

export interface TimelineEvent {
  readonly atMs: number;
  readonly order: number;
  readonly scope: Scope | undefined;
  fn: (() => void) | undefined;
}

/** The wall clock of every machine when a run begins. */
const epochMs = 1_750_000_000_000;

export class Timeline {
  readonly #heap: TimelineEvent[] = [];
  #order = 0;
  /** Time that passes, from 0. */
  nowMs = 0;
  /** Events that happened. */
  steps = 0;
  /** How far the wall clock has been set forward or back. */
  offsetMs = 0;
  highestOffsetMs = 0;
  jumped = false;
  jumpedBack = false;

  /** What clocks show. */
  get wallMs(): number {
    return epochMs + this.nowMs + this.offsetMs;
  }

  jump(byMs: number): void {
    this.offsetMs += byMs;
    this.highestOffsetMs = Math.max(this.highestOffsetMs, this.offsetMs);
    if (byMs !== 0) this.jumped = true;
    if (byMs < 0) this.jumpedBack = true;
  }

  /** Calls `fn` after `delayMs`. Returns a function that takes it back. */
  after(delayMs: number, fn: () => void, scope?: Scope): () => void {
    const event: TimelineEvent = { atMs: this.nowMs + Math.max(0, delayMs), order: this.#order++, scope, fn };
    this.#push(event);
    return () => {
      event.fn = undefined;
    };
  }

  /** From now on nothing of the scope happens. */
  stop(scope: Scope): void {
    scope.stopped ??= [];
  }

  /** It goes on, and all that was due meanwhile happens now, in its order. */
  goOn(scope: Scope): void {
    const missed = scope.stopped ?? [];
    scope.stopped = undefined;
    for (const event of missed) {
      if (event.fn === undefined) continue;
      // Whoever has it may take it back still.
      this.after(0, () => event.fn?.(), scope);
    }
  }

  /** Lets the next event happen. False if there is none. */
  step(): boolean {
    for (let event = this.#pop(); event !== undefined; event = this.#pop()) {
      if (event.fn === undefined || event.scope?.ended === true) continue;
      if (event.scope?.stopped !== undefined) {
        event.scope.stopped.push(event);
        continue;
      }
      this.nowMs = event.atMs;
      this.steps++;
      event.fn();
      return true;
    }
    return false;
  }

  #push(event: TimelineEvent): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as TimelineEvent;
      if (before(above, event)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): TimelineEvent | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as TimelineEvent, heap[child] as TimelineEvent)) child++;
      const below = heap[child] as TimelineEvent;
      if (before(last, below)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

function before(a: TimelineEvent, b: TimelineEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
