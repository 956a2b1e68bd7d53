/** Processes that arrive from another store: the last step of an import. */
import type { Arrival } from "../../exports.ts";
import { statement, step } from "../wire/session.ts";
import type { Step } from "../wire/session.ts";

const deleteExported = statement("DELETE FROM ~.exported WHERE pid = $1", "text");
const checkArrival = statement(
  `SELECT CAST('perdure|' || why || '|' || CAST($1 AS text) || '|0|0|' ||
            CASE why WHEN 'nobody' THEN 'number ' || CAST($1 AS text) ELSE '|' || $2 END AS bigint)
   FROM (SELECT CASE
     WHEN EXISTS (SELECT 1 FROM ~.tombstone WHERE pid = $2) THEN 'pid'
     WHEN NOT EXISTS (SELECT 1 FROM ~.process WHERE key = $1 AND state = 'moving') THEN 'nobody'
     WHEN EXISTS (SELECT 1 FROM ~.process WHERE pid = $2 AND key <> $1) THEN 'pid' END AS why) AS bad
   WHERE why IS NOT NULL`,
  "int8",
  "text",
);
const setArrived = statement(
  "UPDATE ~.process SET pid = $2, state = $3, problem = '' WHERE key = $1 AND state = 'moving'",
  ...(["int8", "text", "text"] as const),
);
const letGo = statement("DELETE FROM ~.reserved WHERE pid = $1", "text");
const putImported = statement(
  "INSERT INTO ~.imported (file, pid, at_ms) SELECT file, $2, $3 FROM unnest($1) AS t (file) ON CONFLICT DO NOTHING",
  ...(["text[]", "text", "int8"] as const),
);

export function arrivals(rows: readonly Arrival[], atMs: number): Step[] {
  return rows.flatMap(({ process, pid, state, files }) => [
    step(deleteExported, pid),
    step(checkArrival, process, pid),
    step(setArrived, process, pid, state),
    step(letGo, pid),
    step(putImported, files, pid, atMs),
  ]);
}
