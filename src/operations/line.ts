/** What queues are made of: lines that can be left in the middle, and a heap of times. Neither is ever searched. */
import { Heap } from "../base/heap.ts";

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
  readonly #entries = new Heap<Entry<T>>(isBefore);
  #order = 0;

  get nextAtMs(): number | undefined {
    return this.#entries.peek()?.atMs;
  }

  add(atMs: number, item: T): void {
    this.#entries.push({ atMs, order: this.#order++, item });
  }

  /** The earliest item, if its time has come. */
  take(nowMs: number): T | undefined {
    const { nextAtMs } = this;
    return nextAtMs === undefined || nextAtMs > nowMs ? undefined : this.#entries.pop()?.item;
  }
}

function isBefore(one: Entry<unknown>, other: Entry<unknown>): boolean {
  return one.atMs === other.atMs ? one.order < other.order : one.atMs < other.atMs;
}
