/** A group commit: everything of a batch, in the order of its fields, in the transaction of the caller. */
import { PerdureError } from "../../base/errors.ts";
import { encodePayload } from "../../journal/encoding.ts";
import type { CommitBatch, ProcessExit, ProcessKey, ProcessRow } from "../port.ts";
import { pidOf, programId, requireProcess } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { violatedKey } from "./errors.ts";
import { putInput } from "./inbox.ts";
import { putTurn } from "./journal.ts";
import { putOperation } from "./operations.ts";

const none: readonly never[] = [];

/** Returns the seqs that `batch.inbox` was given. */
export function applyBatch(connection: Connection, batch: CommitBatch): number[] {
  const { sql } = connection;
  for (const row of batch.newProcesses ?? none) putProcess(connection, row);
  for (const { process, turn } of batch.turns ?? none) putTurn(connection, process, turn);
  for (const row of batch.operations ?? none) putOperation(connection, row);
  for (const row of batch.operationsGone ?? none) sql.deleteOperation.run(row.process, row.number);
  for (const row of batch.timers ?? none) sql.putTimer.run(row.process, row.number, row.clock, row.dueMs);
  for (const row of batch.timersGone ?? none) sql.deleteTimer.run(row.process, row.number);
  for (const seq of batch.inboxGone ?? none) sql.deleteInput.run(seq);
  const inboxSeqs = (batch.inbox ?? none).map((row) => putInput(connection, row.process, row.input, row.atMs));
  for (const row of batch.logs ?? none) sql.putLog.run(row.process, row.turn, row.atMs, row.level, row.text);
  for (const { process, state, problem } of batch.states ?? none) {
    if (sql.setState.run(state, problem, process).changes === 0) throw notAlive(connection, process);
  }
  for (const { process, exit } of batch.exits ?? none) putExit(connection, process, exit);
  for (const row of batch.snapshots ?? none) {
    sql.putSnapshot.run(row.process, row.turn, row.body);
    sql.deleteOldSnapshots.run({ process: row.process });
  }
  return inboxSeqs;
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
  const { exit } = row;
  const ended =
    exit === undefined ? ([null, null, null] as const) : ([exit.atMs, exit.reason, encodePayload(exit.value)] as const);
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
      ...ended,
    );
  } catch (error) {
    throw processTaken(connection, row, error);
  }
}

function processTaken(connection: Connection, row: ProcessRow, error: unknown): unknown {
  const details = { path: connection.path, pid: row.pid, process: row.key };
  switch (violatedKey(error)) {
    case "process.pid":
      return new PerdureError(
        "PROCESS_ID_CONFLICT",
        `A process ${row.pid} exists already in the store ${connection.path}. Nothing of this commit was kept. Choose another id.`,
        { cause: error, details },
      );
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
}

/** The kernel decides who lives; a commit that contradicts the store shows that its picture is wrong. */
function notAlive(connection: Connection, process: ProcessKey): PerdureError {
  requireProcess(connection, process);
  const { path } = connection;
  return new PerdureError(
    "PROCESS_EXITED",
    `Cannot change the state of process ${pidOf(connection, process)} in the store ${path}: it has already exited. Nothing of this commit was kept.`,
    { details: { path, process } },
  );
}
