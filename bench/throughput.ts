import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Child } from "./child.ts";
import type { Spent, ThreadTime } from "./children/cpu.ts";
import type { EngineMethods } from "./children/engine.ts";
import type { GuestThreadMethods } from "./children/guest-thread.ts";
import { fixed, interleave, median, medianRatio, programFile, spread } from "./harness.ts";
import type { Benchmark, Context, Outcome, Table } from "./harness.ts";
import { countCommits, fdatasyncsPerSecond, pinLog, RawDatabase } from "./raw.ts";

const processes = 1_000;
const stepsEach = 10;
const steps = processes * stepsEach;
const leastRatio = 0.5;
const leastStepsPerSecond = 12_000;
const aimStepsPerSecond = 20_000;
/** Rounds whose figures are thrown away: the first ones run on cold code. */
const warmUpRounds = 2;

export const throughput: Benchmark = {
  name: "throughput",
  title: "Throughput: durable steps",
  measures: `${fixed(processes)} processes of ${stepsEach} trivial host operations each, all started at once; from the first start to the last
exit, in the default store (one guest thread, every commit synced). A step is one operation: call, durable record,
result. Each round runs, one after the other:

- **engine**: the whole engine;
- **one guest thread, in memory**: the same program's turns on the machine alone, in one thread, results fed back at
  once, no kernel and no store, as many processes in motion at a time as the kernel allows; and the same with one process in motion
  at a time, whose memory then stays in the processor's nearest caches;
- **SQLite, rows alone**: one small row a step in one append-only table without an index, same settings, in
  transactions of the engine's mean size and of 1,000 rows;
- **disk**: one page appended and synced (\`fdatasync\`).

The mean size of a commit is counted in the write-ahead log, in a run of its own.`,
  limitMs: 300_000,
  run,
};

/** Processes the kernel lets be in motion at a time. Read from its own code: the comparison must not be kinder than that. */
function kernelInMotion(): number {
  const code = readFileSync(new URL("../dist/kernel/runs.js", import.meta.url), "utf8");
  const found = /const maxInMotion = (\d+);/.exec(code)?.[1];
  if (found === undefined) throw new Error("the kernel's maxInMotion is not where it was: see src/kernel/runs.ts");
  return Number(found);
}

interface Commits {
  readonly perRun: number;
  readonly stepsPerCommit: number;
}

async function run(context: Context): Promise<Outcome> {
  const store = join(context.folder, "throughput.db");
  const program = programFile("steps");
  const inMotion = kernelInMotion();
  const engine = new Child<EngineMethods>("engine");
  const memory = new Child<GuestThreadMethods>("guest-thread");
  const raw = new RawDatabase(context.folder);
  await engine.call("open", { store, program });
  await memory.call("open", program);
  const runEngine = (): Promise<Spent> => engine.call("run", "loop", [stepsEach], processes, processes);
  const runMemory = (atOnce: number): Promise<Spent> => memory.call("run", "loop", [stepsEach], processes, atOnce);

  for (let round = 1; round <= warmUpRounds; round++) {
    context.progress(`warming up, ${round} of ${warmUpRounds}`);
    await runEngine();
    await runMemory(inMotion);
  }
  const commits = await countEngineCommits(store, runEngine);
  const batchRows = Math.max(1, Math.round(commits.stepsPerCommit));
  const found = await interleave(context, context.quick ? 3 : 9, {
    engine: runEngine,
    memory: () => runMemory(inMotion),
    oneByOne: () => runMemory(1),
    rows: async () => raw.rowsPerSecond(batchRows, steps),
    rows1000: async () => raw.rowsPerSecond(1000, steps),
    fdatasync: async () => fdatasyncsPerSecond(context.folder, 300),
  });
  raw.close();
  await engine.call("close");
  await engine.kill();
  await memory.kill();
  return outcome(commits, inMotion, found);
}

async function countEngineCommits(store: string, runEngine: () => Promise<Spent>): Promise<Commits> {
  const release = pinLog(store);
  // The log may begin anew once more, under the reader; from then on it cannot.
  await runEngine();
  const before = countCommits(store);
  await runEngine();
  const perRun = countCommits(store) - before;
  release();
  return { perRun, stepsPerCommit: steps / perRun };
}

type Found = {
  engine: Spent[];
  memory: Spent[];
  oneByOne: Spent[];
  rows: number[];
  rows1000: number[];
  fdatasync: number[];
};

function outcome(commits: Commits, inMotion: number, found: Found): Outcome {
  const rate = (each: readonly Spent[]): number[] => each.map(({ elapsedMs }) => (steps * 1000) / elapsedMs);
  const cpu = (each: readonly Spent[]): string =>
    spread(
      each.map(({ cpuMicros }) => cpuMicros / steps),
      1,
    );
  const engine = rate(found.engine);
  const memory = rate(found.memory);
  const ratio = medianRatio(engine, memory);
  const stepsPerSecond = median(engine);
  const against = (rates: readonly number[]): string => fixed(medianRatio(engine, rates), 2);
  const batch = fixed(commits.stepsPerCommit);
  return {
    verdicts: [
      {
        what: "durable steps against in-memory turns of one guest thread",
        target: `≥ ${leastRatio}`,
        figure: fixed(ratio, 2),
        met: ratio >= leastRatio,
      },
      {
        what: `durable steps a second (aim: ${fixed(aimStepsPerSecond)})`,
        target: `≥ ${fixed(leastStepsPerSecond)}`,
        figure: fixed(stepsPerSecond),
        met: stepsPerSecond >= leastStepsPerSecond,
      },
    ],
    tables: [
      {
        caption: `${found.engine.length} rounds: median (least … most). A run of the engine took ${fixed(commits.perRun)} commits: ${batch} steps each.`,
        head: ["", "per second", "CPU µs a step", "engine against it"],
        rows: [
          ["engine, steps", spread(engine), cpu(found.engine), ""],
          [
            `one guest thread, in memory, ${inMotion} in motion, steps`,
            spread(memory),
            cpu(found.memory),
            fixed(ratio, 2),
          ],
          [
            "one guest thread, in memory, one by one, steps",
            spread(rate(found.oneByOne)),
            cpu(found.oneByOne),
            against(rate(found.oneByOne)),
          ],
          [`SQLite, rows alone, ${batch} a commit`, spread(found.rows), "", against(found.rows)],
          ["SQLite, rows alone, 1,000 a commit", spread(found.rows1000), "", against(found.rows1000)],
          ["disk, fdatasync", spread(found.fdatasync), "", ""],
        ],
      },
      ...threadTable(found.engine),
    ],
  };
}

/** Where the engine's CPU time goes, where the operating system tells. */
function threadTable(runs: readonly Spent[]): Table[] {
  const names = Object.keys(runs[0]?.threads ?? {});
  if (names.length === 0) return [];
  const aStep = (name: string, key: keyof ThreadTime): string =>
    spread(
      runs.map(({ threads }) => (threads[name]?.[key] ?? 0) / steps),
      1,
    );
  return [
    {
      caption: "Threads of the engine, µs a step. Waiting for a core is what other work on the machine costs.",
      head: ["", "CPU", "waiting for a core"],
      rows: names.map((name) => [name, aStep(name, "cpuMicros"), aStep(name, "waitMicros")]),
    },
  ];
}
