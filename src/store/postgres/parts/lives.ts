/** What a process goes on from after it failed: checkpoints, restores and snapshots; and messages that were set aside for it. */
import { checksum, restoreBody } from "../../checksum.ts";
import { encodeInput, encodePayload } from "../../../journal/encoding.ts";
import type { CommitBatch } from "../../port.ts";
import { statement, step } from "../wire/session.ts";
import type { Step } from "../wire/session.ts";
import { lastOf } from "./last.ts";
import { alive } from "./raise.ts";
import { some } from "./relations.ts";

type Part<K extends keyof CommitBatch> = NonNullable<CommitBatch[K]>;

export function lives({ checkpoints, restores, deadLetters, deadLettersGone }: CommitBatch): Step[] {
  return [
    ...some(checkpoints, putCheckpoints),
    ...some(restores, putRestores),
    ...some(deadLetters, putLetters),
    ...some(deadLettersGone, (seqs) => [step(deleteLetters, seqs)]),
  ];
}

const upsertCheckpoints = statement(
  `INSERT INTO ~.checkpoint (process, turn, crc, body) SELECT * FROM unnest($1, $2, $3, $4)
   ON CONFLICT (process) DO UPDATE SET turn = excluded.turn, crc = excluded.crc, body = excluded.body`,
  ...(["int8[]", "int8[]", "int8[]", "bytea[]"] as const),
);
const deleteTies = statement("DELETE FROM ~.checkpoint_tie WHERE process = ANY ($1)", "int8[]");
const putTies = statement(
  "INSERT INTO ~.checkpoint_tie (process, target) SELECT * FROM unnest($1, $2) ON CONFLICT DO NOTHING",
  "int8[]",
  "int8[]",
);

function putCheckpoints(rows: Part<"checkpoints">): Step[] {
  const last = lastOf(rows, (row) => row.process);
  const processes = last.map((row) => row.process);
  const ties = last.flatMap(({ process, ties: targets = [] }) => targets.map((target) => ({ process, target })));
  return [
    step(
      upsertCheckpoints,
      processes,
      last.map((row) => row.turn),
      last.map((row) => checksum(row.body, row.process, row.turn)),
      last.map((row) => row.body),
    ),
    step(deleteTies, processes),
    ...some(ties, (all) => [
      step(
        putTies,
        all.map((row) => row.process),
        all.map((row) => row.target),
      ),
    ]),
  ];
}

const setLives = statement(
  `UPDATE ~.process AS p SET life = t.life FROM unnest($1, $2) AS t (process, life) WHERE p.key = t.process AND p.state <> 'exited'`,
  "int8[]",
  "int8[]",
);
const upsertRestores = statement(
  `INSERT INTO ~.restore (process, turn, from_turn, crc) SELECT * FROM unnest($1, $2, $3, $4)
   ON CONFLICT (process, turn) DO UPDATE SET from_turn = excluded.from_turn, crc = excluded.crc`,
  ...(["int8[]", "int8[]", "int8[]", "int8[]"] as const),
);
const forgetSnapshots = statement(
  `DELETE FROM ~.snapshot AS s USING unnest($1, $2, $3) AS t (process, from_turn, turn)
   WHERE s.process = t.process AND s.turn > t.from_turn AND s.turn < t.turn`,
  ...(["int8[]", "int8[]", "int8[]"] as const),
);

function putRestores(rows: Part<"restores">): Step[] {
  const lastLives = lastOf(rows, (row) => row.process);
  const last = lastOf(rows, (row) => `${row.process} ${row.turn}`);
  return [
    alive(rows.map((row) => row.process)),
    step(
      setLives,
      lastLives.map((row) => row.process),
      lastLives.map((row) => row.life),
    ),
    step(
      upsertRestores,
      last.map((row) => row.process),
      last.map((row) => row.turn),
      last.map((row) => row.from),
      last.map((row) => checksum(restoreBody(row.from), row.process, row.turn)),
    ),
    step(
      forgetSnapshots,
      rows.map((row) => row.process),
      rows.map((row) => row.from),
      rows.map((row) => row.turn),
    ),
  ];
}

const insertLetters = statement(
  `INSERT INTO ~.dead_letter (process, at_ms, reason, value, crc, input)
   SELECT process, at_ms, reason, value, crc, input
   FROM unnest($1, $2, $3, $4, $5, $6) WITH ORDINALITY AS t (process, at_ms, reason, value, crc, input, n) ORDER BY n`,
  ...(["int8[]", "int8[]", "text[]", "bytea[]", "int8[]", "bytea[]"] as const),
);
const deleteLetters = statement("DELETE FROM ~.dead_letter WHERE seq = ANY ($1)", "int8[]");

function putLetters(rows: Part<"deadLetters">): Step[] {
  const inputs = rows.map((row) => encodeInput(row.input));
  return [
    step(
      insertLetters,
      rows.map((row) => row.process),
      rows.map((row) => row.atMs),
      rows.map((row) => row.reason),
      rows.map((row) => encodePayload(row.value)),
      rows.map((row, i) => checksum(inputs[i] ?? new Uint8Array(), row.process, 0)),
      inputs,
    ),
  ];
}

const upsertSnapshots = statement(
  `INSERT INTO ~.snapshot (process, turn, body) SELECT * FROM unnest($1, $2, $3)
   ON CONFLICT (process, turn) DO UPDATE SET body = excluded.body`,
  ...(["int8[]", "int8[]", "bytea[]"] as const),
);
// The two newest, and the newest that is not after the checkpoint.
const deleteOldSnapshots = statement(
  `DELETE FROM ~.snapshot AS s USING unnest($1) AS t (process)
   WHERE s.process = t.process
     AND s.turn < (SELECT turn FROM ~.snapshot AS x WHERE x.process = t.process ORDER BY turn DESC LIMIT 1 OFFSET 1)
     AND s.turn IS DISTINCT FROM (SELECT max(x.turn) FROM ~.snapshot AS x JOIN ~.checkpoint AS c ON c.process = x.process
                                  WHERE x.process = t.process AND x.turn <= c.turn)`,
  "int8[]",
);

export function snapshots(rows: Part<"snapshots">): Step[] {
  const last = lastOf(rows, (row) => `${row.process} ${row.turn}`);
  return [
    step(
      upsertSnapshots,
      last.map((row) => row.process),
      last.map((row) => row.turn),
      last.map((row) => row.body),
    ),
    step(deleteOldSnapshots, [...new Set(rows.map((row) => row.process))]),
  ];
}
