/** What callers of the kernel may hear. */
import { PerdureError } from "../base/errors.ts";
import type { Pid } from "../journal/types.ts";
import type { OperationRow, ProcessRow, Tombstone } from "../store/port.ts";

export function notFound(pid: Pid): PerdureError {
  return new PerdureError("PROCESS_NOT_FOUND", `There is no process with the pid ${JSON.stringify(pid)}.`, {
    details: { pid },
  });
}

export function broken(row: ProcessRow): PerdureError {
  const code = row.problem.startsWith("diverged") ? "PROCESS_DIVERGED" : "PROCESS_BROKEN";
  return new PerdureError(code, `The process ${JSON.stringify(row.pid)} cannot go on: ${row.problem}`, {
    details: { pid: row.pid },
  });
}

export function exited(pid: Pid): PerdureError {
  return new PerdureError("PROCESS_EXITED", `The process ${JSON.stringify(pid)} has already exited.`, {
    details: { pid },
  });
}

/** It is another node's to do; whoever asks has to write it to the store. */
export function elsewhere({ pid, shard }: ProcessRow): PerdureError {
  return new PerdureError("PROCESS_ELSEWHERE", `The process ${JSON.stringify(pid)} is on another node.`, {
    details: { pid, shard },
  });
}

/** It has a tombstone, and that does not hold what it ended with. */
export function resultPruned({ pid, exit: { atMs, reason }, valueBytes }: Tombstone): PerdureError {
  const message = `The process ${JSON.stringify(pid)} ended with ${reason} and was pruned; what it ended with, ${valueBytes} bytes, was too large to be kept. Look it up in an archive if there is one.`;
  return new PerdureError("PROCESS_PRUNED", message, { details: { pid, reason, atMs, valueBytes } });
}

/** `entry`: the one asked for now. */
export function startConflict({ pid, entry: before }: Pick<ProcessRow, "pid" | "entry">, entry: string): PerdureError {
  const difference = before === entry ? "other arguments" : "another entry";
  const message = `A process with the id ${JSON.stringify(pid)} was started before, as ${JSON.stringify(before || "default")}, with ${difference}. Use another id for another piece of work.`;
  return new PerdureError("PROCESS_ID_CONFLICT", message, { details: { pid } });
}

/** Whoever writes to it would be heard by the process that has the name. */
export function idIsName(pid: Pid): PerdureError {
  const message = `${JSON.stringify(pid)} cannot be a process's id: a process is registered under that name. Choose another id.`;
  return new PerdureError("PROCESS_ID_CONFLICT", message, { details: { pid } });
}

/** A process of this node's is not in the store: it has been another's, who has ended it, and nobody has told this node. */
export function processGone(pid: Pid): PerdureError {
  const message = `The process ${JSON.stringify(pid)} is not in the store any more: this node's picture of the store is out of date. Nothing committed is lost; open the engine again.`;
  return new PerdureError("STORE_FENCED", message, { details: { pid } });
}

/** A transaction may have been kept although it was reported lost. Whoever opens the store finds what became of it. */
export function operationGone(pid: Pid, { number, name }: OperationRow): PerdureError {
  const message = `Operation ${number} (${name}) of process ${JSON.stringify(pid)} has no row in the store: this node's picture of the store is out of date. Nothing committed is lost; open the engine again.`;
  return new PerdureError("STORE_FENCED", message, { details: { pid, operation: number } });
}

export function notOpen(failed: boolean): PerdureError {
  return failed
    ? new PerdureError("ENGINE_FAILED", "The engine has stopped because of a failure; open it again to go on.")
    : new PerdureError("ENGINE_CLOSED", "The engine is closed.");
}

/** For those who wait for something of a process. */
export function closed(): PerdureError {
  return new PerdureError(
    "ENGINE_CLOSED",
    "The engine was closed. The process goes on when the store is opened again.",
  );
}

export function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
