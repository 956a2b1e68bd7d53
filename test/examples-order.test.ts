/** `examples/order`: what comes to nothing is undone. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";
import type { LogEntry, ProcessHandle } from "perdure/engine";
import type * as app from "../examples/order/app.ts";
import { storeFile } from "./e2e/support/engine.ts";
import { EngineProcess } from "./e2e/support/engine-process.ts";
import { eventually } from "./e2e/support/wait.ts";

const program = fileURLToPath(new URL("../examples/order/app.ts", import.meta.url));
const logs: LogEntry[] = [];

async function open(store: string): Promise<Engine<typeof app>> {
  return await Engine.open<typeof app>({ store, program, onLog: (log) => logs.push(log) });
}

/** The host functions that it called, in order. */
async function stepsOf(order: ProcessHandle): Promise<string[]> {
  const commands = (await order.history()).flatMap((turn) => turn.commands);
  return commands.flatMap(({ kind, target }) => (kind === "operation" ? target.replace("warehouse.ts#", "") : []));
}

describe("an order", () => {
  test("that is approved is shipped, and gives its shelf back", async () => {
    await using engine = await open("memory:");
    const order = await engine.start("default", ["order-7", 4200, "50ms"]);
    await order.send({ approved: true });
    const receipt = await eventually("charged", () => /receipt (\w{8})$/.exec(logs[0]?.text ?? "")?.[1]);
    const parcel = `parcel for order-7, paid by ${receipt}`;
    assert.deepEqual(await order.result(), { id: "order-7", state: "shipped", parcel });
    assert.deepEqual(await stepsOf(order), ["reserve", "charge", "ship", "release"]);
  });

  test("that is declined is undone, in reverse, though the node was killed between doing and undoing", async (t) => {
    const store = storeFile(t);
    await using node = new EngineProcess({ store, program });
    await node.start("order-8", "default", ["order-8", 4200]);
    await eventually("charged", () => node.logs.length > 0);
    await node.kill();
    await using engine = await open(store);
    const order = engine.get("order-8");
    await order.send({ approved: false });
    assert.deepEqual(await order.result(), { id: "order-8", state: "undone", because: "declined" });
    assert.deepEqual(await stepsOf(order), ["reserve", "charge", "refund", "release"]);
  });

  test("that is cancelled while it waits to be shipped is undone as well", async () => {
    await using engine = await open("memory:");
    const order = await engine.start("default", ["order-9", 4200, "1 day"]);
    await order.send({ approved: true });
    await eventually("approved", () => logs.some(({ text }) => text.startsWith("order-9: approved")));
    await order.cancel("the customer has moved");
    assert.deepEqual(await order.result(), { id: "order-9", state: "undone", because: "the customer has moved" });
    assert.deepEqual(await stepsOf(order), ["reserve", "charge", "refund", "release"]);
  });

  test("that cannot be charged gives its shelf back, and nothing is refunded", async () => {
    await using engine = await open("memory:");
    const order = await engine.start("default", ["order-10", 0.5]);
    const because = "0.5 is no amount to charge for order-10";
    assert.deepEqual(await order.result(), { id: "order-10", state: "undone", because });
    assert.deepEqual(await stepsOf(order), ["reserve", "charge", "release"]);
  });
});
