/** `perdure archive`: writes finished processes to a file, and reads such files. */
import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import path from "node:path";
import type { Command } from "commander";
import { PerdureError } from "../../base/errors.ts";
import { outcomeOf } from "../../engine/outcome.ts";
import type { ArchivedHeader, ArchiveRecord } from "../../engine/archive/format.ts";
import { archiveLines } from "../../engine/archive/read.ts";
import { archiveFailed, ArchiveFile, NotWhole, syncFolder } from "../../engine/archive/write.ts";
import { keepPolicy } from "../../engine/keep.ts";
import type { FinishedPlace, StoreReader } from "../../store/port.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { exitCodes, usageError } from "../failure.ts";
import { aDuration, dueProcesses, policyOf } from "../keeping.ts";
import type { KeepOptions } from "../keeping.ts";
import { outcomeDocument, outcomeFrom } from "../outcome.ts";
import { locate, withReader } from "../reader.ts";
import { renderTable } from "../table.ts";
import { count } from "../text.ts";
import { formatTime } from "../time.ts";

interface ArchiveOptions extends KeepOptions {
  readonly list?: boolean;
  readonly cat?: boolean;
}

export function archiveCommand(): Command {
  const command = defineCommand(
    "archive",
    "Writes finished processes to a file: their inputs, commands, logs and ends. Nothing is removed.",
    [
      "perdure archive 2026.jsonl.gz                     # all that have ended",
      "perdure archive old.jsonl.gz --older-than 7d",
      "perdure archive two.jsonl.gz order-7 order-8",
      "perdure archive old.jsonl.gz --list               # what is in it, checked",
      "perdure archive old.jsonl.gz --cat order-7 | jq   # the lines of one; also: zcat old.jsonl.gz",
    ],
  )
    .argument("<file>", "the archive; it must not exist, but for --list and --cat")
    .argument("[pids...]", "only these processes")
    .option("--older-than <duration>", "only those that ended so long ago", aDuration)
    .option("--list", "list what the archive holds, and check it")
    .option("--cat", "print the archive's lines, and check them");
  return act<ArchiveOptions>(command, async (context, [file = "", ...pids], options) => {
    if (options.list === true || options.cat === true) return await look(context, file, pids, options);
    if (pids.length > 0 && options.olderThan !== undefined)
      throw usageError("--older-than chooses processes, and so do pids. Leave one of them out.");
    return await write(context, file, pids, options);
  });
}

async function write(context: Context, file: string, pids: readonly string[], options: KeepOptions): Promise<number> {
  const target = path.resolve(file);
  if (existsSync(target)) throw archiveFailed(target, new Error("it exists already, and archives are written once"));
  // It has its name when it is whole.
  const part = `${target}.part`;
  await rm(part, { force: true });
  return await withReader(context, async (reader) => {
    const archive = await ArchiveFile.create(part);
    try {
      const { archived, failed } = await addAll(archive, reader, pids, options);
      await archive.sync();
      await archive.close();
      await rename(part, target);
      await syncFolder(path.dirname(target));
      return report(context, target, archived, failed);
    } catch (error) {
      await archive.close();
      await rm(part, { force: true });
      throw error;
    }
  });
}

interface Failed {
  readonly pid: string;
  readonly reason: string;
}

async function addAll(
  archive: ArchiveFile,
  reader: StoreReader,
  pids: readonly string[],
  options: KeepOptions,
): Promise<{ readonly archived: number; readonly failed: readonly Failed[] }> {
  let archived = 0;
  const failed: Failed[] = [];
  for await (const { key, pid } of pids.length === 0 ? chosen(reader, options) : named(reader, pids)) {
    try {
      await archive.add(reader, key, Date.now());
      archived++;
    } catch (error) {
      if (!(error instanceof NotWhole)) throw error;
      failed.push({ pid, reason: error.message });
    }
  }
  return { archived, failed };
}

type Chosen = Pick<FinishedPlace, "key"> & { readonly pid: string };

function chosen(reader: StoreReader, options: KeepOptions): AsyncGenerator<Chosen> {
  const policy = policyOf(options) ?? keepPolicy({ keep: { count: 0 } });
  return dueProcesses(reader, policy, Date.now());
}

async function* named(reader: StoreReader, pids: readonly string[]): AsyncGenerator<Chosen> {
  for (const word of pids) {
    const { key, pid, state } = await locate(reader, word);
    if (state !== "exited") {
      const message = `Process ${pid} has not ended, and only finished ones are archived. Leave it out, or wait: perdure result ${pid} --wait`;
      throw new PerdureError("ARGUMENT_INVALID", message, { details: { pid, state } });
    }
    yield { key, pid };
  }
}

function report({ json, terminal }: Context, file: string, archived: number, failed: readonly Failed[]): number {
  if (json) terminal.print(JSON.stringify({ file, archived, failed }));
  else {
    for (const { pid, reason } of failed) terminal.note(`perdure: process ${pid} is not archived: ${reason}`);
    terminal.note(`${count(archived, "process was archived", "processes were archived")} in ${file}.`);
  }
  return failed.length === 0 ? exitCodes.ok : exitCodes.failed;
}

async function look(context: Context, file: string, pids: readonly string[], options: ArchiveOptions): Promise<number> {
  const missing = new Set(pids);
  const rows: ListedProcess[] = [];
  const show = (): void => {
    if (options.cat !== true) printList(context, rows);
  };
  let header: ArchivedHeader | undefined;
  try {
    for await (const { text, record } of archiveLines(path.resolve(file))) {
      if (record?.kind === "process") header = record.process;
      if (header === undefined || (pids.length > 0 && !pids.includes(header.pid))) continue;
      missing.delete(header.pid);
      if (options.cat === true) context.terminal.print(text);
      else if (record?.kind === "end") rows.push(await listed(header, record));
    }
  } catch (error) {
    // What is whole is worth knowing all the same.
    show();
    throw error;
  }
  show();
  const [pid] = missing;
  if (pid === undefined) return exitCodes.ok;
  throw new PerdureError(
    "PROCESS_NOT_FOUND",
    `There is no process ${pid} in the archive ${file}. --list shows those there are.`,
    {
      details: { pid, file },
    },
  );
}

type ListedProcess = Awaited<ReturnType<typeof listed>>;

async function listed(header: ArchivedHeader, { turns, logs }: Extract<ArchiveRecord, { kind: "end" }>) {
  const { pid, entry, program, file, startedAtMs, exit } = header;
  const outcome = await outcomeFrom(pid, (async () => outcomeOf(pid, exit, () => undefined))());
  const about = { entry: entry || "default", program, file, startedAtMs, exitedAtMs: exit.atMs };
  return { ...about, turns, logs, ...outcomeDocument(outcome), pid, reason: exit.reason };
}

function printList({ json, terminal }: Context, rows: readonly ListedProcess[]): void {
  if (json) return terminal.print(JSON.stringify(rows));
  const columns = [
    { title: "PID", leastWidth: 12 },
    { title: "ENDED WITH" },
    { title: "ENTRY" },
    { title: "ENDED", right: true },
    { title: "TURNS", right: true },
    { title: "LOGS", right: true },
  ];
  const cells = rows.map(({ pid, reason, entry, exitedAtMs, turns, logs }) =>
    [pid, reason, entry, formatTime(exitedAtMs), String(turns), String(logs)].map((text) => ({ text })),
  );
  if (rows.length === 0) return terminal.note("The archive holds no whole process.");
  const { out, width } = terminal;
  for (const line of renderTable(columns, cells, { width, paintTitle: out.bold })) terminal.print(line);
}
