/** What a store remembers of a migration that it is one end of. */
import { number, text, word, wordSet } from "../columns.ts";
import type { Mark, Marks, MigrationRole } from "../migration/port.ts";
import type { Line } from "./line.ts";
import { statement } from "./wire/session.ts";

const roles: ReadonlySet<MigrationRole> = wordSet<MigrationRole>({ source: true, target: true });
const states: ReadonlySet<Mark["state"]> = wordSet<Mark["state"]>({ "under-way": true, complete: true });

const list = statement("SELECT role, id, state, place, store_id, at_ms, progress FROM ~.migration");

export async function readMarks(line: Line): Promise<Marks> {
  const marks: Partial<Record<MigrationRole, Mark>> = {};
  for (const row of await line.all(list)) {
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
