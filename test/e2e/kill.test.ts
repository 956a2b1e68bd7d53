/** Nodes that are killed at one particular place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { EngineProcess } from "./support/engine-process.ts";
import { inspectStore } from "./support/inspection.ts";
import { place } from "./support/place.ts";
import { seeded } from "./support/seeded.ts";
import { eventually } from "./support/wait.ts";
import { receiptOf } from "./support/witness.ts";
import type { Witness } from "./support/witness.ts";

/** Kills the node when the witness hears of `step`, before it gets an answer. */
function killAt(witness: Witness, step: string, node: EngineProcess): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  witness.onSighting = async (sighting) => {
    if (sighting.step !== step || !node.alive) return;
    witness.onSighting = undefined;
    const end = node.kill();
    resolve(end);
    await end;
  };
  return promise;
}

test("a turn that computes for long is killed in the middle and run again; the steps before it are not", async (t) => {
  const { store, witness, node } = await place(t);
  const rounds = 5_000_000;
  const first = await node();
  await first.start("long", "longTurn", [rounds]);
  await eventually("the step before", () => witness.effectsOf("long").length === 1);
  // Its result is on record although the turn that takes it goes on.
  await eventually("the result's record", async () =>
    (await first.status("long")).inbox.some(({ kind }) => kind === "result"),
  );
  await sleep(100);
  await first.kill();
  const left = (await inspectStore(store, ["long"])).get("long");
  assert.equal(left?.turns.length, 1, "the turn was not killed in the middle");

  const second = await node();
  const started = performance.now();
  let state = receiptOf("before");
  for (let i = 0; i < rounds; i++) state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  assert.equal(await second.result("long"), state);
  assert.ok(performance.now() - started > 150, "the turn is too short for this test");
  assert.deepEqual(
    witness.effectsOf("long").map(({ step, times }) => [step, times]),
    [
      ["before", 1],
      ["after", 1],
    ],
  );
});

test("of 200 processes started at once, every one whose start was acknowledged exists after a kill, and ends", async (t) => {
  const random = seeded();
  t.diagnostic(`PERDURE_SEED=${random.seed}`);
  const { store, witness, node } = await place(t);
  const pids = Array.from({ length: 200 }, (_, number) => `brief-${number}`);
  const acknowledged = new Set<string>();
  for (let life = 0; life < 4 && acknowledged.size < pids.length; life++) {
    const started = await node();
    const enough = acknowledged.size + random.between(5, 60);
    const starts = pids.map(async (pid, number) => {
      const isNew = await started.start(pid, "brief", [number]);
      if (isNew) assert.ok(!acknowledged.has(pid), `${pid} was acknowledged before, and is new`);
      acknowledged.add(pid);
      if (acknowledged.size === enough) await started.kill();
    });
    await Promise.allSettled(starts);
    await started.kill();
    const found = await inspectStore(store, [...acknowledged]);
    assert.deepEqual(
      [...acknowledged].filter((pid) => !found.has(pid)),
      [],
      "acknowledged starts are lost",
    );
  }
  const last = await node();
  await Promise.all(pids.map((pid, number) => last.start(pid, "brief", [number])));
  const results = await Promise.all(pids.map((pid) => last.result(pid)));
  assert.deepEqual(
    results,
    pids.map((_, number) => receiptOf(`brief ${number}`) + number),
  );
  const keys = new Map(
    pids.map((pid) => [pid, new Set(witness.sightings.filter((one) => one.pid === pid).map(({ key }) => key))]),
  );
  assert.deepEqual(
    [...keys].filter(([, own]) => own.size !== 1),
    [],
    "a step has several keys",
  );
});

test("an operation whose node dies before its result is committed is sent again under the same key", async (t) => {
  const { witness, node } = await place(t);
  const first = await node();
  const killed = killAt(witness, "two", first);
  await first.start("p", "seenByWitness", [["one", "two", "three"]]);
  await killed;
  const second = await node();
  assert.deepEqual(await second.result("p"), ["one", "two", "three"].map(receiptOf));
  assert.deepEqual(
    witness.effectsOf("p").map(({ step, times }) => [step, times]),
    [
      ["one", 1],
      ["two", 2],
      ["three", 1],
    ],
  );
  assert.deepEqual(witness.complaints, []);
});

test("an at-most-once operation whose node dies meanwhile is not sent again: the program hears that it is uncertain", async (t) => {
  const { witness, node } = await place(t);
  const first = await node();
  const killed = killAt(witness, "send the money", first);
  await first.start("p", "uncertain");
  await killed;
  const second = await node();
  const key = witness.sightings[0]?.key;
  assert.deepEqual(await second.result("p"), {
    operation: "effects.ts#once",
    idempotencyKey: key,
    args: ["send the money"],
    code: "OPERATION_UNCERTAIN",
    next: receiptOf("ask the bank"),
  });
  assert.deepEqual(
    witness.effectsOf("p").map(({ step, times }) => [step, times]),
    [
      ["send the money", 1],
      ["ask the bank", 1],
    ],
  );
});

test("SIGTERM lets a running operation end, keeps its result, and leaves nothing to recover", async (t) => {
  const { store, witness, node } = await place(t);
  const first = await node();
  await first.start("p", "unhurried");
  await first.start("sleeper", "timeouts");
  await eventually("the operation's begin", () => witness.effectsOf("p").length === 1);
  const { code, signal } = await first.close();
  assert.deepEqual([code, signal, first.stderr], [0, null, ""]);
  const left = (await inspectStore(store, ["p"])).get("p");
  assert.deepEqual(left?.settled, [1], "the result is lost");
  const second = await node();
  assert.deepEqual(await second.result("p"), [receiptOf("unhurried"), receiptOf("and then")]);
  assert.deepEqual(
    witness.effectsOf("p").map(({ times }) => times),
    [1, 1],
  );
  await second.result("sleeper");
  assert.equal((await second.close()).code, 0);
});

test("a node that stands still for two seconds goes on where it was", async (t) => {
  const { store, witness, node } = await place(t);
  const first = await node();
  await first.start("loop", "loop", [30]);
  await first.start("intervals", "intervals");
  await eventually("progress", () => witness.effectsOf("loop").length >= 5);
  first.signal("SIGSTOP");
  await sleep(2_000);
  const before = witness.sightings.length;
  await sleep(100);
  assert.equal(witness.sightings.length, before, "the node did not stand still");
  first.signal("SIGCONT");
  assert.equal(((await first.result("loop")) as number[]).length, 30);
  assert.equal(((await first.result("intervals")) as number[]).length, 8);
  assert.ok(witness.effectsOf("loop").every(({ times }) => times === 1));
  assert.equal((await first.close()).code, 0);
  const found = (await inspectStore(store, ["loop"])).get("loop");
  assert.deepEqual(
    found?.turns.map(({ number }) => number),
    found?.turns.map((_, index) => index + 1),
  );
});
