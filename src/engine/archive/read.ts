/** Reading archives. What is handed out as a whole has passed its checksum. */
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { PerdureError } from "../../base/errors.ts";
import type { Turn } from "../../journal/types.ts";
import { gunzippedLines } from "../lines/gunzip.ts";
import { readLine } from "./format.ts";
import type { ArchivedHeader, ArchivedLog, ArchivedProcess, ArchiveRecord } from "./format.ts";

/**
 * The processes of an archive, in the order in which they were written. Throws ARCHIVE_FAILED if the file cannot be read, and
 * ARCHIVE_DAMAGED at the first process that is not as it was written.
 *
 *     for await (const { pid, exit, turns } of readArchive("2026.jsonl.gz")) console.log(pid, exit.reason, turns.length);
 */
export async function* readArchive(file: string): AsyncGenerator<ArchivedProcess> {
  let header: ArchivedHeader | undefined;
  let turns: Turn[] = [];
  let logs: ArchivedLog[] = [];
  for await (const { record } of archiveLines(file)) {
    if (record?.kind === "process") [header, turns, logs] = [record.process, [], []];
    else if (record?.kind === "turn") turns.push(record.turn);
    else if (record?.kind === "log") logs.push(record.log);
    else if (record?.kind === "end" && header !== undefined) yield { ...header, turns, logs };
  }
}

export interface ArchiveLine {
  readonly text: string;
  /** Undefined for a kind that this release does not know. */
  readonly record: ArchiveRecord | undefined;
}

/** Line by line. That of kind "end" comes only if all of its process was as it was written. */
export async function* archiveLines(file: string): AsyncGenerator<ArchiveLine> {
  const check = new Check(file);
  try {
    for await (const text of gunzippedLines(createReadStream(file))) {
      const record = readLine(text);
      check.line(text, record);
      yield { text, record };
    }
  } catch (error) {
    throw check.explain(error);
  }
  check.finished();
}

/** What must be true of a process's lines together. */
class Check {
  readonly #file: string;
  #hash: Hash | undefined;
  #turns = 0;
  #logs = 0;
  #whole = 0;

  constructor(file: string) {
    this.#file = file;
  }

  line(text: string, record: ArchiveRecord | undefined): void {
    if (record?.kind === "process") {
      if (this.#hash !== undefined) throw this.#damaged("a process has no end");
      this.#hash = createHash("sha256");
      this.#turns = 0;
      this.#logs = 0;
    }
    if (this.#hash === undefined) throw this.#damaged("a line belongs to no process");
    if (record?.kind === "turn") this.#turns++;
    if (record?.kind === "log") this.#logs++;
    if (record?.kind !== "end") {
      this.#hash.update(`${text}\n`);
      return;
    }
    const isSame = record.sha256 === this.#hash.digest("hex");
    if (!isSame || record.turns !== this.#turns || record.logs !== this.#logs) {
      throw this.#damaged(`process ${record.pid} does not pass its checksum`);
    }
    this.#hash = undefined;
    this.#whole++;
  }

  finished(): void {
    if (this.#hash !== undefined) throw this.#damaged("its last process is cut off");
  }

  explain(error: unknown): unknown {
    if (error instanceof PerdureError) return error;
    const { code, message } = error as Error & { code?: unknown };
    const isFile = typeof code === "string" && /^E[A-Z]+$/.test(code);
    if (!isFile) return this.#damaged(message, error);
    return new PerdureError("ARCHIVE_FAILED", `Cannot read the archive ${this.#file}: ${message}. Correct the path.`, {
      cause: error,
      details: { file: this.#file },
    });
  }

  #damaged(reason: string, cause?: unknown): PerdureError {
    const whole = this.#whole;
    return new PerdureError(
      "ARCHIVE_DAMAGED",
      `The archive ${this.#file} is damaged after ${whole === 1 ? "1 whole process" : `${whole} whole processes`}: ${reason}. What was cut off by a crash had not been pruned yet, and is in a later archive or in the store; otherwise restore a backup of the file.`,
      { cause, details: { file: this.#file, whole } },
    );
  }
}
