import { join } from "node:path";
import { Child } from "./child.ts";
import type { SigningMethods, Told } from "./children/signing.ts";
import { fixed, interleave, mebibytes, quantile } from "./harness.ts";
import type { Benchmark, Context, Outcome, Table, Verdict } from "./harness.ts";
import { rateHead, rateRow } from "./rates.ts";

/** For 10,000. */
const mostStartMs = 10_000;
const startsAtOnce = 100;
const recoveries = ["fresh", "previous", "checkpoint"] as const;
const kinds = ["pool", "list"] as const;

type Recovery = (typeof recoveries)[number];
type Kind = (typeof kinds)[number];

interface Sizes {
  readonly rounds: number;
  /** Of each kind, in each round. */
  readonly restarts: number;
  readonly children: number;
}

const usual: Sizes = { rounds: 10, restarts: 30, children: 10_000 };
const quick: Sizes = { rounds: 3, restarts: 10, children: 1_500 };

export const supervision: Benchmark = {
  name: "supervision",
  title: "Supervision: restarts, and supervisors of many",
  measures: `In the default store (one guest thread, every commit synced).

- **restart**: the host sends a supervised process a message that it fails with. From the sending until the child that took its place
  calls a host operation, in its first turn (for \`previous\`, whose heap waits for messages, on the message sent behind the
  bad one): the turn that fails, the supervisor's decision, the child's turn, and the commits they take. One failure after
  the other. Beside it, in the same rounds: a message that it does not fail with, until the operation that it leads to;
- **${fixed(usual.children)} children**: a process has a supervisor start them by \`startChild\`, ${startsAtOnce} calls under way at a time, in a pool
  (\`simple_one_for_one\`) and in a list (\`one_for_one\`). They are servers, whose \`init\` is waited for. Memory: resident
  set of the node, which had nothing else to do.`,
  limitMs: 300_000,
  run,
};

interface Restarts {
  readonly failed: Readonly<Record<Recovery, readonly number[]>>;
  readonly well: Readonly<Record<Recovery, readonly number[]>>;
}

interface Crowd {
  readonly kind: Kind;
  readonly told: Told;
  readonly beforeBytes: number;
  readonly afterBytes: number;
  readonly mostBytes: number;
}

async function run(context: Context): Promise<Outcome> {
  const sizes = context.quick ? quick : usual;
  const restarts = await measureRestarts(context, sizes);
  const crowds: Crowd[] = [];
  for (const kind of kinds) {
    context.progress(`${fixed(sizes.children)} children: ${kind}`);
    crowds.push(await startCrowd(context, kind, sizes.children));
  }
  return outcome(sizes, restarts, crowds);
}

async function measureRestarts(context: Context, { rounds, restarts }: Sizes): Promise<Restarts> {
  const child = new Child<SigningMethods>("signing");
  await child.call("open", join(context.folder, "restarts.db"), "trees");
  const pids = new Map<Recovery, string>();
  for (const recovery of recoveries) pids.set(recovery, await child.call("start", "failingTree", [recovery], recovery));
  const measure = (recovery: Recovery, message: string) => async (): Promise<number[]> => {
    const { pid, times } = await child.call("signTimes", pids.get(recovery) ?? "", recovery, message, restarts);
    pids.set(recovery, pid);
    return times;
  };
  const variants = recoveries.flatMap((recovery) => [
    [`${recovery}, well`, measure(recovery, "go on")] as const,
    [`${recovery}, failed`, measure(recovery, "fail")] as const,
  ]);
  for (const [name, warmUp] of variants) {
    context.progress(`warming up: ${name}`);
    await warmUp();
  }
  const found = await interleave(context, rounds, Object.fromEntries(variants));
  await child.call("close");
  await child.kill();
  const all = (how: "failed" | "well"): Record<Recovery, readonly number[]> =>
    Object.fromEntries(recoveries.map((recovery) => [recovery, (found[`${recovery}, ${how}`] ?? []).flat()])) as never;
  return { failed: all("failed"), well: all("well") };
}

/** In a node of its own, so that its memory can be told. */
async function startCrowd(context: Context, kind: Kind, count: number): Promise<Crowd> {
  const child = new Child<SigningMethods>("signing");
  await child.call("open", join(context.folder, `${kind}.db`), "trees");
  const parents = await child.call("start", "parents", [kind]);
  const { nowBytes: beforeBytes } = await child.call("memory");
  const told = await child.call("tell", parents, { count, atOnce: startsAtOnce });
  const { nowBytes: afterBytes, mostBytes } = await child.call("memory");
  await child.kill();
  return { kind, told, beforeBytes, afterBytes, mostBytes };
}

function outcome({ children }: Sizes, restarts: Restarts, crowds: readonly Crowd[]): Outcome {
  return {
    verdicts: crowds.map((crowd) => verdict(children, crowd)),
    tables: [
      restartTable(restarts),
      {
        caption: `${fixed(children)} children, started one time.`,
        head: rateHead,
        rows: crowds.map(({ kind, told }) => rateRow(kind, [told], children)),
      },
      {
        caption:
          "Memory of the node that started them. It keeps those in memory that ran last, as many as there is room for.",
        head: ["", "started in, s", "before", "after", "at most", "KiB each"],
        rows: crowds.map(({ kind, told, beforeBytes, afterBytes, mostBytes }) => [
          kind,
          fixed(told.elapsedMs / 1000, 1),
          mebibytes(beforeBytes),
          mebibytes(afterBytes),
          mebibytes(mostBytes),
          fixed((afterBytes - beforeBytes) / 1024 / children, 1),
        ]),
      },
    ],
  };
}

function verdict(count: number, { kind, told }: Crowd): Verdict {
  const mostMs = (mostStartMs * count) / usual.children;
  return {
    what: `${fixed(count)} children started, ${kind}`,
    target: `≤ ${fixed(mostMs / 1000, 1)} s`,
    figure: `${fixed(told.elapsedMs / 1000, 1)} s`,
    met: told.elapsedMs <= mostMs,
  };
}

function restartTable({ failed, well }: Restarts): Table {
  const cells = (times: readonly number[]): string[] => [0.5, 0.99, 1].map((at) => fixed(quantile(times, at), 2));
  return {
    caption: `${fixed(failed.fresh.length)} failures of each kind, in ms.`,
    head: ["", "median", "99%", "most", "without failure, median", "99%", "most"],
    rows: recoveries.map((recovery) => [recovery, ...cells(failed[recovery]), ...cells(well[recovery])]),
  };
}
