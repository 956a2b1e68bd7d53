/** The sandbox's floor alone, with an `emit` that records. What crosses in a real machine is tested with the machine. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { decodeValue, encodeValue } from "../base/value.ts";
import * as runtime from "./runtime.ts";

type Emitted = readonly [kind: number, number: number, a: string, b: string, ...chunks: ArrayBuffer[]];

const emitted: Emitted[] = [];
let failure: Error | undefined;

assert.throws(() => runtime.log("info", "before there is a machine"), { code: "OPERATION_OUTSIDE" });
runtime.connect((...command) => {
  if (failure !== undefined) throw failure;
  emitted.push(command);
});
runtime.log("info", "while an image is built");
const wasImpure = runtime.isImpure();
runtime.begin();

afterEach(() => {
  failure = undefined;
  emitted.length = 0;
});

test("before the start nothing is heard, but the attempt is remembered", () => {
  assert.ok(wasImpure);
});

test("operations are numbered from 1, and their results settle them once", async () => {
  const [first, second] = [runtime.issueOperation("a#b", [1]), runtime.issueOperation("perdure:x", [], '{"y":1}')];
  assert.deepEqual(
    emitted.map(([kind, number, a]) => [kind, number, a]),
    [
      [runtime.emitKind.operation, 1, "a#b"],
      [runtime.emitKind.operation, 2, 'perdure:x\n{"y":1}'],
    ],
  );
  assert.equal(runtime.pendingCount(), 2);
  runtime.settleOperation(2, false, encodeValue(new RangeError("no")));
  runtime.settleOperation(2, true, encodeValue("late"));
  runtime.settleOperation(1, true, encodeValue("yes"));
  await assert.rejects(second.promise, RangeError);
  assert.equal(await first.promise, "yes");
  assert.equal(runtime.pendingCount(), 0);
});

test("an operation that cannot be issued is not waited for, and its number is the next one's", async () => {
  const first = runtime.issueOperation("a#b", []);
  failure = new Error("out of memory");
  assert.throws(() => runtime.issueOperation("a#b", []), /out of memory/);
  failure = undefined;
  const second = runtime.issueOperation("a#b", []);
  const [before, after] = emitted.map((command) => command[1]);
  assert.deepEqual([after, runtime.pendingCount()], [Number(before) + 1, 2]);
  runtime.abortOperations(() => new RangeError("given up"));
  await assert.rejects(first.promise, RangeError);
  await assert.rejects(second.promise, RangeError);
});

test("a timer that cannot be set is not waited for", () => {
  failure = new Error("out of memory");
  assert.throws(() => runtime.startTimer("wall", 5, () => undefined), /out of memory/);
  assert.equal(runtime.pendingCount(), 0);
});

test("a timer beyond the last instant of a Date is due then", () => {
  runtime.stopTimer(runtime.startTimer("wall", 1e300, () => undefined));
  assert.equal(emitted[0]?.[3], "8640000000000000");
});

test("a timer fires once, and a stopped one never", () => {
  const fired: string[] = [];
  const [a, b] = [
    runtime.startTimer("wall", 1, () => fired.push("a")),
    runtime.startTimer("wall", 1, () => fired.push("b")),
  ];
  runtime.stopTimer(b);
  runtime.stopTimer(b);
  for (const number of [a, a, b, 999]) runtime.fireTimer(number);
  assert.deepEqual(fired, ["a"]);
  assert.equal(emitted.filter(([kind]) => kind === runtime.emitKind.clearTimer).length, 1);
});

test("chunks are handed over as whole buffers, without what lies beside them", () => {
  const large = new Uint8Array([1, 2, 3, 4, 5]);
  runtime.send("p", [new Uint8Array([9, 9]), large.subarray(1, 3)]);
  const [, , to, text, ...chunks] = emitted[0] as Emitted;
  assert.equal(to, "p");
  assert.deepEqual(decodeValue({ text, chunks: chunks.map((chunk) => new Uint8Array(chunk)) }), [
    new Uint8Array([9, 9]),
    large.subarray(1, 3),
  ]);
});

test("more buffers than the border passes are VALUE_TOO_LARGE, and nothing is issued", () => {
  const buffers = Array.from({ length: 65_001 }, () => new ArrayBuffer(0));
  assert.throws(() => runtime.issueOperation("a#b", [buffers]), { code: "VALUE_TOO_LARGE" });
  assert.throws(() => runtime.send("p", buffers), { code: "VALUE_TOO_LARGE" });
  assert.deepEqual([emitted, runtime.pendingCount()], [[], 0]);
});

test("a receiver that is no text is ARGUMENT_INVALID and is not converted", () => {
  for (const to of [undefined, 5, { toString: () => assert.fail("converted") }]) {
    assert.throws(() => runtime.send(to as never, 1), { code: "ARGUMENT_INVALID" });
  }
});

test("log lines and receivers are well-formed text", () => {
  runtime.log("log", "a\ud800b");
  runtime.send("\udc00", 1);
  assert.deepEqual(
    emitted.map(([, , a, b]) => [a, b]),
    [
      ["log", "a\ufffdb"],
      ["\ufffd", "j1"],
    ],
  );
});

test("the exit is the last command: nothing after it is heard", () => {
  assert.throws(() => runtime.exit("normal", () => 1), { code: "VALUE_NOT_CLONEABLE" });
  runtime.exit("error", () => 1);
  runtime.exit("normal", "again");
  runtime.log("info", "late");
  assert.equal(emitted.length, 1);
  const [kind, , reason, text] = emitted[0] as Emitted;
  assert.deepEqual([kind, reason], [runtime.emitKind.exit, "error"]);
  assert.match((decodeValue({ text }) as Error).message, /cannot cross/);
});
