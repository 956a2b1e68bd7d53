/**
 * Handovers as files in a folder beside the store: `<file id>.<8 letters>[.paused].perdure` is complete, and says all there is to say.
 * `….part` is still being written, `….begun` marks one that is being imported, with a letter for each beginning, `….refused.json` is the reason why one was not.
 */
import { randomBytes } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { syncFolder } from "../folders.ts";
import { handoverGone, keepHandoverMs } from "../handovers.ts";
import type { Handover, HandoverRefusal, Handovers, HandoverState, NewHandover } from "../handovers.ts";

const complete = /^(([0-9a-z]+)\.[0-9a-f]{8}(\.paused)?)\.perdure$/;

export class HandoverFolder implements Handovers {
  readonly #folder: string;

  constructor(store: string) {
    this.#folder = `${store}-imports`;
  }

  async handOver({ file, paused, bytes }: NewHandover): Promise<string> {
    const id = `${file}.${randomBytes(4).toString("hex")}${paused ? ".paused" : ""}`;
    await mkdir(this.#folder, { recursive: true });
    const part = `${this.#at(id)}.part`;
    try {
      await writeDurably(part, bytes);
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
    await rename(part, this.#at(id)).catch((error: unknown) => {
      throw isAbsent(error) ? handoverGone(file) : error;
    });
    await syncFolder(this.#folder);
    return id;
  }

  async outcome(id: string): Promise<HandoverState> {
    // The reason is there before the file goes.
    const isThere = existsSync(this.#at(id));
    const refusal = await this.#reason(id);
    if (refusal !== undefined) {
      await rm(this.#reasonAt(id), { force: true });
      return { state: "refused", ...refusal };
    }
    return { state: isThere ? "waiting" : "imported" };
  }

  async #reason(id: string): Promise<HandoverRefusal | undefined> {
    try {
      return JSON.parse(await readFile(this.#reasonAt(id), "utf8")) as HandoverRefusal;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async waiting(nowMs: number): Promise<Handover[]> {
    const found: Handover[] = [];
    const names = await this.#names();
    for (const name of names) {
      const [, id, file, paused] = complete.exec(name) ?? [];
      if (id !== undefined && file !== undefined)
        found.push({ id, file, paused: paused !== undefined, begins: await sizeOf(this.#begunAt(id)) });
      else await this.#drop(name, nowMs - keepHandoverMs);
    }
    return found.toSorted((a, b) => b.begins - a.begins);
  }

  async #names(): Promise<string[]> {
    try {
      return (await readdir(this.#folder)).sort();
    } catch (error) {
      if (isAbsent(error)) return [];
      throw error;
    }
  }

  async #drop(name: string, untilMs: number): Promise<void> {
    const place = path.join(this.#folder, name);
    const seenMs = await stat(place).then(
      ({ mtimeMs }) => mtimeMs,
      () => Infinity,
    );
    if (seenMs < untilMs) await rm(place, { force: true });
  }

  /** A store in a file has one node at a time. */
  take(id: string): Promise<boolean> {
    return Promise.resolve(existsSync(this.#at(id)));
  }

  async *bytes(id: string): AsyncGenerator<Uint8Array> {
    yield* createReadStream(this.#at(id)) as AsyncIterable<Uint8Array>;
  }

  async begun(id: string): Promise<void> {
    await writeFile(this.#begunAt(id), ".", { flag: "a" });
    await syncFolder(this.#folder);
  }

  async ended(id: string, _: number, refusal?: HandoverRefusal): Promise<void> {
    if (refusal !== undefined) {
      const reason = this.#reasonAt(id);
      await writeFile(`${reason}.part`, JSON.stringify(refusal));
      await rename(`${reason}.part`, reason);
    }
    await rm(this.#at(id), { force: true });
    await rm(this.#begunAt(id), { force: true });
  }

  #at(id: string): string {
    return path.join(this.#folder, `${id}.perdure`);
  }

  #begunAt(id: string): string {
    return path.join(this.#folder, `${id}.begun`);
  }

  #reasonAt(id: string): string {
    return path.join(this.#folder, `${id}.refused.json`);
  }
}

async function writeDurably(place: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await open(place, "wx");
  try {
    for await (const piece of bytes) await handle.writeFile(piece);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** 0 if it is not there. */
async function sizeOf(place: string): Promise<number> {
  try {
    return (await stat(place)).size;
  } catch (error) {
    if (isAbsent(error)) return 0;
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}
