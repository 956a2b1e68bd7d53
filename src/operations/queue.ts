/**
 * Who runs next. Every operation has a **lane**, and a lane has **rows**, one for each key (or for each calling process where an
 * operation has no key), first in, first out. Lanes take turns for the slots of the node, and the rows of a lane for its slots. So
 * a flood of one operation delays another by one slot a round, not by the length of the flood; and so does a flood of one
 * process, or of one customer. A row or lane at a limit of its own stands aside meanwhile.
 *
 * Everything takes constant time, but for a logarithm of how many rows wait for a token. A row without anybody in it
 * is kept as long as it owes tokens, and no longer.
 */
import type { Clock } from "../base/ports.ts";
import { Line, Schedule } from "./line.ts";
import type { Linked } from "./line.ts";
import { Bucket } from "./rate.ts";
import type { Rate } from "./rate.ts";

/** How many may hold a slot at once, and how many may get one in a time. */
export interface Limits {
  readonly concurrency: number;
  readonly rate?: Rate | undefined;
}

export interface LaneLimits extends Limits {
  /** Of each row. Default: none. */
  readonly perRow?: Limits | undefined;
}

const unlimited: Limits = { concurrency: Infinity };

/** Rows that wait for nothing but to be forgotten are not worth a timer each: it is done at whole multiples of this. */
const forgetEachMs = 1000;
/** How long a wait goes by without a look at the clock: it may be set. */
const longestRestMs = 60_000;

export class Lane<T> implements Linked<Lane<T>> {
  readonly limits: LaneLimits;
  readonly rowLimits: Limits;
  readonly bucket: Bucket | undefined;
  readonly rows: Map<string, Row<T>> = new Map();
  /** Rows with somebody who may go, in the order of their turns. */
  readonly ready: Line<Row<T>> = new Line();
  /** Rows with somebody who has to wait for a token of theirs. */
  readonly waiting: Schedule<Row<T>> = new Schedule();
  /** Rows with nobody, in the order in which they can be forgotten. */
  readonly idle: Line<Row<T>> = new Line();
  active = 0;
  timer: { readonly dueMs: number; readonly cancel: () => void } | undefined;
  /** The ring of lanes, if it has somebody who may go. */
  line: Line<Lane<T>> | undefined;
  previous: Lane<T> | undefined;
  next: Lane<T> | undefined;

  constructor(limits: LaneLimits) {
    this.limits = limits;
    this.rowLimits = limits.perRow ?? unlimited;
    this.bucket = limits.rate === undefined ? undefined : new Bucket(limits.rate);
  }
}

class Row<T> implements Linked<Row<T>> {
  readonly lane: Lane<T>;
  readonly key: string;
  readonly tickets: Line<Ticket<T>> = new Line();
  readonly bucket: Bucket | undefined;
  active = 0;
  /** It is in its lane's `waiting`. */
  scheduled = false;
  /** When it can be forgotten, if it is in its lane's `idle`. */
  forgetAtMs = 0;
  /** Its lane's `ready` or `idle`. */
  line: Line<Row<T>> | undefined;
  previous: Row<T> | undefined;
  next: Row<T> | undefined;

  constructor(lane: Lane<T>, key: string) {
    this.lane = lane;
    this.key = key;
    const { rate } = lane.rowLimits;
    this.bucket = rate === undefined ? undefined : new Bucket(rate);
  }
}

/** One item's place: it waits in its row, holds a slot, or is gone. */
export class Ticket<T> implements Linked<Ticket<T>> {
  readonly item: T;
  readonly row: Row<T>;
  state: "waiting" | "active" | "gone" = "waiting";
  line: Line<Ticket<T>> | undefined;
  previous: Ticket<T> | undefined;
  next: Ticket<T> | undefined;

  constructor(item: T, row: Row<T>) {
    this.item = item;
    this.row = row;
  }
}

export class FairQueue<T> {
  readonly #limit: number;
  readonly #clock: Clock;
  readonly #onReady: () => void;
  readonly #ring = new Line<Lane<T>>();
  /** Lanes with a timer. */
  readonly #timed = new Set<Lane<T>>();
  #active = 0;
  #waiting = 0;
  /** Time that never goes back, from 0: what the clock showed last, and how far it has been from that time. */
  #shownMs: number;
  #aheadMs: number;

  /** `limit` is how many items may hold a slot at once, over all lanes. `onReady`: by the time that has passed, `take` may have something. */
  constructor(limit: number, clock: Clock, onReady: () => void) {
    this.#limit = limit;
    this.#clock = clock;
    this.#onReady = onReady;
    this.#shownMs = clock.nowMs();
    this.#aheadMs = this.#shownMs;
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
    return this.#ring.head !== undefined && this.#active < this.#limit;
  }

  lane(limits: LaneLimits): Lane<T> {
    return new Lane(limits);
  }

  /** Puts an item at the end of the row of that key. */
  push(lane: Lane<T>, key: string, item: T): Ticket<T> {
    let row = lane.rows.get(key);
    if (row === undefined) {
      row = new Row(lane, key);
      lane.rows.set(key, row);
    }
    const ticket = new Ticket(item, row);
    row.tickets.push(ticket);
    this.#waiting++;
    this.#place(row);
    return ticket;
  }

  /** Gives a slot to the next item, if one may have it. */
  take(): T | undefined {
    if (this.#active >= this.#limit) return undefined;
    // Whoever stands in the ring may go: what changes that takes him out.
    const lane = this.#ring.shift();
    const row = lane?.ready.shift();
    const ticket = row?.tickets.shift();
    if (lane === undefined || row === undefined || ticket === undefined) return undefined;
    ticket.state = "active";
    this.#waiting--;
    this.#active++;
    lane.active++;
    row.active++;
    lane.bucket?.take(this.#nowMs());
    row.bucket?.take(this.#nowMs());
    this.#place(row);
    return ticket.item;
  }

  /** The item is through, or no longer wanted: frees its slot, or its place in the row. */
  remove(ticket: Ticket<T>): void {
    const { row, state } = ticket;
    if (state === "gone") return;
    ticket.state = "gone";
    if (state === "waiting") {
      row.tickets.remove(ticket);
      this.#waiting--;
    } else {
      this.#active--;
      row.active--;
      row.lane.active--;
    }
    this.#place(row);
  }

  /** No time passes any more. */
  close(): void {
    for (const { timer } of this.#timed) timer?.cancel();
    this.#timed.clear();
  }

  /** If the clock was set back, it is `atLeastMs`: so much is known to have passed. */
  #nowMs(atLeastMs = 0): number {
    const shownMs = this.#clock.nowMs();
    if (shownMs < this.#shownMs) this.#aheadMs = shownMs - Math.max(this.#shownMs - this.#aheadMs, atLeastMs);
    this.#shownMs = shownMs;
    return shownMs - this.#aheadMs;
  }

  /** Puts a row, and its lane, where they belong now. */
  #place(row: Row<T>): void {
    const { lane } = row;
    if (row.tickets.head === undefined) this.#placeEmpty(row);
    else if (row.active >= lane.rowLimits.concurrency) row.line?.remove(row);
    else if (row.bucket !== undefined && row.bucket.readyAtMs() > this.#nowMs()) {
      row.line?.remove(row);
      this.#schedule(row, row.bucket.readyAtMs());
    } else if (row.line !== lane.ready) {
      row.line?.remove(row);
      lane.ready.push(row);
    }
    this.#list(lane);
  }

  #placeEmpty(row: Row<T>): void {
    const { lane, bucket } = row;
    if (row.line === lane.idle) return;
    row.line?.remove(row);
    // Whoever is scheduled comes here again when its time has come.
    if (row.active > 0 || row.scheduled) return;
    const { rate } = lane.rowLimits;
    if (rate === undefined || bucket === undefined || bucket.isFull(this.#nowMs())) {
      lane.rows.delete(row.key);
      return;
    }
    // The same for all rows, so that the line is in the order of the times.
    row.forgetAtMs = this.#nowMs() + Bucket.refillMs(rate);
    lane.idle.push(row);
  }

  #schedule(row: Row<T>, atMs: number): void {
    if (row.scheduled) return;
    row.scheduled = true;
    row.lane.waiting.add(atMs, row);
  }

  /** A lane stands in the ring when it has a row that may go and a slot and a token of its own to give. */
  #list(lane: Lane<T>): void {
    const hasReady = lane.ready.head !== undefined && lane.active < lane.limits.concurrency;
    const mayGo = hasReady && (lane.bucket === undefined || lane.bucket.readyAtMs() <= this.#nowMs());
    if (mayGo && lane.line === undefined) this.#ring.push(lane);
    else if (!mayGo) lane.line?.remove(lane);
    this.#setTimer(lane, hasReady && !mayGo);
  }

  /** One timer at most for a lane: for whoever comes first of those that wait for time to pass. */
  #setTimer(lane: Lane<T>, needsToken: boolean): void {
    let dueMs = lane.waiting.nextAtMs ?? Infinity;
    if (needsToken && lane.bucket !== undefined) dueMs = Math.min(dueMs, lane.bucket.readyAtMs());
    const idle = lane.idle.head;
    if (idle !== undefined) dueMs = Math.min(dueMs, Math.ceil(idle.forgetAtMs / forgetEachMs) * forgetEachMs);
    if (dueMs === (lane.timer?.dueMs ?? Infinity)) return;
    lane.timer?.cancel();
    lane.timer = undefined;
    if (dueMs === Infinity) {
      this.#timed.delete(lane);
      return;
    }
    // Rounded up: nothing would have changed before.
    const nowMs = this.#nowMs();
    const restMs = Math.min(Math.max(Math.ceil(dueMs - nowMs), 1), longestRestMs);
    lane.timer = { dueMs, cancel: this.#clock.after(restMs, () => this.#wake(lane, nowMs + restMs)) };
    this.#timed.add(lane);
  }

  #wake(lane: Lane<T>, atLeastMs: number): void {
    const nowMs = this.#nowMs(atLeastMs);
    lane.timer = undefined;
    this.#timed.delete(lane);
    const due: Row<T>[] = [];
    for (let row = lane.waiting.take(nowMs); row !== undefined; row = lane.waiting.take(nowMs)) {
      row.scheduled = false;
      due.push(row);
    }
    for (const row of due) this.#place(row);
    for (let row = lane.idle.head; row !== undefined && row.forgetAtMs <= nowMs; row = lane.idle.head) {
      lane.idle.remove(row);
      lane.rows.delete(row.key);
    }
    this.#list(lane);
    this.#onReady();
  }
}
