/** The foreground of `perdure serve`: a node, and the root supervisor whose end is the node's. */
import path from "node:path";
import { PerdureError } from "../base/errors.ts";
import type { Pid } from "../journal/types.ts";
import { commandLine } from "./arguments.ts";
import { inMemory } from "../store/place.ts";
import type { Context } from "./context.ts";
import { openNode, untilStopped } from "./node.ts";
import type { Node } from "./node.ts";
import type { NodeFlags } from "./node-options.ts";
import { outcomeFrom } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import { countGoing, withReader } from "./reader.ts";
import { findRoot } from "./root.ts";
import type { Root } from "./root.ts";
import { defaultRootId } from "./root-id.ts";
import { reportRoot } from "./root-report.ts";
import { LogPrinter } from "./serve-logs.ts";
import { exitCodeOf } from "./signals.ts";
import type { StopSignal } from "./signals.ts";
import { count } from "./text.ts";
import { formatAgo } from "./time.ts";

export interface ServeRequest {
  readonly file: string;
  /** Of the root. */
  readonly id: Pid;
  readonly env: readonly string[];
  /** Another tree in the place of the one there is. */
  readonly fresh: boolean;
  /** Waits while another node owns the store. */
  readonly standby: boolean;
  readonly node: NodeFlags;
}

/** Returns the exit code: a failing one when the root has ended. */
export async function serveProgram(context: Context, request: ServeRequest): Promise<number> {
  // Before anything is opened: a root of another program is no reason to run one.
  await findRoot(context, request.id, request.file);
  const logs = new LogPrinter(context);
  const node = await openNode(context, {
    program: request.file,
    env: request.env,
    onLog: (log) => logs.print(log),
    standby: request.standby,
    flags: request.node,
  });
  logs.lookIn(node.engine);
  let wasActive: boolean;
  let end: { readonly done: Outcome } | { readonly signal: StopSignal };
  try {
    end = await untilStopped(node, serve(context, request, node));
  } finally {
    wasActive = node.engine.node.state === "active";
    await node.close();
    await logs.printed();
  }
  if ("done" in end) return await reportRoot(context, end.done, lineOf(context, request));
  await noteStopped(context, request, wasActive);
  return exitCodeOf(end.signal);
}

async function serve(context: Context, request: ServeRequest, node: Node): Promise<Outcome> {
  if (!node.engine.entries.includes("default")) throw noSupervisor(request.file);
  await node.engine.active();
  // Another node may have served it in the meantime.
  const root = await findRoot(context, request.id, request.file);
  const { alive, nextPid } = root;
  if (alive !== undefined && request.fresh) await stopTree(context, node, alive.pid);
  const goesOn = alive !== undefined && !request.fresh;
  const handle = goesOn
    ? node.engine.get(alive.pid)
    : await node.engine.start("default", [], { id: nextPid, role: "supervisor" });
  announce(context, request, node, goesOn ? root : undefined, handle.pid);
  return await outcomeFrom(handle.pid, handle.result());
}

function noSupervisor(file: string): PerdureError {
  return new PerdureError(
    "ENTRY_NOT_FOUND",
    `${path.basename(file)} has no default export. To be served, a program exports its supervisor: export default supervisor({ children: […] })`,
    { details: { file } },
  );
}

/** As an operator tells a supervisor to end: it stops its children first, each in its own way and time. */
async function stopTree({ terminal }: Context, node: Node, pid: Pid): Promise<void> {
  terminal.note(terminal.err.dim(`perdure: stopping ${pid} and all below it`));
  await node.engine.get(pid).shutdown();
  await outcomeFrom(pid, node.engine.get(pid).result());
}

function announce({ terminal }: Context, { file }: ServeRequest, node: Node, root: Root | undefined, pid: Pid): void {
  const name = path.basename(file);
  const { alive } = root ?? {};
  if (alive === undefined) return terminal.note(terminal.err.dim(`perdure: serving ${name}: started ${pid}`));
  const older =
    alive.program === node.engine.program
      ? ""
      : ` It keeps the older version of ${name} that it was started with; --fresh starts another one.`;
  const ago = formatAgo(alive.startedAtMs, Date.now());
  terminal.note(terminal.err.dim(`perdure: serving ${name}: going on with ${alive.pid}, started ${ago}.${older}`));
  if (alive.state === "paused") {
    terminal.note(`perdure: ${alive.pid} is paused. Let it go on with: perdure unpause ${alive.pid}`);
  }
}

function lineOf(context: Context, { file, id, env, standby, node }: ServeRequest): string {
  return commandLine([
    "perdure",
    "serve",
    file,
    ...(id === defaultRootId ? [] : ["--id", id]),
    ...env.flatMap((name) => ["--env", name]),
    ...(standby ? ["--standby"] : []),
    ...node.words,
    ...context.storeWords,
  ]);
}

async function noteStopped(context: Context, request: ServeRequest, wasActive: boolean): Promise<void> {
  const { terminal } = context;
  if (!wasActive) return terminal.note("perdure: stopped, having stood by: another node owns the store.");
  if (context.store === inMemory)
    return terminal.note("perdure: stopped. The store was in memory, and the processes with it.");
  const going = await withReader(context, countGoing);
  terminal.note(
    `perdure: stopped. ${count(going, "process goes", "processes go")} on with:\n  ${lineOf(context, request)}`,
  );
}
