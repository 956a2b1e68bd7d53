/**
 * Plants known bugs in a copy of the sources, one at a time, and shows that the simulator or a test catches each. A bug that
 * nothing catches is a hole in the tests.
 *
 *     npm run mutants                    all of them, about ten minutes
 *     npm run mutants -- fsync           those with this word in their description
 */
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { nameOf } from "./mutant.ts";
import type { Check, Mutant } from "./mutant.ts";
import { mutants } from "./mutants.ts";
import { Tree } from "./tree.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));
/** Without a bug a check takes a few seconds; what takes so long hangs. */
const limitSeconds = 90;
const atOnce = Math.max(1, Math.min(3, cpus().length));

interface Outcome {
  readonly mutant: Mutant;
  /** Undefined: nothing caught it. */
  readonly caughtBy: string | undefined;
  readonly seconds: number;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** What fails without a bug says nothing about bugs. */
async function checkChecks(tree: Tree, wanted: readonly Mutant[]): Promise<void> {
  const checks = new Map<string, Check>();
  for (const { checks: tried } of wanted) for (const check of tried) checks.set(nameOf(check), check);
  for (const [name, check] of checks) {
    const { passed, output } = await tree.check(check, limitSeconds);
    if (!passed) throw new Error(`Without any bug, this fails: ${name}\n${output.slice(-2_000)}`);
  }
  say(`${checks.size} checks pass where no bug is planted.\n`);
}

async function hunt(tree: Tree, mutant: Mutant): Promise<Outcome> {
  let seconds = 0;
  try {
    await tree.plant(mutant);
    for (const check of mutant.checks) {
      const verdict = await tree.check(check, limitSeconds);
      seconds += verdict.seconds;
      if (!verdict.passed) return { mutant, caughtBy: nameOf(check), seconds };
    }
  } catch (error) {
    // Such a bug proves nothing.
    say(`CANNOT BE PLANTED: ${mutant.bug}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    await tree.restore(mutant);
  }
  return { mutant, caughtBy: undefined, seconds };
}

function tell({ mutant, caughtBy, seconds }: Outcome): void {
  const mark = caughtBy === undefined ? "NOT CAUGHT" : "caught    ";
  const by = caughtBy === undefined ? `nothing: ${mutant.checks.map(nameOf).join("; ")}` : caughtBy;
  say(`${mark} ${seconds.toFixed(1).padStart(5)} s  ${mutant.bug}\n                    by ${by}`);
}

async function huntAll(wanted: readonly Mutant[]): Promise<Outcome[]> {
  const left = [...wanted];
  const outcomes: Outcome[] = [];
  const trees = Array.from({ length: Math.min(atOnce, wanted.length) }, () => new Tree(repository));
  try {
    const [first] = trees;
    if (first !== undefined) await checkChecks(first, wanted);
    const work = async (tree: Tree): Promise<void> => {
      for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
        const outcome = await hunt(tree, mutant);
        tell(outcome);
        outcomes.push(outcome);
      }
    };
    await Promise.all(trees.map(work));
  } finally {
    for (const tree of trees) tree.remove();
  }
  return outcomes;
}

const words = process.argv.slice(2);
const wanted = mutants.filter(({ bug, file }) => words.every((word) => `${bug} ${file}`.includes(word)));
if (wanted.length === 0) throw new Error(`No bug is described by ${JSON.stringify(words.join(" "))}.`);
const startedMs = performance.now();
const outcomes = await huntAll(wanted);
const missed = outcomes.filter(({ caughtBy }) => caughtBy === undefined);
say(
  `\n${outcomes.length - missed.length} of ${outcomes.length} bugs caught in ${((performance.now() - startedMs) / 60_000).toFixed(1)} minutes`,
);
process.exitCode = missed.length === 0 ? 0 : 1;
