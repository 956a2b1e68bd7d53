/** What host functions of the benchmarks tell, and whom they wait for. Plain Node, shared with the benchmark's own code. */

/** Called by the host function `step` with the process's label and the number of the step. */
export const hooks: { onStep(label: string, step: number): void | Promise<void> } = { onStep: () => undefined };
