import assert from "node:assert/strict";
import { test } from "node:test";
import { PerdureError } from "../base/errors.ts";
import { encodeValue } from "../base/value.ts";
import type { Reach } from "./beside.ts";
import { Everywhere } from "./everywhere.ts";

const body = encodeValue("hello");

/** What is sent through the store is told when it is durable, and when this node has heard what was in the store by then. */
test("what is sent through the store is heard here before the sender can go on, if the process has come here meanwhile", async () => {
  const elsewhere = new PerdureError("PROCESS_ELSEWHERE", "It lives on another node.");
  const said: string[] = [];
  const [written, heard] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const here = { send: () => Promise.reject(elsewhere) } as unknown as Reach;
  const there = { send: () => written.promise } as unknown as Reach;
  const everywhere = new Everywhere(here, there, () => {
    said.push("asked whether all is heard");
    return heard.promise;
  });
  const sent = everywhere.send("p1", body).then(() => said.push("sent"));
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
  await turn();
  assert.deepEqual(said, []);
  written.resolve();
  await turn();
  assert.deepEqual(said, ["asked whether all is heard"]);
  heard.resolve();
  await sent;
  assert.deepEqual(said, ["asked whether all is heard", "sent"]);
});

test("what was written is sent, though the node comes to its end before it has heard it", async () => {
  const here = { kill: () => Promise.reject(new PerdureError("PROCESS_ELSEWHERE", "It lives on another node.")) };
  const there = { kill: () => Promise.resolve() };
  const ended = (): Promise<void> => Promise.reject(new Error("the node has ended"));
  await new Everywhere(here as unknown as Reach, there as unknown as Reach, ended).kill("p1");
});

test("what is sent to a process of this node asks for nothing else", async () => {
  const here = { send: () => Promise.resolve() } as unknown as Reach;
  const unwanted = (): never => assert.fail("asked");
  await new Everywhere(here, {} as Reach, unwanted).send("p1", body);
});
