import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { childPid, keyedPid, newPid, validatePid } from "./ids.ts";

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
    "@a",
  ];
  for (const id of [...refused, undefined, null, 5, {}] as string[]) {
    const name = typeof id === "string" ? JSON.stringify(id.slice(0, 20)) : String(id);
    test(`refuses ${name} as ARGUMENT_INVALID`, () => {
      assert.throws(() => validatePid(id), { code: "ARGUMENT_INVALID", message: /process id: .*Use 1 to 200/ });
    });
  }
});

test("a child's pid follows from its parent's, its life and its number, and looks like any other", () => {
  const pids = [childPid("a", 1, 1), childPid("b", 1, 1), childPid("a", 2, 1), childPid("a", 1, 2)];
  assert.equal(new Set(pids).size, 4);
  assert.equal(childPid("a", 1, 1), pids[0]);
  for (const pid of pids) assert.match(pid, /^[0-9a-hjkmnp-tv-z]{20}$/);
});

describe("keyedPid", () => {
  test("can be read", () => {
    assert.equal(keyedPid("Cart", "customer-17", 1), "Cart:customer-17");
    assert.equal(keyedPid("lib/cart.ts#Cart", "a b", 3), "lib%2F;cart.ts#Cart:a b~3");
  });

  const keys = [
    "",
    " ",
    "a",
    "a/b",
    "a%2F;b",
    "~2",
    "a:b",
    "\ud800",
    "\ufffd1",
    "x\n",
    ".",
    "😀".repeat(100),
    "x".repeat(300),
    "x".repeat(301),
  ];
  const all = ["A", "A:a", "lib/a.ts#A", "@lib/a.ts#A"].flatMap((entry) =>
    keys.flatMap((key) => [1, 2].map((n) => keyedPid(entry, key, n))),
  );

  test("is always a valid id", () => all.forEach((id) => validatePid(id)));
  test("differs for different entries, keys and generations", () => assert.equal(new Set(all).size, all.length));
});
