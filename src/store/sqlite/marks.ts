/** What a store remembers of a migration that it is one end of. */
import type { DatabaseSync } from "node:sqlite";
import { number, text, word, wordSet } from "../columns.ts";
import type { Mark, Marks, MigrationRole } from "../migration/port.ts";
import { refusalToWrite } from "../migration/refusals.ts";
import type { Connection } from "./connection.ts";

const roles: ReadonlySet<MigrationRole> = wordSet<MigrationRole>({ source: true, target: true });
const states: ReadonlySet<Mark["state"]> = wordSet<Mark["state"]>({ "under-way": true, complete: true });

export function readMarks(db: DatabaseSync): Marks {
  const marks: Partial<Record<MigrationRole, Mark>> = {};
  for (const row of db.prepare("SELECT role, id, state, place, store_id, at_ms, progress FROM migration").all()) {
    const role = word(row, "role", roles);
    marks[role] = {
      id: text(row, "id"),
      role,
      state: word(row, "state", states),
      place: text(row, "place"),
      store: text(row, "store_id"),
      atMs: number(row, "at_ms"),
      progress: text(row, "progress"),
    };
  }
  return marks;
}

/** To be called in the transaction of a write: another program may have begun to move the store. */
export function checkNotMoved({ db, path, sql }: Connection): void {
  if (sql.isMoved.get() === undefined) return;
  const refused = refusalToWrite(path, readMarks(db));
  if (refused !== undefined) throw refused;
}
