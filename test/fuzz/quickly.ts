/** A short run of each target, as a test. */
import { randomInt } from "node:crypto";
import { test } from "node:test";
import type { Target } from "./targets.ts";

export function quickly(targets: readonly Target[]): void {
  for (const { name, cases, run } of targets) {
    test(name, async (t) => {
      const seed = randomInt(2 ** 31);
      t.diagnostic(`seed ${seed}`);
      await run({ seed, cases });
    });
  }
}
