/**
 * The machine alone, on the one thread of this process: turns in memory, results of operations fed back at once, no kernel, no
 * store, no other thread. What the engine's durability is compared with.
 */
import { encodeValue } from "../../dist/base/value.js";
import type { Input } from "../../dist/journal/types.d.ts";
import { compileEngine, engineHash, readEngineBinary } from "../../dist/machine/engine-binary.js";
import { createLocalMachine } from "../../dist/machine/local.js";
import type { Machine, TurnRequest, TurnResult } from "../../dist/machine/port.d.ts";
import { buildProgram, loadPrelude } from "../../dist/program/index.js";
import { serve } from "../child.ts";
import { spent } from "./cpu.ts";
import type { Spent } from "./cpu.ts";

let machine: Machine | undefined;
let onTurns: (results: readonly TurnResult[]) => void = () => undefined;
let keys = 0;

async function open(programFile: string): Promise<void> {
  const prelude = await loadPrelude();
  const program = await buildProgram(programFile, { preludeHash: prelude.hash, engineHash });
  machine = createLocalMachine({
    engine: compileEngine(readEngineBinary()),
    programs: {
      source: async () => ({ bundle: program.bundle, prelude: prelude.text }),
      loadImage: async () => undefined,
      saveImage: () => undefined,
    },
    events: {
      turns: (results) => onTurns(results),
      snapshots: () => undefined,
      failed: (error) => {
        throw error;
      },
    },
  });
}

function request(process: number, number: number, input: Input): TurnRequest {
  return {
    process,
    pid: `p${process}`,
    program: "program",
    number,
    timeMs: Date.now(),
    inputs: [input],
    script: false,
  };
}

function begin(entry: string, args: readonly unknown[]): TurnRequest {
  const seed = crypto.getRandomValues(new Uint8Array(32));
  return request(++keys, 1, { kind: "start", entry, args: encodeValue(args), seed, env: {} });
}

/** What the operation `add(sum, 1)` of `programs/steps.ts` gives, or undefined for a process that ended. */
function next({ process, number, outcome }: TurnResult): TurnRequest | undefined {
  if (outcome.kind !== "done") throw new Error(`turn ${number} of process ${process}: ${JSON.stringify(outcome)}`);
  const command = outcome.commands.at(-1);
  if (command?.kind === "operation") {
    const input: Input = { kind: "result", operation: command.number, ok: true, value: encodeValue(command.number) };
    return request(process, number + 1, input);
  }
  if (command?.kind !== "exit" || command.reason !== "normal")
    throw new Error(`unexpected: ${JSON.stringify(command)}`);
  machine?.drop(process);
  return undefined;
}

/** Runs `count` processes to their ends, `inMotion` at a time. */
function runAll(entry: string, args: readonly unknown[], count: number, inMotion: number): Promise<void> {
  let started = 0;
  let ended = 0;
  return new Promise((resolve) => {
    onTurns = (results) => {
      const requests: TurnRequest[] = [];
      for (const result of results) {
        let following = next(result);
        if (following === undefined && ++ended === count) return resolve();
        if (following === undefined && started < count) {
          started++;
          following = begin(entry, args);
        }
        if (following !== undefined) requests.push(following);
      }
      machine?.run(requests);
    };
    started = Math.min(inMotion, count);
    machine?.run(Array.from({ length: started }, () => begin(entry, args)));
  });
}

const methods = {
  open,

  run: (entry: string, args: readonly unknown[], count: number, inMotion: number): Promise<Spent> =>
    spent(() => runAll(entry, args, count, inMotion)),
};

export type GuestThreadMethods = typeof methods;
serve(methods);
