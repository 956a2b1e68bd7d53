import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { casesIn, ownCases, randomCases, runSuite } from "./otp/suite.ts";
import type { Entry } from "./otp/suite.ts";

const seed = Number(process.env["PERDURE_SEED"] ?? 1);
const scenarios = 60;

async function passes(
  entries: readonly Entry[],
  { crashSeed, nodes = 1 }: { readonly crashSeed?: number; readonly nodes?: number } = {},
): Promise<{ readonly passed: number; readonly deaths: number }> {
  const problems: string[] = [];
  const result = await runSuite(entries, { crashSeed, nodes, failed: (description) => problems.push(description) });
  assert.equal(problems.length, 0, `\nFrom seed ${seed}:\n${problems.join("\n")}\n`);
  if (nodes === 1) assert.equal(result.passed, entries.length);
  return result;
}

describe("a supervisor does what that of Erlang/OTP does", () => {
  test("in every recorded case", async () => {
    await passes(await casesIn(ownCases));
  });

  test("in every recorded case while the node dies", async () => {
    const { deaths } = await passes(await casesIn(ownCases), { crashSeed: seed });
    assert.ok(deaths > 134, `it died ${deaths} times`);
  });

  test(`in ${scenarios} random scenarios, as the model of it says`, async () => {
    await passes(randomCases(seed, scenarios));
  });

  test(`in ${scenarios} random scenarios while the node dies`, async () => {
    await passes(randomCases(seed + scenarios, scenarios), { crashSeed: seed });
  });

  test("in every recorded case, with its processes on three nodes and moving between them", async () => {
    const { passed } = await passes(await casesIn(ownCases), { nodes: 3 });
    assert.ok(passed > 110, `${passed} cases can be told on several nodes`);
  });

  test("in every recorded case, with its processes on three nodes that die", async () => {
    const { deaths } = await passes(await casesIn(ownCases), { nodes: 3, crashSeed: seed });
    assert.ok(deaths > 500, `they died ${deaths} times`);
  });

  test("in random scenarios, with the processes on five nodes", async () => {
    await passes(randomCases(seed + 2 * scenarios, scenarios), { nodes: 5 });
  });
});
