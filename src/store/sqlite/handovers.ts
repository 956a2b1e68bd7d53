/**
 * Handovers as files in a folder beside the store: `<file id>.<8 letters>[.paused].perdure` is complete, and says all there is to say.
 * `….part` is still being written, `….begun` marks one that was taken, with a letter for each time, `….ended.json` says how it ended:
 * from then on it is not to be taken, also where a node has died before it could remove the rest.
 */
import { randomBytes } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { syncFolder } from "../folders.ts";
import { handoverGone, keepHandoverMs } from "../handovers.ts";
import type { Handover, HandoverRefusal, Handovers, HandoverState, NewHandover } from "../handovers.ts";

const complete = /^(([0-9a-z]+)\.[0-9a-f]{8}(\.paused)?)\.perdure$/;
/** Nothing else in the folder is touched. */
const incomplete = /^([0-9a-z]+\.[0-9a-f]{8}(?:\.paused)?)\.(?:perdure\.part|begun|ended\.json|ended\.json\.part)$/;

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
    // How it ended is there before the file goes.
    const isThere = existsSync(this.#at(id));
    const end = await this.#end(id);
    if (end === undefined) return { state: isThere ? "waiting" : "gone" };
    await this.#clear(id);
    await rm(this.#endAt(id), { force: true });
    return end;
  }

  async #end(id: string): Promise<HandoverState | undefined> {
    try {
      return JSON.parse(await readFile(this.#endAt(id), "utf8")) as HandoverState;
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
      if (id === undefined || file === undefined) await this.#drop(name, names, nowMs - keepHandoverMs);
      else if (names.has(`${id}.ended.json`)) await this.#clear(id);
      else found.push({ id, file, paused: paused !== undefined, begins: await sizeOf(this.#begunAt(id)) });
    }
    return found.toSorted((a, b) => b.begins - a.begins);
  }

  async #names(): Promise<ReadonlySet<string>> {
    try {
      return new Set((await readdir(this.#folder)).sort());
    } catch (error) {
      if (isAbsent(error)) return new Set();
      throw error;
    }
  }

  async #drop(name: string, names: ReadonlySet<string>, untilMs: number): Promise<void> {
    const [, id] = incomplete.exec(name) ?? [];
    // What marks a file stays with it.
    if (id === undefined || names.has(`${id}.perdure`)) return;
    const place = path.join(this.#folder, name);
    const seenMs = await stat(place).then(
      ({ mtimeMs }) => mtimeMs,
      () => Infinity,
    );
    if (seenMs < untilMs) await rm(place, { force: true });
  }

  /** A store in a file has one node at a time. */
  async take(id: string): Promise<boolean> {
    if (!existsSync(this.#at(id))) return false;
    await writeFile(this.#begunAt(id), ".", { flag: "a" });
    await syncFolder(this.#folder);
    return true;
  }

  async *bytes(id: string): AsyncGenerator<Uint8Array> {
    yield* createReadStream(this.#at(id)) as AsyncIterable<Uint8Array>;
  }

  async letGo(id: string): Promise<void> {
    const begins = await sizeOf(this.#begunAt(id));
    if (begins > 0) await truncate(this.#begunAt(id), begins - 1);
  }

  async ended(id: string, _: number, refusal?: HandoverRefusal): Promise<void> {
    const end: HandoverState = refusal === undefined ? { state: "imported" } : { state: "refused", ...refusal };
    const part = `${this.#endAt(id)}.part`;
    await rm(part, { force: true });
    await writeDurably(part, [Buffer.from(JSON.stringify(end))]);
    await rename(part, this.#endAt(id));
    await syncFolder(this.#folder);
    await this.#clear(id);
  }

  /** Before the end goes too: without it the file would wait again. */
  async #clear(id: string): Promise<void> {
    await rm(this.#at(id), { force: true });
    await rm(this.#begunAt(id), { force: true });
    await syncFolder(this.#folder);
  }

  #at(id: string): string {
    return path.join(this.#folder, `${id}.perdure`);
  }

  #begunAt(id: string): string {
    return path.join(this.#folder, `${id}.begun`);
  }

  #endAt(id: string): string {
    return path.join(this.#folder, `${id}.ended.json`);
  }
}

async function writeDurably(place: string, bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
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
