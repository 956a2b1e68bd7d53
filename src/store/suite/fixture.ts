/** What the suite asks of an implementation, and the frame of its tests. */
import { test } from "node:test";
import type { Store, StoreReader } from "../port.ts";
import { program, startMs } from "./samples.ts";

/** One store and what may happen to it. */
export interface StoreFixture {
  /** A handle on the store, as an engine has it; the first call makes the store. Several may be open at once. */
  open(): Promise<Store>;
  /** A handle that only reads and posts, as the CLI has it beside a running node. */
  openReader(): Promise<StoreReader>;
  /** Ends a handle as kill -9 does. */
  crash(store: Store): Promise<void>;
  /** Voids the lease in force, as a node does that believes its owner dead. */
  usurp(): Promise<void>;
  /** Removes the store and whatever handles are left. */
  dispose(): Promise<void>;
}

/** A store that several nodes own. `crash` also lets the lease run out, as time would. */
export interface SharedFixture extends StoreFixture {
  /** Lets the lease of this incarnation run out. */
  lapse(incarnation: number): Promise<void>;
}

export type SharedSetup = () => Promise<SharedFixture>;
export type StoreSetup = () => Promise<StoreFixture>;

/** A test on an empty store. */
export function rule(setup: StoreSetup, name: string, run: (fixture: StoreFixture) => Promise<void>): void {
  test(name, async () => {
    const fixture = await setup();
    try {
      await run(fixture);
    } finally {
      await fixture.dispose();
    }
  });
}

/** A test on a store that was claimed at `startMs` and holds the sample program. */
export function ownerRule(
  setup: StoreSetup,
  name: string,
  run: (store: Store, fixture: StoreFixture) => Promise<void>,
): void {
  rule(setup, name, async (fixture) => {
    const store = await fixture.open();
    await store.claim(startMs);
    await store.putProgram(program, []);
    await run(store, fixture);
  });
}
