/** Finding, in a store at rest, what a command line meant before. */
import { existsSync } from "node:fs";
import { encodeValue } from "../base/value.ts";
import type { Pid } from "../journal/types.ts";
import { argsDigest } from "../engine/start.ts";
import { eachProcess, livingStates } from "../engine/tree.ts";
import { storeExists } from "../store/open.ts";
import type { ProcessRow, StoreReader } from "../store/port.ts";
import type { Context } from "./context.ts";
import { shortPath } from "./paths.ts";
import { countGoing, resumeCommand, withReader } from "./reader.ts";

/**
 * The newest unfinished process of the same file, entry and arguments. A broken one counts as unfinished: to start over
 * silently might do its work twice.
 */
export async function newestUnfinished(
  context: Context,
  file: string,
  entry: string,
  args: readonly unknown[],
): Promise<ProcessRow | undefined> {
  if (!(await storeExists(context.store))) return undefined;
  return await withReader(context, async (reader) => {
    const programs = (await reader.programs()).filter((program) => program.file === file);
    // Left out, the entry is the default export, or the file itself if it has none; that may have changed since.
    const entries = entry === "" ? ["", "default"] : [entry];
    const found = await Promise.all(
      programs.flatMap(({ hash }) => entries.map((each) => newestOf(reader, hash, each, args))),
    );
    return found.filter((row) => row !== undefined).toSorted((a, b) => b.key - a.key)[0];
  });
}

async function newestOf(
  reader: StoreReader,
  program: string,
  entry: string,
  args: readonly unknown[],
): Promise<ProcessRow | undefined> {
  const digest = argsDigest(entry, encodeValue(args));
  for await (const row of eachProcess(reader, { program, entry, states: livingStates })) {
    if (row.argsDigest === digest) return row;
  }
  return undefined;
}

/** How many processes are unfinished, but for this one. */
export async function countOthers(context: Context, pid: Pid): Promise<number> {
  if (!(await storeExists(context.store))) return 0;
  return await withReader(context, async (reader) => {
    const [going, own] = await Promise.all([countGoing(reader), reader.findProcess(pid)]);
    return going - (own?.state === "running" ? 1 : 0);
  });
}

/**
 * The file whose host functions a node without a program of its own should offer: that of the newest program with unfinished
 * processes (of `pids`, if there are any). Undefined if there is none or its file is gone; then operations wait, and it says so.
 */
export async function chooseProgram(
  context: Context,
  reader: StoreReader,
  pids: readonly Pid[],
): Promise<string | undefined> {
  const files = await unfinishedFiles(reader, pids);
  const file = files.find((each) => existsSync(each));
  const { terminal } = context;
  for (const each of files) {
    if (!existsSync(each)) terminal.note(`perdure: ${shortPath(each)} is gone, so operations of its processes wait.`);
    else if (each !== file && file !== undefined) {
      const line = resumeCommand(context, shortPath(each));
      terminal.note(
        `perdure: this node has the host functions of ${shortPath(file)}. Operations of ${shortPath(each)} wait for: ${line}`,
      );
    }
  }
  return file;
}

/** Newest program first, each file once. */
async function unfinishedFiles(reader: StoreReader, pids: readonly Pid[]): Promise<string[]> {
  const wanted =
    pids.length === 0
      ? undefined
      : new Set((await Promise.all(pids.map((pid) => reader.findProcess(pid)))).map((row) => row?.program));
  const files = new Set<string>();
  for (const { hash, file } of await reader.programs()) {
    if (files.has(file) || wanted?.has(hash) === false) continue;
    const [unfinished] = await reader.listProcesses({ program: hash, states: ["running", "crashed"], limit: 1 });
    if (unfinished !== undefined) files.add(file);
  }
  return [...files];
}
