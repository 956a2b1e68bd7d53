import { join } from "node:path";
import { Child } from "./child.ts";
import type { CrowdMethods, Gaps, Hang } from "./children/crowd.ts";
import { fixed, interleave, median, medianRatio, quantile, spread } from "./harness.ts";
import type { Benchmark, Context, Outcome } from "./harness.ts";

const crowd = 100;
const spinners = 4;
const mostRatio = 5;
const mostGapMs = 2_000;
const observeMs = 2_500;
const hangMs = 5_000;
const newcomerLimitMs = 5_000;

export const fairness: Benchmark = {
  name: "fairness",
  title: "Fairness: guests that do not give way",
  measures: `${crowd} processes perform one trivial operation after the other, without a pause, on one guest thread. Latency of a step: from
one call of its host function to the next one by the same process, by the clock of the main thread.

- **endless loops**: with and without ${spinners} guests in \`for (;;);\`, in turns, ${fixed(observeMs)} ms each; the ratio is the median of the
  rounds' ratios of the 99th percentile.
- **a newcomer**: one more process is started while the ${crowd} go on; how long until its first operation is called.
- **a native loop** that cannot be interrupted (\`new Array(2 ** 32 - 1).join("")\`, which alone takes more than 8 s): the longest
  time for which any one of the ${crowd} got no step, until it was served again.`,
  limitMs: 300_000,
  run,
};

async function run(context: Context): Promise<Outcome> {
  const child = new Child<CrowdMethods>("crowd");
  await child.call("open", join(context.folder, "fairness.db"), crowd);
  context.progress("warming up");
  await child.call("observe", 0, 1000);
  const { alone, crowded } = await interleave(context, context.quick ? 2 : 5, {
    alone: () => child.call("observe", 0, observeMs),
    crowded: () => child.call("observe", spinners, observeMs),
  });
  const { newcomer } = await interleave(context, context.quick ? 2 : 5, {
    newcomer: () => child.call("newcomer", newcomerLimitMs),
  });
  const { hang } = await interleave(context, context.quick ? 1 : 3, { hang: () => child.call("hang", hangMs) });
  await child.call("close");
  await child.kill();
  return outcome(alone, crowded, newcomer, hang);
}

function outcome(
  alone: readonly Gaps[],
  crowded: readonly Gaps[],
  newcomers: readonly (number | undefined)[],
  hangs: readonly Hang[],
): Outcome {
  const at = (all: readonly Gaps[], share: number): number[] => all.map((gaps) => quantile([...gaps.all], share));
  const ratio = medianRatio(at(crowded, 0.99), at(alone, 0.99));
  const longestMs = Math.max(...hangs.map(longestWait));
  const rates = (all: readonly Gaps[]): number[] => all.map((gaps) => (gaps.all.length * 1000) / observeMs);
  const row = (what: string, all: readonly Gaps[]): string[] => [
    what,
    spread(rates(all)),
    spread(at(all, 0.5), 1),
    spread(at(all, 0.99), 1),
    spread(all.map(longestWait)),
  ];
  return {
    verdicts: [
      {
        what: `99th percentile of step latency, with ${spinners} endless loops against without`,
        target: `≤ ${mostRatio}`,
        figure: fixed(ratio, 2),
        met: ratio <= mostRatio,
      },
      {
        what: `longest wait of anyone while one guest hangs its thread, worst of ${hangs.length}`,
        target: `≤ ${fixed(mostGapMs)} ms`,
        figure: `${fixed(longestMs)} ms`,
        met: longestMs <= mostGapMs,
      },
    ],
    tables: [
      {
        caption: `${alone.length} rounds: median (least … most).`,
        head: ["", "steps/s", "median, ms", "99%, ms", "longest, ms"],
        rows: [row(`${crowd} processes alone`, alone), row(`and ${spinners} endless loops`, crowded)],
      },
      {
        caption: `One more process beside ${crowd} busy ones: ms from its start to its first operation.`,
        head: newcomers.map((_, i) => `${i + 1}`),
        rows: [newcomers.map((ms) => (ms === undefined ? `> ${fixed(newcomerLimitMs)}` : fixed(ms, 1)))],
      },
      {
        caption: "One guest in a native loop.",
        head: [
          "how it ended",
          "after, ms",
          "nobody served for, ms",
          "longest wait, ms, median of all",
          "of the last one",
          "waited > 2 s",
        ],
        rows: hangs.map((hang) => [
          hang.reason.replace(/^The process "[^"]*" ended with /, ""),
          fixed(hang.endedMs),
          fixed(hang.longestSilenceMs),
          fixed(median(hang.longestOfEach)),
          fixed(longestWait(hang)),
          `${hang.longestOfEach.filter((waitMs) => waitMs > mostGapMs).length} of ${crowd}`,
        ]),
      },
    ],
  };
}

const longestWait = ({ longestOfEach }: Gaps): number => Math.max(...longestOfEach);
