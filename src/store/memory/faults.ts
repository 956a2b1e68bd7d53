/** What goes wrong, and when: decided from outside, so that a run of the simulator can be repeated from its seed. */
import { PerdureError } from "../../base/errors.ts";
import type { Sharing, Store } from "../port.ts";

/** `transact` is the commit of a batch of transactions. */
export type StoreCall = Exclude<keyof Store, "id" | "sharing"> | keyof Sharing | "transact";

/**
 * What becomes of one call of a store.
 *
 * - `reject-before`: it is rejected and changed nothing.
 * - `reject-after`: it is rejected although it took effect, as when an acknowledgement is lost.
 * - `crash-before`, `crash-after`: the node dies just before or after it took effect. Neither this call nor any later one of
 *   the handle settles: nobody is there any more to hear of it.
 * - `full`: it is rejected as on a full disk, and changed nothing.
 * - a promise: the call and all after it wait until the promise is fulfilled. If the node dies meanwhile, they never happened,
 *   but for those that `landed` says did.
 * - `late`: it takes effect in its turn, but whoever asked hears of it only when the promise is fulfilled. Others go on.
 */
export type Fault =
  | "reject-before"
  | "reject-after"
  | "crash-before"
  | "crash-after"
  | "full"
  | Promise<void>
  | { readonly late: Promise<void> };

export type QueuedFault = Exclude<Fault, { readonly late: unknown }>;

/** It waits behind a stalled one. */
export interface WaitingCall {
  readonly call: StoreCall;
  effect(): unknown;
}

export interface MemoryFaults {
  /** Asked once for every call, in order. Undefined lets the call through. */
  decide(call: StoreCall): Fault | undefined;
  /**
   * Asked when the handle dies with calls that wait: how many of them, from the first, had reached the disk by then, as writes do
   * that nobody has synced. Default: none.
   */
  landed?(waiting: readonly StoreCall[]): number;
  /**
   * Asked when a call has an answer: whoever asked hears of it only when the promise is fulfilled, as one does who was stopped meanwhile.
   * Undefined: at once.
   */
  answered?(): Promise<void> | undefined;
  /** Told when a fault or `crash()` has killed the handle. */
  crashed?(): void;
}

/** Probabilities, 0 to 1, each 0 unless given. Together at most 1. */
export interface FaultRates {
  readonly rejectBefore?: number;
  readonly rejectAfter?: number;
  readonly crashBefore?: number;
  readonly crashAfter?: number;
  readonly stall?: number;
}

export interface SeededFaults {
  /** Seeded; gives numbers in [0, 1). One is drawn for each call that may fail. */
  readonly random: () => number;
  readonly rates: FaultRates;
  /** The calls that may fail. Default: all. */
  readonly calls?: ReadonlySet<StoreCall>;
  /** How long a stalled call waits. Needed when `rates.stall` is given. */
  readonly stall?: () => Promise<void>;
  readonly crashed?: () => void;
}

export function seededFaults(options: SeededFaults): MemoryFaults {
  const { random, rates, calls, stall, crashed } = options;
  const kinds: readonly (readonly [number, () => Fault | undefined])[] = [
    [rates.rejectBefore ?? 0, () => "reject-before"],
    [rates.rejectAfter ?? 0, () => "reject-after"],
    [rates.crashBefore ?? 0, () => "crash-before"],
    [rates.crashAfter ?? 0, () => "crash-after"],
    [rates.stall ?? 0, () => stall?.()],
  ];
  return {
    decide(call) {
      if (calls?.has(call) === false) return undefined;
      let drawn = random();
      for (const [rate, fault] of kinds) {
        if (drawn < rate) return fault();
        drawn -= rate;
      }
      return undefined;
    },
    ...(crashed === undefined ? {} : { crashed }),
  };
}

/** `fate`: what is known of the write. */
export function failure(id: string, fate: string): PerdureError {
  return new PerdureError("STORE_FAILED", `The store ${id} failed, as it was told to. The write ${fate}.`);
}

export function full(id: string): PerdureError {
  return new PerdureError("STORE_FULL", `The disk of the store ${id} is full, as it was told to be. Nothing was kept.`);
}
