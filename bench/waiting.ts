import { join } from "node:path";
import { Child } from "./child.ts";
import type { EngineMethods } from "./children/engine.ts";
import { fixed, interleave, mebibytes, median, pause, programFile, spread } from "./harness.ts";
import type { Benchmark, Context, Outcome, Verdict } from "./harness.ts";
import { storeSize, timerCounter } from "./store-file.ts";
import type { StoreSize } from "./store-file.ts";

const mostMemoryBytes = 300_000_000;
const mostDiskBytes = 1024;
const mostReadyMs = 1_000;
const startsAtOnce = 1_000;
const program = programFile("sleepers");

interface Kind {
  readonly entry: string;
  readonly what: string;
}

const atOnce: Kind = { entry: "sleeper", what: "asleep at once" };
const afterWork: Kind = { entry: "workerAsleep", what: "asleep after two operations" };

/** `which` says what stores there are. */
const measures = (which: string): string => `${which}

- **memory**: resident set of a new operating system process that has opened such a store and has started and finished
  one new process (with one operation) in it; and of the node that started them all, right then;
- **ready**: from calling \`Engine.open\` to the result of that new process, the building of the program included;
- **disk**: size of the file after the node was closed (its log is then checkpointed), for each process. Snapshots are a
  cache and counted apart.

A node with an empty store is opened in turns with them, for comparison.`;

export const waiting: Benchmark = {
  name: "waiting",
  title: "Waiting: 100,000 processes asleep",
  measures: measures(
    'Two stores, each with 100,000 processes in `await sleep("1 day")`: asleep from their first turn on, or after two operations.',
  ),
  limitMs: 600_000,
  run: async (context) => await run(context, context.quick ? 10_000 : 100_000, [atOnce, afterWork]),
};

export const million: Benchmark = {
  name: "million",
  title: "Waiting: 1,000,000 processes asleep",
  measures: measures('A store with 1,000,000 processes in `await sleep("1 day")`, asleep from their first turn on.'),
  isLong: true,
  limitMs: 1_800_000,
  run: async (context) => await run(context, context.quick ? 50_000 : 1_000_000, [atOnce]),
};

interface Started {
  readonly startMs: number;
  readonly memoryBytes: number;
  readonly mostMemoryBytes: number;
  readonly closeMs: number;
  readonly size: StoreSize;
}

interface Opened {
  readonly openMs: number;
  readonly readyMs: number;
  readonly memoryBytes: number;
}

/** One store with processes asleep: how it came to be, and what opening it is like. */
interface Asleep {
  readonly what: string;
  readonly started: Started;
  readonly opened: readonly Opened[];
}

async function run(context: Context, count: number, kinds: readonly Kind[]): Promise<Outcome> {
  const storeOf = (name: string): string => join(context.folder, `${name}.db`);
  await openOnce(storeOf("empty"));
  const started: Started[] = [];
  for (const { entry } of kinds) started.push(await startAll(context, storeOf(entry), entry, count));
  const names = ["empty", ...kinds.map(({ entry }) => entry)];
  const rounds = context.quick ? 3 : 5;
  const opened = await interleave<Record<string, () => Promise<Opened>>>(
    context,
    rounds,
    Object.fromEntries(names.map((name) => [name, () => openOnce(storeOf(name))])),
  );
  const asleep = kinds.map(({ entry, what }, index) => ({
    what: `${fixed(count)} ${what}`,
    started: started[index] as Started,
    opened: opened[entry] ?? [],
  }));
  return outcome(count, opened["empty"] ?? [], asleep);
}

async function startAll(context: Context, store: string, entry: string, count: number): Promise<Started> {
  const child = new Child<EngineMethods>("engine");
  await child.call("open", { store, program });
  const before = performance.now();
  const timers = timerCounter(store);
  const starts = child.call("start", entry, [], count, startsAtOnce);
  for (let asleep = 0; asleep < count; asleep = timers.count()) {
    context.progress(`${fixed(asleep)} of ${fixed(count)} asleep`);
    // A start that fails must end this, too.
    await Promise.race([starts.then(() => pause(50)), pause(500)]);
  }
  await starts;
  const startMs = performance.now() - before;
  timers.close();
  const { nowBytes, mostBytes } = await child.call("memory");
  const { elapsedMs: closeMs } = await child.call("close");
  await child.kill();
  return { startMs, memoryBytes: nowBytes, mostMemoryBytes: mostBytes, closeMs, size: storeSize(store) };
}

/** A new node on the store, until it has run one new process. */
async function openOnce(store: string): Promise<Opened> {
  const child = new Child<EngineMethods>("engine");
  const { elapsedMs: openMs } = await child.call("open", { store, program });
  const { elapsedMs: runMs } = await child.call("run", "newcomer", [], 1, 1);
  const { nowBytes } = await child.call("memory");
  await child.call("close");
  await child.kill();
  return { openMs, readyMs: openMs + runMs, memoryBytes: nowBytes };
}

function outcome(count: number, empty: readonly Opened[], asleep: readonly Asleep[]): Outcome {
  return {
    verdicts: asleep.flatMap((each) => verdicts(count, each)),
    tables: [
      {
        caption: `A node that has just opened the store and run one new process: ${empty.length} rounds, median (least … most).`,
        head: ["", "open, ms", "ready, ms", "memory, MiB"],
        rows: [openedRow("empty store", empty), ...asleep.map(({ what, opened }) => openedRow(what, opened))],
      },
      {
        caption: `The node that started them all (at most ${fixed(startsAtOnce)} starts at a time), and the file it left.`,
        head: [
          "",
          "µs each",
          "memory after",
          "at most",
          "close, ms",
          "bytes each",
          "without snapshots",
          "without free pages",
        ],
        rows: asleep.map((each) => startedRow(count, each)),
      },
      {
        caption: "Bytes of each process in the file, by table (with its indexes).",
        head: ["", "process", "journal", "timer", "inbox", "snapshot", "other"],
        rows: asleep.map((each) => tableRow(count, each)),
      },
    ],
  };
}

function verdicts(count: number, { what, started, opened }: Asleep): Verdict[] {
  const memoryBytes = median(opened.map((each) => each.memoryBytes));
  const readyMs = median(opened.map((each) => each.readyMs));
  const diskBytes = (started.size.sizeBytes - started.size.snapshotBytes) / count;
  return [
    {
      what: `memory of a node, ${what}`,
      target: "≤ 300 MB",
      figure: `${fixed(memoryBytes / 1e6)} MB`,
      met: memoryBytes <= mostMemoryBytes,
    },
    {
      what: `open until one new process has run, ${what}`,
      target: "< 1 s",
      figure: `${fixed(readyMs)} ms`,
      met: readyMs < mostReadyMs,
    },
    {
      what: `disk of each beyond snapshots, ${what}`,
      target: "≤ 1 KiB",
      figure: `${fixed(diskBytes)} bytes`,
      met: diskBytes <= mostDiskBytes,
    },
  ];
}

function openedRow(what: string, opened: readonly Opened[]): string[] {
  return [
    what,
    spread(opened.map(({ openMs }) => openMs)),
    spread(opened.map(({ readyMs }) => readyMs)),
    spread(opened.map(({ memoryBytes }) => memoryBytes / 1024 / 1024)),
  ];
}

function startedRow(count: number, { what, started }: Asleep): string[] {
  const { sizeBytes, snapshotBytes, freeBytes } = started.size;
  return [
    what,
    fixed((started.startMs * 1000) / count),
    mebibytes(started.memoryBytes),
    mebibytes(started.mostMemoryBytes),
    fixed(started.closeMs),
    fixed(sizeBytes / count),
    fixed((sizeBytes - snapshotBytes) / count),
    fixed((sizeBytes - snapshotBytes - freeBytes) / count),
  ];
}

function tableRow(count: number, { what, started }: Asleep): string[] {
  const { sizeBytes, tables } = started.size;
  const named = ["process", "journal", "timer", "inbox", "snapshot"].map((name) => tables.get(name) ?? 0);
  const other = sizeBytes - named.reduce((sum, bytes) => sum + bytes, 0);
  return [what, ...[...named, other].map((bytes) => fixed(bytes / count))];
}
