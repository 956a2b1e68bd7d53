import { join } from "node:path";
import { Child } from "./child.ts";
import type { SigningMethods, Told } from "./children/signing.ts";
import { fixed, interleave, median, quantile, spread } from "./harness.ts";
import type { Benchmark, Context, Outcome, Table } from "./harness.ts";
import { fdatasyncsPerSecond } from "./raw.ts";
import { rateHead, rateRow, rates } from "./rates.ts";

const leastHopsPerSecond = 10_000;
const ringSize = 1_000;
const tokens = 100;
const inFlight = 100;

interface Sizes {
  readonly rounds: number;
  /** Children, one after the other, in each round; and at once. */
  readonly spawns: number;
  readonly brood: number;
  /** Messages there and back. */
  readonly oneByOne: number;
  readonly pipelined: number;
  /** Hops of one token that is alone, and of each of many. */
  readonly hopsAlone: number;
  readonly hopsEach: number;
}

const usual: Sizes = {
  rounds: 7,
  spawns: 100,
  brood: 1_000,
  oneByOne: 500,
  pipelined: 5_000,
  hopsAlone: 1_000,
  hopsEach: 50,
};
const quick: Sizes = {
  ...usual,
  rounds: 3,
  spawns: 40,
  brood: 300,
  oneByOne: 150,
  pipelined: 1_500,
  hopsAlone: 250,
  hopsEach: 25,
};

export const processes: Benchmark = {
  name: "processes",
  title: "Processes: spawning and messages",
  measures: `Processes of one node, in the default store (one guest thread, every commit synced).

- **spawn to first turn**: a process performs two trivial host operations and then spawns a child, whose first act is such an
  operation. From the end of the second one to the beginning of the child's: the parent's turn, the child's first, and the commits
  they take. Beside it the same without a child: from the end of the first operation to the beginning of the second;
- **spawned in bulk**: a process spawns ${fixed(usual.brood)} children in one turn, and each sends it one message and ends; until the last message;
- **two processes**: messages there and back, one under way or ${inFlight}. Both directions count;
- **a ring** of ${fixed(ringSize)} processes: tokens are handed on, one alone, or ${tokens} that begin at equal distances.

Each round runs all of them, and what one page appended and synced takes on the same disk.`,
  limitMs: 300_000,
  run,
};

interface Found {
  readonly one: Told[];
  readonly brood: Told[];
  readonly oneByOne: Told[];
  readonly pipelined: Told[];
  readonly alone: Told[];
  readonly many: Told[];
  readonly fdatasync: number[];
}

async function run(context: Context): Promise<Outcome> {
  const sizes = context.quick ? quick : usual;
  const child = new Child<SigningMethods>("signing");
  await child.call("open", join(context.folder, "processes.db"), "messages");
  const parent = await child.call("start", "parent", []);
  const brood = await child.call("start", "broodParent", []);
  const player = await child.call("start", "player", []);
  context.progress("building the ring");
  const ring = await child.call("start", "ring", [ringSize]);
  const tell = (pid: string, message: object) => (): Promise<Told> => child.call("tell", pid, message);
  const variants = {
    one: tell(parent, { count: sizes.spawns }),
    brood: tell(brood, { count: sizes.brood }),
    oneByOne: tell(player, { count: sizes.oneByOne, inFlight: 1 }),
    pipelined: tell(player, { count: sizes.pipelined, inFlight }),
    alone: tell(ring, { tokens: 1, hops: sizes.hopsAlone }),
    many: tell(ring, { tokens, hops: sizes.hopsEach }),
  };
  for (const [name, warmUp] of Object.entries(variants)) {
    context.progress(`warming up: ${name}`);
    await warmUp();
  }
  const fdatasync = async (): Promise<number> => fdatasyncsPerSecond(context.folder, 300);
  const found = await interleave(context, sizes.rounds, { ...variants, fdatasync });
  await child.call("close");
  await child.kill();
  return outcome(sizes, found);
}

/** ms from each sign `from` to the next sign `to`. */
function times(all: readonly Told[], from: string, to: string): number[] {
  const found: number[] = [];
  for (const { signs } of all) {
    signs.forEach(({ what, atMs }, index) => {
      if (what === from && signs[index + 1]?.what === to) found.push((signs[index + 1]?.atMs ?? Number.NaN) - atMs);
    });
  }
  return found;
}

function outcome(sizes: Sizes, found: Found): Outcome {
  const hops = tokens * sizes.hopsEach;
  const hopsPerSecond = median(rates(found.many, hops));
  return {
    verdicts: [
      {
        what: `hops a second in a ring of ${fixed(ringSize)} with ${tokens} tokens`,
        target: `≥ ${fixed(leastHopsPerSecond)}`,
        figure: fixed(hopsPerSecond),
        met: hopsPerSecond >= leastHopsPerSecond,
      },
    ],
    tables: [
      spawnTable(found.one),
      {
        caption: `${found.one.length} rounds: median (least … most); CPU time of single threads: medians.`,
        head: rateHead,
        rows: [
          rateRow(`spawned in bulk, ${fixed(sizes.brood)} in a turn, processes`, found.brood, sizes.brood),
          rateRow("two processes, one message under way, messages", found.oneByOne, 2 * sizes.oneByOne),
          rateRow(`two processes, ${inFlight} under way, messages`, found.pipelined, 2 * sizes.pipelined),
          rateRow(`ring of ${fixed(ringSize)}, one token, hops`, found.alone, sizes.hopsAlone),
          rateRow(`ring of ${fixed(ringSize)}, ${tokens} tokens, hops`, found.many, hops),
          ["disk, fdatasync", spread(found.fdatasync), "", "", "", "", ""],
        ],
      },
    ],
  };
}

function spawnTable(all: readonly Told[]): Table {
  const row = (what: string, all: readonly number[]): string[] => [
    what,
    ...[0.5, 0.9, 0.99, 1].map((at) => fixed(quantile(all, at), 2)),
  ];
  const spawned = times(all, "after", "born");
  return {
    caption: `Spawn to first turn, ${fixed(spawned.length)} children, one after the other, in ms.`,
    head: ["", "median", "90%", "99%", "most"],
    rows: [
      row("end of an operation, spawn, the child's first operation", spawned),
      row("end of an operation, the same process's next operation", times(all, "before", "after")),
    ],
  };
}
