/**
 * The format of process files, version 1. `docs/process-files.md` describes it for those who write a reader; here are the records.
 *
 * A process file is a file of gzip members; their text, joined, is a JSON object a line. The lines come in the order of `order`: the
 * body, which ends with `end`, and then what was added when the process had left its store, which ends with `seal`. Without the seal the
 * file is void: its process may still be where it was.
 */
import { createHash } from "node:crypto";
import type { Input, Pid, Turn } from "../../journal/types.ts";
import type {
  Asked,
  DeadLetterRow,
  EdgeRow,
  ExportedRow,
  LogRow,
  OperationRow,
  ProcessRow,
  ProgramRow,
  RestoreRow,
  SnapshotRow,
  TimerRow,
} from "../../store/port.ts";
import type { CheckpointRow } from "../../store/port.ts";
import { fromInput, fromPayload, line, toBase64 } from "../lines/json.ts";

export const fileVersion = 1;

/** Who and whence. */
export interface FileHeader {
  /** The file's name for ever: 20 characters. */
  readonly id: string;
  readonly pid: Pid;
  /** The id of the store it was exported from. */
  readonly store: string;
  readonly writtenAtMs: number;
}

export interface FileProcess extends Omit<ProcessRow, "key" | "state" | "problem" | "exit"> {
  /** It was paused before it was exported, and stays so. */
  readonly paused: boolean;
  readonly lastTurn: number;
  /** The ids of the files it had come in before, from store to store. */
  readonly files: readonly string[];
}

export interface FileInput {
  readonly atMs: number;
  readonly input: Input;
  /** What it was asked under. Of inputs after the end only: those before it have an edge. */
  readonly asked?: Asked;
}

export interface FileSeal {
  readonly file: string;
  /** When it left its store. */
  readonly atMs: number;
  /** The service time there, at that moment: what is left of a service timer is its due time less this. */
  readonly serviceMs: number;
  /** The seqs of the dead letters that count. */
  readonly letters: readonly number[];
  /** Of the body, as in `end`, and of the lines between `end` and this one. */
  readonly body: string;
  readonly late: string;
}

export type FileRecord =
  | { readonly kind: "file"; readonly file: FileHeader }
  | { readonly kind: "program"; readonly program: ProgramRow }
  | { readonly kind: "blob"; readonly hash: string; readonly bytes: Uint8Array }
  | { readonly kind: "process"; readonly process: FileProcess }
  | { readonly kind: "restore"; readonly restore: RestoreRow }
  | { readonly kind: "turn"; readonly turn: Turn }
  | { readonly kind: "snapshot"; readonly snapshot: SnapshotRow }
  | { readonly kind: "checkpoint"; readonly checkpoint: CheckpointRow }
  | { readonly kind: "log"; readonly log: Omit<LogRow, "seq" | "process"> }
  | { readonly kind: "edge"; readonly edge: Omit<EdgeRow, "process"> }
  | { readonly kind: "letter"; readonly letter: Omit<DeadLetterRow, "process"> }
  | { readonly kind: "operation"; readonly operation: Omit<OperationRow, "process"> }
  | { readonly kind: "timer"; readonly timer: Omit<TimerRow, "process"> }
  | { readonly kind: "input"; readonly input: FileInput }
  | { readonly kind: "end"; readonly lines: number; readonly sha256: string }
  | { readonly kind: "seal"; readonly seal: FileSeal };

export type RecordKind = FileRecord["kind"];

/** The order of the body's lines; any number of each but `once` ones. Inputs may follow on the end as well. */
export const order: readonly RecordKind[] = [
  "file",
  "program",
  "blob",
  "process",
  "restore",
  "turn",
  "snapshot",
  "checkpoint",
  "log",
  "edge",
  "letter",
  "operation",
  "timer",
  "input",
  "end",
  "seal",
];

export const once: ReadonlySet<RecordKind> = new Set<RecordKind>([
  "file",
  "program",
  "process",
  "checkpoint",
  "end",
  "seal",
]);

export function fileLine({ id, pid, store, writtenAtMs }: FileHeader): string {
  return line({ kind: "file", version: fileVersion, id, pid, store, writtenAtMs });
}

export function programLine(program: ProgramRow): string {
  return line({ kind: "program", ...program });
}

export function blobLine(hash: string, bytes: Uint8Array): string {
  return line({ kind: "blob", hash, bytes: toBase64(bytes) });
}

export function processLine(process: FileProcess): string {
  return line({ kind: "process", ...process });
}

export function restoreLine({ turn, from }: RestoreRow): string {
  return line({ kind: "restore", turn, from });
}

/** Of snapshots and checkpoints. */
export function heapLine(kind: "snapshot" | "checkpoint", { turn, body }: SnapshotRow): string {
  return line({ kind, turn, body: toBase64(body) });
}

export function fileLogLine({ turn, atMs, level, text }: LogRow): string {
  return line({ kind: "log", turn, atMs, level, text });
}

export function edgeLine({ key, digest, about, atMs, state, answer }: EdgeRow): string {
  const said = answer === undefined ? {} : { answer: fromPayload(answer) };
  return line({ kind: "edge", key, digest, about, atMs, state, ...said });
}

export function letterLine({ seq, atMs, reason, value, input }: DeadLetterRow): string {
  return line({ kind: "letter", seq, atMs, reason, value: fromPayload(value), input: fromInput(input) });
}

export function operationLine(row: OperationRow): string {
  const { process: _, args, ...operation } = row;
  return line({ kind: "operation", ...operation, args: fromPayload(args) });
}

export function timerLine({ number, clock, dueMs }: TimerRow): string {
  return line({ kind: "timer", number, clock, dueMs });
}

export function inputLine({ atMs, input, asked }: FileInput): string {
  return line({ kind: "input", atMs, input: fromInput(input), ...(asked === undefined ? {} : { asked }) });
}

export function endLine(lines: number, sha256: string): string {
  return line({ kind: "end", lines, sha256 });
}

/** What completes a file, from what stayed in the store that its process left. */
export function sealText({ file, sha256, serviceMs, exportedAtMs, late, letters }: ExportedRow): string {
  const added = late.map(inputLine).join("");
  const lateSha256 = createHash("sha256").update(added).digest("hex");
  const about = { file, atMs: exportedAtMs, serviceMs, letters, body: sha256, late: lateSha256 };
  return added + line({ kind: "seal", ...about });
}
