/** Supervision in the whole engine: what a restart begins with, by `docs/supervision.md`. */
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { Engine } from "perdure/engine";
import { deeds } from "../fixtures/supervision/deeds.ts";

const program = new URL("../fixtures/supervision/app.ts", import.meta.url);

async function run<T>(entry: string, logs: string[] = []): Promise<T> {
  await using engine = await Engine.open({ store: "memory:", program, onLog: ({ text }) => void logs.push(text) });
  const handle = await engine.start(entry, []);
  return (await handle.result()) as T;
}

beforeEach(() => void deeds.splice(0));

interface Travels {
  readonly first: Readonly<Record<string, unknown>>;
  readonly second: Readonly<Record<string, unknown>>;
  readonly down: string;
  readonly lines: readonly string[];
  readonly samePid: boolean;
}

describe("a child that goes back to its checkpoint", () => {
  test("has what it had then, and nothing of what came later", async () => {
    const logs: string[] = [];
    const { first, second, down, lines, samePid } = await run<Travels>("travels", logs);
    assert.equal(samePid, true);
    // Outcomes are recorded: what was pending then was done once, what began later twice.
    assert.deepEqual(deeds.toSorted(), ["late", "late", "quick", "slow"]);
    for (const found of [first, second]) {
      assert.deepEqual(
        [found["outcome"], found["slow"], found["alarm"], found["begun"]],
        ["quick done", "slow done", "rang", "late done"],
      );
    }
    assert.equal(first["early"], second["early"]);
    assert.notEqual(first["late"], second["late"], "a pid that was given was given again");
    assert.notEqual(first["drawn"], second["drawn"], "a number that was drawn was drawn again");
    assert.equal(down, "traveller failed", "a monitor made since does not hold");
    assert.deepEqual(lines.toSorted(), [
      "late was told traveller failed",
      "life at before, drawn anew",
      "life at before, drawn anew",
    ]);
    assert.ok(
      logs.some((text) => text.includes("traveller") && text.includes("failed: error: Error: traveller failed")),
    );
  });
});

test("a ladder is climbed: twice from the turn before, then (without a checkpoint) fresh, by OTP's count", async () => {
  const { pids, lines } = await run<{ pids: number[]; lines: string[] }>("ladder");
  // The same process survives twice; then each failure makes another.
  assert.deepEqual(pids, [0, 0, 0, 3, 4]);
  assert.equal(lines.filter((line) => line === "pupil began").length, 4);
  for (let fault = 0; fault < 5; fault++) {
    assert.equal(lines.filter((line) => line === `pupil got message ${fault}`).length, 1);
  }
});

test("what made a child fail is set aside; everything else it was told is done, once and in order", async () => {
  assert.deepEqual(await run("stubborn"), [1, 2, 4, 5, 7, 8, 10]);
  assert.deepEqual(
    deeds,
    [1, 2, 4, 5, 7, 8, 10].map((number) => `step ${number}`),
  );
});

test("a process that is no server refuses a call, instead of leaving its caller to wait", async () => {
  assert.equal(await run("refuses"), "CALL_REFUSED");
});
