/** What all connections of a handle have in common, and what reads go over: a few connections that are made when they are needed. */
import { setTimeout as sleep } from "node:timers/promises";
import { PerdureError } from "../../base/errors.ts";
import type { Row } from "../columns.ts";
import { isAway, storeError } from "./errors.ts";
import type { Place } from "./errors.ts";
import { statement, step } from "./wire/session.ts";
import { Session } from "./wire/session.ts";
import type { Result, SessionOptions, Statement, Step } from "./wire/session.ts";
import type { Value } from "./wire/values.ts";

export interface LineOptions extends Omit<SessionOptions, "onNotification"> {
  /** Connections for reading. */
  readonly readers: number;
  /** How long a claim lasts. */
  readonly leaseMs: number;
  /** How long a database that is away is waited for. */
  readonly retryMs: number;
  readonly statementTimeoutMs: number;
}

const firstPauseMs = 20;
const longestPauseMs = 2_000;

export class Line {
  readonly options: LineOptions;
  readonly place: Place;
  readonly #sessions = new Set<Session>();
  readonly #readers: Session[] = [];
  #opening = 0;
  #waiting: (() => void)[] = [];
  #closed = new AbortController();

  constructor(options: LineOptions) {
    this.options = options;
    this.place = { path: options.address.shown };
  }

  get isClosed(): boolean {
    return this.#closed.signal.aborted;
  }

  /** A connection of its own. */
  async open(onNotification?: (payload: string) => void): Promise<Session> {
    this.check("reach");
    const session = await Session.open({
      ...this.options,
      ...(onNotification === undefined ? {} : { onNotification }),
    });
    if (this.isClosed) {
      session.close();
      this.check("reach");
    }
    this.#sessions.add(session);
    session.onEnd(() => this.#sessions.delete(session));
    return session;
  }

  check(doing: string): void {
    if (!this.isClosed) return;
    const { path } = this.place;
    throw new PerdureError("STORE_FAILED", `Cannot ${doing} the store ${path}: it was closed. Open it again.`, {
      details: { path },
    });
  }

  /** Does it again while the database is away, with growing pauses, for at most `retryMs`. */
  async retrying<T>(doing: string, work: () => Promise<T>, retryMs: number = this.options.retryMs): Promise<T> {
    const deadlineMs = performance.now() + retryMs;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      this.check(doing);
      try {
        return await work();
      } catch (error) {
        this.check(doing);
        if (!isAway(error) || performance.now() + pauseMs > deadlineMs) throw error;
      }
      // Half of it by chance: many nodes lose the database at the same moment.
      const aborted = { signal: this.#closed.signal };
      await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, aborted).catch(() => undefined);
    }
  }

  /** Reads: alone, each statement of its own moment; `how` makes them one transaction. */
  async read(steps: readonly Step[], how?: Statement): Promise<readonly Result[]> {
    return this.retrying("read", async () => {
      const session = await this.reader();
      // What is planned for one use knows how large the tables are.
      const first = steps.every(({ statement: one }) => one.once === true) ? [] : [step(byIndexes)];
      const all = [...first, ...steps];
      return (await (how === undefined ? session.run(all) : session.transact(all, how))).slice(first.length);
    });
  }

  /** Without trying again. */
  async once(steps: readonly Step[]): Promise<readonly Result[]> {
    return (await this.reader()).run(steps);
  }

  async all(of: Statement, ...values: readonly Value[]): Promise<readonly Row[]> {
    return (await this.read([step(of, ...values)]))[0]?.rows ?? [];
  }

  async get(of: Statement, ...values: readonly Value[]): Promise<Row | undefined> {
    return (await this.all(of, ...values))[0];
  }

  /** The one with the least to do. */
  async reader(): Promise<Session> {
    for (;;) {
      const open = this.#readers.filter((session) => session.isOpen);
      this.#readers.splice(0, this.#readers.length, ...open);
      const idlest = open.reduce<Session | undefined>(
        (best, each) => (best === undefined || each.pending < best.pending ? each : best),
        undefined,
      );
      if (idlest !== undefined && (idlest.pending === 0 || open.length + this.#opening >= this.options.readers))
        return idlest;
      if (open.length + this.#opening < this.options.readers) return await this.#openReader();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.check("read");
    }
  }

  async #openReader(): Promise<Session> {
    this.#opening++;
    try {
      const session = await this.open();
      this.#readers.push(session);
      return session;
    } finally {
      this.#opening--;
      for (const resolve of this.#waiting.splice(0)) resolve();
    }
  }

  /** In good order: what was asked is answered first by whoever waits for it. */
  close(): void {
    this.#closed.abort();
    for (const session of this.#sessions) session.close();
  }

  /** As the end of the operating system's process does it. */
  destroy(): void {
    this.#closed.abort();
    for (const session of this.#sessions) session.destroy("the handle was destroyed");
  }

  error(doing: string, error: unknown): PerdureError {
    return storeError(this.place, doing, error);
  }
}

// Plans that were made while a table was small must not read all of it when it has grown. Where nothing else can be done, that looks
// dear to PostgreSQL before 18: not so dear that machine code would pay.
const indexes = "set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)";
/** It lasts for what is sent together with it. */
const byIndexes = statement(`SELECT ${indexes}`);
// Making a plan takes longer than most commits do.
const planning = `${indexes}, set_config('plan_cache_mode', 'force_generic_plan', true)`;
const limiting = `set_config('statement_timeout', $1, true),
  set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                                   ELSE current_setting('synchronous_commit') END, true)`;
// A client that fell silent in mid-transaction must not keep its locks.
const settingsSince17 = settingsOf("transaction_timeout");
const settingsBefore = settingsOf("idle_in_transaction_session_timeout");

function settingsOf(timeout: string): { readonly own: Statement; readonly users: Statement } {
  const limits = `${limiting}, set_config('${timeout}', $2, true)`;
  return {
    own: statement(`SELECT ${limits}, ${planning}`, "text", "text"),
    users: statement(`SELECT ${limits}`, "text", "text"),
  };
}

/** The first step of every transaction that writes. All of it ends with the transaction. How `users`' own statements are planned is theirs. */
export function settings(session: Session, timeoutMs: number, whose: "own" | "users" = "own"): Step {
  const version = Number.parseInt(session.parameters.get("server_version") ?? "", 10);
  const limit = String(Math.ceil(timeoutMs));
  return step((version >= 17 ? settingsSince17 : settingsBefore)[whose], limit, limit);
}

/** A number as a column of whole numbers can be compared with it. */
export function whole(value: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.floor(value)));
}
