/**
 * The format of archives, version 1.
 *
 * An archive is a file of gzip members, one for each process, in any order; so archives can be joined with `cat` and read with
 * `zcat`. Within a member there is a JSON object a line:
 *
 *     {"kind": "process", "archive": 1, …}     the process: fields of `ArchivedHeader`
 *     {"kind": "turn", …}                      one for each turn, in order: number, timeMs, inputs, commands, dropped
 *     {"kind": "log", …}                       one for each line it printed, in order: turn, atMs, level, text
 *     {"kind": "end", "pid": …, "turns": n, "logs": n, "sha256": …}
 *
 * `sha256` is over the bytes of all lines of the process before it, newlines included, in hexadecimal digits. A process without
 * its last line is not whole.
 *
 * Values that crossed the sandbox's border (`args`, `body`, `value`) are one of
 *
 *     {"json": …}                              what JSON can hold, as it is
 *     {"undefined": true}
 *     {"graph": […], "bytes": ["…", …]}        anything else, as `base/value.ts` describes it under `v`; bytes in base64
 *     {"text": "…", "bytes": ["…", …]}         what no release encodes, as it was found
 *
 * and other bytes (`seed`) are base64. Fields are only ever added; a reader passes over lines of a kind it does not know.
 */
import { PerdureError } from "../../base/errors.ts";
import type { Pid, Turn } from "../../journal/types.ts";
import type { LogRow, ProcessExit, ProcessKey, ProcessRow, RestoreRow } from "../../store/port.ts";
import { fromPayload, line, toPayload, toTurn } from "../lines/json.ts";
import type { Json } from "../lines/json.ts";

export const archiveVersion = 1;

/** All of a process but its turns and what it printed. */
export interface ArchivedHeader extends Omit<ProcessRow, "exit" | "state" | "problem" | "key"> {
  readonly exit: ProcessExit;
  /** Path of its program's entry file; "" if that is not known. */
  readonly file: string;
  /** Where it went back to its checkpoint. */
  readonly restores: readonly RestoreRow[];
  /** The store's id, and its number there. */
  readonly store: string;
  readonly key: ProcessKey;
  readonly archivedAtMs: number;
}

export interface ArchivedProcess extends ArchivedHeader {
  readonly turns: readonly Turn[];
  readonly logs: readonly Omit<LogRow, "seq" | "process">[];
}

export type ArchivedLog = ArchivedProcess["logs"][number];

export type ArchiveRecord =
  | { readonly kind: "process"; readonly process: ArchivedHeader }
  | { readonly kind: "turn"; readonly turn: Turn }
  | { readonly kind: "log"; readonly log: ArchivedLog }
  | { readonly kind: "end"; readonly pid: Pid; readonly turns: number; readonly logs: number; readonly sha256: string };

export function headerLine(header: ArchivedHeader): string {
  const exit = { ...header.exit, value: fromPayload(header.exit.value) };
  return line({ kind: "process", archive: archiveVersion, ...header, exit });
}

export function logLine({ turn, atMs, level, text }: ArchivedLog): string {
  return line({ kind: "log", turn, atMs, level, text });
}

export function endLine(end: Omit<Extract<ArchiveRecord, { kind: "end" }>, "kind">): string {
  return line({ kind: "end", ...end });
}

/** Undefined for a kind that this release does not know. Throws for what is no line of an archive it can read. */
export function readLine(text: string): ArchiveRecord | undefined {
  const record = JSON.parse(text) as Json;
  switch (record["kind"]) {
    case "process": {
      const {
        kind: _,
        archive,
        exit,
        ...header
      } = record as unknown as ArchivedHeader & { kind: string; archive: number };
      if (archive !== archiveVersion) throw newer(archive);
      const value = toPayload(exit.value as unknown as Json);
      return { kind: "process", process: { ...header, exit: { ...exit, value } } };
    }
    case "turn": {
      return { kind: "turn", turn: toTurn(record) };
    }
    case "log": {
      const { kind: _, ...log } = record as unknown as ArchivedLog & { kind: string };
      return { kind: "log", log };
    }
    case "end":
      return record as unknown as ArchiveRecord;
    default:
      return undefined;
  }
}

function newer(version: unknown): PerdureError {
  return new PerdureError(
    "ARCHIVE_DAMAGED",
    `The archive's version is ${String(version)}, and this release reads ${archiveVersion}. Read it with the release that wrote it.`,
    { details: { version } },
  );
}
