/** Read-only methods called from the host: they take no turn and leave nothing behind. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Engine, Refusal } from "perdure/engine";
import { storeFile } from "./support/engine.ts";
import { failure } from "./support/failure.ts";

// oxlint-disable-next-line typescript/consistent-type-imports
type App = typeof import("../fixtures/servers/readers.ts");

async function open(t: TestContext, store = "memory:", fuelInterrupts?: number): Promise<Engine<App>> {
  const engine = await Engine.open<App>({
    store,
    program: new URL("../fixtures/servers/readers.ts", import.meta.url),
    closeTimeoutMs: 200,
    onLog: () => undefined,
    ...(fuelInterrupts === undefined ? {} : { limits: { fuelInterrupts } }),
  });
  t.after(() => engine.close());
  return engine;
}

async function turnsOf(engine: Engine<App>, pid: string): Promise<number> {
  return (await engine.get(pid).history({ limit: 1000 })).length;
}

test("a read-only method is answered without a turn, from the first call on, and sees what was called and cast before", async (t) => {
  const engine = await open(t);
  const counter = engine.at("Counter", "a");
  const pid = await counter.pid();
  await counter.add(2);
  const before = await turnsOf(engine, pid);
  for (let again = 0; again < 20; again++) assert.equal(await counter.value(), 2);
  assert.equal(await engine.server("Counter", pid).within("1s").value(), 2);
  assert.equal(await counter.time(), await counter.time());
  assert.equal(await turnsOf(engine, pid), before);
  await counter.cast.add(3);
  assert.equal(await counter.value(), 5);
  assert.deepEqual(await Promise.all([counter.add(1), counter.value(), counter.add(1)]), [6, 6, 7]);
  assert.equal(await turnsOf(engine, pid), before + 3);
});

test("whatever a read-only method does to the server, nothing of it is left, and nothing of it is heard", async (t) => {
  const engine = await open(t, "memory:", 50);
  const counter = engine.at("Counter", "a");
  await counter.add(2);
  const before = await turnsOf(engine, "Counter:a");
  assert.equal(await counter.spoil(), 100_000);
  const forbidden = await failure(counter.tell());
  assert.equal(forbidden.code, "QUERY_FORBIDDEN");
  assert.match(forbidden.message, /tell of Counter:a .* sent something to nobody/);
  const hung = await failure(counter.hang());
  assert.deepEqual([hung.code, hung.details["reason"]], ["QUERY_FAILED", "out_of_fuel"]);
  const failed = await failure(counter.fail());
  assert.equal(failed.code, "QUERY_FAILED");
  assert.ok(failed.cause instanceof TypeError && failed.cause.message === "cannot read this");
  await assert.rejects(counter.refuse(), Refusal);
  assert.equal(await counter.value(), 2);
  assert.equal(await turnsOf(engine, "Counter:a"), before);
  assert.equal(await counter.add(1), 3);
});

test("a server that sleeps since another node's time is read without waking it up for a turn", async (t) => {
  const store = storeFile(t);
  const first = await open(t, store);
  await first.at("Counter", "a").add(4);
  const before = await turnsOf(first, "Counter:a");
  await first.close();
  const engine = await open(t, store);
  const counter = engine.server("Counter", "Counter:a");
  assert.deepEqual(await Promise.all([counter.value(), counter.value(), counter.value()]), [4, 4, 4]);
  assert.equal(await turnsOf(engine, "Counter:a"), before);
  assert.equal(await counter.add(1), 5);
});

test("beside running turns a query sees only what is done and committed, and calls keep their order", async (t) => {
  const engine = await open(t, storeFile(t));
  const counter = engine.at("Counter", "a");
  await counter.add(0);
  const feeders = await Promise.all([1, 2, 3].map(() => engine.start("feeder", ["a", 60])));
  let last = 0;
  for (let value = 0; value < 180; last = value) {
    value = await counter.value();
    assert.ok(value >= last, `${value} after ${last}`);
    // What was seen is on record.
    assert.ok((await turnsOf(engine, "Counter:a")) > 1);
  }
  for (const feeder of feeders) await feeder.kill();
  const slow = counter.slowly(100);
  assert.equal(await counter.value(), 100);
  assert.equal(await slow, 100);
});

test("one that is paused can be read; one that has ended cannot, and a key's next server is asked instead", async (t) => {
  const engine = await open(t);
  const counter = engine.at("Counter", "a");
  await counter.add(7);
  assert.equal(await counter.value(), 7);
  await engine.get("Counter:a").pause();
  await counter.cast.add(1);
  assert.equal(await counter.value(), 7);
  await engine.get("Counter:a").resume();
  assert.equal(await counter.value(), 8);
  await counter.leave();
  assert.equal(await counter.value(), 0);
  assert.equal(await counter.pid(), "Counter:a~2");
  const gone = await failure(engine.server("Counter", "Counter:a").value());
  assert.deepEqual([gone.code, gone.details["reason"]], ["SERVER_GONE", "noproc"]);
});
