/**
 * Imports that are asked for beside a node: `perdure import` puts the verified file into a folder next to the store, under a name that
 * says all, and the node that owns the store takes it from there, or the next one does. What cannot be imported is put aside with the
 * reason.
 */
import { readdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { isPerdureError } from "../../base/errors.ts";
import { importProcess } from "./import.ts";
import type { ImportTarget } from "./import.ts";
import { fileBytes, readProcessFile } from "./read.ts";

const ending = /^([0-9a-z]{20})(\.paused)?\.perdure$/;

export function dropFolder(store: string): string {
  return `${store}-imports`;
}

export function dropName(file: string, paused: boolean): string {
  return `${file}${paused ? ".paused" : ""}.perdure`;
}

/** Where the reason is found if it was not imported: JSON with `code` and `message`. */
export function reasonName(file: string): string {
  return `${file}.refused.json`;
}

/** Imports what lies in the folder. Throws what is not the file's fault. */
export async function takeDropped(
  folder: string,
  target: () => ImportTarget & { cancel(): Promise<void> },
): Promise<void> {
  for (const name of await namesIn(folder)) {
    const [, file = "", paused] = ending.exec(name) ?? [];
    if (file === "") continue;
    const place = path.join(folder, name);
    const to = target();
    try {
      await importProcess(readProcessFile(fileBytes(place)), [to], paused !== undefined);
      await rm(place, { force: true });
    } catch (error) {
      await to.cancel();
      if (!isPerdureError(error)) throw error;
      const { code, message } = error;
      const reason = path.join(folder, reasonName(file));
      await writeFile(`${reason}.part`, JSON.stringify({ code, message }));
      await rename(`${reason}.part`, reason);
      await rename(place, `${place}.refused`);
    }
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
