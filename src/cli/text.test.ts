import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { renderTable } from "./table.ts";
import { count, cut, indent, oneLine, pad, widthOf } from "./text.ts";

test("wide characters take two columns, combined ones count once", () => {
  assert.equal(widthOf("order"), 5);
  assert.equal(widthOf("注文"), 4);
  assert.equal(widthOf("é"), 1);
  assert.equal(widthOf("🚀"), 2);
});

test("a text is cut to the width it may have", () => {
  assert.equal(cut("order", 5), "order");
  assert.equal(cut("orders", 5), "orde…");
  assert.equal(cut("注文です", 5), "注文…");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 40 }), fc.integer({ min: 1, max: 30 }), (text, width) => {
      const line = oneLine(text);
      assert.ok(widthOf(cut(line, width)) <= width);
    }),
  );
});

test("control characters show as escapes, so that no value moves the cursor", () => {
  assert.equal(oneLine("a\nb\tc\u001b[2J\u009b"), "a\\nb\\tc\\u001b[2J\\u009b");
});

test("counting, padding and indenting", () => {
  assert.equal(count(1, "turn"), "1 turn");
  assert.equal(count(0, "turn"), "0 turns");
  assert.equal(count(2, "process", "processes"), "2 processes");
  assert.equal(pad("ab", 4), "ab  ");
  assert.equal(pad("ab", 4, true), "  ab");
  assert.equal(indent("a\n\nb", "  "), "  a\n\n  b");
});

const columns = [
  { title: "PID", leastWidth: 4 },
  { title: "N", right: true },
  { title: "VALUE", leastWidth: 6 },
];

test("a table lines its columns up and has no spaces at its ends", () => {
  const rows = [
    [{ text: "a" }, { text: "1" }, { text: "first" }],
    [{ text: "order-7" }, { text: "100" }, { text: "" }],
  ];
  assert.deepEqual(renderTable(columns, rows), ["PID        N  VALUE", "a          1  first", "order-7  100"]);
});

test("a table is cut to its width at the widest column that may be cut", () => {
  const rows = [[{ text: "order-7" }, { text: "100" }, { text: "x".repeat(60) }]];
  const lines = renderTable(columns, rows, { width: 30 });
  assert.equal(lines[1], `order-7  100  ${"x".repeat(15)}…`);
  const narrow = renderTable(columns, [[{ text: "p".repeat(50) }, { text: "1" }, { text: "x".repeat(60) }]], {
    width: 40,
  });
  assert.ok(
    narrow.every((line) => widthOf(line) <= 40),
    narrow.join("\n"),
  );
  const tooNarrow = renderTable(columns, rows, { width: 5 });
  assert.equal(tooNarrow[1], "ord…  100  xxxxx…");
});

test("paint is put on what is shown, never cut, and not on the padding", () => {
  const paint = (text: string): string => `<${text}>`;
  const lines = renderTable(
    columns,
    [
      [
        { text: "ab", paint },
        { text: "1", paint },
        { text: "y".repeat(20), paint },
      ],
    ],
    { width: 20, paintTitle: paint },
  );
  assert.equal(lines[0], "<PID>  <N>  <VALUE>");
  assert.equal(lines[1], `<ab>   <1>  <${"y".repeat(11)}…>`);
});

test("a table of any rows fits its width and shows each on one line", () => {
  const cell = fc.string({ unit: "grapheme", maxLength: 60 }).map((text) => ({ text }));
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          cell,
          fc.nat(9999).map((n) => ({ text: String(n) })),
          cell,
        ),
        { maxLength: 8 },
      ),
      fc.integer({ min: 24, max: 120 }),
      (rows, width) => {
        const lines = renderTable(columns, rows, { width });
        assert.equal(lines.length, rows.length + 1);
        for (const line of lines) {
          assert.ok(widthOf(line) <= width);
          assert.ok(!line.includes("\n"));
        }
      },
    ),
  );
});
