/** What the machine's tests share: programs built from text, a local machine, and processes driven turn by turn. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { decodeValue, encodeValue } from "../base/value.ts";
import type { Command, Input, ProcessKey, Turn } from "../journal/types.ts";
import { buildProgram, loadPrelude } from "../program/index.ts";
import { compileEngine, engineHash, readEngineBinary } from "./engine-binary.ts";
import type { EngineBinary } from "./engine-binary.ts";
import { createLocalMachine } from "./local.ts";
import type { LocalMachineOptions } from "./local.ts";
import type {
  LoadRequest,
  Machine,
  ProgramSources,
  SnapshotResult,
  TurnOutcome,
  TurnRequest,
  TurnResult,
} from "./port.ts";

let compiled: EngineBinary | undefined;

export function engine(): EngineBinary {
  compiled ??= compileEngine(readEngineBinary());
  return compiled;
}

export interface TestProgram {
  readonly hash: string;
  readonly bundle: string;
  readonly prelude: string;
}

/** A program of one file, `app.ts`, or of several, of which the first is the entry. */
export async function program(files: string | Readonly<Record<string, string>>): Promise<TestProgram> {
  const all = typeof files === "string" ? { "app.ts": files } : files;
  const folder = await realpath(await mkdtemp(path.join(tmpdir(), "perdure-machine-")));
  try {
    for (const [name, text] of Object.entries(all)) {
      await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
      await writeFile(path.join(folder, name), text);
    }
    const prelude = await loadPrelude();
    const entry = path.join(folder, Object.keys(all)[0] ?? "");
    const built = await buildProgram(entry, { preludeHash: prelude.hash, engineHash });
    return { hash: built.hash, bundle: built.bundle, prelude: prelude.text };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Programs by their hash, and images kept in memory. */
export function sources(
  ...programs: readonly TestProgram[]
): ProgramSources & { readonly images: Map<string, Uint8Array> } {
  const images = new Map<string, Uint8Array>();
  return {
    images,
    async source(hash) {
      const found = programs.find((candidate) => candidate.hash === hash);
      if (found === undefined) throw new Error(`There is no program ${hash}.`);
      return found;
    },
    loadImage: async (key) => images.get(key),
    saveImage: (key, encoded) => void images.set(key, encoded),
  };
}

export type MachineFactory = (events: LocalMachineOptions["events"]) => Machine;

/** A machine whose answers are awaited one by one. */
export class TestMachine {
  readonly machine: Machine;
  readonly failures: Error[] = [];
  /** Results in the order they came. */
  readonly results: TurnResult[] = [];
  readonly #turns: ((result: TurnResult) => void)[] = [];
  readonly #snapshots = new Map<ProcessKey, (result: SnapshotResult) => void>();

  constructor(create: MachineFactory) {
    this.machine = create({
      turns: (results) => {
        for (const result of results) {
          this.results.push(result);
          for (const listener of [...this.#turns]) listener(result);
        }
      },
      snapshots: (results) => {
        for (const result of results) this.#snapshots.get(result.process)?.(result);
      },
      failed: (error) => this.failures.push(error),
    });
  }

  run(request: TurnRequest): Promise<TurnOutcome> {
    return new Promise((resolve) => {
      const listener = (result: TurnResult): void => {
        if (result.process !== request.process || result.number !== request.number) return;
        this.#turns.splice(this.#turns.indexOf(listener), 1);
        resolve(result.outcome);
      };
      this.#turns.push(listener);
      this.machine.run([request]);
    });
  }

  snapshot(process: ProcessKey): Promise<SnapshotResult> {
    return new Promise((resolve) => {
      this.#snapshots.set(process, resolve);
      this.machine.snapshot(process);
    });
  }
}

export function localMachine(programs: ProgramSources, options: Partial<LocalMachineOptions> = {}): TestMachine {
  return new TestMachine((events) => createLocalMachine({ engine: engine(), programs, events, ...options }));
}

export type Done = Extract<TurnOutcome, { kind: "done" }>;

export function done(outcome: TurnOutcome): Done {
  if (outcome.kind !== "done") assert.fail(`the turn ended as ${JSON.stringify(outcome)}`);
  return outcome;
}

export interface Exit {
  readonly reason: string;
  readonly value: unknown;
}

/** One process, and the journal a kernel would keep of it. */
export class Process {
  readonly key: ProcessKey;
  readonly journal: Turn[] = [];
  /** All commands of all turns. */
  readonly commands: Command[] = [];
  readonly #machine: TestMachine;
  readonly #program: TestProgram;
  #script = false;
  timeMs = 1_700_000_000_000;

  constructor(machine: TestMachine, program: TestProgram, key: ProcessKey) {
    this.#machine = machine;
    this.#program = program;
    this.key = key;
  }

  request(inputs: readonly Input[], load?: LoadRequest): TurnRequest {
    const { key, timeMs } = this;
    const request = {
      process: key,
      pid: `p${key}`,
      program: this.#program.hash,
      number: this.journal.length + 1,
      timeMs,
      inputs,
      script: this.#script,
    };
    return load === undefined ? request : { ...request, load };
  }

  /** Runs a turn, whatever becomes of it. */
  async attempt(inputs: readonly Input[], load?: LoadRequest): Promise<TurnOutcome> {
    const request = this.request(inputs, load);
    const outcome = await this.#machine.run(request);
    if (outcome.kind === "done") {
      this.journal.push({ number: request.number, timeMs: request.timeMs, inputs, commands: outcome.digests });
      this.commands.push(...outcome.commands);
    }
    return outcome;
  }

  /** Runs a turn that must succeed. Answers its commands. */
  async turn(...inputs: readonly Input[]): Promise<readonly Command[]> {
    return done(await this.attempt(inputs)).commands;
  }

  startInput(entry: string, args: readonly unknown[] = []): Input {
    this.#script = entry === "";
    return {
      kind: "start",
      entry,
      args: encodeValue(args),
      seed: new Uint8Array(32).fill(this.key),
      env: { REGION: "north" },
    };
  }

  start(entry: string, ...args: readonly unknown[]): Promise<readonly Command[]> {
    return this.turn(this.startInput(entry, args));
  }

  /** Starts it, and answers how it ended in its first turn: by an exit, or by a fatal outcome. */
  async ends(entry: string, ...args: readonly unknown[]): Promise<Exit> {
    const outcome = await this.attempt([this.startInput(entry, args)]);
    if (outcome.kind === "fatal") return { reason: outcome.reason, value: outcome.detail };
    done(outcome);
    return this.exit ?? assert.fail(`${entry} did not end; its commands were ${JSON.stringify(this.commands)}`);
  }

  get exit(): Exit | undefined {
    const last = this.commands.at(-1);
    return last?.kind === "exit" ? { reason: last.reason, value: decodeValue(last.value) } : undefined;
  }

  /** The error it exited with. */
  get error(): Error & { readonly code?: string } {
    const value = this.exit?.value;
    return value instanceof Error
      ? value
      : assert.fail(`it did not exit with an error but ${JSON.stringify(this.exit)}`);
  }

  get logs(): string[] {
    return this.commands.flatMap((command) => (command.kind === "log" ? [command.text] : []));
  }

  /** What a kernel would load it with on a machine that does not hold it. */
  load(snapshot?: SnapshotResult): LoadRequest {
    if (snapshot === undefined) return { tail: [...this.journal] };
    const { turn, body } = snapshot;
    return { snapshot: { turn, body }, tail: this.journal.slice(turn) };
  }

  snapshot(): Promise<SnapshotResult> {
    return this.#machine.snapshot(this.key);
  }

  /** Fails unless both memories are the same, bit for bit (but for what the stack's lower half was last used for). */
  async assertSameMemory(other: Process): Promise<void> {
    const [own, others] = [await this.snapshot(), await other.snapshot()];
    assert.equal(own.turn, others.turn);
    assert.ok(Buffer.compare(own.body, others.body) === 0, "the memories differ");
  }

  /** The same process on another machine, with its journal so far. */
  moved(machine: TestMachine): Process {
    const copy = new Process(machine, this.#program, this.key);
    copy.journal.push(...this.journal);
    copy.commands.push(...this.commands);
    copy.timeMs = this.timeMs;
    copy.#script = this.#script;
    return copy;
  }
}

export const message = (body: unknown, from = ""): Input => ({ kind: "message", from, body: encodeValue(body) });
export const resolved = (operation: number, value?: unknown): Input => ({
  kind: "result",
  operation,
  ok: true,
  value: encodeValue(value),
});
export const rejected = (operation: number, error: unknown): Input => ({
  kind: "result",
  operation,
  ok: false,
  value: encodeValue(error),
});
export const timer = (number: number): Input => ({ kind: "timer", timer: number });
export const cancel = (reason: string): Input => ({ kind: "cancel", reason });
