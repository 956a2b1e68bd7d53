/** From the records of a process file to rows of a store, in pieces. */
import { createHash } from "node:crypto";
import { PerdureError } from "../../base/errors.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../kernel/checkpoint-body.ts";
import type { ArrivingRows, LastRows } from "../../kernel/arrivals.ts";
import { engineHash, readEngineBinary } from "../../machine/engine-binary.ts";
import type { CommitBatch, OperationRow, ProcessKey, ProcessRow, ProgramRow, TimerRow } from "../../store/port.ts";
import type { FileHeader, FileInput, FileProcess, FileRecord, FileSeal } from "./format.ts";
import type { FileLine } from "./read.ts";

export interface ArrivingProgram {
  readonly program: ProgramRow;
  readonly blobs: readonly { readonly hash: string; readonly bytes: Uint8Array }[];
}

export type ArrivingRow = Omit<ProcessRow, "key" | "state" | "problem">;

/** Where a process is put. */
export interface ImportTarget {
  /** Answers the key that it has there. */
  begin(file: string, row: ArrivingRow, program: ArrivingProgram): Promise<ProcessKey>;
  put(rows: ArrivingRows): Promise<void>;
  /** `rows` have the clock of the store that it left: service time stood at `serviceMs` there. */
  finish(file: string, rows: LastRows, serviceMs: number): Promise<void>;
}

type Mutable = {
  -readonly [K in keyof ArrivingRows]-?: NonNullable<ArrivingRows[K]> extends readonly (infer R)[] ? R[] : never;
};

const pageRows = 500;
const pageBytes = 4 << 20;

export interface Imported {
  readonly file: string;
  readonly pid: string;
}

/** Puts a process into all of the targets, step by step in each. What the first refuses never reaches the next. */
export async function importProcess(
  lines: AsyncIterable<FileLine>,
  targets: readonly ImportTarget[],
  paused: boolean,
): Promise<Imported> {
  const importer = new Importer(targets, paused);
  for await (const line of lines) await importer.take(line);
  return await importer.finish();
}

class Importer {
  readonly #targets: readonly ImportTarget[];
  readonly #paused: boolean;
  #keys: readonly ProcessKey[] = [];
  #header: FileHeader | undefined;
  #process: FileProcess | undefined;
  #program: ProgramRow | undefined;
  #seal: FileSeal | undefined;
  readonly #blobs = new Map<string, Uint8Array>();
  readonly #letters: Extract<FileRecord, { kind: "letter" }>["letter"][] = [];
  readonly #operations: Omit<OperationRow, "process">[] = [];
  readonly #timers: Omit<TimerRow, "process">[] = [];
  readonly #snapshots: { turn: number; body: Uint8Array }[] = [];
  readonly #checkpoints: { turn: number; body: Uint8Array }[] = [];
  /** Operations whose results wait. */
  readonly #ended = new Set<number>();
  #rows = emptyRows();
  #begun = false;
  #count = 0;
  #sizeBytes = 0;

  constructor(targets: readonly ImportTarget[], paused: boolean) {
    this.#targets = targets;
    this.#paused = paused;
  }

  async take({ record, sizeBytes }: FileLine): Promise<void> {
    if (!this.#begun && afterProcess(record)) await this.#begin();
    this.#take(record);
    this.#count++;
    this.#sizeBytes += sizeBytes;
    if (this.#begun && (this.#count >= pageRows || this.#sizeBytes >= pageBytes)) await this.#flush();
  }

  /** Process numbers are filled in for each target: here they are 0. */
  #take(record: FileRecord): void {
    const rows = this.#rows;
    switch (record.kind) {
      case "file":
        this.#header = record.file;
        return;
      case "program":
        this.#program = record.program;
        return;
      case "blob":
        this.#blobs.set(record.hash, record.bytes);
        return;
      case "process":
        this.#process = record.process;
        return;
      case "restore":
        rows.restores.push({ process: 0, life: this.#process?.life ?? 1, ...record.restore });
        return;
      case "turn":
        rows.turns.push({ process: 0, turn: record.turn });
        return;
      case "log":
        rows.logs.push({ process: 0, ...record.log });
        return;
      case "edge": {
        const { state, answer, ...edge } = record.edge;
        rows.edges.push({ process: 0, ...edge, state: state === "sent" ? "sent" : "open" });
        const { key, digest } = edge;
        if (state === "answered" && answer !== undefined)
          rows.edgeEnds.push({ process: 0, key, digest, state, answer });
        if (state === "set-aside" || state === "forgotten") rows.edgeEnds.push({ process: 0, key, digest, state });
        return;
      }
      case "input":
        return this.#takeInput(record.input);
      default:
        return this.#keep(record);
    }
  }

  /** What comes at the end. */
  #keep(record: FileRecord): void {
    if (record.kind === "snapshot") this.#snapshots.push(record.snapshot);
    else if (record.kind === "checkpoint") this.#checkpoints.push(record.checkpoint);
    else if (record.kind === "letter") this.#letters.push(record.letter);
    else if (record.kind === "operation") this.#operations.push(record.operation);
    else if (record.kind === "timer") this.#timers.push(record.timer);
    else if (record.kind === "seal") this.#seal = record.seal;
  }

  #takeInput({ input, atMs, asked }: FileInput): void {
    this.#rows.inbox.push({ process: 0, input, atMs });
    if (asked !== undefined) this.#rows.edges.push({ process: 0, atMs, ...asked });
    if (input.kind === "result") this.#ended.add(input.operation);
  }

  async #begin(): Promise<void> {
    this.#begun = true;
    const [header, process, program] = [this.#header, this.#process, this.#program];
    if (header === undefined || process === undefined || program === undefined)
      throw new PerdureError(
        "FILE_DAMAGED",
        "The process file has no program. Copy it again from where it was exported to.",
      );
    const arriving = { program, blobs: blobsOf(program, this.#blobs) };
    const { paused: _, lastTurn: __, files: ___, ...row } = process;
    if (row.program !== program.hash) throw damaged(header, "its process runs another program");
    checkProgram(header, arriving);
    const keys: ProcessKey[] = [];
    for (const target of this.#targets) keys.push(await target.begin(header.id, row, arriving));
    this.#keys = keys;
    this.#blobs.clear();
  }

  async #flush(): Promise<void> {
    const rows = this.#rows;
    this.#rows = emptyRows();
    [this.#count, this.#sizeBytes] = [0, 0];
    for (const [index, target] of this.#targets.entries()) await target.put(numbered(rows, this.#keys[index] ?? 0));
  }

  async finish(): Promise<Imported> {
    const [header, process, seal] = [this.#header, this.#process, this.#seal];
    if (header === undefined || process === undefined || seal === undefined) throw new Error("the file had no seal");
    const counting = new Set(seal.letters);
    for (const { seq, ...letter } of this.#letters)
      if (counting.has(seq)) this.#rows.deadLetters.push({ process: 0, ...letter });
    await this.#flush();
    const state = this.#paused || process.paused ? "paused" : "running";
    const operations = this.#operations.filter(({ number }) => !this.#ended.has(number));
    for (const [index, target] of this.#targets.entries()) {
      const key = this.#keys[index] ?? 0;
      const own = <T>(rows: readonly T[]): (T & { process: ProcessKey })[] =>
        rows.map((row) => ({ ...row, process: key }));
      const last: LastRows = {
        operations: own(operations),
        timers: own(this.#timers),
        checkpoints: own(this.#checkpoints),
        snapshots: own(this.#snapshots),
        arrival: { process: key, pid: header.pid, state, files: [header.id, ...process.files] },
      };
      await target.finish(header.id, last, seal.serviceMs);
    }
    return { file: header.id, pid: header.pid };
  }
}

function emptyRows(): Mutable {
  return { turns: [], logs: [], edges: [], edgeEnds: [], deadLetters: [], restores: [], inbox: [] };
}

function afterProcess({ kind }: FileRecord): boolean {
  return kind !== "file" && kind !== "program" && kind !== "blob" && kind !== "process";
}

function numbered(rows: Mutable, process: ProcessKey): ArrivingRows {
  return Object.fromEntries(
    Object.entries(rows).map(([name, list]) => [name, (list as object[]).map((row) => ({ ...row, process }))]),
  ) as ArrivingRows;
}

/** The engine binary is in the file, or in this release. */
function blobsOf(
  { bundle, sourceMap, prelude, engine }: ProgramRow,
  blobs: ReadonlyMap<string, Uint8Array>,
): ArrivingProgram["blobs"] {
  const found = [bundle, sourceMap, prelude, engine].flatMap((hash) => {
    const bytes = blobs.get(hash) ?? (hash === engineHash ? readEngineBinary() : undefined);
    return bytes === undefined ? [] : [{ hash, bytes }];
  });
  return found;
}

/** A program's hash says all that makes a process run as it does. */
function checkProgram(header: FileHeader, { program, blobs }: ArrivingProgram): void {
  const { hash, bundle, sourceMap, prelude, engine } = program;
  if (engine !== engineHash) {
    const message = `The process ${header.pid} runs on the engine binary ${engine}, and this release of Perdure runs ${engineHash}. Import the file with a release that runs that one.`;
    throw new PerdureError("ENGINE_BINARY", message, { details: { file: header.id, engine } });
  }
  const text = blobs.find((blob) => blob.hash === bundle)?.bytes;
  const isThere = [sourceMap, prelude].every((blob) => blobs.some((each) => each.hash === blob));
  if (text === undefined || !isThere) throw damaged(header, "its program is not whole");
  const parts = ["perdure program", prelude, engine, Buffer.from(text).toString("utf8")];
  if (createHash("sha256").update(parts.join("\n")).digest("hex") !== hash)
    throw damaged(header, "its program has another hash than it says");
}

function damaged({ id }: FileHeader, reason: string): PerdureError {
  const message = `The process file ${id} does not hold what was written: ${reason}. Copy it again from where it was exported to.`;
  return new PerdureError("FILE_DAMAGED", message, { details: { file: id } });
}

/** On a clock that stands `aheadMs` ahead of the one that service timers were set on. */
export function onClock(rows: LastRows, aheadMs: number): LastRows {
  const moved = <T extends Pick<TimerRow, "clock" | "dueMs">>(timer: T): T =>
    timer.clock === "service" ? { ...timer, dueMs: timer.dueMs + aheadMs } : timer;
  return {
    ...rows,
    timers: rows.timers.map(moved),
    checkpoints: rows.checkpoints.map((row) => {
      const body = decodeCheckpoint(row.body);
      return { ...row, body: encodeCheckpoint({ ...body, timers: body.timers.map(moved) }) };
    }),
  };
}

/** The last step as one batch. */
export function lastBatch(
  { operations, timers, checkpoints, snapshots, arrival }: LastRows,
  atMs: number,
): CommitBatch {
  return { atMs, operations, timers, checkpoints, snapshots, arrivals: [arrival] };
}
