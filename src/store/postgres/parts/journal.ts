/** The journal's rows: turns, appended in order. */
import { checksum } from "../../checksum.ts";
import { encodeTurn } from "../../../journal/encoding.ts";
import type { CommitBatch, ProcessKey } from "../../port.ts";
import { statement, step } from "../wire/session.ts";
import type { Step } from "../wire/session.ts";
import { ownShards, raise, raised } from "./raise.ts";

const checkFirst = statement(
  `SELECT CASE WHEN pid IS NULL
            THEN ${raised("nobody", "process", "turn", "last", "'number ' || CAST(process AS text)")}
            WHEN NOT own THEN ${raised("shard", "process", "turn", "last", "pid")}
            ELSE ${raised("turn", "process", "turn", "last", "pid")} END
   FROM (SELECT * FROM (
     SELECT t.process, t.turn, n, p.pid, p.shard = ANY (${ownShards("$3")}) AS own, coalesce((SELECT max(j.turn) FROM ~.journal AS j WHERE j.process = t.process), 0) AS last
     FROM unnest($1, $2) WITH ORDINALITY AS t (process, turn, n) LEFT JOIN ~.process AS p ON p.key = t.process) AS rows
   WHERE pid IS NULL OR NOT own OR turn <> last + 1 ORDER BY n LIMIT 1) AS bad`,
  "int8[]",
  "int8[]",
  "int8",
);

const putTurns = statement(
  "INSERT INTO ~.journal (process, turn, at_ms, crc, body) SELECT * FROM unnest($1, $2, $3, $4, $5)",
  ...(["int8[]", "int8[]", "int8[]", "int8[]", "bytea[]"] as const),
);

/** The database says whether the processes are in shards of the incarnation, and what the first of each process follows on; the others follow on it. */
export function turns(rows: NonNullable<CommitBatch["turns"]>, incarnation: number): Step[] {
  const lasts = new Map<ProcessKey, number>();
  const firsts: { process: ProcessKey; turn: number }[] = [];
  let flaw: Step | undefined;
  for (const { process, turn } of rows) {
    const last = lasts.get(process);
    if (last === undefined) firsts.push({ process, turn: turn.number });
    else if (turn.number !== last + 1) {
      flaw = raise("turn", process, turn.number, last);
      break;
    }
    lasts.set(process, turn.number);
  }
  const check = step(
    checkFirst,
    firsts.map((row) => row.process),
    firsts.map((row) => row.turn),
    incarnation,
  );
  if (flaw !== undefined) return [check, flaw];
  const bodies = rows.map(({ turn }) => encodeTurn(turn));
  return [
    check,
    step(
      putTurns,
      rows.map(({ process }) => process),
      rows.map(({ turn }) => turn.number),
      rows.map(({ turn }) => turn.timeMs),
      rows.map(({ process, turn }, i) => checksum(bodies[i] ?? new Uint8Array(), process, turn.number)),
      bodies,
    ),
  ];
}
