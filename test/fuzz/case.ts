/** What holds for each case of the fuzzer, whatever is parsed. */
import assert from "node:assert/strict";
import { isPerdureError } from "../../src/base/errors.ts";
import type { ErrorCode } from "../../src/base/errors.ts";

/** Far more than any case takes on a busy machine. */
const mostMs = 20_000;
const mostBytes = 512 * 1024 * 1024;
const prototypes = [Object, Array, Function, Error, Map, Set].map(({ prototype }) => prototype as object);

function shapeOfPrototypes(): string {
  return prototypes.map((prototype) => Reflect.ownKeys(prototype).map(String).join()).join(";");
}

const shape = shapeOfPrototypes();

/** Fails if `parse` takes long, takes much memory, leaves something on a prototype, or throws anything but `codes`. */
export function survives<T>(codes: readonly ErrorCode[], parse: () => T): T | undefined {
  const startedMs = performance.now();
  const before = process.memoryUsage.rss();
  try {
    return parse();
  } catch (error) {
    if (codes.every((code) => !isPerdureError(error, code))) throw error;
    return undefined;
  } finally {
    assert.ok(performance.now() - startedMs < mostMs, `it took ${performance.now() - startedMs} ms`);
    const grownBytes = process.memoryUsage.rss() - before;
    assert.ok(grownBytes < mostBytes, `it took ${grownBytes} bytes`);
    assert.equal(shapeOfPrototypes(), shape);
  }
}
