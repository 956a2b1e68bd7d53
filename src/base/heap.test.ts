import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Heap } from "./heap.ts";

const numbers = (): Heap<number> => new Heap((one, other) => one < other);

describe("Heap", () => {
  test("has nothing to give when it is empty, and after it was emptied", () => {
    const heap = numbers();
    assert.equal(heap.peek(), undefined);
    assert.equal(heap.pop(), undefined);
    heap.push(1);
    assert.equal(heap.pop(), 1);
    assert.equal(heap.peek(), undefined);
    assert.equal(heap.pop(), undefined);
  });

  test("the order is its owner's", () => {
    const heap = new Heap<string>((one, other) => one.length > other.length);
    for (const word of ["a", "ccc", "bb"]) heap.push(word);
    assert.deepEqual([heap.pop(), heap.pop(), heap.pop()], ["ccc", "bb", "a"]);
  });

  test("gives the least of what is in it, however pushes and pops come", () => {
    // Few values, so that many are level; undefined is a pop.
    const steps = fc.array(fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined, freq: 3 }), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (steps) => {
        const heap = numbers();
        const model: number[] = [];
        for (const step of steps) {
          if (step === undefined) assert.equal(heap.pop(), model.shift());
          else {
            heap.push(step);
            model.push(step);
            model.sort((one, other) => one - other);
          }
          assert.equal(heap.peek(), model[0]);
        }
        for (const least of model) assert.equal(heap.pop(), least);
        assert.equal(heap.pop(), undefined);
      }),
    );
  });
});
