/** `perdure ps`: the processes of the store, newest first. */
import type { Command } from "commander";
import { readDirectory } from "../../engine/directory.ts";
import type { StoreReader } from "../../store/port.ts";
import { act, defineCommand, wholeNumber } from "../context.ts";
import type { Context } from "../context.ts";
import { filterOf, selectProcesses, sortKey, sortKeys, withFilters } from "../process-filter.ts";
import type { FilterOptions, SortKey } from "../process-filter.ts";
import { lookAt, printProcesses } from "../process-table.ts";
import { isNodeRunning, noteNoNode, withReader } from "../reader.ts";
import { count, oneLine } from "../text.ts";
import { formatTime } from "../time.ts";

interface PsOptions extends FilterOptions {
  readonly sort: SortKey;
  readonly reverse?: boolean;
  readonly tree?: boolean;
  readonly limit: number;
  readonly all?: boolean;
}

const defaultLimit = 30;

export function psCommand(): Command {
  const command = defineCommand("ps", "Lists processes, newest first.", [
    "perdure ps",
    "perdure ps --state running --state broken",
    "perdure ps --reason error --entry refund --all",
    "perdure ps --role server --sort restarts",
    "perdure ps --tree                         # what started what",
  ]);
  withFilters(command)
    .option("--sort <key>", `order by ${sortKeys.join(", ")}`, sortKey, "started" satisfies SortKey)
    .option("--reverse", "the other way round")
    .option("--tree", "each process below the one that started it")
    .option("--limit <number>", "at most so many", wholeNumber("--limit", 1), defaultLimit)
    .option("--all", "all there are");
  return act<PsOptions>(command, ps);
}

async function ps(context: Context, _: readonly string[], options: PsOptions): Promise<void> {
  const { sort, reverse = false, tree = false } = options;
  const limit = options.all === true ? Number.MAX_SAFE_INTEGER : options.limit;
  const filter = filterOf(options);
  await withReader(context, async (reader) => {
    const { rows, more } = await selectProcesses(reader, filter, { sort, reverse, limit });
    const directory = await readDirectory(reader);
    const processes = await Promise.all(rows.map((row) => lookAt(reader, row, directory)));
    const { terminal } = context;
    if (context.json) return terminal.print(JSON.stringify(processes.map(({ details }) => details)));
    await noteExported(context, reader);
    if (processes.length === 0) return terminal.note(await nothing(reader));
    // On each level of a tree those who were there first come first, unless asked otherwise.
    const ordered = tree && sort === "started" ? processes.toReversed() : processes;
    printProcesses(context, ordered, { nodeRuns: await isNodeRunning(context), asTree: tree });
    const which = sort === "started" ? (reverse ? "oldest" : "newest") : "first";
    if (more) terminal.note(terminal.err.dim(`Only the ${which} ${rows.length}; --all shows all.`));
    await noteNoNode(context, reader);
  });
}

const maxExported = 5;

/** Who is not there any more, and where to look. */
async function noteExported({ terminal }: Context, reader: StoreReader): Promise<void> {
  const exported = await reader.exports(maxExported + 1);
  for (const { pid, file, exportedAtMs } of exported.slice(0, maxExported))
    terminal.note(
      terminal.err.dim(`${oneLine(pid)} was exported at ${formatTime(exportedAtMs)}, as process file ${file}.`),
    );
  if (exported.length > maxExported) terminal.note(terminal.err.dim("More were exported before."));
}

async function nothing(reader: StoreReader): Promise<string> {
  const counts = await reader.countProcesses();
  const total = Object.values(counts).reduce((sum, each) => sum + each, 0);
  return total === 0
    ? "There are no processes yet. Start one with: perdure run FILE"
    : `None of ${count(total, "process", "processes")} is like that.`;
}
