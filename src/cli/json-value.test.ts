import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { errorToJson, toJson } from "./json-value.ts";

/** JSON's writer makes a plain zero of it, wherever it stands. */
function holdsNegativeZero(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return Object.is(value, -0);
  return Object.values(value).some(holdsNegativeZero);
}

test("what JSON has stays what it is", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      // The two things JSON's own reader can make that its writer cannot, or that would be taken for something else.
      const text = JSON.stringify(value);
      fc.pre(!text.includes('"$') && !/-0(?![.\d])/.test(text) && !holdsNegativeZero(value));
      assert.deepEqual(JSON.parse(JSON.stringify(toJson(value))), JSON.parse(text));
    }),
  );
});

const withHole: unknown[] = [1];
withHole[2] = undefined;

test("what JSON does not have is an object with one key that begins with a dollar sign", () => {
  const cases: readonly (readonly [unknown, unknown])[] = [
    [undefined, { $undefined: true }],
    [Number.NaN, { $number: "NaN" }],
    [Infinity, { $number: "Infinity" }],
    [-Infinity, { $number: "-Infinity" }],
    [-0, { $number: "-0" }],
    [12n, { $bigint: "12" }],
    [new Date(0), { $date: "1970-01-01T00:00:00.000Z" }],
    [new Date(Number.NaN), { $date: null }],
    [/a+/gi, { $regexp: ["a+", "gi"] }],
    [new Map([["a", undefined]]), { $map: [["a", { $undefined: true }]] }],
    [new Set([1, 2n]), { $set: [1, { $bigint: "2" }] }],
    [new Uint8Array([1, 2]), { $bytes: "AQI=", type: "Uint8Array" }],
    [new Uint16Array([1, 2]).subarray(1), { $bytes: "AgA=", type: "Uint16Array" }],
    [new Uint8Array([3]).buffer, { $bytes: "Aw==", type: "ArrayBuffer" }],
    [Object(5), { $boxed: 5 }],
    [withHole, [1, { $hole: true }, { $undefined: true }]],
    [{ a: undefined, b: 1 }, { b: 1 }],
    [{ $a: 1 }, { $object: { $a: 1 } }],
  ];
  for (const [value, expected] of cases) assert.deepEqual(toJson(value), expected);
});

test("a value within itself is cut off where it comes again; one that is merely shared is not", () => {
  const cycle: Record<string, unknown> = { name: "x" };
  cycle["self"] = [cycle];
  assert.deepEqual(toJson(cycle), { name: "x", self: [{ $circular: true }] });
  const shared = { a: 1 };
  assert.deepEqual(toJson([shared, shared]), [{ a: 1 }, { a: 1 }]);
});

test("depth has an end", () => {
  let deep: unknown = 1;
  for (let level = 0; level < 100_000; level++) deep = [deep];
  assert.match(JSON.stringify(toJson(deep)), /\{"\$deep":true\}/);
});

test("the key __proto__ is a key", () => {
  const value: unknown = JSON.parse('{"__proto__": 1}');
  assert.equal(JSON.stringify(toJson(value)), '{"__proto__":1}');
});

test("an error shows its name, message, stack with its first line, cause and own fields", () => {
  const error = Object.assign(new TypeError("no", { cause: 404 }), { code: "E_NO" });
  error.stack = "    at order (app.ts:3:5)";
  const fields = {
    name: "TypeError",
    message: "no",
    stack: "TypeError: no\n    at order (app.ts:3:5)",
    cause: 404,
    code: "E_NO",
  };
  assert.deepEqual(errorToJson(error), fields);
  assert.deepEqual(toJson([error]), [{ $error: fields }]);
});

test("what was thrown and is no error is shown as thrown", () => {
  assert.deepEqual(errorToJson("Killed."), { name: "", message: "Killed.", thrown: "Killed." });
  assert.deepEqual(errorToJson({ a: 1 }), { name: "", message: "", thrown: { a: 1 } });
});

test("a list with more than a thousand holes is its length and its items", () => {
  const list: unknown[] = [];
  list[4_294_967_290] = "x";
  assert.deepEqual(toJson(list), { $sparse: [4_294_967_291, [[4_294_967_290, "x"]]] });
});

test("what holds the same again and again comes to an end", () => {
  let value: unknown = "x";
  for (let level = 0; level < 40; level++) value = [value, value];
  assert.match(JSON.stringify(toJson(value)), /"\$cut":true/);
});
