/** The journal's rows: turns, appended in order and read back only as they were written. */
import { PerdureError } from "../../base/errors.ts";
import { decodeTurn, encodeTurn } from "../../journal/encoding.ts";
import type { Turn } from "../../journal/types.ts";
import type { ProcessKey } from "../port.ts";
import { checksum } from "../checksum.ts";
import { journalCorrupt, verified } from "./checksum.ts";
import type { RowName } from "./checksum.ts";
import { bytes, number } from "../columns.ts";
import type { Row } from "../columns.ts";
import { pidOf, requireProcess } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { violatedKey } from "./errors.ts";

/** Beyond this many processes the memory of their last turns starts over. */
const maxLastTurns = 100_000;

export function putTurn(connection: Connection, process: ProcessKey, turn: Turn): void {
  const { lastTurns, sql } = connection;
  const last = lastTurns.get(process) ?? lastTurnNumber(connection, process);
  if (last === 0) requireProcess(connection, process);
  if (turn.number !== last + 1) throw outOfOrder(connection, process, turn.number, last);
  const body = encodeTurn(turn);
  try {
    sql.putTurn.run(process, turn.number, turn.timeMs, checksum(body, process, turn.number), body);
  } catch (error) {
    throw violatedKey(error) === "" ? error : outOfOrder(connection, process, turn.number, turn.number, error);
  }
  if (lastTurns.size >= maxLastTurns) lastTurns.clear();
  lastTurns.set(process, turn.number);
}

function outOfOrder(
  connection: Connection,
  process: ProcessKey,
  turn: number,
  last: number,
  cause?: unknown,
): PerdureError {
  const { path } = connection;
  const taken = turn <= last;
  const reason = taken ? "it is in the journal already" : `the last one there is ${last}`;
  return new PerdureError(
    taken ? "STORE_FENCED" : "STORE_FAILED",
    `Cannot commit turn ${turn} of process ${pidOf(connection, process)} to the store ${path}: ${reason}, so this node's picture of the process is wrong. Nothing of this commit was kept. Restart the engine.`,
    { cause, details: { path, process, turn, last } },
  );
}

/** Rows a read fetches at a time: a longer statement would keep the write-ahead log from starting over. */
const pageRows = 500;

/** Turns `from` … of a process, at most `limit`; refuses gaps. None of one that has been pruned, even in between. */
export function readTurns(connection: Connection, process: ProcessKey, from: number, limit: number): Turn[] {
  const turns: Turn[] = [];
  let next = Math.max(1, from);
  while (turns.length < limit) {
    const wanted = Math.min(pageRows, limit - turns.length);
    const rows = connection.sql.turns.all(process, next, wanted);
    for (const row of rows) turns.push(readTurn(connection, process, row, next++));
    if (rows.length < wanted) break;
  }
  return turns.length === 0 || connection.sql.pidOf.get(process) !== undefined ? turns : [];
}

/** 0 before the first. */
export function lastTurnNumber({ sql }: Connection, process: ProcessKey): number {
  return number(sql.lastTurn.get(process) ?? {}, "turn");
}

export function readLastTurn(connection: Connection, process: ProcessKey): Turn | undefined {
  const row = connection.sql.lastTurnRow.get(process);
  return row === undefined ? undefined : readTurn(connection, process, row, number(row, "turn"));
}

function readTurn(connection: Connection, process: ProcessKey, row: Row, expected: number): Turn {
  const name: RowName = { noun: "Turn", detail: "turn", value: expected };
  if (number(row, "turn") !== expected) throw journalCorrupt(connection, process, name, "it is missing");
  const stored = { body: bytes(row, "body"), crc: number(row, "crc"), process, index: expected };
  return verified(connection, stored, name, decodeTurn);
}
