/** `perdure export`: takes a process out of the store, as a file. */
import { createReadStream, existsSync, fstatSync, fsyncSync } from "node:fs";
import { rm } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { PerdureError } from "../../base/errors.ts";
import { newPid } from "../../base/ids.ts";
import { Engine } from "../../engine/engine.ts";
import { systemRandom } from "../../engine/system.ts";
import { exportRequest } from "../../engine/transfer.ts";
import type { ExportOptions } from "../../engine/transfer.ts";
import { PostedMover } from "../../engine/files/posted-mover.ts";
import { exportProcess } from "../../engine/files/write.ts";
import type { ExportedStore } from "../../engine/files/write.ts";
import type { Pid } from "../../journal/types.ts";
import { heldFile } from "../../kernel/moves.ts";
import { processExported } from "../../store/exports.ts";
import type { ExportedRow } from "../../store/port.ts";
import { openStore } from "../../store/open.ts";
import { inMemory, isPostgresUrl } from "../../store/place.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { completeFile, partOf, sealedFile, writeFileOf } from "../export-file.ts";
import { usageError } from "../failure.ts";
import { aDuration } from "../keeping.ts";
import { shortPath } from "../paths.ts";
import { isNodeRunning, locate } from "../reader.ts";

interface Options extends Omit<ExportOptions, "written"> {
  readonly output?: string;
}

export function exportCommand(): Command {
  const command = defineCommand(
    "export",
    "Takes a process out of the store and writes it to a file, to be imported into another store.",
    [
      "perdure export order-7 -o order-7.perdure",
      "perdure export order-7 > order-7.perdure",
      "perdure export cart-3 -o cart-3.perdure --detach   # cut its links, monitors and names",
    ],
  )
    .argument("<pid>", "the process")
    .option("-o, --output <file>", "where to write; it must not exist (default: standard output)")
    .option("--detach", "cut its links and monitors, and free its names")
    .option("--force", "do not wait for an operation that must not be begun twice")
    .option("--wait <duration>", "how long operations under way may take to end (default: 30s)", aDuration)
    .option("--with-engine", "put the engine binary into the file");
  return act<Options>(command, async (context, [pid = ""], options) => {
    if (context.store === inMemory) throw usageError('A store "memory:" dies with the command that made it.');
    const { output } = options;
    if (output === undefined && context.terminal.isTerminal)
      throw usageError("A process file is nothing for a terminal. Name a file with -o, or redirect standard output.");
    if (output === undefined && context.json)
      throw usageError("--json prints on standard output, where the file would go. Name a file with -o.");
    const store = await openStore(context.store, { mode: "reader" });
    try {
      await new Exporter(context, store, options).run(pid);
    } finally {
      await store.close();
    }
  });
}

class Exporter {
  readonly #context: Context;
  readonly #store: ExportedStore;
  readonly #options: Options;

  constructor(context: Context, store: ExportedStore, options: Options) {
    this.#context = context;
    this.#store = store;
    this.#options = options;
  }

  async run(word: string): Promise<void> {
    const { output } = this.#options;
    const exported = (await this.#store.findProcess(word)) === undefined ? await this.#store.exported(word) : undefined;
    if (exported !== undefined) return await this.#complete(exported);
    const row = await locate(this.#store, word);
    // What another attempt has left beside the store is void.
    const void_ = heldFile(row);
    if (void_ !== undefined) await rm(partOf(this.#spool(void_)), { force: true });
    const id = newPid(systemRandom);
    const target = output === undefined ? this.#spool(id) : path.resolve(output);
    if (existsSync(target)) throw exists(target);
    await writeFileOf(target, (written) => this.#parts(row.pid, { ...this.#options, id, written }));
    const left = await this.#store.exported(row.pid);
    if (left === undefined) throw new Error("the process is still there");
    await this.#done(left, target);
  }

  /** Until it is known what became of standard output, the file is beside the store; if that is no file, in the current folder. */
  #spool(file: string): string {
    const { store } = this.#context;
    return isPostgresUrl(store) ? path.resolve(`${file}.perdure`) : `${store}-${file}.perdure`;
  }

  async *#parts(pid: Pid, options: ExportOptions): AsyncGenerator<Uint8Array> {
    yield* (await isNodeRunning(this.#context)) ? this.#beside(pid, options) : this.#alone(pid, options);
  }

  async *#beside(pid: Pid, options: ExportOptions): AsyncGenerator<Uint8Array> {
    const request = exportRequest(options);
    const { file } = request;
    const about = { file, request, isNodeRunning: () => isNodeRunning(this.#context) };
    const mover = new PostedMover(this.#store, pid, about);
    const given = { file, nowMs: Date.now(), withEngine: request.withEngine };
    for await (const part of exportProcess(this.#store, pid, mover, given)) {
      if (part.kind === "bytes") yield part.bytes;
      else await options.written?.();
    }
  }

  async *#alone(pid: Pid, options: ExportOptions): AsyncGenerator<Uint8Array> {
    const engine = await Engine.open({ store: this.#context.store, still: true });
    try {
      yield* engine.export(pid, options);
    } finally {
      await engine.close();
    }
  }

  /** It has left the store, and the command was interrupted before or after the file was complete. */
  async #complete(exported: ExportedRow): Promise<void> {
    const { output } = this.#options;
    const target = output === undefined ? this.#spool(exported.file) : path.resolve(output);
    if ((await sealedFile(target)) === exported.file) return await this.#done(exported, target);
    const source = [partOf(target), target].find((place) => existsSync(place));
    if (source === undefined) throw processExported(exported);
    await completeFile(source, target, exported);
    await this.#done(exported, target);
  }

  async #done({ pid, file, exportedAtMs }: ExportedRow, target: string): Promise<void> {
    const { json, terminal } = this.#context;
    const where = this.#options.output === undefined ? await this.#pour(target) : shortPath(target);
    if (json) terminal.print(JSON.stringify({ pid, file, path: target, exportedAtMs }));
    else
      terminal.note(`Process ${pid} has left the store, as process file ${file}${where === "" ? "" : ` (${where})`}.`);
  }

  /** A file is as good as the one beside the store; of what becomes of a pipe nobody here will ever know. */
  async #pour(spool: string): Promise<string> {
    try {
      await pipeline(createReadStream(spool), process.stdout, { end: false });
      await this.#context.terminal.flush();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const message = `Standard output broke off (${reason}). The process has left the store, and its file is whole at ${spool}.`;
      throw new PerdureError("FILE_FAILED", message, { cause: error, details: { file: spool } });
    }
    if (!fstatSync(1).isFile()) return `a copy stays at ${shortPath(spool)}: remove it when it has been imported`;
    fsyncSync(1);
    await rm(spool, { force: true });
    return "";
  }
}

function exists(target: string): PerdureError {
  return new PerdureError(
    "FILE_FAILED",
    `Cannot write the process file ${target}: it exists already. Give another place, or remove it.`,
    { details: { file: target } },
  );
}
