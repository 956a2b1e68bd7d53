/** What one transactional operation holds of the transaction: user SQL, watched by the authorizer, until the operation ends. */
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import type { SqlChanges, SqlParams, SqlRow, SqlValue, Transaction } from "../transactions.ts";
import { reservedPrefix } from "./authorizer.ts";
import type { Authorizer } from "./authorizer.ts";
import { isStoreFailure } from "./errors.ts";
import { ended, forbidden, notOneStatement } from "../transaction-errors.ts";
import { engineNames } from "./schema.ts";

/** Statements kept compiled. Operations use a handful each. */
const keptStatements = 200;

/** An open database for user SQL, and the statements of it that are compiled already. */
export class UserSql {
  readonly db: DatabaseSync;
  readonly authorizer: Authorizer;
  readonly #statements = new Map<string, StatementSync>();

  constructor(db: DatabaseSync, authorizer: Authorizer) {
    this.db = db;
    this.authorizer = authorizer;
  }

  /** The one statement that `sql` is. */
  statement(sql: string): StatementSync {
    const kept = this.#statements.get(sql);
    if (kept !== undefined) {
      // The one that was not used for the longest time stands first.
      this.#statements.delete(sql);
      this.#statements.set(sql, kept);
      return kept;
    }
    const { statement, rest } = this.first(sql);
    if (!isBlank(rest)) throw notOneStatement(rest);
    this.#statements.set(sql, statement);
    const [oldest] = this.#statements.keys();
    if (this.#statements.size > keptStatements && oldest !== undefined) this.#statements.delete(oldest);
    return statement;
  }

  /** Compiles the first statement of `sql`. */
  first(sql: string): { readonly statement: StatementSync; readonly rest: string } {
    const statement = this.db.prepare(sql);
    statement.setReadBigInts(true);
    return { statement, rest: sql.slice(statement.sourceSQL.length) };
  }

  /** A table was made or changed: not to bear a reserved name, nor to refer to the engine's. */
  checkSchema(): void {
    if (!this.authorizer.takeAltered()) return;
    const names = this.db.prepare("SELECT name FROM sqlite_schema WHERE lower(substr(name, 1, ?)) = ?");
    const row = names.get(reservedPrefix.length, reservedPrefix);
    if (row !== undefined)
      throw forbidden(`${String(row["name"])}: names that begin with "${reservedPrefix}" are reserved`);
    // SQLite asks the authorizer when such a key is used. But by being there it can spoil the engine's own statements.
    const parents = this.db.prepare(`SELECT DISTINCT "table" AS parent FROM sqlite_schema AS child,
      pragma_foreign_key_list(child.name, 'main') WHERE child.type = 'table'`);
    for (const { parent } of parents.all()) {
      if (engineNames.has(String(parent).toLowerCase())) throw forbidden(`${String(parent)}, by a foreign key`);
    }
  }
}

export class SqliteTransaction implements Transaction {
  readonly #sql: UserSql;
  readonly #operation: string;
  #ended = false;
  /** What was wrong with the store, and not with the operation's SQL. */
  failure: Error | undefined;

  constructor(sql: UserSql, operation: string) {
    this.#sql = sql;
    this.#operation = operation;
  }

  run(sql: string, ...params: SqlParams): SqlChanges {
    const values = inputs(params);
    const { changes, lastInsertRowid } = this.#do(() => this.#sql.statement(sql).run(...values));
    return { changes: Number(changes), lastInsertRowid: plainValue(lastInsertRowid) as number | bigint };
  }

  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the row is typed by whoever wrote the SQL
  get<Row = SqlRow>(sql: string, ...params: SqlParams): Row | undefined {
    const values = inputs(params);
    const row = this.#do(() => this.#sql.statement(sql).get(...values));
    return row === undefined ? undefined : (plainRow(row) as Row);
  }

  all<Row = SqlRow>(sql: string, ...params: SqlParams): Row[] {
    const values = inputs(params);
    return this.#do(() => this.#sql.statement(sql).all(...values)).map((row) => plainRow(row) as Row);
  }

  /** One by one: the authorizer judges each statement by itself. */
  exec(sql: string): void {
    for (let left = sql; !isBlank(left);) {
      left = this.#do(() => {
        const { statement, rest } = this.#sql.first(left);
        statement.run();
        return rest;
      });
    }
  }

  /** Whatever still holds it can do nothing with it. */
  end(): void {
    this.#ended = true;
  }

  /** Throws if a statement has ended the transaction under it. */
  check(): void {
    if (!this.#sql.db.isTransaction) throw this.#over("a statement of it rolled the whole transaction back");
  }

  #do<T>(use: () => T): T {
    if (this.#ended) throw this.#over("it has ended");
    this.check();
    try {
      return this.#sql.authorizer.watch(use);
    } catch (error) {
      if (isStoreFailure(error)) this.failure ??= error;
      throw error;
    }
  }

  #over(why: string): Error {
    const advice =
      "Await everything that uses it before the function returns, and let errors roll back instead of OR ROLLBACK.";
    return ended(this.#operation, why, advice);
  }
}

/** Comments and semicolons are no statement. A quote is something, so nothing can hide behind one. */
function isBlank(sql: string): boolean {
  return /^(?:[\s;]|--[^\n]*(?:\n|$)|\/\*(?:(?!\*\/)[\s\S])*(?:\*\/|$))*$/.test(sql);
}

/**
 * node:sqlite takes an object with named values in the first place, which its types show as an overload. It is copied: reading it
 * may run the user's code, which must not happen between what is watched.
 */
function inputs(params: readonly unknown[]): SQLInputValue[] {
  const isNamed = (value: unknown): value is object =>
    typeof value === "object" && value !== null && !ArrayBuffer.isView(value);
  return params.map((value) => (isNamed(value) ? { ...value } : value)) as SQLInputValue[];
}

/** With a prototype, and so a value that can cross the border. */
function plainRow(row: Record<string, SQLOutputValue>): SqlRow {
  return Object.fromEntries(Object.entries(row).map(([column, value]) => [column, plainValue(value)]));
}

function plainValue(value: SQLOutputValue): SqlValue {
  if (typeof value !== "bigint") return value;
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}
