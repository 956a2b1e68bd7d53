import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Input } from "../journal/types.ts";
import type { InboxRow } from "../store/port.ts";
import { startMs } from "../store/suite/samples.ts";
import { PostedMail } from "./mail.ts";

const value = { text: "u" };
const end: Input = { kind: "exit", from: "p2", reason: "error", value, linked: true, held: "" };
const down: Input = { kind: "down", monitor: 1, from: "p2", reason: "error", value };

const rowOf = (input: Input): InboxRow => ({ seq: 1, process: 1, input, atMs: startMs, tie: 2 });

/** Reads one row; before that is handed out, process 1 cuts its link with 2, and when this is durable the row is still there, or not. */
async function heard(input: Input, isThere: boolean): Promise<Input[]> {
  const row = rowOf(input);
  const [read, durable] = [Promise.withResolvers<InboxRow[]>(), Promise.withResolvers<void>()];
  const delivered: Input[] = [];
  const mail = new PostedMail({
    sharing: { posted: () => read.promise },
    store: { inbox: () => Promise.resolve(isThere ? [row] : []) },
    era: () => 0,
    activate: () => Promise.resolve(),
    deliver: (given) => void delivered.push(given.input),
    settled: () => Promise.resolve(),
  });
  const polled = mail.poll();
  mail.cut(1, 2, durable.promise);
  read.resolve([row]);
  await new Promise(setImmediate);
  if (input.kind === "exit") assert.deepEqual(delivered, [], "not before the cut is durable");
  durable.resolve();
  await polled;
  return delivered;
}

describe("what was read when a process cut its link", () => {
  test("is not heard if it came through that link", async () => {
    assert.deepEqual(await heard(end, false), []);
  });

  test("is heard if it came through a link that was made anew since", async () => {
    assert.deepEqual(await heard(end, true), [end]);
  });

  test("is heard if it came through a monitor", async () => {
    assert.deepEqual(await heard(down, true), [down]);
  });
});

test("whoever wants to have heard all waits for one look that begins afterwards, and not for those that others ask for", async () => {
  const looks: (() => void)[] = [];
  const mail = new PostedMail({
    sharing: { posted: () => new Promise((resolve) => looks.push(() => resolve([]))) },
    store: { inbox: () => Promise.resolve([]) },
    era: () => 0,
    activate: () => Promise.resolve(),
    deliver: () => undefined,
    settled: () => Promise.resolve(),
  });
  const done: string[] = [];
  const wait = (name: string): void => void mail.caughtUp().then(() => done.push(name));
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
  wait("before");
  await turn();
  wait("during the first");
  looks.shift()?.();
  await turn();
  assert.deepEqual(done, ["before"]);
  wait("during the second");
  looks.shift()?.();
  await turn();
  assert.deepEqual(done, ["before", "during the first"]);
  looks.shift()?.();
  await turn();
  assert.deepEqual(done, ["before", "during the first", "during the second"]);
  assert.equal(looks.length, 0);
});
