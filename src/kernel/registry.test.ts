import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProcessRow } from "../store/port.ts";
import { exit, process as processRow, startMs } from "../store/suite/samples.ts";
import { newLive } from "./live.ts";
import { Registry } from "./registry.ts";
import type { RegistryPorts } from "./registry.ts";

function registryOf(store: object, era = (): number => 0): Registry {
  return new Registry({
    store: store as unknown as RegistryPorts["store"],
    clock: { nowMs: () => startMs, after: () => () => undefined },
    isMine: () => true,
    era,
    checkOpen: () => undefined,
    drop: () => undefined,
    loaded: () => undefined,
    damaged: () => undefined,
  });
}

test("a process that was born and has exited while the store looked for it is found", async () => {
  const row = processRow(1);
  const answers: ((row: ProcessRow | undefined) => void)[] = [];
  const store = { findProcess: () => new Promise((resolve) => answers.push(resolve)) };
  const registry = registryOf(store);
  const looked = registry.find(row.pid);
  const live = newLive(row);
  registry.add(live);
  registry.exited(live, { reason: "normal", value: { text: "u" }, atMs: startMs });
  answers[0]?.(undefined);
  await new Promise(setImmediate);
  answers[1]?.(row);
  assert.equal(await looked, row);
});

test("who waits for an end hears of one that was on another node before the process's shard became this node's", async () => {
  const [running, ended] = [processRow(1), processRow(1, { state: "exited", exit })];
  let era = 0;
  const answers = [running, ended];
  const findProcess = (): Promise<ProcessRow | undefined> => {
    // It has the shard by the time of the first answer.
    if (answers.length === 2) queueMicrotask(() => era++);
    return Promise.resolve(answers.shift());
  };
  assert.equal(await registryOf({ findProcess }, () => era).exit(running.pid), exit);
});

test("whoever holds a process that has left for another node can tell", () => {
  const registry = registryOf({});
  const live = newLive(processRow(1));
  registry.add(live);
  registry.leave(live);
  assert.deepEqual([live.away, registry.get(live.row.key)], [true, undefined]);
});
