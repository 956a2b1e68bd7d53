import assert from "node:assert/strict";
import { test } from "node:test";
import { crashOf, problemOf } from "./ties.ts";
import type { Crash } from "./ties.ts";

test("a crashed process's row says what made it fail, what was set aside, and who had asked for that", () => {
  const crashes: readonly Crash[] = [
    { culprit: "timer", aside: undefined, sender: "" },
    { culprit: "message", aside: 0, sender: "" },
    { culprit: "result", aside: 3_000_000_017, sender: "" },
    { culprit: "message", aside: 0, sender: "@key:0123, asked for at @somebody\nelse" },
  ];
  for (const crash of crashes) assert.deepEqual(crashOf({ problem: problemOf(crash) }), crash);
});
