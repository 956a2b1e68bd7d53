/**
 * Keeps user SQL to what is the user's. SQLite asks the authorizer about everything a statement would do while it compiles it: what
 * triggers, views, foreign keys and virtual tables do on its behalf included. Names decide, not positions: a table of the engine's
 * may be neither read nor written, by whatever way a statement comes to it. (A view's name does not excuse it: SQLite reports a
 * common table expression of that name in the same way.)
 *
 * The authorizer stays installed, and is heeded only while user SQL runs: installing one makes SQLite compile every statement anew.
 */
import { constants } from "node:sqlite";
import type { DatabaseSync } from "node:sqlite";
import { endsIt, forbidden } from "../transaction-errors.ts";
import { engineNames } from "./schema.ts";

/** For tables that releases to come may add. */
export const reservedPrefix = "perdure_";

/** What looks, and changes nothing. `data_version` is asked for by full-text tables. */
const harmlessPragmas = new Set([
  "collation_list",
  "compile_options",
  "data_version",
  "defer_foreign_keys",
  "foreign_key_check",
  "foreign_key_list",
  "function_list",
  "index_info",
  "index_list",
  "index_xinfo",
  "module_list",
  "pragma_list",
  "table_info",
  "table_list",
  "table_xinfo",
]);

const schemaTables = new Set(["sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema"]);

type Names = readonly (string | null)[];

const temporary = "temporary tables, views and triggers: they would outlive the operation, but not the node";

/** What is refused whatever its names are. */
const refused: ReadonlyMap<number, (names: Names) => string> = new Map([
  [constants.SQLITE_TRANSACTION, ([verb]: Names) => `${verb ?? "that"} (${endsIt})`],
  [constants.SQLITE_SAVEPOINT, ([verb]: Names) => `SAVEPOINT: ${verb ?? ""} (${endsIt})`],
  [constants.SQLITE_ATTACH, () => "ATTACH or VACUUM: the transaction is the store's"],
  [constants.SQLITE_DETACH, () => "DETACH"],
  [constants.SQLITE_ANALYZE, () => "ANALYZE, which would look at the engine's tables"],
  [constants.SQLITE_CREATE_TEMP_TABLE, () => temporary],
  [constants.SQLITE_CREATE_TEMP_INDEX, () => temporary],
  [constants.SQLITE_CREATE_TEMP_TRIGGER, () => temporary],
  [constants.SQLITE_CREATE_TEMP_VIEW, () => temporary],
]);

const writes: ReadonlySet<number> = new Set([
  constants.SQLITE_INSERT,
  constants.SQLITE_UPDATE,
  constants.SQLITE_DELETE,
]);

export class Authorizer {
  #watching = false;
  /** The statement changes the schema, and SQLite the tables it keeps of it. */
  #altersSchema = false;
  #altered = false;
  #refused: string | undefined;

  constructor(db: DatabaseSync) {
    db.setAuthorizer((action, first, second, database) => {
      if (!this.#watching) return constants.SQLITE_OK;
      // Into the schema of what is temporary.
      const isTemporary = action === constants.SQLITE_INSERT && database === "temp";
      const reason = isTemporary ? temporary : this.#judge(action, first, second);
      if (reason === undefined) return constants.SQLITE_OK;
      this.#refused ??= reason;
      return constants.SQLITE_DENY;
    });
  }

  /** A table was made, or changed, since this was last asked: SQLite does not say which name or reference it has got. */
  takeAltered(): boolean {
    const altered = this.#altered;
    this.#altered = false;
    return altered;
  }

  /** `use` compiles or runs one statement of the user's. Throws TRANSACTION_FORBIDDEN. */
  watch<T>(use: () => T): T {
    this.#watching = true;
    this.#altersSchema = false;
    this.#refused = undefined;
    try {
      return use();
    } catch (error) {
      throw this.#refused === undefined ? error : forbidden(this.#refused, error);
    } finally {
      this.#watching = false;
    }
  }

  /** Why the statement must not do that; undefined if it may. */
  #judge(action: number, first: string | null, second: string | null): string | undefined {
    const always = refused.get(action);
    if (always !== undefined) return always([first, second]);
    if (action === constants.SQLITE_PRAGMA) {
      return harmlessPragmas.has(first?.toLowerCase() ?? "") ? undefined : `PRAGMA ${first}`;
    }
    if (action === constants.SQLITE_FUNCTION) return second?.toLowerCase() === "load_extension" ? second : undefined;
    if (action === constants.SQLITE_ALTER_TABLE) {
      this.#altersSchema = true;
      this.#altered = true;
      return ofEngine(second);
    }
    if (action === constants.SQLITE_DROP_TABLE) this.#altersSchema = true;
    if (action === constants.SQLITE_CREATE_TABLE) this.#altered = true;
    if (writes.has(action) && isSqliteOwn(first)) return this.#judgeOwn(first);
    return ofEngine(first) ?? (namesTwo.has(action) ? ofEngine(second) : undefined);
  }

  /** SQLite's own tables: `sqlite_sequence` also holds the engine's counters. */
  #judgeOwn(table: string): string | undefined {
    return schemaTables.has(table) || this.#altersSchema ? undefined : `${table}, which is SQLite's own`;
  }
}

/** Their second name is a table's too. */
const namesTwo: ReadonlySet<number> = new Set([
  constants.SQLITE_CREATE_INDEX,
  constants.SQLITE_DROP_INDEX,
  constants.SQLITE_CREATE_TRIGGER,
  constants.SQLITE_DROP_TRIGGER,
]);

function isSqliteOwn(name: string | null): name is string {
  return name !== null && /^sqlite_/i.test(name);
}

function ofEngine(name: string | null): string | undefined {
  const lower = name?.toLowerCase() ?? "";
  if (engineNames.has(lower)) return `${name}, which is the engine's`;
  return lower.startsWith(reservedPrefix)
    ? `${name}: names that begin with "${reservedPrefix}" are reserved`
    : undefined;
}
