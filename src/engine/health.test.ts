import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../base/ports.ts";
import { HealthCheck, openingHealth } from "./health.ts";
import type { HealthPorts } from "./health.ts";
import type { NodeView } from "./node-view.ts";
import { release } from "./release.ts";

const active: NodeView = { state: "active", sinceMs: 5, incarnation: 2, message: "" };

/** A clock whose timers fire when they are told to. */
function stoppedClock(): Clock & { fire(): void; readonly waiting: number } {
  const timers = new Set<() => void>();
  return {
    nowMs: () => 77,
    after(_, fn) {
      timers.add(fn);
      return () => timers.delete(fn);
    },
    fire() {
      for (const fn of timers) fn();
    },
    get waiting() {
      return timers.size;
    },
  };
}

function check(ports: Partial<HealthPorts> = {}): HealthCheck {
  return new HealthCheck({
    clock: stoppedClock(),
    name: "a",
    node: () => active,
    failure: () => undefined,
    isOpen: () => true,
    ping: async () => undefined,
    ...ports,
  });
}

const views: readonly (readonly [NodeView, isOpen: boolean, isReady: boolean])[] = [
  [active, true, true],
  [{ state: "standing-by", sinceMs: 5, message: "another one has it" }, true, true],
  [{ state: "standing-by", sinceMs: 5, message: "it lost its lease" }, false, false],
  [{ state: "unreachable", sinceMs: 5, message: "the database is away" }, false, false],
];
for (const [view, isOpen, isReady] of views) {
  test(`${view.state}, ${isOpen ? "with" : "without"} a kernel: live, and ${isReady ? "" : "not "}ready`, async () => {
    const health = await check({ node: () => view, isOpen: () => isOpen }).look();
    const { incarnation = 0, ...rest } = view;
    assert.deepEqual(health, { isLive: true, isReady, node: "a", release, incarnation, ...rest });
  });
}

test("before it is open it is live and not ready", () => {
  const { isLive, isReady, state, message } = openingHealth("a", 1);
  assert.deepEqual([isLive, isReady, state, message], [true, false, "opening", "The node is being opened."]);
});

test("a failed node is neither live nor ready, and says why", async () => {
  const stopped: NodeView = { state: "stopped", sinceMs: 9, message: "" };
  const health = await check({
    node: () => stopped,
    failure: () => new Error("The disk is full."),
    isOpen: () => false,
  }).look();
  assert.deepEqual([health.isLive, health.isReady, health.message], [false, false, "The disk is full."]);
});

test("a node that is being closed drains, and is not asked; closed, it has stopped", async () => {
  let node = active;
  const health = check({ node: () => node, ping: () => assert.fail("asked") });
  health.closing();
  const draining = await health.look();
  assert.deepEqual(
    [draining.isLive, draining.isReady, draining.state, draining.sinceMs],
    [true, false, "draining", 77],
  );
  node = { state: "stopped", sinceMs: 80, message: "" };
  const stopped = await health.look();
  assert.deepEqual([stopped.isLive, stopped.isReady, stopped.state], [true, false, "stopped"]);
});

test("a kernel thread that does not answer makes it neither live nor ready; all who ask wait for one answer", async () => {
  const clock = stoppedClock();
  const answer = Promise.withResolvers<void>();
  let pings = 0;
  const health = check({
    clock,
    ping: () => {
      pings++;
      return answer.promise;
    },
  });
  const looks = [health.look(), health.look()];
  clock.fire();
  for (const { isLive, isReady, message } of await Promise.all(looks)) {
    assert.deepEqual([isLive, isReady, message], [false, false, "The kernel thread has not answered within 2000 ms."]);
  }
  assert.equal(pings, 1);
  answer.resolve();
  const later = await health.look();
  assert.deepEqual([later.isLive, later.isReady, clock.waiting], [true, true, 0]);
});

test("an answer that arrives while this thread was held up counts", async () => {
  const clock = stoppedClock();
  const answer = Promise.withResolvers<void>();
  const look = check({ clock, ping: () => answer.promise }).look();
  clock.fire();
  answer.resolve();
  assert.equal((await look).isLive, true);
});

test("one that loses the store while it is asked is what it has become", async () => {
  let node = active;
  const answer = Promise.withResolvers<void>();
  const look = check({ node: () => node, isOpen: () => node === active, ping: () => answer.promise }).look();
  node = { state: "unreachable", sinceMs: 8, message: "the database is away" };
  answer.reject(new Error("the thread ended"));
  const { isLive, isReady, state } = await look;
  assert.deepEqual([isLive, isReady, state], [true, false, "unreachable"]);
});
