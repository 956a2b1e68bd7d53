/** A group commit: everything of a batch, in the order of its fields, in the transaction of the caller. */
import { PerdureError } from "../../base/errors.ts";
import { encodePayload } from "../../journal/encoding.ts";
import type { CommitBatch, ProcessExit, ProcessKey, ProcessRow, Store } from "../port.ts";
import { notAlive, pidOf, programId } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { violatedKey } from "./errors.ts";
import { applyEdges } from "./edges.ts";
import { applyMoves } from "./exports.ts";
import { putInput } from "./inbox.ts";
import { putTurn } from "./journal.ts";
import { applyLives } from "./lives.ts";
import { putOperation } from "./operations.ts";
import { applyRelations } from "./relations.ts";

const none: readonly never[] = [];

type Committed = Awaited<ReturnType<Store["commit"]>>;

export function applyBatch(connection: Connection, batch: CommitBatch): Committed {
  const { sql } = connection;
  for (const row of batch.newProcesses ?? none) putProcess(connection, row);
  for (const { process, turn } of batch.turns ?? none) putTurn(connection, process, turn);
  for (const row of batch.operations ?? none) putOperation(connection, row);
  for (const row of batch.operationsGone ?? none) sql.deleteOperation.run(row.process, row.number);
  for (const row of batch.timers ?? none) sql.putTimer.run(row.process, row.number, row.clock, row.dueMs);
  for (const row of batch.timersGone ?? none) sql.deleteTimer.run(row.process, row.number);
  for (const seq of batch.inboxGone ?? none) sql.deleteInput.run(seq);
  const inboxSeqs = (batch.inbox ?? none).map((row) => putInput(connection, row.process, row.input, row.atMs));
  const superseded = applyEdges(connection, batch);
  for (const row of batch.logs ?? none) sql.putLog.run(row.process, row.turn, row.atMs, row.level, row.text);
  for (const { process, state, problem, exit } of batch.states ?? none) {
    const columns = exitColumns(state === "crashed" ? exit : undefined);
    if (sql.setState.run(state, problem, ...columns, process).changes === 0) throw notAlive(connection, process);
  }
  for (const { process, on } of batch.traps ?? none) {
    if (sql.setTraps.run(on ? 1 : 0, process).changes === 0) throw notAlive(connection, process);
  }
  applyRelations(connection, batch);
  applyLives(connection, batch);
  for (const { process, exit } of batch.exits ?? none) putExit(connection, process, exit);
  for (const row of batch.snapshots ?? none) {
    sql.putSnapshot.run(row.process, row.turn, row.body);
    sql.deleteOldSnapshots.run({ process: row.process });
  }
  applyMoves(connection, batch);
  return { inboxSeqs, superseded };
}

function putProcess(connection: Connection, row: ProcessRow): void {
  const program = programId(connection, row.program);
  if (program === undefined) {
    throw new PerdureError(
      "STORE_FAILED",
      `Process ${row.pid} runs program ${row.program}, which is not in the store ${connection.path}. Put the program first.`,
      { details: { path: connection.path, pid: row.pid, program: row.program } },
    );
  }
  // The others' pids are made of their parents', and never come twice.
  if (row.parent === "" && connection.sql.isPidTaken.get(row.pid) !== undefined) throw pidTaken(connection, row);
  const digest = Buffer.from(row.argsDigest, "hex");
  if (digest.toString("hex") !== row.argsDigest) {
    throw new PerdureError(
      "ARGUMENT_INVALID",
      `Process ${row.pid} has the digest ${JSON.stringify(row.argsDigest)}. Give it in lower-case hexadecimal digits.`,
      { details: { pid: row.pid } },
    );
  }
  try {
    connection.sql.putProcess.run(
      row.key,
      row.pid,
      program,
      row.entry,
      digest,
      row.state,
      row.problem,
      row.startedAtMs,
      row.parent === "" ? null : row.parent,
      row.label,
      row.role,
      row.restarts,
      row.needs,
      row.held ? 1 : 0,
      row.trapsExits ? 1 : 0,
      row.life,
      ...exitColumns(row.exit),
    );
  } catch (error) {
    throw processTaken(connection, row, error);
  }
}

/** Pruned processes count. */
function pidTaken({ path }: Connection, { pid, key }: ProcessRow, cause?: unknown): PerdureError {
  return new PerdureError(
    "PROCESS_ID_CONFLICT",
    `A process ${pid} exists already in the store ${path}. Nothing of this commit was kept. Choose another id.`,
    { cause, details: { path, pid, process: key } },
  );
}

function processTaken(connection: Connection, row: ProcessRow, error: unknown): unknown {
  const details = { path: connection.path, pid: row.pid, process: row.key };
  switch (violatedKey(error)) {
    case "process.pid":
      return pidTaken(connection, row, error);
    case "process.key":
      return new PerdureError(
        "STORE_FENCED",
        `Process number ${row.key}, meant for ${row.pid}, is taken by ${pidOf(connection, row.key)} in the store ${connection.path}: this node's picture of the store is out of date. Nothing of this commit was kept. Restart the engine.`,
        { cause: error, details },
      );
    default:
      return error;
  }
}

function putExit(connection: Connection, process: ProcessKey, exit: ProcessExit): void {
  const { sql } = connection;
  const { changes } = sql.setExit.run(exit.atMs, exit.reason, encodePayload(exit.value), process);
  if (changes === 0) throw notAlive(connection, process);
  sql.deleteOperations.run(process);
  sql.deleteTimers.run(process);
  sql.deleteInbox.run(process);
  sql.deleteSnapshots.run(process);
  sql.deleteCheckpoint.run(process);
  sql.deleteCheckpointTies.run(process);
  sql.deleteLinks.run(process);
  sql.deleteMonitors.run(process);
  sql.deleteNames.run(process);
  sql.deleteMemberships.run(process);
}

function exitColumns(exit: ProcessExit | undefined): readonly [number | null, string | null, Uint8Array | null] {
  return exit === undefined ? [null, null, null] : [exit.atMs, exit.reason, encodePayload(exit.value)];
}
