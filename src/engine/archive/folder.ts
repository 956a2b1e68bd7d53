/** Where a node archives what it prunes: a folder of archives, each written by one node and never touched again. */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import path from "node:path";
import type { Clock } from "../../base/ports.ts";
import type { NotArchived } from "../../kernel/retention.ts";
import type { FinishedRow, ProcessKey, StoreReader } from "../../store/port.ts";
import { ArchiveFile, makeFolder, NotWhole } from "./write.ts";

/** Beyond this another file is begun, as on every new day. */
const fullBytes = 256 << 20;

export class ArchiveFolder {
  readonly #folder: string;
  readonly #store: StoreReader;
  readonly #clock: Clock;
  #file: ArchiveFile | undefined;
  #day = "";

  constructor(folder: string, store: StoreReader, clock: Clock) {
    this.#folder = folder;
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * Adds processes, and resolves when they are on the disk; with those that are damaged. Throws ARCHIVE_FAILED; then another file
   * is begun by the next call, and what is in this one is as whole as it was.
   */
  async add(rows: readonly FinishedRow[]): Promise<readonly NotArchived[]> {
    const failed: NotArchived[] = [];
    try {
      const file = await this.#current();
      for (const { key } of rows) {
        const reason = await this.#addOne(file, key);
        if (reason !== undefined) failed.push({ key, reason });
      }
      await file.sync();
      return failed;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #addOne(file: ArchiveFile, key: ProcessKey): Promise<string | undefined> {
    try {
      await file.add(this.#store, key, this.#clock.nowMs());
      return undefined;
    } catch (error) {
      if (error instanceof NotWhole) return error.message;
      throw error;
    }
  }

  async #current(): Promise<ArchiveFile> {
    const time = new Date(this.#clock.nowMs()).toISOString();
    const day = time.slice(0, 10);
    if (this.#file !== undefined && this.#day === day && this.#file.sizeBytes < fullBytes) return this.#file;
    await this.close();
    const name = `${time.replaceAll(":", "-")}-${randomBytes(4).toString("hex")}.jsonl.gz`;
    const file = path.join(this.#folder, name);
    await makeFolder(this.#folder);
    this.#file = await ArchiveFile.create(file);
    this.#day = day;
    return this.#file;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
    // One that failed at once is tried again with another name, every second perhaps, for as long as the disk is full.
    if (file?.sizeBytes === 0) await rm(file.path, { force: true }).catch(() => undefined);
  }
}
