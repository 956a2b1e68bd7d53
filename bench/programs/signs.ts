/** What processes of the benchmarks tell their node. Plain Node, shared with the benchmark's own code. */

/** Called by the host function `sign`. */
export const signs: { on(what: string, pid: string): void } = { on: () => undefined };
