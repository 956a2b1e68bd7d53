/** What a store remembers of a migration that it is one end of. */
import type { DatabaseSync } from "node:sqlite";
import { marksOf, selectMarks } from "../migration/marks.ts";
import type { Marks } from "../migration/port.ts";
import { refusalToWrite } from "../migration/refusals.ts";
import type { Connection } from "./connection.ts";

export function readMarks(db: DatabaseSync): Marks {
  return marksOf(db.prepare(selectMarks("")).all());
}

/** To be called in the transaction of a write: another program may have begun to move the store. */
export function checkNotMoved({ db, path, sql }: Connection): void {
  if (sql.isMoved.get() === undefined) return;
  const refused = refusalToWrite(path, readMarks(db));
  if (refused !== undefined) throw refused;
}
