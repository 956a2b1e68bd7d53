import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Sandbox } from "./testing.ts";

const startMs = 1_700_000_000_000;
const timerKind = 3;
const clearKind = 4;
let sandbox: Sandbox;
beforeEach(async () => {
  sandbox = await Sandbox.create({ timeMs: startMs });
});
afterEach(() => sandbox.dispose());

/** The timers set since the last look: clock and delay from now. */
function armed(): [number: number, clock: string, delayMs: number][] {
  return sandbox.take(timerKind).map(({ number, a, b }) => [number, a, Number(b) - sandbox.timeMs]);
}

/** Lets time pass up to a timer's moment, or beyond it, and delivers it. */
function fireAt(timeMs: number, number: number): void {
  sandbox.timeMs = timeMs;
  sandbox.fireTimer(number);
}

test("setTimeout sets a timer on wall time and calls back once with its arguments", () => {
  const id = sandbox.run(`globalThis.seen = []; return setTimeout((...args) => seen.push(...args), 250, "a", 2);`);
  assert.equal(typeof id, "number");
  assert.deepEqual(armed(), [[1, "wall", 250]]);
  fireAt(startMs + 250, 1);
  sandbox.fireTimer(1);
  assert.deepEqual(sandbox.run("seen"), ["a", 2]);
});

test("delays that are negative, missing or no finite number count as 0, and fractions are cut", () => {
  for (const [delay, expected] of [
    ["-5", 0],
    ["NaN", 0],
    ["undefined", 0],
    ["'x'", 0],
    ["Infinity", 0],
    ["1.9", 1],
    ["'20'", 20],
  ]) {
    sandbox.run(`setTimeout(() => {}, ${delay})`);
    assert.equal(armed()[0]![2], expected, String(delay));
  }
});

test("a delay may be longer than 24 days, unlike on the web", () => {
  const yearMs = 365 * 24 * 60 * 60 * 1000;
  sandbox.run(`setTimeout(() => {}, ${yearMs})`);
  assert.equal(armed()[0]![2], yearMs);
  sandbox.run(`setTimeout(() => {}, 1e300)`);
  assert.equal(armed()[0]![2], 8.64e15 - startMs);
});

test("clearTimeout takes a timer back, once; unknown ids do nothing", () => {
  sandbox.run(
    `const id = setTimeout(() => {}, 10); clearTimeout(id); clearTimeout(id); clearTimeout(99); clearTimeout(); clearInterval(null);`,
  );
  assert.deepEqual(
    sandbox.take(clearKind).map(({ number }) => number),
    [1],
  );
});

test("clearing a timer that fired does nothing", () => {
  sandbox.run(`globalThis.id = setTimeout(() => {}, 10)`);
  fireAt(startMs + 10, 1);
  sandbox.run(`clearTimeout(id)`);
  assert.deepEqual(sandbox.take(clearKind), []);
});

test("setInterval keeps to multiples of its period and one id", () => {
  sandbox.run(`globalThis.count = 0; globalThis.id = setInterval((step) => { count += step; }, 100, 2)`);
  assert.deepEqual(armed(), [[1, "wall", 100]]);
  fireAt(startMs + 130, 1);
  assert.deepEqual(armed(), [[2, "wall", 70]]);
  fireAt(startMs + 200, 2);
  assert.deepEqual(armed(), [[3, "wall", 100]]);
  assert.equal(sandbox.run("count"), 4);
  sandbox.run("clearInterval(id)");
  assert.deepEqual(
    sandbox.take(clearKind).map(({ number }) => number),
    [3],
  );
});

test("ticks missed while nothing ran the process come as one", () => {
  sandbox.run(`globalThis.count = 0; setInterval(() => count++, 100)`);
  armed();
  fireAt(startMs + 100 * 60 * 60 * 1000 + 30, 1);
  assert.equal(sandbox.run("count"), 1);
  assert.deepEqual(armed(), [[2, "wall", 70]]);
});

test("an interval cleared in its own callback is not set again", () => {
  sandbox.run(`const id = setInterval(() => clearInterval(id), 100)`);
  armed();
  fireAt(startMs + 100, 1);
  assert.deepEqual(sandbox.emitted, []);
});

test("an interval whose callback throws goes on, and what it threw is not swallowed", () => {
  sandbox.run(`setInterval(() => { throw new RangeError("tick"); }, 100)`);
  armed();
  assert.throws(() => fireAt(startMs + 100, 1), /tick/);
  assert.deepEqual(armed(), [[2, "wall", 100]]);
});

test("an interval of 0 becomes 1 ms, so that time passes between its ticks", () => {
  sandbox.run(`setInterval(() => {}, 0)`);
  assert.deepEqual(armed(), [[1, "wall", 1]]);
  fireAt(startMs + 1, 1);
  assert.deepEqual(armed(), [[2, "wall", 1]]);
});

test("what is no function is refused, also text", () => {
  for (const callback of [`"alert(1)"`, "undefined", "null", "{}"]) {
    assert.throws(() => sandbox.run(`setTimeout(${callback}, 1)`), { name: "TypeError" });
    assert.throws(() => sandbox.run(`setInterval(${callback}, 1)`), { name: "TypeError" });
  }
});

test("queueMicrotask runs before the turn ends", () => {
  sandbox.run(`globalThis.order = []; queueMicrotask(() => order.push("micro")); order.push("sync"); return 1;`);
  assert.deepEqual(sandbox.run("order"), ["sync", "micro"]);
});

test("performance.now counts from the process's start", () => {
  assert.equal(sandbox.run("performance.timeOrigin"), startMs);
  assert.equal(sandbox.run("performance.now()"), 0);
  sandbox.timeMs += 1500;
  assert.equal(sandbox.run("performance.now()"), 1500);
  assert.deepEqual(sandbox.run("JSON.parse(JSON.stringify(performance))"), { timeOrigin: startMs });
});
