/** Servers, on a real engine. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { World } from "./harness.test.ts";

const world = await World.of(`
import * as p from "perdure";

export class Cart extends p.Server {
  static readOnly = ["list"] as const;
  items: string[] = [];
  waiting: p.Reply<string>[] = [];
  watcher = "";
  async init(watcher: string, how = "") {
    this.watcher = watcher;
    await p.sleep(1);
    if (how === "throws") throw new RangeError("no stock");
    if (how === "exits") p.exit({ shutdown: "closed" });
    if (how === "normal") p.exit();
    if (how === "ignores") return p.ignore;
    if (how === "traps") p.trapExit();
  }
  add(item: string) { return this.items.push(item); }
  list() { return this.items; }
  async slow(text: string) { const before = this.items.length; await p.sleep(5); this.items.push(text); return before; }
  refuse(early: boolean) { if (early) this.items.push("half"); throw new OutOfStock("none left", { sku: "x" }); }
  fail() { throw new TypeError("boom"); }
  quit(reason: unknown) { p.exit(reason); }
  finish() { this.stop("shutdown"); return "bye"; }
  uncloneable() { return () => 1; }
  never() { return new p.Reply<string>(); }
  take() {
    const reply = new p.Reply<string>();
    this.waiting.push(reply);
    return reply;
  }
  give(item: string) { const reply = this.waiting.shift()!; reply.send(item); reply.send("twice"); }
  deny() { this.waiting.shift()!.refuse(new p.Refusal("denied")); }
  early() { const reply = new p.Reply<string>(); reply.send("early"); return reply; }
  async selective() { return await p.receive({ match: { only: String } }); }
  self() { return p.self(); }
  async callsItself() { return await Cart.ref(p.self()).list().catch((error) => error.code); }
  handleInfo(message: unknown) {
    if (message instanceof p.Exit) this.items.push("exit " + message.reason);
    else if (message instanceof p.Down) this.items.push("down " + message.reason);
    else this.items.push("info " + JSON.stringify(message));
  }
  terminate(reason: unknown) { p.send(this.watcher, { terminated: reason, items: this.items }); }
}
class OutOfStock extends p.Refusal { override get name() { return "OutOfStock"; } }
export class Deaf extends p.Server { list() { return ["deaf"]; } }
export class Typo extends p.Server { static readOnly = ["lst"]; list() {} }
export async function dies() { throw new Error("died"); }
export async function idle() { await p.receive(); }

const start = (...more: unknown[]) => Cart.start(p.self(), ...(more as [])) as Promise<p.ServerRef<Cart>>;
const failure = async (promise: Promise<unknown>) => await promise.then((value) => ({ value }), (error) => {
  const { code, message, name, details, cause } = error;
  return { code, name, is: error instanceof p.Refusal ? "refusal" : error instanceof p.PerdureError ? "perdure" : "other", message, details, cause };
});
const lastWords = () => p.receive({ match: { terminated: (value: unknown): value is unknown => true } });

export async function calls() {
  const cart = await start();
  const all = await Promise.all([cart.slow("a"), cart.slow("b"), cart.add("c")]);
  cart.cast.add("d");
  return [all, await cart.list(), await cart.self() === cart.pid];
}
export async function refuses() {
  const cart = await start();
  const refused = await failure(cart.refuse(true));
  cart.cast.refuse(false);
  return [refused, await cart.list()];
}
export async function crashes(method: "fail" | "quit" | "uncloneable", reason?: unknown) {
  const cart = await start();
  const [first, second] = await Promise.all([failure((cart as any)[method](reason)), failure(cart.list())]);
  return [first, second, await lastWords(), await failure(cart.list())];
}
export async function stops() {
  const cart = await start();
  return [await cart.finish(), await lastWords(), await failure(cart.list())];
}
export async function refused() {
  const cart = await start();
  const codes: unknown[] = [];
  for (const name of ["nothing", "init", "terminate", "stop", "constructor", "toString", "items", "__proto__"]) {
    const call: any = name in Object.prototype ? undefined : (cart as any)[name];
    if (call !== undefined) codes.push((await failure(call("x"))).code);
  }
  (cart as any).cast.nothing();
  return [codes, await cart.callsItself(), await cart.list(), await failure(Cart.ref(p.spawn(idle)).list()), await failure(Cart.ref("nobody").list())];
}
export async function times() {
  const cart = await start();
  const late = await failure(cart.within(20).never());
  return [late, await cart.list(), await failure((async () => cart.within("soon"))())];
}
export async function later() {
  const cart = await start();
  const [a, b] = [cart.take(), failure(cart.take())];
  cart.cast.take();
  cart.cast.give("first");
  await cart.deny();
  await cart.give("nobody hears this");
  return [await a, await b, await cart.early()];
}
export async function infos() {
  const cart = await start("traps");
  const selective = cart.selective();
  p.send(cart.pid, { any: 1 });
  p.send(cart.pid, { only: "this" });
  const got = await selective;
  p.spawn(exitsAnother, cart.pid, "bye");
  await p.sleep(10);
  return [got, await cart.list()];
}
export async function exitsAnother(pid: string, reason: unknown) { p.exit(pid, reason); }
export async function exitSignals(reason: unknown, how = "") {
  const cart = await start(how);
  const monitor = p.monitor(cart.pid);
  if (reason === "normal") p.exit(cart.pid, reason);
  p.spawn(exitsAnother, cart.pid, reason);
  const down = await p.receive({ match: p.Down, timeout: 200 }).catch(() => "alive");
  if (down === "alive") return "alive";
  return [(down as p.Down).monitor === monitor, (down as p.Down).reason, reason === "kill" ? "" : await lastWords()];
}
export async function starts(how: string) { return await failure(start(how)); }
export async function startsLinked(how: string) {
  p.trapExit();
  const outcome = await failure(Cart.startLink(p.self(), how));
  return [outcome, await p.receive({ timeout: 20 }).catch((error) => error.name)];
}
export async function linksTo(observer: string) {
  const cart = await Cart.startLink(observer);
  p.send(observer, cart.pid);
  await p.receive();
  throw new Error("gone");
}
export async function linked() {
  const starter = p.spawn(linksTo, p.self());
  const pid = await p.receive<string>();
  const monitor = p.monitor(pid);
  p.send(starter, "go");
  return [(await lastWords()).terminated, (await p.receive({ match: p.Down })).reason];
}
export async function typo() { return await failure(Typo.start()); }
export async function deaf() {
  const ref = await Deaf.start();
  p.send(ref.pid, { anyone: "there" });
  return await ref.list();
}
export async function named() {
  const cart = await start();
  await p.register("the-cart", cart.pid);
  await Cart.ref("the-cart").add("x");
  return await cart.list();
}
export class Counter extends p.Server {
  count = 0;
  key = "";
  init(key: string) { this.key = key; }
  add(n: number) { return (this.count += n); }
  who() { return [this.key, p.self()]; }
  quit() { this.stop(); }
}
export async function keyed(key: string) {
  const counter = Counter.at(key);
  counter.cast.add(1);
  return [await counter.add(2), await Counter.at(key).add(3), counter.key, await counter.pid(), await counter.who()];
}
export async function keyedEnds() {
  const counter = Counter.at("ends");
  await counter.add(5);
  const before = await counter.pid();
  await counter.quit();
  return [await counter.add(1), await Counter.at("ends").add(1), before, await counter.pid()];
}
export async function castsLast(amounts: number[]) {
  for (const amount of amounts) Counter.at("cast last").cast.add(amount);
}
export class Leaver extends p.Server {
  leave() { Counter.at("cast last").cast.add(10); this.stop(); }
  terminate() { Counter.at("cast last").cast.add(100); }
}
export async function leaves() {
  const leaver = await Leaver.start();
  const monitor = p.monitor(leaver.pid);
  await leaver.leave();
  return (await p.receive({ match: p.Down })).monitor === monitor;
}
export async function countOf(key: string) { return await Counter.at(key).add(0); }
export async function castsChanging() {
  const item = { text: "as cast" };
  Names.at("changing").cast.add(item);
  item.text = "changed later";
  return [await Names.at("changing").list(), await failure((async () => Names.at("changing").cast.add((() => 1) as never))())];
}
export class Names extends p.Server {
  names: string[] = [];
  add(item: { text: string }) { this.names.push(item.text); }
  list() { return this.names; }
}
export async function cannotCross() { return await failure((await start()).add((() => 1) as never)); }
export async function refsStay() {
  const cart = await start();
  try { p.send(p.self(), cart); } catch (error: any) { return [error.code, typeof (cart as any).then]; }
}
`);

after(() => world.close());

test("calls and casts run one at a time, in the order in which they came", async () => {
  assert.deepEqual(await world.run("calls"), [[0, 1, 3], ["a", "b", "c", "d"], true]);
});

test("a Refusal is the caller's answer, with its name and details, and the server lives on", async () => {
  const [refused, list] = await world.run("refuses");
  const { name, is, message, details } = refused;
  assert.deepEqual(
    { name, is, message, details },
    { name: "OutOfStock", is: "refusal", message: "none left", details: { sku: "x" } },
  );
  assert.deepEqual(list, ["half"]);
});

describe("what ends a server is heard by all whose calls wait, after its last words:", () => {
  test("an error that a method throws", async () => {
    const [first, second, words, later] = await world.run("crashes", "fail");
    assert.deepEqual([first.code, first.is, first.cause.message], ["SERVER_GONE", "perdure", "boom"]);
    assert.deepEqual([second.code, second.cause.message], ["SERVER_GONE", "boom"]);
    assert.equal(words.terminated.message, "boom");
    assert.deepEqual([later.code, later.details.reason], ["SERVER_GONE", "noproc"]);
  });

  test("exit in a method", async () => {
    const [first, second, words] = await world.run("crashes", "quit", { shutdown: 5 });
    assert.deepEqual([first.code, first.details.reason], ["SERVER_GONE", { shutdown: 5 }]);
    assert.deepEqual(second.details.reason, { shutdown: 5 });
    assert.deepEqual(words.terminated, { shutdown: 5 });
  });

  test("a result that cannot cross", async () => {
    const [first] = await world.run("crashes", "uncloneable");
    assert.deepEqual([first.code, first.cause.code], ["SERVER_GONE", "VALUE_NOT_CLONEABLE"]);
  });

  test("stop, once the method has answered", async () => {
    const [bye, words, later] = await world.run("stops");
    assert.deepEqual([bye, words.terminated, later.code], ["bye", "shutdown", "SERVER_GONE"]);
  });
});

test("only what the class defines can be called, by others, and of a server", async () => {
  const [codes, itself, list, plain, nobody] = await world.run("refused");
  assert.deepEqual(codes, ["CALL_REFUSED", "CALL_REFUSED", "CALL_REFUSED", "CALL_REFUSED", "CALL_REFUSED"]);
  assert.deepEqual([itself, list, plain.code], ["CALL_REFUSED", [], "CALL_REFUSED"]);
  assert.deepEqual([nobody.code, nobody.details.reason], ["SERVER_GONE", "noproc"]);
});

test("a call that is not answered in time is given up, and the server is none the worse", async () => {
  const [late, list, soon] = await world.run("times");
  assert.deepEqual([late.code, late.details.timeoutMs], ["CALL_TIMEOUT", 20]);
  assert.deepEqual([list, soon.code], [[], "DURATION_INVALID"]);
});

test("a Reply answers later, once, or refuses; of a cast nobody hears it", async () => {
  const [a, b, early] = await world.run("later");
  assert.deepEqual([a, b.is, b.message, early], ["first", "refusal", "denied", "early"]);
});

test("other messages come to handleInfo, Exits of others too if it traps them; receive in a method takes its own first", async () => {
  const [got, list] = await world.run("infos");
  assert.deepEqual(got, { only: "this" });
  assert.deepEqual(list, ['info {"any":1}', "exit bye"]);
});

test("without handleInfo they are logged and dropped", async () => {
  assert.deepEqual(await world.run("deaf"), ["deaf"]);
  assert.ok(world.logs.some(({ level, text }) => level === "warn" && text.includes('{"anyone":"there"}')));
});

describe("exit signals of others", () => {
  for (const reason of ["shutdown", { shutdown: 1 }, "own reason"]) {
    test(`end it with ${JSON.stringify(reason)}, after its last words`, async () => {
      const [isIts, why, words] = await world.run("exitSignals", reason);
      assert.deepEqual([isIts, why, words.terminated], [true, reason, reason]);
    });
  }
  test("do not, if the reason is normal or it traps them", async () => {
    assert.equal(await world.run("exitSignals", "normal"), "alive");
    assert.equal(await world.run("exitSignals", "shutdown", "traps"), "alive");
  });
  test("leave no time for last words when they kill", async () => {
    assert.deepEqual(await world.run("exitSignals", "kill", "traps"), [true, "killed", ""]);
  });
});

describe("start", () => {
  const reasons = { throws: new RangeError("no stock"), exits: { shutdown: "closed" }, normal: "normal" } as const;
  for (const [how, reason] of Object.entries(reasons)) {
    test(`rejects with the reason when init ${how}, and leaves no Exit behind when linked`, async () => {
      const outcome = await world.run("starts", how);
      assert.equal(outcome.code, "START_FAILED");
      if (reason instanceof Error) assert.equal(outcome.cause.message, reason.message);
      else assert.deepEqual(outcome.details.reason, reason);
      const [linked, left] = await world.run("startsLinked", how);
      assert.deepEqual([linked.code, left], ["START_FAILED", "TimeoutError"]);
    });
  }

  test("gives undefined when init answers ignore", async () => {
    assert.deepEqual(await world.run("starts", "ignores"), { value: undefined });
  });

  test("refuses a readOnly that lists no method", async () => {
    const { code, cause } = await world.run("typo");
    assert.deepEqual([code, cause.code], ["START_FAILED", "ARGUMENT_INVALID"]);
  });
});

test("a server started with a link ends with the process that started it", async () => {
  const [words, reason] = await world.run("linked");
  assert.deepEqual([words.message, reason.message], ["gone", "gone"]);
});

test("a server is reached by its registered name", async () => {
  assert.deepEqual(await world.run("named"), ["x"]);
});

test("a keyed server is started by its first use, and is the same for everybody", async () => {
  const pid = "Counter:a key";
  assert.deepEqual(await world.run("keyed", "a key"), [3, 6, "a key", pid, ["a key", pid]]);
  assert.deepEqual(await world.run("keyed", "a key"), [9, 12, "a key", pid, ["a key", pid]]);
});

test("a process that casts to a keyed server and returns, or stops, has cast", async () => {
  await world.run("castsLast", [2, 3]);
  assert.equal(await world.run("countOf", "cast last"), 5);
  assert.equal(await world.run("leaves"), true);
  assert.equal(await world.run("countOf", "cast last"), 115);
});

test("a cast to a keyed server carries what there was when it was made, or throws then", async () => {
  const [names, { code }] = await world.run("castsChanging");
  assert.deepEqual([names, code], [["as cast"], "VALUE_NOT_CLONEABLE"]);
});

test("the next use of a keyed server after its end starts another, with fresh state", async () => {
  assert.deepEqual(await world.run("keyedEnds"), [1, 2, "Counter:ends", "Counter:ends~2"]);
});

test("what cannot cross is refused at the call; a reference is no value and no promise", async () => {
  assert.equal((await world.run("cannotCross")).code, "VALUE_NOT_CLONEABLE");
  assert.deepEqual(await world.run("refsStay"), ["VALUE_NOT_CLONEABLE", "undefined"]);
});
