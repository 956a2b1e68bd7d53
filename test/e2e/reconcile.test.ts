/** Operations that happen exactly once, since the outside world is asked; and the errors that operations leave, as programs see them. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { Engine } from "perdure/engine";
import { EngineProcess } from "./support/engine-process.ts";
import { open } from "./support/engine.ts";

const program = fileURLToPath(new URL("../fixtures/reconcile/app.ts", import.meta.url));

/** Nodes of one store that pay into one bank. */
function bank(t: TestContext): {
  node(): EngineProcess;
  books(): { what: string; key: string; id: string; atMs: number }[];
} {
  const folder = mkdtempSync(join(tmpdir(), "perdure-reconcile-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const books = join(folder, "books");
  return {
    node: () => new EngineProcess({ program, store: join(folder, "store.db") }, { PERDURE_TEST_BOOKS: books }),
    books: () =>
      existsSync(books)
        ? readFileSync(books, "utf8")
            .trim()
            .split("\n")
            .map((line) => JSON.parse(line) as never)
        : [],
  };
}

const expected = {
  before: { told: "paid order-1", entries: ["asked order-1", "paid order-1", "paid order-1, tip"] },
  after: { told: "found order-1", entries: ["paid order-1", "asked order-1", "paid order-1, tip"] },
};

for (const fault of ["before", "after"] as const) {
  test(`a payment whose node dies ${fault} the money is sent is made exactly once, and the program gets its result`, async (t) => {
    const { node, books } = bank(t);
    const first = node();
    await first.start("p", "order", ["order-1", fault]).catch(() => undefined);
    assert.equal((await first.ended).signal, "SIGKILL");
    const reopenedMs = Date.now();
    await using second = node();
    assert.deepEqual(await second.result("p"), [expected[fault].told, "paid order-1, tip"]);
    assert.ok(Date.now() - reopenedMs < 10_000);
    assert.deepEqual(
      books().map(({ what, id }) => `${what} ${id}`),
      expected[fault].entries,
    );
    assert.equal(new Set(books().map(({ key }) => key)).size, 2, "an order's key is the same in every node");
  });
}

test("a payment that throws is asked about after its timeout, and not made again", async (t) => {
  const { node, books } = bank(t);
  await using only = node();
  await only.start("p", "order", ["order-1", "throws"]);
  assert.deepEqual(await only.result("p"), ["found order-1", "paid order-1, tip"]);
  const [paid, asked] = books();
  // The timeout counts from when its start was put on record, which may have taken a while.
  assert.ok((asked?.atMs ?? 0) - (paid?.atMs ?? 0) >= 150, "calls of it may have been under way");
  assert.deepEqual(
    books().map(({ what, id }) => `${what} ${id}`),
    ["paid order-1", "asked order-1", "paid order-1, tip"],
  );
});

async function seen(engine: Engine, entry: string, args: unknown[] = []): Promise<any> {
  return await (await engine.start(entry, args)).result();
}

test("the engine's own errors are instances of their classes in the program, with their fields", async (t) => {
  const engine = (await open(t, { program })).engine as Engine;
  const uncertain = await seen(engine, "uncertain");
  assert.deepEqual(uncertain.classes, ["UncertainOperationError", "PerdureError"]);
  const { code, operation, idempotencyKey, args, details } = uncertain.own;
  assert.deepEqual([code, operation, args], ["OPERATION_UNCERTAIN", "host.ts#unanswered", []]);
  assert.match(idempotencyKey, /\/1\/[0-9a-f]{16}$/);
  assert.deepEqual(details, { operation, idempotencyKey });
  assert.equal(uncertain.cause.own.timeoutMs, 5);
  assert.deepEqual(uncertain.cause.classes, ["OperationTimeoutError", "PerdureError"]);

  const slow = await seen(engine, "tooSlow");
  assert.deepEqual(slow.classes, ["OperationTimeoutError", "PerdureError"]);
  assert.deepEqual([slow.name, slow.own.operation, slow.own.timeoutMs], ["OperationTimeoutError", "host.ts#slow", 5]);

  const aborted = await seen(engine, "declined", ["aborted"]);
  assert.deepEqual(aborted.classes, ["OperationAbortedError", "PerdureError"]);
  const ours = await seen(engine, "declined", ["ours"]);
  assert.deepEqual([ours.name, ours.classes, ours.own.code], ["PerdureError", ["PerdureError"], "ARGUMENT_INVALID"]);
  assert.deepEqual(ours.own.details, { argument: "how" });
  const imitated = await seen(engine, "declined", ["imitated"]);
  assert.deepEqual([imitated.name, imitated.classes], ["UncertainOperationError", []]);
});

test("an operation's own error arrives with the name of its class, its fields, causes and collected errors", async (t) => {
  const engine = (await open(t, { program })).engine as Engine;
  const card = {
    name: "CardError",
    message: "The card was declined.",
    classes: [],
    own: { decline: "no_funds" },
  };
  assert.deepEqual(await seen(engine, "declined", ["class"]), card);
  assert.deepEqual(await seen(engine, "declined", ["caused"]), {
    name: "CardError",
    message: "Could not pay.",
    classes: [],
    own: { decline: "later" },
    cause: card,
  });
  const many = await seen(engine, "declined", ["many"]);
  assert.deepEqual([many.name, many.classes], ["BatchError", ["AggregateError"]]);
  assert.deepEqual(many.errors[0], card);
  assert.deepEqual(many.errors[1].classes, ["OperationTimeoutError", "PerdureError"]);
  assert.equal(many.errors[2], "a text");
  const final = await seen(engine, "declined", ["final"]);
  assert.deepEqual([final.name, final.message, final.cause], ["NonRetryableError", "Never again.", card]);
  let deep = await seen(engine, "declined", ["deep"]);
  for (let depth = 20; depth >= 1; depth--) {
    assert.equal(deep.message, `depth ${depth}`);
    deep = deep.cause;
  }
  assert.deepEqual(deep, card);
  const web = await seen(engine, "declined", ["web"]);
  assert.deepEqual([web.name, web.message], ["TimeoutError", "It took too long."]);
});
