/** What hosts ask under keys happens once, and has one answer. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { Engine, Refusal } from "perdure/engine";
import { storeFile } from "./support/engine.ts";
import { failure } from "./support/failure.ts";
import { eventually } from "./support/wait.ts";

// As the README does it.
// oxlint-disable-next-line typescript/consistent-type-imports
type App = typeof import("../fixtures/idempotency/app.ts");

async function open(t: TestContext, store = "memory:"): Promise<Engine<App>> {
  const engine = await Engine.open<App>({
    store,
    program: new URL("../fixtures/idempotency/app.ts", import.meta.url),
    closeTimeoutMs: 200,
    onLog: () => undefined,
  });
  t.after(() => engine.close());
  return engine;
}

async function openTree(t: TestContext): Promise<Engine<App>> {
  const engine = await open(t);
  await engine.start("default", [], { id: "root" });
  await eventually("the children", async () => (await engine.whereis("fresh")) !== undefined);
  return engine;
}

describe("a message with a key", () => {
  test("is delivered once, however often it is sent, also by the next node and after the process has exited", async (t) => {
    const store = storeFile(t);
    const engine = await open(t, store);
    const handle = await engine.start("collect", [], { id: "c" });
    const key = "one";
    await Promise.all([handle.send({ a: 1 }, { key }), handle.send({ a: 1 }, { key }), handle.send({ a: 1 }, { key })]);
    await handle.send({ a: 1 }, { key });
    await handle.send({ a: 1 });
    await engine.close();
    const next = (await open(t, store)).get("c");
    await next.send({ a: 1 }, { key });
    await next.send({ a: 1 }, { key: "two" });
    await next.send("end", { key: "three" });
    assert.deepEqual(await next.result(), [{ a: 1 }, { a: 1 }, { a: 1 }]);
    await next.send("end", { key: "three" });
    await assert.rejects(next.send("end", { key: "four" }), { code: "PROCESS_EXITED" });
    await assert.rejects(next.send("end", { key: "four" }), { code: "PROCESS_EXITED" });
  });

  test("is KEY_CONFLICT if another one was sent under it, and keys are each receiver's own", async (t) => {
    const engine = await open(t);
    const one = await engine.start("collect", [], { id: "one" });
    const two = await engine.start("collect", [], { id: "two" });
    await one.send("a", { key: "k" });
    await two.send("b", { key: "k" });
    const error = await failure(one.send("b", { key: "k" }));
    assert.equal(error.code, "KEY_CONFLICT");
    assert.match(error.message, /"k" was used before with one, for the message 'a' at .*, and now for the message 'b'/);
    await assert.rejects(Promise.all([one.send(1, { key: "l" }), one.send(2, { key: "l" })]), { code: "KEY_CONFLICT" });
    await assert.rejects(engine.get("nobody").send(1, { key: "k" }), { code: "PROCESS_NOT_FOUND" });
    for (const key of ["", "x".repeat(201), "line\nbreak", 7 as unknown as string]) {
      await assert.rejects(one.send(1, { key }), { code: "ARGUMENT_INVALID" });
    }
    await one.send(Buffer.alloc(3), { key: "ключ: ☂ @key:/" });
  });
});

describe("a call with a key", () => {
  test("runs once, and everybody who asks has the one answer, also of the next node", async (t) => {
    const store = storeFile(t);
    const engine = await open(t, store);
    const counter = engine.at("Counter", "keyed").with({ key: "r1" });
    const answers = await Promise.all([counter.add("r1", 3), counter.add("r1", 3), counter.add("r1", 3)]);
    await engine.at("Counter", "keyed").add("other", 10);
    answers.push(await counter.add("r1", 3));
    await engine.close();
    const next = (await open(t, store)).at("Counter", "keyed");
    answers.push(await next.with({ key: "r1" }).add("r1", 3));
    assert.deepEqual(
      answers,
      Array.from({ length: 5 }, () => ({ request: "r1", total: 3 })),
    );
    assert.deepEqual(await next.with({ key: "r2" }).add("r2", 1), { request: "r2", total: 14 });
    assert.deepEqual(await next.ran(), { r1: 1, other: 1, r2: 1 });
  });

  test("that is under way is waited for, each time for as long as the caller says", async (t) => {
    const counter = (await open(t)).at("Counter", "keyed");
    const call = () => counter.with({ key: "slow", timeout: 20 }).slowly("slow");
    await assert.rejects(call(), { code: "CALL_TIMEOUT" });
    await assert.rejects(call(), { code: "CALL_TIMEOUT" });
    assert.equal(await counter.with({ key: "slow" }).slowly("slow"), "slow");
    assert.equal(await call(), "slow");
    assert.deepEqual(await counter.ran(), { slow: 1 });
  });

  test("that is answered later is answered to those who ask then", async (t) => {
    const counter = (await open(t)).at("Counter", "keyed");
    const waiting = counter.with({ key: "p" }).promise();
    await counter.ran();
    await counter.keep(7);
    assert.deepEqual([await waiting, await counter.with({ key: "p" }).promise()], [7, 7]);
  });

  test("that was refused is refused each time in the same words, and no such method is no such method", async (t) => {
    const counter = (await open(t)).at("Counter", "keyed");
    const refusals: unknown[] = [];
    for (let times = 0; times < 3; times++) {
      await counter
        .with({ key: "no" })
        .refuse("no")
        .catch((error: unknown) => refusals.push(error));
    }
    assert.ok(refusals.every((error) => error instanceof Refusal && error.message === "Not today."));
    assert.deepEqual(
      refusals.map((error) => (error as Refusal).details),
      [{ runs: 1 }, { runs: 1 }, { runs: 1 }],
    );
    const none = counter.with({ key: "none" }) as unknown as { nothing(): Promise<void> };
    for (let times = 0; times < 2; times++) await assert.rejects(none.nothing(), { code: "CALL_REFUSED" });
  });

  test("is KEY_CONFLICT with another method or other arguments, also where it was a cast or a message", async (t) => {
    const engine = await open(t);
    const counter = engine.at("Counter", "keyed");
    await counter.with({ key: "k" }).add("k", 1);
    const { code, message } = await failure(counter.with({ key: "k" }).add("k", 2));
    assert.equal(code, "KEY_CONFLICT");
    assert.match(message, /for add\('k', 1\) at .*, and now for add\('k', 2\)/);
    await assert.rejects(counter.with({ key: "k" }).refuse("k"), { code: "KEY_CONFLICT" });
    await assert.rejects(counter.with({ key: "k" }).cast.add("k", 1), { code: "KEY_CONFLICT" });
    await assert.rejects(engine.get(await counter.pid()).send("k", { key: "k" }), { code: "KEY_CONFLICT" });
    assert.throws(() => counter.with({ key: "" }), { code: "ARGUMENT_INVALID" });
    assert.deepEqual(await counter.ran(), { k: 1 });
  });

  test("may be a cast, which is run once", async (t) => {
    const counter = (await open(t)).at("Counter", "keyed");
    for (let times = 0; times < 3; times++) await counter.with({ key: "c" }).cast.add("c", 1);
    assert.deepEqual(await counter.ran(), { c: 1 });
  });

  test("may be of a read-only method: then the answer is that of the first time", async (t) => {
    const counter = (await open(t)).at("Counter", "keyed");
    assert.deepEqual(await counter.with({ key: "look" }).ran(), {});
    await counter.add("a", 1);
    assert.deepEqual(await counter.with({ key: "look" }).ran(), {});
  });

  test("of a name is one of the process that has it", async (t) => {
    const engine = await openTree(t);
    const pid = (await engine.whereis("fresh")) as string;
    assert.deepEqual(await engine.server("Counter", "fresh").with({ key: "n" }).add("n", 1), {
      request: "n",
      total: 1,
    });
    assert.deepEqual(await engine.server("Counter", pid).with({ key: "n" }).add("n", 1), { request: "n", total: 1 });
    assert.deepEqual(await engine.server("Counter", pid).ran(), { n: 1 });
  });
});

describe("a call with a key whose server ends", () => {
  test("has its answer for ever if there was one, also where another server has the place now", async (t) => {
    const counter = (await open(t)).at("Counter", "keyed");
    const first = await counter.with({ key: "r" }).add("r", 5);
    assert.equal(await counter.with({ key: "bye" }).leave(), "bye");
    assert.deepEqual(await counter.ran(), {});
    assert.equal(await counter.pid(), "Counter:keyed~2");
    assert.deepEqual(await counter.with({ key: "r" }).add("r", 5), first);
    assert.equal(await counter.with({ key: "bye" }).leave(), "bye");
    assert.deepEqual(await counter.with({ key: "new" }).add("new", 1), { request: "new", total: 1 });
  });

  test("is SERVER_GONE with the same reason each time, if it was not answered", async (t) => {
    const store = storeFile(t);
    const engine = await open(t, store);
    const counter = engine.at("Counter", "keyed");
    const failing = async (from: Engine<App>): Promise<unknown[]> => {
      const { code, details, cause } = await failure(from.at("Counter", "keyed").with({ key: "f" }).fail("why"));
      return [code, details["method"], (cause as Error).message];
    };
    const seen = [await failing(engine), await failing(engine)];
    await assert.rejects(counter.with({ key: "v" }).vanish(), { code: "SERVER_GONE" });
    await assert.rejects(counter.with({ key: "v" }).vanish(), { code: "SERVER_GONE" });
    assert.deepEqual(await counter.ran(), {});
    await engine.close();
    seen.push(await failing(await open(t, store)));
    assert.deepEqual(
      seen,
      Array.from({ length: 3 }, () => ["SERVER_GONE", "fail", "why"]),
    );
  });

  test("is SERVER_GONE if there never was such a process, and does nothing", async (t) => {
    const engine = await open(t);
    const { code, details } = await failure(engine.server("Counter", "nobody").with({ key: "k" }).add("k", 1));
    assert.deepEqual([code, details["reason"]], ["SERVER_GONE", "noproc"]);
  });
});

describe("a call with a key whose server goes back", () => {
  test("is CALL_FORGOTTEN if it was set aside, until the letter is sent again and answered", async (t) => {
    const engine = await openTree(t);
    const counter = engine.server("Counter", "previous");
    for (let times = 0; times < 2; times++) {
      const { code, details } = await failure(counter.with({ key: "f", timeout: "infinity" }).fail("why"));
      assert.deepEqual([code, details["why"]], ["CALL_FORGOTTEN", "set-aside"]);
    }
    const letters = await engine.deadLetters();
    assert.equal(letters.length, 1, "it was delivered once");
    assert.deepEqual(await counter.ran(), {}, "it lives on");
    await engine.resend(letters[0]?.seq ?? 0);
    await eventually("the second letter", async () => (await engine.deadLetters())[0]?.seq !== letters[0]?.seq);
    await assert.rejects(counter.with({ key: "f" }).fail("why"), { code: "CALL_FORGOTTEN" });
  });

  test("is CALL_FORGOTTEN if it was taken since the checkpoint and not answered; answers stay", async (t) => {
    const engine = await openTree(t);
    const counter = engine.server("Counter", "checkpoint");
    const early = counter.with({ key: "early", timeout: "infinity" }).promise();
    await counter.mark();
    const forgotten = failure(counter.with({ key: "late", timeout: "infinity" }).promise());
    const answer = await counter.with({ key: "answered" }).add("answered", 2);
    const poison = await failure(counter.with({ key: "poison" }).fail("why"));
    const { code, details } = await forgotten;
    assert.deepEqual([poison.code, poison.details["why"]], ["CALL_FORGOTTEN", "set-aside"]);
    assert.deepEqual([code, details["why"]], ["CALL_FORGOTTEN", "forgotten"]);
    await assert.rejects(counter.with({ key: "late" }).promise(), { code: "CALL_FORGOTTEN" });
    assert.deepEqual(await counter.ran(), {}, "it has forgotten");
    assert.deepEqual(await counter.with({ key: "answered" }).add("answered", 2), answer);
    await counter.keep(1);
    assert.equal(await early, 1, "what it had taken by the checkpoint it still answers");
  });

  test("is CALL_FORGOTTEN, and stays set aside, however often the server goes back to where it had the call in its mailbox", async (t) => {
    const engine = await openTree(t);
    const counter = engine.server("Counter", "checkpoint");
    const marking = counter.markLate();
    const waiting = failure(counter.with({ key: "x", timeout: "infinity" }).fail("x"));
    await marking;
    assert.equal((await waiting).details["why"], "set-aside");
    const set = async () => (await engine.deadLetters()).map(({ message }) => (message as unknown[]).at(-1));
    assert.deepEqual(await set(), [["x"]]);
    for (const key of ["y", "z"]) assert.equal((await failure(counter.with({ key }).fail(key))).code, "CALL_FORGOTTEN");
    await counter.add("after", 1);
    assert.deepEqual(await set(), [["x"], ["y"], ["z"]]);
  });

  test("is SERVER_GONE with its supervisor's child, which begins anew", async (t) => {
    const engine = await openTree(t);
    const pid = (await engine.whereis("fresh")) as string;
    const call = () => engine.server("Counter", pid).with({ key: "f" }).fail("why");
    for (let times = 0; times < 2; times++) {
      const { code, cause } = await failure(call());
      assert.deepEqual([code, (cause as Error).message], ["SERVER_GONE", "why"]);
    }
  });
});
