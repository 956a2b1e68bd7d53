import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseCase } from "./format.ts";
import type { ExpectedEvent, Outcome } from "./format.ts";
import { tidy } from "./model-events.ts";
import { Model } from "./model.ts";

const folder = fileURLToPath(new URL("cases/", import.meta.url));

/** Lanes in an order of their own: they have none. */
function sorted(events: readonly ExpectedEvent[]): readonly ExpectedEvent[] {
  const text = (lane: unknown): string => JSON.stringify(lane);
  return events.map((event) => {
    if (event.ev !== "parallel") return event;
    const lanes = event.lanes.map(sorted).toSorted((a, b) => (text(a) < text(b) ? -1 : 1));
    return { ...event, lanes };
  });
}

function check(actual: Outcome<ExpectedEvent>, expected: Outcome<ExpectedEvent>): void {
  const { events, result, results, skipped, tree } = expected;
  const wanted = { events: sorted(tidy(events)), result, results, skipped, tree };
  assert.deepEqual(
    { result: undefined, results: undefined, skipped: undefined, ...actual, events: sorted(actual.events) },
    wanted,
  );
}

describe("the model does what the supervisor of Erlang/OTP did", () => {
  for (const file of readdirSync(folder)) {
    test(file, () => {
      const { root, start, steps } = parseCase(readFileSync(folder + file, "utf8"));
      const model = new Model();
      check(model.start(root), start);
      for (const { action, ...expected } of steps) check(model.act(action), expected);
    });
  }
});
