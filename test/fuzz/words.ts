/** Fuzzing of what people write: durations, arguments, configurations. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { durationMs } from "../../src/base/duration.ts";
import type { Duration } from "../../src/base/duration.ts";
import { validatePid } from "../../src/base/ids.ts";
import { commandLine, parseArgument } from "../../src/cli/arguments.ts";
import { checkConfig } from "../../src/cli/config.ts";
import { toJson } from "../../src/cli/json-value.ts";
import { cut, oneLine, widthOf } from "../../src/cli/text.ts";
import { survives } from "./case.ts";
import { damagedText } from "./damage.ts";

const duration = fc.constantFrom("250ms", "30s", "1.5 h", "3 days", "1h 30m", "2 weeks 1 d", "10 Minutes");
export const anyDuration: fc.Arbitrary<unknown> = fc.oneof(
  { arbitrary: damagedText(duration), weight: 6 },
  {
    arbitrary: fc
      .array(fc.constantFrom("1", ".", "s", " ", "constructor", "9".repeat(400)), { maxLength: 40 })
      .map((parts) => parts.join("")),
    weight: 2,
  },
  fc.double(),
  fc.constantFrom(null, undefined, {}, [], 5n, true, Symbol.iterator, { toString: 5 }),
);

export function checkDuration(value: unknown): void {
  const ms = survives(["DURATION_INVALID"], () => durationMs(value as Duration));
  assert.ok(ms === undefined || (ms >= 0 && ms < Infinity));
}

const json = fc.json({ maxDepth: 3 });
export const anyWord: fc.Arbitrary<string> = fc.oneof(damagedText(json), fc.string({ unit: "binary" }));

export function checkWord(text: string): void {
  const value = survives([], () => parseArgument(text));
  survives([], () => JSON.stringify(toJson(value)));
  survives([], () => commandLine([text]));
  survives(["ARGUMENT_INVALID"], () => validatePid(text));
  const line = survives([], () => oneLine(text)) ?? "";
  assert.ok(widthOf(cut(line, 10)) <= 10);
}

const config = fc.constant(
  JSON.stringify({
    store: "a.db",
    env: ["TZ"],
    operationConcurrency: 5,
    fetchPolicy: { origins: ["https://example.com"], methods: ["GET"] },
    guestThreads: 2,
    limits: { fuelInterrupts: 5, limits: { memoryBytes: 1 << 24, stackBytes: 1 << 18 }, pool: { instanceBytes: 5 } },
    closeTimeout: "5s",
  }),
);

export const anyConfig: fc.Arbitrary<unknown> = fc.oneof(
  damagedText(config).map((text) => parseArgument(text)),
  fc.record(
    {
      store: fc.anything(),
      env: fc.anything(),
      fetchPolicy: fc.oneof(
        fc.anything(),
        fc.record({ origins: fc.array(fc.string()), methods: fc.array(fc.string()) }),
      ),
      guestThreads: fc.anything(),
      limits: fc.oneof(fc.anything(), fc.record({ limits: fc.anything(), pool: fc.anything() })),
      closeTimeout: fc.anything(),
    },
    { requiredKeys: [] },
  ),
);

export function checkAnyConfig(value: unknown): void {
  survives(["CONFIG_INVALID"], () => checkConfig("perdure.config.ts", value));
}
