/** What befalls bytes and texts: arbitraries of valid ones that were damaged, and of such that never were valid. */
import fc from "fast-check";

type Change = (bytes: Buffer) => Buffer;

/** Somewhere in what there is. */
const place = fc.nat(2 ** 31 - 1);
const few = fc.integer({ min: 1, max: 16 });

function at(bytes: Buffer, where: number, more = 0): number {
  return where % (bytes.length + more || 1);
}

const flip = fc.tuple(place, fc.nat(7)).map(([where, bit]): Change => (bytes) => {
  const copy = Buffer.from(bytes);
  if (copy.length > 0) copy[at(copy, where)] = (copy[at(copy, where)] as number) ^ (1 << bit);
  return copy;
});

const set = fc
  .tuple(place, fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff), fc.nat(255)))
  .map(([where, value]): Change => (bytes) => {
    const copy = Buffer.from(bytes);
    if (copy.length > 0) copy[at(copy, where)] = value;
    return copy;
  });

const truncate = place.map(
  (where): Change =>
    (bytes) =>
      bytes.subarray(0, at(bytes, where, 1)),
);

const remove = fc.tuple(place, few).map(([where, length]): Change => (bytes) => {
  const from = at(bytes, where, 1);
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + length)]);
});

const repeat = fc.tuple(place, few, place).map(([where, length, to]): Change => (bytes) => {
  const from = at(bytes, where, 1);
  return insertAt(bytes, to, bytes.subarray(from, from + length));
});

/** Numbers as lengths and counts may be written, at the ends of their ranges: varints, and fixed ones of both orders. */
const extremes: readonly Buffer[] = [
  [0x00],
  [0x80, 0x00],
  [0xff, 0xff, 0x03],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
  [0xff, 0xff, 0xff, 0xff],
  [0x00, 0x00, 0x00, 0x80],
  [0x7f, 0xff, 0xff, 0xff],
  [0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf0, 0x7f],
  [0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf8, 0x7f],
].map((bytes) => Buffer.from(bytes) as Buffer);

const extreme = fc
  .tuple(place, fc.constantFrom(...extremes), fc.boolean())
  .map(([where, bytes, over]): Change => (before) => {
    const from = at(before, where, 1);
    return Buffer.concat([before.subarray(0, from), bytes, before.subarray(over ? from + bytes.length : from)]);
  });

function insertAt(bytes: Buffer, where: number, part: Uint8Array): Buffer {
  const to = at(bytes, where, 1);
  return Buffer.concat([bytes.subarray(0, to), part, bytes.subarray(to)]);
}

const insert = fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 16 })).map(
  ([where, part]): Change =>
    (bytes) =>
      insertAt(bytes, where, part),
);

function spliced(other: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Change> {
  return fc.tuple(place, other, place).map(
    ([where, part, from]): Change =>
      (bytes) =>
        Buffer.concat([bytes.subarray(0, at(bytes, where, 1)), part.subarray(from % (part.length + 1))]),
  );
}

/** Valid ones, damaged up to four times; and bytes that nobody wrote. */
export function damagedBytes(valid: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Buffer> {
  const change = fc.oneof(flip, set, truncate, remove, repeat, extreme, insert, spliced(valid));
  const damaged = fc
    .tuple(valid, fc.array(change, { maxLength: 3, size: "small" }))
    .map(([bytes, changes]) => changes.reduce((each, apply) => apply(each), Buffer.from(bytes) as Buffer));
  const random = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes) as Buffer);
  return fc.oneof({ arbitrary: damaged, weight: 9 }, { arbitrary: random, weight: 1 });
}

/** Words that mean something to who reads JSON, or to JavaScript. */
const fragments = [
  "__proto__",
  '"__proto__"',
  '"constructor"',
  '"toString"',
  '"length"',
  '["length"]',
  "4294967295",
  "4294967296",
  "9007199254740993",
  "-1",
  "-0",
  "1e999",
  "1.5",
  "null",
  "[]",
  "{}",
  "[[",
  "]]",
  ",",
  '"',
  "\\u0000",
  "\\ud800",
  "\u2028",
];

const fragment = fc
  .tuple(place, fc.constantFrom(...fragments), few, fc.boolean())
  .map(([where, word, length, over]): Change => (bytes) => {
    const from = at(bytes, where, 1);
    return Buffer.concat([bytes.subarray(0, from), Buffer.from(word), bytes.subarray(over ? from + length : from)]);
  });

/** The same for texts; what is no UTF-8 afterwards shows as U+FFFD. */
export function damagedText(valid: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const bytes = valid.map((text) => Buffer.from(text));
  const change = fc.oneof(
    { arbitrary: fragment, weight: 4 },
    { arbitrary: fc.oneof(set, truncate, remove, repeat, insert, spliced(bytes)), weight: 3 },
  );
  const damaged = fc
    .tuple(bytes, fc.array(change, { maxLength: 3, size: "small" }))
    .map(([before, changes]) => changes.reduce((each, apply) => apply(each), before as Buffer).toString());
  return fc.oneof({ arbitrary: damaged, weight: 9 }, { arbitrary: fc.string({ unit: "binary" }), weight: 1 });
}
