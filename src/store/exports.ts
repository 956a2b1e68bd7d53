/** The part of the store port that is about processes that move to another store: how they leave this one, and how they come. */
import { PerdureError } from "../base/errors.ts";
import { encodeValue } from "../base/value.ts";
import type { Payload } from "../base/value.ts";
import type { ExitReason, Input, Pid, ProcessKey } from "../journal/types.ts";
import type { Asked } from "./asked.ts";

/** What those hear who are tied to a process that is exported: from here it is out of reach. */
export const noConnection: { readonly reason: ExitReason; readonly value: Payload } = {
  reason: "noconnection",
  value: encodeValue(undefined),
};

/**
 * Takes a process out of the store, with all its rows. In place of a process that was exported, its `ExportedRow` stays. In a shared store
 * that is an end for those who are tied to it, as an exit is (`noConnection`).
 */
export interface Departure {
  readonly process: ProcessKey;
  /** Undefined for one that never arrived: nothing stays of it. */
  readonly exported?: {
    /** The id of the file it was written to. */
    readonly file: string;
    /** Of the file's body, hex. */
    readonly sha256: string;
    /** The owner's service time at this commit, in ms. */
    readonly serviceMs: number;
    /** Waiting inputs up to this `InboxRow.seq` are in the file's body. */
    readonly inboxSeq: number;
  };
}

/** What stays of an exported process, for ever: enough to answer whoever asks for it, and to complete its file. */
export interface ExportedRow {
  readonly pid: Pid;
  /** The key it had. */
  readonly process: ProcessKey;
  readonly program: string;
  readonly entry: string;
  readonly argsDigest: string;
  readonly startedAtMs: number;
  readonly file: string;
  readonly sha256: string;
  readonly serviceMs: number;
  readonly exportedAtMs: number;
  /** What reached it after the file's body had been written, in order. */
  readonly late: readonly LateInput[];
  /** The seqs of its dead letters when it left. Letters of the body that are not among them were taken away meanwhile. */
  readonly letters: readonly number[];
}

export interface LateInput {
  readonly input: Input;
  readonly atMs: number;
  /** What it was asked under, if it was. */
  readonly asked?: Asked;
}

/** The last step of an import: a process that was put into the store under another pid, in the state `moving`, becomes what it was. */
export interface Arrival {
  readonly process: ProcessKey;
  readonly pid: Pid;
  readonly state: "running" | "paused";
  /** The file it came in, and those it had come to other stores in: none of them can be imported here again. */
  readonly files: readonly string[];
}

/** A file that was imported, or had been before the process came here. Kept for ever. */
export interface ImportedRow {
  readonly file: string;
  readonly pid: Pid;
  readonly atMs: number;
}

/** What anyone may read of it. */
export interface ExportsReader {
  /** What stays of an exported process, by its pid or the key it had. Throws JOURNAL_CORRUPT if that is damaged. */
  exported(of: Pid | ProcessKey): Promise<ExportedRow | undefined>;
  /** The same of all, the latest first, at most `limit`. */
  exports(limit: number): Promise<ExportedRow[]>;
  imported(file: string): Promise<ImportedRow | undefined>;
  /** All files that a process came in, in the order of their ids. */
  imports(pid: Pid): Promise<ImportedRow[]>;
}

export function processExported({ pid, file, exportedAtMs }: ExportedRow): PerdureError {
  const at = new Date(exportedAtMs).toISOString();
  const message = `The process ${JSON.stringify(pid)} was exported from this store at ${at}, as process file ${file}. It lives on where that file was imported: ask there, or import the file here.`;
  return new PerdureError("PROCESS_EXPORTED", message, { details: { pid, file, exportedAtMs } });
}

/** What begins so is the pid of a process that is still being imported. */
export const arrivingPrefix = "@import:";

export function arrivingPid(file: string): Pid {
  return `${arrivingPrefix}${file}`;
}
