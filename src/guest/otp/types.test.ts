/**
 * What must not compile, of servers, supervisors and tasks. The functions are never called: `tsc` fails on a line marked
 * with @ts-expect-error that has no error, and on one without the mark that has.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ignore, Refusal, Reply, Server, Supervisor, supervisor, Task } from "../api.ts";
import type { Ignore, KeyedRef, Pid, ServerRef, SupervisorRef } from "../api.ts";

interface Item {
  readonly sku: string;
}

export class Cart extends Server {
  static readOnly = ["total"] as const;
  items: Item[] = [];
  private readonly waiting: Reply<Item>[] = [];

  async init(owner: string, size?: number): Promise<void> {
    this.items.length = size ?? owner.length;
  }
  add(item: Item): number {
    if (this.items.length > 9) throw new Refusal("Full", { size: 9 });
    return this.items.push(item);
  }
  async total(): Promise<number> {
    return this.items.length;
  }
  take(): Item | Reply<Item> {
    const reply = new Reply<Item>();
    this.waiting.push(reply);
    return this.items.shift() ?? reply;
  }
  close(): void {
    this.stop("shutdown");
  }
  handleInfo(message: unknown): void {
    assert.ok(message);
  }
  terminate(reason: unknown): void {
    assert.ok(reason);
  }
  protected hidden(): void {
    this.waiting.pop();
  }
}

export class Maybe extends Server {
  init(): Ignore | undefined {
    return this === undefined ? ignore : undefined;
  }
}

export class Typo extends Server {
  static readOnly = ["totl"] as const;
  total(): number {
    return 1;
  }
}

export class Numbered extends Server {
  init(number: number): number {
    return number;
  }
}

export async function servers(): Promise<void> {
  const cart: ServerRef<Cart> = await Cart.start("ann", 3);
  await Cart.startLink("ann");
  // @ts-expect-error init needs an owner
  await Cart.start();
  // @ts-expect-error of another type
  await Cart.startLink(5);
  const count: number = await cart.add({ sku: "x" });
  const total: number = await cart.within("1 min").total();
  const item: Item = await cart.take();
  const nothing: void = await cart.close();
  cart.cast.add(item);
  // @ts-expect-error an item is no text
  await cart.add("x");
  // @ts-expect-error one too many
  await cart.total(1);
  // @ts-expect-error there is no such method
  await cart.remove("x");
  // @ts-expect-error a cast is as typed
  cart.cast.add(count);
  // @ts-expect-error a cast has no answer
  cart.cast.total().then(() => total);
  // @ts-expect-error Perdure's own business
  await cart.init("ann");
  // @ts-expect-error and so is this
  await cart.terminate("normal");
  // @ts-expect-error protected
  await cart.hidden();
  // @ts-expect-error a field is no method
  cart.items.length = 0;
  const maybe: ServerRef<Maybe> | undefined = await Maybe.start();
  // @ts-expect-error init may have answered ignore
  const surely: ServerRef<Maybe> = await Maybe.start();
  // @ts-expect-error readOnly lists no method
  await Typo.start();
  assert.ok([nothing, maybe, surely]);
}

export async function keyed(): Promise<void> {
  const cart: KeyedRef<Cart> = Cart.at("customer-17");
  const pid: Pid = await cart.pid();
  const total: number = await cart.total();
  await Cart.ref(pid).add({ sku: cart.key });
  // @ts-expect-error a key is a text
  Cart.at(5);
  // @ts-expect-error init takes a number, and gets a key
  Numbered.at("x");
  assert.ok(total);
}

export async function resize(image: string, width: number): Promise<number> {
  return image.length * width;
}

export async function tasks(supervised: SupervisorRef): Promise<void> {
  const size: number = await Task.async(resize, "image", 400).result({ timeout: "5s" });
  // @ts-expect-error an argument is missing
  Task.async(resize, "image");
  // @ts-expect-error of another type
  await Task.under(supervised).async(resize, "image", "400");
  for await (const length of Task.asyncStream(["a", "b"], (text: string) => text.length, { concurrency: 2 })) {
    const each: number = length;
    assert.ok(each + size);
  }
  // @ts-expect-error the function takes texts
  Task.asyncStream([1, 2], (text: string) => text.length);
}

export async function supervisors(): Promise<void> {
  const tree = supervisor({
    strategy: "rest_for_one",
    children: [
      { id: "cart", start: [Cart, "ann"], restart: "transient", shutdown: "brutal_kill" },
      { id: "resize", start: [resize, "image", 400], backoff: { delay: "1s" }, recover: "previous" },
      { id: "pool", supervisor: { strategy: "simple_one_for_one", template: { start: [resize] } } },
      { id: "later", supervisor: [(count: number) => supervisor({ intensity: count }), 3] },
    ],
  });
  const ref: SupervisorRef = await Supervisor.start(tree);
  const started = await ref.startChild({ id: "x", start: { entry: "resize", args: ["image", 400] } });
  if (started.error === undefined) assert.ok(started.ok);
  const perhaps = await Supervisor.start([() => ignore]);
  // @ts-expect-error a function may answer that there is nothing to supervise
  await perhaps.countChildren();
  // @ts-expect-error no such strategy
  supervisor({ strategy: "one_for_none" });
  // @ts-expect-error a child has an id
  supervisor({ children: [{ start: [resize] }] });
  // @ts-expect-error a pool is made of one template
  supervisor({ strategy: "simple_one_for_one", children: [] });
  // @ts-expect-error a supervisor is no supervision of text
  await Supervisor.start("text");
}

test("what is said of types here is said of the classes that run", () => {
  assert.deepEqual(Cart.readOnly, ["total"]);
  assert.equal(new Maybe().init(), undefined);
});
