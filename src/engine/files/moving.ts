/** Exports and imports on the kernel's side, a step at a time: bytes and rows cross the threads in pieces. */
import { isPerdureError, PerdureError } from "../../base/errors.ts";
import type { Clock } from "../../base/ports.ts";
import type { Pid } from "../../journal/types.ts";
import type { ArrivingRows, LastRows } from "../../kernel/arrivals.ts";
import { notOpen, toError } from "../../kernel/errors.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { KernelNotice } from "../../kernel/ports.ts";
import type { Handover, ProcessKey, ProgramRow, Store } from "../../store/port.ts";
import { takeHandedOver } from "./handed-over.ts";
import { onClock } from "./import.ts";
import type { ArrivingProgram, ArrivingRow, ImportTarget } from "./import.ts";
import { PostedMover } from "./posted-mover.ts";
import { exportProcess, sealBytes } from "./write.ts";
import type { FilePart, Mover } from "./write.ts";

export interface ExportRequest {
  /** The file's id. */
  readonly file: string;
  readonly detach: boolean;
  readonly force: boolean;
  readonly waitMs: number;
  readonly withEngine: boolean;
}

export interface MovingPorts {
  readonly store: Store;
  readonly kernel: Kernel;
  readonly clock: Clock;
  /** A program came with a process. */
  imported(program: ProgramRow): void;
  notice(notice: KernelNotice): void;
  /** Nothing goes on here, and nothing comes by itself. */
  readonly still: boolean;
}

const lookEveryMs = 1_000;

export class Moving {
  readonly #ports: MovingPorts;
  readonly #exports = new Map<string, AsyncGenerator<FilePart, void>>();
  #stopLooking: () => void = () => undefined;
  #looking: Promise<void> = Promise.resolve();
  #isStopped = false;
  /** Handovers that were told of. */
  readonly #waiting = new Set<string>();

  constructor(ports: MovingPorts) {
    this.#ports = ports;
    this.#look();
  }

  /** Now and then, whether somebody has handed a file over. If the store has a fault, it is asked again. */
  #look(): void {
    if (this.#ports.still || this.#isStopped) return;
    this.#stopLooking = this.#ports.clock.after(lookEveryMs, () => {
      this.#looking = this.#take().then(
        () => this.#look(),
        () => this.#look(),
      );
    });
  }

  async #take(): Promise<void> {
    const { store, kernel, clock } = this.#ports;
    const { handovers } = store;
    if (handovers === undefined || !kernel.moves.arrivals.areForAll) return;
    const nowMs = (): number => Math.trunc(clock.nowMs());
    await takeHandedOver({
      store,
      handovers,
      nowMs,
      isStopped: () => this.#isStopped || !kernel.isOpen,
      target: () => this.#target(),
      drop: async (file) => {
        await kernel.moves.arrivals.abandon(file);
        await kernel.moves.sweep();
      },
      waits: (handover, error) => this.#waits(handover, error),
    });
  }

  /** Said once of each, however often it is tried. */
  #waits({ id, file }: Handover, error: unknown): void {
    if (this.#waiting.has(id)) return;
    this.#waiting.add(id);
    const message = `The process file ${file} that was handed over is not imported yet, and is tried again: ${toError(error).message}`;
    this.#ports.notice({ kind: "import-waits", pid: "", message });
  }

  #target(): ImportTarget & { cancel(): Promise<void> } {
    let begun: { file: string; key: ProcessKey } | undefined;
    return {
      begin: async (file, row, program) => {
        const key = await this.importBegin(file, row, program);
        begun = { file, key };
        return key;
      },
      put: (rows) => this.importRows(rows),
      finish: async (file, rows, serviceMs) => {
        await this.importFinish(file, rows, serviceMs);
        begun = undefined;
      },
      cancel: async () => {
        if (begun !== undefined) await this.importCancel(begun.file, begun.key);
        if (!this.#ports.kernel.isOpen) throw notOpen(true);
      },
    };
  }

  /** Before the kernel is closed. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopLooking();
    for (const file of this.#exports.keys()) await this.end(file).catch(() => undefined);
    await this.#looking;
  }

  /** Nothing happens before the first part is asked for. */
  begin(pid: Pid, { file, detach, force, waitMs, withEngine }: ExportRequest): void {
    const { store, kernel, clock } = this.#ports;
    const { moves } = kernel;
    const request = { detach, force, waitMs };
    const here: Mover = {
      hold: () => moves.hold(pid, { file, ...request }),
      leave: (body) => moves.leave(pid, { file, detach, ...body }),
      back: () => moves.back(pid, file),
    };
    const there = new PostedMover(store, pid, { file, request, isNodeRunning: () => Promise.resolve(true) });
    const mover: Mover = {
      hold: () => elsewhereToo(here, there, (each) => each.hold()),
      leave: (body) => elsewhereToo(here, there, (each) => each.leave(body)),
      back: () => elsewhereToo(here, there, (each) => each.back()),
    };
    const options = { file, nowMs: Math.trunc(clock.nowMs()), withEngine };
    this.#exports.set(file, exportProcess(store, pid, mover, options));
  }

  /** Undefined at the end. */
  async next(file: string): Promise<FilePart | undefined> {
    const { value, done } = (await this.#exports.get(file)?.next()) ?? { value: undefined, done: true };
    if (done !== true) return value;
    this.#exports.delete(file);
    return undefined;
  }

  /** No more parts are asked for. What is left in the store of a process that has gone goes as well. */
  async end(file: string): Promise<void> {
    await this.#exports.get(file)?.return();
    this.#exports.delete(file);
    await this.#ports.kernel.moves.sweep();
  }

  /** Throws PROCESS_NOT_FOUND if no such process was exported. */
  async seal(pid: Pid): Promise<Uint8Array> {
    const row = await this.#ports.store.exported(pid);
    if (row !== undefined) return sealBytes(row);
    throw new PerdureError("PROCESS_NOT_FOUND", `No process ${JSON.stringify(pid)} was exported from this store.`, {
      details: { pid },
    });
  }

  async importBegin(file: string, row: ArrivingRow, { program, blobs }: ArrivingProgram): Promise<ProcessKey> {
    const { store, kernel } = this.#ports;
    await kernel.moves.arrivals.checkFree(file, row.pid);
    if ((await store.program(program.hash)) === undefined) {
      await kernel.back();
      await store.putProgram(program, blobs);
      this.#ports.imported(program);
    }
    return await kernel.moves.arrivals.begin(file, row);
  }

  async importRows(rows: ArrivingRows): Promise<void> {
    await this.#ports.kernel.moves.arrivals.put(rows);
  }

  async importFinish(file: string, rows: LastRows, serviceMs: number): Promise<void> {
    const { kernel } = this.#ports;
    await kernel.moves.arrivals.finish(file, onClock(rows, kernel.serviceMs - serviceMs));
  }

  async importCancel(file: string, key: ProcessKey): Promise<void> {
    await this.#ports.kernel.moves.arrivals.cancel(file, key);
    await this.#ports.kernel.moves.sweep();
  }
}

/** Each step is done by whoever owns the process then: that may change in between. */
async function elsewhereToo<T>(here: Mover, there: Mover, ask: (mover: Mover) => Promise<T>): Promise<T> {
  try {
    return await ask(here);
  } catch (error) {
    if (!isPerdureError(error, "PROCESS_ELSEWHERE")) throw error;
    return await ask(there);
  }
}
