import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { durationMs } from "./duration.ts";

describe("durationMs", () => {
  const lengths: readonly (readonly [string | number, number])[] = [
    [0, 0],
    [1.5, 1.5],
    ["0s", 0],
    ["250ms", 250],
    ["30s", 30_000],
    ["30 seconds", 30_000],
    ["1.5 h", 5_400_000],
    ["90 min", 5_400_000],
    ["1h 30m", 5_400_000],
    ["1h30m", 5_400_000],
    ["3 days", 259_200_000],
    ["1 Week", 604_800_000],
    [" 2 m ", 120_000],
  ];
  for (const [duration, ms] of lengths) {
    test(`reads ${JSON.stringify(duration)} as ${ms} ms`, () => assert.equal(durationMs(duration), ms));
  }

  const refused = [
    -1,
    NaN,
    Infinity,
    "",
    " ",
    "5",
    "s",
    "5 parsecs",
    "-5s",
    "5s!",
    "1h and 30m",
    "constructor",
    "1 constructor",
    "1e3s",
  ];
  for (const duration of [...refused, null, undefined, {}] as string[]) {
    test(`refuses ${JSON.stringify({ duration })} as DURATION_INVALID`, () => {
      assert.throws(() => durationMs(duration), { code: "DURATION_INVALID", message: /Cannot read .* as a duration/ });
    });
  }
});
