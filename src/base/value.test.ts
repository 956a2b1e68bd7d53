import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createContext, runInContext } from "node:vm";
import { refusedCases, richErrorCases, valueCases } from "../../test/value-cases.ts";
import { isPerdureError } from "./errors.ts";
import { decodeValue, encodeError, encodeValue, maxChunkBytes, maxTextUnits } from "./value.ts";

const evaluate = (expression: string): unknown => new Function(`return (${expression});`)();
const crossed = (value: unknown): any => decodeValue(encodeValue(value));

describe("what structured clone carries, encodeValue and decodeValue carry", () => {
  for (const [name, expression] of Object.entries(valueCases)) {
    if (name === "a non-enumerable toJSON" || name === "an accessor") continue;
    test(name, () => {
      const value = evaluate(expression);
      const payload = encodeValue(value);
      assert.ok(payload.text.isWellFormed());
      assert.deepStrictEqual(decodeValue(payload), structuredClone(value));
      assert.deepStrictEqual(crossed([value, value]), structuredClone([value, value]));
    });
  }

  test("an accessor's value, and no toJSON is called", () => {
    assert.deepStrictEqual(crossed(evaluate(valueCases["an accessor"] as string)), { a: [1] });
    assert.deepStrictEqual(crossed(evaluate(valueCases["a non-enumerable toJSON"] as string)), { a: 1 });
  });

  test("text that JSON can say is JSON", () => {
    assert.equal(encodeValue(undefined).text, "u");
    assert.equal(encodeValue(42).text, "j42");
    assert.equal(encodeValue({ a: [1, "x", null] }).text, 'j{"a":[1,"x",null]}');
    assert.equal(encodeValue([]).chunks, undefined);
  });

  test("values of another realm", () => {
    const context = createContext({});
    for (const expression of [...Object.values(valueCases), ...Object.values(richErrorCases)]) {
      const foreign = runInContext(`(${expression})`, context);
      const text = (value: unknown) => encodeValue(value).text.replaceAll(/(\\n)? +at [^"]*/g, "");
      assert.equal(text(crossed(foreign)), text(crossed(evaluate(expression))), expression);
    }
  });
});

describe("errors arrive with everything that can cross", () => {
  for (const [name, expression] of Object.entries(richErrorCases)) {
    test(name, () => {
      const error = evaluate(expression) as Error & { errors?: unknown };
      const result = crossed(error);
      for (const key of ["name", "message", "stack", "cause", "errors"] as const) {
        assert.deepStrictEqual(result[key], error[key], key);
      }
      assert.deepStrictEqual({ ...result }, { ...error });
      assert.ok(result instanceof Error);
      assert.deepStrictEqual(crossed(result), result);
    });
  }

  test("as the native class they descend from", () => {
    class Declined extends RangeError {}
    class Many extends AggregateError {}
    assert.equal(Object.getPrototypeOf(crossed(new Declined("x"))), RangeError.prototype);
    assert.equal(Object.getPrototypeOf(crossed(new Many([1]))), AggregateError.prototype);
    assert.equal(Object.getPrototypeOf(crossed(new (class Other extends Error {})())), Error.prototype);
    assert.equal(
      Object.getPrototypeOf(crossed(runInContext("new TypeError('x')", createContext({})))),
      TypeError.prototype,
    );
  });

  test("without the fields that cannot be cloned, however deep the reason lies, and with all others", () => {
    const shared = { a: 1 };
    const error: any = new Error("m", { cause: new Error("inner", { cause: () => 1 }) });
    error.code = 7;
    error.config = { shared, bytes: new Uint8Array(3), list: [1, { adapter() {} }] };
    error.request = new (class Request {})();
    error.get = new Error("nested", { cause: { error, f: Symbol() } });
    error.shared = shared;
    Object.defineProperty(error, "lazy", { enumerable: true, get: () => assert.fail() });
    const payload = encodeValue({ error, shared, bytes: new Uint8Array([9]) });
    const result: any = decodeValue(payload);
    assert.deepStrictEqual(Object.keys(result.error), ["code", "get", "shared"]);
    assert.equal(result.error.cause.message, "inner");
    assert.ok(!("cause" in result.error.cause) && !("cause" in result.error.get));
    assert.equal(result.error.shared, result.shared);
    assert.deepStrictEqual(result.bytes, new Uint8Array([9]));
    assert.equal(payload.chunks?.length, 1);
  });

  test("a DOMException keeps its name and code", () => {
    const result = crossed(new DOMException("gone", "AbortError"));
    assert.deepStrictEqual([result.name, result.message, result.code], ["AbortError", "gone", 20]);
    assert.ok(result instanceof Error);
  });

  test("an error that is its own cause", () => {
    const error = new Error("loop");
    error.cause = error;
    const result = crossed(error);
    assert.equal(result.cause, result);
  });

  test("a chain of causes of any length", () => {
    let error = new Error("0");
    error.stack = "";
    for (let i = 1; i < 5000; i++) {
      error = new Error(`${i}`, { cause: error });
      error.stack = "";
    }
    let result = crossed(error);
    for (let i = 4999; i > 0; i--) result = result.cause;
    assert.equal(result.message, "0");
  });
});

describe("identity", () => {
  test("shared references stay shared and cycles stay cycles", () => {
    const shared = { a: [1] };
    const value: any = { first: shared, list: [shared, shared.a], map: new Map(), set: new Set() };
    value.self = value;
    value.map.set(value, value.map);
    value.set.add(value.set);
    const result = crossed(value);
    assert.equal(result.list[0], result.first);
    assert.equal(result.list[1], result.first.a);
    assert.equal(result.self, result);
    assert.equal(result.map.get(result), result.map);
    assert.ok(result.set.has(result.set));
    for (const leaf of [
      new Date(1),
      /x/,
      Object(1),
      new Map(),
      new ArrayBuffer(2),
      new Uint8Array(2),
      new Error("x"),
    ]) {
      const [a, b] = crossed([leaf, leaf]);
      assert.equal(a, b);
    }
  });

  test("views of one buffer share one buffer", () => {
    const buffer = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]).buffer;
    const value = [new Uint8Array(buffer, 1, 2), new Uint16Array(buffer, 2), buffer, new DataView(buffer, 8)] as const;
    const [bytes, words, whole, view] = crossed(value) as typeof value;
    assert.ok(bytes.buffer === whole && words.buffer === whole && view.buffer === whole);
    bytes[1] = 99;
    assert.equal(words[0], 99 + 4 * 256);
    assert.equal(encodeValue(value).chunks?.length, 1);
  });

  test("a Buffer arrives as a Uint8Array of its own bytes alone", () => {
    const buffer = Buffer.from("a secret, a word").subarray(10);
    const payload = encodeValue({ one: buffer, two: buffer, part: buffer.subarray(2) });
    assert.deepStrictEqual(
      payload.chunks?.map((chunk) => chunk.length),
      [6, 4],
    );
    const result: any = decodeValue(payload);
    assert.equal(Object.getPrototypeOf(result.one), Uint8Array.prototype);
    assert.equal(result.one, result.two);
    assert.equal(new TextDecoder().decode(result.one), "a word");
  });

  test("a payload keeps nothing of the value and gives nothing of itself away", () => {
    const bytes = new Uint8Array([1, 2]);
    const payload = encodeValue(bytes);
    bytes[0] = 9;
    const first = decodeValue(payload) as Uint8Array;
    first[1] = 9;
    assert.deepStrictEqual(decodeValue(payload), new Uint8Array([1, 2]));
  });
});

describe("what cannot cross is refused, with its place", () => {
  for (const [name, [expression, path, word]] of Object.entries(refusedCases)) {
    test(name, () => {
      assert.throws(
        () => encodeValue(evaluate(expression)),
        (error) => {
          assert.ok(isPerdureError(error, "VALUE_NOT_CLONEABLE"), String(error));
          assert.equal(error.details["path"], path);
          assert.ok(error.message.includes(` at ${path} is `) && error.message.includes(word), error.message);
          return true;
        },
      );
    });
  }

  test("a getter's own error comes through", () => {
    const failure = new Error("mine");
    const value = {
      get a() {
        throw failure;
      },
    };
    assert.throws(
      () => encodeValue(value),
      (error) => error === failure,
    );
  });
});

describe("limits", () => {
  test("text up to the limit crosses, one character more does not", () => {
    const longest = "x".repeat(maxTextUnits - 3);
    assert.equal(crossed(longest), longest);
    assert.throws(() => encodeValue(`${longest}x`), { code: "VALUE_TOO_LARGE" });
    assert.throws(() => encodeValue([longest, new Date()]), { code: "VALUE_TOO_LARGE", message: /bytes/ });
    assert.throws(() => encodeValue(new Array(300_000).fill(undefined)), { code: "VALUE_TOO_LARGE" });
  });

  test("bytes up to the limit cross, one more does not", () => {
    const half = new ArrayBuffer(maxChunkBytes / 2);
    const other = new ArrayBuffer(maxChunkBytes / 2);
    assert.equal(encodeValue([half, other, new Uint8Array(half)]).chunks?.length, 2);
    assert.throws(() => encodeValue([half, other, new Uint8Array(1)]), { code: "VALUE_TOO_LARGE" });
  });

  test("an endless proxy is too large, and costs no stack", () => {
    const endless: any = () =>
      new Proxy([], {
        get: (_, key) => (key === "length" ? 1 : endless()),
        ownKeys: () => ["0", "length"],
        getOwnPropertyDescriptor: (_, key) =>
          key === "length" ? { value: 0, writable: true } : { enumerable: true, configurable: true, value: 1 },
      });
    assert.throws(() => encodeValue(endless()), { code: "VALUE_TOO_LARGE" });
  });

  test("a tree with very many shared branches is no tree", () => {
    let value: unknown = [1];
    for (let i = 0; i < 150; i++) value = [value, value];
    assert.equal(encodeValue(crossed(value)).text, encodeValue(value).text);
  });
});

describe("encodeError never throws", () => {
  const decoded = (thrown: unknown): any => decodeValue(encodeError(thrown));
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();

  test("values that cross cross as they are", () => {
    for (const thrown of [undefined, null, 0, "text", { code: 1 }]) assert.deepStrictEqual(decoded(thrown), thrown);
    assert.equal(decoded(new TypeError("x")).message, "x");
  });

  test("what cannot cross is replaced by an error that describes it", () => {
    assert.match(decoded(Symbol("s")).message, /a symbol/);
    assert.match(decoded(() => 1).message, /a function/);
    assert.match(decoded(new (class Order {})()).message, /an instance of Order/);
    assert.match(decoded({ f() {} }).message, /Object/);
    for (const hostile of [
      revoked.proxy,
      new Proxy({}, { ownKeys: () => assert.fail(), getPrototypeOf: () => assert.fail() }),
    ]) {
      assert.ok(decoded(hostile) instanceof Error);
    }
  });

  test("an error that is too large is cut down", () => {
    const error = new RangeError("m".repeat(2 * maxTextUnits));
    const body = "x".repeat(2000);
    const result = decoded(Object.assign(error, { code: "E_LONG", status: 5, body, request: {} }));
    assert.equal(result.name, "RangeError");
    assert.deepStrictEqual({ ...result }, { code: "E_LONG", status: 5 });
    assert.match(result.message, /^m{1000}/);
    assert.match(decoded("x".repeat(2 * maxTextUnits)).message, /string/);
  });

  test("an error whose fields throw", () => {
    const error = new Error("x");
    for (const key of ["name", "message", "stack", "cause"]) {
      Object.defineProperty(error, key, { get: () => assert.fail(), enumerable: key !== "cause" });
    }
    assert.ok(decoded(error) instanceof Error);
  });
});

test("a stack without its error's title, as other engines have them, gets it", () => {
  const stack = "    at f (app.ts:1:2)\n    at g (app.ts:3:4)\n";
  const error = Object.assign(new RangeError("out", { cause: new TypeError("") }), { code: 7 });
  for (const each of [error, error.cause as Error]) Object.defineProperty(each, "stack", { value: stack });
  const result = decodeValue(encodeValue(error)) as RangeError;
  assert.equal(result.stack, "RangeError: out\n    at f (app.ts:1:2)\n    at g (app.ts:3:4)");
  assert.equal((result.cause as Error).stack, "TypeError\n    at f (app.ts:1:2)\n    at g (app.ts:3:4)");
});
