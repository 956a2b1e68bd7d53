/** Fuzzing of the value codec, and of what shows values. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeValue, encodeValue } from "../../src/base/value.ts";
import type { Payload } from "../../src/base/value.ts";
import { formatGuestError } from "../../src/cli/guest-error.ts";
import { errorToJson, toJson } from "../../src/cli/json-value.ts";
import { formatBriefly, formatValue } from "../../src/cli/outcome.ts";
import { errorsWithin } from "../../src/engine/within.ts";
import { survives } from "./case.ts";
import { damagedText } from "./damage.ts";

const number = fc.constantFrom(0, 1, 2, 3, 4, 5, -1, 1.5, 8, 4294967295, 4294967296, 9007199254740991, 1e308);
const word = fc.oneof(
  fc.constantFrom("", "0", "7", "length", "name", "message", "stack", "cause", "errors", "__proto__", "constructor"),
  fc.constantFrom("Error", "TypeError", "AggregateError", "Uint8Array", "BigInt64Array", "DataView", "toString"),
  fc.constantFrom("(a+)+$", "[", "g", "gy", "-ff", "ff", "0x"),
  fc.string({ maxLength: 5 }),
);
const reference = fc.nat(9).map((node) => [node]);
const slot: fc.Arbitrary<unknown> = fc.oneof(
  { arbitrary: reference, weight: 6 },
  { arbitrary: fc.oneof(number, word, fc.boolean(), fc.constant(null)), weight: 3 },
  fc.constantFrom(["u"], ["z"], ["n"], ["+"], ["-"], ["i", "ff"], ["i", "-0"], ["i", "x"], ["length"], [], [1, 2], {}),
);
const key = fc.oneof(word, fc.nat(6), slot);
const fields = fc.array(fc.tuple(key, slot), { maxLength: 5 }).map((pairs) => pairs.flat());
const slots = fc.array(slot, { maxLength: 6 });

/** A node of the table, well-formed more often than not. */
const node: fc.Arbitrary<unknown> = fc.oneof(
  fc
    .tuple(fc.constantFrom("a", "m", "t", "p", "d", "r", "b", "w", "q", 5), slots)
    .map(([kind, rest]) => [kind, ...rest]),
  fields.map((rest) => ["o", ...rest]),
  fc.tuple(number, fields).map(([length, rest]) => ["s", length, ...rest]),
  fc.tuple(word, fields).map(([kind, rest]) => ["e", kind, ...rest]),
  fc.constantFrom("Error", "AggregateError").chain((kind) => fields.map((rest) => ["e", kind, ...rest])),
  number.map((timeMs) => ["d", timeMs]),
  fc.tuple(word, word).map(([source, flags]) => ["r", source, flags]),
  number.map((length) => ["b", length]),
  fc.tuple(word, fc.nat(4), number, number).map((rest) => ["w", ...rest]),
  slot,
);

const table = fc
  .tuple(slot, fc.array(node, { maxLength: 9 }))
  .map(([first, nodes]) => JSON.stringify([first, ...nodes]));

/** Allowed by the format, and yet nothing that a program is likely to come up with: any member anywhere. */
const oddTable = fc.integer({ min: 1, max: 6 }).chain((count) => {
  const to = fc.integer({ min: 1, max: count }).map((node): unknown => [node]);
  const member = fc.oneof(
    { arbitrary: to, weight: 4 },
    fc.oneof(
      word,
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.constantFrom<unknown>(null, true, ["u"], ["i", "-ff"], ["n"]),
    ),
  );
  const pairs = fc
    .uniqueArray(fc.tuple(word, member), { maxLength: 5, selector: ([name]) => name })
    .map((each) => each.flat());
  const hidden = fc.tuple(fc.constant(3), member, fc.constant(4), member);
  const length = fc.constantFrom(1_000, 4294967295, 2 ** 31);
  const nodeOf = fc.oneof(
    pairs.map((rest): unknown[] => ["o", ...rest]),
    fc.array(member, { maxLength: 5 }).map((rest): unknown[] => ["a", ...rest]),
    fc.tuple(length, member).map(([size, each]): unknown[] => ["s", size, "7", each, "x", each]),
    fc.tuple(member, member).map(([a, b]): unknown[] => ["m", "k", a, ["u"], b]),
    fc.array(to, { maxLength: 1 }).map((rest): unknown[] => ["t", ...rest]),
    fc
      .tuple(fc.constantFrom("Error", "AggregateError", "TypeError"), hidden, pairs)
      .map(([kind, first, rest]): unknown[] => [
        "e",
        kind,
        ...(rest.includes("cause") || rest.includes("errors") ? [] : first),
        ...rest,
      ]),
    fc.constantFrom<unknown[]>(["d", null], ["d", 8.64e15], ["d", -8.64e15], ["p", ["i", "1"]], ["r", "(?:)", "gy"]),
  );
  return fc.array(nodeOf, { minLength: count, maxLength: count }).map((nodes) => JSON.stringify([[1], ...nodes]));
});

const chunks = fc.oneof(fc.constant(undefined), fc.array(fc.uint8Array({ maxLength: 8 }), { maxLength: 3 }));

const anything = fc.anything({
  key: word,
  values: [fc.boolean(), fc.double(), word, fc.bigInt(), fc.date({ noInvalidDate: false }), fc.constant(undefined)],
  withBoxedValues: true,
  withMap: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
});

const valid = anything.map((value) => encodeValue(value));

/** Each level refers to the next several times: small as it lies there, and endless written out. */
export const laughs: fc.Arbitrary<Payload> = fc
  .tuple(fc.constantFrom("a", "t", "e"), fc.integer({ min: 2, max: 60 }), fc.integer({ min: 2, max: 40 }))
  .map(([kind, levels, times]): Payload => {
    const rest = (level: number): unknown[] => Array.from({ length: kind === "t" ? 1 : times }, () => [level + 1]);
    const error = (level: number): unknown[] => ["e", "AggregateError", 4, [2 * level + 2]];
    const nodes: unknown[] = [];
    for (let level = 0; level < levels; level++) {
      const next = (kind === "e" ? 2 : 1) * (level + 1) + 1;
      if (kind === "e") nodes.push(error(level), ["a", ...Array.from({ length: times }, () => [next])]);
      else nodes.push([kind, ...rest(level + 1)]);
    }
    nodes.push(["e", "Error", 1, "the last"]);
    return { text: `v${JSON.stringify([[1], ...nodes])}` };
  });

export const anyPayload: fc.Arbitrary<Payload> = fc.oneof(
  fc
    .tuple(damagedText(valid.map(({ text }) => text)), valid)
    .map(([text, { chunks: bytes }]) => (bytes === undefined ? { text } : { text, chunks: bytes })),
  fc
    .tuple(table, chunks)
    .map(([text, bytes]) => ({ text: `v${text}`, ...(bytes === undefined ? {} : { chunks: bytes }) })),
  oddTable.map((text) => ({ text: `v${text}` })),
  fc
    .tuple(damagedText(fc.oneof(table, oddTable)), chunks)
    .map(([text, bytes]) => ({ text: `v${text}`, ...(bytes && { chunks: bytes }) })),
);

function decoded(payload: Payload): { readonly value: unknown } | undefined {
  return survives(["VALUE_CORRUPT"], () => ({ value: decodeValue(payload) }));
}

/** What decodes is a value like any other: encoded, it decodes to the same. */
export function checkValue(payload: Payload): void {
  const found = decoded(payload);
  if (found === undefined) return;
  const once = survives(["VALUE_TOO_LARGE"], () => encodeValue(found.value));
  if (once !== undefined) assert.deepEqual(encodeValue(decodeValue(once)), once);
}

export function checkShown(payload: Payload): void {
  const found = decoded(payload);
  if (found === undefined) return;
  const { value } = found;
  const text = survives([], () => JSON.stringify(toJson(value)));
  assert.doesNotThrow(() => JSON.parse(text ?? "") as unknown);
  if (value instanceof Error) survives([], () => JSON.stringify(errorToJson(value)));
  survives([], () => formatValue(value, { colors: false }));
  survives([], () => formatGuestError(value));
  survives([], () => errorsWithin(value));
  survives([], () => formatBriefly(value));
}
