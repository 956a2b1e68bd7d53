/** What a turn costs inside one machine, with nothing around it: `node bench/machine.ts`. Prints medians of 7 rounds. */
import { encodeValue } from "../dist/base/value.js";
import type { Input } from "../dist/journal/types.d.ts";
import { compileEngine, engineHash, readEngineBinary } from "../dist/machine/engine-binary.js";
import { buildImage, defaultMachineLimits } from "../dist/machine/image.js";
import { defaultPoolLimits, Pool } from "../dist/machine/pool.js";
import { runTurn } from "../dist/machine/turn.js";
import { buildProgram, loadPrelude } from "../dist/program/index.js";

const rounds = 7;
const steps = 2_000;
const processes = 50;

const prelude = await loadPrelude();
const file = new URL("./programs/steps.ts", import.meta.url).pathname;
const program = await buildProgram(file, { preludeHash: prelude.hash, engineHash });
const engine = compileEngine(readEngineBinary());
const image = await buildImage(engine, { bundle: program.bundle, prelude: prelude.text }, defaultMachineLimits);
const pool = new Pool(engine, defaultPoolLimits);
const slices = { interrupt: (): number => 0 };

const start: Input = { kind: "start", entry: "loop", args: encodeValue([1e9]), seed: new Uint8Array(32), env: {} };
const result = (operation: number): Input => ({ kind: "result", operation, ok: true, value: { text: "j1" } });

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number;
}

const micros: Record<string, number[]> = { reset: [], start: [], step: [] };
for (let round = 0; round < rounds; round++) {
  let resetMs = 0;
  let startMs = 0;
  for (let key = 1; key <= processes; key++) {
    const before = performance.now();
    const resident = pool.create(key, image, 0);
    const between = performance.now();
    await runTurn(
      resident.vm,
      image,
      { pid: "p", number: 1, timeMs: 1000, inputs: [start], script: false },
      slices,
      () => undefined,
    );
    resetMs += between - before;
    startMs += performance.now() - between;
  }
  const { vm } = pool.peek(1) as NonNullable<ReturnType<typeof pool.peek>>;
  const before = performance.now();
  for (let step = 1; step <= steps; step++) {
    await runTurn(
      vm,
      image,
      { pid: "p", number: step + 1, timeMs: 1000, inputs: [result(step)], script: false },
      slices,
      () => undefined,
    );
  }
  micros["step"]?.push(((performance.now() - before) / steps) * 1000);
  micros["reset"]?.push((resetMs / processes) * 1000);
  micros["start"]?.push((startMs / processes) * 1000);
}
console.log(`image ${(image.memory.length / 1024).toFixed(0)} KiB`);
for (const [what, values] of Object.entries(micros)) console.log(`${what.padEnd(6)} ${median(values).toFixed(1)} µs`);
