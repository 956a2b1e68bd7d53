/**
 * One machine for all cases and all their nodes, so that the program's image is made once. Every node gets a share of it, with
 * process numbers of its own.
 */
import { compileEngine, engineHash, readEngineBinary } from "../../../src/machine/engine-binary.ts";
import { createLocalMachine } from "../../../src/machine/local.ts";
import type { Machine, MachineEvents } from "../../../src/machine/port.ts";
import { buildProgram, loadPrelude } from "../../../src/program/index.ts";

/** More processes than any case has. */
const keysPerShare = 2 ** 24;
/** What a turn is said to cost, in µs: enough for a snapshot now and then. */
const turnMicros = 600;

export interface Share extends Machine {
  /** Turns that are with the machine. */
  readonly busy: boolean;
  /** The node is gone: nothing more is heard of its processes. */
  end(): void;
}

export class Machines {
  /** Hash of the guest's program. */
  readonly program: string;
  readonly #machine: Machine;
  readonly #shares = new Map<number, MachineEvents>();
  /** The processes of each share, by their numbers in it. */
  readonly #keys: number[][] = [];
  #count = 0;

  private constructor(program: string, source: { readonly bundle: string; readonly prelude: string }) {
    this.program = program;
    const images = new Map<string, Uint8Array>();
    let micros = 0;
    this.#machine = createLocalMachine({
      engine: compileEngine(readEngineBinary()),
      programs: {
        source: async () => source,
        loadImage: async (key) => images.get(key),
        saveImage: (key, encoded) => void images.set(key, encoded),
      },
      stopwatchMicros: () => (micros += turnMicros),
      events: {
        turns: (results) => this.#tell(results, "turns"),
        snapshots: (results) => this.#tell(results, "snapshots"),
        failed: (error) => {
          for (const events of this.#shares.values()) events.failed(error);
        },
      },
    });
  }

  /** With the program in `file` (an absolute path). */
  static async open(file: string): Promise<Machines> {
    const prelude = await loadPrelude();
    const { hash, bundle } = await buildProgram(file, { preludeHash: prelude.hash, engineHash });
    return new Machines(hash, { bundle, prelude: prelude.text });
  }

  /** Each result goes to the share whose process it is about, under the number it knows. */
  #tell<K extends "turns" | "snapshots">(results: Parameters<MachineEvents[K]>[0], kind: K): void {
    for (const result of results) {
      const share = Math.floor(result.process / keysPerShare);
      const process = this.#keys[share]?.[result.process % keysPerShare];
      (this.#shares.get(share)?.[kind] as ((results: readonly unknown[]) => void) | undefined)?.([
        { ...result, process },
      ]);
    }
  }

  share(events: MachineEvents): Share {
    const machine = this.#machine;
    const number = ++this.#count;
    const keys: number[] = (this.#keys[number] = []);
    const numbers = new Map<number, number>();
    const outer = (process: number): number => {
      const own = numbers.get(process) ?? keys.push(process) - 1;
      numbers.set(process, own);
      return number * keysPerShare + own;
    };
    const known = new Set<number>();
    let running = 0;
    let ended = false;
    this.#shares.set(number, {
      ...events,
      turns: (results) => {
        running -= results.length;
        events.turns(results);
      },
    });
    const drop = (process: number): void => {
      known.delete(process);
      machine.drop(outer(process));
    };
    const end = (): void => {
      ended = true;
      this.#shares.delete(number);
      for (const process of [...known]) drop(process);
      running = 0;
    };
    return {
      get busy() {
        return running > 0;
      },
      run: (requests) => {
        if (ended) return;
        running += requests.length;
        for (const { process } of requests) known.add(process);
        machine.run(requests.map((request) => ({ ...request, process: outer(request.process) })));
      },
      query: (request) => machine.query({ ...request, process: outer(request.process) }),
      snapshot: (process) => machine.snapshot(outer(process)),
      kill: (process) => machine.kill(outer(process)),
      drop,
      close: async () => undefined,
      end,
    };
  }
}
