/** Programs that end badly end alone. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isPerdureError } from "perdure/engine";
import type { Engine } from "perdure/engine";
import { common, open } from "./support/engine.ts";
import type { App } from "./support/engine.ts";
import { eventually } from "./support/wait.ts";

interface End {
  readonly reason: unknown;
  readonly message: string;
  readonly cause: unknown;
}

/** How a process ends that must not end well; beside it another one does its work and is not disturbed. */
async function endOf(engine: Engine<App>, entry: keyof App, args: unknown[] = []): Promise<End> {
  const witness = await engine.start("steady", [5]);
  const handle = await (engine as Engine).start(entry, args);
  const error: unknown = await handle.result().then(
    (value) => assert.fail(`it returned ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  );
  assert.ok(isPerdureError(error, "PROCESS_FAILED"), String(error));
  assert.equal(typeof (await witness.result()), "number");
  assert.equal(await (await engine.start("add", [20, 22])).result(), 42);
  assert.equal(engine.failure, undefined);
  return { reason: error.details["reason"], message: error.message, cause: error.cause };
}

describe("a process", () => {
  test("whose stack overflows exits stack_overflow, and may catch it instead", async () => {
    const { engine } = await common();
    const { reason, cause } = await endOf(engine, "overflows");
    assert.equal(reason, "stack_overflow");
    assert.match((cause as Error).stack ?? "", /at deeper \(endings\.ts:\d+:\d+\)/);
    assert.equal(await (await engine.start("catchesOverflow", [])).result(), 3);
  });

  test("that eats its memory exits out_of_memory, and may catch it instead", async (t) => {
    const { engine } = await open(t, { limits: { limits: { memoryBytes: 16 * 2 ** 20, stackBytes: 256 * 1024 } } });
    assert.equal((await endOf(engine, "eatsMemory")).reason, "out_of_memory");
    const { count, message } = await (await engine.start("catchesOutOfMemory", [])).result();
    assert.ok(count >= 5 && count < 16, `${count} MiB of 16`);
    assert.equal(message, "out of memory");
  });

  test("that spins exits out_of_fuel, at its first turn or later", async (t) => {
    const { engine } = await open(t, { limits: { fuelInterrupts: 500 } });
    for (const entry of ["spins", "spinsLater"] as const) {
      const { reason, message } = await endOf(engine, entry);
      assert.equal(reason, "out_of_fuel");
      assert.match(message, /500 interrupts/);
    }
  });

  test("that hangs in native code exits out_of_fuel, and its thread's other processes go on", async () => {
    const { engine } = await common();
    const sleepers = await Promise.all([1, 2, 3].map(() => engine.start("steady", [300])));
    const { reason, message } = await endOf(engine, "hangsNatively");
    assert.equal(reason, "out_of_fuel");
    assert.match(message, /native call/);
    for (const sleeper of sleepers) assert.equal(typeof (await sleeper.result()), "number");
  });

  test("with a rejection that nobody handles exits with that error", async () => {
    const { engine } = await common();
    const { reason, cause } = await endOf(engine, "rejectsUnseen");
    assert.equal(reason, "error");
    assert.ok(cause instanceof TypeError && cause.message === "nobody looks");
    assert.match(cause.stack ?? "", /at rejectsUnseen \(endings\.ts:\d+:\d+\)/);
  });

  test("that throws in a timer exits with that error", async () => {
    const { engine } = await common();
    const { reason, cause } = await endOf(engine, "throwsInTimer");
    assert.deepEqual([reason, (cause as Error).message], ["error", "thrown in a timer"]);
  });

  test("can end for any reason that crosses the border, and its report is written", async (t) => {
    const logs: string[] = [];
    const { engine } = await open(t, { onLog: (log) => void logs.push(log.text) });
    const [bigint, cycle, map] = await (await engine.start("hearsOfReasons", [])).result();
    assert.deepEqual(bigint, { count: 1n });
    assert.equal((cycle as { ring: unknown }).ring, cycle);
    assert.deepEqual(map, new Map([[1n, "one"]]));
    const reports = logs.filter((text) => text.includes("failed: exit: "));
    assert.equal(reports.length, 3, logs.join("\n"));
    assert.match(reports[0] ?? "", /\{"count":"1n"\}$/);
  });

  test("that spins delays others little", async () => {
    const { engine } = await common();
    const alone = await (await engine.start("steady", [40])).result();
    const spinners = await Promise.all([1, 2, 3].map(() => engine.start("spins", [])));
    const beside = await (await engine.start("steady", [40])).result();
    for (const spinner of spinners) assert.equal((await spinner.status()).state, "running");
    await Promise.all(spinners.map((spinner) => spinner.kill()));
    await eventually("their end", async () => (await spinners[2]?.status())?.state === "exited");
    // A slice is about 2 ms; a busy machine is given its due.
    assert.ok(beside <= alone + 250, `a sleep of 5 ms took up to ${beside} ms, and ${alone} ms without spinners`);
  });
});
