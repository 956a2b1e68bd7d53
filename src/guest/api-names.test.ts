import assert from "node:assert/strict";
import { test } from "node:test";
import { apiNames } from "./api-names.ts";
import * as api from "./api.ts";

test("every run-time export of the perdure API can be imported by a program", () => {
  const names: readonly string[] = apiNames;
  assert.deepEqual(
    Object.keys(api).filter((name) => !names.includes(name)),
    [],
  );
  assert.equal(new Set(names).size, names.length);
});
