import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { commandLine, parseArgument, quoteForShell } from "./arguments.ts";

test("an argument is JSON where it is JSON", () => {
  assert.equal(parseArgument("42"), 42);
  assert.equal(parseArgument("-1.5e3"), -1500);
  assert.equal(parseArgument("true"), true);
  assert.equal(parseArgument("null"), null);
  assert.equal(parseArgument('"42"'), "42");
  assert.deepEqual(parseArgument('{"a": [1]}'), { a: [1] });
});

test("an argument that is not JSON is a text", () => {
  for (const text of ["order-7", "", "0123", "{a: 1}", "undefined", "NaN", "1,5", "'x'"])
    assert.equal(parseArgument(text), text);
});

test("a whole number that JavaScript would round stays a text", () => {
  assert.equal(parseArgument("9007199254740991"), 9007199254740991);
  assert.equal(parseArgument("9007199254740993"), "9007199254740993");
  assert.equal(parseArgument("-9007199254740993"), "-9007199254740993");
});

test("everything is a text that is asked for as one", () => {
  for (const text of ["42", "null", '{"a":1}']) assert.equal(parseArgument(text, true), text);
});

test("a command line reads back as the words it was made of", { skip: process.platform === "win32" }, () => {
  const words = ["app.ts", "", "it's", '{"id": "x"}', "$HOME", "a b", "--store", "ü*?", "\\", "`x`", "line\nbreak"];
  const script = `for word in ${commandLine(words)}; do printf '%s\\0' "$word"; done`;
  const { stdout } = spawnSync("sh", ["-c", script], { encoding: "utf8" });
  assert.deepEqual(stdout.split("\0").slice(0, -1), words);
});

test("plain words are not quoted, and undefined ones are left out", () => {
  assert.equal(
    commandLine(["perdure", "run", "./a/app.ts", undefined, "order-7", "-5"]),
    "perdure run ./a/app.ts order-7 -5",
  );
  assert.equal(quoteForShell("a b"), "'a b'");
});
