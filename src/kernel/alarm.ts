/** When the next timer rings: one wait of the clock at a time, for the earliest. */
import type { Clock } from "../base/ports.ts";
import type { ProcessKey, TimerRow } from "../store/port.ts";
import type { Timers } from "./timers.ts";

export interface AlarmPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  /** A timer is due. */
  fire(process: ProcessKey, number: number, nowMs: number): Promise<void>;
  failed(error: unknown): void;
}

/** The wall clock was set forward if a timer is so late. */
const lateMs = 20;

export class Alarm {
  readonly #ports: AlarmPorts;
  #cancel: () => void = () => undefined;
  #atMs = Infinity;
  #stopped = false;

  constructor(ports: AlarmPorts) {
    this.#ports = ports;
  }

  /** Timers that are durable by now. */
  add(rows: readonly TimerRow[]): void {
    for (const row of rows) this.#ports.timers.add(row);
    this.#set();
  }

  /** To be called at every tick: the alarm counts elapsed time, and the wall clock may be set meanwhile. */
  check(nowMs: number): void {
    if (this.#ports.timers.nextMs < nowMs - lateMs) this.#run();
  }

  /** Fires what is due. */
  async ring(): Promise<void> {
    const { clock, timers } = this.#ports;
    const nowMs = clock.nowMs();
    await timers.lookAhead(nowMs);
    for (const { process, number } of timers.due(nowMs)) await this.#ports.fire(process, number, nowMs);
    this.#set();
  }

  /** The same, after timers have come that nobody has added. */
  async ringAnew(): Promise<void> {
    this.#ports.timers.forget();
    await this.ring();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #set(): void {
    const { clock, timers } = this.#ports;
    const nextMs = timers.nextMs;
    if (nextMs >= this.#atMs || this.#stopped) return;
    this.#cancel();
    this.#atMs = nextMs;
    this.#cancel = clock.after(Math.max(0, nextMs - clock.nowMs()), () => {
      this.#atMs = Infinity;
      this.#run();
    });
  }

  #run(): void {
    this.ring().catch((error: unknown) => this.#ports.failed(error));
  }
}
