/** The store as commands read it, whether a node runs beside them or not. */
import { livingStates } from "../engine/tree.ts";
import { findProcess } from "../engine/views.ts";
import type { ProcessRow, StoreReader } from "../store/port.ts";
import { isStoreOwned, openStore } from "../store/open.ts";
import { inMemory } from "../store/place.ts";
import { commandLine } from "./arguments.ts";
import type { Context } from "./context.ts";
import { usageError } from "./failure.ts";
import { shortPath } from "./paths.ts";
import { defaultRootId, rootIdOf } from "./root-id.ts";
import { count } from "./text.ts";

/** Opens the store beside whoever owns it, and closes it again. Throws STORE_NOT_FOUND and the other STORE_… errors. */
export async function withReader<T>(context: Context, work: (reader: StoreReader) => Promise<T>): Promise<T> {
  if (context.store === inMemory)
    throw usageError(
      'A store "memory:" dies with the command that made it; there is nothing to look at. Name a file by --store.',
    );
  const reader = await openStore(context.store, { mode: "reader" });
  try {
    return await work(reader);
  } finally {
    await reader.close();
  }
}

/** The process that a word names, which is a registered name or a pid. Throws PROCESS_NOT_FOUND. */
export async function locate(reader: StoreReader, word: string): Promise<ProcessRow> {
  const named = (await reader.names()).find(({ name }) => name === word);
  return await findProcess(reader, named?.pid ?? word);
}

/** Whether a node runs the store's processes at this moment. */
export function isNodeRunning(context: Context): Promise<boolean> {
  return isStoreOwned(context.store);
}

/** The command that goes on with what the store holds. */
export function resumeCommand(context: Context, ...words: readonly string[]): string {
  return commandLine(["perdure", "resume", ...words, ...context.storeWords]);
}

/** How many processes go on as soon as a node runs: those that run, and those whose supervisors are about to decide. */
export async function countGoing(reader: StoreReader): Promise<number> {
  const { running, crashed } = await reader.countProcesses();
  return running + crashed;
}

/** The command that goes on with all of it: if a served program's root lives, that program is served again. */
export async function goOnCommand(context: Context, reader: StoreReader): Promise<string> {
  const [root] = await reader.listProcesses({ states: livingStates, role: "supervisor", parent: "", limit: 1 });
  const program = root === undefined ? undefined : await reader.program(root.program);
  if (root === undefined || program === undefined) return resumeCommand(context);
  const id = rootIdOf(root.pid);
  const idWords = id === defaultRootId ? [] : ["--id", id];
  return commandLine(["perdure", "serve", shortPath(program.file), ...idWords, ...context.storeWords]);
}

/** Says so if nothing moves, because no node is running. */
export async function noteNoNode(context: Context, reader: StoreReader): Promise<void> {
  const going = (await isNodeRunning(context)) ? 0 : await countGoing(reader);
  const { terminal } = context;
  const place = await reader.movedTo();
  if (place !== undefined)
    return terminal.note(terminal.err.dim(`This store was moved, or is being moved, to ${place}. Nothing runs here.`));
  if (going === 0) return;
  terminal.note(
    terminal.err.dim(
      `No node is running. ${count(going, "process goes", "processes go")} on with: ${await goOnCommand(context, reader)}`,
    ),
  );
}
