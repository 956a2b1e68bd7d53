/** Writing archives: a process is a gzip member of its own, and is in the file as a whole or not at all. */
import { createHash } from "node:crypto";
import { mkdir, open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { isPerdureError, PerdureError } from "../../base/errors.ts";
import { isDamage } from "../../kernel/retention.ts";
import { syncFolder as syncNames } from "../../store/folders.ts";
import type { ProcessKey, ProcessRow, StoreReader } from "../../store/port.ts";
import { turnLine } from "../lines/json.ts";
import { endLine, headerLine, logLine } from "./format.ts";
import type { ArchivedHeader } from "./format.ts";

const pageTurns = 100;
const pageLogs = 500;

/** A process that cannot be archived because of what the store holds, or does not hold any more. */
export class NotWhole extends Error {}

export class ArchiveFile {
  readonly path: string;
  readonly #handle: FileHandle;
  /** All members before it are whole. */
  sizeBytes = 0;

  /** The file must not exist. Throws ARCHIVE_FAILED. */
  static async create(file: string): Promise<ArchiveFile> {
    try {
      return new ArchiveFile(file, await open(file, "wx"));
    } catch (cause) {
      throw archiveFailed(file, cause);
    }
  }

  private constructor(file: string, handle: FileHandle) {
    this.path = file;
    this.#handle = handle;
  }

  /** Adds a finished process. Throws NotWhole, and ARCHIVE_FAILED; then the file is as it was before, as far as the disk lets it. */
  async add(store: StoreReader, key: ProcessKey, nowMs: number): Promise<void> {
    let position = this.sizeBytes;
    try {
      const gzip = createGzip();
      const lines = Readable.from(readable(linesOf(store, key, nowMs)));
      lines.on("error", (error) => gzip.destroy(error));
      for await (const chunk of lines.pipe(gzip)) {
        await writeAll(this.#handle, chunk as Buffer, position);
        position += (chunk as Buffer).length;
      }
      this.sizeBytes = position;
    } catch (error) {
      // What is left of it would come after the next one, if that is shorter.
      const failure = await this.#handle.truncate(this.sizeBytes).then(
        () => error,
        (cause: unknown) => cause,
      );
      throw failure instanceof NotWhole ? failure : archiveFailed(this.path, failure);
    }
  }

  /** Resolves when all that was added would survive the machine. Throws ARCHIVE_FAILED. */
  async sync(): Promise<void> {
    try {
      await this.#handle.sync();
      await syncFolder(path.dirname(this.path));
    } catch (cause) {
      throw archiveFailed(this.path, cause);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
  }
}

async function writeAll(handle: FileHandle, chunk: Buffer, position: number): Promise<void> {
  for (let written = 0; written < chunk.length;) {
    const { bytesWritten } = await handle.write(chunk, written, chunk.length - written, position + written);
    written += bytesWritten;
  }
}

/** The name of a new file is the folder's to keep. Throws ARCHIVE_FAILED. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    await syncNames(folder);
  } catch (error) {
    throw archiveFailed(folder, error);
  }
}

/** A new folder's name is its parent's to keep, and so on up to one that was there. Throws ARCHIVE_FAILED. */
export async function makeFolder(folder: string): Promise<void> {
  const last = path.resolve(folder);
  const first = await mkdir(last, { recursive: true }).catch((error: unknown) => {
    throw archiveFailed(folder, error);
  });
  if (first === undefined) return;
  for (let each = last; each.length >= first.length; each = path.dirname(each)) await syncFolder(path.dirname(each));
}

export function archiveFailed(file: string, cause: unknown): PerdureError {
  if (isPerdureError(cause)) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new PerdureError(
    "ARCHIVE_FAILED",
    `Cannot write the archive ${file}: ${reason}. What is not archived is not pruned. Make room or give another place.`,
    { cause, details: { file } },
  );
}

/** What is wrong with one process is not wrong with the archive: it would keep all others from being archived. */
async function* readable(lines: AsyncGenerator<string>): AsyncGenerator<string> {
  try {
    yield* lines;
  } catch (error) {
    if (error instanceof NotWhole || (isPerdureError(error) && !isDamage(error))) throw error;
    throw new NotWhole(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

async function* linesOf(store: StoreReader, key: ProcessKey, nowMs: number): AsyncGenerator<string> {
  const hash = createHash("sha256");
  const hashed = (line: string): string => {
    hash.update(line);
    return line;
  };
  const row = await store.getProcess(key);
  const lastTurn = await store.lastTurn(key);
  yield hashed(headerLine(await headerOf(store, row, nowMs)));
  let turns = 0;
  for (;;) {
    const page = await store.turns(key, turns + 1, pageTurns);
    for (const turn of page) yield hashed(turnLine(turn));
    turns += page.length;
    if (page.length < pageTurns) break;
  }
  let logs = 0;
  for (let after = 0; ;) {
    const page = await store.logs(key, after, pageLogs);
    for (const log of page) yield hashed(logLine(log));
    logs += page.length;
    after = page.at(-1)?.seq ?? after;
    if (page.length < pageLogs) break;
  }
  const pid = row?.pid ?? "";
  // It may be pruned by the node beside us, in the middle of all this.
  if (turns !== lastTurn || (await store.getProcess(key)) === undefined) throw gone(pid);
  yield endLine({ pid, turns, logs, sha256: hash.digest("hex") });
}

async function headerOf(store: StoreReader, row: ProcessRow | undefined, nowMs: number): Promise<ArchivedHeader> {
  if (row?.state !== "exited" || row.exit === undefined) throw gone(row?.pid ?? "");
  const { key, state: _, problem: __, exit, ...about } = row;
  const file = (await store.program(row.program))?.file ?? "";
  const restores = await store.restores(key);
  return { ...about, exit, file, restores, store: store.id, key, archivedAtMs: nowMs };
}

function gone(pid: string): NotWhole {
  return new NotWhole(`Process ${pid} is not there as a whole: it has not ended, or was pruned while it was read.`);
}
