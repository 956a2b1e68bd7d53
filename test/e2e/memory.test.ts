/** state = image + inputs: the same inputs give the same memory, bit for bit, whatever process they run in and however. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { serialize } from "node:v8";
import { Engine } from "perdure/engine";
import { engineHash } from "../../src/machine/engine-binary.ts";
import { buildProgram, loadPrelude } from "../../src/program/index.ts";
import type { Mode, Recording } from "./support/memory-child.ts";

const program = fileURLToPath(new URL("../fixtures/memory/app.ts", import.meta.url));
const child = fileURLToPath(new URL("support/memory-child.ts", import.meta.url));
const pid = "remembers";

/** Lets an engine run the program once and takes down its turns. */
async function record(): Promise<Recording> {
  await using engine = await Engine.open({ store: "memory:", program });
  const handle = await engine.start("default", [14], { id: pid });
  for (let message = 0; message < 3; message++) await handle.send({ message });
  await handle.result();
  const turns = (await handle.history()).map(({ turn, ...rest }) => ({ number: turn, ...rest }));
  const prelude = await loadPrelude();
  const { bundle } = await buildProgram(program, { preludeHash: prelude.hash, engineHash });
  return { pid, bundle, prelude: prelude.text, turns };
}

/** Each turn's memory, hashed, as an operating system process of its own has it. */
async function memories(file: string, mode: Mode): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [child, file, mode]);
  return stdout.trimEnd().split("\n");
}

describe("the memory after each turn", () => {
  let recording: Recording;
  let reference: string[];
  const folder = mkdtempSync(join(tmpdir(), "perdure-memory-"));
  const file = join(folder, "recording");

  before(async () => {
    recording = await record();
    writeFileSync(file, serialize(recording));
    reference = await memories(file, "straight");
  });

  after(() => rmSync(folder, { recursive: true }));

  test("differs from turn to turn, and grows", () => {
    assert.equal(reference.length, recording.turns.length);
    assert.ok(reference.length > 20);
    assert.equal(new Set(reference.map((line) => line.split(" ")[2])).size, reference.length);
    assert.ok(new Set(reference.map((line) => line.split(" ")[1])).size > 1, "the memory never grew");
  });

  for (const [mode, meaning] of [
    ["straight", "in another operating system process"],
    ["crowded", "beside a process that spins"],
    ["replayed", "when it is rebuilt from its first turn in between"],
    ["restored", "when it is rebuilt from a snapshot in between"],
  ] as const) {
    test(`is the same bit for bit ${meaning}`, async () => {
      assert.deepEqual(await memories(file, mode), reference);
    });
  }
});
