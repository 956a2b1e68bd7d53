/** What queues are made of: lines that can be left in the middle, and a heap of times. Neither is ever searched. */

/** Stands in one line at most. */
export interface Linked<T extends Linked<T>> {
  previous: T | undefined;
  next: T | undefined;
  line: Line<T> | undefined;
}

/** First in, first out; whoever no longer wants to wait steps out at once. */
export class Line<T extends Linked<T>> {
  #head: T | undefined;
  #tail: T | undefined;

  get head(): T | undefined {
    return this.#head;
  }

  push(item: T): void {
    item.line = this;
    item.previous = this.#tail;
    item.next = undefined;
    if (this.#tail === undefined) this.#head = item;
    else this.#tail.next = item;
    this.#tail = item;
  }

  shift(): T | undefined {
    const item = this.#head;
    if (item !== undefined) this.remove(item);
    return item;
  }

  /** `item` stands in this line. */
  remove(item: T): void {
    const { previous, next } = item;
    if (previous === undefined) this.#head = next;
    else previous.next = next;
    if (next === undefined) this.#tail = previous;
    else next.previous = previous;
    item.previous = undefined;
    item.next = undefined;
    item.line = undefined;
  }
}

interface Entry<T> {
  readonly atMs: number;
  /** Of two with one time, who came first. */
  readonly order: number;
  readonly item: T;
}

/** Gives out the earliest first. */
export class Schedule<T> {
  readonly #entries: Entry<T>[] = [];
  #order = 0;

  get nextAtMs(): number | undefined {
    return this.#entries[0]?.atMs;
  }

  add(atMs: number, item: T): void {
    const entries = this.#entries;
    const entry = { atMs, order: this.#order++, item };
    let at = entries.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = entries[parent]!;
      if (isBefore(above, entry)) break;
      entries[at] = above;
      at = parent;
    }
    entries[at] = entry;
  }

  /** The earliest item, if its time has come. */
  take(nowMs: number): T | undefined {
    const entries = this.#entries;
    const first = entries[0];
    if (first === undefined || first.atMs > nowMs) return undefined;
    const last = entries.pop()!;
    if (entries.length > 0) this.#sink(last);
    return first.item;
  }

  #sink(entry: Entry<T>): void {
    const entries = this.#entries;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && isBefore(entries[child + 1]!, entries[child]!)) child++;
      const below = entries[child]!;
      if (isBefore(entry, below)) break;
      entries[at] = below;
      at = child;
    }
    entries[at] = entry;
  }
}

function isBefore(one: Entry<unknown>, other: Entry<unknown>): boolean {
  return one.atMs === other.atMs ? one.order < other.order : one.atMs < other.atMs;
}
