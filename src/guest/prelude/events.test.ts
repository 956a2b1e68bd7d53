import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Sandbox, sameAsNode } from "./testing.ts";

let sandbox: Sandbox;
beforeEach(async () => {
  sandbox = await Sandbox.create();
});
afterEach(() => sandbox.dispose());

test("listeners are called in order, once each, with the target", async () => {
  await sameAsNode(
    sandbox,
    `const target = new EventTarget();
     const seen = [];
     const twice = () => seen.push("twice");
     target.addEventListener("x", twice);
     target.addEventListener("x", twice);
     target.addEventListener("x", { handleEvent(event) { seen.push(["object", event.type, this.handleEvent !== undefined]); } });
     target.addEventListener("x", function (event) { seen.push(this === target, event.target === target); }, { once: true });
     target.addEventListener("y", () => seen.push("never"));
     for (let i = 0; i < 2; i++) seen.push(target.dispatchEvent(new Event("x")));
     target.removeEventListener("x", twice);
     target.dispatchEvent(new Event("x"));
     return seen;`,
  );
});

test("capture makes another listener of the same function", async () => {
  await sameAsNode(
    sandbox,
    `const target = new EventTarget();
     let count = 0;
     const listener = () => count++;
     target.addEventListener("x", listener);
     target.addEventListener("x", listener, true);
     target.removeEventListener("x", listener, { capture: true });
     target.dispatchEvent(new Event("x"));
     return count;`,
  );
});

test("stopImmediatePropagation keeps the event from those that follow", async () => {
  await sameAsNode(
    sandbox,
    `const target = new EventTarget();
     const seen = [];
     target.addEventListener("x", (event) => { seen.push(1); event.stopImmediatePropagation(); });
     target.addEventListener("x", () => seen.push(2));
     target.dispatchEvent(new Event("x"));
     return seen;`,
  );
});

test("only a cancelable event can be prevented, and not by a passive listener", async () => {
  await sameAsNode(
    sandbox,
    `const seen = [];
     for (const [cancelable, passive] of [[true, false], [false, false], [true, true]]) {
       const target = new EventTarget();
       target.addEventListener("x", (event) => event.preventDefault(), { passive });
       const event = new Event("x", { cancelable });
       seen.push(target.dispatchEvent(event), event.defaultPrevented);
     }
     return seen;`,
  );
});

// As the DOM Standard has it; Node calls the added one.
test("listeners added while an event is dispatched do not hear it, removed ones neither", () => {
  assert.deepEqual(
    sandbox.run(`
      const target = new EventTarget();
      const seen = [];
      const later = () => seen.push("later");
      target.addEventListener("x", (event) => {
        seen.push(event.currentTarget === target, event.eventPhase);
        target.addEventListener("x", () => seen.push("added"));
        target.removeEventListener("x", later);
      }, { once: true });
      target.addEventListener("x", later);
      target.addEventListener("x", null);
      target.dispatchEvent(new Event("x"));
      return seen;`),
    [true, 2],
  );
});

test("an event cannot be dispatched while it is, but again afterwards", () => {
  assert.deepEqual(
    sandbox.run(`
      const target = new EventTarget();
      const seen = [];
      target.addEventListener("x", (event) => { try { target.dispatchEvent(event); } catch (error) { seen.push("refused"); } });
      const event = new Event("x");
      target.dispatchEvent(event);
      target.dispatchEvent(event);
      return [...seen, event.currentTarget, event.eventPhase];`),
    ["refused", "refused", null, 0],
  );
});

test("CustomEvent carries its detail", async () => {
  await sameAsNode(
    sandbox,
    `[new CustomEvent("x", { detail: { a: 1 } }).detail, new CustomEvent("x").detail, new CustomEvent("x") instanceof Event]`,
  );
});

test("a listener that throws does not stop the others", () => {
  const code = `
    const target = new EventTarget();
    globalThis.seen = [];
    target.addEventListener("x", () => { throw new Error("listener"); });
    target.addEventListener("x", () => seen.push("second"));
    target.dispatchEvent(new Event("x"));
    return seen;`;
  assert.deepEqual(sandbox.run(code), ["second"]);
});

test("a listener with a signal goes when the signal aborts", async () => {
  await sameAsNode(
    sandbox,
    `const target = new EventTarget();
     const controller = new AbortController();
     let count = 0;
     target.addEventListener("x", () => count++, { signal: controller.signal });
     target.addEventListener("x", () => count++, { signal: AbortSignal.abort() });
     target.dispatchEvent(new Event("x"));
     controller.abort();
     target.dispatchEvent(new Event("x"));
     return count;`,
  );
});

test("abort tells every listener once, in order, with onabort in its place", async () => {
  await sameAsNode(
    sandbox,
    `const controller = new AbortController();
     const { signal } = controller;
     const seen = [signal.aborted, signal.reason === undefined, signal.onabort];
     signal.addEventListener("abort", (event) => seen.push("first", event.type, event.target === signal));
     signal.onabort = () => seen.push("replaced");
     signal.addEventListener("abort", () => seen.push("last"));
     signal.onabort = () => seen.push("handler");
     controller.abort("why");
     controller.abort("again");
     return [...seen, signal.aborted, signal.reason, controller.signal === signal];`,
  );
});

test("the reason is an AbortError unless one is given; throwIfAborted throws it", async () => {
  await sameAsNode(
    sandbox,
    `const describe = (reason) => [reason instanceof DOMException, reason.name, reason.code];
     const controller = new AbortController();
     controller.signal.throwIfAborted();
     controller.abort();
     let thrown;
     try { controller.signal.throwIfAborted(); } catch (error) { thrown = error; }
     return [describe(thrown), thrown === controller.signal.reason, describe(AbortSignal.abort().reason), AbortSignal.abort(5).reason];`,
  );
});

test("AbortSignal.any follows the first of its signals; all are aborted before any is told", () => {
  assert.deepEqual(
    sandbox.run(`
      const [a, b] = [new AbortController(), new AbortController()];
      const any = AbortSignal.any([a.signal, b.signal]);
      const nested = AbortSignal.any([any]);
      const seen = [any.aborted];
      nested.addEventListener("abort", () => seen.push("nested", any.aborted));
      any.addEventListener("abort", () => seen.push("any", nested.aborted));
      b.abort("b");
      a.abort("a");
      return [...seen, any.reason, nested.reason];`),
    [false, "any", true, "nested", true, "b", "b"],
  );
});

test("a signal made by any is not kept by its sources unless somebody listens; it knows the first that aborted all the same", () => {
  assert.deepEqual(
    sandbox.run(`
      const [a, b] = [new AbortController(), new AbortController()];
      const any = AbortSignal.any([a.signal, b.signal]);
      const heard = [];
      const listener = () => heard.push("never");
      any.addEventListener("abort", listener);
      any.removeEventListener("abort", listener);
      b.abort("b");
      a.abort("a");
      any.addEventListener("abort", listener);
      return [any.reason, any.aborted, AbortSignal.any([any]).reason, heard];`),
    ["b", true, "b", []],
  );
});

test("AbortSignal.any of an aborted signal is aborted, of none never, of something else refused", async () => {
  await sameAsNode(
    sandbox,
    `[AbortSignal.any([new AbortController().signal, AbortSignal.abort(1)]).reason, AbortSignal.any([]).aborted]`,
  );
  await sameAsNode(sandbox, `AbortSignal.any([{}])`);
});

test("AbortSignal.timeout aborts with a TimeoutError after service time", () => {
  sandbox.run(`globalThis.signal = AbortSignal.timeout(5000)`);
  const [timer] = sandbox.take(3);
  assert.deepEqual([timer?.a, timer?.b], ["service", String(sandbox.timeMs + 5000)]);
  assert.equal(sandbox.run("signal.aborted"), false);
  sandbox.fireTimer(1);
  assert.deepEqual(sandbox.run("[signal.aborted, signal.reason.name, signal.reason.code]"), [true, "TimeoutError", 23]);
});

test("AbortSignal.timeout refuses what is no duration", () => {
  for (const delay of ["-1", "NaN", "Infinity", "'x'"]) {
    assert.throws(() => sandbox.run(`AbortSignal.timeout(${delay})`), { name: "TypeError" });
  }
});

test("signals cannot be made by hand", async () => {
  await sameAsNode(sandbox, `new AbortSignal()`);
});

test("DOMException is an Error with the web's codes", async () => {
  await sameAsNode(
    sandbox,
    `const error = new DOMException("m", "NotFoundError");
     return [error.name, error.message, error.code, error instanceof Error, String(error), DOMException.NOT_FOUND_ERR];`,
  );
});
