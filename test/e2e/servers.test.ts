/** Servers, supervisors and what an operator does with processes, from the host. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { Engine, Refusal } from "perdure/engine";
import type { ProcessTree } from "perdure/engine";
import { eventually } from "./support/wait.ts";
import { storeFile } from "./support/engine.ts";
import { failure } from "./support/failure.ts";

// As the README does it.
// oxlint-disable-next-line typescript/consistent-type-imports
type App = typeof import("../fixtures/servers/app.ts");

async function open(t: TestContext, store = "memory:"): Promise<Engine<App>> {
  const engine = await Engine.open<App>({
    store,
    program: new URL("../fixtures/servers/app.ts", import.meta.url),
    closeTimeoutMs: 200,
    onLog: () => undefined,
  });
  t.after(() => engine.close());
  return engine;
}

describe("a server by key", () => {
  test("is started by its first call, and is the same one for everybody, also after the node's death", async (t) => {
    const store = storeFile(t);
    const engine = await open(t, store);
    const cart = engine.at("Cart", "ann");
    assert.deepEqual(await engine.list(), []);
    assert.deepEqual(await Promise.all([cart.add("tea"), engine.at("Cart", "ann").add("cup")]), [1, 2]);
    assert.equal(await cart.pid(), "Cart:ann");
    const [view, ...others] = await engine.list();
    assert.deepEqual([view?.role, view?.label, others.length], ["server", "ann", 0]);
    await engine.close();
    const next = await open(t, store);
    assert.deepEqual(await next.at("Cart", "ann").list(), ["tea", "cup"]);
  });

  test("begins anew after it has ended", async (t) => {
    const cart = (await open(t)).at("Cart", "ann");
    await cart.add("tea");
    assert.equal(await cart.leave(), "bye");
    assert.equal(await cart.add("cup"), 1);
    assert.equal(await cart.pid(), "Cart:ann~2");
  });

  test("a thousand calls at once are each answered with their own answer", async (t) => {
    const engine = await open(t);
    const numbers = Array.from({ length: 1000 }, (_, number) => number);
    const counts = await Promise.all(numbers.map((number) => engine.at("Cart", `c${number % 10}`).add("x")));
    assert.deepEqual(
      counts.toSorted((a, b) => a - b),
      numbers.map((number) => Math.floor(number / 10) + 1),
    );
  });

  test("a cast waits for no answer, and is taken in order", async (t) => {
    const cart = (await open(t)).at("Cart", "ann");
    await cart.cast.add("tea");
    await cart.cast.add("cup");
    assert.deepEqual(await cart.list(), ["tea", "cup"]);
  });

  test("an answer may come later", async (t) => {
    const cart = (await open(t)).at("Cart", "ann");
    const next = cart.next();
    assert.equal(await cart.add("tea"), 0);
    assert.equal(await next, "tea");
  });
});

describe("calls that fail", () => {
  test("a refusal is an answer: the server lives on", async (t) => {
    const cart = (await open(t)).at("Cart", "ann");
    await cart.add("tea");
    await assert.rejects(cart.add(""), (error) => {
      assert.ok(error instanceof Refusal);
      assert.deepEqual([error.message, error.details], ["Nothing to add.", { owner: "ann" }]);
      return true;
    });
    assert.deepEqual(await cart.list(), ["tea"]);
  });

  test("a server that fails takes its caller's hope with it: SERVER_GONE, with its error as the cause", async (t) => {
    const cart = (await open(t)).at("Cart", "ann");
    const gone = await failure(cart.fail("broken"));
    assert.equal(gone.code, "SERVER_GONE");
    assert.deepEqual([gone.details["pid"], gone.details["method"]], ["Cart:ann", "fail"]);
    assert.ok(gone.cause instanceof Error);
    assert.match(gone.cause.stack ?? "", /at fail \(app\.ts:\d+:\d+\)/);
    assert.deepEqual(await cart.list(), [], "the next one begins anew");
  });

  test("nobody there: SERVER_GONE; no such method, or an answer that cannot cross: it says so", async (t) => {
    const engine = await open(t);
    const nobody = await failure(engine.server("Cart", "nobody").list());
    assert.deepEqual([nobody.code, nobody.details["reason"]], ["SERVER_GONE", "noproc"]);
    await assert.rejects(engine.server("Cart", "nobody").cast.add("x"), { code: "PROCESS_NOT_FOUND" });
    const untyped = (engine as Engine).at("Cart", "ann");
    await assert.rejects(untyped["nothing"]?.() as Promise<unknown>, { code: "CALL_REFUSED" });
    await assert.rejects(untyped["init"]?.("x") as Promise<unknown>, { code: "CALL_REFUSED" });
    const closure = await failure(untyped["add"]?.(() => 1) as Promise<unknown>);
    assert.equal(closure.code, "VALUE_NOT_CLONEABLE");
    assert.match(closure.message, /\$\[0\]/);
    assert.throws(() => (engine as Engine).at("Crt", "ann"), { code: "ENTRY_NOT_FOUND" });
  });

  test("CALL_TIMEOUT after 5 seconds, or what `within` says; the message stays sent", async (t) => {
    const engine = await open(t);
    const cart = engine.at("Cart", "ann");
    await cart.add("tea");
    const handle = engine.get(await cart.pid());
    assert.equal(await handle.pause(), true);
    const late = await failure(cart.within("50 ms").add("cup"));
    assert.deepEqual([late.code, late.details["timeoutMs"]], ["CALL_TIMEOUT", 50]);
    assert.equal(await handle.resume(), true);
    assert.deepEqual(await cart.within("infinity").list(), ["tea", "cup"]);
  });

  test("closing the engine ends them", async (t) => {
    const engine = await open(t);
    const cart = engine.at("Cart", "ann");
    const waiting = failure(cart.within("infinity").next());
    await cart.list();
    await engine.close();
    assert.equal((await waiting).code, "ENGINE_CLOSED");
  });
});

describe("types", () => {
  test("calls are those of the program's own classes", async (t) => {
    const engine = await open(t);
    const cart = engine.at("Cart", "ann");
    const count: number = await cart.add("tea");
    const item: Promise<string> = cart.next();
    const sent: Promise<void> = cart.cast.add("cup");
    // @ts-expect-error: an argument of another type
    await assert.rejects(cart.add(() => 7));
    // @ts-expect-error: a hook is no call
    await assert.rejects(cart.init("x"));
    // @ts-expect-error: not public
    void cart.waiting;
    // @ts-expect-error: no server
    assert.throws(() => engine.at("nothing", "x"));
    // @ts-expect-error: its init takes more than a key
    engine.at("Never", "x");
    // @ts-expect-error: its init wants a boolean
    await engine.start("Never", ["x"]);
    const never = await engine.start("Never", [true]);
    assert.equal(typeof never.pid, "string");
    assert.deepEqual([count, await item.then(() => 1), await sent], [1, 1, undefined]);
  });
});

function outline(tree: readonly ProcessTree[]): unknown[] {
  return tree.map(({ label, pid, role, names, children }) => [label || pid, role, names.join(), ...outline(children)]);
}

async function served(t: TestContext, store?: string): Promise<Engine<App>> {
  const engine = await open(t, store);
  await engine.start("default", [], { id: "root", role: "supervisor" });
  await eventually("the last child", async () => (await engine.list({ label: "worker" })).length === 1);
  return engine;
}

describe("a supervisor", () => {
  test("shows as a tree, answers the host, and starts children that are named", async (t) => {
    const engine = await served(t);
    assert.deepEqual(outline(await engine.tree()), [
      [
        "root",
        "supervisor",
        "",
        ["divider", "server", "divider"],
        ["back", "supervisor", "", ["worker", "process", ""]],
      ],
    ]);
    const root = engine.supervisor("root");
    assert.deepEqual(await root.countChildren(), { specs: 2, active: 2, supervisors: 1, workers: 1 });
    const cart = await root.startChild({ id: "cart", start: { entry: "Cart", args: ["shop"] } });
    assert.equal(await engine.server("Cart", cart.ok ?? "").add("tea"), 1);
    assert.deepEqual(
      (await root.whichChildren()).map(({ id }) => id),
      ["cart", "back", "divider"],
    );
    assert.deepEqual(await root.terminateChild("cart"), { ok: true });
    assert.deepEqual(await root.deleteChild("cart"), { ok: true });
    assert.deepEqual(await root.restartChild("cart"), { error: "not_found" });
  });

  test("is shut down in good order by its handle", async (t) => {
    const engine = await served(t);
    const root = engine.get("root");
    await root.shutdown();
    assert.equal((await failure(root.result())).code, "PROCESS_SHUTDOWN");
    assert.deepEqual(await engine.tree(), []);
    const reasons = (await engine.list()).map(({ exit }) => exit?.reason);
    assert.deepEqual(new Set(reasons), new Set(["shutdown"]));
  });
});

describe("a dead letter", () => {
  /** Makes the divider fail, as a caller's message. */
  async function poisoned(engine: Engine<App>): Promise<number> {
    await engine.server("Divider", "divider").cast.divide(1n, 0n);
    const [letter] = await eventually("a dead letter", async () => {
      const letters = await engine.deadLetters();
      return letters.length > 0 && letters;
    });
    assert.ok(letter !== undefined);
    assert.deepEqual(letter.message, ["perdure:cast", "divide", [1n, 0n]]);
    assert.deepEqual([letter.reason, letter.from], ["error", ""]);
    assert.match(String((letter.error as Error).stack), /at divide \(app\.ts:\d+:\d+\)/);
    return letter.seq;
  }

  test("is sent again, to the same process or another, or dropped, and then it is gone", async (t) => {
    const engine = await served(t);
    const seq = await poisoned(engine);
    assert.equal(await engine.server("Divider", "divider").count(), 0);
    const other = await engine.start("Divider", ["other"]);
    await engine.resend(seq, { to: other.pid });
    assert.deepEqual(await engine.deadLetters(), []);
    const failed = await failure(other.result());
    assert.equal((failed.cause as Error).message, "BigInt division by zero");
    await assert.rejects(engine.resend(seq), { code: "DEAD_LETTER_NOT_FOUND" });
    const again = await poisoned(engine);
    await assert.rejects(engine.resend(again, { to: other.pid }), { code: "PROCESS_EXITED" });
    assert.equal((await engine.deadLetters()).length, 1, "it stays");
    await engine.resend(again);
    const third = await eventually("it failed again", async () => (await engine.deadLetters())[0]?.seq);
    assert.ok(third > again);
    await engine.dropDeadLetter(third);
    assert.deepEqual(await engine.deadLetters(), []);
    await assert.rejects(engine.dropDeadLetter(third), { code: "DEAD_LETTER_NOT_FOUND" });
  });

  test("outlives the node, and is listed by process", async (t) => {
    const store = storeFile(t);
    const engine = await served(t, store);
    const seq = await poisoned(engine);
    await engine.close();
    const next = await open(t, store);
    const pid = (await next.whereis("divider")) ?? "";
    assert.deepEqual(
      (await next.deadLetters({ pid })).map((letter) => [letter.seq, letter.pid]),
      [[seq, pid]],
    );
    assert.deepEqual(await next.deadLetters({ pid: "root" }), []);
    assert.deepEqual(await next.deadLetters({ after: seq }), []);
  });
});

describe("pausing", () => {
  test("holds turns back and loses nothing; only a paused process resumes", async (t) => {
    const engine = await open(t);
    const cart = engine.at("Cart", "ann");
    const handle = engine.get(await cart.pid());
    assert.deepEqual([await handle.resume(), await handle.pause(), await handle.pause()], [false, true, false]);
    await cart.cast.add("tea");
    assert.equal((await handle.status()).state, "paused");
    assert.equal(await handle.resume(), true);
    assert.deepEqual(await cart.list(), ["tea"]);
  });
});
