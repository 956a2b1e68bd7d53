import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { decodeValue, encodeValue } from "../base/value.ts";
import type { Input } from "../journal/types.ts";
import { compileEngine, readEngineBinary } from "../machine/engine-binary.ts";
import { createLocalMachine } from "../machine/local.ts";
import type { Machine, TurnResult } from "../machine/port.ts";
import { packagesExpected } from "../../test/fixtures/packages-expected.ts";
import { buildProgram, checkEntry, loadPrelude } from "./index.ts";

/** Runs an entry in a machine of its own whose time passes as fast as its timers allow. Returns what the process exits with. */
async function run(bundle: string, prelude: string, entry: string): Promise<{ reason: string; value: unknown }> {
  const engine = compileEngine(readEngineBinary());
  let turn = Promise.withResolvers<TurnResult>();
  const machine: Machine = createLocalMachine({
    engine,
    programs: {
      source: async () => ({ bundle, prelude }),
      loadImage: async () => undefined,
      saveImage: () => undefined,
    },
    events: {
      turns: ([result]) => turn.resolve(result as TurnResult),
      snapshots: () => undefined,
      failed: (error) => turn.reject(error),
    },
  });
  const timers = new Map<number, number>();
  let timeMs = Date.UTC(2026, 0, 1);
  let inputs: Input[] = [{ kind: "start", entry, args: encodeValue([]), seed: new Uint8Array(32).fill(7), env: {} }];
  try {
    for (let number = 1; ; number++) {
      turn = Promise.withResolvers();
      machine.run([{ process: 1, pid: "p", program: "packages", number, timeMs, inputs, script: false }]);
      const { outcome } = await turn.promise;
      if (outcome.kind !== "done") throw new Error(JSON.stringify(outcome));
      for (const command of outcome.commands) {
        if (command.kind === "timer") timers.set(command.number, command.dueMs);
        else if (command.kind === "clear-timer") timers.delete(command.timer);
        else if (command.kind === "exit") return { reason: command.reason, value: decodeValue(command.value) };
        else throw new Error(`unexpected ${JSON.stringify(command)}`);
      }
      const next = [...timers].sort((a, b) => a[1] - b[1])[0];
      if (next === undefined) throw new Error("the process waits for nothing");
      timers.delete(next[0]);
      timeMs = Math.max(timeMs, next[1]);
      inputs = [{ kind: "timer", timer: next[0] }];
    }
  } finally {
    await machine.close();
  }
}

test("popular packages do their work inside the sandbox", async () => {
  const prelude = await loadPrelude();
  const file = fileURLToPath(new URL("../../test/fixtures/packages.ts", import.meta.url));
  const program = await buildProgram(file, { preludeHash: prelude.hash, engineHash: "" });
  assert.deepEqual(program.modules, ["packages.ts"]);
  checkEntry(program, "default");
  const { reason, value } = await run(program.bundle, prelude.text, "default");
  if (value instanceof Error) throw value;
  assert.equal(reason, "normal");
  assert.deepEqual(value, packagesExpected);
});

test("docs/packages.md lists the packages that are tested", async () => {
  const page = await readFile(new URL("../../docs/packages.md", import.meta.url), "utf8");
  const table = page.slice(page.indexOf("## Tested"), page.indexOf("Tried by hand"));
  const listed = [...table.matchAll(/^\| `([^`]+)` +\|/gm)].map((row) => row[1] ?? "");
  assert.deepEqual(listed.toSorted(), Object.keys(packagesExpected).sort());
});
