/** The sandbox's streams beside Node's: the same program, the same outcome. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Sandbox, sameAsNode } from "./testing.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await Sandbox.create();
});
after(() => sandbox.dispose());

/** What both know: a log, and a way to say how a promise went. */
const prelude = `
  const log = [];
  const settle = (promise) => promise.then((value) => ["ok", value], (error) => ["failed", error?.name ?? error]);
  const tick = async (times = 20) => { for (let i = 0; i < times; i++) await null; };
  const drain = async (stream) => { const seen = []; for await (const chunk of stream) seen.push(chunk); return seen; };`;

const programs: Record<string, string> = {
  "chunks come in order, then the end": `
    return await drain(new ReadableStream({ start(c) { c.enqueue(1); c.enqueue("two"); c.enqueue({ three: 3 }); c.close(); } }));`,
  "a source is pulled only for what is wanted": `
    let n = 0;
    const stream = new ReadableStream({ pull(c) { log.push("pull"); c.enqueue(++n); } }, { highWaterMark: 2 });
    await tick(); log.push("quiet");
    const reader = stream.getReader();
    log.push((await reader.read()).value); await tick(); log.push("quiet");
    return log;`,
  "without a high-water mark above 0 nothing is pulled before somebody reads": `
    const stream = new ReadableStream({ pull(c) { log.push("pull"); c.enqueue(1); } }, { highWaterMark: 0 });
    await tick(); log.push("read");
    await stream.getReader().read(); await tick();
    return log;`,
  "nothing is pulled before start has settled, and never two at once": `
    let open; let running = 0; let most = 0;
    const stream = new ReadableStream({
      start() { return new Promise((resolve) => (open = resolve)); },
      async pull(c) { most = Math.max(most, ++running); log.push("pull"); await tick(3); running--; c.enqueue(0); },
    });
    const reader = stream.getReader(); const reads = [reader.read(), reader.read(), reader.read()];
    await tick(); log.push("start"); open(); await Promise.all(reads);
    return [log, most];`,
  "reads wait for chunks, and end when the stream does": `
    let controller; const stream = new ReadableStream({ start(c) { controller = c; } });
    const reader = stream.getReader(); const reads = [reader.read(), reader.read(), reader.read()];
    controller.enqueue("a"); controller.enqueue("b"); controller.close();
    return [await Promise.all(reads), await settle(reader.closed)];`,
  "desiredSize counts what waits, by the strategy": `
    let controller; const stream = new ReadableStream({ start(c) { controller = c; } }, { highWaterMark: 10, size: (chunk) => chunk.length });
    log.push(controller.desiredSize); controller.enqueue("abc"); log.push(controller.desiredSize); controller.enqueue("x".repeat(20)); log.push(controller.desiredSize);
    await stream.getReader().read(); log.push(controller.desiredSize); controller.close(); log.push(controller.desiredSize);
    return log;`,
  "an error rejects reads that wait, later ones, and what was queued is lost": `
    let controller; const stream = new ReadableStream({ start(c) { controller = c; c.enqueue(1); } });
    const reader = stream.getReader(); await reader.read(); const waiting = settle(reader.read());
    controller.error(new RangeError("x")); controller.error("again");
    return [await waiting, await settle(reader.read()), await settle(reader.closed), controller.desiredSize, await settle(reader.cancel())];`,
  "what pull throws fails the stream": `return await settle(drain(new ReadableStream({ pull() { throw new RangeError("x"); } })));`,
  "what start rejects with fails the stream": `return await settle(drain(new ReadableStream({ async start() { throw new RangeError("x"); } })));`,
  "a size that throws, or is none, fails the stream": `
    for (const size of [() => { throw new RangeError("x"); }, () => -1, () => NaN]) {
      const stream = new ReadableStream({ start(c) { try { c.enqueue(1); } catch (error) { log.push(error.name); } } }, { size });
      log.push(await settle(stream.getReader().read()));
    }
    return log;`,
  "cancel tells the source why, and what waited ends": `
    const stream = new ReadableStream({ start(c) { c.enqueue(1); }, cancel(reason) { log.push(reason); return "ignored"; } });
    const reader = stream.getReader(); await reader.read(); const waiting = reader.read();
    log.push(await reader.cancel("enough"), await waiting, await settle(reader.closed), await settle(reader.cancel()));
    return log;`,
  "cancel rejects with what the source's cancel throws": `
    return await settle(new ReadableStream({ cancel() { throw new RangeError("x"); } }).cancel());`,
  "one reader at a time": `
    const stream = new ReadableStream({ start(c) { c.enqueue(1); c.enqueue(2); } }); const reader = stream.getReader();
    for (const use of [() => stream.getReader(), () => stream.tee(), () => stream.values()]) { try { use(); log.push("fine"); } catch (error) { log.push(error.name); } }
    log.push(stream.locked, await settle(stream.cancel())); await reader.read(); reader.releaseLock(); reader.releaseLock();
    log.push(stream.locked, await settle(reader.read()), await settle(reader.closed), await stream.getReader().read());
    return log;`,
  "a lock that is released rejects reads that wait": `
    const stream = new ReadableStream(); const reader = stream.getReader(); const waiting = settle(reader.read());
    reader.releaseLock();
    return [await waiting, stream.locked];`,
  "leaving a loop cancels the stream, unless told not to": `
    for (const preventCancel of [false, true]) {
      const stream = new ReadableStream({ pull(c) { c.enqueue(1); }, cancel(reason) { log.push(["cancelled", reason ?? null]); } });
      for await (const chunk of stream.values({ preventCancel })) break;
      log.push(stream.locked, (await stream.getReader().read()).done);
    }
    return log;`,
  "an iterator answers in the order it was asked, return before next included": `
    let n = 0; const stream = new ReadableStream({ pull(c) { c.enqueue(++n); } });
    const all = stream.values(); log.push(stream.locked, await Promise.all([all.next(), all.next(), all.return("x"), all.next()]), stream.locked);
    const none = new ReadableStream({ cancel(reason) { log.push(reason); } }); const early = none.values(); await early.return("early");
    return [...log, none.locked];`,
  "tee gives every chunk to both, and pulls for the faster": `
    let n = 0; const [a, b] = new ReadableStream({ pull(c) { if (++n > 3) c.close(); else c.enqueue(n); } }).tee();
    return [await drain(a), await drain(b)];`,
  "tee cancels its source when both are cancelled, with both reasons": `
    const stream = new ReadableStream({ cancel(reasons) { log.push(reasons); } }); const [a, b] = stream.tee();
    const first = a.cancel("one"); await tick(); log.push(stream.locked, "not yet"); await Promise.all([first, b.cancel("two")]);
    return log;`,
  "tee: a cancelled branch does not keep the other from its chunks": `
    let n = 0; const [a, b] = new ReadableStream({ pull(c) { if (++n > 3) c.close(); else c.enqueue(n); } }).tee();
    const cancelled = a.cancel(); return [await drain(b), await settle(cancelled)];`,
  "tee: an error reaches both": `
    const [a, b] = new ReadableStream({ start(c) { c.enqueue(1); c.error(new RangeError("x")); } }).tee();
    return [await settle(drain(a)), await settle(drain(b))];`,
  "from takes what can be iterated, and returns what it does not need": `
    async function* count() { try { yield 1; yield 2; yield 3; } finally { log.push("returned"); } }
    for (const source of [[1, Promise.resolve(2)], new Set(["x"]), count(), "ab"]) log.push(await drain(ReadableStream.from(source)));
    for await (const chunk of ReadableStream.from(count())) break;
    for (const bad of [5, null, {}]) try { ReadableStream.from(bad); } catch (error) { log.push(error.name); }
    return log;`,
  "from: what the iterator throws fails the stream": `
    return await settle(drain(ReadableStream.from((async function* () { yield 1; throw new RangeError("x"); })())));`,
  "a controller refuses what comes after the end": `
    let controller; new ReadableStream({ start(c) { controller = c; c.enqueue(1); } }); controller.close();
    for (const use of [() => controller.enqueue(2), () => controller.close(), () => controller.error("x")]) { try { use(); log.push("fine"); } catch (error) { log.push(error.name); } }
    return log;`,
  "a stream of bytes takes views only and gives Uint8Arrays": `
    const stream = new ReadableStream({ type: "bytes", start(c) { 
      for (const chunk of ["x", 5, new ArrayBuffer(1), new Uint8Array(0)]) { try { c.enqueue(chunk); log.push("fine"); } catch (error) { log.push(error.name); } }
      c.enqueue(new Uint8Array([0, 1, 2]).subarray(1)); c.enqueue(new DataView(new Uint8Array([3]).buffer)); c.close(); } });
    for await (const chunk of stream) log.push(chunk.constructor.name, [...chunk]);
    return log;`,
  "what makes no sense is refused": `
    const made = [() => new ReadableStream(null), () => new ReadableStream({ pull: 5 }), () => new ReadableStream({ type: "text" }),
      () => new ReadableStream({}, { highWaterMark: -1 }), () => new ReadableStream({}, { highWaterMark: "x" }), () => new ReadableStream({ type: "bytes" }, { size: () => 1 }),
      () => new ReadableStream({ start() { throw new RangeError("x"); } }), () => new ReadableStreamDefaultController(), () => new ReadableStreamDefaultReader({}),
      () => new ReadableStreamDefaultReader(new ReadableStream()).constructor.name, () => Object.prototype.toString.call(new ReadableStream())];
    for (const make of made) { try { log.push(String(make())); } catch (error) { log.push(error.name); } }
    return log;`,
};

for (const [rule, program] of Object.entries(programs)) {
  test(`streams: ${rule}`, async () => {
    await sameAsNode(sandbox, `${prelude}${program}`, rule);
  });
}

test("streams: there are no BYOB readers, and it says so", () => {
  assert.throws(() => sandbox.run(`new ReadableStream({ type: "bytes" }).getReader({ mode: "byob" })`), /no BYOB/);
});
