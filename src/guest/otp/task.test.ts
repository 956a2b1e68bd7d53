/** Tasks, on a real engine. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { World } from "./harness.test.ts";

const world = await World.of(`
import * as p from "perdure";

export async function work(n: number, how = "") {
  if (how === "throws") throw new RangeError("unlucky " + n);
  if (how === "exits") p.exit({ gave: "up" });
  if (how === "hangs") await p.receive();
  await p.sleep(n);
  return { n, pid: p.self() };
}
export class Log extends p.Server {
  running = 0;
  most = 0;
  begin() { this.most = Math.max(this.most, ++this.running); }
  end() { this.running--; }
  max() { return [this.most, this.running]; }
}
export async function logged(ms: number) {
  const log = Log.ref("log");
  await log.begin();
  await p.sleep(ms);
  await log.end();
  if (ms === 13) throw new RangeError("unlucky");
  return ms;
}
const failure = async (promise: Promise<unknown>) => await promise.then((value) => ({ value }), ({ code, details, message }) => ({ code, details, message }));
export async function results() {
  const [one, two] = [p.Task.async(work, 5), p.Task.async(work, 1)];
  const both = [await one.result(), await two.result(), await one.result()];
  return [both.map((each) => each.n), both[0]!.pid === one.pid];
}
export async function failures() {
  const hanging = p.Task.async(work, 1, "hangs");
  const late = await failure(hanging.result({ timeout: 10 }));
  hanging.stop();
  p.Task.async(work, 2, "throws");
  return [await failure(p.Task.async(work, 1, "throws").result()), await failure(p.Task.async(work, 1, "exits").result()), late, await failure(hanging.result())];
}
export async function parent(observer: string) {
  const task = p.Task.async(work, 1, "hangs");
  p.send(observer, task.pid);
  await p.sleep(5);
}
export async function orphans() {
  p.spawn(parent, p.self());
  const pid = await p.receive<string>();
  const monitor = p.monitor(pid);
  return (await p.receive({ match: p.Down })).reason;
}
export async function supervised() {
  const sup = (await p.Supervisor.start(p.supervisor({ children: [{ id: "tasks", supervisor: p.taskSupervisor() }] })))!;
  const [{ pid }] = await sup.whichChildren() as any;
  const done = await p.Task.under(pid).async(work, 1);
  const failed = await p.Task.under(p.Supervisor.ref(pid)).async(work, 1, "throws");
  const hanging = await p.Task.under(pid).async(work, 1, "hangs");
  const streamed: number[] = [];
  for await (const { n } of p.Task.under(pid).asyncStream([3, 2], work)) streamed.push(n);
  const outcomes = [streamed, (await done.result()).n, await failure(failed.result()), (await p.Supervisor.ref(pid).countChildren()).active];
  p.exit(sup.pid, "shutdown");
  return [...outcomes, await failure(hanging.result()), (await failure(p.Task.under(pid).async(work, 1))).code];
}
export async function streams(concurrency: number, delays: number[], most: number) {
  const log = (await Log.start())!;
  await p.register("log", log.pid);
  const seen: number[] = [];
  const error = await failure((async () => {
    for await (const ms of p.Task.asyncStream(delays, logged, { concurrency })) if (seen.push(ms) === most) break;
  })());
  await p.sleep(5);
  const max = await log.max();
  await p.unregister("log");
  return [seen, max[0], (error as any).message];
}
`);

after(() => world.close());

test("results are there as often as they are asked for, whichever task is done first", async () => {
  assert.deepEqual(await world.run("results"), [[5, 1, 5], true]);
});

test("a task's failure is its result's, and leaves the process that started it alone", async () => {
  const [thrown, exited, late, stopped] = await world.run("failures");
  assert.equal(thrown.message, "unlucky 1");
  assert.deepEqual([exited.code, exited.details.reason], ["TASK_FAILED", { gave: "up" }]);
  assert.equal(late.code, "CALL_TIMEOUT");
  assert.deepEqual([stopped.code, stopped.details.reason], ["TASK_FAILED", "shutdown"]);
});

test("a task ends with the process that started it", async () => {
  assert.equal(await world.run("orphans"), "killed");
});

test("supervised tasks end with their supervisor, and their failures are not restarted", async () => {
  const [streamed, n, failed, active, stopped, code] = await world.run("supervised");
  assert.deepEqual([streamed, n, failed.message, active], [[3, 2], 1, "unlucky 1", 1]);
  assert.deepEqual([stopped.details.reason, code], ["shutdown", "SERVER_GONE"]);
});

test("a stream keeps the order of the items and its bound", async () => {
  assert.deepEqual(await world.run("streams", 2, [20, 1, 1, 5], 99), [[20, 1, 1, 5], 2, undefined]);
  assert.deepEqual(await world.run("streams", 9, [10, 5, 1], 99), [[10, 5, 1], 3, undefined]);
});

test("a stream throws the first failure, and stops what runs when it is left", async () => {
  const [seen, , message] = await world.run("streams", 3, [1, 13, 60_000, 60_000], 99);
  assert.deepEqual([seen, message], [[1], "unlucky"]);
  assert.deepEqual((await world.run("streams", 2, [1, 60_000, 60_000], 1))[0], [1]);
});

test("a stream's bound is at least 1", async () => {
  assert.match((await world.run("streams", 0, [1], 99))[2], /at least 1, not 0/);
});
