/**
 * Hints that inboxes have changed: NOTIFY with each write that puts something there for others (`parts/inbox.ts`), LISTEN for whoever
 * wants to look at once. A hint names the shards, so that those of others can be passed over. It may get lost or come for nothing;
 * what counts is what is found by looking.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Line } from "./line.ts";
import { isAway } from "./errors.ts";
import { step } from "./wire/session.ts";
import type { Session } from "./wire/session.ts";

const pauseMs = 500;

export interface HintOptions {
  /** Whether writes notify. */
  readonly notify: boolean;
  /** Where to listen: a line that leads to the server itself. */
  readonly listen: Line | undefined;
}

/** `undefined`: any of them may have changed. */
type Listener = (shards: readonly number[] | undefined) => void;

export class Hints {
  readonly #options: HintOptions;
  readonly #channel: string;
  readonly #listeners = new Set<Listener>();
  #session: Session | undefined;
  #isListening = false;

  constructor(storeId: string, options: HintOptions) {
    this.#options = options;
    this.#channel = `perdure_${createHash("sha256").update(storeId).digest("hex").slice(0, 24)}`;
  }

  /** Where writes notify; "": nowhere. */
  get channel(): string {
    return this.#options.notify ? this.#channel : "";
  }

  /** Calls `fn` after something was put into inboxes of shards that belong to others than who put it. Returns a function that takes it back. */
  on(fn: Listener): () => void {
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
    const session = await line.open((payload) => this.#tell(payload.split(" ").map(Number)));
    this.#session = session;
    await session.run([step({ sql: `LISTEN ${this.#channel}`, types: [], once: true })]);
    // Something may have come while nobody listened.
    this.#tell(undefined);
    await new Promise<void>((resolve) => session.onEnd(resolve));
  }

  #tell(shards: readonly number[] | undefined): void {
    for (const fn of this.#listeners) fn(shards);
  }
}
