/** Hosts and the command line that meet in one instant, step by step. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { edgeAddress } from "../../src/base/edge-key.ts";
import { encodeValue } from "../../src/base/value.ts";
import type { Input } from "../../src/journal/types.ts";
import type { KeyedRequest } from "../../src/kernel/edges.ts";
import { Kernel } from "../../src/kernel/kernel.ts";
import { MemoryDisk } from "../../src/store/memory/disk.ts";
import { MemoryStore } from "../../src/store/memory/index.ts";
import type { Fault, StoreCall } from "../../src/store/memory/index.ts";
import { Timeline } from "../simulation/timeline.ts";
import { ModelMachine, pids } from "./machine.ts";
import type { Ask } from "./machine.ts";

class World {
  readonly timeline = new Timeline();
  readonly commandLine: MemoryStore;
  readonly notices: string[] = [];
  decide: (call: StoreCall) => Fault | undefined = () => undefined;
  kernel!: Kernel;

  constructor() {
    const disk = new MemoryDisk("races");
    const stamps = { createdAtMs: 0, bundle: "", sourceMap: "", prelude: "", engine: "", operations: [] };
    disk.programs.set("program", { hash: "program", file: "program.ts", ...stamps });
    this.commandLine = new MemoryStore(disk, undefined);
    this.#disk = disk;
  }

  readonly #disk: MemoryDisk;

  async open(): Promise<void> {
    const after = (delayMs: number, fn: () => void): (() => void) => this.timeline.after(delayMs, fn);
    let drawn = 0;
    this.kernel = await Kernel.open({
      store: new MemoryStore(this.#disk, { decide: (call) => this.decide(call) }),
      clock: { nowMs: () => this.timeline.wallMs, after },
      random: { bytes: (length) => new Uint8Array(length).fill(++drawn) },
      defer: (fn) => void after(0, fn),
      env: () => ({}),
      newest: (program) => program,
      machine: (events) => new ModelMachine({ events, after, turnMs: () => 1 }),
      runner: () => ({
        start: () => undefined,
        proceed: () => undefined,
        abort: () => undefined,
        transact: () => undefined,
      }),
      events: {
        logs: () => undefined,
        answered: () => undefined,
        departed: () => undefined,
        exited: () => undefined,
        notice: ({ message }) => void this.notices.push(message),
        failed: (error) => void this.notices.push(error.message),
      },
    });
    const parent = { pid: pids.parent, program: "program", entry: "parent", args: encodeValue([]), argsDigest: "00" };
    await this.within(100, this.kernel.outside.start({ ...parent, env: {} }));
  }

  /** What it comes to in so much time; undefined if that is too little. */
  async within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
    let outcome: { value: T } | { error: unknown } | undefined;
    promise.then(
      (value) => void (outcome = { value }),
      (error: unknown) => void (outcome = { error }),
    );
    await this.pass(ms);
    if (outcome !== undefined && "error" in outcome) throw outcome.error;
    return outcome?.value;
  }

  async pass(ms: number): Promise<void> {
    let isOver = false;
    this.timeline.after(ms, () => void (isOver = true));
    while (!isOver) {
      this.timeline.step();
      await new Promise(setImmediate);
    }
  }

  async post(request: KeyedRequest): Promise<boolean> {
    const { body, ...asked } = request;
    const input: Input = { kind: "message", from: edgeAddress(asked), body };
    return await this.commandLine.post(pids.child, input, Math.trunc(this.timeline.wallMs), asked);
  }

  async delivered(request: KeyedRequest): Promise<number> {
    const row = await this.commandLine.findProcess(pids.child);
    const turns = row === undefined ? [] : await this.commandLine.turns(row.key, 1, 1_000);
    const from = edgeAddress(request);
    return turns.flatMap(({ inputs }) => inputs).filter((input) => input.kind === "message" && input.from === from)
      .length;
  }
}

async function worldWithChild(): Promise<World> {
  const world = new World();
  await world.open();
  return world;
}

function request(key: string, digit: string, state: "sent" | "open", id = key): KeyedRequest {
  const digest = digit.repeat(32);
  const ask: Ask = { op: "add", id, ...(state === "open" ? { to: edgeAddress({ key, digest }) } : {}) };
  return { key, digest, about: `add ${id}`, state, body: encodeValue(ask) };
}

describe("a key that is used in the same instant by a host and beside the node", () => {
  test("is delivered, also when the host finds it posted while the node looks through the inbox", async () => {
    const world = await worldWithChild();
    const asked = request("k", "a", "sent");
    await world.post(asked);
    // What the host finds, it hears only after the node has looked for posts.
    const heard = Promise.withResolvers<void>();
    world.decide = (call) => (call === "edge" ? { late: heard.promise } : undefined);
    const { body, ...rest } = asked;
    const sent = world.kernel.outside.send(pids.child, body, rest).then(() => "sent");
    await world.pass(300);
    world.decide = () => undefined;
    heard.resolve();
    assert.equal(await world.within(500, sent), "sent");
    assert.equal(await world.delivered(asked), 1);
  });

  for (const state of ["open", "sent"] as const) {
    test(`for different things (${state}): whoever's it is not hears that, and never the other's answer`, async () => {
      const world = await worldWithChild();
      const mine = request("k", "a", state, "mine");
      const { body, ...asked } = mine;
      // The other one is posted when it is known that the key is free, and before the message is durable.
      const heard = Promise.withResolvers<void>();
      world.decide = (call) => (call === "edge" ? { late: heard.promise } : undefined);
      const { outside } = world.kernel;
      const asking: Promise<unknown> =
        state === "open" ? outside.call(pids.child, mine, 1_000) : outside.send(pids.child, body, asked);
      await world.pass(1);
      await world.post(request("k", "b", "open", "other"));
      world.decide = () => undefined;
      heard.resolve();
      await assert.rejects(world.within(2_000, asking), { code: "KEY_CONFLICT" });
    });
  }
});
