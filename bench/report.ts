/** `results.json` keeps the last figures of each benchmark; `RESULTS.md` is made from it, and keeps what people wrote there. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { format } from "prettier";
import type { Benchmark, Outcome, Table, Verdict } from "./harness.ts";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly platform: string;
  readonly node: string;
}

export interface Recorded {
  /** ISO date. */
  readonly date: string;
  readonly command: string;
  readonly machine: Machine;
  readonly outcome: Outcome;
}

export type Results = Record<string, Recorded>;

const resultsFile = fileURLToPath(new URL("./results.json", import.meta.url));
const reportFile = fileURLToPath(new URL("./RESULTS.md", import.meta.url));

export function thisMachine(): Machine {
  const cpu = cpus()[0]?.model.trim() ?? "unknown";
  return { cpu, cores: availableParallelism(), platform: `${process.platform} ${process.arch}`, node: process.version };
}

/** Records one benchmark's outcome; those of the others stay. */
export async function record(name: string, recorded: Recorded): Promise<void> {
  const results = { ...readResults(), [name]: recorded };
  writeFileSync(resultsFile, await format(JSON.stringify(results), { parser: "json", printWidth: 120 }));
}

export function readResults(): Results {
  return existsSync(resultsFile) ? (JSON.parse(readFileSync(resultsFile, "utf8")) as Results) : {};
}

// -- Markdown -----------------------------------------------------------------------------------------------------

export async function writeReport(benchmarks: readonly Benchmark[], results: Results): Promise<void> {
  const comments = readCommentary(existsSync(reportFile) ? readFileSync(reportFile, "utf8") : "");
  const measured = benchmarks.filter(({ name }) => results[name] !== undefined);
  const sections = measured.map((benchmark) => section(benchmark, results[benchmark.name] as Recorded, comments));
  const text = [head, commentary("summary", comments), summary(measured, results), ...sections, fire(comments)].join(
    "\n\n",
  );
  writeFileSync(reportFile, await format(text, { parser: "markdown", printWidth: 120 }));
}

const head = `# Benchmarks: what was measured

Made by \`npm run bench\` from \`results.json\`; what stands between \`commentary\` markers is written by hand and kept.
Every target is a ratio within one run, or a figure beside what the same disk and the same SQLite do in that run, since
absolute figures say more about the machine than about the engine. Variants that are compared run in turns, A B A B, and
figures are medians of the rounds. \`npm run bench -- throughput\` runs one of them, \`--quick\` gives a first impression and
records nothing, \`--long\` adds what takes long.`;

/** What is counted and not measured: it comes from other commands, and is written down by hand. */
function fire(comments: ReadonlyMap<string, string>): string {
  return `<a id="under-fire"></a>\n\n## Under fire: crashes, kills, planted bugs\n\n${commentary("fire", comments)}`;
}

function summary(benchmarks: readonly Benchmark[], results: Results): string {
  const rows = benchmarks.flatMap(({ name }) =>
    (results[name]?.outcome.verdicts ?? []).map((verdict) => [`[${name}](#${anchor(name)})`, ...verdictCells(verdict)]),
  );
  return markdownTable(["", "what", "target", "measured", ""], rows);
}

function section(benchmark: Benchmark, recorded: Recorded, comments: ReadonlyMap<string, string>): string {
  const { name, title, measures } = benchmark;
  const { date, command, machine, outcome } = recorded;
  return [
    `<a id="${anchor(name)}"></a>\n\n## ${title}`,
    measures,
    markdownTable(
      ["", "target", "measured", ""],
      outcome.verdicts.map((verdict) => verdictCells(verdict)),
    ),
    ...outcome.tables.map(({ caption, head, rows }) => `${caption}\n\n${markdownTable(head, rows)}`),
    `\`${command}\`, ${date.slice(0, 10)}: ${machine.cores} cores, ${machine.cpu}, ${machine.platform}, Node ${machine.node}.`,
    commentary(name, comments),
  ].join("\n\n");
}

const anchor = (name: string): string => `bench-${name}`;

function verdictCells({ what, target, figure, met }: Verdict): string[] {
  return [what, target, figure, met ? "met" : "**missed**"];
}

function markdownTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(columns), line(columns.map((_, i) => (i === 0 ? ":--" : "--:"))), ...rows.map(line)].join("\n");
}

// -- what people wrote --------------------------------------------------------------------------------------------

function commentary(name: string, comments: ReadonlyMap<string, string>): string {
  return `<!-- commentary: ${name} -->\n\n${comments.get(name) ?? ""}\n\n<!-- end of commentary -->`;
}

export function readCommentary(report: string): Map<string, string> {
  const marked = /<!-- commentary: ([\w-]+) -->(.*?)<!-- end of commentary -->/gs;
  return new Map([...report.matchAll(marked)].map(([, name = "", text = ""]) => [name, text.trim()]));
}

// -- the terminal -------------------------------------------------------------------------------------------------

export function printOutcome({ verdicts, tables }: Outcome): void {
  for (const { caption, head, rows } of tables) {
    console.log(`\n  ${caption}`);
    console.log(textTable(head, rows));
  }
  console.log("");
  for (const { what, target, figure, met } of verdicts)
    console.log(`  ${met ? "met   " : "MISSED"}  ${what}: ${figure} (target ${target})`);
}

function textTable(head: Table["head"], rows: Table["rows"]): string {
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
  const pad = (cell: string, i: number): string =>
    i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
  return all.map((row) => `  ${row.map(pad).join("   ")}`.trimEnd()).join("\n");
}
