import assert from "node:assert/strict";
import { test } from "node:test";
import { process, startMs } from "../store/suite/samples.ts";
import { Awaited } from "./awaited.ts";
import { Stage } from "./batch.ts";
import type { Committer } from "./batch.ts";
import { durable, newLive, queueInput } from "./live.ts";

test("whoever begins to wait when the kernel has come to its end is told so", async () => {
  const awaited = new Awaited({ stage: new Stage() } as Committer);
  const end = new Error("over");
  awaited.reject(end);
  await assert.rejects(awaited.commit(), end);
  const queued = queueInput({ kind: "cancel", reason: "" }, startMs);
  const waiting = durable(queued);
  awaited.add(newLive(process(1)), queued);
  await assert.rejects(waiting, end);
});
