import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { allCases } from "./support/cases.ts";
import { Chaos } from "./support/chaos.ts";
import { seeded } from "./support/seeded.ts";
import { Witness } from "./support/witness.ts";

const program = fileURLToPath(new URL("../fixtures/durable/app.ts", import.meta.url));
const deaths = Number(process.env["PERDURE_DEATHS"] ?? 20);
const budgetMs = Number(process.env["PERDURE_BUDGET_MS"] ?? 20_000);

function suite(title: string, deaths: number): void {
  describe(title, () => {
    const cases = allCases();
    const random = seeded();
    const folder = mkdtempSync(join(tmpdir(), "perdure-chaos-"));
    let witness: Witness;
    let chaos: Chaos;

    before(async () => {
      console.log(`# PERDURE_SEED=${random.seed}`);
      witness = await Witness.open();
      const engine = { store: join(folder, "store.db"), program };
      chaos = new Chaos({ cases, engine, witness, random, deaths, deadlineMs: Date.now() + budgetMs });
      await chaos.run();
      const lived = cases.map((one) => [...chaos.outcomes(one).values()].reduce((sum, { deaths }) => sum + deaths, 0));
      const span = `${Math.min(...lived)} to ${Math.max(...lived)}`;
      console.log(`# ${chaos.deaths} deaths in ${chaos.rounds} rounds; each program lived through ${span}`);
    });

    after(async () => {
      await witness.close();
      rmSync(folder, { recursive: true, force: true });
    });

    for (const one of cases) {
      test(`${one.name} gives the same result, effects and output as a run that nothing disturbs`, async () => {
        const outcomes = chaos.outcomes(one);
        assert.equal(outcomes.size, chaos.rounds);
        for (const [pid, outcome] of outcomes) await one.check(outcome, pid);
      });
    }

    if (deaths > 0) test("nodes died", () => assert.ok(chaos.deaths >= Math.min(5, deaths)));

    test("what was committed stays as it was: turns without gaps, logs, results consumed once", () => {
      assert.deepEqual(chaos.complaints, []);
    });

    test("every attempt of an operation has the same key and payload, and none comes after its result was consumed", () => {
      assert.deepEqual(witness.complaints, []);
    });
  });
}

suite("on a node that lives", 0);
suite(`on nodes that die ${deaths} times`, deaths);
