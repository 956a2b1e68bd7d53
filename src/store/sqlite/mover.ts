/** A store in a file as one end of a migration: see `../migration/port.ts`. */
import { randomUUID } from "node:crypto";
import { PerdureError } from "../../base/errors.ts";
import { number, text } from "../columns.ts";
import type { Row } from "../columns.ts";
import { parts, sizeOf } from "../migration/parts.ts";
import type { Part, PartKey, PartRow } from "../migration/parts.ts";
import type { Account, DumpLimit, Mark, Marks, MigrationRole, Mover, SeqPart } from "../migration/port.ts";
import { countPart, nobody, selectPart, storedColumns } from "../migration/sql.ts";
import type { Dialect } from "../migration/sql.ts";
import type { StoreFault } from "../port.ts";
import { audit } from "./audit.ts";
import { transaction } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { storeError } from "./errors.ts";
import { noteSigns, takeOwnerLock } from "./lease.ts";
import type { OwnerLock } from "./lock.ts";
import { readMarks } from "./marks.ts";
import { engineNames } from "./schema.ts";
import { Seen } from "./seen.ts";

/** As an owner gives one: see seen.ts. */
const countSign = "UPDATE meta SET signs = signs + 1";

const dialect: Dialect = { schema: "", parameter: () => "?", shared: false };

export class SqliteMover implements Mover {
  readonly place: string;
  readonly shared = false;
  readonly #connection: Connection;
  /** Held from `begin` on: neither an engine nor another mover owns the file. */
  #lock: OwnerLock | undefined;

  constructor(connection: Connection) {
    this.place = connection.path;
    this.#connection = connection;
  }

  async marks(): Promise<Marks> {
    return this.#do("read", ({ db }) => readMarks(db));
  }

  async begin(mark: Mark, _nowMs: number, empty = false): Promise<Mark> {
    const begun = this.#write("begin to move", ({ db, sql, seen }) => {
      // Whoever goes back to a copy from before this would run what runs elsewhere.
      if (mark.role === "source") {
        seen.check(number(sql.readMeta.get() ?? {}, "signs"));
        db.exec(countSign);
      }
      if (empty) clear(this.#connection);
      const before = readMarks(db)[mark.role];
      if (before?.id === mark.id && !empty) return before;
      const { role, id, state, place, store, atMs, progress } = mark;
      db.prepare(
        "INSERT OR REPLACE INTO migration (role, id, state, place, store_id, at_ms, progress) VALUES (?, ?, ?, ?, ?, ?, ?)",
      ).run(role, id, state, place, store, atMs, progress);
      return mark;
    });
    if (mark.role === "source") noteSigns(this.#connection);
    return begun;
  }

  async account(): Promise<Account> {
    return this.#do("read", ({ db, sql }) => {
      const meta = db.prepare("SELECT store_id, incarnation, clean, alive_at_ms, downtime_ms FROM meta").get() ?? {};
      return {
        store: text(meta, "store_id"),
        incarnation: number(meta, "incarnation"),
        lastKey: number(sql.lastProcessKey.get() ?? {}, "key"),
        downtimeMs: number(meta, "downtime_ms"),
        aliveAtMs: meta["alive_at_ms"] === null ? undefined : number(meta, "alive_at_ms"),
        clean: number(meta, "clean") === 1,
        seqs: {
          inbox: lastSeq(this.#connection, "inbox"),
          log: lastLog(this.#connection),
          dead_letter: lastSeq(this.#connection, "dead_letter"),
        },
      };
    });
  }

  async count(part: Part): Promise<number> {
    return this.#do("read", ({ db }) => number(db.prepare(countPart(part, dialect)).get() ?? {}, "rows"));
  }

  async dump(part: Part, after: PartKey | undefined, limit: DumpLimit): Promise<PartRow[]> {
    return this.#do("read", ({ db }) => {
      const rows: PartRow[] = [];
      let bytes = 0;
      const select = db.prepare(selectPart(part, dialect, after === undefined));
      for (const row of select.iterate(...(after ?? []), limit.rows)) {
        rows.push(row as PartRow);
        if ((bytes += sizeOf(row as PartRow)) >= limit.bytes) break;
      }
      return rows;
    });
  }

  async fill(part: Part, rows: readonly PartRow[], progress: string): Promise<void> {
    this.#write("fill", ({ db, sql }) => {
      const before = readMarks(db).target;
      if (before?.state !== "under-way") throw this.#fenced();
      if (before.progress === progress) return;
      const columns = storedColumns(part, dialect);
      const put = db.prepare(
        `INSERT INTO ${part.name} (${columns.map(({ name }) => name).join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
      );
      for (const row of rows) {
        const values = columns.map(({ name }) => row[name] ?? null);
        if (part.name === "process") {
          const program = sql.programId.get(text(row, "program"));
          values[columns.findIndex(({ name }) => name === "program")] =
            program === undefined ? 0 : number(program, "id");
        }
        put.run(...values);
      }
      db.prepare("UPDATE migration SET progress = ? WHERE role = 'target'").run(progress);
    });
  }

  async settle({ store, incarnation, lastKey, downtimeMs, aliveAtMs, clean, seqs }: Account): Promise<void> {
    this.#write("fill", ({ db }) => {
      db.prepare(
        `UPDATE meta SET store_id = ?, incarnation = max(incarnation, ?), clean = ?, alive_at_ms = ?, downtime_ms = ?, pruned_key = ?,
           owner_pid = NULL, owner_host = NULL`,
      ).run(store, incarnation, clean ? 1 : 0, aliveAtMs ?? null, downtimeMs, lastKey);
      for (const table of ["inbox", "dead_letter"] as const) {
        const seq = Math.max(seqs[table], lastSeq(this.#connection, table));
        db.prepare("DELETE FROM sqlite_sequence WHERE name = ?").run(table);
        db.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)").run(table, seq);
      }
      keepLogSeq(this.#connection, seqs.log);
    });
    // What is remembered here of a store of this id is of one that was here before.
    const seen = new Seen(this.place, store, true);
    noteSigns({ ...this.#connection, seen });
  }

  async complete(role: MigrationRole): Promise<void> {
    this.#write("hand over", ({ db }) => {
      if (role === "source") db.exec(countSign);
      const { changes } = db.prepare("UPDATE migration SET state = 'complete' WHERE role = ?").run(role);
      if (changes === 0) throw this.#fenced();
    });
    if (role === "source") noteSigns(this.#connection);
  }

  async withdraw(role: MigrationRole): Promise<void> {
    this.#write("give up the migration of", ({ db }) => {
      const { state } = readMarks(db)[role] ?? {};
      if (role === "target" && state === "complete") throw this.#fenced();
      if (role === "target" && state !== undefined) clear(this.#connection);
      db.prepare("DELETE FROM migration WHERE role = ?").run(role);
    });
  }

  async audit(report: (fault: StoreFault) => void, step: (done: number, total: number) => void): Promise<void> {
    await audit(this.#connection, report, step);
  }

  async foreignTables(): Promise<readonly string[]> {
    return this.#do("read", ({ db }) =>
      db
        .prepare(
          "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
        )
        .all()
        .map((row: Row) => text(row, "name"))
        .filter((name) => !engineNames.has(name.toLowerCase())),
    );
  }

  async close(): Promise<void> {
    const lock = this.#lock;
    this.#lock = undefined;
    const { db } = this.#connection;
    try {
      if (db.isOpen) db.close();
    } finally {
      lock?.release();
    }
  }

  #do<T>(doing: string, work: (connection: Connection) => T): T {
    try {
      return work(this.#connection);
    } catch (error) {
      throw storeError(this.place, doing, error);
    }
  }

  /** In one transaction, of one who owns the file. */
  #write<T>(doing: string, work: (connection: Connection) => T): T {
    this.#lock ??= takeOwnerLock(this.#connection);
    return this.#do(doing, (connection) => transaction(connection, () => work(connection)));
  }

  #fenced(): PerdureError {
    return new PerdureError(
      "STORE_FENCED",
      `The migration of the store ${this.place} was given up, or completed, meanwhile. Nothing of this write was kept.`,
      { details: { path: this.place } },
    );
  }
}

/** What is empty again is another store. */
function clear({ db }: Connection): void {
  for (const { name } of parts.toReversed()) db.exec(`DELETE FROM ${name}`);
  db.prepare("UPDATE meta SET store_id = ?, clean = 1, alive_at_ms = NULL, downtime_ms = 0, pruned_key = 0").run(
    randomUUID(),
  );
}

function lastSeq({ db }: Connection, table: SeqPart): number {
  const row = db.prepare("SELECT seq FROM sqlite_sequence WHERE name = ?").get(table);
  return row === undefined ? 0 : number(row, "seq");
}

/** The next line of `log` follows on the newest there is. So one of nobody's takes the place of those that are gone, until there is a newer. */
function keepLogSeq(connection: Connection, seq: number): void {
  if (seq <= lastLog(connection)) return;
  const { db } = connection;
  db.prepare("INSERT OR IGNORE INTO remains (process) VALUES (?)").run(nobody);
  db.prepare("INSERT INTO log (seq, process, turn, at_ms, level, text) VALUES (?, ?, 0, 0, 'log', '')").run(
    seq,
    nobody,
  );
}

function lastLog({ db }: Connection): number {
  return number(db.prepare("SELECT ifnull(max(seq), 0) AS seq FROM log").get() ?? {}, "seq");
}
