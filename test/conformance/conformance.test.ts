import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { casesIn, ownCases, randomCases, runSuite } from "./otp/suite.ts";
import type { Entry } from "./otp/suite.ts";

const seed = Number(process.env["PERDURE_SEED"] ?? 1);
const scenarios = 60;

async function passes(entries: readonly Entry[], crashSeed?: number): Promise<{ readonly deaths: number }> {
  const problems: string[] = [];
  const result = await runSuite(entries, { crashSeed, failed: (description) => problems.push(description) });
  assert.equal(problems.length, 0, `\nFrom seed ${seed}:\n${problems.join("\n")}\n`);
  assert.equal(result.passed, entries.length);
  return result;
}

describe("a supervisor does what that of Erlang/OTP does", () => {
  test("in every recorded case", async () => {
    await passes(await casesIn(ownCases));
  });

  test("in every recorded case while the node dies", async () => {
    const { deaths } = await passes(await casesIn(ownCases), seed);
    assert.ok(deaths > 134, `it died ${deaths} times`);
  });

  test(`in ${scenarios} random scenarios, as the model of it says`, async () => {
    await passes(randomCases(seed, scenarios));
  });

  test(`in ${scenarios} random scenarios while the node dies`, async () => {
    await passes(randomCases(seed + scenarios, scenarios), seed);
  });
});
