import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { isPerdureError } from "./errors.ts";
import { decodeValue, encodeValue } from "./value.ts";
import type { Payload } from "./value.ts";

const anything = fc.anything({
  key: fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("__proto__", "toString", "length", "constructor", "0")),
  values: [
    fc.boolean(),
    fc.double(),
    fc.integer(),
    fc.string({ unit: "binary" }),
    // Halves of pairs alone, too.
    fc.array(fc.integer({ min: 0xd7f0, max: 0xe010 })).map((units) => String.fromCharCode(...units)),
    fc.constantFrom(null, undefined, NaN, -0, Infinity, -Infinity),
    fc.bigInt(),
    fc.date({ noInvalidDate: false }),
    fc.constant(null).map(() => new Error("e", { cause: new RangeError("c") })),
  ],
  maxDepth: 4,
  withBoxedValues: true,
  withMap: true,
  withNullPrototype: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
});

/** Objects, arrays, maps and sets that refer to each other at random. */
const graph = fc
  .array(
    fc.record({
      kind: fc.constantFrom("object", "array", "map", "set", "error"),
      edges: fc.array(fc.nat(30), { maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 20 },
  )
  .map((shapes) => {
    const nodes = shapes.map(({ kind }): any => {
      if (kind === "array") return [];
      if (kind === "map") return new Map();
      if (kind === "set") return new Set();
      return kind === "error" ? new Error("node") : {};
    });
    shapes.forEach(({ kind, edges }, from) => {
      edges.forEach((edge, i) => {
        const to = nodes[edge % nodes.length];
        if (kind === "array") nodes[from].push(to);
        else if (kind === "map") nodes[from].set(i % 2 ? to : i, to);
        else if (kind === "set") nodes[from].add(to);
        else nodes[from][`edge${i}`] = to;
      });
    });
    return nodes[0];
  });

function members(value: any): unknown[] {
  if (value instanceof Map) return [...value].flat();
  return value instanceof Set ? [...value] : Object.values(value);
}

/** Asserts that two graphs have the same shape, each object of one standing for exactly one of the other. */
function assertSameGraph(left: unknown, right: unknown): void {
  const pairs = new Map<unknown, unknown>();
  const taken = new Set<unknown>();
  const waiting = [[left, right]];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [a, b] = next;
    if (typeof a !== "object" || a === null) {
      assert.equal(a, b);
      continue;
    }
    if (pairs.has(a)) {
      assert.equal(pairs.get(a), b);
      continue;
    }
    assert.ok(!taken.has(b), "two objects became one");
    assert.equal(Object.getPrototypeOf(a), Object.getPrototypeOf(b));
    pairs.set(a, b);
    taken.add(b);
    const [as, bs] = [members(a), members(b)];
    assert.equal(as.length, bs.length);
    as.forEach((member, i) => waiting.push([member, bs[i]]));
  }
}

describe("any value", () => {
  test("crosses as structured clone would carry it", () => {
    fc.assert(
      fc.property(anything, (value) => {
        const payload = encodeValue(value);
        assert.ok(payload.text.isWellFormed());
        assert.deepStrictEqual(decodeValue(payload), structuredClone(value));
      }),
      { numRuns: 1500 },
    );
  });

  test("crosses twice as it does once", () => {
    fc.assert(
      fc.property(anything, (value) => {
        const payload = encodeValue(decodeValue(encodeValue(value)));
        assert.deepStrictEqual(encodeValue(decodeValue(payload)), payload);
      }),
      { numRuns: 500 },
    );
  });

  test("keeps the shape of its graph", () => {
    fc.assert(
      fc.property(graph, (value) => assertSameGraph(value, decodeValue(encodeValue(value)))),
      { numRuns: 1000 },
    );
  });
});

describe("a payload that encodeValue never wrote", () => {
  const refused: Readonly<Record<string, Payload>> = {
    "no text": { text: "" },
    "an unknown mark": { text: "x1" },
    "undefined and more": { text: "u1" },
    "broken JSON": { text: 'j{"a":' },
    "no JSON": { text: "j" },
    "JSON that nests without end": { text: `v${"[".repeat(100_000)}` },
    "a chunk beside undefined": { text: "u", chunks: [new Uint8Array(1)] },
    "a chunk beside JSON": { text: "j1", chunks: [new Uint8Array(1)] },
    "a chunk too many": { text: "v[1]", chunks: [new Uint8Array(1)] },
    "a chunk too few": { text: 'v[[1],["b",1]]' },
    "a chunk of another length": { text: 'v[[1],["b",1]]', chunks: [new Uint8Array(2)] },
    "a table that is no list": { text: "v{}" },
    "an empty table": { text: "v[]" },
    "a node that is no list": { text: "v[[1],1]" },
    "an empty node": { text: "v[[1],[]]" },
    "an unknown node": { text: 'v[[1],["x"]]' },
    "a reference to nothing": { text: "v[[1]]" },
    "a reference to the root": { text: "v[[0]]" },
    "a reference to a fraction": { text: 'v[[1.5],["o"]]' },
    "a reference to a name": { text: 'v[["length"],["o"]]' },
    "an object for a slot": { text: "v[{}]" },
    "an unknown slot": { text: 'v[["q"]]' },
    "an empty slot": { text: "v[[]]" },
    "a BigInt without digits": { text: 'v[["i",""]]' },
    "a BigInt with a space": { text: 'v[["i"," 1"]]' },
    "a BigInt that is a number": { text: 'v[["i",1]]' },
    "an object with a key alone": { text: 'v[[1],["o","a"]]' },
    "an object that repeats a key": { text: 'v[[1],["o","a",1,"a",2]]' },
    "an object with a number for a key": { text: 'v[[1],["o",1,1]]' },
    "an array that sets its length by a key": { text: 'v[[1],["s",1,"length",5]]' },
    "an array with an index beyond its length": { text: 'v[[1],["s",1,"7",5]]' },
    "an array of negative length": { text: 'v[[1],["s",-1]]' },
    "an array that is too long": { text: 'v[[1],["s",4294967296]]' },
    "a Map that repeats a key": { text: 'v[[1],["m",1,2,1,3]]' },
    "a Map with a key alone": { text: 'v[[1],["m",1]]' },
    "a Set that repeats an item": { text: 'v[[1],["t",1,1]]' },
    "a Date that is text": { text: 'v[[1],["d","1"]]' },
    "a Date beyond all dates": { text: 'v[[1],["d",8640000000000001]]' },
    "a Date of half a millisecond": { text: 'v[[1],["d",0.5]]' },
    "a RegExp that does not parse": { text: 'v[[1],["r","(",""]]' },
    "a RegExp with unknown flags": { text: 'v[[1],["r","a","q"]]' },
    "a RegExp without flags": { text: 'v[[1],["r","a"]]' },
    "a box of null": { text: 'v[[1],["p",null]]' },
    "a box of an object": { text: 'v[[2],["o"],["p",[1]]]' },
    "an unknown error": { text: 'v[[1],["e","Date"]]' },
    "an error with a message that is no text": { text: 'v[[1],["e","Error",1,5]]' },
    "an error with an unknown field": { text: 'v[[1],["e","Error",5,5]]' },
    "an error that repeats a field": { text: 'v[[1],["e","Error",1,"a",1,"b"]]' },
    "a view of no buffer": { text: 'v[[1],["w","Uint8Array",2,0,0],["o"]]' },
    "a view of a later buffer": { text: 'v[[1],["w","Uint8Array",2,0,1],["b",1]]', chunks: [new Uint8Array(1)] },
    "a view beyond its buffer": { text: 'v[[2],["b",2],["w","Uint8Array",1,1,2]]', chunks: [new Uint8Array(2)] },
    "a view between two elements": { text: 'v[[2],["b",4],["w","Uint16Array",1,1,1]]', chunks: [new Uint8Array(4)] },
    "a view of an unknown kind": { text: 'v[[2],["b",2],["w","Map",1,0,1]]', chunks: [new Uint8Array(2)] },
    "a view of negative length": { text: 'v[[2],["b",2],["w","Uint8Array",1,0,-1]]', chunks: [new Uint8Array(2)] },
  };
  for (const [name, payload] of Object.entries(refused)) {
    test(`${name} is VALUE_CORRUPT`, () => assert.throws(() => decodeValue(payload), { code: "VALUE_CORRUPT" }));
  }

  test("an error without a stack and with a strange name gets a plain stack", () => {
    const text = 'v[[1],["e","Error","name",[2],"message","m"],["o","toString",1,"valueOf",1]]';
    assert.equal((decodeValue({ text }) as Error).stack, "Error: m");
  });

  test("changed at random, is VALUE_CORRUPT or another value that crosses", () => {
    const pieces = [
      "[",
      "]",
      ",",
      '"',
      "1",
      "2",
      "-",
      "0",
      "1e9",
      '["u"]',
      "[1]",
      "{}",
      "null",
      '"__proto__"',
      '"a"',
      '"s"',
    ];
    const change = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      remove: fc.nat(2),
      insert: fc.oneof(fc.constantFrom(...pieces), fc.string({ unit: "grapheme-ascii", maxLength: 2 })),
    });
    const changed = fc.tuple(fc.oneof(anything, graph), fc.array(change, { minLength: 1, maxLength: 2 }));
    let survivors = 0;
    fc.assert(
      fc.property(changed, ([value, changes]) => {
        const { text: original, chunks } = encodeValue(value);
        let text = original;
        for (const { at, remove, insert } of changes) {
          const index = Math.floor(at * text.length);
          text = text.slice(0, index) + insert + text.slice(index + remove);
        }
        let result: unknown;
        try {
          result = decodeValue(chunks === undefined ? { text } : { text, chunks });
        } catch (error) {
          assert.ok(isPerdureError(error, "VALUE_CORRUPT"), String(error));
          return;
        }
        survivors++;
        const again = encodeValue(result);
        assert.deepStrictEqual(encodeValue(decodeValue(again)), again);
      }),
      { numRuns: 3000 },
    );
    assert.ok(survivors > 30, `only ${survivors} changed payloads decoded: the changes are too wild to find much`);
  });
});
