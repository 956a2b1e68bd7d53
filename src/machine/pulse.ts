import type { ProcessKey } from "../journal/types.ts";

/** A sign of life, for a watchdog in another thread. */
export interface Pulse {
  /**
   * Before each input, at each interrupt, and when a suspended guest goes on. `process` 0: no guest runs. `input` is the
   * number of the turn's input, `replayed`, or a query by `queried`.
   */
  beat(process: ProcessKey, input: number): void;
}

/** Stands for all inputs of a turn that runs again: what took its time then may take it now. */
export const replayed = -1;

/** Stands for a query, by its id. */
export function queried(id: number): number {
  return -2 - (id % 2 ** 30);
}

/** Int32 slots of the memory that a thread and its watchdog share: a count of beats, and what the last one said. */
export const pulseSlot = { beats: 0, process: 1, input: 2 } as const;
export const pulseSizeBytes = 12;
