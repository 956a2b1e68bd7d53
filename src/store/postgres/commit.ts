/** A group commit as the steps of one transaction: everything of a batch, in the order of its fields. */
import type { CommitBatch, Store } from "../port.ts";
import { text } from "../columns.ts";
import type { Row } from "../columns.ts";
import { askedColumns, edgeEnds, edges } from "./parts/edges.ts";
import { turns } from "./parts/journal.ts";
import { lives, snapshots } from "./parts/lives.ts";
import {
  inboxGone,
  inboxTurn,
  inputColumns,
  logs,
  operations,
  operationsGone,
  timers,
  timersGone,
} from "./parts/pending.ts";
import { exits, newProcesses, states, traps } from "./parts/processes.ts";
import { relations, some } from "./parts/relations.ts";
import { statement, step } from "./wire/session.ts";
import type { Step } from "./wire/session.ts";

export type Committed = Awaited<ReturnType<Store["commit"]>>;

/** Who writes, and the how-manieth of its writes this is. */
export interface WriteId {
  readonly incarnation: number;
  readonly number: number;
}

export interface CommitPlan {
  /** Before the receipt. */
  readonly before: readonly Step[];
  readonly receipt: (id: WriteId) => Step;
  readonly after: readonly Step[];
}

const putReceipt = statement(
  "INSERT INTO ~.receipt (incarnation, number, at_ms) VALUES ($1, $2, $3) RETURNING put, gone",
  ...(["int8", "int8", "int8"] as const),
);

/** The receipt of a write that puts nothing into the inbox. */
export function receipt({ incarnation, number }: WriteId, atMs: number | null): Step {
  return step(putReceipt, incarnation, number, atMs);
}

const putInputs = statement(
  `WITH gone AS (
     DELETE FROM ~.inbox AS i
     USING unnest($8, $9, $10) WITH ORDINALITY AS t (process, key, digest, n)
       JOIN ~.edge AS e ON e.process = t.process AND e.key = t.key AND e.digest = t.digest
     WHERE i.seq = e.posted RETURNING i.seq, t.n),
   put AS (
     INSERT INTO ~.inbox (process, at_ms, crc, input)
     SELECT process, at_ms, crc, input
     FROM unnest($4, $5, $6, $7) WITH ORDINALITY AS t (process, at_ms, crc, input, n) ORDER BY n RETURNING seq)
   INSERT INTO ~.receipt (incarnation, number, at_ms, put, gone)
   SELECT $1, $2, $3, (SELECT string_agg(CAST(seq AS text), ' ' ORDER BY seq) FROM put),
     (SELECT string_agg(CAST(seq AS text), ' ' ORDER BY n) FROM gone)
   RETURNING put, gone`,
  ...(["int8", "int8", "int8", "int8[]", "int8[]", "int8[]", "bytea[]", "int8[]", "text[]", "bytea[]"] as const),
);

export function planCommit(batch: CommitBatch, incarnation: number): CommitPlan {
  const { atMs, inbox = [], edges: asked = [] } = batch;
  const before = [
    ...some(batch.newProcesses, (rows) => newProcesses(rows, incarnation)),
    ...some(batch.turns, turns),
    ...some(batch.operations, operations),
    ...some(batch.operationsGone, operationsGone),
    ...some(batch.timers, timers),
    ...some(batch.timersGone, timersGone),
    ...some(batch.inboxGone, inboxGone),
    ...some(batch.edges, edges),
    ...some(inbox, () => [inboxTurn]),
  ];
  const after = [
    ...some(batch.edgeEnds, edgeEnds),
    ...some(batch.logs, logs),
    ...some(batch.states, states),
    ...some(batch.traps, traps),
    ...relations(batch),
    ...lives(batch),
    ...some(batch.exits, exits),
    ...some(batch.snapshots, snapshots),
  ];
  if (inbox.length === 0 && asked.length === 0) return { before, receipt: (id) => receipt(id, atMs), after };
  const columns = [...inputColumns(inbox), ...askedColumns(asked)];
  return { before, receipt: (id) => step(putInputs, id.incarnation, id.number, atMs, ...columns), after };
}

/** What the receipt says a commit has led to. */
export function readCommitted(row: Row): Committed {
  return { inboxSeqs: readSeqs(row, "put"), superseded: readSeqs(row, "gone") };
}

function readSeqs(row: Row, column: string): number[] {
  return row[column] === null ? [] : text(row, column).split(" ").map(Number);
}
