/** Spawning, links, monitors, signals and names, as commands and inputs of a real machine. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decodeValue, encodeValue } from "../base/value.ts";
import type { Command, ExitReason, Input } from "../journal/types.ts";
import {
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
import * as p from "perdure";
import { helper } from "./lib/other.ts";
import type { Mailbox } from "perdure";
export { helper as renamed } from "./lib/other.ts";
export async function worker(this: Mailbox<number>, a: number, b: string) { return [this.pid, await this.receive(), a, b]; }
export async function spawns() {
  const first = p.spawn(worker, 1, "x");
  const second = p.spawnLink(worker, 2, "y");
  const third = p.spawnMonitor(helper);
  p.spawn(p.self() === "" ? worker : other, 1, "z");
  const codes: string[] = [];
  for (const bad of [() => 1, JSON.stringify, "text" as never]) try { p.spawn(bad as never); } catch (error: any) { codes.push(error.code); }
  try { p.spawn(worker, (() => 1) as never, ""); } catch (error: any) { codes.push(error.code); }
  return { first, second, third: third.pid, codes };
}
const other = worker;
export async function watches() {
  p.trapExit();
  const seen: unknown[] = [];
  const monitor = p.monitor("x");
  const gone = p.monitor("y");
  p.link("z");
  p.demonitor(gone);
  for (let i = 0; i < 4; i++) {
    const got = await p.receive({ match: i === 0 ? { take: String } : (m: unknown): m is unknown => true });
    if (got instanceof p.Exit) seen.push(["exit", got.from, got.reason]);
    else if (got instanceof p.Down) seen.push(["down", got.monitor === monitor, got.pid, got.reason]);
    else seen.push(got);
  }
  p.unlink("z");
  return seen;
}
export async function quits(reason: unknown, caught: boolean) {
  try {
    await Promise.resolve();
    p.exit(reason);
  } catch (error) { if (caught) return "caught"; throw error; } finally { console.log("finally"); }
}
export function quitsBare() { p.exit(); }
export async function quitsInCallback() { setTimeout(() => p.exit({ shutdown: 5 }), 10); await p.sleep("1h"); }
export async function signals() { p.exit("a", "kill"); p.exit("b", { shutdown: 1 }); p.exit("c", new RangeError("no")); p.exit("d", ["own"]); p.exit("e", "shutdown"); }
export async function names() {
  await p.register("me");
  const taken = await p.register("other", "q").catch((error) => [error instanceof p.PerdureError, error.code, error.details]);
  return [taken, await p.whereis("me"), await p.members("g"), await p.isAlive("q")];
}
export async function timers() {
  const one = p.sendAfter("a", { n: 1 }, "1s");
  const two = p.sendAfter("b", 2, 5);
  p.cancelTimer(two);
  await p.receive();
  return [p.cancelTimer(one), p.cancelTimer(two)];
}
export async function checkpoints() { await p.checkpoint(); p.spawn(worker, Math.random(), ""); await p.sleep(5); }
`,
  "lib/other.ts": `export function helper() {}`,
});

const machine = localMachine(sources(app));
let key = 0;
const start = (): Process => new Process(machine, app, ++key);
const signal = (kind: "exit" | "down", from: string, reason: ExitReason, value?: unknown, more = {}): Input =>
  ({
    kind,
    from,
    reason,
    value: encodeValue(value),
    ...(kind === "exit" ? { linked: true, held: "" } : {}),
    ...more,
  }) as Input;
const spawnsOf = (commands: readonly Command[]) => commands.filter((each) => each.kind === "spawn");

describe("spawn", () => {
  test("gives a pid at once, names exported functions by module, and refuses others", async () => {
    const one = start();
    const commands = await one.start("spawns");
    const { first, second, third, codes } = one.exit!.value as Record<string, string>;
    assert.deepEqual(codes, ["ENTRY_NOT_EXPORTED", "ENTRY_NOT_EXPORTED", "ENTRY_NOT_EXPORTED", "VALUE_NOT_CLONEABLE"]);
    const [a, b, c, d] = spawnsOf(commands);
    assert.deepEqual([a?.pid, b?.pid, c?.pid], [first, second, third]);
    assert.deepEqual([a?.entry, a?.link, a?.monitor, decodeValue(a!.args)], ["worker", false, 0, [1, "x"]]);
    assert.deepEqual([b?.link, b?.monitor, b?.options], [true, 0, ""]);
    assert.deepEqual([c?.entry, c?.link, c?.monitor, decodeValue(c!.args)], ["renamed", false, 1, []]);
    assert.equal(d?.entry, "worker");
    for (const pid of [first, second, third]) assert.match(pid ?? "", /^[0-9a-hjkmnp-tv-z]{20}$/);
    assert.equal(new Set([first, second, third, d?.pid]).size, 4);
  });

  test("runs the function with its mailbox as this", async () => {
    const one = start();
    await one.start("worker", 7, "x");
    await one.turn(message(5));
    assert.deepEqual(one.exit, { reason: "normal", value: [`p${one.key}`, 5, 7, "x"] });
  });
});

test("exit signals and ends of others arrive as Exit and Down, in order; a demonitored end does not", async () => {
  const one = start();
  const commands = await one.start("watches");
  assert.deepEqual(
    commands.map((each) => each.kind),
    ["trap-exit", "monitor", "monitor", "link", "demonitor"],
  );
  await one.turn(
    message({ from: "x", reason: "faked" }),
    signal("down", "y", "normal", undefined, { monitor: 2 }),
    signal("exit", "z", "shutdown", 5),
    signal("down", "x", "error", new RangeError("boom"), { monitor: 1 }),
  );
  const last = await one.turn(message({ take: "this" }));
  assert.equal(last[0]?.kind, "unlink");
  const seen = (one.commands.at(-1) as Extract<Command, { kind: "exit" }>).value;
  const boom = (decodeValue(seen) as unknown[][])[3]?.[3];
  assert.ok(boom instanceof RangeError);
  assert.deepEqual(decodeValue(seen), [
    { take: "this" },
    { from: "x", reason: "faked" },
    ["exit", "z", { shutdown: 5 }],
    ["down", true, "x", boom],
  ]);
});

describe("exit", () => {
  const reasons: readonly (readonly [reason: unknown, word: ExitReason, value: unknown])[] = [
    ["normal", "normal", undefined],
    ["shutdown", "shutdown", undefined],
    [{ shutdown: { deep: 1 } }, "shutdown", { deep: 1 }],
    ["killed", "killed", undefined],
    ["noproc", "noproc", undefined],
    ["init_failed", "exit", "init_failed"],
    [{ error: 1 }, "exit", { error: 1 }],
    [{ shutdown: 1, more: 2 }, "exit", { shutdown: 1, more: 2 }],
  ];
  for (const [reason, word, value] of reasons) {
    test(`with ${JSON.stringify(reason)} ends the process as ${word}, after its finally blocks`, async () => {
      const one = start();
      await one.start("quits", reason, false);
      assert.deepEqual(one.exit, { reason: word, value });
      assert.deepEqual(one.logs, ["finally"]);
    });
  }

  test("with an error ends it as a throw does", async () => {
    const one = start();
    await one.start("quits", new RangeError("boom"), false);
    assert.equal(one.error.message, "boom");
    assert.equal(one.exit?.reason, "error");
  });

  test("without a reason is normal, can be caught, and works in a callback", async () => {
    const [bare, caught, callback] = [start(), start(), start()];
    await bare.start("quitsBare");
    assert.deepEqual(bare.exit, { reason: "normal", value: undefined });
    await caught.start("quits", "shutdown", true);
    assert.deepEqual(caught.exit, { reason: "normal", value: "caught" });
    await callback.start("quitsInCallback");
    await callback.turn(timer(1));
    assert.deepEqual(callback.exit, { reason: "shutdown", value: 5 });
  });

  test("with a pid sends a signal", async () => {
    const one = start();
    const sent = (await one.start("signals")).filter((each) => each.kind === "signal");
    const boom = decodeValue(sent[2]!.value);
    assert.ok(boom instanceof RangeError);
    assert.deepEqual(
      sent.map((each) => [each.to, each.reason, decodeValue(each.value)]),
      [
        ["a", "kill", undefined],
        ["b", "shutdown", 1],
        ["c", "error", boom],
        ["d", "exit", ["own"]],
        ["e", "shutdown", undefined],
      ],
    );
  });
});

test("names, groups and life are asked of the kernel, and its errors arrive as PerdureErrors", async () => {
  const one = start();
  const first = await one.start("names");
  const taken = Object.assign(new Error("taken"), { code: "NAME_TAKEN", details: { name: "other" } });
  Object.defineProperty(taken, "name", { value: "PerdureError" });
  const operations = [
    ...first,
    ...(await one.turn(resolved(1))),
    ...(await one.turn(rejected(2, taken))),
    ...(await one.turn(resolved(3, "me"))),
    ...(await one.turn(resolved(4, ["a"]))),
  ].filter((each) => each.kind === "operation");
  await one.turn(resolved(5, false));
  assert.deepEqual(
    operations.map(({ name, options }) => [name, JSON.parse(options)]),
    [
      ["perdure:register", { name: "me", pid: `p${one.key}` }],
      ["perdure:register", { name: "other", pid: "q" }],
      ["perdure:whereis", { name: "me" }],
      ["perdure:members", { group: "g" }],
      ["perdure:alive", { pid: "q" }],
    ],
  );
  assert.deepEqual(one.exit?.value, [[true, "NAME_TAKEN", { name: "other" }], "me", ["a"], false]);
});

test("a message sent after a delay leaves when the timer fires, unless it was taken back", async () => {
  const one = start();
  const commands = await one.start("timers");
  assert.deepEqual(
    commands.map((each) => each.kind),
    ["timer", "timer", "clear-timer"],
  );
  const [sent] = await one.turn(timer(1));
  assert.ok(sent?.kind === "send" && sent.to === "a");
  assert.deepEqual(decodeValue(sent.body), { n: 1 });
  await one.turn(message(0));
  assert.deepEqual(one.exit?.value, [false, false]);
});

test("after a restore numbers go on far above, pids and random numbers are others, and the program goes on behind its checkpoint", async () => {
  const one = start();
  assert.deepEqual(
    (await one.start("checkpoints")).map((each) => each.kind),
    ["checkpoint", "timer"],
  );
  const [first] = spawnsOf(await one.turn(timer(1)));
  const restored = new Process(machine, app, one.key + 1000);
  await restored.start("checkpoints");
  await restored.turn({ kind: "restore", life: 2, seed: new Uint8Array(32).fill(99) });
  const commands = await restored.turn(timer(1));
  const [again] = spawnsOf(commands);
  assert.notEqual(first?.pid, again?.pid);
  assert.notDeepEqual(decodeValue(first!.args), decodeValue(again!.args));
  assert.ok(commands.some((each) => each.kind === "timer" && each.number === 2_000_000_001));
});
