/** What stops writers from using a store that is one end of a migration. */
import type { PerdureError } from "../../../base/errors.ts";
import type { Mark, MigrationRole } from "../../migration/port.ts";
import { refusalToWrite } from "../../migration/refusals.ts";
import { statement } from "../wire/session.ts";
import type { Statement } from "../wire/session.ts";
import { raised } from "./raise.ts";

/**
 * Fails the transaction of whoever would own the store, or writes from outside, while it moves. It has to see what has been committed
 * when the transaction's first lock was had: behind `lockStore`, or a row of `receipt`.
 */
export const checkNotMoved: Statement = statement(
  `SELECT ${raised("moved", "0", "0", "0", "role || '|' || state || '|' || place")} FROM ~.migration
   WHERE role = 'source' OR state = 'under-way' ORDER BY role LIMIT 1`,
);

/** `said`: the text of that refusal. */
export function movedError(path: string, said: string): PerdureError | undefined {
  const [role = "", state = "", ...place] = said.split("|");
  const about = { id: "", store: "", atMs: 0, progress: "", place: place.join("|") };
  const mark: Mark = { ...about, role: role as MigrationRole, state: state as Mark["state"] };
  return refusalToWrite(path, { [mark.role]: mark });
}
