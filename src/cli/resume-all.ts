/** The foreground of `perdure resume`: a node, everything unfinished in the store, and the ends of all of it. */
import { existsSync } from "node:fs";
import type { Pid } from "../journal/types.ts";
import { findProcess } from "../engine/views.ts";
import type { StoreReader } from "../store/port.ts";
import type { Context } from "./context.ts";
import { usageError } from "./failure.ts";
import { openNode, untilStopped } from "./node.ts";
import type { NodeFlags } from "./node-options.ts";
import { countGoing, resumeCommand, withReader } from "./reader.ts";
import { ResumeWork } from "./resume-work.ts";
import { exitCodeOf } from "./signals.ts";
import type { StopSignal } from "./signals.ts";
import { startStatusLine } from "./status-line.ts";
import { count } from "./text.ts";
import { chooseProgram } from "./unfinished.ts";

export interface ResumeRequest {
  /** Undefined: the newest program with unfinished processes. */
  readonly file: string | undefined;
  /** Empty: all. */
  readonly pids: readonly Pid[];
  readonly node: NodeFlags;
}

/** Returns the exit code: 0 when all that was waited for ended normally. */
export async function resumeAll(context: Context, request: ResumeRequest): Promise<number> {
  return await withReader(context, async (reader) => {
    for (const pid of request.pids) await findProcess(reader, pid);
    await checkFile(context, reader, request.file);
    const work = new ResumeWork(context, reader, request.pids);
    const left = await work.begin();
    if (left === 0) {
      if (request.pids.length === 0) context.terminal.note("perdure: nothing is unfinished.");
      return await finish(context, reader, work);
    }
    const signal = await runNode(context, reader, request, work, left);
    return signal === undefined
      ? await finish(context, reader, work)
      : await noteStopped(context, reader, request, signal);
  });
}

/** A pid in the file's place is an easy mistake. Any other file that is missing is reported when it is built. */
async function checkFile(context: Context, reader: StoreReader, file: string | undefined): Promise<void> {
  if (file === undefined || existsSync(file) || (await reader.findProcess(file)) === undefined) return;
  throw usageError(`${file} is no file but a process. Did you mean: ${resumeCommand(context, "--pid", file)}`);
}

/** Runs a node until the work is done; answers the signal that stopped it before. */
async function runNode(
  context: Context,
  reader: StoreReader,
  request: ResumeRequest,
  work: ResumeWork,
  left: number,
): Promise<StopSignal | undefined> {
  const { terminal } = context;
  const program = request.file ?? (await chooseProgram(context, reader, request.pids));
  const node = await openNode(context, {
    ...(program === undefined ? {} : { program }),
    flags: request.node,
    onLog: (log) => work.printLog(log),
    onExit: ({ pid }) => work.ended(pid),
  });
  terminal.note(
    terminal.err.dim(`perdure: going on with ${count(left, "unfinished process", "unfinished processes")}`),
  );
  const status = startStatusLine(() => work.describe(), terminal.err.dim);
  try {
    const end = await untilStopped(node, work.done());
    return "signal" in end ? end.signal : undefined;
  } finally {
    status.stop();
    work.stop();
    await node.close();
  }
}

async function noteStopped(
  context: Context,
  reader: StoreReader,
  { file, pids, node }: ResumeRequest,
  signal: StopSignal,
): Promise<number> {
  const going = await countGoing(reader);
  if (going > 0) {
    const line = resumeCommand(
      context,
      ...(file === undefined ? [] : [file]),
      ...pids.flatMap((pid) => ["--pid", pid]),
      ...node.words,
    );
    context.terminal.note(
      `perdure: stopped. ${count(going, "process is", "processes are")} not finished. Go on with:\n  ${line}`,
    );
  }
  return exitCodeOf(signal);
}

async function finish(context: Context, reader: StoreReader, work: ResumeWork): Promise<number> {
  const [going, { paused, broken }] = await Promise.all([countGoing(reader), reader.countProcesses()]);
  const { terminal } = context;
  if (broken > 0)
    terminal.note(
      `perdure: ${count(broken, "process", "processes")} cannot go on and ${broken === 1 ? "waits" : "wait"} for a person: perdure ps --state broken`,
    );
  if (paused > 0)
    terminal.note(`perdure: ${count(paused, "process is", "processes are")} paused: perdure ps --state paused`);
  if (going > 0)
    terminal.note(
      `perdure: ${count(going, "other process is", "other processes are")} unfinished in this store. Go on with: ${resumeCommand(context)}`,
    );
  return work.exitCode;
}
