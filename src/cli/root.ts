/** The root of a served program: which process it is, today and after it has given up. */
import { existsSync, realpathSync } from "node:fs";
import type { Pid } from "../journal/types.ts";
import { findEver, isUnfinished, newestGeneration } from "../engine/generations.ts";
import { storeExists } from "../store/open.ts";
import type { ProcessRow, StoreReader } from "../store/port.ts";
import type { Context } from "./context.ts";
import { usageError } from "./failure.ts";
import { shortPath } from "./paths.ts";
import { rootPid } from "./root-id.ts";
import { withReader } from "./reader.ts";

export interface Root {
  /** Lives: it goes on. */
  readonly alive: ProcessRow | undefined;
  /** The pid for the next one that is started. */
  readonly nextPid: Pid;
}

/**
 * Roots of one id follow each other: `root`, and when that has ended, `root~2`. Throws ARGUMENT_INVALID if the living one is
 * another program's, or no served program's at all.
 */
export async function findRoot(context: Context, id: Pid, file: string): Promise<Root> {
  if (!(await storeExists(context.store))) return { alive: undefined, nextPid: id };
  return await withReader(context, async (reader) => {
    const newest = await newestGeneration((number) => findEver(reader, rootPid(id, number)));
    if (newest === undefined) return { alive: undefined, nextPid: id };
    const { row, number } = newest;
    const nextPid = rootPid(id, number + 1);
    if (!isUnfinished(row)) return { alive: undefined, nextPid };
    await checkFile(reader, row, id, file);
    return { alive: row, nextPid };
  });
}

async function checkFile(reader: StoreReader, row: ProcessRow, id: Pid, file: string): Promise<void> {
  const program = await reader.program(row.program);
  const isOurs = program !== undefined && existsSync(file) && program.file === realpathSync(file);
  // A program that has moved is the same one; what else lies at its old place, or is another entry, is not.
  const hasMoved = program !== undefined && !existsSync(program.file);
  if (row.role === "supervisor" && (isOurs || hasMoved)) return;
  const whose = program === undefined ? "another program" : shortPath(program.file);
  throw usageError(
    `Process ${row.pid} of this store belongs to ${whose}, and lives. Give the root of this program an id of its own: --id ${id}-2`,
  );
}
