/**
 * Who runs next. Every operation has a **lane**: first in, first out, with a limit of its own. Lanes take turns for the slots
 * of the whole, so that a flood of one operation delays another by one slot a round, not by the length of the flood.
 */

export interface Lane<T> {
  /** How many of this lane may hold a slot at once. */
  readonly limit: number;
  active: number;
  head: Ticket<T> | undefined;
  tail: Ticket<T> | undefined;
  /** It stands in the ring of lanes. It may stand there in vain: then its turn passes. */
  listed: boolean;
}

/** One item's place: it waits in its lane, holds a slot, or is gone. */
export interface Ticket<T> {
  readonly item: T;
  readonly lane: Lane<T>;
  state: "waiting" | "active" | "gone";
  previous: Ticket<T> | undefined;
  next: Ticket<T> | undefined;
}

export class FairQueue<T> {
  readonly #limit: number;
  /** Lanes in the order of their turns. Few: one per operation that has waited lately. */
  readonly #ring: Lane<T>[] = [];
  #active = 0;
  #waiting = 0;

  /** `limit` is how many items may hold a slot at once, over all lanes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Items that hold a slot. */
  get active(): number {
    return this.#active;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** False: `take` has nothing to give. True: it may have. */
  get ready(): boolean {
    return this.#ring.length > 0 && this.#active < this.#limit;
  }

  lane(limit: number): Lane<T> {
    return { limit, active: 0, head: undefined, tail: undefined, listed: false };
  }

  /** Puts an item at the end of its lane. */
  push(lane: Lane<T>, item: T): Ticket<T> {
    const ticket: Ticket<T> = { item, lane, state: "waiting", previous: lane.tail, next: undefined };
    if (lane.tail === undefined) lane.head = ticket;
    else lane.tail.next = ticket;
    lane.tail = ticket;
    this.#waiting++;
    this.#list(lane);
    return ticket;
  }

  /** Gives a slot to the next item, if one may have it. */
  take(): T | undefined {
    while (this.#active < this.#limit) {
      const lane = this.#ring.shift();
      if (lane === undefined) return undefined;
      lane.listed = false;
      const ticket = lane.head;
      // Those that made it stand in the ring were removed. Its limit cannot have been reached: only a take raises `active`.
      if (ticket === undefined) continue;
      this.#unlink(ticket);
      ticket.state = "active";
      lane.active++;
      this.#active++;
      this.#list(lane);
      return ticket.item;
    }
    return undefined;
  }

  /** The item is through, or no longer wanted: frees its slot, or its place in the lane. */
  remove(ticket: Ticket<T>): void {
    const was = ticket.state;
    if (was === "waiting") this.#unlink(ticket);
    ticket.state = "gone";
    if (was !== "active") return;
    ticket.lane.active--;
    this.#active--;
    this.#list(ticket.lane);
  }

  /** A lane stands in the ring when it has someone waiting and a slot of its own to give. */
  #list(lane: Lane<T>): void {
    if (lane.listed || lane.head === undefined || lane.active >= lane.limit) return;
    lane.listed = true;
    this.#ring.push(lane);
  }

  #unlink(ticket: Ticket<T>): void {
    const { lane, previous, next } = ticket;
    if (previous === undefined) lane.head = next;
    else previous.next = next;
    if (next === undefined) lane.tail = previous;
    else next.previous = previous;
    ticket.previous = undefined;
    ticket.next = undefined;
    this.#waiting--;
  }
}
