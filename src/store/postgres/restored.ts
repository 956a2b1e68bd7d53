/**
 * Which database a store lives in: that of another server, or another database of the same one, holds a copy. A copy that replaced the
 * original in its own server, or a server that was put back to an earlier time, is not told from the original: all that could remember it went
 * back with it.
 */
import { PerdureError } from "../../base/errors.ts";
import { text } from "../columns.ts";
import { ServerError } from "./wire/errors.ts";
import { statement, step } from "./wire/session.ts";
import type { Session } from "./wire/session.ts";

const whereabouts = statement(
  `SELECT CAST(s.system_identifier AS text) || '/' || CAST(d.oid AS text) AS place
   FROM pg_control_system() AS s, pg_catalog.pg_database AS d WHERE d.datname = current_database()`,
);
const remembered = statement("SELECT place FROM ~.meta");
const accept = statement("UPDATE ~.meta SET place = $1", "text");

/** For another function than PostgreSQL has, or without the right to call it. */
const unknown = /^(?:42|0A)/;

/** "" for a server that does not say. */
export async function placeOf(session: Session): Promise<string> {
  try {
    const [found] = await session.run([step(whereabouts)]);
    return text(found?.rows[0] ?? {}, "place");
  } catch (error) {
    if (error instanceof ServerError && unknown.test(error.sqlState)) return "";
    throw error;
  }
}

/** Throws STORE_RESTORED if the store was made, or accepted, in another database. */
export async function checkPlace(session: Session, path: string, isAccepted: boolean): Promise<void> {
  const place = await placeOf(session);
  const [meta] = await session.run([step(remembered)]);
  const before = text(meta?.rows[0] ?? {}, "place");
  if (place === before || place === "") return;
  if (before !== "" && !isAccepted) throw restored(path);
  await session.run([step(accept, place)]);
}

function restored(path: string): PerdureError {
  return new PerdureError(
    "STORE_RESTORED",
    `The store ${path} is a copy: it was made in another database than this one. If the original has run since, the processes in this one would do again what they have done there. Nothing was changed. Read "After a restore" in docs/deploying.md, then let it go on with: perdure accept-restored --store URL`,
    { details: { path } },
  );
}
