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

const kinds = [
  { entry: "sleeper", what: "asleep at once" },
  { entry: "workerAsleep", what: "asleep after two operations" },
] as const;

const measures = (
  count: string,
): string => `${count} processes in \`await sleep("1 day")\`: some asleep from their first turn on, some after two operations.

- **memory**: resident set of a new operating system process that has opened such a store and has started and finished
  one new process (with one operation) in it; and of the node that started them all, right then;
- **ready**: from calling \`Engine.open\` to the result of that new process, the building of the program included;
- **disk**: size of the file after the node was closed (its log is then checkpointed), for each process. Snapshots are a
  cache and counted apart.

A node with an empty store is opened in turns with the full ones, for comparison.`;

export const waiting: Benchmark = {
  name: "waiting",
  title: "Waiting: 100,000 processes asleep",
  measures: measures("100,000"),
  limitMs: 600_000,
  run: async (context) => await run(context, context.quick ? 10_000 : 100_000),
};

export const million: Benchmark = {
  name: "million",
  title: "Waiting: 1,000,000 processes asleep",
  measures: measures("1,000,000"),
  isLong: true,
  limitMs: 1_800_000,
  run: async (context) => await run(context, context.quick ? 100_000 : 1_000_000),
};

interface Started {
  readonly startMs: number;
  readonly memoryBytes: number;
  readonly closeMs: number;
  readonly size: StoreSize;
}

interface Opened {
  readonly openMs: number;
  readonly readyMs: number;
  readonly memoryBytes: number;
}

async function run(context: Context, count: number): Promise<Outcome> {
  const empty = join(context.folder, "empty.db");
  const stores = kinds.map(({ entry }) => join(context.folder, `${entry}.db`));
  await openOnce(empty);
  const started: Started[] = [];
  for (const [index, { entry, what }] of kinds.entries()) {
    context.progress(`starting ${fixed(count)}, ${what}`);
    started.push(await startAll(context, stores[index] as string, entry, count));
  }
  const opened = await interleave(context, context.quick ? 3 : 5, {
    empty: () => openOnce(empty),
    first: () => openOnce(stores[0] as string),
    second: () => openOnce(stores[1] as string),
  });
  return outcome(count, started, opened.empty, [opened.first, opened.second]);
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
  const { rss } = await child.call("memory");
  const { elapsedMs: closeMs } = await child.call("close");
  await child.kill();
  return { startMs, memoryBytes: rss, closeMs, size: storeSize(store) };
}

/** A new node on the store, until it has run one new process. */
async function openOnce(store: string): Promise<Opened> {
  const child = new Child<EngineMethods>("engine");
  const { elapsedMs: openMs } = await child.call("open", { store, program });
  const { elapsedMs: runMs } = await child.call("run", "newcomer", [], 1, 1);
  const { rss } = await child.call("memory");
  await child.call("close");
  await child.kill();
  return { openMs, readyMs: openMs + runMs, memoryBytes: rss };
}

function outcome(
  count: number,
  started: readonly Started[],
  empty: readonly Opened[],
  opened: readonly (readonly Opened[])[],
): Outcome {
  const of = (all: readonly Opened[], key: keyof Opened): number[] => all.map((each) => each[key]);
  const nodes = [
    ["empty store", empty] as const,
    ...kinds.map(({ what }, index) => [`${fixed(count)} ${what}`, opened[index] ?? []] as const),
  ];
  return {
    verdicts: kinds.flatMap(({ what }, index) => verdicts(what, count, started[index] as Started, opened[index] ?? [])),
    tables: [
      {
        caption: `A node that has just opened the store and run one new process: ${empty.length} rounds, median (least … most).`,
        head: ["", "open, ms", "ready, ms", "memory, MiB"],
        rows: nodes.map(([what, all]) => [
          what,
          spread(of(all, "openMs")),
          spread(of(all, "readyMs")),
          spread(of(all, "memoryBytes").map((bytes) => bytes / 1024 / 1024)),
        ]),
      },
      {
        caption: `The node that started all ${fixed(count)} (at most ${fixed(startsAtOnce)} starts at a time), and the file it left.`,
        head: ["", "µs each", "memory after", "close, ms", "bytes each", "without snapshots", "without free pages"],
        rows: kinds.map(({ what }, index) => startedRow(what, count, started[index] as Started)),
      },
      {
        caption: "Bytes of each process in the file, by table (with its indexes).",
        head: ["", "process", "journal", "timer", "inbox", "snapshot", "other"],
        rows: kinds.map(({ what }, index) => tableRow(what, count, (started[index] as Started).size)),
      },
    ],
  };
}

function verdicts(what: string, count: number, { size }: Started, opened: readonly Opened[]): Verdict[] {
  const memoryBytes = median(opened.map((each) => each.memoryBytes));
  const readyMs = median(opened.map((each) => each.readyMs));
  const diskBytes = (size.sizeBytes - size.snapshotBytes) / count;
  return [
    {
      what: `memory of a node, ${fixed(count)} ${what}`,
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

function startedRow(what: string, count: number, { startMs, memoryBytes, closeMs, size }: Started): string[] {
  const { sizeBytes, snapshotBytes, freeBytes } = size;
  return [
    what,
    fixed((startMs * 1000) / count),
    mebibytes(memoryBytes),
    fixed(closeMs),
    fixed(sizeBytes / count),
    fixed((sizeBytes - snapshotBytes) / count),
    fixed((sizeBytes - snapshotBytes - freeBytes) / count),
  ];
}

function tableRow(what: string, count: number, { sizeBytes, tables }: StoreSize): string[] {
  const named = ["process", "journal", "timer", "inbox", "snapshot"].map((name) => tables.get(name) ?? 0);
  const other = sizeBytes - named.reduce((sum, bytes) => sum + bytes, 0);
  return [what, ...[...named, other].map((bytes) => fixed(bytes / count))];
}
