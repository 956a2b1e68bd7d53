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

  constructor(here: Reach, there: Reach) {
    this.#here = here;
    this.#there = there;
  }

  send(pid: Pid, body: Payload, asked?: Asked): Promise<void> {
    return this.#ask((reach) => reach.send(pid, body, asked));
  }

  call(pid: Pid, request: KeyedRequest, timeoutMs: number | undefined): Promise<KeyedAnswer> {
    return this.#ask((reach) => reach.call(pid, request, timeoutMs));
  }

  cancel(pid: Pid, reason: string): Promise<void> {
    return this.#ask((reach) => reach.cancel(pid, reason));
  }

  kill(pid: Pid): Promise<void> {
    return this.#ask((reach) => reach.kill(pid));
  }

  control(pid: Pid, kind: "pause" | "resume"): Promise<boolean> {
    return this.#ask((reach) => reach.control(pid, kind));
  }

  deliver(pid: Pid, input: Input): Promise<void> {
    return this.#ask((reach) => reach.deliver(pid, input));
  }

  exit(pid: Pid): Promise<ProcessExit> {
    return this.#ask((reach) => reach.exit(pid));
  }

  /** The store knows all names. */
  async whereis(name: string): Promise<Pid | undefined> {
    return (await this.#here.whereis(name)) ?? (await this.#there.whereis(name));
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
