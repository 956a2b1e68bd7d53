import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeValue, encodeValue } from "../base/value.ts";
import { done, localMachine, message, Process, program, sources } from "./harness.test.ts";
import type { TestMachine, TestProgram } from "./harness.test.ts";
import type { LoadRequest, QueryOutcome } from "./port.ts";

const shop = await program(`
  import { Refusal, Server, send, sleep } from "perdure";
  export class Cart extends Server {
    static readOnly = ["total", "when", "grab", "spoil", "later", "soon", "hang", "tell", "print", "quit", "fail", "refuse", "lottery", "stray"];
    items = [];
    add(item) { this.items.push(item); return this.items.length; }
    total(factor = 1) { return this.items.length * factor; }
    when() { return Date.now(); }
    lottery() { return Math.random(); }
    grab(mebibytes) { this.big = new Uint8Array(mebibytes * 1024 * 1024).fill(7); return this.big.length; }
    spoil() { this.items = ["spoiled"]; this.other = new Map([[1, "x".repeat(5000)]]); globalThis.spoiled = true; return this.items; }
    async later() { await sleep(1000); return 1; }
    async soon() { await undefined; return this.items.length; }
    hang() { for (;;); }
    tell() { send("p9", "hello"); return 1; }
    print() { console.log("hello"); return 1; }
    quit() { this.stop(); return 1; }
    fail() { throw new TypeError("no such item"); }
    refuse() { throw new Refusal("closed", { until: 9 }); }
    stray() { Promise.reject(new Error("nobody looks")); return 1; }
    async slow() { await sleep(1000); return 1; }
  }
  export async function plain() { await sleep(1000); }
`);

let ids = 0;

/** Asks a process as a kernel does, by the message of an ordinary call. */
function ask(machine: TestMachine, of: Process, call: unknown, load?: LoadRequest): Promise<QueryOutcome> {
  const { process, pid, program: hash, number, timeMs, script } = of.request([]);
  const body = encodeValue(call);
  const request = { id: ++ids, process, pid, program: hash, turn: number - 1, timeMs, script, body, replyTo: "@q.1" };
  return machine.machine.query(load === undefined ? request : { ...request, load });
}

const callOf = (method: string, ...args: readonly unknown[]) => ["perdure:call", 1, "@q.1", method, args];

function answerOf(outcome: QueryOutcome): unknown {
  if (outcome.kind !== "answered") assert.fail(`it ended as ${JSON.stringify(outcome)}`);
  return decodeValue(outcome.body);
}

async function started(built: TestProgram = shop, entry = "Cart", fuelInterrupts = 1000) {
  const machine = localMachine(sources(built), { fuelInterrupts });
  const cart = new Process(machine, built, 3);
  await cart.start(entry);
  return {
    machine,
    cart,
    query: (method: string, ...args: readonly unknown[]) => ask(machine, cart, callOf(method, ...args)),
  };
}

test("a query answers as a call would, at the time of the last turn", async () => {
  const { cart, query } = await started();
  cart.timeMs += 1234;
  await cart.turn(message(callOf("add", "tea")));
  assert.deepEqual(answerOf(await query("total", 3)), ["perdure:reply", 1, true, 3]);
  assert.deepEqual(answerOf(await query("soon")), ["perdure:reply", 1, true, 1]);
  assert.deepEqual(answerOf(await query("when")), ["perdure:reply", 1, true, cart.timeMs]);
  assert.deepEqual(answerOf(await query("lottery")), answerOf(await query("lottery")));
});

test("whatever a query does, the memory is the same afterwards, bit for bit, and turns go on as if it had not been", async () => {
  const { machine, cart, query } = await started();
  await cart.turn(message(callOf("add", "tea")));
  const before = await cart.snapshot();
  assert.deepEqual(answerOf(await query("spoil")), ["perdure:reply", 1, true, ["spoiled"]]);
  assert.deepEqual(answerOf(await query("grab", 8)), ["perdure:reply", 1, true, 8 * 1024 * 1024]);
  for (const method of ["tell", "print", "later", "quit", "fail", "refuse", "hang", "stray", "lottery"])
    await query(method);
  const after = await cart.snapshot();
  assert.equal(Buffer.compare(before.body, after.body), 0);
  const other = localMachine(sources(shop));
  const twin = cart.moved(other);
  const add = message(callOf("add", "cup"));
  const [own, twins] = [done(await cart.attempt([add])), done(await twin.attempt([add], twin.load()))];
  assert.deepEqual(own.digests, twins.digests);
  await cart.assertSameMemory(twin);
  assert.equal(machine.results.length, 3);
});

test("a memory that has grown is copied in its size", async () => {
  const built = await program(`
    import { Server } from "perdure";
    export class Hoard extends Server {
      static readOnly = ["sum"];
      init() { this.all = new Uint8Array(6 * 1024 * 1024).fill(1); }
      sum() { this.all[5] = 9; return this.all.length + this.all.indexOf(9); }
    }`);
  const { cart, query } = await started(built, "Hoard");
  const before = await cart.snapshot();
  for (let again = 0; again < 3; again++) {
    assert.deepEqual(answerOf(await query("sum")), ["perdure:reply", 1, true, 6 * 1024 * 1024 + 5]);
  }
  assert.equal(Buffer.compare(before.body, (await cart.snapshot()).body), 0);
});

test("a method that does more than read is found out", async () => {
  const { query } = await started();
  const cases = { tell: /sent something to p9/, print: /printed/, later: /timer/, stray: /failed beside it/ };
  for (const [method, detail] of Object.entries(cases)) {
    const outcome = await query(method);
    if (outcome.kind !== "forbidden") assert.fail(`${method}: ${JSON.stringify(outcome)}`);
    assert.match(outcome.detail, detail);
  }
});

test("a method that throws answers so, by a mark unless it is a refusal", async () => {
  const { query } = await started();
  const [, , ok, error, mark] = answerOf(await query("fail")) as [string, number, boolean, Error, string];
  assert.deepEqual([ok, error.name, error.message, mark], [false, "TypeError", "no such item", "failed"]);
  const [, , , refusal, kind] = answerOf(await query("refuse")) as [string, number, boolean, Error, string];
  assert.deepEqual([refusal.message, kind], ["closed", "refusal"]);
});

test("a method that never ends runs out of fuel, and its process has heard nothing of it", async () => {
  const { cart, query } = await started(shop, "Cart", 20);
  const outcome = await query("hang");
  assert.deepEqual([outcome.kind, outcome.kind === "fatal" && outcome.reason], ["fatal", "out_of_fuel"]);
  assert.deepEqual(answerOf(await query("total")), ["perdure:reply", 1, true, 0]);
  await cart.turn(message(callOf("add", "tea")));
});

test("what is no read-only method of a server at rest is refused", async () => {
  const { machine, cart, query } = await started();
  for (const method of ["add", "init", "toString", "nothing"]) {
    assert.deepEqual(await query(method), { kind: "refused", why: "not-read-only" });
  }
  assert.deepEqual(await ask(machine, cart, "hello"), { kind: "refused", why: "not-read-only" });
  await cart.turn(message(callOf("slow")));
  assert.deepEqual(await query("total"), { kind: "refused", why: "busy" });
  const plain = await started(shop, "plain");
  assert.deepEqual(await plain.query("total"), { kind: "refused", why: "not-read-only" });
});

test("a prelude that knows no queries refuses them", async () => {
  const old = { ...shop, prelude: shop.prelude.replace(/query: ?15/, "query: 99") };
  assert.notEqual(old.prelude, shop.prelude);
  const { query } = await started(old);
  assert.deepEqual(await query("total"), { kind: "refused", why: "not-read-only" });
});

test("a process that the machine does not hold is loaded for a query, and stays for the next turn", async () => {
  const { cart } = await started();
  await cart.turn(message(callOf("add", "tea")));
  const snapshot = await cart.snapshot();
  await cart.turn(message(callOf("add", "cup")));
  for (const load of [cart.load(), cart.load(snapshot)]) {
    const machine = localMachine(sources(shop));
    const moved = cart.moved(machine);
    assert.deepEqual(await ask(machine, moved, callOf("total")), { kind: "absent" });
    assert.deepEqual(answerOf(await ask(machine, moved, callOf("total"), load)), ["perdure:reply", 1, true, 2]);
    await moved.assertSameMemory(cart);
    await moved.turn(message(callOf("add", "jug")));
    assert.deepEqual(answerOf(await ask(machine, moved, callOf("total"))), ["perdure:reply", 1, true, 3]);
  }
});

test("a query of a process that is dropped meanwhile is as if it had not been", async () => {
  const { machine, cart, query } = await started(shop, "Cart", 1_000_000);
  const hanging = query("hang");
  await new Promise((resolve) => setTimeout(resolve, 30));
  machine.machine.drop(cart.key);
  assert.deepEqual(await hanging, { kind: "absent" });
});
