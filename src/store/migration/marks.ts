/** Marks as the rows of a table: what SQLite and PostgreSQL read alike. */
import { number, text, word } from "../columns.ts";
import type { Row } from "../columns.ts";
import { markStates, migrationRoles } from "./port.ts";
import type { Mark, Marks, MigrationRole } from "./port.ts";

export const selectMarks = (schema: string): string =>
  `SELECT role, id, state, place, store_id, at_ms, progress FROM ${schema}migration`;

export function marksOf(rows: readonly Row[]): Marks {
  const marks: Partial<Record<MigrationRole, Mark>> = {};
  for (const row of rows) {
    const role = word(row, "role", migrationRoles);
    marks[role] = {
      id: text(row, "id"),
      role,
      state: word(row, "state", markStates),
      place: text(row, "place"),
      store: text(row, "store_id"),
      atMs: number(row, "at_ms"),
      progress: text(row, "progress"),
    };
  }
  return marks;
}
