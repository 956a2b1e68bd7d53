/** `perdure migrate`: moves a whole store to another place, such as from a file to a PostgreSQL database. */
import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { abandonMigration } from "../../store/migration/plan.ts";
import type { PartName } from "../../store/migration/parts.ts";
import type { Mover } from "../../store/migration/port.ts";
import { migrate } from "../../store/migration/run.ts";
import type { MigrateReport } from "../../store/migration/run.ts";
import { openMover, openStore } from "../../store/open.ts";
import { inMemory, isPostgresUrl, resolvePlace, retypedPlace } from "../../store/place.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { usageError } from "../failure.ts";
import { progressBar } from "../progress-bar.ts";
import { countGoing, goOnCommand, isNodeRunning } from "../reader.ts";
import { count } from "../text.ts";
import { formatDuration } from "../time.ts";

interface Options {
  readonly from?: string;
  readonly to?: string;
  readonly abandon?: boolean;
}

interface Ends {
  readonly source: Mover;
  readonly target: Mover;
  /** As it may be typed again. */
  readonly to: string;
}

export function migrateCommand(): Command {
  const command = defineCommand(
    "migrate",
    "Moves a whole store to another place, where everything goes on. Run it again if it was interrupted.",
    [
      "perdure migrate --from sqlite:perdure.db --to postgres://ann:secret@db.example.com/app",
      "perdure migrate --to new/perdure.db               # the store of this folder",
      "perdure migrate --from old.db --to new.db --abandon    # not after all",
    ],
  )
    .option(
      "--from <place>",
      "the store that moves: a file, also as sqlite:FILE, or a postgres:// URL (default: --store)",
    )
    .option("--to <place>", "where to: the same; there must be nothing yet")
    .option("--abandon", "give up a migration that is not complete: empty the target, and use the source again");
  return act<Options>(command, async (context, _words, options) => {
    const to = placeOf("--to", options.to);
    const from = options.from === undefined ? context.store : placeOf("--from", options.from);
    if (from === inMemory)
      throw usageError('A store "memory:" dies with the command that made it. Name a file or a URL by --from.');
    const source = await openMover(from, { create: false });
    try {
      const target = await openMover(to, { create: options.abandon !== true });
      try {
        const ends = { source, target, to };
        await (options.abandon === true ? abandon(context, ends) : move(context, ends));
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  });
}

function placeOf(option: string, word: string | undefined): string {
  if (word === undefined || word === "") throw usageError(`${option} is missing. Name a file, or a postgres:// URL.`);
  const place = resolvePlace(word.replace(/^sqlite:/, ""), process.cwd());
  if (place === inMemory)
    throw usageError(`${option} is "memory:", which dies with the command. Name a file, or a postgres:// URL.`);
  return place;
}

async function move(context: Context, { source, target, to }: Ends): Promise<void> {
  const bar = progressBar();
  const startedMs = performance.now();
  let report: MigrateReport;
  try {
    report = await migrate(source, target, {
      id: randomUUID(),
      nowMs: Date.now(),
      progress: ({ share, doing, part, rows }) =>
        bar.show(
          share,
          doing === "checking" ? "looking through the target" : `${doing} ${part}, ${count(rows, "row")}`,
        ),
    });
  } finally {
    bar.end();
  }
  const tookMs = performance.now() - startedMs;
  await target.close();
  if (context.json) {
    const { faults, ...about } = report;
    const { place: from } = source;
    const shown = {
      from,
      to: target.place,
      ...about,
      faults: faults.map(({ rule, detail }) => ({ rule, detail })),
      tookMs,
    };
    return context.terminal.print(JSON.stringify(shown));
  }
  print(context, source.place, target.place, report, tookMs);
  if (!isPostgresUrl(source.place)) noteForeign(context, source.place, report.foreignTables);
  await noteNext(context, to);
}

function print({ terminal }: Context, from: string, to: string, report: MigrateReport, tookMs: number): void {
  const { out } = terminal;
  if (report.outcome === "already") {
    terminal.print(`${out.green("✓")} ${from} was moved to ${to} before. Nothing was changed.`);
    return;
  }
  const { rows, bytes, compared, damaged, faults } = report;
  const took = tookMs < 1000 ? `${Math.round(tookMs)} ms` : formatDuration(tookMs);
  const size = `${count(rows, "row")}, ${sizeText(bytes)}, in ${took}`;
  terminal.print(`${out.green("✓")} ${from} was moved to ${to}: ${size}.`);
  const parts = Object.entries(compared).map(([part, number]) => `${names[part as PartName]} ${number}`);
  if (parts.length > 0) terminal.print(`  Every row was compared: ${parts.join(", ")}.`);
  terminal.print("  The target was looked through as perdure verify does it, without replay.");
  if (damaged > 0)
    terminal.print(
      out.yellow(
        `  ${count(damaged, "row")} failed the checksum before, and went as ${damaged === 1 ? "it was" : "they were"}.`,
      ),
    );
  for (const { rule, detail } of faults) terminal.print(out.yellow(`  As before: ${detail} (${rule}).`));
}

function noteForeign({ terminal }: Context, from: string, tables: readonly string[]): void {
  if (tables.length === 0) return;
  terminal.print(
    `  ${tables.length === 1 ? "This table is" : "These tables are"} your own, not Perdure's, and stayed in ${from}: ${tables.join(", ")}.`,
  );
}

async function noteNext(context: Context, to: string): Promise<void> {
  const there: Context = { ...context, store: to, storeWords: ["--store", retypedPlace(to)] };
  const reader = await openStore(to, { mode: "reader" });
  try {
    const going = (await isNodeRunning(there)) ? 0 : await countGoing(reader);
    if (going === 0) return;
    context.terminal.note(
      `${count(going, "process goes", "processes go")} on with: ${await goOnCommand(there, reader)}`,
    );
  } finally {
    await reader.close();
  }
}

async function abandon({ json, terminal }: Context, { source, target }: Ends): Promise<void> {
  const abandoned = await abandonMigration(source, target);
  if (json) return terminal.print(JSON.stringify({ from: source.place, to: target.place, abandoned }));
  terminal.note(
    abandoned
      ? `The migration was given up. ${source.place} can be used again, and ${target.place} is empty.`
      : `No migration from ${source.place} to ${target.place} is under way. Nothing was changed.`,
  );
}

/** What people call them. */
const names: Readonly<Record<PartName, string>> = {
  blob: "blobs",
  program: "programs",
  process: "processes",
  journal: "turns",
  snapshot: "snapshots",
  operation: "operations",
  timer: "timers",
  inbox: "waiting inputs",
  log: "log lines",
  link: "links",
  monitor: "monitors",
  name: "names",
  member: "members of groups",
  checkpoint: "checkpoints",
  checkpoint_tie: "ties of checkpoints",
  restore: "restores",
  dead_letter: "dead letters",
  edge: "keys",
  tombstone: "tombstones",
  exported: "exports",
  imported: "imports",
  remains: "remains of pruned processes",
};

const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];

function sizeText(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}
