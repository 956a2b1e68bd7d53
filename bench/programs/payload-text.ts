/** Shared by the host functions of `payload.ts` and the benchmark's own code. */

/** What each operation gives. */
export const payloadText: string = "A receipt of some sixty-four characters: r-0123456789-0123456789";

export const gates: { pass(which: "in" | "out"): Promise<void> } = { pass: async () => undefined };
