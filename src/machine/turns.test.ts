import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Command } from "../journal/types.ts";
import { cancel, localMachine, message, Process, program, rejected, resolved, sources, timer } from "./harness.test.ts";

const app = await program({
  "app.ts": `
import { receive, self, send, sleep } from "perdure";
import { ask } from "./host.ts";

export async function nothing() {}
export async function echo(...args: unknown[]) { return args; }
export async function one() { return [await ask("a", 1), "after"]; }
export async function both() { return await Promise.all([ask("a"), ask("b")]); }
export async function race() { return await Promise.race([ask("a"), ask("b")]); }
export async function settled() {
  return (await Promise.allSettled([ask("a"), ask("b")])).map((each) => each.status);
}
export async function caught() { try { await ask("a"); } catch (error: any) { return [error instanceof RangeError, error.message, error.code]; } }
export async function waits() { await sleep("2s"); return Date.now(); }
export async function times() {
  setTimeout((word: string) => console.log(word), 50, "later");
  setTimeout(() => console.log("sooner"), 10);
  const gone = setTimeout(() => console.log("never"), 20);
  clearTimeout(gone);
  await sleep(100);
}
export async function ticks() {
  let count = 0;
  return await new Promise((resolve) => { const id = setInterval(() => { if (++count === 3) { clearInterval(id); resolve(count); } }, 10); });
}
export async function order() {
  setTimeout(() => console.log("timer"), 0);
  queueMicrotask(() => console.log("microtask"));
  Promise.resolve().then(() => console.log("then 1")).then(() => console.log("then 2"));
  (async () => { console.log("sync"); await null; console.log("after await"); })();
  console.log("end");
  await sleep(10);
}
export async function mailbox() {
  for (;;) {
    const body = await receive();
    console.log("message " + body);
    Promise.resolve().then(() => console.log("microtask of " + body));
  }
}
export async function stops() { console.log(String(await receive())); return "done"; }
export async function commands() {
  console.warn("w"); send("other", { hello: 1 }); void ask(1); void sleep(5); return self();
}
export async function now() { const first = Date.now(); for (let i = 0; i < 1e4; i++); return [first, Date.now() - first, new Date().getTime()]; }
export async function background() { (async () => { for (;;) await null; })(); return "ended"; }
export async function beyond() { (async () => { for (let i = 0; i < 20; i++) await null; console.log("never heard"); })(); return "ended"; }
export class Shape {}
export const notFunction = 5;
`,
  "host.ts": `"use host"; export async function ask(..._args: unknown[]): Promise<any> {}`,
  "lib/tools.ts": `export async function tool(x: number) { return x * 2; }`,
  "index.ts": `import "./lib/tools.ts";`,
});
const machine = localMachine(sources(app));
let keys = 0;
const process = (): Process => new Process(machine, app, ++keys);

async function started(entry: string, ...args: readonly unknown[]): Promise<Process> {
  const subject = process();
  await subject.start(entry, ...args);
  return subject;
}

const kinds = (commands: readonly Command[]): string[] => commands.map(({ kind }) => kind);

describe("a turn", () => {
  test("collects its commands in the order they were issued", async () => {
    const subject = await started("commands");
    assert.deepEqual(kinds(subject.commands), ["log", "send", "operation", "timer", "exit"]);
    assert.equal(subject.exit?.value, `p${subject.key}`);
  });

  test("ends when nothing is left to do but wait", async () => {
    const subject = await started("one");
    assert.deepEqual(kinds(subject.commands), ["operation"]);
    await subject.turn(resolved(1, "answer"));
    assert.deepEqual(subject.exit, { reason: "normal", value: ["answer", "after"] });
  });

  test("may have no inputs at all", async () => {
    const subject = await started("one");
    assert.deepEqual(await subject.turn(), []);
  });

  test("has one time throughout: the turn's", async () => {
    const subject = await started("now");
    assert.deepEqual(subject.exit?.value, [subject.timeMs, 0, subject.timeMs]);
  });

  test("of another process has no part in it", async () => {
    const [a, b] = [await started("one"), await started("one")];
    await b.turn(resolved(1, "b"));
    await a.turn(resolved(1, "a"));
    assert.deepEqual(
      [a.exit?.value, b.exit?.value],
      [
        ["a", "after"],
        ["b", "after"],
      ],
    );
  });
});

describe("inputs of one turn", () => {
  test("are macrotasks, each with its microtasks, in their order", async () => {
    const subject = await started("mailbox");
    await subject.turn(message("a"), message("b"));
    assert.deepEqual(subject.logs, ["message a", "microtask of a", "message b", "microtask of b"]);
  });

  test("after the exit are not delivered", async () => {
    const subject = await started("stops");
    await subject.turn(message("first"), message("second"), cancel("late"));
    assert.deepEqual([subject.logs, subject.exit], [["first"], { reason: "normal", value: "done" }]);
  });

  test("settle operations in the order the results come, not in the order they were begun", async () => {
    const [all, race] = [await started("both"), await started("race")];
    await all.turn(resolved(2, "second"), resolved(1, "first"));
    await race.turn(resolved(2, "second"), resolved(1, "first"));
    assert.deepEqual([all.exit?.value, race.exit?.value], [["first", "second"], "second"]);
  });

  test("that nobody waits for change nothing: results, timers and operations that were never there", async () => {
    const subject = await started("one");
    assert.deepEqual(await subject.turn(resolved(99, 1), rejected(98, "no"), timer(97)), []);
    await subject.turn(resolved(1, "still waiting"));
    assert.deepEqual(subject.exit?.value, ["still waiting", "after"]);
  });

  test("give a result to its operation once", async () => {
    const subject = await started("both");
    await subject.turn(resolved(1, "first"), resolved(1, "again"), resolved(2, "second"));
    assert.deepEqual(subject.exit?.value, ["first", "second"]);
  });
});

describe("promises", () => {
  test("run microtasks in the order of the web", async () => {
    const subject = await started("order");
    const first = subject.commands.flatMap((command) => (command.kind === "timer" ? [command.number] : []))[0] ?? 0;
    await subject.turn(timer(first));
    assert.deepEqual(subject.logs, ["sync", "end", "microtask", "then 1", "after await", "then 2", "timer"]);
  });

  test("Promise.all rejects with the first rejection; allSettled waits for all", async () => {
    const [all, settled] = [await started("both"), await started("settled")];
    await all.turn(rejected(2, new TypeError("broken")));
    await settled.turn(rejected(2, new TypeError("broken")), resolved(1));
    assert.deepEqual([all.exit?.reason, all.error.message], ["error", "broken"]);
    assert.deepEqual(settled.exit?.value, ["fulfilled", "rejected"]);
  });

  test("an operation's error arrives as the error it was, with its class, message and fields", async () => {
    const subject = await started("caught");
    await subject.turn(rejected(1, Object.assign(new RangeError("too far"), { code: "E_FAR" })));
    assert.deepEqual(subject.exit?.value, [true, "too far", "E_FAR"]);
  });
});

describe("timers", () => {
  test("name the time they are due at", async () => {
    const subject = await started("waits");
    assert.deepEqual(subject.commands, [{ kind: "timer", number: 1, clock: "wall", dueMs: subject.timeMs + 2000 }]);
    subject.timeMs += 2500;
    await subject.turn(timer(1));
    assert.equal(subject.exit?.value, subject.timeMs);
  });

  test("fire once each, with their arguments; cleared ones never, even if their input is under way", async () => {
    const subject = await started("times");
    assert.deepEqual(kinds(subject.commands), ["timer", "timer", "timer", "clear-timer", "timer"]);
    await subject.turn(timer(2), timer(3), timer(1), timer(1));
    assert.deepEqual([subject.logs, subject.exit], [["sooner", "later"], undefined]);
    await subject.turn(timer(4));
    assert.equal(subject.exit?.reason, "normal");
  });

  test("an interval is a new timer for each tick", async () => {
    const subject = await started("ticks");
    for (const number of [1, 2, 3]) {
      subject.timeMs += 10;
      await subject.turn(timer(number));
    }
    assert.equal(subject.exit?.value, 3);
  });
});

describe("the exit", () => {
  test("is the last command: work left in the background neither delays it nor is heard", async () => {
    const [spinning, late] = [await started("background"), await started("beyond")];
    assert.deepEqual(spinning.exit, { reason: "normal", value: "ended" });
    assert.deepEqual([late.logs, late.exit?.value], [[], "ended"]);
  });

  test("of a function without a result carries undefined", async () => {
    assert.deepEqual((await started("nothing")).exit, { reason: "normal", value: undefined });
  });

  test("of an entry that is not there, or is no function, says so", async () => {
    for (const entry of ["missing", "notFunction", "app.ts#missing", "toString", "__proto__"]) {
      const subject = await started(entry);
      assert.deepEqual([subject.exit?.reason, subject.error.code], ["error", "ENTRY_NOT_FOUND"], entry);
    }
  });

  test("an entry can be named with its module's path", async () => {
    assert.deepEqual((await started("app.ts#echo", 1)).exit?.value, [1]);
  });

  test("a class is no function to be called: the process ends with that error", async () => {
    assert.equal((await started("Shape")).exit?.reason, "error");
  });
});

test("an unknown program is broken, and the next request asks for it again", async () => {
  const available = [] as (typeof app)[];
  const late = localMachine({
    ...sources(),
    source: async () => available[0] ?? Promise.reject(new Error("no program")),
  });
  const first = new Process(late, app, 1);
  assert.deepEqual(await first.attempt([first.startInput("nothing")]), { kind: "broken", detail: "no program" });
  available.push(app);
  await first.start("nothing");
  assert.equal(first.exit?.reason, "normal");
});

test("turns of many processes handed over at once are all answered, each once", async () => {
  const many = Array.from({ length: 100 }, process);
  await Promise.all(many.map((each) => each.start("echo", each.key)));
  assert.deepEqual(
    many.map((each) => each.exit?.value),
    many.map((each) => [each.key]),
  );
  const answers = machine.results.map((result) => `${result.process}/${result.number}`);
  assert.equal(new Set(answers).size, answers.length);
});
