/**
 * Inputs that other nodes, and callers beside them, write for this node's processes, where several nodes own the store. The store
 * hands out each once; but a process that is loaded comes with rows that have not been handed out yet.
 */
import type { InboxRow, ProcessKey, Sharing, Store } from "../store/port.ts";
import type { Mail, OthersPorts } from "./others.ts";

export interface MailPorts extends Pick<OthersPorts, "activate" | "deliver" | "settled"> {
  readonly sharing: Pick<Sharing, "posted">;
  readonly store: Pick<Store, "inbox">;
  /** Grows when it changes what is this node's. */
  era(): number;
}

const pageRows = 500;

export class PostedMail implements Mail {
  readonly #ports: MailPorts;
  /** Rows that are known, since the look that is under way has begun; and those from before it. */
  #known = new Set<number>();
  #before = new Set<number>();
  #isLooking = false;
  #isAsked = false;
  #afterwards: (() => void)[] = [];
  /** Who waits for a look that begins from now on. */
  readonly #waiting: PromiseWithResolvers<void>[] = [];
  /** Links that were cut since the look that is under way has begun, and when that is durable. */
  readonly #cuts = new Map<string, Promise<void>>();

  constructor(ports: MailPorts) {
    this.#ports = ports;
  }

  know(seq: number): void {
    this.#known.add(seq);
  }

  cut(process: ProcessKey, tie: ProcessKey, durable: Promise<void>): void {
    const name = `${process} ${tie}`;
    const forget = (): void => {
      if (this.#cuts.get(name) === durable) this.#cuts.delete(name);
    };
    this.#cuts.set(name, durable);
    const passed = (): void => (this.#isLooking ? void this.#afterwards.push(forget) : forget());
    durable.then(passed, () => undefined);
  }

  /** What came through a link that was cut is gone from the store; what comes through one that was made since is there. */
  #cutOf({ process, tie, input }: InboxRow): Promise<void> | undefined {
    return tie === undefined || input.kind !== "exit" ? undefined : this.#cuts.get(`${process} ${tie}`);
  }

  async caughtUp(): Promise<void> {
    const heard = Promise.withResolvers<void>();
    this.#waiting.push(heard);
    await Promise.race([heard.promise, this.poll().then(() => heard.promise)]);
  }

  async poll(): Promise<void> {
    this.#isAsked = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      // Whoever asks meanwhile may know of more.
      while (this.#isAsked) await this.#lookOnce();
    } finally {
      this.#isLooking = false;
    }
    for (const fn of this.#afterwards.splice(0)) fn();
  }

  /** Who asked before it is not kept waiting by those who ask meanwhile. */
  async #lookOnce(): Promise<void> {
    this.#isAsked = false;
    const waiting = this.#waiting.splice(0);
    try {
      await this.#look();
      for (const { resolve } of waiting) resolve();
    } catch (error) {
      for (const { reject } of waiting) reject(error);
      throw error;
    }
  }

  async #look(): Promise<void> {
    // What was known before this look and is not handed out by it never will be.
    this.#before = this.#known;
    this.#known = new Set();
    for (;;) {
      const era = this.#ports.era();
      const rows = await this.#ports.sharing.posted(pageRows);
      if (rows.length > 0) await this.#ports.settled();
      for (const row of rows) await this.#take(row, era);
      if (rows.length < pageRows) return;
    }
  }

  async #take(row: InboxRow, era: number): Promise<void> {
    let checked: Moment = { era, cut: undefined };
    for (;;) {
      const now: Moment = { era: this.#ports.era(), cut: this.#cutOf(row) };
      // Its process may have been another's since it was handed out, who took it, and have come back; or want to hear of it no more.
      if (!isSame(now, checked)) {
        await now.cut;
        if (!(await this.#isThere(row))) return;
        checked = now;
      }
      await this.#ports.activate(row);
      if (isSame(checked, { era: this.#ports.era(), cut: this.#cutOf(row) })) break;
    }
    if (this.#known.has(row.seq) || this.#before.has(row.seq)) return;
    this.#ports.deliver(row);
  }

  async #isThere({ process, seq }: InboxRow): Promise<boolean> {
    const rows = await this.#ports.store.inbox(process);
    return rows.some((row) => row.seq === seq);
  }
}

/** What decides whether a row that was handed out is to be delivered. */
interface Moment {
  readonly era: number;
  readonly cut: Promise<void> | undefined;
}

function isSame(one: Moment, other: Moment): boolean {
  return one.era === other.era && one.cut === other.cut;
}
