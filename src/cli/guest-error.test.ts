import assert from "node:assert/strict";
import { test } from "node:test";
import { formatGuestError } from "./guest-error.ts";

function thrown(error: Error, stack: string): Error {
  error.stack = stack;
  return error;
}

test("the sandbox's stack gets the line it lacks, Node's does not get it twice", () => {
  const frames = "    at order (app.ts:3:5)";
  assert.equal(formatGuestError(thrown(new TypeError("no"), frames)), `TypeError: no\n${frames}`);
  assert.equal(formatGuestError(thrown(new TypeError("no"), `TypeError: no\n${frames}`)), `TypeError: no\n${frames}`);
  assert.equal(
    formatGuestError(thrown(new Error("two\nlines"), `Error: two\nlines\n${frames}`)),
    `Error: two\nlines\n${frames}`,
  );
  assert.equal(formatGuestError(thrown(new Error(""), "")), "Error");
});

test("frames of Node and of Perdure are left out", () => {
  const stack = `Error: x
    at charge (file:///shop/warehouse.ts:5:9)
    at run (node:internal/async_hooks:1:2)
    at attempt (${new URL("../operations/runner.js", import.meta.url).href}:1:2)
    at start (/shop/node_modules/perdure/dist/operations/runner.js:1:2)`;
  assert.equal(
    formatGuestError(thrown(new Error("x"), stack)),
    "Error: x\n    at charge (file:///shop/warehouse.ts:5:9)",
  );
});

test("causes, the errors of an AggregateError and own fields follow", () => {
  const cause = thrown(new Error("404"), "");
  const error = Object.assign(
    thrown(new AggregateError([thrown(new RangeError("a"), "")], "all failed", { cause }), ""),
    { code: "E" },
  );
  assert.equal(
    formatGuestError(error),
    ["AggregateError: all failed", "  { code: 'E' }", "  caused by Error: 404", "  one of them: RangeError: a"].join(
      "\n",
    ),
  );
});

test("an error that causes itself comes to an end", () => {
  const error = thrown(new Error("x"), "");
  error.cause = error;
  assert.ok(formatGuestError(error).length < 500);
});

test("without its head, an error is its frames, and what is no error is nothing", () => {
  assert.equal(
    formatGuestError(thrown(new Error("x"), "    at a (b.ts:1:1)"), { withoutHead: true }),
    "    at a (b.ts:1:1)",
  );
  assert.equal(formatGuestError("Killed.", { withoutHead: true }), "");
  assert.equal(formatGuestError({ a: 1 }), "{ a: 1 }");
});

test("whatever a program made of name, message, stack and errors, an error is shown", () => {
  const error = new AggregateError([], "m");
  const holes: unknown[] = [];
  holes[4_000_000_000] = new Error("far");
  Object.assign(error, { name: { toString: 5 }, message: holes, stack: 7, errors: holes });
  assert.match(formatGuestError(error), /^\[object\]: \[object\][^]*one of them: Error: far/);
});
