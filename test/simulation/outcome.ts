/** Whether a run that was disturbed came to what it comes to when nothing disturbs it. */
import { decodeValue } from "../../src/base/value.ts";
import type { Pid } from "../../src/journal/types.ts";
import type { ProcessExit } from "../../src/store/port.ts";
import { exitValue } from "./ending.ts";
import type { Deed } from "./outside.ts";
import { endsOf, seen, uncertain } from "./program.ts";
import type { Program } from "./program.ts";

export interface Outcome {
  readonly programs: ReadonlyMap<Pid, Program>;
  /** Of processes that came to their end, and that nobody killed or cancelled. */
  readonly ends: ReadonlyMap<Pid, ProcessExit>;
  readonly deeds: readonly Deed[];
}

/** What differs; undefined if nothing does. Only what does not hang on the timing is compared. */
export function compareOutcomes(disturbed: Outcome, undisturbed: Outcome): string | undefined {
  for (const program of disturbed.programs.values()) {
    const problem = compareEnds(program, disturbed, undisturbed);
    if (problem !== undefined) return `${program.pid} ${problem}`;
  }
  return undefined;
}

function compareEnds(program: Program, disturbed: Outcome, undisturbed: Outcome): string | undefined {
  const { pid } = program;
  const [actual, expected] = [seenBy(disturbed, pid), seenBy(undisturbed, pid)];
  // With a step that ends the process, whatever runs beside it may or may not have come so far.
  if (actual === undefined || expected === undefined || endsOf(program).exits.size > 0) return undefined;
  const { alternatives } = endsOf(program);
  const isSame =
    actual.length === expected.length &&
    actual.every((what, index) => what === expected[index] || what === alternatives.get(index));
  if (!isSame) return `has seen [${actual.join("; ")}], and undisturbed it saw [${expected.join("; ")}]`;
  return compareEffects(program, actual, disturbed, undisturbed);
}

/** What its main saw, if it came to the end of it. */
function seenBy({ ends }: Outcome, pid: Pid): readonly string[] | undefined {
  const exit = ends.get(pid);
  const value = exit?.reason === "normal" ? exitValue(decodeValue(exit.value)) : undefined;
  return value?.site === 0 ? value.seen : undefined;
}

/** Of operations whose outcome it saw: what lost a race, or ran beside main, may have been cut off. */
function compareEffects(
  { pid, operations }: Program,
  actual: readonly string[],
  disturbed: Outcome,
  undisturbed: Outcome,
): string | undefined {
  const [here, there] = [effectsOf(disturbed, pid), effectsOf(undisturbed, pid)];
  for (const { site, mode, ok } of operations.values()) {
    for (let occurrence = 1; ; occurrence++) {
      const prefix = seen.operation(site, occurrence, ok, "");
      if (!actual.some((what) => what.startsWith(prefix) && !what.endsWith(uncertain))) break;
      const key = `${site}.${occurrence}`;
      const [now, then] = [here.get(key) ?? 0, there.get(key) ?? 0];
      const isSame = mode === "at-least-once" ? now > 0 === then > 0 : now === then;
      if (!isSame && !hasRepeated(disturbed, mode))
        return `did operation ${key} (${mode}) ${now} times, and undisturbed ${then} times`;
    }
  }
  return undefined;
}

/** Where a clock was set forward, the outside may have been asked too early; it is counted there. */
function hasRepeated({ deeds }: Outcome, mode: string): boolean {
  return mode === "reconciled" && deeds.some(({ step, effects }) => step.mode === mode && effects > 1);
}

function effectsOf({ deeds }: Outcome, pid: Pid): Map<string, number> {
  const effects = new Map<string, number>();
  for (const deed of deeds) {
    const key = `${deed.step.site}.${deed.occurrence}`;
    if (deed.pid === pid) effects.set(key, (effects.get(key) ?? 0) + deed.effects);
  }
  return effects;
}
