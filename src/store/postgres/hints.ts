/**
 * Hints that the inbox has changed: NOTIFY with each write that puts something there, LISTEN for whoever wants to look at once. A hint
 * may get lost or come for nothing; what counts is what is found by looking.
 */
import { createHash, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Line } from "./line.ts";
import { isAway } from "./errors.ts";
import { statement, step } from "./wire/session.ts";
import type { Session, Step } from "./wire/session.ts";

const send = statement("SELECT pg_notify($1, $2)", "text", "text");
const nothing: Step = step(statement("SELECT 1"));
const pauseMs = 500;

export interface HintOptions {
  /** Whether writes notify. */
  readonly notify: boolean;
  /** Where to listen: a line that leads to the server itself. */
  readonly listen: Line | undefined;
}

export class Hints {
  readonly #options: HintOptions;
  readonly #channel: string;
  /** Own hints are for the others. */
  readonly #self = randomUUID();
  readonly #listeners = new Set<() => void>();
  #session: Session | undefined;
  #isListening = false;

  constructor(storeId: string, options: HintOptions) {
    this.#options = options;
    this.#channel = `perdure_${createHash("sha256").update(storeId).digest("hex").slice(0, 24)}`;
  }

  /** Part of a transaction that puts something into the inbox. */
  notify(): Step {
    return this.#options.notify ? step(send, this.#channel, this.#self) : nothing;
  }

  /** Calls `fn` after others have put something into the inbox. Returns a function that takes it back. */
  on(fn: () => void): () => void {
    this.#listeners.add(fn);
    const { listen } = this.#options;
    if (listen !== undefined && !this.#isListening) void this.#listen(listen);
    return () => {
      this.#listeners.delete(fn);
      if (this.#listeners.size === 0) this.#session?.close();
    };
  }

  async #listen(line: Line): Promise<void> {
    this.#isListening = true;
    while (this.#listeners.size > 0 && !line.isClosed) {
      try {
        await this.#once(line);
      } catch (error) {
        // Looking now and then goes on, and is enough.
        if (!isAway(error)) break;
      }
      await sleep(pauseMs, undefined, { ref: false });
    }
    this.#isListening = false;
  }

  /** Until the connection ends. */
  async #once(line: Line): Promise<void> {
    const session = await line.open((payload) => {
      if (payload !== this.#self) this.#tell();
    });
    this.#session = session;
    await session.run([step({ sql: `LISTEN ${this.#channel}`, types: [], once: true })]);
    // Something may have come while nobody listened.
    this.#tell();
    await new Promise<void>((resolve) => session.onEnd(resolve));
  }

  #tell(): void {
    for (const fn of this.#listeners) fn();
  }
}
