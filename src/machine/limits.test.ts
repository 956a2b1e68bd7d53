/** What bounds a turn: stack, memory, fuel, commands, kill. Whatever it meets ends its own process alone. */
import assert from "node:assert/strict";
import { setImmediate as immediate } from "node:timers/promises";
import { describe, test } from "node:test";
import { localMachine, message, Process, program, resolved, sources } from "./harness.test.ts";
import type { TestMachine } from "./harness.test.ts";

const app = await program({
  "app.ts": `
import { receive, sleep } from "perdure";
import { ask } from "./host.ts";
declare const globalThis: any;

const build = (depth: number): any => { let value: any = []; for (let i = 0; i < depth; i++) value = [value]; return value; };
const deep: Record<string, (depth: number) => unknown> = {
  calls: (depth) => { const call = (left: number): number => (left === 0 ? 0 : 1 + call(left - 1)); return call(depth); },
  parse: (depth) => JSON.parse("[".repeat(depth) + "]".repeat(depth)),
  stringify: (depth) => JSON.stringify(build(depth)),
  flat: (depth) => build(depth).flat(Infinity),
  join: (depth) => String(build(depth)),
  unary: (depth) => (0, eval)("-~".repeat(depth) + "1"),
  lookahead: (depth) => new RegExp("(?=".repeat(depth) + ")".repeat(depth)),
  clone: (depth) => structuredClone(build(depth)),
  proxies: (depth) => { let value: any = {}; for (let i = 0; i < depth; i++) value = new Proxy(value, {}); return value.x; },
};
export async function nothing() {}
export async function hollow(kind: string, depth: number) { return deep[kind]?.(depth) === undefined; }
export async function survives(kind: string, depth: number) { try { deep[kind]?.(depth); return "fits"; } catch (error: any) { return error.name; } }
export async function result(depth: number) { return build(depth); }

export async function hoard() { const all: string[] = []; for (;;) all.push("x".repeat(1e6) + all.length); }
export async function recovers() {
  let all: string[] = [];
  try { for (;;) all.push("x".repeat(1e6) + all.length); }
  catch (error: any) { const { length } = all; all = []; return [error.name, error.message, length > 5, await ask()]; }
}
export async function oneBig(bytes: number) { try { return new Uint8Array(bytes).length; } catch (error: any) { return error.name; } }
export async function logs(times: number) { const text = "x".repeat(100_000); for (let i = 0; i < times; i++) console.log(text); return "logged"; }

export async function spin() { for (;;); }
export async function spinAwaiting() { for (;;) await null; }
export async function spinLate() { await receive(); for (;;); }
export async function works(rounds: number) { let sum = 0; for (let i = 0; i < rounds; i++) sum += i % 7; return sum; }
export async function guarded() {
  globalThis.cleaned = [];
  try { for (;;) await null; } catch { console.log("catch"); } finally { console.log("finally"); }
}
export async function caughtSpin() { for (;;) { try { for (;;); } catch { console.log("catch"); } finally { console.log("finally"); } } }
export async function waits() { try { await sleep(1e9); } finally { console.log("finally"); } }
`,
  "host.ts": `"use host"; export async function ask(): Promise<any> {}`,
});
const known = sources(app);
const limits = { memoryBytes: 24 * 1024 * 1024, stackBytes: 256 * 1024 };
let keys = 0;

async function healthy(machine: TestMachine): Promise<void> {
  const other = new Process(machine, app, ++keys);
  await other.start("nothing");
  assert.equal(other.exit?.reason, "normal");
  assert.deepEqual(machine.failures, []);
}

describe("the stack", () => {
  const machine = localMachine(known, { limits });
  const kinds: readonly (readonly [kind: string, depth: number])[] = [
    ["calls", 900],
    ["parse", 10_000],
    ["stringify", 10_000],
    ["flat", 4_500],
    ["join", 300],
    ["unary", 6_000],
    ["lookahead", 2_500],
    ["clone", 200],
    ["proxies", 2_000],
  ];
  for (const [kind, depth] of kinds) {
    test(`holds ${depth} levels of ${kind}; beyond, the program can catch the error and go on`, async () => {
      const subject = new Process(machine, app, ++keys);
      assert.deepEqual(await subject.ends("survives", kind, depth), { reason: "normal", value: "fits" });
      const beyond = new Process(machine, app, ++keys);
      const { reason, value } = await beyond.ends("survives", kind, 18_000);
      assert.deepEqual(
        [reason, ["RangeError", "SyntaxError"].includes(value as string)],
        ["normal", true],
        String(value),
      );
    });
  }

  test("overflown and not caught ends the process as stack_overflow, with the error", async () => {
    for (const kind of ["calls", "parse", "join"]) {
      const subject = new Process(machine, app, ++keys);
      const { reason, value } = await subject.ends("hollow", kind, 18_000);
      assert.deepEqual([reason, value instanceof RangeError], ["stack_overflow", true], kind);
    }
    await healthy(machine);
  });

  test("is no limit to the depth of a result", async () => {
    const subject = new Process(machine, app, ++keys);
    assert.equal((await subject.ends("result", 5_000)).reason, "normal");
  });
});

describe("memory", () => {
  const machine = localMachine(known, { limits });

  test("used up and not caught ends the process as out_of_memory, with the error", async () => {
    const subject = new Process(machine, app, ++keys);
    const { reason, value } = await subject.ends("hoard");
    assert.deepEqual([reason, (value as Error).message], ["out_of_memory", "out of memory"]);
    await healthy(machine);
  });

  test("used up and caught can be freed, and the process goes on", async () => {
    const subject = new Process(machine, app, ++keys);
    await subject.start("recovers");
    await subject.turn(resolved(1, "well"));
    assert.deepEqual(subject.exit, { reason: "normal", value: ["InternalError", "out of memory", true, "well"] });
  });

  test("asked for in one piece larger than there is, is refused with an error", async () => {
    for (const bytes of [2 ** 26, 2 ** 31, 2 ** 32, 2 ** 53 - 1]) {
      const subject = new Process(machine, app, ++keys);
      const { reason, value } = await subject.ends("oneBig", bytes);
      assert.deepEqual([reason, ["InternalError", "RangeError"].includes(value as string)], ["normal", true]);
    }
  });

  test("of a message that does not fit ends its receiver as out_of_memory, at that input", async () => {
    const subject = new Process(machine, app, ++keys);
    await subject.start("spinLate");
    const body = message(new Uint8Array(30 * 1024 * 1024));
    const outcome = await subject.attempt([resolved(99), body]);
    assert.ok(outcome.kind === "fatal");
    assert.deepEqual([outcome.input, outcome.reason], [1, "out_of_memory"]);
    await healthy(machine);
  });

  test("of the host is not used up by the commands of one turn", async () => {
    const few = new Process(machine, app, ++keys);
    assert.equal((await few.ends("logs", 200)).value, "logged");
    const subject = new Process(machine, app, ++keys);
    const outcome = await subject.attempt([subject.startInput("logs", [1_000_000])]);
    assert.ok(outcome.kind === "fatal");
    assert.deepEqual([outcome.reason, /commands of more than/.test(outcome.detail)], ["out_of_memory", true]);
    await healthy(machine);
  });
});

describe("fuel", () => {
  for (const entry of ["spin", "spinAwaiting", "caughtSpin", "guarded"]) {
    test(`runs out in ${entry}: the turn did not happen, and no catch or finally runs`, async () => {
      const machine = localMachine(known, { fuelInterrupts: 50 });
      const subject = new Process(machine, app, ++keys);
      const outcome = await subject.attempt([subject.startInput(entry)]);
      assert.ok(outcome.kind === "fatal");
      assert.deepEqual([outcome.input, outcome.reason], [0, "out_of_fuel"]);
      assert.deepEqual([subject.journal, machine.results.length], [[], 1]);
      await healthy(machine);
    });
  }

  test("names the input that used it up; with the ones before it, the process can go on", async () => {
    const machine = localMachine(known, { fuelInterrupts: 50 });
    const subject = new Process(machine, app, ++keys);
    await subject.start("spinLate");
    const before = subject.load();
    const outcome = await subject.attempt([resolved(7), message("spin"), message("later")]);
    assert.ok(outcome.kind === "fatal");
    assert.deepEqual([outcome.input, outcome.reason], [1, "out_of_fuel"]);
    // The machine threw the ruined memory away: the inputs before run again on what the journal gives.
    assert.deepEqual(await subject.attempt([resolved(7)]), { kind: "absent" });
    assert.deepEqual((await subject.attempt([resolved(7)], before)).kind, "done");
    const fatal = { kind: "fatal", reason: "out_of_fuel", detail: outcome.detail } as const;
    await subject.turn(fatal);
    assert.deepEqual(subject.exit, { reason: "out_of_fuel", value: outcome.detail });
  });

  test("is each turn's own: a process may use a little less again and again", async () => {
    const machine = localMachine(known, { fuelInterrupts: 40 });
    for (let round = 0; round < 5; round++) {
      const subject = new Process(machine, app, ++keys);
      assert.equal((await subject.ends("works", 100_000)).reason, "normal");
    }
  });
});

describe("kill", () => {
  for (const entry of ["spin", "spinAwaiting", "caughtSpin", "guarded"]) {
    test(`ends ${entry} in the middle of its turn, and no catch or finally runs`, async () => {
      const machine = localMachine(known);
      const subject = new Process(machine, app, ++keys);
      const ended = subject.attempt([subject.startInput(entry)]);
      await healthy(machine);
      machine.machine.kill(subject.key);
      assert.deepEqual(await ended, { kind: "fatal", input: 0, reason: "killed", detail: "Killed." });
      await healthy(machine);
      assert.equal(machine.results.filter(({ process }) => process === subject.key).length, 1);
    });
  }

  test("reaches a turn that waits to run: none of it runs", async () => {
    const machine = localMachine(known);
    const subject = new Process(machine, app, ++keys);
    const ended = subject.attempt([subject.startInput("nothing")]);
    machine.machine.kill(subject.key);
    assert.equal((await ended).kind, "fatal");
  });

  test("that comes after the turn's end does not reach the next one", async () => {
    const machine = localMachine(known);
    const subject = new Process(machine, app, ++keys);
    await subject.start("spinLate");
    machine.machine.kill(subject.key);
    machine.machine.kill(98_765);
    assert.deepEqual(await subject.turn(resolved(1)), []);
    const other = new Process(machine, app, ++keys);
    assert.equal((await other.ends("works", 300_000)).reason, "normal");
    machine.machine.kill(other.key);
  });

  test("of a turn that ends before its next interrupt leaves no mark on the process", async () => {
    const machine = localMachine(known);
    const subject = new Process(machine, app, ++keys);
    await subject.start("waits");
    const short = subject.attempt([resolved(1)]);
    await immediate();
    machine.machine.kill(subject.key);
    const outcome = await short;
    if (outcome.kind === "fatal") return;
    // It came too late: a long turn of another process with that key must not suffer for it.
    machine.machine.drop(subject.key);
    const next = new Process(machine, app, subject.key);
    assert.equal((await next.ends("works", 300_000)).reason, "normal");
  });

  test("drop ends a running turn too; the process can be run again, and its first guest disturbs nothing", async () => {
    const machine = localMachine(known);
    const subject = new Process(machine, app, ++keys);
    const ended = subject.attempt([subject.startInput("spin")]);
    await healthy(machine);
    machine.machine.drop(subject.key);
    assert.equal((await ended).kind, "fatal");
    const again = new Process(machine, app, subject.key);
    assert.equal((await again.ends("works", 3_000_000)).reason, "normal");
    assert.equal(machine.results.filter(({ process }) => process === subject.key).length, 2);
    await healthy(machine);
  });
});

describe("preemption", () => {
  for (const entry of ["spin", "spinAwaiting"]) {
    test(`two processes in ${entry} leave others their turns, and the thread its event loop`, async () => {
      const machine = localMachine(known);
      const spinners = [new Process(machine, app, ++keys), new Process(machine, app, ++keys)];
      const ended = spinners.map((each) => each.attempt([each.startInput(entry)]));
      const began = performance.now();
      for (let round = 0; round < 10; round++) {
        await immediate();
        await healthy(machine);
      }
      assert.ok(performance.now() - began < 3000);
      for (const each of spinners) machine.machine.kill(each.key);
      for (const outcome of await Promise.all(ended)) assert.equal(outcome.kind, "fatal");
    });
  }

  test("a long computation that is suspended many times has the result it always has", async () => {
    const machine = localMachine(known);
    const [a, b] = [new Process(machine, app, ++keys), new Process(machine, app, ++keys)];
    const [first, second] = await Promise.all([a.ends("works", 2_000_000), b.ends("works", 2_000_000)]);
    assert.deepEqual([first, first.reason], [second, "normal"]);
  });
});
