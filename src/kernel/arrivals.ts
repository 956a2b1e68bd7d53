/**
 * Processes that are imported: put into the store in pieces, under a pid that nobody can name and in a state in which nothing happens,
 * until one commit makes them what they were.
 */
import { isPerdureError, PerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { Pid } from "../journal/types.ts";
import { arrivingPid } from "../store/exports.ts";
import type { Arrival, CommitBatch, OperationRow, ProcessKey, ProcessRow, Store, TimerRow } from "../store/port.ts";
import type { Attempts } from "./attempts.ts";
import type { Awaited } from "./awaited.ts";
import type { Committer } from "./batch.ts";
import type { Births } from "./births.ts";
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
  readonly clock: Clock;
  readonly committer: Committer;
  readonly registry: Registry;
  readonly names: Names;
  readonly attempts: Attempts;
  readonly awaited: Awaited;
  readonly births: Pick<Births, "ask" | "reserve">;
  readonly shards: Pick<Shards, "hasFirst" | "isMine" | "isShared" | "keep" | "release">;
  /** Asks the node that owns it to drop what an interrupted import of this file has left. */
  askToDrop(file: string): Promise<void>;
  checkOpen(): void;
  /** The kernel fails if it does. */
  run(work: Promise<unknown>): void;
  newKey(): ProcessKey;
  timersSet(rows: readonly TimerRow[]): void;
}

/** How long other nodes may take to give this one a share, to drop what an import has left, or to begin what they keep a pid for. */
const patienceMs = 5_000;
const lookMs = 20;
const askEveryMs = 1_000;

export class Arrivals {
  readonly #ports: ArrivalsPorts;
  /** Files, and the shards that their processes come into: those are not given up meanwhile. */
  readonly #underway = new Map<string, number | undefined>();

  constructor(ports: ArrivalsPorts) {
    this.#ports = ports;
  }

  /** Of the nodes that own a store one imports what is handed over to all. */
  get areForAll(): boolean {
    return this.#ports.shards.hasFirst;
  }

  /**
   * Begins an import; what an interrupted one of the same file has left goes. Answers the key that the process has. Throws
   * IMPORT_REFUSED, PROCESS_ID_CONFLICT.
   */
  async begin(file: string, row: Omit<ProcessRow, "key" | "state" | "problem">): Promise<ProcessKey> {
    this.#ports.checkOpen();
    if (this.#underway.has(file)) throw passing(file, underWay);
    this.#underway.set(file, undefined);
    try {
      const shard = await this.#place(file);
      this.#underway.set(file, shard);
      await this.checkFree(file, row.pid);
      // From here to the commit there is nothing to wait for, and nothing that may fail: this node keeps the pid.
      await this.#clear(file);
      const key = this.#ports.newKey();
      const problem = `it is being imported from process file ${file}, as ${row.pid}`;
      const { stage } = this.#ports.committer;
      const place = shard === undefined ? {} : { shard };
      stage.newProcesses.push({ ...row, ...place, key, pid: arrivingPid(file), state: "moving", problem });
      await this.#ports.awaited.commit();
      await this.#checkAgain(file, row.pid, key);
      return key;
    } catch (error) {
      this.#end(file);
      throw error;
    }
  }

  /** Another node may have imported it until a moment ago. */
  async #checkAgain(file: string, pid: Pid, key: ProcessKey): Promise<void> {
    try {
      await this.checkFree(file, pid);
    } catch (error) {
      await this.#remove(key);
      throw error;
    }
  }

  /** A node that has just come gets its share in a moment. Throws IMPORT_REFUSED. */
  async #place(file: string): Promise<number | undefined> {
    const { shards, clock } = this.#ports;
    for (let waitedMs = 0; ; waitedMs += lookMs) {
      const shard = shards.keep(file);
      if (shard !== undefined || !shards.isShared) return shard;
      if (waitedMs >= patienceMs) throw passing(file, noShard);
      await new Promise<void>((resolve) => void clock.after(lookMs, resolve));
    }
  }

  #end(file: string): void {
    const shard = this.#underway.get(file);
    this.#underway.delete(file);
    if (shard !== undefined) this.#ports.shards.release(shard);
  }

  /** What an interrupted import of the file has left goes, and no other node begins another one. Throws IMPORT_REFUSED. */
  async #clear(file: string): Promise<void> {
    const { store, clock, shards, births, askToDrop } = this.#ports;
    const pid = arrivingPid(file);
    for (let waitedMs = 0; ; waitedMs += lookMs) {
      const left = await store.findProcess(pid);
      if (left !== undefined && shards.isMine(left)) await this.#remove(left.key);
      if ((left === undefined || shards.isMine(left)) && (await births.ask(pid))) return;
      // It may change hands meanwhile: then this node is its owner, or nobody can be asked yet.
      if (waitedMs >= patienceMs) throw passing(file, underWay);
      if (left !== undefined && waitedMs % askEveryMs === 0) await askToDrop(file).catch(unlessGone);
      await new Promise<void>((resolve) => void clock.after(lookMs, resolve));
    }
  }

  /** What is left of it goes, whosever it is. */
  async abandon(file: string): Promise<void> {
    const left = await this.#ports.store.findProcess(arrivingPid(file));
    if (left === undefined) return;
    if (this.#ports.shards.isMine(left)) await this.drop(file);
    else await this.#ports.askToDrop(file).catch(unlessGone);
  }

  /** Another node wants to import the file. */
  async drop(file: string): Promise<void> {
    const left = await this.#ports.store.findProcess(arrivingPid(file));
    if (left !== undefined && this.#ports.shards.isMine(left) && !this.#underway.has(file))
      await this.#remove(left.key);
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
    const { committer, registry, attempts, births } = this.#ports;
    await this.checkFree(file, arrival.pid);
    // Nothing may come between this and the commit.
    const isKept = await births.reserve(arrival.pid, true, patienceMs);
    this.#ports.checkOpen();
    if (isKept === undefined) throw passing(file, beginsElsewhere);
    const isTaken = registry.named(arrival.pid) !== undefined || registry.isReserved(arrival.pid);
    if (!isKept || isTaken) throw conflict(arrival.pid);
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
    this.#ports.timersSet(timers);
    // It is here: what goes wrong from now on is not the import's.
    const goesOn = registry.activateKey(arrival.process).then((live) => {
      if (live !== undefined) attempts.resume(live);
    });
    this.#ports.run(goesOn);
    await goesOn.catch(() => undefined);
    this.#end(file);
  }

  /** Nothing of it stays. */
  async cancel(file: string, key: ProcessKey): Promise<void> {
    await this.#remove(key);
    this.#end(file);
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

/** It has just been dropped. */
function unlessGone(error: unknown): void {
  if (!isPerdureError(error, "PROCESS_NOT_FOUND")) throw error;
}

const underWay = "it is just being imported by somebody else. Wait for that";
const beginsElsewhere = "another node is about to begin a process of that id. Try again";
const noShard = "this node owns no part of the store at this moment. Try again, or import it by another node";

function refused(file: string, why: string): PerdureError {
  return new PerdureError("IMPORT_REFUSED", `The process file ${file} is not imported: ${why}.`, { details: { file } });
}

/** It may be imported in a while. */
function passing(file: string, why: string): PerdureError {
  const { code, message } = refused(file, why);
  return new PerdureError(code, message, { details: { file, passing: true } });
}

export function isPassing({ details }: PerdureError): boolean {
  return details["passing"] === true;
}

function conflict(pid: Pid): PerdureError {
  const message = `The process ${JSON.stringify(pid)} is not imported: the store has, or had, a process of that id. It can be imported into another store.`;
  return new PerdureError("PROCESS_ID_CONFLICT", message, { details: { pid } });
}
