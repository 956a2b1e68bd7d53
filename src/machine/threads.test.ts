/** Guest threads: what becomes of a thread that hangs or dies, and of the processes in it. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { PerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import { encodeValue } from "../base/value.ts";
import { done, message, Process, program, resolved, sources, TestMachine } from "./harness.test.ts";
import { readEngineBinary } from "./engine-binary.ts";
import { encodeImage } from "./image-file.ts";
import type { LoadRequest, ProgramSources, QueryOutcome } from "./port.ts";
import { createGuestThreads } from "./threads.ts";
import type { GuestThreadsOptions } from "./threads.ts";

const app = await program({
  "app.ts": `
import { receive, Server } from "perdure";
import { ask } from "./host.ts";

/** A loop inside the engine, without interrupts and without memory; a million rounds are some tens of milliseconds. */
const native = (rounds: number) => Array.prototype.reverse.call({ length: rounds });
const forever = 2 ** 53 - 1;

export async function nothing() { return "well"; }
export async function counts() { for (let count = 1; ; count++) await ask(count); }
export async function spin() { for (;;); }
export async function hang() { native(forever); }
export async function hangLate() { for (;;) if ((await receive()) === "hang") native(forever); }
export async function spinThenHang() { for (let i = 0; i < 500_000; i++); native(forever); }
export class Gauge extends Server {
  static readOnly = ["value", "hang"];
  value() { return 7; }
  hang() { native(forever); }
}
export async function slow(rounds: number) { native(rounds); await ask("slow"); return "done"; }
`,
  "host.ts": `"use host"; export async function ask(..._: unknown[]): Promise<any> {}`,
});
const hanging = await program("Array.prototype.reverse.call({ length: 2 ** 53 - 1 }); export default async () => 1;");
const known = sources(app, hanging);
const engine = readEngineBinary();

/** A clock so many times as fast as the real one. */
function clockOf(speed: number): Clock {
  return {
    nowMs: () => performance.now() * speed,
    after(delayMs, fn) {
      const timeout = setTimeout(fn, delayMs / speed);
      return () => clearTimeout(timeout);
    },
  };
}
const realClock = clockOf(1);
/** Its second is a fifth of one. */
const fastClock = clockOf(5);

const opened: TestMachine[] = [];
after(() => Promise.all(opened.map(({ machine }) => machine.close())));

function threads(options: Partial<GuestThreadsOptions> = {}): TestMachine {
  const defaults = { engine, programs: known, clock: fastClock };
  const machine = new TestMachine((events) => createGuestThreads({ ...defaults, events, ...options }));
  opened.push(machine);
  return machine;
}

let keys = 0;
const processOn = (machine: TestMachine, of = app): Process => new Process(machine, of, ++keys);

async function counting(machine: TestMachine): Promise<Process> {
  const subject = processOn(machine);
  await subject.start("counts");
  return subject;
}

/** That the process goes on where it was, whether its thread is still the same or not. */
async function goesOn(subject: Process): Promise<void> {
  const number = subject.commands.length;
  let outcome = await subject.attempt([resolved(number)]);
  if (outcome.kind === "absent") outcome = await subject.attempt([resolved(number)], subject.load());
  const [next] = done(outcome).commands;
  assert.equal(next?.kind === "operation" && next.number, number + 1);
}

test("turns, snapshots, kills and drops reach the thread that holds the process, and images are kept outside", async () => {
  const machine = threads({ threads: 2, clock: realClock });
  const subjects = await Promise.all([1, 2, 3, 4].map(() => counting(machine)));
  for (const subject of subjects) {
    await goesOn(subject);
    assert.equal((await subject.snapshot()).turn, 2);
    machine.machine.drop(subject.key);
    assert.deepEqual(await subject.attempt([]), { kind: "absent" });
  }
  assert.equal(known.images.size, 1);
  const spinner = processOn(machine);
  const ended = spinner.attempt([spinner.startInput("spin")]);
  await processOn(machine).ends("nothing");
  await processOn(machine).ends("nothing");
  machine.machine.kill(spinner.key);
  assert.equal((await ended).kind, "fatal");
});

describe("a guest that hangs in native code", () => {
  test("is terminated after a second: it ends out_of_fuel, at the input it hung at; the others go on elsewhere", async () => {
    const machine = threads({ clock: realClock });
    const other = await counting(machine);
    const subject = processOn(machine);
    await subject.start("hangLate");
    const began = performance.now();
    const hung = subject.attempt([message("fine"), message("hang"), message("fine")]);
    const outcomes = await Promise.all([hung, other.attempt([resolved(1)])]);
    const tookMs = performance.now() - began;
    assert.ok(outcomes[0].kind === "fatal");
    assert.deepEqual([outcomes[0].input, outcomes[0].reason], [1, "out_of_fuel"]);
    assert.ok(tookMs > 900 && tookMs < 30_000, `${tookMs} ms`);
    // Its turn came before the hung one, or was answered "absent".
    if (outcomes[1].kind === "absent") await goesOn(other);
    assert.deepEqual(await subject.attempt([message("fine")]), { kind: "absent" });
    assert.equal((await subject.attempt([message("fine")], subject.load())).kind, "done");
    assert.deepEqual(machine.failures, []);
  });

  for (const entry of ["hang", "spinThenHang"]) {
    test(`is found whether it hangs at once or after it was suspended: ${entry}`, async () => {
      const machine = threads();
      const other = await counting(machine);
      const subject = processOn(machine);
      const outcome = await subject.attempt([subject.startInput(entry)]);
      assert.ok(outcome.kind === "fatal");
      assert.deepEqual([outcome.input, outcome.reason], [0, "out_of_fuel"]);
      await goesOn(other);
    });
  }

  test("takes a query's end with it and nothing else: the process and other queries of it are asked again elsewhere", async () => {
    const machine = threads();
    const gauge = processOn(machine);
    await gauge.start("Gauge");
    let id = 0;
    const ask = (method: string, load?: LoadRequest): Promise<QueryOutcome> => {
      const { process, pid, program: hash, number, timeMs, script } = gauge.request([]);
      const body = encodeValue(["perdure:call", 1, "@q", method, []]);
      const request = { id: ++id, process, pid, program: hash, turn: number - 1, timeMs, script, body, replyTo: "@q" };
      return machine.machine.query(load === undefined ? request : { ...request, load });
    };
    assert.equal((await ask("value")).kind, "answered");
    const [hung, behind] = await Promise.all([ask("hang"), ask("value")]);
    assert.ok(hung.kind === "fatal", JSON.stringify(hung));
    assert.equal(hung.reason, "out_of_fuel");
    assert.deepEqual(behind, { kind: "absent" });
    assert.equal((await ask("value", gauge.load())).kind, "answered");
    assert.equal((await gauge.attempt([message("fine")])).kind, "done");
    assert.deepEqual(machine.failures, []);
  });

  test("is found while its program's modules are evaluated", async () => {
    const machine = threads();
    const other = await counting(machine);
    const subject = processOn(machine, hanging);
    const outcome = await subject.attempt([subject.startInput("default")]);
    assert.ok(outcome.kind === "fatal");
    assert.equal(outcome.reason, "out_of_fuel");
    await goesOn(other);
  });

  test("one after the other is terminated, and the thread's replacement serves as well as the first", async () => {
    const machine = threads();
    const other = await counting(machine);
    for (let round = 0; round < 2; round++) {
      const subject = processOn(machine);
      assert.equal((await subject.ends("hang")).reason, "out_of_fuel");
      await goesOn(other);
    }
    assert.deepEqual(machine.failures, []);
  });

  test("is not confused with one that is only busy", async () => {
    const machine = threads({ fuelInterrupts: 3000 });
    const subject = processOn(machine);
    const { reason, value } = await subject.ends("spin");
    assert.deepEqual([reason, /interrupts/.test(String(value))], ["out_of_fuel", true]);
  });
});

/** An image that no instance can hold: whoever takes it out of the cache thinks the host has no memory. */
function poison(key: string): Uint8Array {
  const pointers = { runtime: 0, context: 0, stackPointer: 0, undefined: 0, scratch: 0, argv: 0, dispatch: 0 };
  return encodeImage({ key, memory: Buffer.alloc(65_536), pointers, evaluated: true, bundle: "" });
}

describe("a thread that dies", () => {
  test("is replaced; turns that were under way are absent, and run again", async () => {
    const keysAsked: string[] = [];
    const programs: ProgramSources = {
      ...known,
      async loadImage(key) {
        keysAsked.push(key);
        return keysAsked.length === 1 ? poison(key) : undefined;
      },
    };
    const machine = threads({ programs, clock: realClock });
    const subject = processOn(machine);
    assert.deepEqual(await subject.attempt([subject.startInput("nothing")]), { kind: "absent" });
    assert.equal((await subject.ends("nothing")).value, "well");
    assert.deepEqual([keysAsked.length, machine.failures], [2, []]);
  });

  test("five times within a minute takes the node down with GUEST_THREAD_FAILED, which names the cause", async () => {
    const machine = threads({ engine: new Uint8Array([1, 2, 3]) });
    for (let tries = 0; machine.failures.length === 0 && tries < 500; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const [failure, ...others] = machine.failures;
    assert.ok(failure instanceof PerdureError);
    assert.deepEqual([failure.code, others.length], ["GUEST_THREAD_FAILED", 0]);
    assert.match(failure.message, /5 times within a minute.*hash/);
  });
});

describe("what the thread cannot get", () => {
  test("a program that is not there breaks its process, and only that", async () => {
    const machine = threads();
    const subject = processOn(machine, { ...app, hash: "unknown" });
    const outcome = await subject.attempt([subject.startInput("nothing")]);
    assert.deepEqual(outcome, { kind: "broken", detail: "There is no program unknown." });
    assert.equal((await processOn(machine).ends("nothing")).value, "well");
    assert.deepEqual(machine.failures, []);
  });

  test("because the store failed is the node's failure", async () => {
    const failure = new PerdureError("STORE_FAILED", "The disk is gone.");
    const machine = threads({ programs: { ...known, source: () => Promise.reject(failure) } });
    const subject = processOn(machine);
    void subject.attempt([subject.startInput("nothing")]);
    for (let tries = 0; machine.failures.length === 0 && tries < 500; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.deepEqual(machine.failures, [failure]);
  });

  test("from a cache that fails is made anew", async () => {
    const programs = { ...known, loadImage: () => Promise.reject(new PerdureError("STORE_CORRUPT", "A bad row.")) };
    const machine = threads({ programs });
    assert.equal((await processOn(machine).ends("nothing")).value, "well");
    assert.deepEqual(machine.failures, []);
  });
});

test("after close nothing is answered any more, in whatever the thread was", async () => {
  const machine = threads();
  const subject = processOn(machine);
  await subject.start("counts");
  const spinner = processOn(machine);
  void spinner.attempt([spinner.startInput("spin")]);
  await machine.machine.close();
  const answered = machine.results.length;
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.deepEqual([machine.results.length, machine.failures], [answered, []]);
});

test("a watch is kept once, however often turns begin and end", async () => {
  let timers = 0;
  const clock: Clock = {
    ...fastClock,
    after(delayMs, fn) {
      timers++;
      return fastClock.after(delayMs, fn);
    },
  };
  const machine = threads({ clock });
  const subject = await counting(machine);
  const [before, began] = [timers, performance.now()];
  for (let turn = 0; turn < 200; turn++) await goesOn(subject);
  const looks = (performance.now() - began) / 10;
  assert.ok(timers - before <= looks + 2, `${timers - before} timers in ${looks} looks`);
});
