import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProcessRow } from "../store/port.ts";
import { process as processRow, startMs } from "../store/suite/samples.ts";
import { newLive } from "./live.ts";
import { Registry } from "./registry.ts";
import type { RegistryPorts } from "./registry.ts";

test("a process that was born and has exited while the store looked for it is found", async () => {
  const row = processRow(1);
  const answers: ((row: ProcessRow | undefined) => void)[] = [];
  const store = { findProcess: () => new Promise((resolve) => answers.push(resolve)) };
  const registry = new Registry({
    store: store as unknown as RegistryPorts["store"],
    clock: { nowMs: () => startMs, after: () => () => undefined },
    isMine: () => true,
    era: () => 0,
    checkOpen: () => undefined,
    drop: () => undefined,
    loaded: () => undefined,
    damaged: () => undefined,
  });
  const looked = registry.find(row.pid);
  const live = newLive(row);
  registry.add(live);
  registry.exited(live, { reason: "normal", value: { text: "u" }, atMs: startMs });
  answers[0]?.(undefined);
  await new Promise(setImmediate);
  answers[1]?.(row);
  assert.equal(await looked, row);
});
