/**
 * Inputs that others write beside the kernel: the command line next to a running node. Their rows lie among the kernel's own
 * in one inbox, in one order, so the kernel keeps in mind which rows it knows already.
 */
import { isPerdureError } from "../base/errors.ts";
import type { InboxRow, ProcessKey, Store } from "../store/port.ts";

/** What others have written for this node's processes. */
export interface Mail {
  /** To be called with every row the kernel has written or loaded. */
  know(seq: number): void;
  /** Looks for rows that the kernel does not know, and delivers them. */
  poll(): Promise<void>;
  /** Resolves when everything is delivered that others had written before now. */
  caughtUp(): Promise<void>;
  /** A process cuts its link with another, which is `durable` then: what that has to say of its end may have been read before. */
  cut(process: ProcessKey, tie: ProcessKey, durable: Promise<void>): void;
}

export interface OthersPorts {
  readonly store: Pick<Store, "changedByOthers" | "inboxAfter">;
  /** Resolves when the commit under way is through, if there is one: some of the rows just read may be of it. */
  settled(): Promise<void>;
  /** Brings the process to life; its rows become known on the way. */
  activate(row: InboxRow): Promise<void>;
  deliver(row: InboxRow): void;
}

const pageRows = 500;

export class Others implements Mail {
  readonly #ports: OthersPorts;
  /** All rows up to here are known. */
  #seen = 0;
  /** Rows beyond that are known: own ones, and those that came with their process from the store. */
  readonly #known = new Set<number>();
  #highest = 0;
  #polling = false;

  constructor(ports: OthersPorts) {
    this.#ports = ports;
  }

  /** To be called with every row the kernel has written or loaded. */
  know(seq: number): void {
    if (seq <= this.#seen) return;
    this.#known.add(seq);
    this.#highest = Math.max(this.#highest, seq);
  }

  async poll(): Promise<void> {
    if (this.#polling) return;
    this.#polling = true;
    const highest = this.#highest;
    // If nobody else has written, every row so far is known.
    if (await this.#ports.store.changedByOthers()) await this.#read();
    else this.#seeUpTo(highest);
    this.#polling = false;
  }

  cut(): void {}

  caughtUp(): Promise<void> {
    return this.poll();
  }

  async #read(): Promise<void> {
    for (let limit = pageRows; ;) {
      const rows = await this.#ports.store.inboxAfter(this.#seen, limit).catch(damagedSeq);
      if (typeof rows === "number") {
        // One damaged row hides its whole page: the others are read one by one. Its process is found broken when it is loaded.
        if (limit === 1) this.#seeUpTo(rows);
        limit = 1;
        continue;
      }
      await this.#ports.settled();
      for (const row of rows) {
        await this.#ports.activate(row);
        if (this.#known.has(row.seq)) continue;
        this.know(row.seq);
        this.#ports.deliver(row);
      }
      this.#seeUpTo(rows.at(-1)?.seq ?? 0);
      if (rows.length < limit) return;
    }
  }

  #seeUpTo(seq: number): void {
    this.#seen = Math.max(this.#seen, seq);
    for (const known of this.#known) if (known <= this.#seen) this.#known.delete(known);
  }
}

/** The seq of the row that was found damaged; any other error is thrown on. */
function damagedSeq(error: unknown): number {
  if (isPerdureError(error, "JOURNAL_CORRUPT") && typeof error.details["seq"] === "number") return error.details["seq"];
  throw error;
}
