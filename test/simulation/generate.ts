/** Draws the programs of one run. */
import type { TimerClock } from "../../src/journal/types.ts";
import type { Dice } from "./dice.ts";
import { drawOperation, streamOf } from "./program.ts";
import type { OperationStep, Program, Step } from "./program.ts";

/** What a run's programs are made of; each run leans to some kinds of step. */
type Leaning = Readonly<Record<Step["kind"], number>>;

/** Whoever has a key for each message asks until it is acknowledged, of a node or by the command line. */
export const keyedStream = "keyed caller";
export const commandLineStream = "command line";

/** Streams from outside that processes may receive from. */
export const outsideStreams: readonly string[] = ["caller a", "caller b", keyedStream, commandLineStream];

const maxDepth = 2;

/** `canAbort`: whether programs can take back an operation alone. */
export function generatePrograms(dice: Dice, canAbort: boolean): Program[] {
  const count = dice.pick([1, 1, 2, 2, 3, 3, 4, 5, 6]);
  const pids = Array.from({ length: count }, (_, index) => `p${index + 1}`);
  const leaning = lean(dice);
  const killers = dice.chance(0.1);
  const drafts = pids.map((pid) => new Draft(dice, pid, pids, { leaning, killers, canAbort }));
  wire(dice, drafts);
  return drafts.map((draft) => draft.program);
}

function lean(dice: Dice): Leaning {
  const weight = (usual: number): number => usual * dice.pick([0.2, 1, 1, 3]);
  return {
    operation: weight(6),
    log: weight(2),
    sleep: weight(3),
    send: weight(4),
    receive: weight(4),
    race: weight(1),
    loop: weight(1),
    parallel: weight(2),
    detach: weight(0.7),
    exit: weight(0.25),
  };
}

interface Manner {
  readonly leaning: Leaning;
  readonly killers: boolean;
  readonly canAbort: boolean;
}

class Draft {
  readonly #dice: Dice;
  readonly #pids: readonly string[];
  readonly #leaning: Leaning;
  readonly #killers: boolean;
  readonly #canAbort: boolean;
  readonly #blocks: Step[][] = [];
  readonly #operations = new Map<number, OperationStep>();
  #sites = 0;
  readonly program: Program;
  /** Receives whose stream is still open, and how often each runs. */
  readonly receives: { readonly step: Extract<Step, { kind: "receive" }>; readonly times: number }[] = [];
  /** How many messages it sends to whom. */
  readonly sends = new Map<string, number>();

  constructor(dice: Dice, pid: string, pids: readonly string[], manner: Manner) {
    this.#dice = dice;
    this.#pids = pids;
    this.#leaning = manner.leaning;
    this.#killers = manner.killers;
    this.#canAbort = manner.canAbort;
    const main = this.#block(dice.int(1, 7), 0, 1);
    const cleanup = dice.chance(0.5) ? this.#add([this.#operation()]) : this.#add([]);
    this.program = { pid, blocks: this.#blocks, main, cleanup, operations: this.#operations };
  }

  #add(steps: Step[]): number {
    this.#blocks.push(steps);
    return this.#blocks.length - 1;
  }

  #block(length: number, depth: number, times: number): number {
    const steps: Step[] = [];
    for (let i = 0; i < length; i++) {
      const step = this.#step(depth, times);
      steps.push(step);
      if (step.kind === "exit") break;
    }
    return this.#add(steps);
  }

  #step(depth: number, times: number): Step {
    const dice = this.#dice;
    const deep = depth >= maxDepth;
    // What is detached in a loop would count occurrences side by side.
    const leaning = {
      ...this.#leaning,
      ...(deep ? { loop: 0, parallel: 0 } : {}),
      ...(deep || times > 1 ? { detach: 0 } : {}),
    };
    const kind = dice.weighted(leaning);
    switch (kind) {
      case "operation":
        return this.#operation();
      case "log":
        return { kind, text: `${this.#pids.length}.${++this.#sites}` };
      case "sleep":
        return { kind, clock: this.#clock(), delayMs: this.#delayMs() };
      case "send": {
        const to = dice.pick(this.#pids);
        this.sends.set(to, (this.sends.get(to) ?? 0) + times);
        return { kind, to };
      }
      case "receive": {
        const step = { kind, stream: "" } as const satisfies Step;
        this.receives.push({ step, times });
        return step;
      }
      case "race":
        return {
          kind,
          operation: this.#operation(),
          clock: this.#clock(),
          delayMs: this.#delayMs(),
          abandons: !this.#canAbort || dice.chance(0.3),
        };
      case "loop": {
        const loops = dice.int(2, 4);
        return { kind, times: loops, block: this.#block(dice.int(1, 2), depth + 1, times * loops) };
      }
      case "parallel": {
        const blocks = Array.from({ length: dice.int(2, 4) }, () => this.#block(dice.int(1, 3), depth + 1, times));
        return { kind, blocks };
      }
      case "detach":
        return { kind, block: this.#block(dice.int(1, 3), depth + 1, times) };
      case "exit":
        return { kind, site: ++this.#sites, reason: dice.chance(0.5) ? "normal" : "error" };
    }
  }

  #operation(): OperationStep {
    const dice = this.#dice;
    const drawn = drawOperation(dice, ++this.#sites);
    const isPlain = drawn.mode === "at-least-once" && !drawn.keyed;
    const step: OperationStep = {
      ...drawn,
      unavailable: isPlain && dice.chance(0.05),
      killer: this.#killers && isPlain && dice.chance(0.15),
    };
    this.#operations.set(step.site, step);
    return step;
  }

  #clock(): TimerClock {
    return this.#dice.chance(0.5) ? "wall" : "service";
  }

  #delayMs(): number {
    // Beyond five minutes the kernel does not hold a timer in memory.
    return this.#dice.chance(0.04) ? this.#dice.int(280_000, 700_000) : this.#dice.delay(0, 1_500);
  }
}

/** Gives every receive a stream that has enough messages to come, where there is one. */
function wire(dice: Dice, drafts: readonly Draft[]): void {
  for (const { program, receives } of drafts) {
    const left = new Map<string, number>();
    for (const { program: sender, sends } of drafts) left.set(streamOf(sender.pid), sends.get(program.pid) ?? 0);
    for (const { step, times } of receives) {
      const supplied = [...left].filter(([, count]) => count >= times);
      if (supplied.length === 0 || dice.chance(0.3)) {
        step.stream = dice.pick(outsideStreams);
        continue;
      }
      const [stream, count] = dice.pick(supplied);
      left.set(stream, count - times);
      step.stream = stream;
    }
  }
}
