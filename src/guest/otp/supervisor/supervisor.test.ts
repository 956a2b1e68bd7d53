/** Supervisors on a real engine, beyond what the conformance corpus shows: recovery, waits, cancels, bad specifications, reports. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { World } from "../harness.test.ts";

const world = await World.of(`
import * as p from "perdure";

export class Counter extends p.Server {
  count = 0;
  lives = 0;
  async init(observer: string, failAt = 0) { this.observer = observer; this.failAt = failAt; p.send(observer, { started: p.self() }); }
  observer = "";
  failAt = 0;
  add(n: number) {
    this.count += n;
    if (this.count === this.failAt) throw new RangeError("at " + this.count);
    return this.count;
  }
  async mark() { await p.checkpoint(); return this.count; }
  poison() { this.count = -1; throw new TypeError("poisoned"); }
  slowDeath() { p.sendAfter(p.self(), "die", 1); }
  handleInfo(message: unknown) { if (message === "die") throw new Error("died of a timer's message"); }
  read() { return this.count; }
}
export class Stubborn extends p.Server {
  init(observer: string, id: string) { this.observer = observer; this.id = id; }
  observer = "";
  id = "";
  terminate(reason: unknown) { p.send(this.observer, { stopped: this.id, reason }); }
}
export async function idle() { await p.receive(); }
export async function brief() {}
export function init(answer: "ignore" | "throw" | "start", observer: string) {
  if (answer === "throw") throw new RangeError("no tree");
  return answer === "ignore" ? p.ignore : p.supervisor({ children: [{ id: "a", start: [Stubborn, observer, "a"] }] });
}
const two = (flags: object = {}, child: object = {}) => p.supervisor({ intensity: 5, ...flags, children: [
  { id: "counter", start: [Counter, p.self()], ...child },
  { id: "other", start: [Stubborn, p.self(), "other"] },
]});
const pidOf = async (sup: p.SupervisorRef, id: string) => (await sup.whichChildren()).find((each) => each.id === id)?.pid as string;
const started = () => p.receive({ match: { started: String } });
const failure = async (promise: Promise<unknown>) => await promise.then((value) => ({ value }), ({ code, details, cause, message }) => ({ code, details, cause, message }));
// What is asked behind the poison is answered after the failure, or fails with it: its monitor came after the checkpoint.
const hasFailed = (counter: p.ServerRef<Counter>) => failure(counter.read());

async function counterOf(flags: object, child: object) {
  const sup = (await p.Supervisor.start(two(flags, child)))!;
  await started();
  const pid = await pidOf(sup, "counter");
  return { sup, pid, counter: Counter.ref(pid) };
}
export async function previous(flags: object, child: object) {
  const { sup, pid, counter } = await counterOf(flags, child);
  await counter.add(5);
  counter.cast.poison();
  const after = await counter.add(1);
  return [after, (await pidOf(sup, "counter")) === pid, await sup.countChildren()];
}
export async function checkpoint() {
  const { sup, pid, counter } = await counterOf({}, { recover: "checkpoint" });
  await counter.add(5);
  await counter.mark();
  await counter.add(2);
  counter.cast.poison();
  await hasFailed(counter);
  return [await counter.add(1), (await pidOf(sup, "counter")) === pid];
}
export async function noCheckpoint() {
  const { sup, pid, counter } = await counterOf({}, { recover: "checkpoint" });
  await counter.add(5);
  counter.cast.poison();
  await started();
  const successor = await pidOf(sup, "counter");
  return [successor === pid, await Counter.ref(successor).read()];
}
export async function ladder() {
  const { sup, pid, counter } = await counterOf({ recovery: { previous: 2, checkpoint: 1, within: "1h" }, intensity: 0 }, {});
  await counter.add(1);
  await counter.mark();
  const seen: unknown[] = [];
  for (let i = 0; i < 3; i++) {
    await counter.add(10);
    counter.cast.poison();
    await hasFailed(counter);
    seen.push(await counter.read());
  }
  const monitor = p.monitor(sup.pid);
  counter.cast.poison();
  const down = await p.receive({ match: p.Down });
  return [seen, down.reason];
}
export async function countsRecoveries() {
  const { sup, counter } = await counterOf({ intensity: 2 }, { recover: "previous" });
  const monitor = p.monitor(sup.pid);
  for (let i = 0; i < 3; i++) counter.cast.poison();
  return (await p.receive({ match: p.Down })).reason;
}
export async function stopsHeld(shutdown: p.Shutdown, callFirst: boolean) {
  const { sup, pid, counter } = await counterOf({}, { recover: "previous", shutdown });
  await p.pause(sup.pid);
  const monitor = p.monitor(pid);
  const terminate = () => sup.terminateChild("counter");
  let answer = callFirst ? terminate() : undefined;
  counter.cast.poison();
  await p.sleep(10);
  answer ??= terminate();
  await p.resume(sup.pid);
  return [await answer, (await p.receive({ match: p.Down, timeout: "2s" })).pid === pid, await pidOf(sup, "counter")];
}
export async function waits() {
  const times: number[] = [];
  const sup = (await p.Supervisor.start(p.supervisor({ intensity: 100, children: [
    { id: "counter", start: [Counter, p.self(), 1], backoff: { delay: 20, factor: 3, cap: 100 } },
  ]})))!;
  const states: unknown[] = [];
  for (let i = 0; i < 4; i++) {
    await started();
    times.push(Date.now());
    Counter.ref(await pidOf(sup, "counter")).cast.add(1);
    await p.sleep(5);
    states.push(await pidOf(sup, "counter"), (await sup.restartChild("counter")).error);
  }
  return [times.map((at, i) => at - (times[i - 1] ?? at)).slice(1), states];
}
export async function stopsWaiting() {
  const sup = (await p.Supervisor.start(two({ strategy: "one_for_all" }, { backoff: { delay: 400 } })))!;
  await started();
  Counter.ref(await pidOf(sup, "counter")).cast.poison();
  const stopped = await p.receive({ match: { stopped: String } });
  const during = [await pidOf(sup, "counter"), await pidOf(sup, "other")];
  await sup.terminateChild("counter");
  return [stopped.stopped, during, await p.receive({ match: { started: String }, timeout: 500 }).catch((error) => error.name), await pidOf(sup, "counter")];
}
export async function problems() {
  const specs: any[] = [
    { strategy: "some" }, { intensity: -1 }, { period: "soon" }, { period: 0 }, { autoShutdown: "always" }, { recovery: { previous: 0.5 } }, "text",
    { strategy: "simple_one_for_one", autoShutdown: "any_significant", template: { start: [idle] } }, { strategy: "simple_one_for_one" },
  ];
  const children: any[] = [
    5, {}, { id: "" }, { id: "x" }, { id: "x", start: "idle" }, { id: "x", start: { entry: "nobody" } }, { id: "x", start: { entry: "idle", args: 5 } },
    { id: "x", start: [idle], restart: "often" }, { id: "x", start: [idle], shutdown: "soon" }, { id: "x", start: [idle], significant: 1 },
    { id: "x", start: [idle], recover: "later" }, { id: "x", start: [idle], recover: "previous", restart: "temporary" }, { id: "x", start: [idle], backoff: { delay: -1 } },
    { id: "x", start: [idle], significant: true, restart: "transient" }, { id: "x", start: [idle] },
  ];
  const sup = (await p.Supervisor.start(p.supervisor({ autoShutdown: "never" })))!;
  const flags: unknown[] = [];
  for (const spec of specs) flags.push((await failure(p.Supervisor.start(p.supervisor(spec)))).details.reason.start_spec);
  const answers: unknown[] = [];
  for (const child of children) answers.push([(await sup.startChild(child)).error, (p.checkChildSpecs([child]) as any).error]);
  const twice = p.checkChildSpecs([children.at(-1), children.at(-1)]);
  const closure = (() => { try { sup.startChild({ id: "y", start: [() => 1] }); } catch (error: any) { return error.code; } })();
  return [flags, answers, twice, closure, (await failure(Counter.ref(sup.pid).read())).code];
}
export async function inits() {
  const failed = await failure(p.Supervisor.start([init, "throw", p.self()]));
  const ignored = await p.Supervisor.start([init, "ignore", p.self()]);
  const sup = (await p.Supervisor.start(p.supervisor({ children: [{ id: "s", supervisor: [init, "start", p.self()] }, { id: "none", supervisor: [init, "ignore", ""] }] })))!;
  p.exit(sup.pid, "shutdown");
  return [failed.code, failed.cause.message, ignored, await p.receive({ match: { stopped: "a" } })];
}
export async function cancelled(observer: string) {
  return p.supervisor({ children: ["a", "b", "c"].map((id) => ({ id, start: [Stubborn, observer, id] as const })) });
}
export async function observes() {
  const seen: string[] = [];
  while (seen.length < 3) seen.push((await p.receive({ match: { stopped: String } })).stopped);
  return seen;
}
export default p.supervisor({ children: [{ id: "counter", start: [idle] }] });
export async function exported() {
  const whole = await import("./app.ts");
  const sup = (await p.Supervisor.start(whole.default))!;
  return await sup.countChildren();
}
`);

after(() => world.close());

describe("a child that fails goes on", () => {
  test("from the heap before its last turn, with everything but the message that made it fail", async () => {
    const counts = { specs: 2, active: 2, supervisors: 0, workers: 2 };
    assert.deepEqual(await world.run("previous", {}, { recover: "previous" }), [6, true, counts]);
  });

  test("from its checkpoint, and forgets what came later", async () => {
    assert.deepEqual(await world.run("checkpoint"), [6, true]);
  });

  test("from the beginning, if there is no checkpoint", async () => {
    assert.deepEqual(await world.run("noCheckpoint"), [false, 0]);
  });

  test("up the ladder: so often from before, so often from the checkpoint, then OTP's way", async () => {
    assert.deepEqual(await world.run("ladder"), [[11, 21, 1], "shutdown"]);
  });

  test("by its own recover only as often as restarts are fine", async () => {
    assert.equal(await world.run("countsRecoveries"), "shutdown");
  });
});

describe("a crashed child whose supervisor has not decided yet", () => {
  for (const shutdown of ["brutal_kill", "infinity", 500]) {
    for (const callFirst of [true, false]) {
      test(`can be stopped with ${shutdown}, the call ${callFirst ? "before" : "behind"} the notice`, async () => {
        assert.deepEqual(await world.run("stopsHeld", shutdown, callFirst), [{ ok: true }, true, undefined]);
      });
    }
  }
});

describe("backoff", () => {
  test("waits longer from restart to restart, up to the cap; meanwhile the child is restarting", async () => {
    const [waits, states] = await world.run("waits");
    [20, 60, 100].forEach((least, i) => assert.ok(waits[i] >= least && waits[i] < least + 300, `${waits}`));
    assert.deepEqual(states.slice(0, 2), ["restarting", "restarting"]);
  });

  test("stops the child's group at once, and ends with terminateChild", async () => {
    const [stopped, during, later, pid] = await world.run("stopsWaiting");
    assert.deepEqual([stopped, during, later, pid], ["other", ["restarting", undefined], "TimeoutError", undefined]);
  });
});

test("specifications are refused with what is wrong with them, by the start, startChild and checkChildSpecs", async () => {
  const [flags, answers, twice, closure, notServer] = await world.run("problems");
  assert.deepEqual(flags, [
    { invalid_strategy: "some" },
    { invalid_intensity: -1 },
    { invalid_period: "soon" },
    { invalid_period: 0 },
    { invalid_auto_shutdown: "always" },
    { invalid_recovery: { previous: 0.5 } },
    { invalid_child_spec: "text" },
    { bad_combination: { strategy: "simple_one_for_one", auto_shutdown: "any_significant" } },
    { invalid_child_spec: undefined },
  ]);
  const expected: unknown[] = [
    { invalid_child_spec: 5 },
    { missing_id: {} },
    { missing_id: { id: "" } },
    { invalid_start: undefined },
    { invalid_start: "idle" },
    { invalid_start: { entry: "nobody" } },
    { invalid_start: { entry: "idle", args: 5 } },
    { invalid_restart: "often" },
    { invalid_shutdown: "soon" },
    { invalid_significant: 1 },
    { invalid_recover: "later" },
    { bad_combination: { restart: "temporary", recover: "previous" } },
    { invalid_backoff: { delay: -1 } },
    { bad_combination: { auto_shutdown: "never", significant: true } },
    undefined,
  ];
  assert.deepEqual(
    answers,
    expected.map((each) => [each, each]),
  );
  assert.deepEqual(
    [twice, closure, notServer],
    [{ error: { duplicate_child_name: "x" } }, "ENTRY_NOT_EXPORTED", "CALL_REFUSED"],
  );
});

test("an exported function is a supervisor's init: it fails, ignores, or says what is supervised", async () => {
  const [code, why, ignored, stopped] = await world.run("inits");
  assert.deepEqual(
    [code, why, ignored, stopped],
    ["START_FAILED", "no tree", undefined, { stopped: "a", reason: "shutdown" }],
  );
});

test("a supervisor that is cancelled stops its children in reverse order first", async () => {
  const observer = await world.engine.start("observes", []);
  const tree = await world.engine.start("cancelled", [observer.pid]);
  await tree.cancel("enough");
  await assert.rejects(tree.result(), { code: "PROCESS_CANCELLED" });
  assert.deepEqual(await observer.result(), ["c", "b", "a"]);
});

test("an exported specification is started by its name", async () => {
  assert.deepEqual(await world.run("exported"), { specs: 1, active: 1, supervisors: 0, workers: 1 });
});

test("what a supervisor does is in the log, in one line for each", () => {
  const lines = world.logs.map(({ text }) => text).filter((text) => text.startsWith("Supervisor "));
  for (const part of [
    `"counter" goes on from before that turn after it failed: TypeError: poisoned`,
    `"counter" failed once too often, so it gives up: more than 0 restarts in 5 s`,
    `the child "counter"`,
  ]) {
    assert.ok(
      lines.some((line) => line.includes(part)),
      part,
    );
  }
  for (const line of lines) assert.ok(!line.includes("\n"), line);
});
