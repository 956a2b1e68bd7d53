/** The real ports. Only this file and the threads' entries reach for the machine's clock and randomness. */
import { randomFillSync } from "node:crypto";
import type { Clock, Random } from "../base/ports.ts";

/** setTimeout counts in 32 bits; a longer wait is cut into pieces. */
const longestTimeoutMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  after(delayMs, fn) {
    let timer: NodeJS.Timeout;
    const wait = (leftMs: number): void => {
      timer = setTimeout(
        () => (leftMs > longestTimeoutMs ? wait(leftMs - longestTimeoutMs) : fn()),
        Math.min(leftMs, longestTimeoutMs),
      );
    };
    wait(delayMs);
    return () => clearTimeout(timer);
  },
};

export const systemRandom: Random = { bytes: (length) => randomFillSync(new Uint8Array(length)) };
