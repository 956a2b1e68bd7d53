import { closeSync, cpSync, fsyncSync, mkdirSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Child } from "./child.ts";
import type { MarkedMethods, Mark, Resumed } from "./children/marked.ts";
import { fixed, interleave, medianRatio, spread } from "./harness.ts";
import type { Benchmark, Context, Outcome } from "./harness.ts";

const window = 1_000;
const mostCostRatio = 1.2;
const mostRestartRatio = 3;
const shortHistory = 10;

export const history: Benchmark = {
  name: "history",
  title: "History: one process of 100,000 operations",
  measures: `One process performs 100,000 operations one after the other (each: one synced commit).

- **cost**: with 100,000 operations behind it, the process goes on for ${fixed(window)} more, in turns with new processes that perform their
  first ${fixed(window)}; all in one warm node, so that a slow moment of the disk or cold code is not taken for the length of a
  history. The ratio is the median of the rounds' ratios. Below it, windows of the one long run as it went by: its very
  first thousand ran on cold code.
- **restart**: half-way the node is killed (\`kill -9\`) and started again, several times, some hundred operations apart; in
  turns with kills of a node whose only process has ${shortHistory} operations behind it. Measured from calling \`Engine.open\` to the
  first call of an operation the process had not come to before: so its heap is back. (The operation it was waiting for
  is issued again earlier than that, without the heap.)`,
  limitMs: 600_000,
  run,
};

interface Found {
  readonly total: number;
  readonly early: readonly Mark[];
  readonly late: readonly Mark[];
  readonly old: readonly { elapsedMs: number; cpuMicros: number }[];
  readonly young: readonly { elapsedMs: number; cpuMicros: number }[];
  readonly long: readonly Resumed[];
  readonly short: readonly Resumed[];
}

async function run(context: Context): Promise<Outcome> {
  const total = context.quick ? 10_000 : 100_000;
  const store = join(context.folder, "long.db");
  const template = await makeShortHistory(context);

  let node = new Child<MarkedMethods>("marked");
  await node.call("open", store);
  await node.call("hold", "old", total / 2);
  await node.call("start", "old", 10 * total);
  await reach(context, node, 0, total / 2);
  const early = await node.call("marks", "old");

  let kills = 0;
  const { long, short } = await interleave(context, context.quick ? 3 : 7, {
    long: async () => {
      await node.kill();
      node = new Child<MarkedMethods>("marked");
      return await node.call("resume", store, "old", 200 + 170 * kills++);
    },
    short: () => resumeShort(context, template, kills),
  });

  await node.call("goOn", "old", total);
  await reach(context, node, total / 2, total);
  const late = await node.call("marks", "old");
  let newcomers = 0;
  const { old, young } = await interleave(context, context.quick ? 3 : 7, {
    old: () => node.call("advance", "old", window),
    young: () => firstThousand(node, `young ${newcomers++}`),
  });
  await node.kill();
  return outcome({ total, early, late, old, young, long, short });
}

async function reach(context: Context, node: Child<MarkedMethods>, from: number, to: number): Promise<void> {
  for (let step = from; step < to; step += window) {
    context.progress(`${fixed(step)} operations`);
    await node.call("reach", "old", Math.min(step + window, to));
  }
}

/** The files of a node that died while its only process waited for its eleventh operation. */
async function makeShortHistory(context: Context): Promise<string> {
  const folder = join(context.folder, "short");
  mkdirSync(folder);
  const node = new Child<MarkedMethods>("marked");
  await node.call("open", join(folder, "short.db"));
  await node.call("hold", "young", shortHistory);
  await node.call("start", "young", window);
  await node.call("reach", "young", shortHistory);
  await node.kill();
  return folder;
}

async function resumeShort(context: Context, template: string, kill: number): Promise<Resumed> {
  const folder = join(context.folder, `short-${kill}`);
  cpSync(template, folder, { recursive: true });
  // Or else the node's first commit would have to wait for the copy to reach the disk.
  for (const name of readdirSync(folder)) syncFile(join(folder, name));
  const node = new Child<MarkedMethods>("marked");
  const resumed = await node.call("resume", join(folder, "short.db"), "young", 1);
  await node.kill();
  return resumed;
}

function syncFile(path: string): void {
  const file = openSync(path, "r+");
  fsyncSync(file);
  closeSync(file);
}

async function firstThousand(
  node: Child<MarkedMethods>,
  label: string,
): Promise<{ elapsedMs: number; cpuMicros: number }> {
  await node.call("hold", label, 0);
  await node.call("start", label, window + 1);
  await node.call("reach", label, 0);
  const cost = await node.call("advance", label, window);
  await node.call("finish", label);
  return cost;
}

function outcome({ total, early, late, old, young, long, short }: Found): Outcome {
  const ms = (costs: Found["old"]): number[] => costs.map(({ elapsedMs }) => elapsedMs);
  const cpuMs = (costs: Found["old"]): number[] => costs.map(({ cpuMicros }) => cpuMicros / 1000);
  const costRatio = medianRatio(ms(old), ms(young));
  const cpuRatio = medianRatio(cpuMs(old), cpuMs(young));
  const next = (all: readonly Resumed[]): number[] => all.map(({ nextMs }) => nextMs);
  const restartRatio = medianRatio(next(long), next(short));
  const resumedRow = (what: string, all: readonly Resumed[]): string[] => [
    what,
    spread(all.map(({ openMs }) => openMs)),
    spread(all.map(({ firstMs }) => firstMs)),
    spread(next(all)),
  ];
  return {
    verdicts: [
      {
        what: `${fixed(window)} operations after ${fixed(total)} others, against a process's first ${fixed(window)}`,
        target: `≤ ${mostCostRatio}`,
        figure: `${fixed(costRatio, 2)} (CPU time: ${fixed(cpuRatio, 2)})`,
        met: costRatio <= mostCostRatio,
      },
      {
        what: `kill -9 to next operation, in the middle of ${fixed(total)} against ${shortHistory} operations`,
        target: `≤ ${mostRestartRatio}`,
        figure: fixed(restartRatio, 2),
        met: restartRatio <= mostRestartRatio,
      },
    ],
    tables: [
      {
        caption: `${fixed(window)} operations of an old process and of new ones in turns: ${old.length} rounds, median (least … most).`,
        head: ["", "ms", "CPU ms, all threads"],
        rows: [
          [`after ${fixed(total)} operations`, spread(ms(old)), spread(cpuMs(old))],
          ["the first ones of a process", spread(ms(young)), spread(cpuMs(young))],
        ],
      },
      {
        caption: "Windows of the one long run, as it went by.",
        head: ["operations", "ms", "CPU ms, all threads"],
        rows: [
          ...windowRows(early, [0, window, 2 * window, total / 2 - window]),
          ...windowRows(late, [total - 2 * window, total - window]),
        ],
      },
      {
        caption: `Restart after a kill, in ms from calling \`Engine.open\` (program build included): ${long.length} kills each, median (least … most).`,
        head: ["operations behind it", "open", "pending operation again", "next operation"],
        rows: [resumedRow(`about ${fixed(total / 2)}`, long), resumedRow(fixed(shortHistory), short)],
      },
    ],
  };
}

function windowRows(marks: readonly Mark[], starts: readonly number[]): string[][] {
  return starts.flatMap((start) => {
    const from = marks.find(({ step }) => step === start);
    const to = marks.find(({ step }) => step === start + window);
    if (from === undefined || to === undefined) return [];
    return [
      [
        `${fixed(start)} to ${fixed(start + window)}`,
        fixed(to.atMs - from.atMs),
        fixed((to.cpuMicros - from.cpuMicros) / 1000),
      ],
    ];
  });
}
