/** Process files on the disk: written so that a crash at any point loses nothing, and completed after one. */
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { isPerdureError, PerdureError } from "../base/errors.ts";
import { syncFolder } from "../engine/archive/write.ts";
import { fileBytes, readProcessFile } from "../engine/files/read.ts";
import { sealBytes } from "../engine/files/write.ts";
import { gunzippedLines } from "../engine/lines/gunzip.ts";
import type { ExportedRow } from "../store/port.ts";

/** Where the file is until it has its seal. */
export function partOf(target: string): string {
  return `${target}.part`;
}

/** `parts` is to call `written` when it has given all but the seal. The file has its name when it is sealed. */
export async function writeFileOf(
  target: string,
  parts: (written: () => Promise<void>) => AsyncIterable<Uint8Array>,
): Promise<void> {
  await guarded(target, async () => {
    await rm(partOf(target), { force: true });
    const handle = await open(partOf(target), "wx");
    try {
      // What happens to the name must not be told by the next power cut either.
      await syncFolder(path.dirname(target));
      for await (const bytes of parts(() => handle.sync())) await writeAll(handle, bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partOf(target), target);
    await syncFolder(path.dirname(target));
  });
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;)
    written += (await handle.write(bytes, written, bytes.length - written)).bytesWritten;
}

const memberBytes = 256 * 1024;

/**
 * Completes a file whose process has left the store while it was written: from what is there of it, `source`, up to the end of its
 * body. Throws FILE_DAMAGED if that is not all there.
 */
export async function completeFile(source: string, target: string, exported: ExportedRow): Promise<void> {
  const whole = `${target}.whole`;
  await guarded(target, async () => {
    const handle = await open(whole, "w");
    try {
      for await (const member of bodyOf(source, exported)) await writeAll(handle, member);
      await writeAll(handle, sealBytes(exported));
      await handle.sync();
    } catch (error) {
      await rm(whole, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
    await rename(whole, target);
    await syncFolder(path.dirname(target));
    if (source !== target) await rm(source, { force: true });
  });
}

async function* bodyOf(source: string, { sha256, file }: ExportedRow): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let waiting: string[] = [];
  let sizeBytes = 0;
  try {
    for await (const line of gunzippedLines(createReadStream(source))) {
      waiting.push(`${line}\n`);
      sizeBytes += line.length;
      if (line.startsWith('{"kind":"end",')) {
        if (hash.digest("hex") !== sha256) break;
        return yield gzipSync(waiting.join(""));
      }
      hash.update(`${line}\n`);
      if (sizeBytes < memberBytes) continue;
      yield gzipSync(waiting.join(""));
      [waiting, sizeBytes] = [[], 0];
    }
  } catch (error) {
    if (isPerdureError(error)) throw error;
  }
  throw new PerdureError(
    "FILE_DAMAGED",
    `${source} is not the process file ${file}, or not all of it. Find that one.`,
    {
      details: { source, file },
    },
  );
}

/** Whether there is a file at this place that is complete, and which. */
export async function sealedFile(place: string): Promise<string | undefined> {
  if (!existsSync(place)) return undefined;
  let id: string | undefined;
  try {
    for await (const { record } of readProcessFile(fileBytes(place))) if (record.kind === "file") id = record.file.id;
    return id;
  } catch (error) {
    if (isPerdureError(error)) return undefined;
    throw error;
  }
}

/** Errors of the file system in our own words. */
async function guarded(target: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const code = (error as { readonly code?: unknown }).code;
    if (isPerdureError(error, "ARCHIVE_FAILED") || (!isPerdureError(error) && typeof code === "string")) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new PerdureError(
        "FILE_FAILED",
        `Cannot write the process file ${target}: ${reason}. Make room or give another place.`,
        {
          cause: error,
          details: { file: target },
        },
      );
    }
    throw error;
  }
}
