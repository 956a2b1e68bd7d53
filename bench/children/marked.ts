/** A node that runs `programs/marked.ts` and knows when each step of each process was called. */
import { Engine } from "perdure/engine";
import { serve } from "../child.ts";
import { programFile } from "../harness.ts";
import { hooks } from "../programs/marks.ts";

/** When a step was called, in ms and µs of this operating system process. */
export interface Mark {
  readonly step: number;
  readonly atMs: number;
  readonly cpuMicros: number;
}

/** What opening a store cost, from the call of `Engine.open`. */
export interface Resumed {
  readonly openMs: number;
  /** To the first call of a host function: the operation that was pending, issued again. */
  readonly firstMs: number;
  /** To the call of an operation the process had not come to yet: by then its heap is back. */
  readonly nextMs: number;
}

/** Steps between two marks that are kept. */
const markEvery = 1_000;

interface Process {
  last: number;
  readonly marks: Mark[];
  /** This step and later ones wait. */
  holdAt: number;
  release: () => void;
  waiters: { readonly step: number; readonly resolve: (mark: Mark) => void }[];
}

let engine: Engine | undefined;
const processes = new Map<string, Process>();

function processOf(label: string): Process {
  let process = processes.get(label);
  if (process === undefined) {
    process = { last: -1, marks: [], holdAt: Infinity, release: () => undefined, waiters: [] };
    processes.set(label, process);
  }
  return process;
}

function now(step: number): Mark {
  const { user, system } = process.cpuUsage();
  return { step, atMs: performance.now(), cpuMicros: user + system };
}

hooks.onStep = (label, step) => {
  const process = processOf(label);
  process.last = step;
  if (step % markEvery === 0) process.marks.push(now(step));
  if (process.waiters.length > 0) {
    const reached = process.waiters.filter((waiter) => step >= waiter.step);
    process.waiters = process.waiters.filter((waiter) => step < waiter.step);
    for (const { resolve } of reached) resolve(now(step));
  }
  return step < process.holdAt ? undefined : new Promise((resolve) => (process.release = resolve));
};

function reaches(label: string, step: number): Promise<Mark> {
  const process = processOf(label);
  return new Promise((resolve) => process.waiters.push({ step, resolve }));
}

async function open(store: string): Promise<number> {
  const before = performance.now();
  engine = await Engine.open({ store, program: programFile("marked") });
  return performance.now() - before;
}

const methods = {
  open,

  /** Opens the store of a node that was killed. The process goes on for `steps` steps and is held then. */
  resume: async (store: string, label: string, steps: number): Promise<Resumed> => {
    const before = performance.now();
    const first = reaches(label, 0);
    const opening = open(store);
    const { atMs: firstAtMs, step } = await first;
    processOf(label).holdAt = step + steps;
    const next = await reaches(label, step + 1);
    await methods.reach(label, step + steps);
    return { openMs: await opening, firstMs: firstAtMs - before, nextMs: next.atMs - before };
  },

  start: async (label: string, steps: number): Promise<void> =>
    void (await engine?.start("marked", [label, steps], { id: label })),

  /** From this step on the process waits in its operation. */
  hold: (label: string, step: number): void => void (processOf(label).holdAt = step),

  /** Lets a held process go on, up to this step. */
  goOn: (label: string, holdAt: number): void => {
    processOf(label).holdAt = holdAt;
    processOf(label).release();
  },

  /** Waits until the process has called this step. */
  reach: async (label: string, step: number): Promise<void> => {
    if (processOf(label).last < step) await reaches(label, step);
  },

  /** Lets a held process go on, for `steps` steps, and tells what they took. */
  advance: async (label: string, steps: number): Promise<{ elapsedMs: number; cpuMicros: number }> => {
    const process = processOf(label);
    const from = now(process.last);
    process.holdAt = process.last + steps;
    const arrival = reaches(label, process.holdAt);
    process.release();
    const to = await arrival;
    return { elapsedMs: to.atMs - from.atMs, cpuMicros: to.cpuMicros - from.cpuMicros };
  },

  /** Lets a held process go to its end. */
  finish: async (label: string): Promise<void> => {
    const process = processOf(label);
    process.holdAt = Infinity;
    process.release();
    await engine?.get(label).result();
  },

  marks: (label: string): readonly Mark[] => processOf(label).marks,

  close: async (): Promise<void> => {
    await engine?.close();
  },
};

export type MarkedMethods = typeof methods;
serve(methods);
