/** Operations as a program and an operator see them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Engine } from "perdure/engine";
import type { OperationTimeoutError } from "perdure/host";
import { EngineProcess } from "./support/engine-process.ts";
import { common, open, shared, storeFile } from "./support/engine.ts";
import { eventually } from "./support/wait.ts";

/** What the host functions saw of one of them since `from`. */
function attemptsOf(name: string, from: number) {
  return shared()
    .attempts.slice(from)
    .filter((seen) => seen.name === name);
}

test("a thrown error is retried, each attempt under the same key; the program sees none of it", async () => {
  const { engine } = await common();
  const from = shared().attempts.length;
  assert.deepEqual(await (await engine.start("retried", [3], { id: "retried" })).result(), { value: 4 });
  const seen = attemptsOf("eventually", from);
  assert.deepEqual(
    seen.map(({ attempt }) => attempt),
    [1, 2, 3, 4],
  );
  assert.equal(new Set(seen.map(({ key }) => key)).size, 1);
  assert.match(seen[0]?.key ?? "", /^retried\/1\/[0-9a-f]{16}$/);
});

test("after the last attempt the program gets the error: class, message, cause and fields", async () => {
  const { engine } = await common();
  const from = shared().attempts.length;
  assert.deepEqual(await (await engine.start("retried", [9])).result(), {
    name: "RangeError",
    message: "attempt 4",
    cause: "Error: why",
    code: "E_BUSY",
    isError: true,
  });
  assert.equal(attemptsOf("eventually", from).length, 4);
});

test("a NonRetryableError ends the operation at its first attempt", async () => {
  const { engine } = await common();
  const from = shared().attempts.length;
  assert.deepEqual(await (await engine.start("notRetried", [])).result(), {
    name: "NonRetryableError",
    message: "never again",
    cause: "TypeError: bad",
    isError: true,
  });
  assert.equal(attemptsOf("fatal", from).length, 1);
});

test("an attempt that passes its timeout is aborted and retried; then the program gets an OperationTimeoutError", async () => {
  const { engine } = await common();
  const from = shared().attempts.length;
  const seen = (await (await (engine as Engine).start("timedOut", [])).result()) as OperationTimeoutError;
  assert.deepEqual([seen.name, seen.code, seen.timeoutMs], ["OperationTimeoutError", "OPERATION_TIMEOUT", 20]);
  assert.deepEqual(
    attemptsOf("slow", from).map(({ attempt }) => attempt),
    [1, 2],
  );
  assert.ok(shared().aborted.includes("OperationTimeoutError"));
});

test("a wait between attempts is durable, and status shows it", async (t) => {
  const store = storeFile(t);
  const from = shared().attempts.length;
  const { engine } = await open(t, { store });
  const handle = await engine.start("waitsForRetry", [], { id: "patient" });
  const waiting = async (look: () => ReturnType<typeof handle.status>) =>
    await eventually("the wait", async () => {
      const [operation] = (await look()).operations;
      return operation !== undefined && operation.attempt === 2 && operation;
    });
  const operation = await waiting(() => handle.status());
  assert.equal(operation.lastError, "Error: come back later");
  const delayMs = operation.notBeforeMs - Date.now();
  assert.ok(delayMs > 3_500_000 && delayMs <= 3_600_000, `${delayMs} ms`);
  await engine.close();
  const { engine: next } = await open(t, { store });
  assert.deepEqual(await waiting(() => next.get("patient").status()), operation);
  assert.equal(attemptsOf("patient", from).length, 1);
});

test("an operation's own limit and the node's limit bound how many attempts run at once", async (t) => {
  const { engine } = await common();
  assert.equal(await (await engine.start("crowd", [12])).result(), 3);
  const { engine: narrow } = await open(t, { operationConcurrency: 2 });
  assert.equal(await (await narrow.start("crowd", [6])).result(), 2);
});

test("calls with one key run one at a time, over all processes, and those of another key beside them", async () => {
  const { engine } = await common();
  const anna = [await engine.start("customer", ["anna", 6]), await engine.start("customer", ["anna", 6])];
  const bert = await engine.start("customer", ["bert", 6]);
  const seen = (await Promise.all([...anna, bert].map((handle) => handle.result()))).flat() as {
    here: number;
    all: number;
  }[];
  assert.equal(seen.length, 18);
  assert.deepEqual([...new Set(seen.map(({ here }) => here))], [1]);
  assert.equal(Math.max(...seen.map(({ all }) => all)), 2);
});

test("a node that is restarted takes up what waits in the order of the calls, not of the processes", async (t) => {
  const options = { store: storeFile(t), operationConcurrency: 1 };
  const { engine } = await open(t, options);
  const calls = async (pid: string): Promise<boolean> => (await engine.get(pid).status()).operations.length === 1;
  await engine.start("visitor", ["first", true], { id: "first" });
  await engine.start("visitor", ["second", false], { id: "second" });
  await eventually("the second one's call", () => calls("second"));
  await engine.get("first").send("go");
  await eventually("the first one's call", () => calls("first"));
  await engine.close();
  const from = shared().attempts.length;
  shared().notes.set("the turnstile is open", true);
  const { engine: next } = await open(t, options);
  assert.deepEqual([await next.get("first").result(), await next.get("second").result()], ["first", "second"]);
  assert.deepEqual(
    shared()
      .attempts.slice(from)
      .map(({ name }) => name),
    ["turnstile second", "turnstile first"],
  );
});

/** A program in a folder of its own, whose host functions may come and go. */
function project(t: { after(fn: () => void): void }) {
  const folder = mkdtempSync(join(tmpdir(), "perdure-project-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const program = join(folder, "app.ts");
  const write = (app: string, host: string): void => {
    writeFileSync(program, app);
    writeFileSync(join(folder, "host.ts"), host);
  };
  return { write, options: { program, store: join(folder, "store.db") } };
}

test("an operation whose function the deployment lacks waits, visibly, and goes on when it is back", async (t) => {
  const { write, options } = project(t);
  const app = `import { work } from "./host.ts"; export default async function () { return "got " + (await work()); }`;
  write(app, `"use host"; export async function work(): Promise<string> { return await new Promise(() => {}); }`);
  const first = new EngineProcess(options);
  await first.start("p", "default");
  await eventually("the operation", async () => (await first.status("p")).operations.length === 1);
  await first.kill();

  write(`export default async function () { return "another program"; }`, "export {};");
  await using second = new EngineProcess(options);
  await second.start("q", "default");
  assert.equal(await second.result("q"), "another program");
  const waiting = await eventually("the notice", () => second.notices.find(({ pid }) => pid === "p"));
  assert.equal(waiting.kind, "operation-unavailable");
  assert.match(waiting.message, /host\.ts#work/);
  const { state, operations } = await second.status("p");
  assert.deepEqual([state, operations[0]?.state], ["running", "unavailable"]);
  assert.match(operations[0]?.lastError ?? "", /not available/);
  assert.equal((await second.close()).code, 0);

  write(app, `"use host"; export async function work() { return "it"; }`);
  await using third = new EngineProcess(options);
  assert.equal(await third.result("p"), "got it");
});

test("an operation that was running at five node deaths is quarantined; the others go on, and a person can let it go on", async (t) => {
  const { write, options } = project(t);
  write(
    `import { deadly, harmless } from "./host.ts";
     export async function doomed() { return await deadly(); }
     export async function innocent() { return await harmless(); }`,
    `"use host";
     export async function deadly() {
       if (process.env.PERDURE_TEST_DEADLY !== undefined) process.kill(process.pid, "SIGKILL");
       return await new Promise((resolve) => setTimeout(resolve, 20, "survived"));
     }
     export async function harmless() { return "well"; }`,
  );
  for (let death = 1; death <= 5; death++) {
    const node = new EngineProcess(options, { PERDURE_TEST_DEADLY: "yes" });
    if (death === 1) await node.start("doomed", "doomed").catch(() => undefined);
    const { signal } = await node.ended;
    assert.equal(signal, "SIGKILL", `node ${death} outlived its operation. ${node.stderr}`);
  }
  const quarantining = new EngineProcess(options);
  await eventually("the notice", () => quarantining.notices[0]);
  await quarantining.kill();
  // Whoever opens the store later hears of it, too.
  await using last = new EngineProcess(options);
  const notice = await eventually("the notice", () => last.notices[0]);
  assert.deepEqual([notice.kind, notice.pid], ["operation-quarantined", "doomed"]);
  const { state, operations } = await last.status("doomed");
  assert.deepEqual([state, operations[0]?.state], ["running", "quarantined"]);
  await last.start("innocent", "innocent");
  assert.equal(await last.result("innocent"), "well");
  assert.equal(await last.retryOperation("doomed", 2), false);
  assert.equal(await last.retryOperation("doomed", 1), true);
  assert.equal(await last.result("doomed"), "survived");
});
