import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { newPid, validatePid } from "./ids.ts";

const constant = (byte: number) => ({ bytes: (length: number) => new Uint8Array(length).fill(byte) });

describe("newPid", () => {
  test("is 20 characters of Crockford's base 32 in lower case", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 13, maxLength: 13 }), (bytes) => {
        const id = newPid({ bytes: (length) => bytes.slice(0, length) });
        assert.match(id, /^[0-9a-hjkmnp-tv-z]{20}$/);
        validatePid(id);
      }),
    );
    assert.equal(newPid(constant(0)), "0".repeat(20));
    assert.equal(newPid(constant(255)), "z".repeat(20));
  });

  test("says all of its 100 random bits", () => {
    const seen = new Set<string>();
    for (let bit = 0; bit < 100; bit++) {
      const bytes = new Uint8Array(13);
      bytes[bit >> 3] = 0x80 >> (bit & 7);
      seen.add(newPid({ bytes: () => bytes }));
    }
    assert.equal(seen.size, 100);
  });
});

describe("validatePid", () => {
  for (const id of ["a", "order-1042", "Bestellung 7", "a.b:c_d@e#f", "日本-語", "x".repeat(200), "...", "😀"]) {
    test(`takes ${JSON.stringify(id.slice(0, 20))}`, () => validatePid(id));
  }
  const refused = [
    "",
    "x".repeat(201),
    "a/b",
    " a",
    "a ",
    "a\n",
    "a\0b",
    "\u202ea",
    "a\u2028b",
    "\ud800",
    "\u00a0a",
    ".",
    "..",
  ];
  for (const id of [...refused, undefined, null, 5, {}] as string[]) {
    const name = typeof id === "string" ? JSON.stringify(id.slice(0, 20)) : String(id);
    test(`refuses ${name} as ARGUMENT_INVALID`, () => {
      assert.throws(() => validatePid(id), { code: "ARGUMENT_INVALID", message: /process id: .*Use 1 to 200/ });
    });
  }
});
