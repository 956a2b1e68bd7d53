/** Everything a commit can be refused for, found before any of it is applied. */
import { PerdureError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import type { CommitBatch, ProcessKey, ProcessRow } from "../port.ts";

/** What is looked at of a disk. */
export interface CheckedDisk {
  readonly programs: ReadonlyMap<string, unknown>;
  readonly processes: ReadonlyMap<ProcessKey, { readonly turns: readonly unknown[] }>;
  readonly keys: ReadonlyMap<string, ProcessKey>;
  readonly tombstones: ReadonlyMap<string, unknown>;
  readonly exported: ReadonlyMap<string, unknown>;
  readonly names: ReadonlyMap<string, ProcessKey>;
  /** Others may have pruned the receivers of inputs, if several nodes own it. */
  readonly shared: object | undefined;
  record(process: ProcessKey): { readonly row: ProcessRow };
}

export function checkBatch(disk: CheckedDisk, batch: CommitBatch): void {
  const fresh = checkNewProcesses(disk, batch.newProcesses);
  checkTurns(disk, batch, fresh);
  const { operations, timers, inbox, edges, logs, snapshots, names, groups, checkpoints, deadLetters } = batch;
  const received = disk.shared === undefined ? inbox : undefined;
  for (const part of [operations, timers, received, edges, logs, snapshots, names, groups, checkpoints, deadLetters]) {
    for (const { process } of part ?? []) find(disk, fresh, process);
  }
  for (const { a, b } of batch.links ?? []) for (const process of [a, b]) find(disk, fresh, process);
  for (const { watcher, target } of batch.monitors ?? []) {
    for (const process of [watcher, target]) find(disk, fresh, process);
  }
  checkChanges(disk, batch, fresh);
  for (const { process } of batch.departures ?? []) find(disk, fresh, process);
  for (const { process, pid } of batch.arrivals ?? []) {
    if (find(disk, fresh, process).state !== "moving")
      throw refuse("PROCESS_NOT_FOUND", `process number ${process} is not moving`);
    if (disk.keys.has(pid) || disk.tombstones.has(pid))
      throw refuse("PROCESS_ID_CONFLICT", `a process ${pid} exists already`);
  }
}

const hexadecimal = /^(?:[0-9a-f]{2})*$/;

type Fresh = ReadonlyMap<ProcessKey, ProcessRow>;

function checkNewProcesses(disk: CheckedDisk, rows: readonly ProcessRow[] = []): Fresh {
  const fresh = new Map<ProcessKey, ProcessRow>();
  const pids = new Set<string>();
  for (const row of rows) {
    if (!disk.programs.has(row.program)) {
      throw refuse(
        "STORE_FAILED",
        `process ${row.pid} runs program ${row.program}, which is not in the store. Put it first`,
      );
    }
    if (disk.processes.has(row.key) || fresh.has(row.key)) {
      throw refuse("STORE_FENCED", `process number ${row.key}, meant for ${row.pid}, is taken`);
    }
    const wasTaken = row.parent === "" && (disk.tombstones.has(row.pid) || disk.exported.has(row.pid));
    if (disk.keys.has(row.pid) || pids.has(row.pid) || wasTaken) {
      throw refuse("PROCESS_ID_CONFLICT", `a process ${row.pid} exists already`);
    }
    if (!hexadecimal.test(row.argsDigest)) {
      throw refuse("ARGUMENT_INVALID", `process ${row.pid} has the digest ${JSON.stringify(row.argsDigest)}`);
    }
    fresh.set(row.key, row);
    pids.add(row.pid);
  }
  return fresh;
}

function checkTurns(disk: CheckedDisk, batch: CommitBatch, fresh: Fresh): void {
  const lastTurns = new Map<ProcessKey, number>();
  for (const { process, turn } of batch.turns ?? []) {
    const { pid } = find(disk, fresh, process);
    const last = lastTurns.get(process) ?? disk.processes.get(process)?.turns.length ?? 0;
    if (turn.number <= last)
      throw refuse("STORE_FENCED", `turn ${turn.number} of process ${pid} is in the journal already`);
    if (turn.number > last + 1)
      throw refuse("STORE_FAILED", `turn ${turn.number} of process ${pid} has no turn before it`);
    lastTurns.set(process, turn.number);
  }
}

/** In the order of the batch's fields: the first thing that is wrong decides what the commit is refused for. */
function checkChanges(disk: CheckedDisk, batch: CommitBatch, fresh: Fresh): void {
  const exited = new Set<ProcessKey>();
  const checkAlive = (process: ProcessKey): void => {
    const { pid, state } = find(disk, fresh, process);
    if (state === "exited" || exited.has(process)) throw refuse("PROCESS_EXITED", `process ${pid} has already exited`);
  };
  for (const { process } of [...(batch.states ?? []), ...(batch.traps ?? [])]) checkAlive(process);
  checkNames(disk, batch);
  for (const { process } of batch.restores ?? []) checkAlive(process);
  for (const { process } of batch.exits ?? []) {
    checkAlive(process);
    exited.add(process);
  }
}

function checkNames(disk: CheckedDisk, batch: CommitBatch): void {
  const given = new Map<string, ProcessKey>();
  for (const { name, process } of batch.names ?? []) {
    const holder = given.get(name) ?? (batch.namesGone?.includes(name) === true ? undefined : disk.names.get(name));
    if (holder !== undefined && holder !== process) {
      throw refuse("STORE_FENCED", `the name ${JSON.stringify(name)} is that of process number ${holder}`);
    }
    given.set(name, process);
  }
}

function find(disk: CheckedDisk, fresh: Fresh, process: ProcessKey): ProcessRow {
  return fresh.get(process) ?? disk.record(process).row;
}

function refuse(code: ErrorCode, reason: string): PerdureError {
  return new PerdureError(code, `The commit was refused and nothing of it kept: ${reason}.`);
}
