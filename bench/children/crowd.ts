/** A node with a crowd of processes that never stop stepping, and others that misbehave. */
import { Engine } from "perdure/engine";
import type { ProcessHandle } from "perdure/engine";
import { serve } from "../child.ts";
import { pause, programFile } from "../harness.ts";
import { hooks } from "../programs/marks.ts";

/** From one step of a process to its next, in ms. */
export interface Gaps {
  readonly all: Float64Array;
  /** For each process, the longest for which it got no step. */
  readonly longestOfEach: readonly number[];
  /** The longest for which no process got a step. */
  readonly longestSilenceMs: number;
}

export interface Hang extends Gaps {
  /** How the process that hung its thread ended, and how long after its last sign of life. */
  readonly reason: string;
  readonly endedMs: number;
}

/** What belongs to the crowd has labels that begin so. */
const crowdPrefix = "crowd ";
const settleMs = 200;

let engine: Engine | undefined;
let gaps: number[] = [];
let longestOf = new Map<string, number>();
let longestSilenceMs = 0;
let lastMs = 0;
let names = 0;
const lastOf = new Map<string, number>();
const arrivals = new Map<string, (atMs: number) => void>();
/** While it is there the crowd waits. */
let barrier: { readonly open: Promise<void>; readonly lift: () => void } | undefined;

hooks.onStep = (label) => {
  const nowMs = performance.now();
  if (!label.startsWith(crowdPrefix)) return arrivals.get(label)?.(nowMs);
  const gapMs = nowMs - (lastOf.get(label) ?? nowMs);
  gaps.push(gapMs);
  longestOf.set(label, Math.max(gapMs, longestOf.get(label) ?? 0));
  longestSilenceMs = Math.max(longestSilenceMs, nowMs - lastMs);
  lastMs = nowMs;
  lastOf.set(label, nowMs);
  return barrier?.open;
};

function begin(): void {
  gaps = [];
  longestOf = new Map();
  longestSilenceMs = 0;
  lastMs = performance.now();
  for (const label of lastOf.keys()) lastOf.set(label, lastMs);
}

/** A process that has not come back by the end has a gap too: as long as it is by now. */
function end(): Gaps {
  const nowMs = performance.now();
  const longestOfEach = [...lastOf].map(([label, atMs]) => Math.max(nowMs - atMs, longestOf.get(label) ?? 0));
  return { all: Float64Array.from(gaps), longestOfEach, longestSilenceMs: Math.max(longestSilenceMs, nowMs - lastMs) };
}

function opened(): Engine {
  if (engine === undefined) throw new Error("the engine is not open");
  return engine;
}

/** Starts a process and waits for its first step. */
async function arrive(entry: string): Promise<{ readonly handle: ProcessHandle; readonly atMs: number }> {
  const label = `${entry} ${names++}`;
  const arrival = new Promise<number>((resolve) => arrivals.set(label, resolve));
  const handle = await opened().start(entry, [label, 1]);
  return { handle, atMs: await arrival };
}

/** Does `work` while the crowd waits, and lets it settle again. */
async function whileHeld<T>(work: () => Promise<T>): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<void>();
  barrier = { open: promise, lift: resolve };
  await pause(settleMs);
  const result = await work();
  barrier = undefined;
  resolve();
  return result;
}

const methods = {
  open: async (store: string, crowd: number): Promise<void> => {
    // While the crowd is held, its operations hold slots.
    const operationConcurrency = 10 * crowd;
    engine = await Engine.open({ store, program: programFile("marked"), operationConcurrency, closeTimeoutMs: 10 });
    await Promise.all(Array.from({ length: crowd }, (_, i) => opened().start("marked", [`${crowdPrefix}${i}`, 1e9])));
  },

  /** The gaps of the crowd, while `spinners` guests are in endless loops. */
  observe: async (spinners: number, durationMs: number): Promise<Gaps> => {
    const spinning = await whileHeld(() => Promise.all(Array.from({ length: spinners }, () => arrive("spin"))));
    await pause(settleMs);
    begin();
    await pause(durationMs);
    const observed = end();
    await whileHeld(() => Promise.all(spinning.map(({ handle }) => handle.kill())));
    return observed;
  },

  /** ms from the start of one more process to its first step, while the crowd goes on; undefined if that takes longer than `limitMs`. */
  newcomer: async (limitMs: number): Promise<number | undefined> => {
    const before = performance.now();
    const arrival = arrive("marked");
    const inTime = await Promise.race([arrival, pause(limitMs)]);
    if (inTime !== undefined) return inTime.atMs - before;
    await whileHeld(() => arrival);
    return undefined;
  },

  /** The gaps of the crowd while one guest hangs its thread. */
  hang: async (durationMs: number): Promise<Hang> => {
    const { handle, atMs } = await whileHeld(() => arrive("hang"));
    begin();
    const ended = handle.result().then(
      () => ["it returned", performance.now()] as const,
      (error: Error) => [error.message, performance.now()] as const,
    );
    await pause(durationMs);
    const observed = end();
    const [reason, endedAtMs] = await ended;
    return { ...observed, reason, endedMs: endedAtMs - atMs };
  },

  close: async (): Promise<void> => {
    await engine?.close();
  },
};

export type CrowdMethods = typeof methods;
serve(methods);
