/** `perdure verify`: holds everything in the store against the rules, and replays its processes. */
import type { Command } from "commander";
import type { VerifyOptions, VerifyReport } from "../../engine/verify/verify.ts";
import { rules } from "../../engine/verify/rules.ts";
import type { Finding } from "../../engine/verify/rules.ts";
import { openStore } from "../../store/open.ts";
import { act, defineCommand, wholeNumber } from "../context.ts";
import { inMemory } from "../../store/place.ts";
import type { Context } from "../context.ts";
import { exitCodes, usageError } from "../failure.ts";
import { filterOf, withFilters } from "../process-filter.ts";
import type { FilterOptions } from "../process-filter.ts";
import { locate } from "../reader.ts";
import { progressBar } from "../progress-bar.ts";
import { count, indent, oneLine } from "../text.ts";

interface Options extends FilterOptions {
  readonly replay: boolean;
  readonly limit?: number;
}

export function verifyCommand(): Command {
  const command = defineCommand(
    "verify",
    "Checks that the store is whole and that its processes replay. Writes nothing.",
    [
      "perdure verify                   # everything",
      "perdure verify order-7           # one process",
      "perdure verify --no-replay       # quick: the rows only",
      "perdure verify --state running --limit 100",
    ],
  ).argument("[pids...]", "only these processes");
  withFilters(command)
    .option("--no-replay", "do not run the processes' turns again")
    .option("--limit <number>", "at most so many processes, newest first", wholeNumber("--limit", 1));
  return act<Options>(command, verify);
}

async function verify(context: Context, words: readonly string[], options: Options): Promise<number> {
  if (context.store === inMemory)
    throw usageError('A store "memory:" dies with the command that made it. Name a file by --store.');
  const filter = filterOf(options);
  const isFiltered = Object.keys(filter).length > 0;
  if (words.length > 0 && isFiltered)
    throw usageError("Name processes or give filters, not both: what is named is verified whatever it is like.");
  const store = await openStore(context.store, { mode: "reader" });
  const bar = progressBar();
  try {
    // The machine is loaded for those who need it: looking things up stays quick.
    const [{ verifyStore }, { defaultMachineLimits }] = await Promise.all([
      import("../../engine/verify/verify.ts"),
      import("../../machine/image.ts"),
    ]);
    const configured = context.config.limits?.limits;
    const given: VerifyOptions = {
      replay: options.replay,
      ...(words.length === 0 ? {} : { processes: await Promise.all(words.map((word) => locate(store, word))) }),
      ...(isFiltered ? { filter } : {}),
      ...(options.limit === undefined ? {} : { limit: options.limit }),
      ...(configured === undefined ? {} : { limits: { ...defaultMachineLimits, ...configured } }),
      progress: ({ share, doing, processes, turns }) =>
        bar.show(
          share,
          doing === "store"
            ? "the store's tables"
            : `${count(processes, "process", "processes")}, ${count(turns, "turn")}`,
        ),
      found: (finding) => {
        if (!context.json) bar.print(() => printFinding(context, finding));
      },
    };
    const report = await verifyStore(store, given);
    bar.end();
    print(context, report, options.replay);
    return report.findingsCount === 0 ? exitCodes.ok : exitCodes.failed;
  } finally {
    bar.end();
    await store.close();
  }
}

function printFinding({ terminal }: Context, { rule, pid, detail }: Finding): void {
  const { out } = terminal;
  terminal.print(`${out.red("✗")} ${out.bold(pid === "" ? "the store" : oneLine(pid))}  ${out.dim(rule)}`);
  terminal.print(indent(`${detail.split("\n").map(oneLine).join("\n")}.`, "    "));
}

function print({ terminal, json }: Context, report: VerifyReport, replay: boolean): void {
  const { findings, findingsCount, processes, turns, replayedProcesses, replayedTurns, notReplayed } = report;
  if (json) {
    terminal.print(JSON.stringify({ ok: findingsCount === 0, ...report }));
    return;
  }
  const { out } = terminal;
  const broken = new Set(findings.map(({ rule }) => rule));
  if (findingsCount > 0) {
    terminal.print("");
    terminal.print("What should hold, and does not:");
    for (const rule of broken) terminal.print(`  ${rule.padEnd(14)} ${out.dim(rules[rule])}`);
    terminal.print("");
  }
  const checked = `${count(processes, "process", "processes")} with ${count(turns, "turn")} checked`;
  const run = replay
    ? `, ${count(replayedTurns, "turn")} of ${count(replayedProcesses, "process", "processes")} replayed`
    : "";
  for (const [why, number] of Object.entries(notReplayed))
    terminal.print(out.yellow(`Not replayed: ${count(number, "process", "processes")}, because ${why}.`));
  const result = findingsCount === 0 ? out.green("✓ No findings") : out.red(`✗ ${count(findingsCount, "finding")}`);
  terminal.print(`${result}: ${checked}${run}.`);
  if (findingsCount > findings.length) terminal.print(`Only the first ${findings.length} are named by rule.`);
}
