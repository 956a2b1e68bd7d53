import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { edgeAddress, readEdgeAddress, validateEdgeKey } from "./edge-key.ts";

const digest = "0123456789abcdef0123456789abcdef";

test("every key that is accepted comes back out of its address", () => {
  let accepted = 0;
  fc.assert(
    fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 200 }), (key) => {
      try {
        validateEdgeKey(key);
      } catch {
        assert.equal(readEdgeAddress(edgeAddress({ digest, key })), undefined);
        return;
      }
      accepted++;
      assert.deepEqual(readEdgeAddress(edgeAddress({ digest, key })), { digest, key });
    }),
  );
  assert.ok(accepted > 0);
  for (const key of ["a:b", ":", "@key:x", " ", "ключ ☂", "x".repeat(200)]) {
    assert.deepEqual(readEdgeAddress(edgeAddress({ digest, key })), { digest, key });
  }
});

test("a key is refused by what is wrong with it", () => {
  const reasons: readonly (readonly [unknown, RegExp])[] = [
    ["", /^"" cannot be a key: it is empty\. Use 1 to 200/],
    ["x".repeat(201), /^"x{60}…" cannot be a key: it has 201 characters/],
    ["a\nb", /^"a\\nb" cannot be a key: it holds a character that does not print/],
    ["\ud800", /does not print/],
    [7, /^a number cannot be a key: it is not a string/],
  ];
  for (const [key, message] of reasons) {
    assert.throws(() => validateEdgeKey(key as string), { code: "ARGUMENT_INVALID", message });
  }
});

test("what only looks like an address is none", () => {
  const others = ["", "p1", "@x.1", `@key:${digest}`, `@key:${digest}:`, `@key:${digest.toUpperCase()}:a`];
  for (const other of [...others, `@key:${digest}x:a`, `@key:short:a`, `@key:${digest}.a`, ` @key:${digest}:a`]) {
    assert.equal(readEdgeAddress(other), undefined, other);
  }
});
