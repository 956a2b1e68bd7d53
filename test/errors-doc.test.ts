import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { errorCodes } from "../src/base/errors.ts";

const page = readFileSync(new URL("../docs/errors.md", import.meta.url), "utf8");
const [, ...sections] = page.split(/^## /m);
const titleOf = (section: string) => section.slice(0, section.indexOf("\n"));

describe("docs/errors.md", () => {
  test("has exactly one section for each code, in the order of the catalogue", () => {
    assert.deepStrictEqual(sections.map(titleOf), Object.keys(errorCodes));
  });

  for (const section of sections) {
    test(`says of ${titleOf(section)} what happened and what to do, once and in this order`, () => {
      const parts = /^[A-Z_]+\n\n\*\*What happened\.\*\* (.+)\n\n\*\*What to do\.\*\* (.+)\n*$/s.exec(section);
      assert.ok(parts !== null, section);
      for (const part of parts.slice(1)) {
        assert.doesNotMatch(part, /\*\*What/);
        assert.ok(part.length >= 20 && /[.:)]$/.test(part.trim()), part);
      }
    });
  }

  test("names no code that does not exist", () => {
    const groups = new Set(Object.keys(errorCodes).map((code) => code.split("_")[0]));
    for (const [code] of page.matchAll(/\b[A-Z]+(?:_[A-Z]+)+\b/g)) {
      if (groups.has(code.split("_")[0])) assert.ok(code in errorCodes, code);
    }
  });
});
