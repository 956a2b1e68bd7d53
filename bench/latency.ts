import { join } from "node:path";
import { Child } from "./child.ts";
import type { EngineMethods } from "./children/engine.ts";
import { fixed, interleave, programFile, quantile } from "./harness.ts";
import type { Benchmark, Context, Outcome } from "./harness.ts";
import { RawDatabase } from "./raw.ts";

const runsARound = 50;
const overheadMs = 1;

export const latency: Benchmark = {
  name: "latency",
  title: "Latency: one process, one operation",
  measures: `From calling \`start\` to having the result of a process that performs one trivial host operation, on an idle
node, one process after the other. That takes two commits which cannot be avoided: the operation must be on record before
it runs, and its result before anybody hears of it. Beside it: one transaction of one row, synced, in the same folder
with the same settings, in rounds of ${runsARound} each.`,
  limitMs: 300_000,
  run,
};

async function run(context: Context): Promise<Outcome> {
  const engine = new Child<EngineMethods>("engine");
  const raw = new RawDatabase(context.folder);
  await engine.call("open", { store: join(context.folder, "latency.db"), program: programFile("steps") });
  context.progress("warming up");
  await engine.call("latencies", "loop", [1], 100);
  raw.commitTimes(100);
  const found = await interleave(context, context.quick ? 4 : 20, {
    engine: () => engine.call("latencies", "loop", [1], runsARound),
    commit: async () => raw.commitTimes(runsARound),
  });
  raw.close();
  await engine.call("close");
  await engine.kill();
  return outcome(found.engine.flat(), found.commit.flat());
}

function outcome(engine: readonly number[], commit: readonly number[]): Outcome {
  const medianMs = quantile(engine, 0.5);
  const commitMs = quantile(commit, 0.5);
  const mostMs = 2 * commitMs + overheadMs;
  const row = (what: string, times: readonly number[]): string[] => [
    what,
    fixed(quantile(times, 0.5), 2),
    fixed(quantile(times, 0.9), 2),
    fixed(quantile(times, 0.99), 2),
    fixed(quantile(times, 1), 1),
  ];
  return {
    verdicts: [
      {
        what: "median, start to result",
        target: `≤ 2 commits + ${overheadMs} ms = ${fixed(mostMs, 2)} ms`,
        figure: `${fixed(medianMs, 2)} ms`,
        met: medianMs <= mostMs,
      },
    ],
    tables: [
      {
        caption: `${fixed(engine.length)} runs and as many commits, in ms.`,
        head: ["", "median", "90%", "99%", "most"],
        rows: [row("start to result", engine), row("one commit of one row", commit)],
      },
    ],
  };
}
