import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeValue } from "../base/value.ts";
import { outcomeOf } from "./outcome.ts";

function messageOf(reason: unknown): string {
  try {
    outcomeOf("p", { atMs: 1, reason: "exit", value: encodeValue(reason) }, () => undefined);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

test("a process's own reason is named in the message, whatever it is", () => {
  const circle: Record<string, unknown> = { big: 5n };
  circle["self"] = circle;
  const odd = Object.assign(new Error("m"), { name: [circle] });
  let laughs: unknown = [];
  for (let level = 0; level < 50; level++) laughs = [laughs, laughs];
  assert.match(messageOf("why"), /ended with exit: why$/);
  assert.match(messageOf(circle), /big: 5n/);
  assert.match(messageOf(odd), /: \[object\]: m$/);
  assert.ok(messageOf(laughs).length < 1_000);
});
