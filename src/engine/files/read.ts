/** Reading a process file. A record that is handed out is well-formed; that the file is whole is known when the seal has been. */
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { isPerdureError, PerdureError } from "../../base/errors.ts";
import { gunzippedLines } from "../lines/gunzip.ts";
import { decodeLine, versionOf } from "./decode.ts";
import { fileVersion, once, order } from "./format.ts";
import type { FileHeader, FileProcess, FileRecord } from "./format.ts";

/** What a file holds. It is opened by whoever reads the first of it, and not before: until then nobody would hear that it cannot be. */
export async function* fileBytes(place: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(place) as AsyncIterable<Uint8Array>;
}

/**
 * The records of a process file, in order; the last one is its seal. Throws FILE_DAMAGED for anything that was not written so,
 * FILE_UNSEALED if the seal is missing, FILE_FAILED if it cannot be read, and the source's own PerdureErrors.
 */
export async function* readProcessFile(source: AsyncIterable<Uint8Array>): AsyncGenerator<FileLine, void> {
  const check = new Check();
  try {
    for await (const line of gunzippedLines(Readable.from(check.heed(source)))) {
      if (check.sealed) throw new Error("something follows on its seal");
      yield { record: check.line(line), sizeBytes: line.length };
    }
  } catch (error) {
    throw check.explain(error);
  }
  if (!check.sealed) throw check.unsealed();
}

export interface FileLine {
  readonly record: FileRecord;
  readonly sizeBytes: number;
}

/** What must be true of the lines together. */
class Check {
  #header: FileHeader | undefined;
  #process: FileProcess | undefined;
  #hash: Hash = createHash("sha256");
  #body: string | undefined;
  #lines = 0;
  #turns = 0;
  #rank = -1;
  #failure: { readonly error: unknown } | undefined;
  sealed = false;

  /** What the source throws is not the file's fault. */
  async *heed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* source;
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  line(line: string): FileRecord {
    if (this.#lines === 0) checkVersion(line);
    this.#lines++;
    const record = decodeLine(line);
    this.#order(record);
    if (record.kind === "end") this.#end(record);
    else if (record.kind === "seal") this.#seal(record);
    else this.#hash.update(`${line}\n`);
    this.#content(record);
    return record;
  }

  #order({ kind }: FileRecord): void {
    const rank = order.indexOf(kind);
    if (this.#lines === 1 && kind !== "file") throw new Error("it does not begin as a process file does");
    const isLate = this.#body !== undefined && kind === "input";
    const fits = isLate || rank > this.#rank || (rank === this.#rank && !once.has(kind));
    if (!fits) throw new Error(`line ${this.#lines} (${kind}) is not in its place`);
    if (rank > order.indexOf("process") && this.#process === undefined) throw new Error("it has no process");
    if (rank > order.indexOf("end") && this.#body === undefined) throw new Error("its body has no end");
    if (!isLate) this.#rank = rank;
  }

  #end({ lines, sha256 }: Extract<FileRecord, { kind: "end" }>): void {
    if (lines !== this.#lines - 1 || sha256 !== this.#hash.digest("hex"))
      throw new Error("its body does not pass its checksum");
    if (this.#turns !== this.#process?.lastTurn) throw new Error("its journal is not whole");
    this.#body = sha256;
    this.#hash = createHash("sha256");
  }

  #seal({ seal }: Extract<FileRecord, { kind: "seal" }>): void {
    if (seal.file !== this.#header?.id || seal.body !== this.#body || seal.late !== this.#hash.digest("hex"))
      throw new Error("its seal is not that of this file");
    this.sealed = true;
  }

  #content(record: FileRecord): void {
    const last = this.#process?.lastTurn ?? 0;
    switch (record.kind) {
      case "file":
        this.#header = record.file;
        return;
      case "process":
        if (record.process.pid !== this.#header?.pid) throw new Error("it names two processes");
        this.#process = record.process;
        return;
      case "turn":
        if (record.turn.number !== ++this.#turns) throw new Error(`turn ${record.turn.number} is not in its place`);
        return;
      case "restore":
        if (record.restore.turn > last + 1 || record.restore.from >= record.restore.turn)
          throw new Error("it was restored where it cannot have been");
        return;
      case "snapshot":
      case "checkpoint": {
        const { turn } = record.kind === "snapshot" ? record.snapshot : record.checkpoint;
        if (turn > last) throw new Error(`a ${record.kind} is of a turn that it did not take`);
        return;
      }
      default:
        return;
    }
  }

  explain(error: unknown): unknown {
    if (this.#failure !== undefined) return this.#failed(this.#failure.error);
    if (isPerdureError(error, "FILE_DAMAGED")) return error;
    const { code, message } = error as Error & { readonly code?: unknown };
    // A file that ends before its end was cut off, or is still being written.
    if (code === "Z_BUF_ERROR" && this.#body !== undefined) return this.unsealed();
    return this.#damaged(message, error);
  }

  #failed(error: unknown): PerdureError {
    if (isPerdureError(error)) return error;
    const reason = error instanceof Error ? error.message : String(error);
    return new PerdureError("FILE_FAILED", `Cannot read the process file: ${reason}. Correct the path.`, {
      cause: error,
    });
  }

  unsealed(): PerdureError {
    if (this.#body === undefined || this.#header === undefined) return this.#damaged("it is cut off");
    const { id, pid } = this.#header;
    return new PerdureError(
      "FILE_UNSEALED",
      `The process file ${id} was not completed: it has no seal, so that its process ${pid} may still be where it was. Where it was exported, run the same export again: it completes the file, or writes a new one.`,
      { details: { file: id, pid } },
    );
  }

  #damaged(reason: string, cause?: unknown): PerdureError {
    const id = this.#header?.id;
    return new PerdureError(
      "FILE_DAMAGED",
      `The process file${id === undefined ? "" : ` ${id}`} does not hold what was written: ${reason.replace(/\.$/, "")}. Copy it again from where it was exported to.`,
      { cause, details: { ...(id === undefined ? {} : { file: id }), line: this.#lines } },
    );
  }
}

function checkVersion(line: string): void {
  const version = versionOf(line);
  if (version === fileVersion || version === undefined) return;
  throw new PerdureError(
    "FILE_DAMAGED",
    `The process file's version is ${JSON.stringify(version)}, and this release reads ${fileVersion}. Import it with the release that wrote it.`,
    { details: { version } },
  );
}
