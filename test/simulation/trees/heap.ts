/** The heap of a process in a tree: everything it knows, as data. */
import type { Pid, TimerClock } from "../../../src/journal/types.ts";

export interface Heap {
  readonly pid: Pid;
  parent: Pid;
  started: boolean;
  exited: boolean;
  /** State of its random generator. */
  random: number;
  /** How many things it may still do. */
  fuel: number;
  depth: number;
  life: number;
  /** Numbers it has given out in this life: to messages, operations, timers, monitors and children. */
  count: number;
  traps: boolean;
  /** Processes it may concern itself with. */
  known: Pid[];
  /** Links that it knows of. */
  links: Pid[];
  monitors: Record<number, Pid>;
  /** Pending ones, by number; with the process a kernel's operation is about. */
  operations: Record<number, { readonly name: string; readonly site: number; readonly pid: Pid }>;
  timers: Record<number, { readonly clock: TimerClock; readonly dueMs: number }>;
  /** Numbers that have come to their end, and those that were taken back. */
  readonly settled: number[];
  readonly takenBack: number[];
  /** The last number each other process gave to what it sent. */
  readonly last: Record<Pid, number>;
  /** Messages that it has not taken yet, by the number that the kernel knows them by. */
  mailbox: { readonly number: number; readonly known: Pid }[];
  /** Children that failed and wait for its word. */
  crashed: Pid[];
  /** A digest of all that it was given. */
  heard: number;
  /** Its last turn ended with a checkpoint. */
  fresh: boolean;
}

export function newHeap(pid: Pid): Heap {
  return {
    pid,
    parent: "",
    started: false,
    exited: false,
    random: 1,
    fuel: 0,
    depth: 0,
    life: 1,
    count: 0,
    traps: false,
    known: [pid],
    links: [],
    monitors: {},
    operations: {},
    timers: {},
    settled: [],
    takenBack: [],
    last: {},
    mailbox: [],
    crashed: [],
    heard: 0,
    fresh: false,
  };
}

/** Numbers of one life lie above those of the lives before. */
export function nextNumber(heap: Heap): number {
  return numbersOf(heap.life) + ++heap.count;
}

/** Where the numbers of a life begin. */
export function numbersOf(life: number): number {
  return life > 1 ? life * 1e9 : 0;
}

/** In [0, 1): the generator known as mulberry32. */
export function unit(heap: Heap): number {
  heap.random = (heap.random + 0x6d2b79f5) | 0;
  let mixed = Math.imul(heap.random ^ (heap.random >>> 15), 1 | heap.random);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}

export function pick<T>(heap: Heap, items: readonly T[]): T {
  return items[Math.floor(unit(heap) * items.length)] as T;
}

export function seedOf(bytes: Uint8Array): number {
  return bytes.slice(0, 4).reduce((sum, byte) => (sum << 8) | byte, 0);
}

const mostKnown = 12;

export function learn(heap: Heap, pid: Pid): void {
  if (pid === "" || heap.known.includes(pid)) return;
  if (heap.known.length < mostKnown) heap.known.push(pid);
  else heap.known[Math.floor(unit(heap) * mostKnown)] = pid;
}
