/** A bug that is planted on purpose, to see that it is caught. */
export interface Mutant {
  /** The bug, in words. */
  readonly bug: string;
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** Tried in this order until one of them fails. */
  readonly checks: readonly Check[];
}

export type Check =
  /** Runs of one kind of the simulator, from seed 1. */
  | { readonly simulate: "steps" | "trees"; readonly seeds: number }
  /** Test files, or only the tests whose name matches. */
  | { readonly tests: readonly string[]; readonly only?: string };

export function nameOf(check: Check): string {
  if ("simulate" in check) return `simulator, ${check.seeds} runs of ${check.simulate}`;
  return check.tests.join(" ") + (check.only === undefined ? "" : ` (${check.only})`);
}

export const steps: Check = { simulate: "steps", seeds: 400 };
export const trees: Check = { simulate: "trees", seeds: 300 };

export function tests(...files: readonly string[]): Check {
  return { tests: files };
}
