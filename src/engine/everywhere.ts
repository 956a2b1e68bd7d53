/** What callers ask of a node that owns a part of the store: the node itself does it if the process is here, else it goes through the store. */
import { isPerdureError } from "../base/errors.ts";
import type { Payload } from "../base/value.ts";
import type { Input, Pid } from "../journal/types.ts";
import type { KeyedAnswer, KeyedRequest } from "../kernel/edges.ts";
import type { Asked, ProcessExit } from "../store/port.ts";
import type { Reach } from "./beside.ts";

export class Everywhere implements Reach {
  readonly #here: Reach;
  readonly #there: Reach;
  readonly #caughtUp: () => Promise<void>;

  /** `caughtUp`: resolves when `here` has heard all that was written into the store for its processes before now. */
  constructor(here: Reach, there: Reach, caughtUp: () => Promise<void>) {
    this.#here = here;
    this.#there = there;
    this.#caughtUp = caughtUp;
  }

  send(pid: Pid, body: Payload, asked?: Asked): Promise<void> {
    return this.#put((reach) => reach.send(pid, body, asked));
  }

  call(pid: Pid, request: KeyedRequest, timeoutMs: number | undefined): Promise<KeyedAnswer> {
    return this.#ask((reach) => reach.call(pid, request, timeoutMs));
  }

  cancel(pid: Pid, reason: string): Promise<void> {
    return this.#put((reach) => reach.cancel(pid, reason));
  }

  kill(pid: Pid): Promise<void> {
    return this.#put((reach) => reach.kill(pid));
  }

  control(pid: Pid, kind: "pause" | "resume"): Promise<boolean> {
    return this.#put((reach) => reach.control(pid, kind));
  }

  deliver(pid: Pid, input: Input): Promise<void> {
    return this.#put((reach) => reach.deliver(pid, input));
  }

  exit(pid: Pid): Promise<ProcessExit> {
    return this.#ask((reach) => reach.exit(pid));
  }

  /** The store knows all names. */
  async whereis(name: string): Promise<Pid | undefined> {
    return (await this.#here.whereis(name)) ?? (await this.#there.whereis(name));
  }

  /**
   * The process may have come here just before the input was written. What the caller sends next goes to it at once, and must not overtake
   * this on its way.
   */
  async #put<T>(put: (reach: Reach) => Promise<T>): Promise<T> {
    return await this.#ask(async (reach) => {
      const done = await put(reach);
      // It is durable, whatever becomes of this node.
      if (reach === this.#there) await this.#caughtUp().catch(() => undefined);
      return done;
    });
  }

  async #ask<T>(ask: (reach: Reach) => Promise<T>): Promise<T> {
    try {
      return await ask(this.#here);
    } catch (error) {
      if (!isPerdureError(error, "PROCESS_ELSEWHERE")) throw error;
      return await ask(this.#there);
    }
  }
}
