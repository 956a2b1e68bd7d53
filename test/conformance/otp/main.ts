/**
 * Runs scenarios of the supervisor of Erlang/OTP (README.md) and compares.
 *
 *     npm run conformance:otp -- [DIR]             every case file of a folder; default: the repository's own, recorded ones
 *     npm run conformance:otp -- --random 500      so many random scenarios, from a seed that is drawn and printed
 *     npm run conformance:otp -- … --crashes       the same while the node is killed, from the seed as well
 *     npm run conformance:otp -- … --nodes 3           with the processes spread over so many nodes
 *     npm run conformance:otp -- … --seed 42       the same again
 *
 * The exit status is 1 if a case failed.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { casesIn, ownCases, randomCases, runSuite } from "./suite.ts";

function whole(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new Error(`--${name} takes a number, not ${JSON.stringify(text)}.`);
  return value;
}

async function main(): Promise<void> {
  const { stdout } = process;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      crashes: { type: "boolean" },
      random: { type: "string" },
      seed: { type: "string" },
      nodes: { type: "string" },
    },
  });
  const seed = values.seed === undefined ? randomInt(2 ** 31) : whole("seed", values.seed);
  const isSeeded = values.crashes === true || values.random !== undefined;
  if (isSeeded) stdout.write(`Seed ${seed}\n`);
  const { passed, failed, deaths } = await runSuite(
    values.random === undefined
      ? await casesIn(positionals[0] ?? ownCases)
      : randomCases(seed, whole("random", values.random)),
    {
      crashSeed: values.crashes === true ? seed : undefined,
      nodes: whole("nodes", values.nodes ?? "1"),
      failed: (description) => void stdout.write(`${description}\n`),
    },
  );
  if (values.crashes === true) stdout.write(`The node died or was closed ${deaths} times\n`);
  stdout.write(`${passed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 ? 0 : 1;
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
