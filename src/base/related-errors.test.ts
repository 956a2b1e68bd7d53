import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { relatedErrors } from "./related-errors.ts";

describe("relatedErrors", () => {
  test("are the error, its causes and those it collects, each once", () => {
    const root = new Error("root");
    const one = new Error("one", { cause: root });
    const two = new RangeError("two", { cause: root });
    const all = new AggregateError([one, "no error", two], "all", { cause: two });
    assert.deepEqual(relatedErrors(all), [all, two, one, root]);
  });

  test("of what is no error there are none, whatever it refers to", () => {
    for (const value of [undefined, null, "text", { cause: new Error("e") }])
      assert.deepEqual(relatedErrors(value), []);
    const error = new Error("e", { cause: { cause: new Error("beyond") } });
    assert.deepEqual(relatedErrors(error), [error]);
  });

  test("a circle of causes comes to an end", () => {
    const one = new Error("one");
    const other = new Error("other", { cause: one });
    one.cause = other;
    assert.deepEqual(relatedErrors(one), [one, other]);
  });

  test("at most 100 are told of, down a chain and in one collection", () => {
    let chain = new Error("0");
    for (let i = 1; i < 150; i++) chain = new Error(String(i), { cause: chain });
    assert.equal(relatedErrors(chain).length, 100);
    const errors = Array.from({ length: 150 }, (_, i) => new Error(String(i)));
    const collection = relatedErrors(new AggregateError(errors, "many", { cause: chain }));
    assert.equal(collection.length, 100);
    assert.ok(collection.includes(errors[0] as Error));
  });

  test("one that throws when it is looked at does not hide the others", () => {
    const shy = Object.defineProperty(new Error("shy"), "cause", {
      get() {
        throw new Error("no");
      },
    });
    const shut = new Proxy(new Error("shut"), {
      getPrototypeOf() {
        throw new Error("no");
      },
    });
    const open = new Error("open");
    const all = new AggregateError([shut, shy, open], "all");
    const found = relatedErrors(all);
    assert.equal(found.length, 3);
    assert.ok(found[0] === all && found[1] === shy && found[2] === open);
  });
});
