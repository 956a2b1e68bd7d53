/** `examples/trip`: a change of mind cancels what was booked. (`npm run demo` kills it in mid-flight.) */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";
import type { LogEntry } from "perdure/engine";
import type * as app from "../examples/trip/app.ts";
import { eventually } from "./e2e/support/wait.ts";

const program = fileURLToPath(new URL("../examples/trip/app.ts", import.meta.url));
const asked: unknown[] = [];
const agencies = createServer((request, response) => {
  void (async () => {
    const step = request.url?.slice(1);
    const { reference } = (await json(request)) as { reference?: string };
    // The hotel's desk is busy at first.
    const isBusy = reference === "the hotel" && !asked.some((one) => String(one).startsWith("busy"));
    asked.push(reference === undefined ? step : `${isBusy ? "busy: " : ""}${step} ${reference}`);
    response.statusCode = isBusy ? 503 : 200;
    response.end(JSON.stringify({ reference: `the ${step}`, price: 100 }));
  })();
});
await new Promise<void>((resolve) => agencies.listen(0, "127.0.0.1", resolve));
process.env["AGENCIES_URL"] = `http://127.0.0.1:${(agencies.address() as AddressInfo).port}`;
after(() => agencies.close());

test("a trip that is cancelled before it is paid cancels its bookings, the last first, each until it has worked", async () => {
  const logs: LogEntry[] = [];
  await using engine = await Engine.open<typeof app>({ store: "memory:", program, onLog: (log) => logs.push(log) });
  const trip = await engine.start("default", ["Ada"]);
  await eventually("the bookings", () => logs.some(({ text }) => text.startsWith("six seconds")));
  await trip.cancel("the weather");
  await assert.rejects(trip.result(), { code: "PROCESS_CANCELLED" });
  const cancelled = ["cancel the train", "busy: cancel the hotel", "cancel the hotel", "cancel the flight"];
  assert.deepEqual(asked, ["flight", "hotel", "train", ...cancelled]);
});
