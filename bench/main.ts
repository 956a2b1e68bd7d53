/**
 * `npm run bench`: measures what the design promises, and writes `bench/RESULTS.md`.
 *
 *     npm run bench                          everything but what takes long: ten minutes at most
 *     npm run bench -- throughput latency    some of it; the figures of the others stay
 *     npm run bench -- --quick               a first impression; nothing is recorded
 *     npm run bench -- --long                also what takes long: 20 minutes at most
 *
 * The measured files are put below `node_modules/.cache`, or in the folder named by BENCH_DIR.
 */
import { asleep } from "./asleep.ts";
import { killAllChildren } from "./child.ts";
import { cluster } from "./cluster.ts";
import { disk } from "./disk.ts";
import { failover } from "./failover.ts";
import { fairness } from "./fairness.ts";
import { makeFolder, removeFolder } from "./harness.ts";
import type { Benchmark, Context, Outcome } from "./harness.ts";
import { history } from "./history.ts";
import { latency } from "./latency.ts";
import { postgres } from "./postgres.ts";
import { processes } from "./processes.ts";
import { printOutcome, readResults, record, thisMachine, writeReport } from "./report.ts";
import { servers } from "./servers.ts";
import { supervision } from "./supervision.ts";
import { throughput } from "./throughput.ts";
import { million, waiting } from "./waiting.ts";

const benchmarks: readonly Benchmark[] = [
  throughput,
  latency,
  history,
  waiting,
  million,
  disk,
  fairness,
  processes,
  servers,
  supervision,
  postgres,
  cluster,
  failover,
  asleep,
];
const flags = new Set(["--quick", "--long"]);

const given = process.argv.slice(2);
const names = given.filter((argument) => !argument.startsWith("-"));
const isQuick = given.includes("--quick");
const unknown = given.find((argument) => !flags.has(argument) && !benchmarks.some(({ name }) => name === argument));

let shownAtMs = 0;

function isWanted({ name, isLong }: Benchmark): boolean {
  return names.length > 0 ? names.includes(name) : isLong !== true || given.includes("--long");
}

/** A benchmark that fails leaves its old figures in place, and the others run all the same. */
async function measure(benchmark: Benchmark): Promise<void> {
  console.log(`\n${benchmark.title}`);
  const folder = makeFolder();
  const before = performance.now();
  let doing = "";
  const progress = (text: string): void => showProgress((doing = text));
  try {
    const outcome = await withinLimit(benchmark, { quick: isQuick, folder, progress });
    showProgress("");
    printOutcome(outcome);
    if (!isQuick) {
      const command = `npm run bench -- ${benchmark.name}`;
      await record(benchmark.name, { date: new Date().toISOString(), command, machine: thisMachine(), outcome });
    }
  } catch (error) {
    showProgress("");
    console.error(`  failed at "${doing}":`, error);
    process.exitCode = 1;
  } finally {
    killAllChildren();
    removeFolder(folder);
    console.log(`  (${((performance.now() - before) / 1000).toFixed(0)} s)`);
  }
}

async function withinLimit(benchmark: Benchmark, context: Context): Promise<Outcome> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = setTimeout(
    () => reject(new Error(`${benchmark.name} was not done after ${benchmark.limitMs} ms`)),
    benchmark.limitMs,
  );
  try {
    return await Promise.race([benchmark.run(context), promise]);
  } finally {
    clearTimeout(stop);
  }
}

/** One line that is written over; where that cannot be, a line now and then. */
function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${text === "" ? "" : `  … ${text}`}`);
  else if (text !== "" && performance.now() - shownAtMs > 5_000) {
    shownAtMs = performance.now();
    process.stderr.write(`  … ${text}\n`);
  }
}

if (unknown !== undefined) {
  const known = [...benchmarks.map(({ name }) => name), ...flags].join(", ");
  console.error(`There is no benchmark ${JSON.stringify(unknown)}. There are: ${known}.`);
  process.exitCode = 2;
} else {
  for (const benchmark of benchmarks) if (isWanted(benchmark)) await measure(benchmark);
  if (!isQuick) await writeReport(benchmarks, readResults());
}
