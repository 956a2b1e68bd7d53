/** The foreground of `perdure run`: a node, one process in it that matters, its output and its end. */
import path from "node:path";
import { isPerdureError, PerdureError } from "../base/errors.ts";
import { newPid } from "../base/ids.ts";
import type { Pid } from "../journal/types.ts";
import type { ProcessHandle } from "../engine/handle.ts";
import type { LogEntry } from "../engine/options.ts";
import { systemRandom } from "../engine/system.ts";
import type { ProcessRow } from "../store/port.ts";
import { commandLine } from "./arguments.ts";
import { inMemory } from "../store/place.ts";
import type { Context } from "./context.ts";
import { openNode, printLog, untilStopped } from "./node.ts";
import type { Node } from "./node.ts";
import type { NodeFlags } from "./node-options.ts";
import { outcomeFrom, printOutcome } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import { resumeCommand, withReader } from "./reader.ts";
import { exitCodeOf } from "./signals.ts";
import type { StopSignal } from "./signals.ts";
import { mapErrorsWithin } from "./stacks.ts";
import { startStatusLine } from "./status-line.ts";
import type { StatusLine } from "./status-line.ts";
import { count } from "./text.ts";
import { formatAgo, formatDuration } from "./time.ts";
import { countOthers } from "./unfinished.ts";
import { describeWaiting } from "./waiting.ts";
import { errorsWithin } from "../engine/within.ts";

export interface RunRequest {
  readonly file: string;
  /** "" when it was left out. */
  readonly entry: string;
  readonly args: readonly unknown[];
  /** What stood behind the file, for the command line that goes on. */
  readonly words: readonly string[];
  readonly id: string | undefined;
  /** A label that its node must have. */
  readonly needs: string | undefined;
  readonly env: readonly string[];
  readonly node: NodeFlags;
}

/** Returns the exit code. `goesOn`: the unfinished process to resume instead of starting one. */
export async function runProgram(
  context: Context,
  request: RunRequest,
  goesOn: ProcessRow | undefined,
): Promise<number> {
  // Chosen here, so that its first line of output is already known to be its own.
  const pid = goesOn?.pid ?? request.id ?? newPid(systemRandom);
  const node = await openNode(context, {
    program: request.file,
    env: request.env,
    flags: request.node,
    // Host functions that other processes lack are no concern of this one: `ps` shows them.
    concerns: (notice) => notice.pid === pid || notice.kind !== "operation-unavailable",
    onLog: (log) => (log.pid === pid ? printLog(log) : printOther(context, log)),
  });
  let status: StatusLine | undefined;
  let end: { readonly done: Outcome } | { readonly signal: StopSignal };
  try {
    const handle = goesOn === undefined ? await start(node, request, pid) : node.engine.get(pid);
    await announce(context, request, node, handle, goesOn);
    status = showStatus(context, handle);
    end = await untilStopped(node, outcomeFrom(pid, handle.result()));
  } catch (error) {
    status?.stop();
    await node.close();
    throw error;
  }
  status.stop();
  const exitCode = "signal" in end ? exitCodeOf(end.signal) : await printEnd(context, end.done);
  await node.close();
  if ("signal" in end) await noteStopped(context, request, pid);
  await noteOthers(context, pid);
  return exitCode;
}

/** Output of another process in the store is not this command's result, but news. */
function printOther({ terminal }: Context, { pid, text }: LogEntry): void {
  terminal.note(text.replace(/^/gm, terminal.err.dim(`${pid} | `)));
}

async function start(node: Node, request: RunRequest, id: Pid): Promise<ProcessHandle> {
  try {
    const needs = request.needs === undefined ? {} : { needs: request.needs };
    return await node.engine.start(request.entry, [...request.args], { id, ...needs });
  } catch (error) {
    if (!isPerdureError(error, "ENTRY_NOT_FOUND") || !node.engine.entries.includes("default")) throw error;
    const line = commandLine(["perdure", "run", request.file, "default", ...request.words]);
    const message = `${error.message} Arguments of the default export stand behind its name: ${line}`;
    throw new PerdureError("ENTRY_NOT_FOUND", message, { details: error.details });
  }
}

/** Says when the process is not a new one: what the command prints then is not all that the program has printed. */
async function announce(
  context: Context,
  request: RunRequest,
  node: Node,
  handle: ProcessHandle,
  goesOn: ProcessRow | undefined,
): Promise<void> {
  if (handle.created) return;
  const { terminal } = context;
  const row = goesOn ?? (await handle.status());
  const ago = formatAgo(row.startedAtMs, Date.now());
  const older =
    row.program === node.engine.program
      ? ""
      : ` It keeps the older version of ${path.basename(request.file)} that it was started with.`;
  const again = goesOn === undefined ? "" : " (--new starts another one)";
  const what =
    row.state !== "exited"
      ? `going on with process ${row.pid}, started ${ago}${again}.${older}`
      : `process ${row.pid} has ended before; this is how:`;
  terminal.note(terminal.err.dim(`perdure: ${what}`));
}

function showStatus({ terminal }: Context, handle: ProcessHandle): StatusLine {
  const sinceMs = performance.now();
  const describe = async (): Promise<string> => {
    const details = await handle.status();
    const waiting = describeWaiting(details, { nowMs: Date.now(), nodeRuns: true });
    const what = waiting === "" ? "in a turn" : `waits for ${waiting}`;
    return `${handle.pid}  ${formatDuration(performance.now() - sinceMs)}  ${count(details.turns, "turn")}  ${what}`;
  };
  return startStatusLine(describe, terminal.err.dim);
}

async function printEnd(context: Context, outcome: Outcome): Promise<number> {
  if (!("error" in outcome) && context.store !== inMemory && errorsWithin(outcome.value).length > 0) {
    await withReader(context, async (reader) =>
      mapErrorsWithin(reader, (await reader.findProcess(outcome.pid))?.program, outcome.value),
    );
  }
  return printOutcome(context, outcome);
}

/** How to go on after the node was stopped; the process may have ended in the very moment. */
async function noteStopped(context: Context, { file, words, id, needs, node }: RunRequest, pid: Pid): Promise<void> {
  const { terminal } = context;
  if (context.store === inMemory)
    return terminal.note("perdure: stopped. The store was in memory, and the process with it.");
  const isOver = await withReader(context, async (reader) => (await reader.findProcess(pid))?.state === "exited");
  const line = isOver
    ? commandLine(["perdure", "result", pid, ...context.storeWords])
    : commandLine([
        "perdure",
        "run",
        file,
        ...words,
        ...(id === undefined ? [] : ["--id", id]),
        ...(needs === undefined ? [] : ["--needs", needs]),
        ...node.words,
        ...context.storeWords,
      ]);
  const what = isOver ? "has ended. See how with" : "is not finished. Go on with";
  terminal.note(`perdure: stopped. Process ${pid} ${what}:\n  ${line}`);
}

async function noteOthers(context: Context, pid: Pid): Promise<void> {
  const others = await countOthers(context, pid);
  if (others === 0) return;
  context.terminal.note(
    `perdure: ${count(others, "other process is", "other processes are")} unfinished in this store. Go on with: ${resumeCommand(context)}`,
  );
}
