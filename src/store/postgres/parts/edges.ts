/** What callers outside asked under keys, and what became of it. */
import { checksum, edgeBody } from "../../checksum.ts";
import { encodePayload } from "../../../journal/encoding.ts";
import type { EdgeEnd, EdgeRow, NewEdge } from "../../port.ts";
import { statement, step } from "../wire/session.ts";
import type { Step } from "../wire/session.ts";
import { firstOf } from "./last.ts";
import { there } from "./raise.ts";

const putEdges = statement(
  `INSERT INTO ~.edge (process, key, at_ms, digest, about, state, crc)
   SELECT process, key, at_ms, digest, about, state, crc
   FROM unnest($1, $2, $3, $4, $5, $6, $7) WITH ORDINALITY AS t (process, key, at_ms, digest, about, state, crc, n) ORDER BY n
   ON CONFLICT (process, key) DO NOTHING`,
  ...(["int8[]", "text[]", "int8[]", "bytea[]", "text[]", "text[]", "int8[]"] as const),
);

const named = (row: Pick<EdgeRow, "process" | "key">): string => `${row.process} ${row.key}`;
const asked = (row: Pick<EdgeRow, "process" | "key" | "digest">): string => `${row.process} ${row.digest} ${row.key}`;

export function edges(rows: readonly NewEdge[]): Step[] {
  const first = firstOf(rows, named);
  return [
    there(rows.map((row) => row.process)),
    step(
      putEdges,
      first.map((row) => row.process),
      first.map((row) => row.key),
      first.map((row) => row.atMs),
      first.map((row) => Buffer.from(row.digest, "hex")),
      first.map((row) => row.about),
      first.map((row) => row.state),
      first.map((row) => edgeChecksum(row, undefined)),
    ),
  ];
}

/** Of those that may take the place of posted inputs: process, key, digest. */
export function askedColumns(rows: readonly NewEdge[]): readonly [number[], string[], Uint8Array[]] {
  const first = firstOf(rows, asked);
  return [
    first.map((row) => row.process),
    first.map((row) => row.key),
    first.map((row) => Buffer.from(row.digest, "hex")),
  ];
}

const endEdges = statement(
  `UPDATE ~.edge AS e SET state = t.state, crc = t.crc, answer = t.answer
   FROM unnest($1, $2, $3, $4, $5, $6) AS t (process, key, digest, state, crc, answer)
   WHERE e.process = t.process AND e.key = t.key AND e.digest = t.digest
     AND (e.state = 'open' OR (t.state = 'answered' AND e.state IN ('set-aside', 'forgotten')))`,
  ...(["int8[]", "text[]", "bytea[]", "text[]", "int8[]", "bytea[]"] as const),
);

/** One after the other, the first answer would stay, and without one the first of the other ends. */
export function edgeEnds(rows: readonly EdgeEnd[]): Step[] {
  const answered = rows.filter((row) => row.state === "answered");
  const ends = firstOf([...answered, ...rows], asked);
  const answers = ends.map((row) => (row.answer === undefined ? undefined : encodePayload(row.answer)));
  return [
    step(
      endEdges,
      ends.map((row) => row.process),
      ends.map((row) => row.key),
      ends.map((row) => Buffer.from(row.digest, "hex")),
      ends.map((row) => row.state),
      ends.map((row, i) => edgeChecksum(row, answers[i])),
      answers.map((answer) => answer ?? null),
    ),
  ];
}

type Covered = Pick<EdgeRow, "process" | "key" | "digest" | "state">;

export function edgeChecksum(row: Covered, answer: Uint8Array | undefined): number {
  return checksum(edgeBody(row, answer), row.process, 0);
}
