/**
 * Writes of the owner, in the order of the calls, over one connection.
 *
 * Writes are sent as they come, without waiting for those before them. When the connection is lost, some of them may have been done:
 * the writer makes a new one, fences the old one (see `schema.ts`), reads the receipts of those that were, and sends the others again.
 */
import { PerdureError } from "../../base/errors.ts";
import { number } from "../columns.ts";
import type { Row } from "../columns.ts";
import type { WriteId } from "./commit.ts";
import { fenced, isAway, isUndone, maxUndone } from "./errors.ts";
import { extend, fence, nextSession } from "./lease.ts";
import { settings } from "./line.ts";
import type { Line } from "./line.ts";
import { ConnectionLost, ServerError } from "./wire/errors.ts";
import { begin, commit, rollback, statement, step } from "./wire/session.ts";
import type { Result, Session, Step } from "./wire/session.ts";

export interface Write<T> {
  /** Completes "Cannot … the store". */
  readonly doing: string;
  /** If it is a sign of life. */
  readonly atMs: number | null;
  /** Takes the place of the fence. */
  readonly fence?: (incarnation: number, session: number) => Step;
  /** It may wait for another node's write, and have to be done again: nothing is sent behind it before it is done. */
  readonly mayWait?: boolean;
  /** Lets the lease last longer in any case. */
  readonly extends?: boolean;
  readonly before: readonly Step[];
  readonly receipt: (id: WriteId) => Step;
  readonly after: readonly Step[];
  /** What came of it, from what the receipt holds. */
  readonly read: (receipt: Row) => T;
  /** Reads first, in the same transaction, and decides by that: gives what else is to be done, and the receipt. */
  readonly decide?: (run: Run, id: WriteId) => Promise<Pick<Write<T>, "before" | "receipt">>;
}

export type Run = (steps: readonly Step[]) => Promise<readonly Result[]>;

interface Entry {
  /** How often it was undone for another's sake. */
  undone: number;
  readonly write: Write<unknown>;
  readonly number: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Receipts of this many writes are kept at least. */
const keptReceipts = 1_000;
const sweepEvery = 500;

const readReceipts = statement(
  "SELECT number, put, gone FROM ~.receipt WHERE incarnation = $1 AND number >= $2 ORDER BY number",
  "int8",
  "int8",
);
// The node's row knows of a later sign of life than those that go.
const sweep = statement(
  `DELETE FROM ~.receipt AS r USING ~.node AS n
   WHERE n.incarnation = $1 AND r.incarnation = $1 AND r.number < $2 AND r.number <= n.alive_number`,
  "int8",
  "int8",
);

export class Writer {
  readonly #line: Line;
  readonly #leaseMs: number;
  readonly incarnation: number;
  #session: Session | undefined;
  #sessionNumber = 1;
  #nextNumber = 1;
  #extendedAtMs = performance.now();
  /** In order: those that were sent, and those that were not yet. */
  #sent: Entry[] = [];
  #queue: Entry[] = [];
  /** One decides as it goes, or the connection is being made again: nothing else is sent. */
  #isBusy = false;
  #failure: PerdureError | undefined;
  #isEnded = false;
  #onIdle: (() => void)[] = [];

  constructor(line: Line, session: Session, incarnation: number, leaseMs: number) {
    this.#line = line;
    this.#session = session;
    this.incarnation = incarnation;
    this.#leaseMs = leaseMs;
  }

  get #place(): { readonly path: string; readonly incarnation: number } {
    return { ...this.#line.place, incarnation: this.incarnation };
  }

  async write<T>(write: Write<T>): Promise<T> {
    this.#line.check(write.doing);
    if (this.#failure !== undefined) throw this.#failure;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const number = this.#nextNumber++;
    this.#queue.push({ undone: 0, write, number, resolve: resolve as (value: unknown) => void, reject });
    this.#pump();
    return await promise;
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    if (this.#sent.length === 0 && this.#queue.length === 0) return;
    await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  /** Nothing is written any more. */
  end(): void {
    this.#isEnded = true;
    this.#session?.close();
    this.#failAll(this.#line.error("write to", new Error("the handle was closed")));
  }

  #pump(): void {
    while (!this.#isBusy && this.#queue.length > 0) {
      const session = this.#session;
      if (session === undefined || !session.isOpen) {
        this.#restore();
        return;
      }
      if (this.#sent.length > 0 && (isAlone(this.#queue[0]) || isAlone(this.#sent[0]))) return;
      const entry = this.#queue.shift();
      if (entry === undefined) return;
      this.#sent.push(entry);
      if (entry.write.decide === undefined) this.#send(session, entry);
      else this.#converse(session, entry);
    }
    if (this.#sent.length === 0 && this.#queue.length === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #opening(session: Session, { write, number }: Entry): Step[] {
    const timeout = settings(session, this.#line.options.statementTimeoutMs);
    if (write.fence !== undefined) return [timeout, write.fence(this.incarnation, this.#sessionNumber)];
    const nowMs = performance.now();
    if (write.extends !== true && nowMs - this.#extendedAtMs < this.#leaseMs / 4) {
      return [timeout, fence(this.incarnation, this.#sessionNumber)];
    }
    this.#extendedAtMs = nowMs;
    const { atMs } = write;
    return [timeout, extend(this.incarnation, this.#sessionNumber, { leaseMs: this.#leaseMs, atMs, number })];
  }

  #id({ number }: Entry): WriteId {
    return { incarnation: this.incarnation, number };
  }

  #send(session: Session, entry: Entry): void {
    const { write, number } = entry;
    const opening = this.#opening(session, entry);
    const sweeping = number % sweepEvery === 0 ? [step(sweep, this.incarnation, number - keptReceipts)] : [];
    const steps = [...opening, ...write.before, write.receipt(this.#id(entry)), ...write.after, ...sweeping];
    const at = opening.length + write.before.length;
    session.transact(steps).then(
      (results) => this.#done(entry, results[at]?.rows[0] ?? {}),
      (error: unknown) => this.#failed(entry, error),
    );
  }

  /** A transaction in several pieces. Nothing else is sent meanwhile. */
  #converse(session: Session, entry: Entry): void {
    this.#isBusy = true;
    const run: Run = (steps) => session.run(steps);
    const talk = async (): Promise<Row> => {
      await run([step(begin), ...this.#opening(session, entry)]);
      const { before, receipt } = (await entry.write.decide?.(run, this.#id(entry))) ?? entry.write;
      const results = await run([...before, receipt(this.#id(entry))]);
      await run([step(commit)]);
      return results.at(-1)?.rows[0] ?? {};
    };
    talk().then(
      (row) => {
        this.#isBusy = false;
        this.#done(entry, row);
      },
      async (error: unknown) => {
        await run([step(rollback)]).catch(() => undefined);
        this.#isBusy = false;
        this.#failed(entry, error);
      },
    );
  }

  #done(entry: Entry, receipt: Row): void {
    this.#sent = this.#sent.filter((each) => each !== entry);
    try {
      entry.resolve(entry.write.read(receipt));
    } catch (error) {
      entry.reject(this.#line.error(entry.write.doing, error));
    }
    this.#pump();
  }

  #failed(entry: Entry, error: unknown): void {
    if (error instanceof ConnectionLost) {
      // What became of it is found out with the others.
      if (!this.#isBusy && !this.#isEnded) this.#restore();
      return;
    }
    this.#sent = this.#sent.filter((each) => each !== entry);
    // Nothing was sent behind it.
    if (isAlone(entry) && isUndone(error) && ++entry.undone < maxUndone) this.#queue.unshift(entry);
    else entry.reject(this.#errorOf(entry, error));
    this.#pump();
  }

  #errorOf(entry: Entry, error: unknown): PerdureError {
    const refusal = this.#line.error(entry.write.doing, error);
    return refusal.code === "STORE_FENCED" && error instanceof ServerError && error.primary.includes("|fenced|")
      ? fenced(this.#place)
      : refusal;
  }

  #restore(): void {
    this.#isBusy = true;
    this.#reconnect().then(
      () => {
        this.#isBusy = false;
        this.#pump();
      },
      (error: unknown) => {
        this.#isBusy = false;
        this.#giveUp(error);
      },
    );
  }

  async #reconnect(): Promise<void> {
    const { options } = this.#line;
    await this.#line.retrying("write to", async () => {
      const session = await this.#line.open();
      try {
        // A late message of an earlier attempt has a lesser number, and changes nothing.
        const next = ++this.#sessionNumber;
        const fencing = [settings(session, options.statementTimeoutMs), step(nextSession, this.incarnation, next)];
        const isLive = (await waited(session.transact(fencing)))[1]?.rows[0] !== undefined;
        await this.#settle(session, isLive);
        this.#session = session;
      } catch (error) {
        session.destroy("it could not be used");
        throw error;
      }
    });
  }

  /** Whatever the old connection did is done, and nothing more comes of it. */
  async #settle(session: Session, isLive: boolean): Promise<void> {
    const first = this.#sent[0];
    if (first !== undefined) {
      const rows = (await session.run([step(readReceipts, this.incarnation, first.number)]))[0]?.rows ?? [];
      const receipts = new Map(rows.map((row) => [number(row, "number"), row]));
      const lastDone = Math.max(0, ...receipts.keys());
      const again: Entry[] = [];
      for (const entry of this.#sent) {
        const receipt = receipts.get(entry.number);
        if (receipt !== undefined) entry.resolve(entry.write.read(receipt));
        else if (entry.number < lastDone) entry.reject(this.#reasonLost(entry));
        else again.push(entry);
      }
      this.#sent = [];
      this.#queue.unshift(...again);
    }
    if (isLive) return;
    for (const entry of this.#queue.splice(0)) entry.reject(fenced(this.#place));
  }

  /** Later ones were done, so this one was refused. Tried again it might be accepted, out of its order. */
  #reasonLost({ write }: Entry): PerdureError {
    const { path } = this.#line.place;
    return new PerdureError(
      "STORE_FAILED",
      `Cannot ${write.doing} the store ${path}: the database refused this write, and the connection was lost with the reason. Nothing of it was kept. Restart the engine.`,
      { details: { path } },
    );
  }

  #giveUp(cause: unknown): void {
    const { path } = this.#line.place;
    const away = isAway(cause) ? this.#line.error("write to", cause) : this.#line.error("go on with", cause);
    if (this.#sent.length > 0 && !this.#isEnded) {
      this.#failure = new PerdureError(
        isAway(cause) ? "STORE_UNREACHABLE" : "STORE_FAILED",
        `The store ${path} was lost in the middle of a write, and did not come back within ${this.#line.options.retryMs} ms (${cause instanceof Error ? cause.message : String(cause)}). Whether the last writes were kept is not known, so this handle writes no more. The engine that opens the store next finds out.`,
        { cause, details: { path } },
      );
    }
    this.#failAll(this.#failure ?? away);
  }

  #failAll(error: PerdureError): void {
    for (const entry of [...this.#sent.splice(0), ...this.#queue.splice(0)]) entry.reject(error);
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }
}

function isAlone(entry: Entry | undefined): boolean {
  return entry !== undefined && (entry.write.decide !== undefined || entry.write.mayWait === true);
}

/** An old transaction that holds its lock until its own timeout is waited for like a database that is away. */
async function waited<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ServerError && /^(?:57014|55P03|25P04)$/.test(error.sqlState)) {
      throw new ConnectionLost(`an earlier transaction is still under way: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
