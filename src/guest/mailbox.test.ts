/** Messages and cancelling, as a program sees them, in a real machine. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  cancel,
  localMachine,
  message,
  Process,
  program,
  rejected,
  resolved,
  sources,
  timer,
} from "../machine/harness.test.ts";

const app = await program({
  "app.ts": `
import { CancelledError, receive, self, Server, signal, sleep, TimeoutError } from "perdure";
import { ask } from "./host.ts";

const isNumber = (body: unknown): body is number => typeof body === "number";

export async function two() { return [await receive(), await receive()]; }
export async function selective() { return [await receive({ match: isNumber }), await receive(), await receive()]; }
export async function together() { return await Promise.all([receive(), receive({ match: isNumber }), receive()]); }
export async function patient() {
  try { return [await receive({ timeout: "5s" })]; } catch (error) { return [error instanceof TimeoutError, await receive()]; }
}
export async function races() {
  const rounds: unknown[] = [];
  for (let round = 0; round < 3; round++) {
    const lost = new AbortController();
    rounds.push(await Promise.race([receive({ signal: lost.signal }), sleep(1000, { signal: lost.signal }).then(() => "slept")]).finally(() => lost.abort()));
  }
  return rounds;
}
export async function aborted() {
  const done = AbortSignal.abort(new RangeError("no more"));
  const errors: unknown[] = [];
  for (const call of [() => receive({ signal: done }), () => receive({ signal: done, timeout: 5 }), () => sleep(5, { signal: done })])
    await call().catch((error: any) => errors.push(error.message));
  return [errors, await receive()];
}
export async function deaf() { await sleep(10); return [await receive(), await receive()]; }
export async function picky() { return await receive({ match: (body): body is any => { if (body === "bad") throw new Error("match threw"); return true; } }); }
export async function badTimeout() { try { await receive({ timeout: "soon" }); } catch (error: any) { return error.code; } }

export async function cancels() {
  const seen: unknown[] = [];
  signal().addEventListener("abort", () => seen.push("signal", signal().aborted, (signal().reason as Error).message));
  const outcomes = await Promise.allSettled([sleep("1h"), receive(), ask(1), receive({ timeout: 10 }), fetch("https://example.org/")]);
  for (const each of outcomes) if (each.status === "rejected") seen.push([each.reason instanceof CancelledError, each.reason.message]);
  seen.push(await ask("cleanup"));
  await sleep(5);
  seen.push(await receive());
  return seen;
}
export class Log extends Server { note(_line: string) {} }
export async function casts() { Log.at("today").cast.note("begun"); try { await sleep("1h"); } finally { await ask("release"); } }
export async function stops() { await sleep("1h"); }
export async function cleans() { try { await receive(); } finally { await ask("release"); console.log("released"); } }
export async function ignores() { for (;;) { try { await receive(); } catch { console.log("ignored"); } } }
export async function fails() { try { await receive(); } catch { throw new RangeError("while winding up"); } }
export async function busy() { const answer = await ask(); return [answer, signal().aborted]; }
export async function listens() { signal().addEventListener("abort", () => { throw new Error("in a listener"); }); await receive(); }
export async function late() { await receive(); return [signal().aborted, (signal().reason as any).message, self()]; }
`,
  "host.ts": `"use host"; export async function ask(..._: unknown[]): Promise<any> {}`,
});
const machine = localMachine(sources(app));
let keys = 0;

async function started(entry: string): Promise<Process> {
  const subject = new Process(machine, app, ++keys);
  await subject.start(entry);
  return subject;
}

describe("receive", () => {
  test("gives messages in the order they arrived, in one turn or several", async () => {
    const [one, two] = [await started("two"), await started("two")];
    await one.turn(message("a"), message("b"));
    await two.turn(message("a"));
    await two.turn(message("b"));
    assert.deepEqual(
      [one.exit?.value, two.exit?.value],
      [
        ["a", "b"],
        ["a", "b"],
      ],
    );
  });

  test("keeps messages that arrive before anybody asks, in order", async () => {
    const subject = await started("deaf");
    await subject.turn(message("a"), message("b"));
    assert.equal(subject.commands.length, 1);
    await subject.turn(timer(1));
    assert.deepEqual(subject.exit?.value, ["a", "b"]);
  });

  test("with match takes the first that fits, and leaves the others in order", async () => {
    const subject = await started("selective");
    await subject.turn(message("a"), message("b"), message(7));
    assert.deepEqual(subject.exit?.value, [7, "a", "b"]);
  });

  test("called several times at once serves each message to the first that accepts it", async () => {
    const subject = await started("together");
    await subject.turn(message("a"), message("b"), message(7), message("c"));
    assert.deepEqual(subject.exit?.value, ["a", 7, "b"]);
  });

  test("with a timeout clears its timer when a message comes, and none when it does not", async () => {
    const [lucky, patient] = [await started("patient"), await started("patient")];
    const commands = await lucky.turn(message("in time"));
    assert.deepEqual([commands[0], lucky.exit?.value], [{ kind: "clear-timer", timer: 1 }, ["in time"]]);
    assert.deepEqual(await patient.turn(timer(1)), []);
    await patient.turn(message("late"));
    assert.deepEqual(patient.exit?.value, [true, "late"]);
  });

  test("whose timer and message come in one turn takes whichever is first, and loses nothing", async () => {
    const [timerFirst, messageFirst] = [await started("patient"), await started("patient")];
    await timerFirst.turn(timer(1), message("a"));
    await messageFirst.turn(message("a"), timer(1));
    assert.deepEqual([timerFirst.exit?.value, messageFirst.exit?.value], [[true, "a"], ["a"]]);
  });

  test("that lost a race and was aborted swallows no message", async () => {
    const subject = await started("races");
    await subject.turn(timer(1));
    await subject.turn(message("second"));
    await subject.turn(timer(3), message("after the race"));
    assert.deepEqual(subject.exit?.value, ["slept", "second", "slept"]);
    const last = await started("races");
    await last.turn(timer(1), message("b"), message("c"));
    assert.deepEqual(last.exit?.value, ["slept", "b", "c"]);
  });

  test("with a signal that has fired rejects with its reason at once, and sets no timer", async () => {
    const subject = await started("aborted");
    assert.deepEqual(subject.commands, []);
    await subject.turn(message("still there"));
    assert.deepEqual(subject.exit?.value, [["no more", "no more", "no more"], "still there"]);
  });

  test("whose match throws ends the process with what it threw", async () => {
    const subject = await started("picky");
    await subject.turn(message("bad"));
    assert.deepEqual([subject.exit?.reason, subject.error.message], ["error", "match threw"]);
  });

  test("with a timeout that is none says DURATION_INVALID", async () => {
    assert.equal((await started("badTimeout")).exit?.value, "DURATION_INVALID");
  });
});

describe("cancel", () => {
  test("fires the process's signal and rejects every wait; cleanup may wait anew, for whatever it likes", async () => {
    const subject = await started("cancels");
    const commands = await subject.turn(cancel("enough"));
    const cancelled = [true, "enough"];
    assert.deepEqual(
      commands.map(({ kind }) => kind),
      ["clear-timer", "clear-timer", "abort", "abort", "operation"],
    );
    await subject.turn(resolved(1, "too late"), resolved(3, "cleaned"));
    await subject.turn(timer(3), message("bye"));
    const waits = [cancelled, cancelled, cancelled, cancelled, cancelled];
    assert.deepEqual(subject.exit?.value, ["signal", true, "enough", ...waits, "cleaned", "bye"]);
  });

  test("does not cut short what the kernel answers at once: a cast that looks for its server is sent", async () => {
    const subject = await started("casts");
    const commands = [
      ...(await subject.turn(cancel("enough"))),
      ...(await subject.turn(resolved(1, { pid: "log", created: true }))),
    ];
    assert.deepEqual(
      commands.map(({ kind }) => kind),
      ["clear-timer", "operation", "send"],
    );
    await subject.turn(resolved(2, undefined));
    assert.equal(subject.exit?.reason, "cancelled");
  });

  test("that nobody catches ends the process as cancelled, with the reason", async () => {
    const subject = await started("stops");
    await subject.turn(cancel("no longer needed"));
    assert.deepEqual([subject.exit?.reason, subject.error.message], ["cancelled", "no longer needed"]);
  });

  test("lets finally blocks run to their end, with operations of their own, before the process ends as cancelled", async () => {
    const subject = await started("cleans");
    await subject.turn(cancel("enough"));
    assert.equal(subject.commands.at(-1)?.kind, "operation");
    await subject.turn(resolved(1));
    assert.deepEqual([subject.logs, subject.exit?.reason], [["released"], "cancelled"]);
  });

  test("during cleanup reaches the cleanup's own waits", async () => {
    const subject = await started("cleans");
    await subject.turn(cancel("enough"));
    await subject.turn(cancel("now"));
    assert.deepEqual([subject.exit?.reason, subject.error.message], ["cancelled", "now"]);
  });

  test("can be ignored, as often as it comes", async () => {
    const subject = await started("ignores");
    await subject.turn(cancel("a"));
    await subject.turn(cancel("b"), message("c"));
    assert.deepEqual([subject.logs, subject.exit], [["ignored", "ignored"], undefined]);
  });

  test("answered by another error ends the process with that", async () => {
    const subject = await started("fails");
    await subject.turn(cancel("enough"));
    assert.deepEqual([subject.exit?.reason, subject.error.message], ["error", "while winding up"]);
  });

  test("after the result in one turn comes too late to reject it", async () => {
    const subject = await started("busy");
    await subject.turn(resolved(1, "answer"), cancel("late"));
    assert.deepEqual(subject.exit?.value, ["answer", false]);
  });

  test("whose listener throws still reaches every wait", async () => {
    const subject = await started("listens");
    await subject.turn(cancel("enough"));
    assert.equal(subject.exit?.reason, "cancelled");
  });

  test("before the signal was ever looked at is not forgotten", async () => {
    const subject = await started("late");
    await subject.turn(cancel("early"));
    assert.equal(subject.exit?.reason, "cancelled");
  });
});

describe("what nobody handles", () => {
  test("is the end of the process: a host error that was not caught", async () => {
    const subject = await started("busy");
    await subject.turn(rejected(1, new TypeError("lost")));
    assert.deepEqual([subject.exit?.reason, subject.error.message], ["error", "lost"]);
  });
});
