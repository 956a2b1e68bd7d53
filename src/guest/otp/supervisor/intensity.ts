import { now } from "../../prelude/intrinsics.ts";
import { startTimer } from "../../runtime.ts";

/**
 * How many restarts there were within the last `periodMs`. Service time cannot be read, only waited for: so each restart is
 * forgotten by a timer, and time during which nobody ran the supervisor does not make it look calm.
 */
export class RestartWindow {
  readonly intensity: number;
  readonly periodMs: number;
  #recent = 0;

  constructor(intensity: number, periodMs: number) {
    this.intensity = intensity;
    this.periodMs = periodMs;
  }

  get recent(): number {
    return this.#recent;
  }

  /** Whether one more restart would be fine. */
  hasRoom(): boolean {
    return this.#recent < this.intensity;
  }

  /** Counts a restart. False if it is one too many. */
  add(): boolean {
    this.#recent++;
    startTimer("service", now() + this.periodMs, () => this.#recent--);
    return this.#recent <= this.intensity;
  }
}
