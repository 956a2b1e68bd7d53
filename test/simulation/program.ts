/**
 * The programs that simulated processes run: small trees of steps. Whatever the timing, the same inputs lead to the same
 * end, so that a run with faults can be held against one without: a receive names the stream it takes from, an operation's
 * outcome belongs to its place in the program, and what a race decides is not looked at.
 */
import type { TimerClock } from "../../src/journal/types.ts";
import type { Dice } from "./dice.ts";

/** An operation as a place in a program calls it; each time it gives what it gave before. */
export interface OperationStep {
  readonly kind: "operation";
  readonly site: number;
  readonly mode: "at-least-once" | "at-most-once" | "reconciled" | "transactional";
  /** Never two with one key, see `keyOf`, at once on a node. */
  readonly keyed: boolean;
  /** Whoever it is done to knows its key, and does it once however often it is asked to. */
  readonly deduplicates: boolean;
  /** How many attempts throw before one does not. None of an at-most-once operation does. */
  readonly failures: number;
  /** Whether it gives a value in the end, or an error. */
  readonly ok: boolean;
  /** Only every other node has it deployed. */
  readonly unavailable: boolean;
  /** Kills the node that runs it, until a person has looked at it. */
  readonly killer: boolean;
}

export type Step =
  | OperationStep
  | { readonly kind: "log"; readonly text: string }
  | { readonly kind: "sleep"; readonly clock: TimerClock; readonly delayMs: number }
  | { readonly kind: "send"; readonly to: string }
  /** Takes the next message of one sender. */
  | { readonly kind: "receive"; stream: string }
  /** An operation against a timer: the first to end takes the other one back, unless the operation is left to itself. */
  | {
      readonly kind: "race";
      readonly operation: OperationStep;
      readonly clock: TimerClock;
      readonly delayMs: number;
      readonly abandons: boolean;
    }
  | { readonly kind: "loop"; readonly times: number; readonly block: number }
  /** Runs its branches at once and goes on when all have ended. */
  | { readonly kind: "parallel"; readonly blocks: readonly number[] }
  /** Runs a branch beside everything else; the process does not wait for it. */
  | { readonly kind: "detach"; readonly block: number }
  /** Ends the process, wherever it stands. */
  | { readonly kind: "exit"; readonly site: number; readonly reason: "normal" | "error" };

export interface Program {
  readonly pid: string;
  readonly blocks: readonly (readonly Step[])[];
  /** Block of the entry. */
  readonly main: number;
  /** Block that runs after a cancel. */
  readonly cleanup: number;
  readonly operations: ReadonlyMap<number, OperationStep>;
}

/** What a process remembers of a step; its exit value is the list of them, in the order of its text. */
export type Seen = string;

export const seen = {
  operation: (site: number, occurrence: number, ok: boolean, value: string): Seen =>
    `operation ${site}.${occurrence} ${ok ? "gave" : "threw"} ${value}`,
  message: (stream: string): Seen => `message from ${stream}`,
  sleep: "slept",
  race: (site: number): Seen => `race ${site}`,
};

/** What the process calls it, as a bundled program does. */
export function operationName(step: OperationStep): string {
  return `host.ts#${hostFunctionOf(step)}`;
}

/** The export of the host's module that does it. */
export function hostFunctionOf({
  mode,
  unavailable,
  keyed,
}: Pick<OperationStep, "mode" | "unavailable" | "keyed">): HostFunctionName {
  if (unavailable) return "rare";
  if (keyed) return "keyed";
  const words = {
    "at-least-once": "atLeastOnce",
    "at-most-once": "atMostOnce",
    reconciled: "reconciled",
    transactional: "transactional",
  } as const;
  return words[mode];
}

export function keyOf(site: number): string {
  return site % 2 === 0 ? "even" : "odd";
}

export type HostFunctionName = "atLeastOnce" | "atMostOnce" | "reconciled" | "transactional" | "keyed" | "rare";

/** Operations of all kinds. */
export function drawOperation(dice: Dice, site: number): OperationStep {
  const mode = dice.weighted({
    "at-least-once": 0.4,
    "at-most-once": 0.25,
    reconciled: 0.2,
    transactional: 0.15,
  });
  return {
    kind: "operation",
    site,
    mode,
    deduplicates: dice.chance(0.3),
    keyed: mode === "at-least-once" && dice.chance(0.3),
    failures: (mode === "at-least-once" || mode === "reconciled") && dice.chance(0.3) ? dice.int(1, 3) : 0,
    ok: dice.chance(0.85),
    unavailable: false,
    killer: false,
  };
}

/** An outcome as a process remembers it. */
export function textOf(value: unknown): string {
  if (!(value instanceof Error)) return String(value);
  return value.name === "UncertainOperationError" ? uncertain : value.message;
}

/** What an operation gives, or throws, in the end. */
export function outcomeValue(site: number, occurrence: number): string {
  return `value ${site}.${occurrence}`;
}

/** Thrown where nobody can know whether an at-most-once operation happened. */
export const uncertain = "uncertain";

/** The stream of what one process sends to another. */
export function streamOf(pid: string): string {
  return `from ${pid}`;
}

interface Expected {
  /** What main sees if it comes to its end. `undefined` beyond a step that ends the process. */
  readonly seen: Seen[];
  readonly alternatives: Map<number, Seen>;
  ends: boolean;
  readonly exits: Map<number, "normal" | "error">;
}

/** How a process may end by itself. */
export interface Ends {
  /** What it has seen when main comes to its end; undefined if it cannot. */
  readonly main: readonly Seen[] | undefined;
  /** What may stand instead, by index: nobody may know what became of an at-most-once operation. */
  readonly alternatives: ReadonlyMap<number, Seen>;
  /** Steps that may end it, by site. */
  readonly exits: ReadonlyMap<number, "normal" | "error">;
}

/** The undisturbed run, by reading the program. */
export function endsOf(program: Program): Ends {
  const expected: Expected = { seen: [], alternatives: new Map(), ends: false, exits: new Map() };
  walk(program, program.main, expected, new Map());
  return {
    main: expected.ends ? undefined : expected.seen,
    alternatives: expected.alternatives,
    exits: expected.exits,
  };
}

function walk(program: Program, block: number, expected: Expected, occurrences: Map<number, number>): void {
  for (const step of program.blocks[block] ?? []) {
    if (expected.ends) return;
    switch (step.kind) {
      case "operation": {
        const occurrence = (occurrences.get(step.site) ?? 0) + 1;
        occurrences.set(step.site, occurrence);
        if (step.mode === "at-most-once") {
          expected.alternatives.set(expected.seen.length, seen.operation(step.site, occurrence, false, uncertain));
        }
        expected.seen.push(seen.operation(step.site, occurrence, step.ok, outcomeValue(step.site, occurrence)));
        break;
      }
      case "sleep":
        expected.seen.push(seen.sleep);
        break;
      case "receive":
        expected.seen.push(seen.message(step.stream));
        break;
      case "race":
        expected.seen.push(seen.race(step.operation.site));
        break;
      case "loop":
        for (let i = 0; i < step.times && !expected.ends; i++) walk(program, step.block, expected, occurrences);
        break;
      case "parallel": {
        // Its branches are begun one by one, but the end of one is not the end of those begun before it.
        let ends = false;
        for (const branch of step.blocks) {
          walk(program, branch, expected, occurrences);
          ends ||= expected.ends;
          expected.ends = false;
        }
        expected.ends = ends;
        break;
      }
      case "detach": {
        const beside: Expected = { ...expected, seen: [], alternatives: new Map(), ends: false };
        walk(program, step.block, beside, new Map());
        break;
      }
      case "exit":
        expected.exits.set(step.site, step.reason);
        expected.ends = true;
        break;
      case "log":
      case "send":
        break;
    }
  }
}
