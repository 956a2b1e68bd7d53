import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProcessRow } from "../store/port.ts";
import { newestGeneration } from "./generations.ts";

test("the newest of a chain is found whatever its length, in a few looks", async () => {
  for (const length of [0, 1, 2, 3, 4, 5, 7, 8, 9, 100, 1023, 1024, 100_000]) {
    let looks = 0;
    const newest = await newestGeneration((number) => {
      looks++;
      return Promise.resolve(number <= length ? ({ key: number } as ProcessRow) : undefined);
    });
    assert.deepEqual(newest, length === 0 ? undefined : { number: length, row: { key: length } });
    assert.ok(looks <= 2 * Math.log2(length + 1) + 2, `${length}: ${looks} looks`);
  }
});
