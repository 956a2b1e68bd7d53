import { deliverMessage } from "../../mailbox.ts";
import { now } from "../../prelude/intrinsics.ts";
import { random } from "../../prelude/random.ts";
import { Counter, startTimer } from "../../runtime.ts";
import { Retry } from "../requests.ts";
import type { Child } from "./child.ts";

const delays = new Counter();

/** How long the restart of a child is to wait. `ran`: its process ended; else only its start failed. */
export function nextDelayMs(child: Child, ran: boolean): number {
  const { backoff } = child.spec;
  if (backoff === undefined) return 0;
  const { delayMs, factor, capMs, jitter } = backoff;
  if (ran && now() - child.restartedAtMs > capMs) child.inARow = 0;
  const waitMs = Math.min(delayMs * factor ** child.inARow++, capMs);
  return waitMs * (1 - jitter * random());
}

/** Answers with a number that tells this wait's end from that of an earlier one. */
export function retryLater(key: string, delayMs: number): number {
  const delay = delays.next();
  startTimer("service", now() + delayMs, () => deliverMessage(new Retry(key, delay)));
  return delay;
}
