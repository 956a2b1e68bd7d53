/**
 * Inputs whose durability somebody counts on: callers who were not answered yet, and results of operations. Those that
 * wait too long for a turn get an inbox row of their own; when the kernel comes to its end, everyone left is told.
 */
import type { Committer } from "./batch.ts";
import { tellDurable } from "./live.ts";
import type { Live, QueuedInput } from "./live.ts";
import { gone } from "./registry.ts";
import { stageSpill } from "./staging.ts";

interface Entry {
  readonly live: Live;
  readonly queued: QueuedInput;
  /** It was there at an earlier tick. Ticks and not a clock tell who waits long, so that none overtakes an earlier one. */
  isOld: boolean;
}

export class Awaited {
  readonly #committer: Committer;
  readonly #entries = new Set<Entry>();
  /** Callers who wait for a commit, and for nothing of a process. */
  readonly #callers = new Set<(error: Error) => void>();
  /** Why nothing will be durable any more. */
  #end: Error | undefined;

  constructor(committer: Committer) {
    this.#committer = committer;
  }

  add(live: Live, queued: QueuedInput): void {
    // The kernel may have come to its end between two steps of a caller.
    if (this.#end !== undefined) return tellDurable(queued, this.#end);
    this.#entries.add({ live, queued, isOld: false });
  }

  /** Resolves when what is staged is durable. */
  commit(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) return reject(this.#end);
      this.#callers.add(reject);
      this.#committer.stage.effects.push(() => {
        this.#callers.delete(reject);
        resolve();
      });
    });
  }

  /** To be called at every tick: what has been waiting since the last one is written. */
  spill(): void {
    for (const entry of this.#entries) {
      const { live, queued } = entry;
      const isWaiting = !queued.consumed && !queued.spilled && !gone(live);
      if (!isWaiting && queued.onDurable.length === 0) this.#entries.delete(entry);
      else if (!isWaiting) continue;
      else if (entry.isOld) stageSpill(this.#committer.stage, live, queued);
      else entry.isOld = true;
    }
  }

  /** Nothing of these processes that waits will get a turn any more: default of all. */
  spillAll(isMeant: (live: Live) => boolean = () => true): void {
    for (const { live, queued } of this.#entries) {
      if (queued.consumed || queued.spilled || gone(live) || !isMeant(live)) continue;
      stageSpill(this.#committer.stage, live, queued);
    }
  }

  /** Nothing will be durable any more. */
  reject(error: Error): void {
    this.#end = error;
    for (const { queued } of this.#entries) tellDurable(queued, error);
    for (const reject of this.#callers) reject(error);
    this.#entries.clear();
    this.#callers.clear();
  }
}
