/** A group commit as the steps of one transaction: everything of a batch, in the order of its fields. */
import type { CommitBatch, Store } from "../port.ts";
import { text } from "../columns.ts";
import type { Row } from "../columns.ts";
import { askedColumns, edgeEnds, edges } from "./parts/edges.ts";
import { inputs } from "./parts/inbox.ts";
import { turns } from "./parts/journal.ts";
import { lives, snapshots } from "./parts/lives.ts";
import { counterLocks, ownership, processLocks } from "./parts/locks.ts";
import type { Owner } from "./parts/locks.ts";
import { inboxGone, logs, operations, operationsGone, timers, timersGone } from "./parts/pending.ts";
import { exits, newProcesses, states, traps } from "./parts/processes.ts";
import { nameChanges, relations, some } from "./parts/relations.ts";
import { away, dropped, lastWords } from "./parts/ties.ts";
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
  /** It may have to wait for another node's commit, and, at the worst, be done again. */
  readonly mayWait: boolean;
}

const putReceipt = statement(
  "INSERT INTO ~.receipt (incarnation, number, at_ms) VALUES ($1, $2, $3) RETURNING put, gone",
  ...(["int8", "int8", "int8"] as const),
);

/** The receipt of a write that puts nothing into the inbox. */
export function receipt({ incarnation, number }: WriteId, atMs: number | null): Step {
  return step(putReceipt, incarnation, number, atMs);
}

export function planCommit(batch: CommitBatch, owner: Owner): CommitPlan {
  const { atMs, inbox = [], edges: asked = [], exits: ending = [], away: others } = batch;
  const before = [
    ...processLocks(batch, owner),
    ...some(batch.newProcesses, newProcesses),
    ...ownership(batch, owner),
    ...some(batch.turns, (rows) => turns(rows, owner.incarnation)),
    ...some(batch.operations, operations),
    ...some(batch.operationsGone, operationsGone),
    ...some(batch.timers, timers),
    ...some(batch.timersGone, timersGone),
    ...some(batch.inboxGone, inboxGone),
    ...some(batch.edges, edges),
    ...some(batch.edgeEnds, edgeEnds),
    ...some(batch.logs, logs),
    ...some(batch.states, states),
    ...some(batch.traps, traps),
    ...relations(batch, owner),
    ...lives(batch),
    ...nameChanges(batch),
    // From here on others may wait for this commit to end.
    ...counterLocks(batch, owner),
    ...(others === undefined ? [] : dropped(others, owner)),
  ];
  const after = [
    ...(others === undefined ? [] : away(others, owner)),
    ...some(ending, (rows) => exits(rows, lastWords(rows, batch, owner))),
    ...some(batch.snapshots, snapshots),
  ];
  const mayWait =
    inbox.length > 0 ||
    ending.length > 0 ||
    others !== undefined ||
    [batch.newProcesses, batch.names, batch.groups, batch.departures, batch.arrivals].some(isSome);
  if (inbox.length === 0 && asked.length === 0) return { before, receipt: (id) => receipt(id, atMs), after, mayWait };
  const columns = askedColumns(asked);
  return {
    before,
    receipt: (id) => inputs([id.incarnation, id.number, atMs], inbox, columns, owner),
    after,
    mayWait,
  };
}

function isSome(rows: readonly unknown[] | undefined): boolean {
  return rows !== undefined && rows.length > 0;
}

/** What the receipt says a commit has led to. */
export function readCommitted(row: Row): Committed {
  return { inboxSeqs: readSeqs(row, "put"), superseded: readSeqs(row, "gone") };
}

function readSeqs(row: Row, column: string): number[] {
  return row[column] === null ? [] : text(row, column).split(" ").map(Number);
}
