/** `perdure programs`: what processes are pinned to. */
import type { Command } from "commander";
import { eachProcess } from "../../engine/tree.ts";
import type { ProgramRow, StoreReader } from "../../store/port.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { shortPath } from "../paths.ts";
import { withReader } from "../reader.ts";
import { renderTable } from "../table.ts";
import { formatAgo } from "../time.ts";

interface Usage {
  readonly processes: number;
  readonly unfinished: number;
}

export function programsCommand(): Command {
  const command = defineCommand("programs", "Lists the versions of programs in the store, newest first.", [
    "perdure programs",
    "perdure programs --json",
  ]);
  return act(command, programs);
}

async function programs(context: Context): Promise<void> {
  const { json, terminal } = context;
  await withReader(context, async (reader) => {
    const rows = await reader.programs();
    const usage = await usageOf(reader);
    const used = (program: ProgramRow): Usage => usage.get(program.hash) ?? { processes: 0, unfinished: 0 };
    if (json) {
      const list = rows.map((row) => ({ hash: row.hash, file: row.file, createdAtMs: row.createdAtMs, ...used(row) }));
      return terminal.print(JSON.stringify(list));
    }
    if (rows.length === 0) return terminal.note("There are no programs yet. Start one with: perdure run FILE");
    const nowMs = Date.now();
    const columns = [
      { title: "HASH" },
      { title: "CREATED", right: true },
      { title: "PROCESSES", right: true },
      { title: "UNFINISHED", right: true },
      { title: "FILE", leastWidth: 16 },
    ];
    const table = rows.map((row) => [
      { text: row.hash.slice(0, 12), paint: terminal.out.yellow },
      { text: formatAgo(row.createdAtMs, nowMs), paint: terminal.out.dim },
      { text: String(used(row).processes) },
      { text: String(used(row).unfinished) },
      { text: shortPath(row.file) },
    ]);
    for (const line of renderTable(columns, table, { width: terminal.width, paintTitle: terminal.out.bold }))
      terminal.print(line);
  });
}

async function usageOf(reader: StoreReader): Promise<ReadonlyMap<string, Usage>> {
  const usage = new Map<string, Usage>();
  for await (const { program, state } of eachProcess(reader, {})) {
    const { processes, unfinished } = usage.get(program) ?? { processes: 0, unfinished: 0 };
    usage.set(program, { processes: processes + 1, unfinished: unfinished + (state === "exited" ? 0 : 1) });
  }
  return usage;
}
