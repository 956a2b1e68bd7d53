import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { mutants } from "./mutants.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));

describe("every bug that is to be planted", () => {
  for (const { bug, file, find, replace, checks } of mutants) {
    test(`has its place: ${bug}`, () => {
      const source = readFileSync(join(repository, file), "utf8");
      assert.equal(source.split(find).length - 1, 1, `${file} must contain this once:\n${find}`);
      assert.notEqual(find, replace);
      for (const check of checks) {
        if ("tests" in check) for (const path of check.tests) assert.ok(existsSync(join(repository, path)), path);
      }
      assert.ok(checks.length > 0);
    });
  }

  test("differs from the others", () => {
    assert.equal(new Set(mutants.map(({ bug }) => bug)).size, mutants.length);
  });
});
