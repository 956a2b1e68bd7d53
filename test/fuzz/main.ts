/**
 * Fuzzes all that parses bytes or words, with seeds drawn at random.
 *
 *     npm run fuzz -- --minutes 10                  so long
 *     npm run fuzz -- --only "a snapshot"           only what has this in its name
 *     npm run fuzz -- --seed 42 --only "a snapshot" those cases again
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { targets } from "./targets.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    only: { type: "string", default: "" },
  },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error(`--minutes takes a number, not ${JSON.stringify(values.minutes)}.`);
const chosen = targets.filter(({ name }) => name.includes(values.only));
if (chosen.length === 0) throw new Error(`Nothing that is fuzzed has ${JSON.stringify(values.only)} in its name.`);

const untilMs = Date.now() + minutes * 60_000;
let rounds = 0;
let failures = 0;
do {
  for (const { name, cases, run } of chosen) {
    const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
    try {
      await run({ seed, cases: cases * 5 });
    } catch (error) {
      failures++;
      process.stdout.write(
        `\nFAILED with seed ${seed}: ${name}\n${error instanceof Error ? error.message : String(error)}\n`,
      );
    }
  }
  rounds++;
  if (process.stdout.isTTY) process.stdout.write(`\r${rounds} rounds, ${failures} failures `);
} while (values.seed === undefined && Date.now() < untilMs);
process.stdout.write(`\n${rounds} rounds of ${chosen.length} kinds, ${failures} failures\n`);
process.exitCode = failures === 0 ? 0 : 1;
