import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { runKeys } from "./run.ts";

const seeds = 150;
const sideBySide = 16;
const chosenSeed = process.env["PERDURE_SEED"];

describe("what hosts ask under keys happens once and has one answer, whenever nodes die", () => {
  test(`in ${seeds} runs`, async () => {
    const heard: Record<string, number> = {};
    const problems: string[] = [];
    let next = 1;
    let nodes = 0;
    const lane = async (): Promise<void> => {
      while (next <= seeds) {
        const seed = next++;
        const run = await runKeys(seed);
        nodes += run.nodes;
        for (const [kind, times] of Object.entries(run.heard)) heard[kind] = (heard[kind] ?? 0) + times;
        if (run.problem !== undefined) problems.push(`PERDURE_SEED=${seed}: ${run.problem}`);
      }
    };
    await Promise.all(Array.from({ length: sideBySide }, lane));
    assert.deepEqual(problems, []);
    // Otherwise the runs say nothing.
    for (const kind of ["answered", "sent", "forgotten", "exited", "refused"]) {
      assert.ok((heard[kind] ?? 0) > 20, `${kind}: ${JSON.stringify(heard)}`);
    }
    assert.ok(nodes > 2 * seeds, `${nodes} nodes`);
  });

  test("in the run of PERDURE_SEED", { skip: chosenSeed === undefined }, async () => {
    assert.equal((await runKeys(Number(chosenSeed))).problem, undefined);
  });
});
