/** What one transactional operation holds of the transaction, until it ends. Each call is a savepoint: what fails leaves what was before. */
import { ended, forbidden, notOneStatement } from "../../transaction-errors.ts";
import type { PostgresChanges, PostgresParam, PostgresRow, PostgresTransaction } from "../../transactions.ts";
import { isUndone } from "../errors.ts";
import { ServerError } from "../wire/errors.ts";
import { statement, step } from "../wire/session.ts";
import type { Result, Session, Step } from "../wire/session.ts";
import { postgresError } from "./errors.ts";
import { check, statements } from "./sql.ts";
import { decodeText, encodeParam } from "./values.ts";

const savepoint = statement("SAVEPOINT perdure_call");
const release = statement("RELEASE SAVEPOINT perdure_call");
const rollBack = statement("ROLLBACK TO SAVEPOINT perdure_call");

export class UserTransaction implements PostgresTransaction {
  readonly #session: Session;
  readonly #schema: string;
  readonly #operation: string;
  /** Calls are done one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #calls = 0;
  #isEnded = false;
  /** The server has broken off a statement that took too long. */
  isSlow = false;
  /** Why nothing of this transaction can be kept, whatever the operation makes of it. */
  failure: unknown;

  constructor(session: Session, schema: string, operation: string) {
    this.#session = session;
    this.#schema = schema;
    this.#operation = operation;
  }

  run(sql: string, ...params: readonly PostgresParam[]): Promise<PostgresChanges> {
    return heeded(this.#one(sql, params).then(({ count }) => ({ changes: count })));
  }

  get<Row = PostgresRow>(sql: string, ...params: readonly PostgresParam[]): Promise<Row | undefined> {
    return heeded(this.#one(sql, params).then(({ rows }) => rows[0] as Row | undefined));
  }

  all<Row = PostgresRow>(sql: string, ...params: readonly PostgresParam[]): Promise<Row[]> {
    return heeded(this.#one(sql, params).then(({ rows }) => [...rows] as Row[]));
  }

  exec(sql: string): Promise<void> {
    return heeded(this.#exec(sql));
  }

  /** Calls that have not been answered. */
  get calls(): number {
    return this.#calls;
  }

  /** Whatever still holds it can do nothing with it. Resolves when what was called before is through. */
  async end(): Promise<void> {
    this.#isEnded = true;
    await this.#last;
  }

  async #exec(sql: string): Promise<void> {
    await this.#do(() => statements(sql).map((one) => this.#step(one, [])));
  }

  async #one(sql: string, params: readonly PostgresParam[]): Promise<Result> {
    const results = await this.#do(() => {
      const [first = "", ...rest] = statements(sql);
      if (rest.length > 0) throw notOneStatement(rest.join(";"));
      return [this.#step(first, params)];
    });
    return results[0] ?? { rows: [], count: 0, tag: "" };
  }

  #step(sql: string, params: readonly PostgresParam[]): Step {
    check(sql, this.#schema);
    const values = params.map((value, index) => encodeParam(value, index + 1));
    return step({ sql, types: [], once: true, foreign: decodeText }, ...values);
  }

  async #do(plan: () => readonly Step[]): Promise<readonly Result[]> {
    if (this.#isEnded) throw this.#over("it has ended");
    const steps = plan();
    this.#calls++;
    const done = this.#last.then(() => this.#send(steps));
    this.#last = done.then(
      () => this.#calls--,
      () => this.#calls--,
    );
    // Awaited here, so that the error's stack shows who has called.
    try {
      return await done;
    } catch (error) {
      throw error instanceof ServerError ? postgresError(error) : error;
    }
  }

  async #send(steps: readonly Step[]): Promise<readonly Result[]> {
    if (this.failure !== undefined)
      throw this.#over("a statement has failed in a way that undoes the whole transaction");
    const session = this.#session;
    try {
      const results = await session.run([step(savepoint), ...steps, step(release)]);
      if (session.transaction !== "yes") throw forbidden("the end of the transaction, by whatever way");
      return results.slice(1, -1);
    } catch (error) {
      await this.#recover(error);
      throw error;
    }
  }

  async #recover(error: unknown): Promise<void> {
    if (error instanceof ServerError && error.sqlState === "57014") this.isSlow = true;
    const isOwn = error instanceof ServerError && !isUndone(error) && this.#session.transaction === "failed";
    if (!isOwn) {
      this.failure ??= error;
      return;
    }
    try {
      await this.#session.run([step(rollBack)]);
    } catch (failure) {
      this.failure ??= failure;
    }
  }

  #over(why: string): Error {
    return ended(this.#operation, why, "Await everything that uses it before the function returns.");
  }
}

/** Whoever does not wait for it hears of its failure otherwise. */
function heeded<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
