/**
 * Processes that are imported: put into the store in pieces, under a pid that nobody can name and in a state in which nothing happens,
 * until one commit makes them what they were.
 */
import { PerdureError } from "../base/errors.ts";
import type { Pid } from "../journal/types.ts";
import { arrivingPid } from "../store/exports.ts";
import type { Arrival, CommitBatch, OperationRow, ProcessKey, ProcessRow, Store, TimerRow } from "../store/port.ts";
import type { Attempts } from "./attempts.ts";
import type { Awaited } from "./awaited.ts";
import type { Committer } from "./batch.ts";
import { idIsName } from "./errors.ts";
import { queueInput } from "./live.ts";
import type { Names } from "./names.ts";
import { isExported } from "./registry.ts";
import type { Registry } from "./registry.ts";
import type { Shards } from "./shards.ts";

/** Rows of the process, of every kind that a batch has for one. They must be such that no store refuses them. */
export type ArrivingRows = Pick<
  CommitBatch,
  "turns" | "logs" | "edges" | "edgeEnds" | "deadLetters" | "restores" | "inbox"
>;

/** What comes last: with it the process may go on. */
export interface LastRows {
  readonly operations: readonly OperationRow[];
  /** On this store's clocks. */
  readonly timers: readonly TimerRow[];
  readonly checkpoints: NonNullable<CommitBatch["checkpoints"]>;
  readonly snapshots: NonNullable<CommitBatch["snapshots"]>;
  readonly arrival: Arrival;
}

export interface ArrivalsPorts {
  readonly store: Pick<Store, "findProcess" | "imported">;
  readonly committer: Committer;
  readonly registry: Registry;
  readonly names: Names;
  readonly attempts: Attempts;
  readonly awaited: Awaited;
  readonly shards: Pick<Shards, "any">;
  checkOpen(): void;
  newKey(): ProcessKey;
  timersSet(rows: readonly TimerRow[]): void;
}

export class Arrivals {
  readonly #ports: ArrivalsPorts;
  readonly #underway = new Set<string>();

  constructor(ports: ArrivalsPorts) {
    this.#ports = ports;
  }

  /**
   * Begins an import; what an interrupted one of the same file has left goes. Answers the key that the process has. Throws
   * IMPORT_REFUSED, PROCESS_ID_CONFLICT.
   */
  async begin(file: string, row: Omit<ProcessRow, "key" | "state" | "problem">): Promise<ProcessKey> {
    this.#ports.checkOpen();
    if (this.#underway.has(file)) throw refused(file, "it is just being imported by somebody else. Wait for that");
    this.#underway.add(file);
    try {
      await this.checkFree(file, row.pid);
      const left = await this.#ports.store.findProcess(arrivingPid(file));
      if (left !== undefined) await this.#remove(left.key);
      const key = this.#ports.newKey();
      const problem = `it is being imported from process file ${file}, as ${row.pid}`;
      const { stage } = this.#ports.committer;
      const shard = this.#ports.shards.any(row.pid);
      const place = shard === undefined ? {} : { shard };
      stage.newProcesses.push({ ...row, ...place, key, pid: arrivingPid(file), state: "moving", problem });
      await this.#ports.awaited.commit();
      return key;
    } catch (error) {
      this.#underway.delete(file);
      throw error;
    }
  }

  async put(rows: ArrivingRows): Promise<void> {
    this.#ports.checkOpen();
    const { stage } = this.#ports.committer;
    stage.turns.push(...(rows.turns ?? []));
    stage.logs.push(...(rows.logs ?? []));
    stage.edges.push(...(rows.edges ?? []));
    stage.edgeEnds.push(...(rows.edgeEnds ?? []));
    stage.deadLetters.push(...(rows.deadLetters ?? []));
    stage.restores.push(...(rows.restores ?? []));
    for (const { process, input, atMs } of rows.inbox ?? []) {
      const queued = queueInput(input, atMs);
      queued.spilled = true;
      stage.inbox.push({ process, queued });
    }
    await this.#ports.awaited.commit();
  }

  /** Resolves when the process is durably here, and goes on. Throws what `begin` throws; then it is not. */
  async finish(file: string, { operations, timers, checkpoints, snapshots, arrival }: LastRows): Promise<void> {
    const { committer, registry, attempts } = this.#ports;
    await this.checkFree(file, arrival.pid);
    this.#ports.checkOpen();
    if (registry.named(arrival.pid) !== undefined) throw conflict(arrival.pid);
    // Somebody may have looked at it by its key; what they hold is not what it is from now on.
    registry.discard(arrival.process);
    const { stage } = committer;
    stage.operations.push(...operations);
    stage.timers.push(...timers);
    stage.checkpoints.push(...checkpoints.map((row) => ({ ...row, ties: row.ties ?? [] })));
    stage.snapshots.push(...snapshots);
    stage.arrivals.push(arrival);
    registry.reserve(arrival.pid);
    try {
      await this.#ports.awaited.commit();
    } finally {
      registry.unreserve(arrival.pid);
    }
    this.#underway.delete(file);
    this.#ports.timersSet(timers);
    const live = await registry.activateKey(arrival.process);
    if (live !== undefined) attempts.resume(live);
  }

  /** Nothing of it stays. */
  async cancel(file: string, key: ProcessKey): Promise<void> {
    this.#underway.delete(file);
    await this.#remove(key);
  }

  async #remove(key: ProcessKey): Promise<void> {
    this.#ports.registry.discard(key);
    this.#ports.committer.stage.departures.push({ process: key });
    await this.#ports.awaited.commit();
  }

  /** Throws IMPORT_REFUSED, PROCESS_ID_CONFLICT. */
  async checkFree(file: string, pid: Pid): Promise<void> {
    const { store, registry, names } = this.#ports;
    const before = await store.imported(file);
    if (before !== undefined) {
      const at = new Date(before.atMs).toISOString();
      throw refused(
        file,
        `it was imported at ${at}, or its process came then in a later file. A file is imported once`,
      );
    }
    const known = await registry.known(pid);
    if (known !== undefined && !isExported(known)) throw conflict(pid);
    if (names.pidOf(pid) !== undefined) throw idIsName(pid);
  }
}

function refused(file: string, why: string): PerdureError {
  return new PerdureError("IMPORT_REFUSED", `The process file ${file} is not imported: ${why}.`, { details: { file } });
}

function conflict(pid: Pid): PerdureError {
  const message = `The process ${JSON.stringify(pid)} is not imported: the store has, or had, a process of that id. It can be imported into another store.`;
  return new PerdureError("PROCESS_ID_CONFLICT", message, { details: { pid } });
}
